"""Finding people: filters, orders, keyset pages, all of them as a stream, and how many they are.

Whatever depends on a status or on progress is asked of standings, not of people, where there are few of them: people of
one standing count the same, and an index leads from a standing to its people. Where standings are many each person is
looked at, with what an array's content is worth worked out once (standings.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import ARRAY, BigInteger, Integer, Row, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, TypeEngine

from dashboard.onboarding import paging, standings
from dashboard.onboarding.bounds import bounds
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.filters import Filter, Sort
from dashboard.onboarding.paging import BROKEN, BY_NAME, Order
from dashboard.onboarding.people import NEXT_STEP, Person, details
from dashboard.onboarding.progress import FINISHED, PERCENT, REOPENED_AT
from dashboard.onboarding.standings import PERCENT_OF_POINTS, POINTS

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

LOOK = 0.15
"""What it costs to work out one person's percent, in the same units."""

FEW = 60_000
"""So few matches are all looked up and then sorted; of more, enough turn up soon on a walk through an index in order."""

SOME = 5_000
WALKED = 4_000
"""Where `SOME` match a search, so many people are walked through before all who match are looked up: a tenth of the cost
of that, and a word that is common among them fills a page on the way."""


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
FIRST_WORDS = "left(s.words, 200)"
"""As the index of them has it."""
UNWALKED = "substr(s.words, 1, 200)"
"""The same, which no index has: for all who match to be looked up, and then sorted."""
SEARCHABLE = f"""(SELECT u.*, s.words, {FIRST_WORDS} AS first_words
                    FROM onboarding_users u JOIN user_search s USING (user_id))"""


def _under(status: Status) -> str:
    """Whether `u` has the step recorded with a status that still counts."""
    return f"""u.{status}_releases && ARRAY(
        SELECT id FROM step_releases WHERE step_id = :step_id AND {status}_reset_by IS NULL)"""


STATUS = f"""
    CASE WHEN {_under("done")} THEN 'done' WHEN {_under("skipped")} THEN 'skipped'
         WHEN {_under("in_progress")} THEN 'in_progress' ELSE 'todo' END
"""

WORKED: tuple[Status, ...] = ("done", "skipped", "in_progress")
COUNTS = text(
    "SELECT "
    + ", ".join(f"array_agg(id) FILTER (WHERE {status}_reset_by IS NULL) AS {status}" for status in WORKED)
    + " FROM step_releases WHERE step_id = :step_id"
)


def _has(status: Status) -> str:
    """The condition that `u` has the step in this status; by releases, from which the planner can tell how many have."""
    if status == "todo":
        return f"NOT ({' OR '.join(_has(one) for one in WORKED)})"
    return f"u.{status}_releases && :{status}"


STANDINGS = standings.EACH + " SELECT u.standing, {percent} AS percent FROM found u {where}"
BY_PERCENT = f"(SELECT u.*, {PERCENT_OF_POINTS} AS percent FROM {{source}} u {POINTS})"
SAMPLE = """(SELECT * FROM onboarding_users TABLESAMPLE SYSTEM (
    (SELECT least(100, 100 * 5000 / greatest(reltuples, 1)) FROM pg_class WHERE oid = 'onboarding_users'::regclass)))"""
BETWEEN = "u.percent BETWEEN :least AND :most"
SHARE = f"""
SELECT avg(({{conditions}})::int)::float8
  FROM {BY_PERCENT.format(source=SAMPLE)} u
"""
FINISHED_NOW = FINISHED.format(progress="u.percent")
IN_STANDINGS = "u.standing = ANY(:standings)"
AT_100 = "u.standing = ANY(:full)"
TYPES: dict[str, TypeEngine[Any]] = {
    "standings": ARRAY(BigInteger),
    "full": ARRAY(BigInteger),
    "order": ARRAY(BigInteger),
    **{status: ARRAY(Integer) for status in WORKED},
    "joined_from": DateTime(timezone=True),
    "joined_until": DateTime(timezone=True),
}


