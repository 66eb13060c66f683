"""A person's page, and saving their steps. The list of people is in finding.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from flask import Blueprint, flash, redirect, request, url_for
from flask import session as browser
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding import steps, user_steps
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.staff.permissions import Permission
from dashboard.web import addresses, person_page, saving
from dashboard.web.access import require
from dashboard.web.checklist import title_of
from dashboard.web.formats import status_label
from dashboard.web.person_page import PersonPage
from dashboard.web.rendering import render, wants_partial
from dashboard.web.saving import NOTHING, Attempt, Happened, Undo
from dashboard.web.wording import NOTHING_CHANGED, saved_several, sentence

blueprint = Blueprint("people", __name__)
blueprint.record_once(addresses.install)


@blueprint.get("/people/<user_id:user_id>")
@require(Permission.VIEW)
def show(user_id: str) -> ResponseReturnValue:
    """A person, now or `as_of` a past moment; `history` is where the shown page of their history starts."""
    start = request.args.get("history", 0, type=int)
    start = start if start in range(1_000_000) else 0
    if (as_of := request.args.get("as_of")) is not None:
        return _as_of(user_id, as_of.strip(), start)
    return _page(person_page.load(user_id, start=start, happened=_just_saved(user_id)))


def _as_of(user_id: str, typed: str, start: int) -> ResponseReturnValue:
    """The page as it was; if that is not known, the page as it is, with the reason at the field."""
    try:
        moment = person_page.moment_of(typed)
        return _page(person_page.load_as_of(user_id, moment, start=start), as_of=typed)
    except Invalid as invalid:
        problem = sentence(typed[:40], invalid.problems["as_of"]) if typed else "Choose a day."
        return _page(person_page.load(user_id), 422, as_of=typed, problem=problem)


def _page(record: PersonPage, status: int = 200, **more: str) -> ResponseReturnValue:
    given = {"as_of": "", "problem": "", "said": ""} | more
    return render("people/show.html", status=status, record=record, **given)


@blueprint.get("/people/<user_id:user_id>/steps")
@require(Permission.VIEW)
def rows(user_id: str) -> ResponseReturnValue:
    """Redirects to the rows on the person's page."""
    return redirect(_address(user_id), 303)


@blueprint.get("/people/<user_id:user_id>/steps/<step_id>")
@require(Permission.VIEW)
def row(user_id: str, step_id: str) -> ResponseReturnValue:
    """The current row for htmx; else redirects to it on the person's page."""
    if wants_partial():
        return _answer(user_id, Happened(step_id, focus=True), 200)
    return redirect(_address(user_id, step_id), 303)


@blueprint.post("/people/<user_id:user_id>/steps/<step_id>")
@require(Permission.EDIT_PEOPLE)
def save(user_id: str, step_id: str) -> ResponseReturnValue:
    """Saves a step over the form's row_version, or resolves a conflict in another way."""
    attempt = Attempt.read(request.form, step_id)
    try:
        return _saved(user_id, step_id, attempt)
    except NotFound as missing:
        return _gone(missing, {step_id: attempt})


def _saved(user_id: str, step_id: str, attempt: Attempt) -> ResponseReturnValue:
    match attempt.resolve:
        case "keep":
            return _shown(user_id, Happened(step_id, focus=True), 200)
        case "edit":
            return _answer(user_id, Happened(step_id, attempt, focus=True), 200)
        case "show":
            return _answer(user_id, saving.look(user_id, step_id, attempt), 200)
    happened = saving.save(user_id, step_id, attempt)
    if "undoes" in request.form:
        happened = happened.beside(saving.typed_since(request.form, step_id))
    if happened.is_saved or happened.is_same:
        # these controls are gone from the returned row: the focus has to go somewhere
        focus = bool(attempt.resolve or attempt.undoes or attempt.comment)
        return _shown(user_id, replace(happened, focus=focus), 200)
    return _answer(user_id, happened, 409 if happened.is_stale else 422)


@blueprint.post("/people/<user_id:user_id>/steps")
@require(Permission.EDIT_PEOPLE)
def save_all(user_id: str) -> ResponseReturnValue:
    """Saves every row with a choice or typed text, each over its own row_version."""
    attempts = saving.rows_of(request.form)
    try:
        told = [one for one in saving.save_all(user_id, attempts) if not one.is_same]
        return _several(user_id, {one.step_id: one for one in _with_focus(told)})
    except NotFound as missing:
        return _gone(missing, {})


def _with_focus(told: Sequence[Happened]) -> list[Happened]:
    """Focuses the first panel; without one, the first row that was refused."""
    first = next((one for one in told if one.is_stale), next((one for one in told if one.problems), None))
    return [replace(one, focus=one is first) for one in told]


