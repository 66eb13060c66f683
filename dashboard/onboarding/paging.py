"""Keyset pages of people: page 1,000 costs what page 1 does. A cursor is opaque to whoever holds it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from sqlalchemy import BindParameter, Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.limits import moment_from, text_problem
from dashboard.onboarding.sql import filtered

Found = TypeVar("Found")
Direction = Literal["after", "before"]
Key = tuple[str, str]
"""What a page goes on from: the value that people are ordered by, and the id, which decides between people of one value."""


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


Start = tuple[Direction, Key | None]
"""Whether a page goes on after or before a key; without one it begins at that end of the list."""

Rows = tuple[list[Row[Any]], str | None, str | None]
"""Those of a page, and the cursors of the previous and of the next."""


class Beyond(Exception):
    """A page would need more people than were to be looked at."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of people as SQL: those `u` of `source` (what goes after FROM) of whom the conditions `where` hold.

    `values` are bound, those of `types` with their types, where PostgreSQL can't infer them. `details` is a SELECT of
    what is shown of the people of one `page`.
    """

    source: str
    where: Sequence[str]
    values: Mapping[str, Any]
    types: Sequence[BindParameter[Any]]
    details: str


class _Turn:
    """An order from where a page starts, in its direction. Raises Invalid: it starts at what is no moment."""

    def __init__(self, order: Order, start: Start) -> None:
        self.order = order
        direction, key = start
        self.down = order.descending != (direction == "before")
        self.where: list[str] = []
        self.values: dict[str, str] = {}
        if key is not None:
            value, user_id = key
            self.where = [f"({order.by}, u.user_id) {'<' if self.down else '>'} ({order.start}, :start_id)"]
            self.values = {"start": _moment(value) if order.is_of_time else value, "start_id": user_id}

    def ordered(self, by: str = "") -> str:
        """The ORDER BY, `by` what holds the same as the order is by."""
        down = "DESC" if self.down else ""
        return f"ORDER BY {by or self.order.by} {down}, u.user_id {down}"

    def rows(self, session: Session, listing: Listing, matching: str, **numbers: int) -> list[Row[Any]]:
        """The details of the first people of the statement `matching`."""
        statement = text(f"WITH page AS MATERIALIZED ({matching} LIMIT :limit) {listing.details} {self.ordered()}")
        return list(session.execute(statement.bindparams(*listing.types), {**listing.values, **self.values, **numbers}))


def page(session: Session, listing: Listing, order: Order, cursor: str | None, limit: int) -> Rows:
    """Up to `limit` people of the list, with the cursors of the previous and the next page.

    Raises Invalid: a broken cursor, or one of another order.
    """
    start = read_cursor(order.name, cursor)
    return _around_in(order, rows(session, listing, order, start, limit + 1), limit, start)


def page_within(session: Session, listing: Listing, order: Order, cursor: str | None, limit: int, within: int) -> Rows:
    """The same, of the first `within` people of the source. Raises Invalid as `page` does, and Beyond as `rows_within`."""
    start = read_cursor(order.name, cursor)
    return _around_in(order, rows_within(session, listing, order, start, limit + 1, within), limit, start)


def rows(session: Session, listing: Listing, order: Order, start: Start, limit: int) -> list[Row[Any]]:
    """The first `limit` people of the list from that start on, in its direction. Raises Invalid as `page` does."""
    turn = _Turn(order, start)
    matching = f"SELECT u.* FROM {listing.source} {filtered([*turn.where, *listing.where])} {turn.ordered()}"
    return turn.rows(session, listing, matching, limit=limit)


def rows_within(
    session: Session, listing: Listing, order: Order, start: Start, limit: int, within: int
) -> list[Row[Any]]:
    """The same, where the first `within` people of the source, in the order, are looked at and no others.

    Raises Invalid as `page` does, and Beyond: there are not `limit` among them.
    """
    turn = _Turn(order, start)
    # what they are ordered by goes along, so that nobody sorts them again
    walked = (
        f"SELECT u.*, {order.by} AS place FROM {listing.source} {filtered(turn.where)} {turn.ordered()} LIMIT :within"
    )
    matching = f"SELECT u.* FROM ({walked}) u {filtered(listing.where)} {turn.ordered('u.place')}"
    found = turn.rows(session, listing, matching, limit=limit, within=within)
    if len(found) < limit:
        raise Beyond
    return found


def _around_in(order: Order, found: list[Row[Any]], limit: int, start: Start) -> Rows:
    """`around` for a page of one order."""
    return around(found, limit, start, lambda row, to: write_cursor(to, order, row))


def around(
    found: list[Found], limit: int, start: tuple[Direction, object], cursor: Callable[[Found, Direction], str]
) -> tuple[list[Found], str | None, str | None]:
    """What a page shows, in its order, of the `limit` + 1 found in its direction, and the cursors around it.

    `start` is as in `Start`, whatever its key is.
    """
    direction, key = start
    more, shown = len(found) > limit, found[:limit]
    if direction == "before":
        shown.reverse()
    has_previous = key is not None if direction == "after" else more
    has_next = more if direction == "after" else True
    return (
        shown,
        cursor(shown[0], "before") if shown and has_previous else None,
        cursor(shown[-1], "after") if shown and has_next else None,
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


def read_cursor(name: str, cursor: str | None) -> Start:
    """In which direction the page of this order goes, and from where; None: from the beginning. Raises Invalid."""
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
    if (moment := moment_from(value)) is None:
        raise broken()
    return moment.isoformat()