# By words alone: the people themselves are looked up for the page only.
ONLY_SEARCHED = f"(SELECT user_id, words, {FIRST_WORDS} AS first_words FROM user_search s)"
SEARCHED_PAGE = """, searched AS MATERIALIZED (
    SELECT u.*, p.first_words FROM page p JOIN onboarding_users u USING (user_id)
) """


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter as SQL: conditions on people `u` of the source, their values, and the standings in the filter's order.

    No `standings`: they are too many, and each person is looked at; where the filter `asks_percent`, theirs is worked out,
    `by_percent` are conditions on it, and `passed` one that these imply, with an index to it.
    """

    people: str
    where: list[str]
    values: dict[str, Any]
    standings: list[tuple[int, int]] | None = None
    asks_percent: bool = False
    passed: list[str] = field(default_factory=list)
    by_percent: list[str] = field(default_factory=list)
    explained: dict[str, Estimate] = field(default_factory=dict)
    """What the planner was asked already, for the page and the count ask the same."""

    @property
    def source(self) -> str:
        """What goes after FROM, as `u`."""
        return BY_PERCENT.format(source=self.people) if self.asks_percent else self.people

    @property
    def conditions(self) -> list[str]:
        """All of them."""
        return [*self.where, *self.passed, *self.by_percent]

    @property
    def types(self) -> list[Any]:
        """The bind parameters that need their types said."""
        return _types(self.values)

    @property
    def filtered(self) -> str:
        """The conditions as a WHERE."""
        return _where(self.conditions)

    @property
    def in_any_standing(self) -> list[str]:
        """The conditions but for the choice of standings."""
        return [condition for condition in self.where if condition != IN_STANDINGS]

    def of_percent(self, percent: int) -> list[str]:
        """The conditions on the people of standings that all come to this percent."""
        return [condition.replace(AT_100, str(percent == 100)) for condition in self.in_any_standing]

    @property
    def lean(self) -> Chosen:
        """The same: where it asks for words alone, of these alone."""
        only_words = not self.asks_percent and self.where == [MATCHES]
        return replace(self, people=ONLY_SEARCHED) if only_words else self

    def estimate(self, session: Session) -> Estimate:
        """How many match, as the planner expects, and what it would cost to look at all of them."""
        found = self._explain(session, self.where)
        if not self.by_percent:
            return found
        passed = self._explain(session, [*self.where, *self.passed])
        people = min(passed.people, int(found.people * self._share(session)))
        return Estimate(people, passed.cost + passed.people * LOOK, found.places)

    def _explain(self, session: Session, conditions: Sequence[str]) -> Estimate:
        query = f"SELECT FROM {self.people} u {_where(conditions)}"
        if query not in self.explained:
            explain = text(f"EXPLAIN (FORMAT JSON) {query}").bindparams(*self.types)
            self.explained[query] = _expected(session.execute(explain, self.values).scalar_one()[0]["Plan"])
        return self.explained[query]

    def _share(self, session: Session) -> float:
        """Of how many in 1 the conditions on the percent hold, of which the planner knows nothing: in a sample."""
        share = text(SHARE.format(conditions=" AND ".join(self.by_percent)))
        return session.scalar(share, self.values) or 0


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _types(values: Mapping[str, Any]) -> list[Any]:
    kinds = {name: name.partition("_of_")[0] for name in values}
    return [bindparam(name, type_=TYPES[kind]) for name, kind in kinds.items() if kind in TYPES]


class Estimate(NamedTuple):
    """What the planner expects: people, its units of cost, and in how many places of a cluster they are found."""

    people: int
    cost: float
    places: int = 1


def _expected(plan: Mapping[str, Any]) -> Estimate:
    """The rows and the cost of a plan; a cluster tells those of one of the tasks that it divides the query into."""
    if job := plan.get("Distributed Query", {}).get("Job"):
        one, places = _expected(job["Tasks"][0]["Remote Plan"][0][0]["Plan"]), job["Task Count"]
        return Estimate(one.people * places, one.cost * places, places)
    return Estimate(int(plan["Plan Rows"]), float(plan["Total Cost"]))


# Alone on the server, a page gains little from more than one process; beside others it would take theirs.
AS_IT_IS = text("""
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('max_parallel_workers_per_gather', '0', true)
""")


def _choose(session: Session, wanted: Filter) -> Chosen:
    """Works out the filter. Plans made for any value would be wrong for most: each search is planned as it is."""
    if not wanted.is_everybody:
        session.execute(AS_IT_IS)
    chosen = Chosen(SEARCHABLE if wanted.q else "onboarding_users", [], {})
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
    if not wanted.asks_standings:
        return chosen
    return (_choose_standings if standings.are_few(session) else _choose_each)(session, wanted, chosen)


def _counting(session: Session, wanted: Filter) -> dict[str, list[int]]:
    """The releases that the condition on the status names."""
    if not wanted.status:
        return {}
    row = session.execute(COUNTS, {"step_id": wanted.step_id}).one()
    return {status: getattr(row, status) or [] for status in WORKED if wanted.status in (status, "todo")}


def _choose_each(session: Session, wanted: Filter, chosen: Chosen) -> Chosen:
    if wanted.status:
        chosen.where.append(_has(wanted.status))
        chosen.values.update(_counting(session, wanted))
    if wanted.progress:
        chosen.passed.append(bounds(session).condition(*wanted.progress))
        chosen.by_percent.append(BETWEEN)
        chosen.values["least"], chosen.values["most"] = wanted.progress
    if wanted.finished is not None:
        chosen.by_percent.append(FINISHED_NOW if wanted.finished else f"NOT {FINISHED_NOW}")
    return replace(chosen, asks_percent=wanted.asks_percent)


def _choose_standings(session: Session, wanted: Filter, chosen: Chosen) -> Chosen:
    statement = text(
        STANDINGS.format(
            percent=PERCENT if wanted.asks_percent else "0",
            where=f"WHERE {_has(wanted.status)}" if wanted.status else "",
        )
    )
    releases = _counting(session, wanted)
    least, most = wanted.progress or (0, 100)
    rows = session.execute(statement.bindparams(*_types(releases)), releases)
    found = sorted(
        ((row.percent, row.standing) for row in rows if least <= row.percent <= most),
        key=lambda one: _place(wanted.sort, *one),
    )
    if wanted.status or wanted.progress:
        chosen.where.append(IN_STANDINGS)
        chosen.values["standings"] = [standing for _, standing in found]
    if wanted.finished is not None:
        # docs/model.md, rule 8, with those who still are at 100 looked up by their standing
        finished = f"(u.finished_at IS NOT NULL AND ({AT_100} OR u.finished_at > {REOPENED_AT}))"
        chosen.where.append(finished if wanted.finished else f"NOT {finished}")
        chosen.values["full"] = [standing for percent, standing in found if percent == 100]
    return replace(chosen, standings=found)


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
    if wanted.is_by_progress:
        by_progress = _page_of_each if chosen.standings is None else _page_of_standings
        rows, previous, following = by_progress(session, wanted, chosen, telling, cursor, limit)
    elif wanted.q and wanted.sort == "name":
        telling = SEARCHED_PAGE + _details("searched", wanted)
        rows, previous, following = _page_by_words(session, chosen.lean, telling, cursor, limit)
    else:
        rows, previous, following = _in_order(session, chosen, ORDERS[wanted.sort], telling, cursor, limit)
    return Page([_found(row) for row in rows], previous, following)


Rows = tuple[list[Row[Any]], str | None, str | None]
"""Those of a page, and the cursors of the previous and of the next."""


def _in_order(
    session: Session,
    chosen: Chosen,
    order: Order,
    telling: str,
    cursor: str | None,
    limit: int,
    within: int | None = None,
) -> Rows:
    return paging.page(
        session,
        f"SELECT u.* FROM {chosen.source} u",
        chosen.conditions,
        chosen.values,
        order,
        cursor,
        limit,
        *chosen.types,
        details=telling,
        within=within,
    )


def _page_by_words(session: Session, chosen: Chosen, telling: str, cursor: str | None, limit: int) -> Rows:
    """Those who are searched for may stand close together by name: a walk through all would pass all others."""
    expected = chosen.estimate(session)
    if expected.people >= FEW:
        return _in_order(session, chosen, BY_WORDS, telling, cursor, limit)
    # not on a cluster, which brings so many from each of its places
    if expected.people >= SOME and expected.places == 1 and chosen.people == ONLY_SEARCHED:
        with suppress(paging.Beyond):
            return _in_order(session, chosen, BY_WORDS, telling, cursor, limit, within=WALKED)
    unwalked = replace(chosen, people=chosen.people.replace(FIRST_WORDS, UNWALKED))
    return _in_order(session, unwalked, BY_WORDS, telling, cursor, limit)


# People of one percent are in the order of their standings, then of their ids: as the index of standings has them.
BY_PROGRESS = """
WITH page AS MATERIALIZED (SELECT * FROM ({matching}) u ORDER BY place, standing {down}, user_id {down} LIMIT :limit)
"""
OF_PERCENT = """
(SELECT {place} AS place, u.* FROM {source} u
  WHERE u.standing = ANY(:standings_of_{place}) {also} ORDER BY u.standing {down}, u.user_id {down} LIMIT :limit)
