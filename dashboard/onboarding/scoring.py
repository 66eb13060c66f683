"""How far somebody is: their percent and whether they finished, in SQL and in Python (docs/model.md, rules 7 and 8)."""

from __future__ import annotations

from typing import TypeVar

# The weight that counts for the person `u` (docs/model.md, rule 7): a sum over the releases `r` under which something is
# recorded.
SUM_OF_POINTS = "sum(CASE WHEN r.id = ANY(u.done_releases) THEN r.done_points ELSE r.skipped_points END)"
RECORDED_RELEASES = "step_releases r WHERE r.id = ANY(u.done_releases || u.skipped_releases)"

# Points out of the weight of all live steps, rounded down.
PERCENT_OF = "coalesce(100 * {points} / (SELECT nullif(sum(weight), 0) FROM steps), 0)::int"
# Those of `u`. It stands for itself or, after LATERAL, for a row. A cluster works it out for the people of one shard and for
# those who were found already; for everybody standings.py has another.
PERCENT = f"""
    (SELECT {PERCENT_OF.format(points=SUM_OF_POINTS)} FROM {RECORDED_RELEASES})
"""

# Finished is remembered: it ends only by a release that reopens, and not for those who still are at 100 (rule 8).
REOPENED_AT = """
    coalesce((SELECT max(released_at) FROM step_releases WHERE reopens_finished AND undone_by IS NULL), '-infinity')
"""
REMEMBERED = f"finished_at > {REOPENED_AT}"
FINISHED = f"(finished_at IS NOT NULL AND ({{at_100}} OR {REMEMBERED}))"
# Of somebody beside whom the row `now` has their percent, as progress.
FINISHED_NOW = FINISHED.format(at_100="now.progress = 100")
# Nothing is remembered, or it no longer counts: whoever comes to 100 now is remembered from now on.
TO_REMEMBER = f"({REMEMBERED}) IS NOT TRUE"
# A transaction's moment is that of its beginning: a reopening release that it sees may have the later one. A transaction of
# one statement too may see one that was committed while it was planned. In UTC, for a cluster accepts no sum here that
# depends on the time zone of a connection.
REMEMBERED_FROM = f"""
    greatest({{moment}}, ({REOPENED_AT} AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC')
"""

Count = TypeVar("Count", bound=int)
"""Whether somebody did something, or how many people did."""


def percent_of(points: int, whole: int) -> int:
    """PERCENT_OF in Python."""
    return 100 * points // whole if whole else 0


def finished_of(percent: int, ever: Count, since: Count) -> Count:
    """FINISHED in Python: whether, or how many, finished `ever`, and `since` the newest release that reopened."""
    return ever if percent == 100 else since
