"""Keyset pages of people by name: page 1,000 costs what page 1 does. A cursor is opaque to whoever holds it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.steps import text_problem

Direction = Literal["after", "before"]


def by_name(
    session: Session,
    select: str,
    where: Sequence[str],
    values: Mapping[str, Any],
    cursor: str | None,
    limit: int,
    *types: Any,
) -> tuple[list[Row[Any]], str | None, str | None]:
    """One page of `select` from onboarding_users `u`, by name, with the cursors of the previous and the next page.

    `types` are bind parameters with their types, where PostgreSQL can't tell. Raises Invalid for a broken cursor.
    """
    direction, start = ("after", None) if cursor is None else _read(cursor)
    bound = dict(values, limit=limit + 1)
    conditions = list(where)
    if start is not None:
        # What is lower case is the database's to say, here and in the ORDER BY: Python's lower() says otherwise of İ
        # or a final Σ, and pages would skip people.
        conditions.append(f"(lower(u.name), u.user_id) {'>' if direction == 'after' else '<'} (lower(:name), :user_id)")
        bound |= {"name": start[0], "user_id": start[1]}
    order = "" if direction == "after" else " DESC"
    filtered = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    statement: TextClause = text(f"{select} {filtered} ORDER BY lower(u.name){order}, u.user_id{order} LIMIT :limit")
    found = list(session.execute(statement.bindparams(*types) if types else statement, bound))
    more, rows = len(found) > limit, found[:limit]
    if direction == "before":
        rows.reverse()
    has_previous = start is not None if direction == "after" else more
    has_next = more if direction == "after" else True
    return (
        rows,
        write_cursor("before", rows[0].name, rows[0].user_id) if rows and has_previous else None,
        write_cursor("after", rows[-1].name, rows[-1].user_id) if rows and has_next else None,
    )


def write_cursor(direction: Direction, name: str, user_id: str) -> str:
    """The cursor of the page that begins after this person, or ends before them."""
    packed = json.dumps([direction, name, user_id], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read(cursor: str) -> tuple[Direction, tuple[str, str]]:
    broken = Invalid({"cursor": "is broken; start again from the first page"})
    try:
        direction, name, user_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, RecursionError):
        raise broken from None
    if direction not in ("after", "before") or text_problem(name, 1000) or text_problem(user_id, 1000):
        raise broken
    return direction, (name, user_id)
