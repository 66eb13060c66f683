"""Finding people: filters, orders, keyset pages, all of them as a stream, and how many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding import by_progress, paging, standings
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.choosing import (
    ACTIVE_AT,
    BEGINS,
    FEW,
    MATCHES_ON_A_WALK,
    ONLY_ORDERED,
    ONLY_SEARCHED,
    STATUS,
    Chosen,
    choose,
)
from dashboard.onboarding.filters import Filter, Sort
from dashboard.onboarding.paging import BY_NAME, Listing, Order, Rows, Start
from dashboard.onboarding.people import NEXT_STEP, Person, details
from dashboard.onboarding.scoring import PERCENT, REMEMBERED, finished_of
from dashboard.onboarding.sql import FEW_AT_A_TIME
from dashboard.onboarding.standings import IN_STANDINGS

MOMENT = "CAST(:start AS text)::timestamptz"
EVERYBODY = Filter()
ORDERS: dict[Sort, Order] = {
    "name": BY_NAME,
    "active": Order("active", ACTIVE_AT, MOMENT, "active_at", descending=True),
    "inactive": Order("inactive", ACTIVE_AT, MOMENT, "active_at"),
    "newest": Order("newest", "u.created_at", MOMENT, "created_at", descending=True),
    "oldest": Order("oldest", "u.created_at", MOMENT, "created_at"),
}
BY_WORDS = Order("words", "u.first_words", ":start", "first_words")
"""By name too, of those who were searched for: the words that a person is found by begin with the name."""
PARTS = {"begins": BEGINS, "others": f"NOT {BEGINS}"}
"""In this order: whoever's name begins with what is searched for is most likely meant."""

MOST_COUNTED = 10_000
"""Up to so many people are counted; more are estimated."""

UNKNOWN = 400
"""So many people, or fewer, the planner expects in a place of a cluster of which it was told nothing: where there is hardly
anybody yet, that would be more than are counted."""

CHEAP = 25_000
"""What counting may cost at most, in the planner's units: some 50 ms. Where it would cost more it is not done."""

SOME = 5_000
WALKED = 60_000
GLANCED = 4_000
"""Where `SOME` match a search, so many people are passed in order before all who match are looked up: that takes no look
at the people themselves, and most words fill a page on the way. Where fewer are expected a glance is worth its one or two
ms, for how many have a part of a word is hard to estimate."""


LOOKED_AT = 20_000
"""Where each person is looked at, so many are in the order of a page before it is asked of all people and then sorted: a
tenth of the cost of that. The planner knows nothing of a release under which nobody is recorded, and would walk past all."""


@dataclass(frozen=True, slots=True)
class Found:
    """A person on the list; `status` is that of the step that was asked for."""

    person: Person
    status: Status | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many people there are; an estimate where it is not `exact`."""

    people: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One page of people, and how many there are in all. `previous` and `next` are opaque cursors, None at either end."""

    people: Sequence[Found]
    previous: str | None
    next: str | None
    count: Count


PART = f"CASE WHEN {BEGINS} THEN 'begins' ELSE 'others' END"


def _details(source: str, wanted: Filter) -> str:
    """What the list shows of each person of `source`."""
    more = f", {ACTIVE_AT} AS active_at, u.standing, {STATUS if wanted.step_id else 'NULL'} AS status"
    return details(source, more + (f", u.first_words, {PART} AS part" if wanted.q else ""))


def page(session: Session, wanted: Filter = EVERYBODY, *, cursor: str | None = None, limit: int = 50) -> Page:
    """Up to `limit` of the people who match, in the filter's order. Raises Invalid: a broken cursor, or one of another order."""
    chosen = choose(session, wanted)
    rows, previous, following = _rows(session, wanted, chosen, cursor, limit)
    counted = _count(session, chosen)
    return Page(
        [_found(row) for row in rows], previous, following, replace(counted, people=max(counted.people, len(rows)))
    )


SEARCHED_PAGE = """, searched AS MATERIALIZED (
    SELECT u.*, p.first_words FROM page p JOIN onboarding_users u USING (user_id)
) """