"""
FEW_MATCH = """
SELECT g.place, u.*
  FROM {source} u JOIN unnest(:order) WITH ORDINALITY AS g (standing, place) ON g.standing = u.standing
 WHERE true {also}
"""
LOOKED_INTO = 4
"""So many percents are looked into for a page at first; the next time four times as many."""

OfPercent = tuple[int, list[int]]
"""A percent, and the standings that come to it, in the order of the page."""


def _page_of_standings(
    session: Session, wanted: Filter, chosen: Chosen, telling: str, cursor: str | None, limit: int
) -> tuple[list[Row[Any]], str | None, str | None]:
    direction, start = paging.read_cursor(wanted.sort, cursor)
    down = "DESC" if direction == "before" else ""
    start_percent, start_standing = _progress_key(start[0]) if start else (None, None)
    known = chosen.standings or []
    turned = known[::-1] if down else known
    if start_percent is not None:
        starts = _place(wanted.sort, start_percent, start_standing or 0)
        turned = [
            one for one in turned if (place := _place(wanted.sort, *one)) == starts or (place < starts) == bool(down)
        ]
    ordered = [(percent, [one for _, one in group]) for percent, group in groupby(turned, key=itemgetter(0))]
    begins = f"(u.standing, u.user_id) {'<' if down else '>'} (:start_standing, :start_id)" if start else ""
    rows: list[Row[Any]] = []
    for matching in _looked_into(session, chosen, ordered, begins, down):
        statement = text(
            BY_PROGRESS.format(matching=matching.source, down=down)
            + f"{telling} ORDER BY u.place, u.standing {down}, u.user_id {down}"
        ).bindparams(*matching.types)
        some = {"start_standing": start_standing, "start_id": start and start[1], "limit": limit + 1 - len(rows)}
        rows += session.execute(statement, matching.values | some)
        if len(rows) > limit:
            break
    percents = {standing: percent for percent, standing in known}
    return paging.around(
        rows, limit, direction, start, lambda row, to: _progress_cursor(to, wanted.sort, percents[row.standing], row)
    )


OF_EACH = """
WITH page AS MATERIALIZED (
    SELECT u.*, {place} AS place FROM {source} u {filtered}
     ORDER BY place {down}, u.standing {down}, u.user_id {down} LIMIT :limit
) {telling} ORDER BY u.place {down}, u.standing {down}, u.user_id {down}
"""


def _page_of_each(
    session: Session, wanted: Filter, chosen: Chosen, telling: str, cursor: str | None, limit: int
) -> tuple[list[Row[Any]], str | None, str | None]:
    direction, start = paging.read_cursor(wanted.sort, cursor)
    down = "DESC" if direction == "before" else ""
    ascending = (wanted.sort == "least") != bool(down)
    place = PLACE[wanted.sort]
    values: dict[str, Any] = chosen.values | {"limit": limit + 1}
    least, most = wanted.progress or (0, 100)
    if start:
        percent, standing = _progress_key(start[0])
        least, most = (max(least, percent), most) if ascending else (least, min(most, percent))
        begins = f"({place}, u.standing, u.user_id) {'<' if down else '>'} (:start_place, :start_standing, :start_id)"
        chosen = replace(chosen, by_percent=[*chosen.by_percent, begins])
        values |= {"start_place": _place(wanted.sort, percent, standing)[0], "start_standing": standing}
        values["start_id"] = start[1]
    rows: list[Row[Any]] = []
    # who was searched for is looked up by the words, over again for each stage
    for stage in ["true"] if wanted.q else bounds(session).stages(least, most, ascending=ascending):
        filtered = _where([*chosen.where, *chosen.passed, *chosen.by_percent, stage])
        statement = text(
            OF_EACH.format(place=place, source=chosen.source, filtered=filtered, down=down, telling=telling)
        )
        rows = list(session.execute(statement.bindparams(*chosen.types), values))
        if len(rows) > limit:
            break
    return paging.around(
        rows, limit, direction, start, lambda row, to: _progress_cursor(to, wanted.sort, row.progress, row)
    )


PLACE = {"furthest": "-u.percent", "least": "u.percent"}


def _place(sort: Sort, percent: int, standing: int) -> tuple[int, int]:
    """What standings are ordered by."""
    return -percent if sort == "furthest" else percent, standing


def _looked_into(
    session: Session, chosen: Chosen, ordered: Sequence[OfPercent], begins: str, down: str
) -> Iterator[Chosen]:
    """Sources of those who match: where they are few one of all of them, else of some percents after the other.

    `begins` is a condition on the people of the first percent.
    """
    if chosen.in_any_standing and chosen.estimate(session)[0] < FEW:
        order = [standing for _, standings in ordered for standing in standings]
        also = [*chosen.where, *([f"(u.standing <> :start_standing OR {begins})"] if begins else [])]
        few = FEW_MATCH.format(source=chosen.source, also=_and(also))
        yield replace(chosen, people=few, values=chosen.values | {"order": order})
        return
    values = {name: value for name, value in chosen.values.items() if name not in ("standings", "full")}
    first, past = 0, LOOKED_INTO
    while first < len(ordered):
        some = dict(enumerate(ordered[first:past], first))
        parts = [
            OF_PERCENT.format(
                place=place,
                source=chosen.source,
                also=_and([*chosen.of_percent(percent), *([begins] if begins and place == 0 else [])]),
                down=down,
            )
            for place, (percent, _) in some.items()
        ]
        of_some = {f"standings_of_{place}": standings for place, (_, standings) in some.items()}
        yield replace(chosen, people=" UNION ALL ".join(parts), values=values | of_some)
        first, past = past, 5 * past


def _and(conditions: Sequence[str]) -> str:
    return " ".join(f"AND {condition}" for condition in conditions)


def _progress_cursor(to: str, sort: Sort, percent: int, row: Row[Any]) -> str:
    return paging.pack(to, sort, f"{percent} {row.standing}", row.user_id)


def _progress_key(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3}) (-?\d{1,19})", value, re.ASCII)
    if not found or not -(2**63) <= int(found[2]) < 2**63:
        raise BROKEN
    return int(found[1]), int(found[2])


# What a person's standing tells is worked out once for all who have it.
STREAMED = f"""
SELECT u.user_id, u.name, u.email, u.created_at, u.finished_at, u.last_activity_at, u.standing,
       u.finished_at > {REOPENED_AT} AS is_since
  FROM {{source}} u {{filtered}} ORDER BY {{order}}
