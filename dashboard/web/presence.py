"""Who has a draft open: the card beside its form, which the form refreshes every few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import Session, transaction
from dashboard.onboarding import history, presence, steps
from dashboard.onboarding.errors import NotFound
from dashboard.onboarding.history import Who
from dashboard.onboarding.presence import Editor
from dashboard.onboarding.steps import Definition, Step
from dashboard.staff.permissions import Permission
from dashboard.web.access import current_actor, require
from dashboard.web.forms import row_version_of
from dashboard.web.rendering import wants_partial

blueprint = Blueprint("presence", __name__, url_prefix="/steps/<step_id>/draft/presence")


@dataclass(frozen=True, slots=True)
class Editing:
    """Who has the draft open, and the current user's `row_version`; draft None: it is gone."""

    step_id: str
    draft: Definition | None
    row_version: int
    editors: list[Editor]
    names: Mapping[str, Who]
    me: str

    @property
    def others(self) -> list[str]:
        """The names of everyone else."""
        return [self.names[one.actor].name for one in self.editors if one.actor != self.me]

    def has_saved(self, editor: Editor) -> bool:
        """Whether this editor saved the draft's current state."""
        return self.draft is not None and (editor.actor, editor.row_version) == (
            self.draft.edited_by,
            self.draft.row_version,
        )


def beat(session: Session, step: Step, opened: object) -> Editing:
    """Notes that the current user has the draft open at row_version `opened`, or at the newest if that is not valid."""
    me = current_actor()
    if step.draft is None:
        return gone(step.step_id)
    newest = step.draft.row_version
    row_version = opened if isinstance(opened, int) and 0 < opened <= newest else newest
    presence.beat(session, me, step.step_id, row_version)
    return read(session, step, row_version)


def gone(step_id: str) -> Editing:
    """The card of a draft that was released or discarded."""
    return Editing(step_id, None, 0, [], {}, current_actor().key)


def read(session: Session, step: Step, row_version: int = 0) -> Editing:
    """The same without noting anything."""
    me = current_actor().key
    editors = presence.editors(session, step.step_id) if step.draft else []
    names = history.who(session, [one.actor for one in editors])
    myself_first = sorted(editors, key=lambda one: one.actor != me)
    return Editing(step.step_id, step.draft, row_version, myself_first, names, me)


@blueprint.post("")
@require(Permission.EDIT_STEPS)
def heard(step_id: str) -> ResponseReturnValue:
    """The form is still open; answers with who else has it open."""
    opened = row_version_of(request.form)
    with transaction() as session:
        editing = _heard(session, step_id, opened)
    if not wants_partial():
        return redirect(url_for("drafts.show", step_id=step_id), 303)
    return render_template("steps/_editing_now.html", editing=editing)


def _heard(session: Session, step_id: str, opened: int) -> Editing:
    try:
        step = steps.get(session, step_id)
    except NotFound:
        # discarding the first draft of a step deletes the step too
        if not wants_partial():
            raise
        return gone(step_id)
    return beat(session, step, opened)


@blueprint.post("/leave")
@require(Permission.EDIT_STEPS)
def left(step_id: str) -> ResponseReturnValue:
    """The form was closed."""
    with transaction() as session:
        presence.leave(session, current_actor(), step_id)
    return "", 204