def _rows(session: Session, wanted: Filter, chosen: Chosen, cursor: str | None, limit: int) -> Rows:
    telling = _details("page", wanted)
    if wanted.is_by_progress:
        return by_progress.page(session, wanted, chosen, telling, cursor, limit)
    if wanted.q and wanted.sort == "name":
        telling = SEARCHED_PAGE + _details("searched", wanted)
        return _page_by_words(session, chosen.lean, telling, cursor, limit)
    listing, order = _listing(chosen, telling), ORDERS[wanted.sort]
    if wanted.status and chosen.standings is None and not wanted.q:
        # of one status they are mostly many, and the first of the order are soon found; or hardly anybody is of it
        with suppress(paging.Beyond):
            return paging.page_within(session, listing, order, cursor, limit, LOOKED_AT)
        order = order.unwalked
    return paging.page(session, listing, order, cursor, limit)


def _listing(chosen: Chosen, telling: str) -> Listing:
    return Listing(f"{chosen.source} u", chosen.conditions, chosen.values, chosen.types, telling)


def _page_by_words(session: Session, chosen: Chosen, telling: str, cursor: str | None, limit: int) -> Rows:
    direction, key = paging.read_cursor(BY_WORDS.name, cursor)
    parts, starts = list(PARTS) if direction == "after" else list(reversed(PARTS)), dict[str, paging.Key]()
    if key:
        part, _, words = key[0].partition(" ")
        if part not in PARTS:
            raise paging.broken()
        parts, starts[part] = parts[parts.index(part) :], (words, key[1])
    listing, found = _listing(chosen, telling), list[Row[Any]]()
    for part in parts:
        of_part = replace(listing, where=[*listing.where, PARTS[part]])
        start = direction, starts.get(part)
        if part == "begins":
            found += paging.rows(session, of_part, BY_WORDS, start, limit + 1 - len(found))
        else:
            found += _others(session, chosen, of_part, start, limit + 1 - len(found))
        if len(found) > limit:
            break
    return paging.around(
        found,
        limit,
        (direction, key),
        lambda row, to: paging.pack(to, BY_WORDS.name, f"{row.part} {row.first_words}", row.user_id),
    )


def _others(session: Session, chosen: Chosen, listing: Listing, start: Start, limit: int) -> list[Row[Any]]:
    """Those who are searched for may stand close together by name: a walk through all would pass all others."""
    expected = chosen.estimate(session)
    # not on a cluster, which brings so many from each of its places
    if expected.places == 1 and chosen.people == ONLY_SEARCHED:
        passed = replace(listing, source=f"{ONLY_ORDERED} u", where=[MATCHES_ON_A_WALK, PARTS["others"]])
        within = WALKED if expected.people >= SOME else GLANCED
        with suppress(paging.Beyond):
            return paging.rows_within(session, passed, BY_WORDS, start, limit, within)
    order = BY_WORDS if expected.people >= FEW else BY_WORDS.unwalked
    return paging.rows(session, listing, order, start, limit)


# What follows from a standing is worked out once for all who have it.
STREAMED = f"""
SELECT u.user_id, u.name, u.email, u.created_at, u.finished_at, u.last_activity_at, u.standing,
       {REMEMBERED} AS is_since
  FROM {{source}} u {{ranked}} {{filtered}} ORDER BY {{order}}
"""
RANKED = "LEFT JOIN unnest(:order) WITH ORDINALITY AS g (standing, place) ON g.standing = u.standing"
TOLD_OF_STANDINGS = f"""
WITH found AS MATERIALIZED ({{found}})
SELECT u.standing, now.progress,{NEXT_STEP} AS next_step, {{status}} AS status
  FROM found u CROSS JOIN LATERAL {PERCENT} AS now (progress)
"""


def stream(session: Session, wanted: Filter) -> Iterator[Found]:
    """All who match, in the filter's order, a few at a time; the transaction stays open until the last."""
    chosen = choose(session, wanted)
    # decided once: what the filter was made for is what is streamed
    by_standing = chosen.standings is not None if wanted.asks_standings else standings.are_few(session)
    return (_stream_by_standing if by_standing else _stream_each)(session, wanted, chosen)


