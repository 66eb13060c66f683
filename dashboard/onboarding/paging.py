"""Keyset pages of people: page 1,000 costs what page 1 does. A cursor is opaque to whoever holds it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.steps import text_problem

Direction = Literal["after", "before"]
Key = tuple[str, str]
"""What a page goes on from: the value that people are ordered by, and the id that tells people of one value apart."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of people `u`: `by` is what an index holds; `start` makes the same of `:start`, a row's `column` as text."""

    name: str
    by: str
    start: str
    column: str
    descending: bool = False

    @property
    def unwalked(self) -> Order:
        """The same order, which no index has: for all who match to be looked up, and then sorted."""
        nothing = "interval '0'" if self.is_of_time else "''"
        return replace(self, by=f"({self.by} {'+' if self.is_of_time else '||'} {nothing})")

    @property
    def is_of_time(self) -> bool:
        """Whether people are ordered by a moment."""
        return self.start.endswith("::timestamptz")


# What is lower case is the database's to say, here and in the ORDER BY: Python's lower() says otherwise of İ or a final
# Σ, and pages would skip people.
BY_NAME = Order("name", "lower(u.name)", "lower(:start)", "name")


Rows = tuple[list[Row[Any]], str | None, str | None]
"""Those of a page, and the cursors of the previous and of the next."""


class Beyond(Exception):
    """A page would need more people than were to be looked at."""


def page(
    session: Session,
    source: str,
    where: Sequence[str],
    values: Mapping[str, Any],
    order: Order,
    cursor: str | None,
    limit: int,
    *types: Any,
    details: str,
    within: int | None = None,
) -> Rows:
    """One page of the people `u` of `source`, with the cursors of the previous and the next page.

    `source` is what goes after FROM; `details` says what is told of the people of the page. `types` are bind parameters
    with their types, where PostgreSQL can't tell. `within`: only so many people are looked at, in their order. Raises
    Invalid for a broken cursor, and Beyond: those were not enough to fill the page.
    """
    direction, start = read_cursor(order.name, cursor)
    bound = dict(values, limit=limit + 1, within=within)
    starting = []
    backwards = direction == "before"
    down = order.descending != backwards
    if start is not None:
        starting.append(f"({order.by}, u.user_id) {'<' if down else '>'} ({order.start}, :start_id)")
        bound |= {"start": _moment(start[0]) if order.is_of_time else start[0], "start_id": start[1]}

    def ordered(by: str = order.by) -> str:
        return f"ORDER BY {by} {'DESC' if down else ''}, u.user_id {'DESC' if down else ''}"

    matching = f"SELECT u.* FROM {source} {filtered([*starting, *where])} {ordered()}"
    if within is not None:
        # what they are ordered by goes along, so that nobody sorts them again
        walked = f"SELECT u.*, {order.by} AS place FROM {source} {filtered(starting)} {ordered()} LIMIT :within"
        matching = f"SELECT u.* FROM ({walked}) u {filtered(where)} {ordered('u.place')}"
    statement = text(f"WITH page AS MATERIALIZED ({matching} LIMIT :limit) {details} {ordered()}").bindparams(*types)
    found = list(session.execute(statement, bound))
    if within is not None and len(found) <= limit:
        raise Beyond
    return around(found, limit, direction, start, lambda row, to: write_cursor(to, order, row))


def filtered(conditions: Sequence[str]) -> str:
    """The conditions as a WHERE; nothing without any."""
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def around(found: list[Row[Any]], limit: int, direction: Direction, start: Key | None, cursor: Any) -> Rows:
    """The rows of a page in their order, of the `limit` + 1 found in its direction, and the cursors around it."""
    more, rows = len(found) > limit, found[:limit]
    if direction == "before":
        rows.reverse()
    has_previous = start is not None if direction == "after" else more
    has_next = more if direction == "after" else True
    return (
        rows,
        cursor(rows[0], "before") if rows and has_previous else None,
        cursor(rows[-1], "after") if rows and has_next else None,
    )


def write_cursor(direction: Direction, order: Order, row: Any) -> str:
    """The cursor of the page that begins after this person, or ends before them."""
    value = getattr(row, order.column)
    return pack(direction, order.name, value.isoformat() if isinstance(value, datetime) else value, row.user_id)


def pack(*members: object) -> str:
    """A cursor, from what it holds."""
    return base64.urlsafe_b64encode(json.dumps(members, ensure_ascii=False).encode()).decode().rstrip("=")


def unpack(cursor: str) -> list[Any]:
    """What a cursor holds. Raises ValueError: it is none."""
    try:
        members = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (TypeError, RecursionError) as error:
        raise ValueError(cursor) from error
    if not isinstance(members, list):
        raise ValueError(cursor)
    return members


def broken() -> Invalid:
    """For a cursor that is none of ours; anew each time, for what was raised holds on to where it was."""
    return Invalid({"cursor": "is broken; start again from the first page"})


def read_cursor(name: str, cursor: str | None) -> tuple[Direction, Key | None]:
    """Where a page starts, and in which direction it goes; None: at the beginning. Raises Invalid."""
    if cursor is None:
        return "after", None
    try:
        direction, of_order, value, user_id = unpack(cursor)
    except ValueError:
        raise broken() from None
    if direction not in ("after", "before") or of_order != name:
        raise broken()
    if text_problem(value, 1000) or text_problem(user_id, 1000):
        raise broken()
    return direction, (value, user_id)


def _moment(value: str) -> str:
    """The moment in the one form that PostgreSQL takes as well as Python does. Raises Invalid: it is none."""
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    raise broken()
