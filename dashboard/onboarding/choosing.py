"""A filter as SQL: conditions on people, and the standings or the percent that these depend on.

Whatever depends on a status or on progress is asked of standings, not of people, where there are few of them: people of
one standing count the same, and an index leads from a standing to its people. Where standings are many each person is
looked at, with what an array's content is worth worked out once (standings.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, BindParameter, Integer, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, TypeEngine

from dashboard.onboarding import standings
from dashboard.onboarding.bounds import bounds
from dashboard.onboarding.carryover import WORKED, Status
from dashboard.onboarding.filters import Filter, Sort
from dashboard.onboarding.scoring import FINISHED, PERCENT
from dashboard.onboarding.sql import filtered
from dashboard.onboarding.standings import IN_STANDINGS, PERCENT_OF_POINTS, POINTS_OF_ARRAYS

ACTIVE_AT = "coalesce(last_activity_at, created_at)"

LOOK = 0.15
"""What it costs to work out one person's percent, in the planner's units."""

FEW = 60_000
"""So few matches are all looked up and then sorted; of more, enough turn up soon on a walk through an index in order."""


# One or two letters are looked for where a word begins, for an index finds nothing shorter inside one; but not in
# scripts that write words of one or two letters with no space between them. It is asked for by itself, for in a condition
# it would be worked out anew for each row that the index finds. Accents alone are not taken away: else nothing is left, which
# everybody has.
PATTERN = text(r"""
SELECT CASE WHEN words ~ '^[^\u2e80-\U0010ffff]{1,2}$' THEN '% ' ELSE '%' END
       || regexp_replace(words, '[\\%_]', '\\\&', 'g') || '%' AS pattern, words
  FROM coalesce(nullif(search_words(:q), ''), :q) AS words
""")
MATCHES = "u.words LIKE :pattern"
FIRST_WORDS = 200
"""So many characters of what people are found by are in the index that they are ordered by."""
MATCHES_ON_A_WALK = f"""
    (u.first_words LIKE :pattern OR char_length(u.first_words) = {FIRST_WORDS}
                                    AND (SELECT s.words LIKE :pattern FROM user_search s WHERE s.user_id = u.user_id))
"""
"""The same, by what that index holds: only for those of longer words their row is looked at."""
BEGINS = "(u.first_words >= :begins AND u.first_words < :beyond)"
"""Whether the name begins with what is searched for: a stretch of that index, whatever the collation."""
SEARCHABLE = """(SELECT u.*, s.words, s.first_words FROM onboarding_users u JOIN user_search s USING (user_id))"""


def _under(status: Status) -> str:
    """Whether `u` has the step recorded with a status that still counts."""
    return f"""u.{status}_releases && ARRAY(
        SELECT id FROM step_releases WHERE step_id = :step_id AND {status}_reset_by IS NULL)"""


STATUS = f"""
    CASE WHEN {_under("done")} THEN 'done' WHEN {_under("skipped")} THEN 'skipped'
         WHEN {_under("in_progress")} THEN 'in_progress' ELSE 'todo' END
"""

COUNTING_RELEASES = text(
    "SELECT "
    + ", ".join(f"array_agg(id) FILTER (WHERE {status}_reset_by IS NULL) AS {status}" for status in WORKED)
    + " FROM step_releases WHERE step_id = :step_id"
)


def _has(status: Status) -> str:
    """The condition that `u` has the step in this status; by releases, from which the planner can estimate how many have."""
    if status == "todo":
        return f"NOT ({' OR '.join(_has(one) for one in WORKED)})"
    return f"u.{status}_releases && :{status}"


STANDINGS = standings.EACH + " SELECT u.standing, {percent} AS percent, {fits} AS fits FROM found u {limit}"
BY_PERCENT = f"(SELECT u.*, {PERCENT_OF_POINTS} AS percent FROM {{source}} u {POINTS_OF_ARRAYS})"
SAMPLE = """(SELECT * FROM onboarding_users TABLESAMPLE SYSTEM (
    (SELECT least(100, 100 * 5000 / greatest(reltuples, 1)) FROM pg_class WHERE oid = 'onboarding_users'::regclass)))"""
BETWEEN = "u.percent BETWEEN :least AND :most"
SHARE = f"""
SELECT avg(({{conditions}})::int)::float8
  FROM {BY_PERCENT.format(source=SAMPLE)} u
