"""Finding people: filters, orders, keyset pages, all of them as a stream, and how many they are.

Whatever depends on a status or on progress is asked of standings, not of people: people whose rows hold the same count
the same, there are few such standings however many people there are, and an index leads from a standing to its people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, cast, get_args

from sqlalchemy import ARRAY, BigInteger, Row, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime

from dashboard.onboarding import paging
from dashboard.onboarding.carryover import STATUSES, Status
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.paging import BROKEN, BY_NAME, Order
from dashboard.onboarding.people import Person, details
from dashboard.onboarding.progress import PERCENT, REOPENED_AT
from dashboard.onboarding.steps import text_problem

Sort = Literal["name", "active", "inactive", "furthest", "least", "newest", "oldest"]
SORTS: tuple[Sort, ...] = get_args(Sort)

ACTIVE_AT = "coalesce(u.last_activity_at, u.created_at)"
MOMENT = "CAST(:start AS text)::timestamptz"
ORDERS: dict[Sort, Order] = {
    "name": BY_NAME,
    "active": Order("active", ACTIVE_AT, MOMENT, "active_at", descending=True),
    "inactive": Order("inactive", ACTIVE_AT, MOMENT, "active_at"),
    "newest": Order("newest", "u.created_at", MOMENT, "created_at", descending=True),
    "oldest": Order("oldest", "u.created_at", MOMENT, "created_at"),
}

MOST_IDLE_DAYS = 3650
COUNTED = 10_000
"""Up to so many people are counted; more are estimated."""

FEW = 5_000
"""A search with so few matches is looked up first, whatever the order."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which people, and in which order. `status` is that of the step `step_id`; a step alone only shows its status.

    `progress` is from and to which percent, both included; `joined_from` and `joined_to` are days in UTC, both included;
    `idle_days`: no activity for so many days. None: it does not matter.
    """

    q: str = ""
    step_id: str | None = None
    status: Status | None = None
    finished: bool | None = None
    progress: tuple[int, int] | None = None
    joined_from: date | None = None
    joined_to: date | None = None
    idle_days: int | None = None
    sort: Sort = "name"

    @property
    def is_everybody(self) -> bool:
        """Whether nobody is left out."""
        return replace(self, step_id=None, sort="name") == Filter()

    @property
    def asks_standings(self) -> bool:
        """Whether anything depends on what a person's rows count as."""
        return bool(self.status or self.progress or self.finished is not None or self.sort in ("furthest", "least"))


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


# What was asked for ---------------------------------------------------------------------------------------------------

MEMBERS = ("q", "step", "status", "finished", "progress", "joined_from", "joined_to", "idle", "sort")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
BAND = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?", re.ASCII)
WHOLE = re.compile(r"\d{1,9}", re.ASCII)


def read(session: Session, values: Mapping[str, str]) -> Filter:
    """The filter that `values` spell, by the names in MEMBERS; an empty value does not matter. Raises Invalid."""
    problems = {name: "is not a filter of people" for name in values if name not in MEMBERS}
    given = {name: value.strip() for name, value in values.items() if value.strip() and name in MEMBERS}
    problems |= {name: reason for name, value in given.items() if (reason := text_problem(value, 200))}
    readable = {name: value for name, value in given.items() if name not in problems}
    found: dict[str, Any] = {}
    for name, value in readable.items():
        try:
            found |= _READ[name](value)
        except ValueError as error:
            problems[name] = str(error)
    if (step_id := found.get("step_id")) and not session.scalar(RELEASED, {"step_id": step_id}):
        problems["step"] = "is not a step that anybody has"
    if "status" in found and "step" not in given:
        problems["status"] = "needs a step"
    if not problems and (found.get("joined_from") or date.min) > (found.get("joined_to") or date.max):
        problems["joined_to"] = "is before the first day"
    if problems:
        raise Invalid(problems)
    return Filter(**found)


