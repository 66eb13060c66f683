"""How everybody stands now: the census behind the overview, and who has waited longest at each step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding.impact import Contents, Counts, Group, Rules, Spread, rules, tally
from dashboard.onboarding.progress import REOPENED_AT

LONGEST = 3
"""How many of those who wait at a step are named."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who is in progress at a step and did nothing, at any step, since `since`."""

    user_id: str
    label: str
    since: datetime


@dataclass(slots=True)
class Stuck:
    """Those in progress at a live step: `idle` of them did nothing for 14 days; `longest`: who for longest, up to three."""

    idle: int = 0
    longest: list[Waiting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Overview:
    """How onboarding goes. `new` and `newly_finished` are of the last 30 days.

    `idle` people have not finished, and had no activity for 14 days. `stuck` has the live steps at which somebody is.
    `counted_at` is when they were counted, under these `rules`.
    """

    counted_at: datetime
    rules: Rules
    spread: Spread
    funnel: Mapping[str, Counts]
    new: int
    newly_finished: int
    idle: int
    stuck: Mapping[str, Stuck]

    @property
    def everybody(self) -> int:
        return self.spread.people.total()


ACTIVITY = "coalesce(last_activity_at, created_at)"
IDLE = f"{ACTIVITY} < now() - interval '14 days'"

CENSUS = text(f"""
SELECT done_releases::text AS done, skipped_releases::text AS skipped, in_progress_releases::text AS in_progress,
       standing, count(*) AS people,
       count(finished_at) AS finished_once, count(*) FILTER (WHERE finished_at > {REOPENED_AT}) AS finished,
       count(*) FILTER (WHERE created_at > now() - interval '30 days') AS new,
       count(*) FILTER (WHERE finished_at > now() - interval '30 days') AS newly_finished,
       count(*) FILTER (WHERE {IDLE}) AS idle,
       count(finished_at) FILTER (WHERE {IDLE}) AS idle_finished_once,
       count(*) FILTER (WHERE {IDLE} AND finished_at > {REOPENED_AT}) AS idle_finished,
       min({ACTIVITY}) AS oldest
  FROM onboarding_users
 GROUP BY done_releases, skipped_releases, in_progress_releases, standing
""")


@dataclass(frozen=True, slots=True)
class Counted:
    """A group of the census, with what its row counted."""

    group: Group
    row: Row[Any]

    def idle_unfinished(self, percent: int) -> int:
        """How many did nothing for 14 days and don't count as finished when the group is at `percent`."""
        finished = self.row.idle_finished_once if percent == 100 else self.row.idle_finished
        return int(self.row.idle - finished)


def overview(session: Session) -> Overview:
    """How everybody stands now, from one pass over the people; `funnel` has each step that was ever released."""
    counted_at = datetime.now(UTC)
    content = Contents()
    counted = [Counted(_group(row, content), row) for row in session.execute(CENSUS)]
    known = rules(session)
    spread, funnel = tally([one.group for one in counted], known)
    return Overview(
        counted_at,
        known,
        spread,
        funnel,
        new=sum(one.row.new for one in counted),
        newly_finished=sum(one.row.newly_finished for one in counted),
        idle=sum(one.idle_unfinished(known.percent(one.group)) for one in counted),
        stuck=_stuck(session, counted, known),
    )


def _group(row: Row[Any], content: Contents) -> Group:
    held = content.of(row.done, row.skipped, row.in_progress)
    return Group(row.standing, held, row.people, row.finished_once, (row.finished, row.finished))


def _stuck(session: Session, counted: Sequence[Counted], known: Rules) -> dict[str, Stuck]:
    at_step: dict[str, list[Row[Any]]] = defaultdict(list)
    for one in counted:
        for release in one.group.held["in_progress"].releases:
            recorded = known.recorded[release]
            if recorded.weight and recorded.keeps["in_progress"]:
                at_step[recorded.step_id].append(one.row)
    stuck = {step_id: Stuck(sum(row.idle for row in rows)) for step_id, rows in at_step.items()}
    for step_id, waiting in _longest(session, at_step):
        stuck[step_id].longest.append(waiting)
    return stuck


# The three who wait longest are in the three groups whose own oldest wait longest: nobody in another group is before these.
# PostgreSQL looks a small group up, and comes upon a large one soon when it goes by activity from the oldest on; it can
# tell one from the other by the standings, so it must not keep a plan that was made without them.
PLAN_EACH_TIME = text("SET LOCAL plan_cache_mode = force_custom_plan")
LONGEST_AT = f"""
(SELECT CAST(:step_{{n}} AS text) AS step_id, user_id, coalesce(nullif(name, ''), nullif(email, ''), user_id) AS label,
        {ACTIVITY} AS since
   FROM onboarding_users
  WHERE standing = ANY(:standings_{{n}}) AND {ACTIVITY} >= :since_{{n}}
  ORDER BY {ACTIVITY}, user_id LIMIT {LONGEST})
"""


def _longest(session: Session, at_step: Mapping[str, Sequence[Row[Any]]]) -> list[tuple[str, Waiting]]:
    """Who has waited longest at each step, in one query that does not grow with the people there are."""
    if not at_step:
        return []
    values: dict[str, Any] = {}
    for n, (step_id, rows) in enumerate(at_step.items()):
        oldest = sorted(rows, key=lambda row: row.oldest)[:LONGEST]
        values[f"step_{n}"] = step_id
        values[f"standings_{n}"] = [row.standing for row in oldest]
        values[f"since_{n}"] = oldest[0].oldest
    session.execute(PLAN_EACH_TIME)
    query = " UNION ALL ".join(LONGEST_AT.format(n=n) for n in range(len(at_step)))
    found = session.execute(text(query), values)
    return [(row.step_id, Waiting(row.user_id, row.label, row.since)) for row in found]
