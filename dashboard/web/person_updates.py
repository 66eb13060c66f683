"""What has changed on a person's page while it was open: the page polls every few seconds and marks those rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import Session, transaction
from dashboard.onboarding import history, user_steps
from dashboard.onboarding.errors import NotFound
from dashboard.onboarding.history import Change, Who
from dashboard.onboarding.user_steps import StepVersion, UserStep
from dashboard.staff.permissions import Permission
from dashboard.web import addresses
from dashboard.web.access import require
from dashboard.web.formats import apart
from dashboard.web.forms import whole
from dashboard.web.rendering import wants_partial
from dashboard.web.wording import tell

blueprint = Blueprint("person_updates", __name__)
blueprint.record_once(addresses.install)


@dataclass(frozen=True, slots=True)
class Moved:
    """A row that has changed: `told` says by whom or what; `stuck`: a panel is in its place."""

    step: UserStep
    told: str
    stuck: bool


@blueprint.get("/people/<user_id:user_id>/moved")
@require(Permission.VIEW)
def moved(user_id: str) -> ResponseReturnValue:
    """204 if nothing has changed; else a mark for each changed row. `known` is what the page has already."""
    if not wants_partial():
        return redirect(url_for("people.show", user_id=user_id), 303)
    known, told = _known(request.args.getlist("known")), request.args.getlist("told")
    try:
        with transaction() as session:
            versions = user_steps.versions_of(session, user_id)
            behind = _behind(known, versions)
            new = [step_id for step_id, version in versions.items() if version.is_live and step_id not in known]
            is_news = set(new) != set(told)
            if not behind and not is_news:
                return "", 204
            rows = _moved(session, user_id, behind, request.args.getlist("stuck")) if behind else []
    except NotFound:
        return render_template("people/moved.html", gone=True, said="This person is no longer here.")
    said = [f"{apart(row.step.title)}: {row.told}." for row in rows] + (
        ["The checklist has changed."] if is_news else []
    )
    return render_template(
        "people/moved.html",
        gone=False,
        user_id=user_id,
        moved=rows,
        new=new if is_news else None,
        said=" ".join(said),
    )


def _known(told: Iterable[str]) -> dict[str, int]:
    """The row_version that the page has of each step; unreadable ones are ignored."""
    pairs = [one.rpartition(".") for one in told]
    numbers = {step_id: whole(number) for step_id, _, number in pairs}
    return {step_id: number for step_id, number in numbers.items() if isinstance(number, int)}


def _behind(known: Mapping[str, int], versions: Mapping[str, StepVersion]) -> dict[str, int]:
    return {
        step_id: row_version
        for step_id, row_version in known.items()
        if step_id in versions and versions[step_id].row_version != row_version
    }


def _moved(session: Session, user_id: str, behind: Mapping[str, int], stuck: Collection[str]) -> list[Moved]:
    steps = [step for step in user_steps.steps_of(session, user_id) if step.step_id in behind]
    changes = history.changes_of(session, user_id, behind)
    last = {step_id: of_step[-1] for step_id, of_step in changes.items() if of_step}
    names = history.who(session, {change.by for change in last.values()})
    return [
        Moved(
            step,
            _told(last.get(step.step_id), names),
            step.step_id in stuck,
        )
        for step in steps
    ]


def _told(change: Change | None, names: Mapping[str, Who]) -> str:
    """Who or what changed the row last."""
    if change is None:
        return "Changed"
    told = tell(change, names)
    return told.title if change.release else f"Changed by {apart(told.by)}"
