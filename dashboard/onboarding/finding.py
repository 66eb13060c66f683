"""Finding people: filters, orders, keyset pages, all of them as a stream, and how many they are.

Whatever depends on a status or on progress is asked of standings, not of people: people whose rows hold the same count
the same, there are few such standings however many people there are, and an index leads from a standing to its people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast

from sqlalchemy import ARRAY, BigInteger, Row, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, TypeEngine

from dashboard.onboarding import paging
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.filters import Filter, Sort
from dashboard.onboarding.paging import BROKEN, BY_NAME, Order
from dashboard.onboarding.people import Person, details
from dashboard.onboarding.progress import PERCENT, REOPENED_AT

ACTIVE_AT = "coalesce(u.last_activity_at, u.created_at)"
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

COUNTED = 10_000
"""Up to so many people are counted; more are estimated."""

CHEAP = 25_000
"""What counting may cost at most, in the planner's units: some 50 ms. Where it would cost more it is not done."""

FEW = 60_000
"""So few matches are all looked up and then sorted; of more, enough turn up soon on a walk through an index in order."""


@dataclass(frozen=True, slots=True)
class Found:
    """A person on the list; `status` is that of the step that was asked for."""

    person: Person
    status: Status | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of people. `previous` and `next` are opaque cursors, None at either end."""

    people: Sequence[Found]
    previous: str | None
    next: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many people there are; an estimate where it is not `exact`."""

    people: int
    exact: bool


# Who they are ---------------------------------------------------------------------------------------------------------

# One or two letters are looked for where a word begins, for an index finds nothing shorter inside one; but not in
# scripts that write words of one or two letters with no space between them. It is asked for by itself, for in a condition
# it would be worked out anew for each row that the index finds.
PATTERN = text(r"""
SELECT CASE WHEN words ~ '^[^\u2e80-\U0010ffff]{1,2}$' THEN '% ' ELSE '%' END
       || regexp_replace(words, '[\\%_]', '\\\&', 'g') || '%'
  FROM search_words(:q) AS words
""")
MATCHES = "u.words LIKE :pattern"
SEARCHABLE = """(SELECT u.*, s.words, left(s.words, 200) AS first_words
                    FROM onboarding_users u JOIN user_search s USING (user_id))"""


def _under(status: Status) -> str:
    """Whether `u` has the step recorded with a status that still counts."""
    return f"""u.{status}_releases && ARRAY(
        SELECT id FROM step_releases WHERE step_id = :step_id AND {status}_reset_by IS NULL)"""


STATUS = f"""
    CASE WHEN {_under("done")} THEN 'done' WHEN {_under("skipped")} THEN 'skipped'
         WHEN {_under("in_progress")} THEN 'in_progress' ELSE 'todo' END
"""

# From each standing to the next by the index: as many steps as there are standings, not people.
STANDINGS = """
WITH RECURSIVE standings AS (
    (SELECT standing, done_releases, skipped_releases, in_progress_releases
       FROM onboarding_users ORDER BY standing LIMIT 1)
    UNION ALL
    SELECT following.*
      FROM standings s
     CROSS JOIN LATERAL (SELECT standing, done_releases, skipped_releases, in_progress_releases
                           FROM onboarding_users o WHERE o.standing > s.standing ORDER BY o.standing LIMIT 1) following
)
SELECT u.standing, u.percent
  FROM (SELECT u.*, {percent} AS percent FROM standings u {where}) u
"""
TYPES: dict[str, TypeEngine[Any]] = {
    "standings": ARRAY(BigInteger),
    "full": ARRAY(BigInteger),
    "joined_from": DateTime(timezone=True),
    "joined_until": DateTime(timezone=True),
}


# By words alone: the people themselves are looked up for the page only.
ONLY_SEARCHED = "(SELECT user_id, words, left(words, 200) AS first_words FROM user_search)"
SEARCHED_PAGE = "(SELECT u.*, p.first_words FROM page p JOIN onboarding_users u USING (user_id))"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter as SQL: conditions on people `u` of the source, their values, and the standings in the filter's order."""

    source: str
    where: list[str]
    values: dict[str, Any]
    standings: list[tuple[int, int]]

    @property
    def types(self) -> list[Any]:
        """The bind parameters that need their types said."""
        return [bindparam(name, type_=TYPES[name]) for name in self.values if name in TYPES]

    @property
    def filtered(self) -> str:
        """The conditions as a WHERE."""
        return f"WHERE {' AND '.join(self.where)}" if self.where else ""

    def estimate(self, session: Session) -> tuple[int, float]:
        """How many match, as the planner expects, and what it would cost to look at all of them."""
        explain = text(f"EXPLAIN (FORMAT JSON) SELECT FROM {self.source} u {self.filtered}").bindparams(*self.types)
        plan = session.execute(explain, self.values).scalar_one()[0]["Plan"]
        return int(plan["Plan Rows"]), float(plan["Total Cost"])


