"""A step's draft: its form, merging two people's edits, and keeping text whose draft is gone."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding import drafts, history, merge, presence, releases, steps
from dashboard.onboarding.errors import Invalid, NotFound, Refused, StaleDraft
from dashboard.onboarding.history import Who
from dashboard.onboarding.merge import MergedField
from dashboard.onboarding.steps import MEMBERS, FieldChange, Fields, Step
from dashboard.staff.permissions import Permission
from dashboard.web import checklist
from dashboard.web import presence as presence_card
from dashboard.web.access import current_actor, require
from dashboard.web.checklist import Place, draft_changes, names_of, render_step
from dashboard.web.forms import (
    DraftForm,
    NewStepForm,
    StepForm,
    choices_of,
    chosen,
    not_chosen,
    put_problems,
    row_version_of,
    shown_merge,
    whole,
)
from dashboard.web.steps import new_page

blueprint = Blueprint("drafts", __name__, url_prefix="/steps/<step_id>/draft")


@blueprint.get("")
@require(Permission.EDIT_STEPS)
def show(step_id: str) -> ResponseReturnValue:
    """The draft as a form."""
    with transaction() as session:
        place = checklist.find(session, step_id)
    if place.step.draft is None:
        flash("This step has no draft.", "notice")
        return redirect(url_for("steps.show", step_id=step_id), 303)
    return _draft_page(place, DraftForm.of(place.step.draft))


@blueprint.post("")
@require(Permission.EDIT_STEPS)
def save(step_id: str) -> ResponseReturnValue:
    """Saves what was typed; if somebody else saved first, answers 409 with both edits merged."""
    form = DraftForm(chosen(request.form))
    try:
        return _saved(step_id, form)
    except NotFound:
        return _step_gone(step_id, form)


def _saved(step_id: str, form: DraftForm) -> ResponseReturnValue:
    try:
        _all_chosen(form)
        with transaction() as session:
            drafts.save(session, current_actor(), step_id, form.typed(), row_version_of(request.form))
            presence.leave(session, current_actor(), step_id)
    except Invalid as error:
        return _draft_again(step_id, form, put_problems(form, error.problems))
    except StaleDraft:
        return _overtaken(step_id, form)
    flash("Saved.")
    return redirect(url_for("drafts.show", step_id=step_id), 303)


def _all_chosen(form: DraftForm) -> None:
    """Raises Invalid if a merge still needs a choice, together with all other problems."""
    missing = not_chosen(request.form)
    if not missing:
        return
    try:
        steps.check(form.typed())
    except Invalid as error:
        raise Invalid(error.problems | missing) from None
    raise Invalid(missing)


def _draft_again(step_id: str, form: DraftForm, problems: list[str]) -> ResponseReturnValue:
    """422: the form as sent; for a merge panel, with both sides."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        names = names_of(session, place.step)
    if place.step.draft is None:
        return _gone_page(place, form, problems, 422)
    if fields := shown_merge(request.form):
        return _merge_page(
            place, names, form, fields, _merged_so_far(form, place.step.draft.fields), problems, status=422
        )
    return _draft_page(place, form, problems, status=422)


def _merged_so_far(form: DraftForm, saved: Fields) -> Fields:
    """The merged fields; each is as in `saved` if nobody has chosen yet or what was typed breaks a rule."""
    typed = {name: form[name].data or "" for name in MEMBERS} | {"weight": whole(form.weight.data)}
    typed |= {name: getattr(saved, name) for name in not_chosen(request.form)}
    try:
        return steps.check(typed)
    except Invalid as error:
        return steps.check(typed | {name: getattr(saved, name) for name in error.problems})


def _draft_page(
    place: Place, form: DraftForm, problems: Iterable[str] = (), *, status: int = 200
) -> ResponseReturnValue:
    return render_step(
        place,
        "steps/draft.html",
        status=status,
        editing=_editing(place.step, form),
        draft=place.step.draft,
        form=form,
        problems=list(problems),
        refused=status == 422,
        changes={change.member: change for change in draft_changes(place.step)},
    )


