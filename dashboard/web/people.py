"""A person's page, and saving a step of theirs. The list of people is in finding.py."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, flash, redirect, request, session, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding import history, progress
from dashboard.onboarding.errors import Conflict, Invalid, Withdrawn
from dashboard.staff.permissions import Permission
from dashboard.web import person_page
from dashboard.web.access import current_actor, require
from dashboard.web.addresses import UserIdConverter
from dashboard.web.formats import status_label
from dashboard.web.person_page import Attempt, Happened, Undo
from dashboard.web.rendering import render, wants_partial

blueprint = Blueprint("people", __name__)


@blueprint.record_once
def install(state: BlueprintSetupState) -> None:
    """Comes first in this module: the routes below need the converter."""
    state.app.url_map.converters["user_id"] = UserIdConverter


@blueprint.get("/people/<user_id:user_id>")
@require(Permission.VIEW)
def show(user_id: str) -> ResponseReturnValue:
    """A person; `history` says where the shown page of their history starts."""
    start = request.args.get("history", 0, type=int)
    record = person_page.load(user_id, start=start if start in range(1_000_000) else 0, happened=_just_saved(user_id))
    return render("people/show.html", record=record)


@blueprint.get("/people/<user_id:user_id>/steps/<step_id>")
@require(Permission.VIEW)
def row(user_id: str, step_id: str) -> ResponseReturnValue:
    """Leads to the row on the person's page."""
    return redirect(_address(user_id, step_id), 303)


@blueprint.post("/people/<user_id:user_id>/steps/<step_id>")
@require(Permission.EDIT_PEOPLE)
def save(user_id: str, step_id: str) -> ResponseReturnValue:
    """Saves a step over the row_version that the form carries, or takes another way out of a conflict."""
    attempt = Attempt.read(request.form)
    if attempt.resolve == "keep":
        return _shown(user_id, Happened(step_id, focus=True), 200)
    if attempt.resolve == "edit":
        return _answer(user_id, Happened(step_id, attempt, focus=True), 200)
    happened, status = _carry_out(user_id, step_id, attempt)
    if happened.is_saved:
        return _shown(user_id, happened, status)
    return _answer(user_id, happened, status)


def _carry_out(user_id: str, step_id: str, attempt: Attempt) -> tuple[Happened, int]:
    """The one checked write, and what came of it."""
    try:
        with transaction() as database:
            saved = progress.save(
                database,
                current_actor(),
                user_id,
                step_id,
                attempt.status,
                attempt.row_version,
                comment=attempt.comment,
            )
    except Invalid as invalid:
        return Happened(step_id, attempt, problems=attempt.told(invalid.problems)), 422
    except Conflict as conflict:
        return Happened(step_id, attempt, is_stale=True, changes=conflict.changes), 409
    except Withdrawn:
        with transaction() as database:
            changes = history.changes_since(database, user_id, step_id, attempt.row_version)
        return Happened(step_id, attempt, is_stale=True, changes=changes), 410
    undo = Undo.of(saved, attempt)
    return Happened(
        step_id, attempt, is_saved=True, undo=undo, focus=bool(attempt.resolve or attempt.undoes or attempt.comment)
    ), 200


def _answer(user_id: str, happened: Happened, status: int) -> ResponseReturnValue:
    """The row as it is now with what belongs to it; without htmx the whole page around it."""
    record = person_page.load(user_id, happened=happened)
    answered = record.row(happened.step_id)
    return render(
        "people/show.html",
        "people/answer.html",
        status=410 if answered.step.version is None else status,
        record=record,
        row=answered,
        order=record.order(happened.step_id),
    )


def _shown(user_id: str, happened: Happened, status: int) -> ResponseReturnValue:
    """The same where the page is free to be loaded anew: without htmx by a redirect."""
    if wants_partial():
        return _answer(user_id, happened, status)
    if happened.is_saved:
        with transaction() as database:
            title = progress.step_of(database, user_id, happened.step_id).title
        flash(f"Saved. {title} is now {status_label(happened.attempt.status)}.")
        _remember(user_id, happened)
    return redirect(_address(user_id, happened.step_id), 303)


def _remember(user_id: str, happened: Happened) -> None:
    """Keeps the Undo over the redirect that follows."""
    session["saved"] = [user_id, happened.step_id, asdict(happened.undo) if happened.undo else None]


def _just_saved(user_id: str) -> Happened:
    """What was saved just before, when it was a step of this person."""
    of_user, step_id, undo = session.pop("saved", [None, "", None])
    if of_user != user_id:
        return person_page.AT_REST
    return Happened(step_id, is_saved=True, undo=Undo(**undo) if undo else None)


def _address(user_id: str, step_id: str) -> str:
    return url_for("people.show", user_id=user_id, _anchor=f"step-row-{step_id}")
