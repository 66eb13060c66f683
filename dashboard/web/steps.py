"""The checklist and its steps: the list, a new step, one step with its versions and releases, and any two versions."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding import cached_figures, drafts, history, impact, releases, steps
from dashboard.onboarding.carryover import Release
from dashboard.onboarding.errors import Invalid, NotFound, Refused, StalePlan
from dashboard.onboarding.steps import Definition, Step
from dashboard.staff.permissions import Permission
from dashboard.web import checklist
from dashboard.web import presence as presence_card
from dashboard.web.access import current_actor, require
from dashboard.web.forms import NewStepForm, put_problems, whole
from dashboard.web.rendering import render, wants_partial

blueprint = Blueprint("steps", __name__, url_prefix="/steps")

NEWEST = 100
"""How many releases a step's page shows."""


@blueprint.get("")
@require(Permission.VIEW)
def index() -> ResponseReturnValue:
    """The checklist in order, with everyone's statuses."""
    return _list_page()


def _list_page(problems: Iterable[str] = (), *, status: int = 200) -> ResponseReturnValue:
    with transaction() as session:
        found = steps.checklist(session)
        seen = cached_figures.overview(session)
    drafts = sum(1 for step in found if step.draft)
    return render(
        "steps/index.html",
        "steps/_steps.html",
        status=status,
        steps=found,
        seen=seen,
        total=steps.total_of(found),
        title_of=checklist.title_of,
        problems=list(problems),
        draft_count=drafts,
    )


@blueprint.post("/order")
@require(Permission.EDIT_STEPS)
def reorder() -> ResponseReturnValue:
    """Reorders the steps, or moves one up or down; 409 with the current list if it has changed since."""
    seen, moved = request.form.getlist("seen"), request.form.get("up") or request.form.get("down")
    try:
        with transaction() as session:
            if moved:
                steps.move(session, current_actor(), moved, -1 if "up" in request.form else 1, seen)
            else:
                steps.reorder(session, current_actor(), request.form.getlist("order"), seen)
    except StalePlan as stale:
        return _list_page([*stale.reasons, "Nothing was moved. This is the current order."], status=409)
    except Invalid:
        raise Invalid({"order": "This order does not include each step exactly once. Nothing was moved."}) from None
    if wants_partial():
        return _list_page()
    return redirect(url_for("steps.index", _anchor=f"step-row-{moved}" if moved else "steps"), 303)


@blueprint.get("/new")
@require(Permission.EDIT_STEPS)
def new() -> ResponseReturnValue:
    """The form for a new step."""
    return new_page(NewStepForm())


@blueprint.post("/new")
@require(Permission.EDIT_STEPS)
def create() -> ResponseReturnValue:
    """Creates the step, as a draft that nobody sees before its first release."""
    form = NewStepForm(request.form)
    try:
        with transaction() as session:
            made = drafts.create(session, current_actor(), (form.step_id.data or "").strip(), form.typed())
    except Invalid as error:
        return new_page(form, put_problems(form, error.problems), status=422)
    flash("The step was created as a draft. People see it once version 1 is released.")
    return redirect(url_for("steps.show", step_id=made.step_id), 303)


def new_page(form: NewStepForm, problems: Iterable[str] = (), *, status: int = 200) -> ResponseReturnValue:
    """The form for a new step, with its problems."""
    return render("steps/new.html", status=status, form=form, problems=list(problems))


@blueprint.get("/<step_id>")
@require(Permission.VIEW)
def show(step_id: str) -> ResponseReturnValue:
    """One step: what is live, the draft, versions, releases."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        versions = steps.versions(session, step_id)
        timeline = releases.of_step(session, step_id, limit=NEWEST)
        of_step = history.releases_of_step(session, step_id)
        counts = cached_figures.overview(session).funnel.get(step_id, impact.no_counts())
        editing = presence_card.read(session, place.step)
        names = checklist.names_of(session, place.step, timeline)
    return checklist.render_step(
        place,
        "steps/show.html",
        versions=versions,
        picked=_picked(place.step, versions),
        released_at={version: one.released_at for version, one in releases.released_as(of_step).items()},
        timeline=timeline,
        counts=counts,
        changes=checklist.draft_changes(place.step),
        editing=editing,
        names=names,
        back_to=_back_to(place.step, of_step),
    )


def _back_to(step: Step, of_step: list[Release]) -> Release | None:
    """What a rollback would go back to, if anything."""
    if step.live is None:
        return None
    try:
        return releases.rollback_target(of_step)[1]
    except Refused:
        return None


def _picked(step: Step, versions: list[Definition]) -> tuple[int, int]:
    """The two versions compared by default: the live one, and the draft or else the newest other one.

    The earlier comes first.
    """
    first = step.latest.version
    others = [one.version for one in versions if one.version != first]
    other = step.draft.version if step.draft else others[0] if others else first
    return min(first, other), max(first, other)


@blueprint.get("/<step_id>/compare")
@require(Permission.VIEW)
def compare(step_id: str) -> ResponseReturnValue:
    """Any two versions side by side, the draft included."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        versions = steps.versions(session, step_id)
        from_, to = _picked(place.step, versions)
        before = steps.version(session, step_id, _version("a", from_))
        after = steps.version(session, step_id, _version("b", to))
    return checklist.render_step(
        place,
        "steps/compare.html",
        versions=versions,
        before=before,
        after=after,
        changes=steps.compare(before.fields, after.fields),
    )


def _version(name: str, default: int) -> int:
    said = whole(request.args.get(name, str(default)))
    if not isinstance(said, int):
        raise NotFound("version", said)
    return said
