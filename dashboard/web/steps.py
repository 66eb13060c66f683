"""The checklist and its steps: the list, one step, its draft with the merge of two people's edits, any two versions."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import Session, transaction
from dashboard.onboarding import history, impact, merge, presence, releases, steps
from dashboard.onboarding.carryover import Release
from dashboard.onboarding.errors import Invalid, NotFound, Refused, StaleDraft, StalePlan
from dashboard.onboarding.history import Who
from dashboard.onboarding.steps import Definition, FieldChange, Fields, Step
from dashboard.staff.permissions import Permission
from dashboard.web import checklist
from dashboard.web import presence as presence_card
from dashboard.web.access import current_actor, require
from dashboard.web.checklist import Place
from dashboard.web.forms import DraftForm, NewStepForm, StepForm, chosen, put_problems, whole
from dashboard.web.rendering import render, wants_partial

blueprint = Blueprint("steps", __name__, url_prefix="/steps")


@blueprint.get("")
@require(Permission.VIEW)
def index() -> ResponseReturnValue:
    """The checklist in order, with everybody's statuses."""
    return _list_page()


def _list_page(problems: Iterable[str] = (), *, status: int = 200) -> ResponseReturnValue:
    with transaction() as session:
        found = steps.checklist(session)
        counts = impact.funnel(session)
    drafts = sum(1 for step in found if step.draft)
    return render(
        "steps/index.html",
        "steps/_steps.html",
        status=status,
        steps=found,
        counts=counts,
        total=checklist.total_of(found),
        title_of=checklist.title_of,
        problems=list(problems),
        draft_count=drafts,
    )


@blueprint.post("/order")
@require(Permission.EDIT_STEPS)
def reorder() -> ResponseReturnValue:
    """Puts the steps in another order, or moves one up or down; 409 with the list as it is when it is another by now."""
    seen, moved = request.form.getlist("seen"), request.form.get("up") or request.form.get("down")
    try:
        with transaction() as session:
            if moved:
                steps.move(session, current_actor(), moved, -1 if "up" in request.form else 1, seen)
            else:
                steps.reorder(session, current_actor(), request.form.getlist("order"), seen)
    except StalePlan as stale:
        return _list_page([*stale.reasons, "Nothing was moved. This is the order as it is now."], status=409)
    except Invalid:
        raise Invalid({"order": "This order does not name each step once. Nothing was moved."}) from None
    if wants_partial():
        return _list_page()
    return redirect(url_for("steps.index", _anchor=f"step-row-{moved}" if moved else "steps"), 303)


@blueprint.get("/new")
@require(Permission.EDIT_STEPS)
def new() -> ResponseReturnValue:
    """The form for a new step."""
    return _new_page(NewStepForm())


@blueprint.post("/new")
@require(Permission.EDIT_STEPS)
def create() -> ResponseReturnValue:
    """Makes the step, as a draft that nobody sees before its first release."""
    form = NewStepForm(request.form)
    try:
        with transaction() as session:
            made = steps.create(session, current_actor(), (form.step_id.data or "").strip(), form.typed())
    except Invalid as error:
        return _new_page(form, put_problems(form, error.problems), status=422)
    flash("The step is there as a draft. People see it once version 1 is released.")
    return redirect(url_for("steps.show", step_id=made.step_id), 303)


def _new_page(form: NewStepForm, problems: Iterable[str] = (), *, status: int = 200) -> ResponseReturnValue:
    return render("steps/new.html", status=status, form=form, problems=list(problems))