def _choose(session: Session, wanted: Filter) -> Chosen:
    """Works out the filter. Plans made for any value would be wrong for most: each search is planned as it is."""
    if not wanted.is_everybody:
        session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    chosen = Chosen(SEARCHABLE if wanted.q else "onboarding_users", [], {}, [])
    if wanted.step_id:
        chosen.values["step_id"] = wanted.step_id
    if wanted.q:
        chosen.where.append(MATCHES)
        chosen.values["pattern"] = session.execute(PATTERN, {"q": wanted.q}).scalar_one()
    if wanted.idle_days:
        chosen.where.append(f"{ACTIVE_AT} < now() - make_interval(days => :idle_days)")
        chosen.values["idle_days"] = wanted.idle_days
    for member, day, sign in (
        ("joined_from", wanted.joined_from, ">="),
        ("joined_until", wanted.joined_to and wanted.joined_to + timedelta(days=1), "<"),
    ):
        if day:
            chosen.where.append(f"u.created_at {sign} :{member}")
            chosen.values[member] = datetime.combine(day, time(), UTC)
    if wanted.asks_standings:
        _choose_standings(session, wanted, chosen)
    return chosen


def _choose_standings(session: Session, wanted: Filter, chosen: Chosen) -> None:
    needs_percent = wanted.progress or wanted.finished is not None or wanted.sort in ("furthest", "least")
    statement = STANDINGS.format(
        percent=PERCENT if needs_percent else "0", where=f"WHERE {STATUS} = :status" if wanted.status else ""
    )
    values = {"step_id": wanted.step_id, "status": wanted.status} if wanted.status else {}
    least, most = wanted.progress or (0, 100)
    found = [(row.percent, row.standing) for row in session.execute(text(statement), values)]
    chosen.standings.extend(
        sorted((one for one in found if least <= one[0] <= most), reverse=wanted.sort == "furthest")
    )
    if wanted.status or wanted.progress:
        chosen.where.append("u.standing = ANY(:standings)")
        chosen.values["standings"] = [standing for _, standing in chosen.standings]
    if wanted.finished is not None:
        # docs/model.md, rule 8, with those who still are at 100 looked up by their standing
        finished = f"(u.finished_at IS NOT NULL AND (u.standing = ANY(:full) OR u.finished_at > {REOPENED_AT}))"
        chosen.where.append(finished if wanted.finished else f"NOT {finished}")
        chosen.values["full"] = [standing for percent, standing in chosen.standings if percent == 100]


# Pages, streams and counts --------------------------------------------------------------------------------------------


def _details(source: str, wanted: Filter) -> str:
    """What the list tells of each person of `source`."""
    more = f", {ACTIVE_AT} AS active_at, u.standing, {STATUS if wanted.step_id else 'NULL'} AS status"
    return details(source, more + (", u.first_words" if wanted.q else ""))


def page(session: Session, wanted: Filter = EVERYBODY, *, cursor: str | None = None, limit: int = 50) -> Page:
    """One page of the people who match. Raises Invalid: a broken cursor, or one of another order."""
    return _page(session, wanted, _choose(session, wanted), cursor, limit)


def page_and_count(
    session: Session, wanted: Filter, *, cursor: str | None = None, limit: int = 50
) -> tuple[Page, Count]:
    """One page, and how many match in all, with the filter worked out once. Raises as `page` does."""
    chosen = _choose(session, wanted)
    return _page(session, wanted, chosen, cursor, limit), _count(session, chosen)


def _page(session: Session, wanted: Filter, chosen: Chosen, cursor: str | None, limit: int) -> Page:
    telling = _details("page", wanted)
    if wanted.q and wanted.sort == "name":
        telling = _details(SEARCHED_PAGE, wanted)
        if chosen.where == [MATCHES]:
            chosen = replace(chosen, source=ONLY_SEARCHED)
    if wanted.sort in ("furthest", "least"):
        rows, previous, following = _page_by_progress(session, wanted, chosen, telling, cursor, limit)
    else:
        rows, previous, following = paging.page(
            session,
            f"SELECT u.* FROM {chosen.source} u",
            chosen.where,
            chosen.values,
            _order(session, wanted, chosen),
            cursor,
            limit,
            *chosen.types,
            details=telling,
        )
    return Page([_found(row) for row in rows], previous, following)


def _order(session: Session, wanted: Filter, chosen: Chosen) -> Order:
    """How the list is ordered. Those who are searched for stand close together by name: a walk could pass all others."""
    if not wanted.q or wanted.sort != "name":
        return ORDERS[wanted.sort]
    return replace(BY_WORDS, by=f"{BY_WORDS.by} || ''") if chosen.estimate(session)[0] < FEW else BY_WORDS