def _overtaken(step_id: str, form: DraftForm) -> ResponseReturnValue:
    """409: the newest draft merged with what was typed, or only what was typed if the draft is gone."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        names = names_of(session, place.step)
    if place.step.draft is None:
        return _gone_page(place, form)
    try:
        base, mine = steps.check(form.base()), steps.check(form.typed())
    except Invalid as error:
        return _draft_again(step_id, form, put_problems(form, error.problems))
    fields = merge.merge(base, place.step.draft.fields, mine)
    said = merge.merged(fields)
    return _merge_page(place, names, DraftForm.of(place.step.draft, said), fields, said)


def _merge_page(
    place: Place,
    names: dict[str, Who],
    form: DraftForm,
    fields: list[MergedField],
    said: Fields,
    problems: Iterable[str] = (),
    *,
    status: int = 409,
) -> ResponseReturnValue:
    """Both edits field by field, beside the step as people would see it with the fields `said`."""
    theirs = place.step.draft
    # a new merge panel asks about every conflict again
    choices = choices_of(request.form) if status == 422 else {}
    return render_step(
        place,
        "steps/merge.html",
        status=status,
        draft=theirs,
        form=form,
        problems=list(problems),
        chosen=choices,
        unchosen=[field.member for field in fields if field.origin == "conflict" and field.member not in choices],
        editing=_editing(place.step, form),
        fields={field.member: field for field in fields},
        by=_by(theirs.edited_by, names) if theirs else "",
        said=said,
        changes={change.member: change for change in _against_live(place.step, said)},
    )


def _editing(step: Step, form: DraftForm) -> presence_card.Editing:
    """Who has the draft open, now including the current user."""
    with transaction() as session:
        return presence_card.beat(session, step, whole(str(form.row_version.data)))


def _by(key: str, names: dict[str, Who]) -> str:
    """Who saved; empty for the current user, who then has the draft open twice."""
    return "" if key == current_actor().key else names[key].name


def _against_live(step: Step, said: Fields) -> list[FieldChange]:
    return steps.compare(step.latest.fields, said)


def _gone_page(place: Place, form: DraftForm, problems: Iterable[str] = (), status: int = 409) -> ResponseReturnValue:
    """The draft was released or discarded: what was typed, and a way to start a new draft from it."""
    opened = whole(form.version.data)
    with transaction() as session:
        of_step = history.releases_of_step(session, place.step.step_id)
        became = releases.released_as(of_step).get(opened) if isinstance(opened, int) else None
        names = history.who(session, [became.released_by] if became else [])
    return render_step(
        place,
        "steps/gone.html",
        status=status,
        form=form,
        problems=list(problems),
        opened=opened,
        became=became,
        names=names,
    )


def _step_gone(step_id: str, typed: StepForm) -> ResponseReturnValue:
    """404, with what was typed in the form that creates the step again."""
    values = {field.name: field.data for field in typed} | {"step_id": step_id}
    problem = f"The step “{step_id}” no longer exists. What you typed is still here: create the step from it."
    return new_page(NewStepForm(data=values), [problem], status=404)


@blueprint.post("/start")
@require(Permission.EDIT_STEPS)
def start(step_id: str) -> ResponseReturnValue:
    """Starts a draft of the next version, from any version or from what was typed into a draft that is gone."""
    if "title" in request.form:
        return _start_from_typed(step_id, DraftForm(request.form))
    said = whole(request.form.get("from_version"))
    if isinstance(said, str) and said:
        raise Invalid({"from_version": "The version to start from must be a number."})
    try:
        with transaction() as session:
            drafts.start(session, current_actor(), step_id, said if isinstance(said, int) else None)
    except Refused:
        flash("This step already has a draft. Edit it, or discard it first.", "notice")
    return redirect(url_for("drafts.show", step_id=step_id), 303)


def _start_from_typed(step_id: str, form: DraftForm) -> ResponseReturnValue:
    try:
        with transaction() as session:
            drafts.start(session, current_actor(), step_id, fields=form.typed())
    except Invalid as error:
        return _draft_again(step_id, form, put_problems(form, error.problems))
    except Refused:
        return _overtaken(step_id, form)
    flash("Saved as a new draft.")
    return redirect(url_for("drafts.show", step_id=step_id), 303)


@blueprint.post("/discard")
@require(Permission.EDIT_STEPS)
def discard(step_id: str) -> ResponseReturnValue:
    """Discards the draft, unless somebody has saved it since."""
    try:
        with transaction() as session:
            with_step = drafts.discard(session, current_actor(), step_id, row_version_of(request.form))
            presence.leave(session, current_actor(), step_id)
    except StaleDraft as error:
        return _not_discarded(step_id, error)
    flash("The draft was discarded, and the step with it." if with_step else "The draft was discarded.")
    return redirect(url_for("steps.index") if with_step else url_for("steps.show", step_id=step_id), 303)


def _not_discarded(step_id: str, error: StaleDraft) -> ResponseReturnValue:
    if error.current is None:
        flash("This draft was already released or discarded.", "notice")
        return redirect(url_for("steps.show", step_id=step_id), 303)
    with transaction() as session:
        place = checklist.find(session, step_id)
        names = names_of(session, place.step)
    if place.step.draft is None:
        return redirect(url_for("steps.show", step_id=step_id), 303)
    by = _by(place.step.draft.edited_by, names) or "You"
    problem = f"{by} saved this draft since you opened it, so it was not discarded. The current draft is shown here."
    return _draft_page(place, DraftForm.of(place.step.draft), [problem], status=409)