"""
TOLD = f"""
WITH found AS MATERIALIZED ({{found}})
SELECT u.standing, now.progress,{NEXT_STEP} AS next_step, {{status}} AS status
  FROM found u CROSS JOIN LATERAL {PERCENT} AS now (progress)
"""


def stream(session: Session, wanted: Filter) -> Iterator[Found]:
    """All who match, in the filter's order, a few at a time; the transaction stays open until the last."""
    chosen = _choose(session, wanted)
    tells_each = not standings.are_few(session)
    order = BY_WORDS if wanted.q and wanted.sort == "name" else ORDERS.get(wanted.sort)
    if order:
        by = f"{order.by} {'DESC' if order.descending else ''}"
    elif tells_each:
        by = f"{PLACE[wanted.sort]}, u.standing"
    else:
        by = "array_position(:order, u.standing)"
        chosen.values["order"] = [standing for _, standing in chosen.standings or ()]
    by += f", u.user_id {'DESC' if order and order.descending else ''}"
    streamed = _details(chosen.source, wanted) + f"{chosen.filtered} ORDER BY {by}"
    if not tells_each:
        streamed = STREAMED.format(source=chosen.source, filtered=chosen.filtered, order=by)
    rows = session.execute(
        text(streamed).bindparams(*chosen.types),
        chosen.values,
        execution_options={"stream_results": True, "yield_per": 1000},
    )
    if tells_each:
        yield from map(_found, rows)
        return
    told = _told(session, wanted)
    for row in rows:
        members = dict(row._mapping)
        standing, is_since = members.pop("standing"), members.pop("is_since")
        # who moved on meanwhile may have been the last to stand so; who was erased meanwhile is left out
        of_standing = told.get(standing) or next(iter(_told(session, wanted, row.user_id).values()), None)
        if of_standing:
            progress, next_step, status = of_standing
            is_finished = row.finished_at is not None and (progress == 100 or is_since)
            yield Found(Person(**members, progress=progress, finished=is_finished, next_step=next_step), status)


def _told(
    session: Session, wanted: Filter, user_id: str | None = None
) -> dict[int, tuple[int, str | None, Status | None]]:
    """What each standing there is, or that of one person, tells: progress, the next step, the status asked for."""
    found = "SELECT * FROM onboarding_users WHERE user_id = :user_id" if user_id else "SELECT * FROM standings"
    told = text(TOLD.format(found=found, status=STATUS if wanted.step_id else "NULL"))
    rows = session.execute(told, {"user_id": user_id, "step_id": wanted.step_id})
    return {row.standing: (row.progress, row.next_step, row.status) for row in rows}


def count(session: Session, wanted: Filter) -> Count:
    """How many match: counted where they are few and soon found, else as the planner estimates it."""
    return _count(session, _choose(session, replace(wanted, sort="name")))


def _count(session: Session, chosen: Chosen) -> Count:
    chosen = chosen.lean
    estimate, cost, _ = chosen.estimate(session)
    if estimate > COUNTED or cost > CHEAP:
        return Count(estimate, exact=False)
    counted = text(
        f"SELECT count(*) FROM (SELECT u.user_id FROM {chosen.source} u {chosen.filtered} LIMIT {COUNTED + 1}) u"
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