@blueprint.get("/<step_id>")
@require(Permission.VIEW)
def show(step_id: str) -> ResponseReturnValue:
    """One step: what is live, the draft, versions, releases."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        versions = steps.versions(session, step_id)
        timeline = releases.newest_first(session, step_id)
        counts = impact.funnel(session).get(step_id, impact.no_counts())
        editing = presence_card.read(session, place.step)
        names = _names(session, place.step, timeline)
        back_to = _back_to(session, place.step)
    return render(
        "steps/show.html",
        place=place,
        step=place.step,
        versions=versions,
        picked=_picked(place.step, versions),
        released_at={one.version: one.released_at for one in timeline if one.kind in ("publish", "migrate")},
        timeline=timeline,
        counts=counts,
        changes=_draft_changes(place.step),
        editing=editing,
        names=names,
        back_to=back_to,
        draft_count=place.drafts,
    )


def _names(session: Session, step: Step, timeline: Iterable[Release] = ()) -> dict[str, Who]:
    editors = [one.edited_by for one in (step.live, step.draft) if one]
    return history.who(session, {*editors, *(release.released_by for release in timeline)})


def _back_to(session: Session, step: Step) -> Release | None:
    """What a rollback would go back to, if there is anything."""
    if step.live is None:
        return None
    try:
        return releases.rollback_target(session, step.step_id)[1]
    except (Refused, NotFound):
        return None


def _picked(step: Step, versions: list[Definition]) -> tuple[int, int]:
    """Which two versions are compared when nobody has chosen: what is live, and the draft or the newest other one."""
    first = (step.live or step.latest).version
    others = [one.version for one in versions if one.version != first]
    return first, step.draft.version if step.draft else others[0] if others else first


def _draft_changes(step: Step) -> list[FieldChange]:
    if step.draft is None or step.draft.version == step.latest.version:
        return []
    return steps.compare((step.live or step.latest).fields, step.draft.fields)


@blueprint.get("/<step_id>/compare")
@require(Permission.VIEW)
def compare(step_id: str) -> ResponseReturnValue:
    """Any two versions side by side, the draft too."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        versions = steps.versions(session, step_id)
        from_, to = _picked(place.step, versions)
        before = steps.version(session, step_id, _version("a", from_))
        after = steps.version(session, step_id, _version("b", to))
    return render(
        "steps/compare.html",
        place=place,
        step=place.step,
        versions=versions,
        before=before,
        after=after,
        changes=steps.compare(before.fields, after.fields),
        draft_count=place.drafts,
    )


def _version(name: str, default: int) -> int:
    said = whole(request.args.get(name, str(default)))
    if not isinstance(said, int):
        raise NotFound("version", said)
    return said


# The draft -----------------------------------------------------------------------------------------------------------


@blueprint.get("/<step_id>/draft")
@require(Permission.EDIT_STEPS)
def draft(step_id: str) -> ResponseReturnValue:
    """The draft as a form."""
    with transaction() as session:
        place = checklist.find(session, step_id)
    if place.step.draft is None:
        flash("This step has no draft now.", "notice")
        return redirect(url_for("steps.show", step_id=step_id), 303)
    return _draft_page(place, DraftForm.of(place.step.draft))


@blueprint.post("/<step_id>/draft")
@require(Permission.EDIT_STEPS)
def save_draft(step_id: str) -> ResponseReturnValue:
    """Saves what was typed; when somebody else was faster, answers 409 with both, merged."""
    form = DraftForm(request.form)
    try:
        form = DraftForm(chosen(request.form))
        with transaction() as session:
            _still_open(session, step_id, form)
            steps.save_draft(session, current_actor(), step_id, form.typed(), form.opened_at())
            presence.leave(session, current_actor(), step_id)
    except Invalid as error:
        return _draft_again(step_id, form, put_problems(form, error.problems))
    except NotFound:
        return _step_gone(step_id, form)
    except StaleDraft:
        return _overtaken(step_id, form)
    flash("Saved.")
    return redirect(url_for("steps.draft", step_id=step_id), 303)


def _still_open(session: Session, step_id: str, form: DraftForm) -> None:
    """Raises StaleDraft when the draft that was opened was released, and another one has its place."""
    now = steps.get(session, step_id).draft
    if now and now.version != whole(form.version.data):
        raise StaleDraft(form.opened_at(), now.row_version, now.edited_by)


def _draft_again(step_id: str, form: DraftForm, problems: list[str]) -> ResponseReturnValue:
    with transaction() as session:
        place = checklist.find(session, step_id)
    if place.step.draft is None:
        return _gone_page(place, form, problems, 422)
    return _draft_page(place, form, problems, status=422)


def _draft_page(
    place: Place, form: DraftForm, problems: Iterable[str] = (), *, status: int = 200
) -> ResponseReturnValue:
    return render(
        "steps/draft.html",
        status=status,
        editing=_editing(place.step, form),
        place=place,
        step=place.step,
        draft=place.step.draft,
        form=form,
        problems=list(problems),
        changes={change.member: change for change in _draft_changes(place.step)},
        draft_count=place.drafts,
    )


