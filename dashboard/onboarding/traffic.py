"""Saves of the last hours or days: how many went through, how many met a conflict, and whether trying again helped.

Counted are the pages and the API, where somebody waits for the answer; not imports, and not changes in bulk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding.carryover import Release
from dashboard.onboarding.history import release_from

Period = Literal["24h", "7d"]


@dataclass(frozen=True, slots=True)
class Span:
    """A period: the present hour or day in UTC, and those before it."""

    unit: Literal["hour", "day"]
    length: int

    @property
    def one(self) -> timedelta:
        """One hour or day of it."""
        return timedelta(hours=1) if self.unit == "hour" else timedelta(days=1)

    @property
    def since(self) -> str:
        """When it begins, in SQL."""
        return f"date_trunc('{self.unit}', now(), 'UTC') - interval '{self.length - 1} {self.unit}s'"


SPANS: Mapping[Period, Span] = {"24h": Span("hour", 24), "7d": Span("day", 7)}


@dataclass(frozen=True, slots=True)
class Cause:
    """The release that most conflicts followed, more than half: of `conflicts` it was the newest before them."""

    release: Release
    conflicts: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """The saves since `since`. `writes` went through; `conflicts` were refused as stale, by the hour or day they fell into.

    A retry is a save, kept or refused, that its sender said to have tried before.
    """

    since: datetime
    writes: int
    conflicts: list[tuple[datetime, int]]
    retries: int
    first_retries: int
    first_retries_kept: int
    cause: Cause | None

    @property
    def refused(self) -> int:
        """Conflicts of the whole period."""
        return sum(count for _, count in self.conflicts)

    @property
    def tried(self) -> int:
        """All saves, kept or refused."""
        return self.writes + self.refused


COUNTED = (
    "count(*) AS saves, count(*) FILTER (WHERE attempt > 0) AS retries, count(*) FILTER (WHERE attempt = 1) AS first"
)
WAITED_FOR = "source IN ('web', 'api')"

WRITES = {
    period: text(f"""
SELECT {span.since} AS since, {COUNTED} FROM user_step_events WHERE at >= {span.since} AND {WAITED_FOR}
""")
    for period, span in SPANS.items()
}
CONFLICTS = {
    period: text(f"""
SELECT date_trunc('{span.unit}', at, 'UTC') AS begins, release_id, {COUNTED}
  FROM write_conflicts WHERE at >= {span.since} AND {WAITED_FOR}
 GROUP BY 1, 2
""")
    for period, span in SPANS.items()
}


def traffic(session: Session, period: Period) -> Traffic:
    """The saves of the period, in two queries by index, and a third where a release explains most conflicts."""
    span = SPANS[period]
    writes = session.execute(WRITES[period]).one()
    conflicts = session.execute(CONFLICTS[period]).all()
    by_time, by_release = Counter[datetime](), Counter[int | None]()
    for row in conflicts:
        by_time[row.begins] += row.saves
        by_release[row.release_id] += row.saves
    begins = [writes.since + number * span.one for number in range(span.length)]
    return Traffic(
        since=writes.since,
        writes=writes.saves,
        conflicts=[(moment, by_time[moment]) for moment in begins],
        retries=writes.retries + sum(row.retries for row in conflicts),
        first_retries=writes.first + sum(row.first for row in conflicts),
        first_retries_kept=writes.first,
        cause=_cause(session, by_release),
    )


def _cause(session: Session, by_release: Counter[int | None]) -> Cause | None:
    for release_id, conflicts in by_release.most_common(1):
        if release_id is not None and 2 * conflicts > by_release.total():
            r = models.Release
            row = session.execute(select(r.__table__).where(r.id == release_id)).one()
            return Cause(release_from(row), conflicts)
    return None
