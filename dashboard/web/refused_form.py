"""What was typed into a form that was refused before anything read it: the page that says so still has it."""

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
from dashboard.web.formats import STEP_LABELS, plural, status_label
from dashboard.web.security import is_from_here

LABELS = {name: MEMBER_LABELS[name] for name in (*STEP_LABELS, "name", "email")} | {
    "step_id": "Id",
    "note": "Reason",
    "status": "Status",
    "comment": "Comment",
    "step": "Step",
}
"""What people type or choose, by the name of its field; the rest of a form is its own business."""
PEOPLE = "user_id"
"""The field of each who was chosen: they are counted."""
WHO = "who"
"""Where the browser's session keeps who signed in: for them alone forms that are open stay good when they come back."""


def was_ours() -> bool:
    """Whether a page of ours sent the form, as its token or its browser shows: nobody is offered what another site fills in."""
    return bool(g.get("csrf_valid")) or is_from_here()


def _form() -> list[tuple[str, str]]:
    """The form, as far as it is for us to show; nothing where it can't be read, for it is too large or no form."""
    if not was_ours():
        return []
    try:
        return list(request.form.items(multi=True))
    except HTTPException:
        return []


def fields() -> list[tuple[str, str]]:
    """The form, to be sent once more: all but its token, and no password, which is never shown again."""
    return [(name, value) for name, value in _form() if name != "csrf_token" and "password" not in name]


def typed(*, titled: bool = True) -> list[tuple[str, str]]:
    """What somebody has typed or chosen, each with what it is, as far as it is not what stood there before.

    Steps have their titles, or their ids where `titled` is false: the database is not asked then.
    """
    form = [(name, value) for name, value in _form() if value.strip()]
    said = [(name, value) for name, value in form if _field(name) in LABELS and not _stood_there(name, value)]
    of_steps = any(_step_of(name) or name == "step" for name, _ in said)
    titles = _titles() if titled and of_steps else {}
    return _people(form) + [(_label(name, titles), _value(name, value, titles)) for name, value in said]


def _people(form: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Whom the form of a list is about."""
    if any(name == "everybody" for name, _ in form):
        return [("People", "Everybody who matches")]
    count = len({value for name, value in form if name == PEOPLE})
    return [("People", f"{plural(count, 'person', 'people')} chosen")] if count else []


def _titles() -> Mapping[str, str]:
    """What the steps are called, by id; nothing for a browser in which nobody ever signed in, or without a database."""
    if not g.get("account") and WHO not in browser:
        return {}
    try:
        with statements() as session:
            return {step.step_id: title_of(step) for step in steps.checklist(session)}
    except DATABASE_FAULTS:
        return {}


def _field(name: str) -> str:
    """The field as every form calls it: the rows of a person have `status.setup-payments`."""
    return _plain(name).partition(".")[0]


def _plain(name: str) -> str:
    """The name without whose it is: a merge has `mine_title`, a row's panel `yours.comment.setup-payments`."""
    return name.removeprefix("mine_").removeprefix("yours.")


def _step_of(name: str) -> str:
    """The id of the step whose row it is; empty where the form is about one thing."""
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