def _several(user_id: str, happened: Mapping[str, Happened]) -> ResponseReturnValue:
    kept = NOTHING if wants_partial() else saving.still_chosen(user_id, saving.panels_of(request.form))
    record = person_page.load(user_id, happened={**kept, **happened})
    answered = [row for row in record.rows if row.step.step_id in happened]
    refused = [row for row in answered if row.happened.problems and not row.panel]
    panels = [row for row in answered if row.panel]
    withdrawn = [row for row in panels if row.step.version is None]
    saved = len(answered) - len(refused) - len(panels)
    said = saved_several(saved, len(panels) - len(withdrawn), len(withdrawn), len(refused))
    status = 409 if panels else 422 if refused else 200
    if wants_partial():
        return render("people/show.html", "people/answers.html", status=status, record=record, rows=answered, said=said)
    if status != 200 or kept:
        return _page(record, status, said=said)
    flash(said, "message" if saved else "notice")
    _remember(user_id, happened.values())
    return redirect(_address(user_id), 303)


def _kept(user_id: str, step_id: str) -> Mapping[str, Happened]:
    """What was chosen and typed in the other rows, sent with the form; under htmx it is still on the page."""
    if wants_partial():
        return NOTHING
    rows = saving.rows_of(request.form) | saving.panels_of(request.form)
    return saving.still_chosen(user_id, {one: row for one, row in rows.items() if one != step_id})


def _answer(user_id: str, happened: Happened, status: int) -> ResponseReturnValue:
    """The current row and what belongs to it; without htmx the whole page, with the other rows' unsaved input."""
    return _with_kept(user_id, happened, status, _kept(user_id, happened.step_id))


def _with_kept(user_id: str, happened: Happened, status: int, kept: Mapping[str, Happened]) -> ResponseReturnValue:
    record = person_page.load(user_id, happened={**kept, happened.step_id: happened})
    answered = record.row(happened.step_id)
    status = 410 if answered.step.version is None else status
    if not wants_partial():
        return _page(record, status)
    order = record.order(happened.step_id)
    return render("people/show.html", "people/answer.html", status=status, record=record, row=answered, order=order)


def _shown(user_id: str, happened: Happened, status: int) -> ResponseReturnValue:
    """The same for a finished row: without htmx by a redirect, unless that would lose unsaved input."""
    if happened.is_same and not wants_partial():
        flash(NOTHING_CHANGED, "notice")
    if happened.is_saved and not wants_partial():
        with transaction() as session:
            title = user_steps.step_of(session, user_id, happened.step_id).title
        flash(f"{happened.word}. {title} is now {status_label(happened.attempt.status)}.")
    kept = _kept(user_id, happened.step_id)
    if wants_partial() or kept or happened.unsaved.status or happened.unsaved.comment:
        return _with_kept(user_id, happened, status, kept)
    if happened.is_saved:
        _remember(user_id, [happened])
    return redirect(_address(user_id, happened.step_id), 303)


def _gone(missing: NotFound, sent: dict[str, Attempt]) -> ResponseReturnValue:
    """Tells that the person is gone, with what was `sent` and what the other rows and panels hold.

    Re-raises if anything else is missing.
    """
    if missing.what != "person":
        raise missing
    with transaction() as session:
        titles = {step.step_id: title_of(step) for step in steps.checklist(session)}
    typed = [
        (titles.get(one, one), attempt)
        for one, attempt in (saving.rows_of(request.form) | saving.panels_of(request.form) | sent).items()
        if one in sent or attempt.wanted(one).says_something
    ]
    response = render("people/gone.html", "people/_gone_panel.html", status=404, typed=typed)
    if wants_partial():
        # set by hand: htmx-flask's own helper refuses modifiers
        response.headers.update({"HX-Retarget": "#person", "HX-Reswap": "outerHTML"})
    return response


def _remember(user_id: str, saved: Iterable[Happened]) -> None:
    """Keeps each Undo over the redirect that follows."""
    undo = {one.step_id: asdict(one.undo) if one.undo else None for one in saved if one.is_saved}
    browser["saved_steps"] = [user_id, undo]


def _just_saved(user_id: str) -> Mapping[str, Happened]:
    """What was saved just before, if it was this person's."""
    of_user, undo = browser.pop("saved_steps", [None, {}])
    if of_user != user_id:
        return NOTHING
    return {
        step_id: Happened(step_id, is_saved=True, undo=Undo(**given) if given else None)
        for step_id, given in undo.items()
    }


def _address(user_id: str, step_id: str = "") -> str:
    anchor = f"step-row-{step_id}" if step_id else "steps"
    return url_for("people.show", user_id=user_id, _anchor=anchor)