def _stream_each(session: Session, wanted: Filter, chosen: Chosen) -> Iterator[Found]:
    by = _streamed_by(wanted) or f"{by_progress.PLACE[wanted.sort]}, u.standing, u.user_id"
    statement = f"{_details(chosen.source, wanted)} {chosen.filtered} ORDER BY {by}"
    return map(_found, _streamed(session, chosen, statement))


def _stream_by_standing(session: Session, wanted: Filter, chosen: Chosen) -> Iterator[Found]:
    by, ranked = _streamed_by(wanted), ""
    if by is None:
        by, ranked = "g.place, u.user_id", RANKED
        chosen.values["order"] = [standing for _, standing in chosen.standings or ()]
    statement = STREAMED.format(source=chosen.source, ranked=ranked, filtered=chosen.filtered, order=by)
    rows, told = _streamed(session, chosen, statement), _told(session, wanted)
    for row in rows:
        members = dict(row._mapping)
        standing, is_since = members.pop("standing"), members.pop("is_since")
        # who moved on meanwhile may have been the last to stand so; who was erased meanwhile is left out
        of_standing = told.get(standing) or next(iter(_told(session, wanted, row.user_id).values()), None)
        if of_standing:
            progress, next_step, status = of_standing
            is_finished = finished_of(progress, row.finished_at is not None, bool(is_since))
            yield Found(Person(**members, progress=progress, finished=is_finished, next_step=next_step), status)


def _streamed_by(wanted: Filter) -> str | None:
    """What all who match are ordered by; None: by progress."""
    if wanted.q and wanted.sort == "name":
        return f"{PARTS['others']}, {BY_WORDS.by}, u.user_id"
    if wanted.is_by_progress:
        return None
    order = ORDERS[wanted.sort]
    down = "DESC" if order.descending else ""
    return f"{order.by} {down}, u.user_id {down}"


def _streamed(session: Session, chosen: Chosen, statement: str) -> Iterable[Row[Any]]:
    return session.execute(text(statement).bindparams(*chosen.types), chosen.values, execution_options=FEW_AT_A_TIME)


def _told(
    session: Session, wanted: Filter, user_id: str | None = None
) -> dict[int, tuple[int, str | None, Status | None]]:
    """What follows from each standing, or from that of one person: progress, the next step, the status asked for."""
    found = "SELECT * FROM onboarding_users WHERE user_id = :user_id" if user_id else "SELECT * FROM standings"
    told = text(TOLD_OF_STANDINGS.format(found=found, status=STATUS if wanted.step_id else "NULL"))
    rows = session.execute(told, {"user_id": user_id, "step_id": wanted.step_id})
    return {row.standing: (row.progress, row.next_step, row.status) for row in rows}


def _count(session: Session, chosen: Chosen) -> Count:
    """How many match: counted where they are few and soon found, else as the planner estimates it."""
    chosen = chosen.lean
    estimate, cost, places = chosen.estimate(session)
    # of standings that hardly anybody has, beside a few that most have, the planner expects many times too many people
    if chosen.where != [IN_STANDINGS] and (estimate > max(MOST_COUNTED, places * UNKNOWN) or cost > CHEAP):
        return Count(estimate, exact=False)
    counted = text(
        f"SELECT count(*) FROM (SELECT u.user_id FROM {chosen.source} u {chosen.filtered} LIMIT {MOST_COUNTED + 1}) u"
    ).bindparams(*chosen.types)
    people = session.execute(counted, chosen.values).scalar_one()
    return Count(people, exact=True) if people <= MOST_COUNTED else Count(max(people, estimate), exact=False)


def ids(session: Session, wanted: Filter, limit: int) -> list[str]:
    """The ids of at most `limit` of those who match, sorted."""
    chosen = choose(session, replace(wanted, sort="name"))
    statement = text(f"SELECT u.user_id FROM {chosen.source} u {chosen.filtered} LIMIT :limit")
    return sorted(session.scalars(statement.bindparams(*chosen.types), chosen.values | {"limit": limit}))


def _found(row: Row[Any]) -> Found:
    members = dict(row._mapping)
    status = cast("Status | None", members.pop("status"))
    for name in ("active_at", "standing", "first_words", "part"):
        members.pop(name, None)
    return Found(Person(**members), status)
