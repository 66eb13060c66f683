"""What was typed into a form that was refused before anything read it, so that the error page can keep it."""

from __future__ import annotations

from collections.abc import Mapping

from flask import g, request
from flask import session as browser
from werkzeug.exceptions import HTTPException

from dashboard.database import DATABASE_FAULTS, statements
from dashboard.onboarding import steps
from dashboard.onboarding.carryover import STATUSES
from dashboard.web.activity_wording import MEMBER_LABELS
from dashboard.web.checklist import title_of
from dashboard.web.formats import STEP_LABELS, status_label
from dashboard.web.security import is_from_here
from dashboard.words import plural

LABELS = {name: MEMBER_LABELS[name] for name in (*STEP_LABELS, "name", "email")} | {
    "step_id": "Id",
    "note": "Reason",
    "status": "Status",
    "comment": "Comment",
    "step": "Step",
}
"""The labels of what people type or choose, by field name; other fields are internal."""
PEOPLE = "user_id"
"""The field of each selected person: they are counted."""
WHO = "who"
"""The session key of the signed-in account: only its own open forms stay valid when it signs in again."""


def was_ours() -> bool:
    """Whether a page of ours sent the form, by its token or its browser: never offer what another site filled in."""
    return bool(g.get("csrf_valid")) or is_from_here()


def _form() -> list[tuple[str, str]]:
    """The form if we may show it; empty if it can't be read (too large, or no form)."""
    if not was_ours():
        return []
    try:
        return list(request.form.items(multi=True))
    except HTTPException:
        return []


def fields() -> list[tuple[str, str]]:
    """The form to be sent again: all fields but the CSRF token and passwords, which are never shown again."""
    return [(name, value) for name, value in _form() if name != "csrf_token" and "password" not in name]


def typed(*, titled: bool = True) -> list[tuple[str, str]]:
    """What was typed or chosen, with labels, as far as it differs from what was there before.

    Steps are named by title, or by id if `titled` is false: the database is not queried then.
    """
    form = [(name, value) for name, value in _form() if value.strip()]
    said = [(name, value) for name, value in form if _field(name) in LABELS and not _stood_there(name, value)]
    of_steps = any(_step_of(name) or name == "step" for name, _ in said)
    titles = _titles() if titled and of_steps else {}
    return _people(form) + [(_label(name, titles), _value(name, value, titles)) for name, value in said]


def _people(form: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The people that a list's form is about."""
    if any(name == "everybody" for name, _ in form):
        return [("People", "Everyone who matches")]
    count = len({value for name, value in form if name == PEOPLE})
    return [("People", f"{plural(count, 'person', 'people')} selected")] if count else []


def _titles() -> Mapping[str, str]:
    """The steps' titles by id; empty for a browser that never signed in, or without a database."""
    if not g.get("account") and WHO not in browser:
        return {}
    try:
        with statements() as session:
            return {step.step_id: title_of(step) for step in steps.checklist(session)}
    except DATABASE_FAULTS:
        return {}


def _field(name: str) -> str:
    """The field's name in every form: a person's rows have `status.setup-payments`."""
    return _plain(name).partition(".")[0]


def _plain(name: str) -> str:
    """The name without its prefix: a merge has `mine_title`, a row's panel `yours.comment.setup-payments`."""
    return name.removeprefix("mine_").removeprefix("yours.")


def _step_of(name: str) -> str:
    """The step id of the row; empty if the form is about one thing."""
    return _plain(name).partition(".")[2]


def _label(name: str, titles: Mapping[str, str]) -> str:
    step_id = _step_of(name)
    return LABELS[_field(name)] + (f" of {titles.get(step_id, step_id)}" if step_id else "")


def _value(name: str, value: str, titles: Mapping[str, str]) -> str:
    if name == "step":
        return titles.get(value, value)
    return status_label(value) if value in STATUSES else value


def _stood_there(name: str, value: str) -> bool:
    field, step_id = _field(name), _step_of(name)
    before = request.form.get(f"seen.{step_id}" if field == "status" else f"base_{field}", "")
    return value.splitlines() == before.splitlines()