"""
FINISHED_BY_PERCENT = FINISHED.format(at_100="u.percent = 100")
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
ONLY_SEARCHED = "user_search"
ONLY_ORDERED = "(SELECT user_id, first_words FROM user_search)"


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
    def types(self) -> list[BindParameter[Any]]:
        """The bind parameters that need their types said."""
        return _types(self.values)

    @property
    def filtered(self) -> str:
        """The conditions as a WHERE."""
        return filtered(self.conditions)

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
        query = f"SELECT FROM {self.people} u {filtered(conditions)}"
        if query not in self.explained:
            explain = text(f"EXPLAIN (FORMAT JSON) {query}").bindparams(*self.types)
            # undone, for on a cluster it forbids the coordinator to answer by itself what the transaction asks after it
            with session.begin_nested() as undone:
                self.explained[query] = expected(session.execute(explain, self.values).scalar_one()[0]["Plan"])
                undone.rollback()
        return self.explained[query]

    def _share(self, session: Session) -> float:
        """Of how many in 1 the conditions on the percent hold, of which the planner knows nothing: in a sample."""
        share = text(SHARE.format(conditions=" AND ".join(self.by_percent)))
        return session.scalar(share, self.values) or 0


def _types(values: Mapping[str, Any]) -> list[BindParameter[Any]]:
    kinds = {name: name.partition("_of_")[0] for name in values}
    return [bindparam(name, type_=TYPES[kind]) for name, kind in kinds.items() if kind in TYPES]


class Estimate(NamedTuple):
    """What the planner expects: people, its units of cost, and in how many places of a cluster they are found."""

    people: int
    cost: float
    places: int = 1


def expected(plan: Mapping[str, Any]) -> Estimate:
    """The rows and the cost of a plan; a cluster gives those of one of the tasks that it divides the query into."""
    if job := plan.get("Distributed Query", {}).get("Job"):
        one, places = expected(job["Tasks"][0]["Remote Plan"][0][0]["Plan"]), job["Task Count"]
        return Estimate(one.people * places, one.cost * places, places)
    return Estimate(int(plan["Plan Rows"]), float(plan["Total Cost"]))


# Alone on the server, a page gains little from more than one process; beside others it would take theirs.
AS_IT_IS = text("""
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('max_parallel_workers_per_gather', '0', true)
""")


def choose(session: Session, wanted: Filter) -> Chosen:
    """The filter as SQL. Plans made for any value would be wrong for most: each search is planned as it is."""
    if not wanted.is_everybody:
        session.execute(AS_IT_IS)
    chosen = Chosen(SEARCHABLE if wanted.q else "onboarding_users", [], {})
    if wanted.step_id:
        chosen.values["step_id"] = wanted.step_id
    if wanted.q:
        chosen.where.append(MATCHES)
        chosen.values["pattern"], words = session.execute(PATTERN, {"q": wanted.q}).one()
        chosen.values.update(begins=f" {words}", beyond=f" {words}\U0010ffff")
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
    return _choose_standings(session, wanted, chosen) or _choose_each(session, wanted, chosen)


def _counting(session: Session, wanted: Filter) -> dict[str, list[int]]:
    """The releases that the condition on the status names."""
    if not wanted.status:
        return {}
    row = session.execute(COUNTING_RELEASES, {"step_id": wanted.step_id}).one()
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
        chosen.by_percent.append(FINISHED_BY_PERCENT if wanted.finished else f"NOT {FINISHED_BY_PERCENT}")
    return replace(chosen, asks_percent=wanted.asks_percent)


def _choose_standings(session: Session, wanted: Filter, chosen: Chosen) -> Chosen | None:
    """None: there are too many standings."""
    few = standings.most_to_list(session)
    if few == 0:
        return None
    statement = text(
        STANDINGS.format(
            percent=PERCENT if wanted.asks_percent else "0",
            fits=_has(wanted.status) if wanted.status else "true",
            limit=f"LIMIT {few + 1}" if few else "",
        )
    )
    releases = _counting(session, wanted)
    rows = session.execute(statement.bindparams(*_types(releases)), releases).all()
    if few and len(rows) > few:
        return None
    least, most = wanted.progress or (0, 100)
    found = sorted(
        ((row.percent, row.standing) for row in rows if row.fits and least <= row.percent <= most),
        key=lambda one: place(wanted.sort, *one),
    )
    if wanted.status or wanted.progress:
        chosen.where.append(IN_STANDINGS)
        chosen.values["standings"] = [standing for _, standing in found]
    if wanted.finished is not None:
        finished = FINISHED.format(at_100=AT_100)
        chosen.where.append(finished if wanted.finished else f"NOT {finished}")
        chosen.values["full"] = [standing for percent, standing in found if percent == 100]
    return replace(chosen, standings=found)


def place(sort: Sort, percent: int, standing: int) -> tuple[int, int]:
    """What standings are ordered by: how far their people are, then the standing itself."""
    return -percent if sort == "furthest" else percent, standing
