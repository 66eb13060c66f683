"""A person's legal rights: an export of everything stored about them, and erasure."""

from __future__ import annotations

import json
import re

from flask import Blueprint, Response, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding import erasure, people
from dashboard.onboarding.errors import Invalid
from dashboard.staff.permissions import Permission
from dashboard.web import addresses
from dashboard.web.access import current_actor, require
from dashboard.web.rendering import render
from dashboard.web.wording import sentence

blueprint = Blueprint("erasure", __name__)
blueprint.record_once(addresses.install)

UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@blueprint.get("/people/<user_id:user_id>/export.json")
@require(Permission.ERASE_PEOPLE)
def export(user_id: str) -> ResponseReturnValue:
    """Everything stored about the person, as a file."""
    with transaction() as session:
        given = erasure.export(session, user_id)
    response = Response(json.dumps(given, indent=2, ensure_ascii=False), mimetype="application/json")
    name = UNFIT.sub("-", user_id)[:80].strip("-.") or "person"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return response


@blueprint.get("/people/<user_id:user_id>/erase")
@require(Permission.ERASE_PEOPLE)
def confirm(user_id: str) -> ResponseReturnValue:
    """Shows what will go and what will stay, and asks for the id."""
    return _page(user_id)


@blueprint.post("/people/<user_id:user_id>/erase")
@require(Permission.ERASE_PEOPLE)
def erase(user_id: str) -> ResponseReturnValue:
    """Erases the person once their id has been typed again."""
    typed = request.form.get("typed", "")
    try:
        with transaction() as session:
            erasure.erase(session, current_actor(), user_id, typed)
    except Invalid as invalid:
        return _page(user_id, 422, typed, f"{sentence('This', invalid.problems['typed'])} No one was erased.")
    flash("The person was erased. The counts stay, without anything that identifies them.")
    return redirect(url_for("finding.index"), 303)


def _page(user_id: str, status: int = 200, typed: str = "", problem: str = "") -> ResponseReturnValue:
    with transaction() as session:
        person, stored = people.find(session, user_id), erasure.stored(session, user_id)
    return render("people/erase.html", status=status, person=person, stored=stored, typed=typed, problem=problem)