# People of one percent are in the order of their standings, then of their ids: as the index of standings has them. The
# first part is what is left of the standing in which the page starts.
BY_PROGRESS = """
WITH page AS MATERIALIZED (
    SELECT * FROM (
        (SELECT 0::bigint AS place, u.* FROM {source} u
          WHERE u.standing = :start_standing AND u.user_id {sign} :start_id {also} ORDER BY u.user_id {down} LIMIT :limit)
        UNION ALL
        ({following})
    ) u ORDER BY place, user_id {down} LIMIT :limit
)
"""
MANY_MATCH = """
SELECT g.place, u.*
  FROM unnest(:order) WITH ORDINALITY AS g(standing, place)
 CROSS JOIN LATERAL (SELECT u.* FROM {source} u
                      WHERE u.standing = g.standing {also} ORDER BY u.user_id {down} LIMIT :limit) u
 ORDER BY g.place, u.user_id {down} LIMIT :limit
"""
FEW_MATCH = """
SELECT g.place, u.*
  FROM {source} u JOIN unnest(:order) WITH ORDINALITY AS g(standing, place) ON g.standing = u.standing
 WHERE true {also} ORDER BY g.place, u.user_id {down} LIMIT :limit
"""


def _page_by_progress(
    session: Session, wanted: Filter, chosen: Chosen, telling: str, cursor: str | None, limit: int
) -> tuple[list[Row[Any]], str | None, str | None]:
    direction, start = paging.read_cursor(wanted.sort, cursor)
    backwards = direction == "before"
    standings = chosen.standings[::-1] if backwards else chosen.standings
    start_standing = None
    if start is not None:
        key = _progress_key(start[0])
        start_standing = key[1]
        is_later = (wanted.sort == "furthest") == backwards
        standings = [one for one in standings if (one > key if is_later else one < key)]
    also = " ".join(f"AND {condition}" for condition in chosen.where)
    down = "DESC" if backwards else ""
    following = MANY_MATCH if not chosen.where or chosen.estimate(session)[0] >= FEW else FEW_MATCH
    parts = {"source": chosen.source, "also": also, "down": down}
    statement = text(
        BY_PROGRESS.format(sign="<" if backwards else ">", following=following.format(**parts), **parts)
        + telling
        + f" ORDER BY u.place, u.user_id {down}"
    ).bindparams(
        bindparam("order", type_=ARRAY(BigInteger)), bindparam("start_standing", type_=BigInteger()), *chosen.types
    )
    values = chosen.values | {
        "order": [standing for _, standing in standings],
        "start_standing": start_standing,
        "start_id": start[1] if start else "",
        "limit": limit + 1,
    }
    percents = {standing: percent for percent, standing in chosen.standings}
    return paging.around(
        list(session.execute(statement, values)),
        limit,
        direction,
        start,
        lambda row, to: paging.pack(to, wanted.sort, f"{percents[row.standing]} {row.standing}", row.user_id),
    )


def _progress_key(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3}) (-?\d{1,19})", value, re.ASCII)
    if not found or not -(2**63) <= int(found[2]) < 2**63:
        raise BROKEN
    return int(found[1]), int(found[2])


def stream(session: Session, wanted: Filter) -> Iterator[Found]:
    """All who match, in the filter's order, a few at a time; the transaction stays open until the last."""
    chosen = _choose(session, wanted)
    order = BY_WORDS if wanted.q and wanted.sort == "name" else ORDERS.get(wanted.sort)
    by = f"{order.by} {'DESC' if order.descending else ''}" if order else "array_position(:order, u.standing)"
    down = "DESC" if order and order.descending else ""
    telling = _details(chosen.source, wanted)
    statement = text(f"{telling} {chosen.filtered} ORDER BY {by}, u.user_id {down}").bindparams(*chosen.types)
    values = dict(chosen.values)
    if order is None:
        statement = statement.bindparams(bindparam("order", type_=ARRAY(BigInteger)))
        values["order"] = [standing for _, standing in chosen.standings]
    for row in session.execute(statement, values, execution_options={"stream_results": True, "yield_per": 1000}):
        yield _found(row)


def count(session: Session, wanted: Filter) -> Count:
    """How many match: counted where they are few and soon found, else as the planner estimates it."""
    return _count(session, _choose(session, replace(wanted, sort="name")))


def _count(session: Session, chosen: Chosen) -> Count:
    estimate, cost = chosen.estimate(session)
    if estimate > COUNTED or cost > CHEAP:
        return Count(estimate, exact=False)
    counted = text(
        f"SELECT count(*) FROM (SELECT FROM {chosen.source} u {chosen.filtered} LIMIT {COUNTED + 1}) u"
    ).bindparams(*chosen.types)
    people = session.execute(counted, chosen.values).scalar_one()
    return Count(people, exact=True) if people <= COUNTED else Count(max(people, estimate), exact=False)


def ids(session: Session, wanted: Filter, limit: int) -> list[str]:
    """The ids of at most `limit` of those who match, sorted."""
    chosen = _choose(session, replace(wanted, sort="name"))
    statement = text(f"SELECT u.user_id FROM {chosen.source} u {chosen.filtered} LIMIT :limit")
    return sorted(session.scalars(statement.bindparams(*chosen.types), chosen.values | {"limit": limit}))


def _found(row: Row[Any]) -> Found:
    members = dict(row._mapping)
    status = cast("Status | None", members.pop("status"))
    for name in ("active_at", "standing", "first_words"):
        members.pop(name, None)
    return Found(Person(**members), status)