RELEASED = text("SELECT EXISTS (SELECT FROM steps WHERE step_id = :step_id AND current_release_id IS NOT NULL)")


def _one_of(member: str, names: Sequence[str], value: str) -> dict[str, Any]:
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return {member: value}


def _band(value: str) -> dict[str, Any]:
    found = BAND.fullmatch(value)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not least <= most <= 100:
        raise ValueError("must be a percent, or from one to another such as 40-49, up to 100")
    return {"progress": (least, most)}


def _day(member: str, value: str) -> dict[str, Any]:
    try:
        day = date.fromisoformat(value) if DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None or not 1900 <= day.year <= 9000:
        raise ValueError("is not a day that exists, such as 2026-02-28")
    return {member: day}


def _idle(value: str) -> dict[str, Any]:
    if not WHOLE.fullmatch(value) or not 1 <= int(value) <= MOST_IDLE_DAYS:
        raise ValueError(f"must be a whole number of days from 1 to {MOST_IDLE_DAYS:,}")
    return {"idle_days": int(value)}


_READ: dict[str, Callable[[str], dict[str, Any]]] = {
    "q": lambda value: {"q": value},
    "step": lambda value: {"step_id": value},
    "status": lambda value: _one_of("status", STATUSES, value),
    "finished": lambda value: {"finished": _one_of("finished", ("yes", "no"), value)["finished"] == "yes"},
    "progress": _band,
    "joined_from": lambda value: _day("joined_from", value),
    "joined_to": lambda value: _day("joined_to", value),
    "idle": _idle,
    "sort": lambda value: _one_of("sort", SORTS, value),
}


# Who they are ---------------------------------------------------------------------------------------------------------

# One or two letters are looked for where a word begins, for an index finds nothing shorter inside one; but not in
# scripts that write words of one or two letters with no space between them.
MATCHES = r"""words LIKE CASE WHEN search_words(:q) ~ '^[^\u2e80-\U0010ffff]{1,2}$' THEN '% ' ELSE '%' END
                      || regexp_replace(search_words(:q), '[\\%_]', '\\\&', 'g') || '%'"""
