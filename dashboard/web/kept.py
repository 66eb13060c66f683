"""What was typed into a form that was refused before anything read it: the page that says so still has it."""

from __future__ import annotations

from flask import g, request
from werkzeug.exceptions import HTTPException

from dashboard.onboarding.carryover import STATUSES
from dashboard.web.deeds import MEMBER_LABELS
from dashboard.web.formats import STEP_LABELS, status_label
from dashboard.web.security import is_from_here

LABELS = {name: MEMBER_LABELS[name] for name in (*STEP_LABELS, "name", "email")} | {
    "step_id": "Id",
    "note": "Reason",
    "status": "Status",
    "comment": "Comment",
}
"""What people type or choose, by the name of its field; the rest of a form is its own business."""


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


def typed() -> list[tuple[str, str]]:
    """What somebody has typed or chosen, each with what it is, as far as it is not what stood there before."""
    return [
        (_label(name), status_label(value) if value in STATUSES else value)
        for name, value in _form()
        if value.strip() and _field(name) in LABELS and not _stood_there(name, value)
    ]


def _field(name: str) -> str:
    """The field as every form calls it: the rows of a person have `status.setup-payments`."""
    return _plain(name).partition(".")[0]


def _plain(name: str) -> str:
    """The name without whose it is: a merge has `mine_title`, a row's panel `yours.comment.setup-payments`."""
    return name.removeprefix("mine_").removeprefix("yours.")


def _label(name: str) -> str:
    step_id = _plain(name).partition(".")[2]
    return LABELS[_field(name)] + (f" of {step_id}" if step_id else "")


def _stood_there(name: str, value: str) -> bool:
    field, _, step_id = _plain(name).partition(".")
    before = request.form.get(f"seen.{step_id}" if field == "status" else f"base_{field}", "")
    return value.splitlines() == before.splitlines()