def _overtaken(step_id: str, form: DraftForm, problems: Iterable[str] = ()) -> ResponseReturnValue:
    """409: the newest draft merged with what was typed, or what was typed alone when there is no draft any more."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        names = _names(session, place.step)
    if place.step.draft is None:
        return _gone_page(place, form, problems)
    try:
        base, mine = steps.check(form.base()), steps.check(form.typed())
    except Invalid as error:
        return _draft_page(place, form, [*problems, *put_problems(form, error.problems)], status=422)
    return _merge_page(place, place.step.draft, names, merge.merge(base, place.step.draft.fields, mine))


def _merge_page(
    place: Place, theirs: Definition, names: dict[str, Who], fields: list[merge.MergedField]
) -> ResponseReturnValue:
    said = merge.merged(fields)
    form = DraftForm.of(theirs, said)
    return render(
        "steps/merge.html",
        status=409,
        place=place,
        step=place.step,
        draft=theirs,
        form=form,
        editing=_editing(place.step, form),
        fields={field.member: field for field in fields},
        by=_by(theirs.edited_by, names),
        said=said,
        changes={change.member: change for change in _against_live(place.step, said)},
        draft_count=place.drafts,
    )


def _editing(step: Step, form: DraftForm) -> presence_card.Editing:
    """Who has the draft open; whoever asks has it open from now on."""
    with transaction() as session:
        return presence_card.beat(session, step, whole(str(form.row_version.data)))


def _by(key: str, names: dict[str, Who]) -> str:
    """Who saved; the empty text for whoever asks, who then has the draft open twice."""
    return "" if key == current_actor().key else names[key].name


def _against_live(step: Step, said: Fields) -> list[FieldChange]:
    return steps.compare((step.live or step.latest).fields, said)


def _gone_page(place: Place, form: DraftForm, problems: Iterable[str] = (), status: int = 409) -> ResponseReturnValue:
    """The draft was released or discarded: what was typed, and a way to start a new draft from it."""
    opened = whole(form.version.data)
    with transaction() as session:
        became = next(
            (one for one in releases.newest_first(session, place.step.step_id) if one.version == opened), None
        )
        names = history.who(session, [became.released_by] if became else [])
    return render(
        "steps/gone.html",
        status=status,
        place=place,
        step=place.step,
        form=form,
        problems=list(problems),
        opened=opened,
        became=became,
        names=names,
        draft_count=place.drafts,
    )


def _step_gone(step_id: str, typed: StepForm) -> ResponseReturnValue:
    """404, and what was typed is in the form that makes the step again."""
    values = {field.name: field.data for field in typed} | {"step_id": step_id}
    problem = f"There is no step “{step_id}” any more. What you typed is still here: create the step from it."
    return _new_page(NewStepForm(data=values), [problem], status=404)


@blueprint.post("/<step_id>/draft/start")
@require(Permission.EDIT_STEPS)
def start_draft(step_id: str) -> ResponseReturnValue:
    """A draft of the next version, from any version; or from what was typed into a draft that is gone."""
    if "title" in request.form:
        return _start_from_typed(step_id, DraftForm(request.form))
    said = whole(request.form.get("from_version"))
    if isinstance(said, str) and said:
        raise Invalid({"from_version": "The version to start from must be a number."})
    try:
        with transaction() as session:
            steps.start_draft(session, current_actor(), step_id, said if isinstance(said, int) else None)
    except Refused:
        flash("There is a draft already: edit this one, or discard it first.", "notice")
    return redirect(url_for("steps.draft", step_id=step_id), 303)


def _start_from_typed(step_id: str, form: DraftForm) -> ResponseReturnValue:
    try:
        with transaction() as session:
            started = steps.start_draft(session, current_actor(), step_id)
            steps.save_draft(session, current_actor(), step_id, form.typed(), started.row_version)
    except Invalid as error:
        return _draft_again(step_id, form, put_problems(form, error.problems))
    except Refused:
        return _overtaken(step_id, form)
    flash("Saved as a new draft.")
    return redirect(url_for("steps.draft", step_id=step_id), 303)


@blueprint.post("/<step_id>/draft/discard")
@require(Permission.EDIT_STEPS)
def discard_draft(step_id: str) -> ResponseReturnValue:
    """Throws the draft away; not when somebody saved it meanwhile."""
    form = DraftForm(request.form)
    try:
        with transaction() as session:
            _still_open(session, step_id, form)
            steps.discard_draft(session, current_actor(), step_id, form.opened_at())
            presence.leave(session, current_actor(), step_id)
    except StaleDraft as error:
        return _not_discarded(step_id, error)
    with transaction() as session:
        is_there = any(step.step_id == step_id for step in steps.checklist(session))
    flash("The draft was discarded." if is_there else "The step was discarded with its only draft.")
    return redirect(url_for("steps.show", step_id=step_id) if is_there else url_for("steps.index"), 303)


def _not_discarded(step_id: str, error: StaleDraft) -> ResponseReturnValue:
    if error.current is None:
        flash("This draft was released or discarded already.", "notice")
        return redirect(url_for("steps.show", step_id=step_id), 303)
    with transaction() as session:
        place = checklist.find(session, step_id)
        names = _names(session, place.step)
    if place.step.draft is None:
        return redirect(url_for("steps.show", step_id=step_id), 303)
    by = _by(place.step.draft.edited_by, names) or "You"
    problem = f"{by} saved this draft since you opened it, so it was not discarded. This is how it is now."
    return _draft_page(place, DraftForm.of(place.step.draft), [problem], status=409)
