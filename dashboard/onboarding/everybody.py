"""How everybody stands now: the census behind the overview, and who has waited longest at each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding import standings
from dashboard.onboarding.actor import called
from dashboard.onboarding.carryover import WORKED
from dashboard.onboarding.choosing import ACTIVE_AT
from dashboard.onboarding.impact import Counts, Rules, Spread, no_counts, rules
from dashboard.onboarding.scoring import REMEMBERED, finished_of, percent_of
from dashboard.onboarding.sql import BIND_PEOPLE

IDLE_DAYS = 14
"""Whoever did nothing for so many days is idle."""

NAMED_AT_MOST = 3
"""How many of those who wait at a step are named."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who is in progress at a step and did nothing, at any step, since `since`."""

    user_id: str
    label: str
    since: datetime


@dataclass(slots=True)
class Stuck:
    """Those in progress at a live step: `idle` of them did nothing for IDLE_DAYS; `longest`: who for longest, up to three."""

    idle: int = 0
    longest: list[Waiting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Overview:
    """How onboarding goes. `new` came in the last 30 days, and of those who have finished `newly_finished` did.

    `open_again` people count as finished although they are below 100 percent, `next_save` ones with their next save, for
    they are at 100 percent; `idle` ones have not finished, and had no activity for IDLE_DAYS. `stuck` has the live steps at
    which somebody is. `counted_at` is when they were counted, under these `rules`.
    """

    counted_at: datetime
    rules: Rules
    spread: Spread
    funnel: Mapping[str, Counts]
    new: int
    newly_finished: int
    open_again: int
    next_save: int
    idle: int
    stuck: Mapping[str, Stuck]

    @property
    def everybody(self) -> int:
        """How many people there are."""
        return self.spread.people.total()


# Reckoned once, not for each person: a day of the calendar takes longer than all else that is asked of a row.
IDLE_SINCE, MONTH_AGO = (f"(SELECT now() - interval '{days} days')" for days in (IDLE_DAYS, 30))
IDLE = f"{ACTIVE_AT} < {IDLE_SINCE}"

OVERVIEW_OF_PEOPLE = {
    "people": "true",
    "finished_once": "finished_at IS NOT NULL",
    "finished": REMEMBERED,
    "new": f"created_at > {MONTH_AGO}",
    "newly_finished_once": f"finished_at > {MONTH_AGO}",
    "newly_finished": f"finished_at > {MONTH_AGO} AND {REMEMBERED}",
    "idle": IDLE,
    "idle_finished_once": f"{IDLE} AND finished_at IS NOT NULL",
    "idle_finished": f"{IDLE} AND {REMEMBERED}",
}

# By points, and by step and status where the status counts: all at one moment.
OF_STEP = ("people", "idle", "oldest")
OF_POINTS = tuple(name for name in OVERVIEW_OF_PEOPLE if name not in OF_STEP)
BY_POINTS = f"""
SELECT NULL AS step_id, NULL AS status, {{of_step}}, {{of_points}},
       done.points + skipped.points AS points, max((SELECT sum(weight) FROM steps)) AS total
  FROM {{source}} u {standings.POINTS_OF_ARRAYS}
 GROUP BY done.points + skipped.points
"""
BY_STEP = f"""
SELECT r.step_id, '{{status}}', sum(held.people)::bigint, sum(held.idle)::bigint, min(held.oldest),
       {", ".join("NULL" for _ in (*OF_POINTS, "points", "total"))}
  FROM (SELECT u.{{status}}_releases AS releases, {{of_step}} FROM {{source}} u GROUP BY u.{{status}}_releases) held
 CROSS JOIN unnest(held.releases) AS one (release_id)
  JOIN step_releases r ON r.id = one.release_id
 WHERE r.{{status}}_reset_by IS NULL
 GROUP BY r.step_id
"""


def overview(session: Session) -> Overview:
    """How everybody stands now, from one look at the people; `funnel` has each step that was ever released."""
    counted_at = datetime.now(UTC)
    known = rules(session)
    rows = session.execute(text(_census(session))).all()
    spread, newly_finished, open_again, idle = Spread(), 0, 0, 0
    funnel = {worth.step_id: no_counts() for worth in known.releases.values()}
    for row in rows:
        if row.step_id is not None:
            funnel.setdefault(row.step_id, no_counts())[row.status] = row.people
            continue
        percent = percent_of(row.points, row.total or 0)
        spread.people[percent] += row.people
        spread.finished += finished_of(percent, row.finished_once, row.finished)
        newly_finished += finished_of(percent, row.newly_finished_once, row.newly_finished)
        open_again += row.finished if percent < 100 else 0
        idle += row.idle - finished_of(percent, row.idle_finished_once, row.idle_finished)
    for of_step in funnel.values():
        of_step["todo"] = spread.people.total() - sum(of_step.values())
    return Overview(
        counted_at,
        known,
        spread,
        funnel,
        new=sum(row.new or 0 for row in rows),
        newly_finished=newly_finished,
        open_again=open_again,
        next_save=spread.people[100] - (spread.finished - open_again),
        idle=idle,
        stuck=_stuck(session, [row for row in rows if row.status == "in_progress"], known),
    )


ARE_THERE = text("SELECT count(*) FROM onboarding_users WHERE user_id = ANY(:people)").bindparams(BIND_PEOPLE)


def names_only_those_there(session: Session, seen: Overview) -> bool:
    """Whether nobody whom it names was erased since."""
    people = {waiting.user_id for stuck in seen.stuck.values() for waiting in stuck.longest}
    return bool(session.scalar(ARE_THERE, {"people": list(people)}) == len(people))


def _census(session: Session) -> str:
    how = standings.way_to_count(session, OVERVIEW_OF_PEOPLE, {"oldest": ACTIVE_AT})
    parts = {"source": how.source, "of_step": how.columns(*OF_STEP), "of_points": how.columns(*OF_POINTS)}
    by_step = [BY_STEP.format(status=status, **parts) for status in WORKED]
    return how.begins + " UNION ALL ".join([BY_POINTS.format(**parts), *by_step])


def _stuck(session: Session, in_progress: Sequence[Row[Any]], known: Rules) -> dict[str, Stuck]:
    live = [row for row in in_progress if known.weights.get(row.step_id)]
    stuck = {row.step_id: Stuck(row.idle) for row in live}
    for step_id, waiting in _longest(session, live, known):
        stuck[step_id].longest.append(waiting)
    return stuck


# They turn up soon on a walk by activity from the oldest of them on, unless they are very few.
LONGEST_AT = f"""
(SELECT CAST(:step_{{n}} AS text) AS step_id, user_id, name, email, {ACTIVE_AT} AS since
   FROM onboarding_users
  WHERE in_progress_releases && CAST(:releases_{{n}} AS int[]) AND {ACTIVE_AT} >= :since_{{n}}
  ORDER BY {ACTIVE_AT}, user_id LIMIT {NAMED_AT_MOST})
"""


def _longest(session: Session, live: Sequence[Row[Any]], known: Rules) -> list[tuple[str, Waiting]]:
    """Who has waited longest at each step."""
    if not live:
        return []
    values: dict[str, Any] = {}
    for n, row in enumerate(live):
        values[f"step_{n}"] = row.step_id
        values[f"releases_{n}"] = known.releases_counting(row.step_id, "in_progress")
        values[f"since_{n}"] = row.oldest
    session.execute(standings.PLAN_EACH_TIME)
    query = " UNION ALL ".join(LONGEST_AT.format(n=n) for n in range(len(live)))
    found = session.execute(text(query), values)
    return [(row.step_id, Waiting(row.user_id, called(row.name, row.email, row.user_id), row.since)) for row in found]