SEARCHED = f"u.user_id IN (SELECT user_id FROM user_search WHERE {MATCHES})"


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
TYPES = {
    "standings": ARRAY(BigInteger),
    "full": ARRAY(BigInteger),
    "joined_from": DateTime(timezone=True),
    "joined_until": DateTime(timezone=True),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter as SQL: the conditions on people `u`, their values, and the standings in the filter's order, if any."""

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


def _choose(session: Session, wanted: Filter) -> Chosen:
    """Works out the filter. Plans made for any value would be wrong for most: each search is planned as it is."""
    session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    chosen = Chosen([], {}, [])
    if wanted.step_id:
        chosen.values["step_id"] = wanted.step_id
    if wanted.q:
        chosen.where.append(SEARCHED)
        chosen.values["q"] = wanted.q
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


def _details(source: str, *, status: bool) -> str:
    """What the list tells of each person of `source`."""
    return details(source, f", {ACTIVE_AT} AS active_at, u.standing, {STATUS if status else 'NULL'} AS status")


def page(session: Session, wanted: Filter = Filter(), *, cursor: str | None = None, limit: int = 50) -> Page:
    """One page of the people who match. Raises Invalid: a broken cursor, or one of another order."""
    chosen = _choose(session, wanted)
    telling = _details("page", status=wanted.step_id is not None)
    if wanted.sort in ("furthest", "least"):
        rows, previous, following = _page_by_progress(session, wanted, chosen, telling, cursor, limit)
    else:
        rows, previous, following = paging.page(
            session,
            "SELECT u.* FROM onboarding_users u",
            chosen.where,
            chosen.values,
            ORDERS[wanted.sort],
            cursor,
            limit,
            *chosen.types,
            details=telling,
        )
    return Page([_found(row) for row in rows], previous, following)


# People of one percent are in the order of their standings, then of their ids: as the index of standings has them. The
# first part is what is left of the standing in which the page starts.
BY_PROGRESS = """
WITH page AS MATERIALIZED (
    SELECT * FROM (
        (SELECT 0::bigint AS place, u.* FROM onboarding_users u
          WHERE u.standing = :start_standing AND u.user_id {sign} :start_id {also} ORDER BY u.user_id {down} LIMIT :limit)
        UNION ALL
        ({following})
    ) u ORDER BY place, user_id {down} LIMIT :limit
)
"""
MANY_MATCH = """
SELECT g.place, u.*
  FROM unnest(:order) WITH ORDINALITY AS g(standing, place)
 CROSS JOIN LATERAL (SELECT u.* FROM onboarding_users u
                      WHERE u.standing = g.standing {also} ORDER BY u.user_id {down} LIMIT :limit) u
 ORDER BY g.place, u.user_id {down} LIMIT :limit
"""
FEW_MATCH = """
SELECT g.place, u.*
  FROM onboarding_users u JOIN unnest(:order) WITH ORDINALITY AS g(standing, place) ON g.standing = u.standing
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
    is_few = wanted.q and _estimate(session, f"SELECT FROM user_search WHERE {MATCHES}", {"q": wanted.q}) < FEW
    following = (FEW_MATCH if is_few else MANY_MATCH).format(also=also, down=down)
    statement = text(
        BY_PROGRESS.format(sign="<" if backwards else ">", also=also, down=down, following=following)
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
    order = ORDERS.get(wanted.sort)
    by = f"{order.by} {'DESC' if order.descending else ''}" if order else "array_position(:order, u.standing)"
    down = "DESC" if order and order.descending else ""
    telling = _details("onboarding_users", status=wanted.step_id is not None)
    statement = text(f"{telling} {chosen.filtered} ORDER BY {by}, u.user_id {down}").bindparams(*chosen.types)
    values = dict(chosen.values)
    if order is None:
        statement = statement.bindparams(bindparam("order", type_=ARRAY(BigInteger)))
        values["order"] = [standing for _, standing in chosen.standings]
    for row in session.execute(statement, values, execution_options={"stream_results": True, "yield_per": 1000}):
        yield _found(row)


def count(session: Session, wanted: Filter) -> Count:
    """How many match: counted where they are few, else as the planner estimates it."""
    chosen = _choose(session, replace(wanted, sort="name"))
    matching = f"SELECT FROM onboarding_users u {chosen.filtered}"
    estimate = _estimate(session, matching, chosen.values, chosen.types)
    if estimate > COUNTED:
        return Count(estimate, exact=False)
    counted = text(f"SELECT count(*) FROM ({matching} LIMIT {COUNTED + 1}) u").bindparams(*chosen.types)
    people = session.execute(counted, chosen.values).scalar_one()
    return Count(people, exact=True) if people <= COUNTED else Count(max(people, estimate), exact=False)


def ids(session: Session, wanted: Filter, limit: int) -> list[str]:
    """The ids of at most `limit` of those who match, sorted."""
    chosen = _choose(session, replace(wanted, sort="name"))
    statement = text(f"SELECT u.user_id FROM onboarding_users u {chosen.filtered} LIMIT :limit")
    return sorted(session.scalars(statement.bindparams(*chosen.types), chosen.values | {"limit": limit}))


def _estimate(session: Session, select: str, values: Mapping[str, Any], types: Sequence[Any] = ()) -> int:
    """How many rows the planner expects."""
    plan = session.execute(text(f"EXPLAIN (FORMAT JSON) {select}").bindparams(*types), values).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


def _found(row: Row[Any]) -> Found:
    members = dict(row._mapping)
    status = cast("Status | None", members.pop("status"))
    for name in ("active_at", "standing"):
        del members[name]
    return Found(Person(**members), status)
