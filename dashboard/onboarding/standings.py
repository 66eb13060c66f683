"""People by what their rows hold: all of one standing at once where standings are few, else one by one.

People whose three arrays hold the same are of one standing and count the same everywhere. After a funnel there are some
hundreds of standings however many people there are; where everybody did something else there are as many standings as
people, and still each of the arrays has few contents, what each of which is worth is worked out once for a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.carryover import PASSED
from dashboard.onboarding.scoring import PERCENT_OF

FEW_TO_COUNT = 50_000
"""Up to so many standings people are counted by standing."""

FEW_TO_LIST = 5_000
"""Up to so many standings are gone through for each list of people."""

PLAN_EACH_TIME = text("SET LOCAL plan_cache_mode = force_custom_plan")
"""For statements where only the values show the planner how many people they find."""

# What each of two arrays of `u` is worth today, in points. PostgreSQL keeps what a content is worth for the length of a
# query (Memoize), which it would not do for a subquery in an expression.
POINTS_OF_ARRAYS = "".join(
    f"""
 CROSS JOIN LATERAL (SELECT coalesce(sum(r.{status}_points), 0)::int AS points
                       FROM step_releases r WHERE r.id = ANY(u.{status}_releases)) {status}"""
    for status in PASSED
)
PERCENT_OF_POINTS = PERCENT_OF.format(points=f"({' + '.join(f'{status}.points' for status in PASSED)})")

IN_STANDINGS = "u.standing = ANY(:standings)"

# The view uses the index; a cluster has a view of its own.
EACH = "WITH found AS MATERIALIZED (SELECT * FROM standings)"

# No row on a cluster: what statistics there are here are older than it, for its people are on the nodes.
EXPECTED = text("""
SELECT coalesce((
    SELECT CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * c.reltuples ELSE s.n_distinct END
      FROM pg_stats s
      JOIN pg_class c ON c.relname = s.tablename
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
     WHERE c.oid = 'onboarding_users'::regclass AND s.attname = 'standing'
), 0) WHERE to_regclass('pg_dist_node') IS NULL
""")


AT_MOST = text("SELECT count(*) <= :most FROM (SELECT 1 FROM standings LIMIT :most + 1) first")


def how_many(session: Session) -> float | None:
    """How many standings there are, as the planner expects; 0 where it knows nothing of them yet, None on a cluster."""
    expected: float | None = session.scalar(EXPECTED)
    return expected


def most_to_list(session: Session) -> int | None:
    """Up to how many standings a list may go through all of them: none if the planner expects more than are few.

    It may expect far too few, so they are counted too. None: however many, on a cluster, where each node works out what is
    its own, and cannot be asked about people one by one.
    """
    expected = how_many(session)
    return None if expected is None else FEW_TO_LIST if expected <= FEW_TO_LIST else 0


def are_few(session: Session) -> bool:
    """Whether a list may go through all standings."""
    most = most_to_list(session)
    return most is None or (most > 0 and session.execute(AT_MOST, {"most": most}).scalar_one())


@dataclass(frozen=True, slots=True)
class Counting:
    """How everybody is counted, by name: those for whom a condition of `of_people` holds.

    Of each expression in `least`, the smallest value.
    """

    by_standing: bool
    of_people: Mapping[str, str]
    least: Mapping[str, str]

    @property
    def begins(self) -> str:
        """What the statement begins with."""
        if not self.by_standing:
            return ""
        arrays = "done_releases, skipped_releases, in_progress_releases"
        each = ", ".join(f"{self._of_people(name)} AS {name}" for name in (*self.of_people, *self.least))
        return f"WITH held AS MATERIALIZED (SELECT {arrays}, {each} FROM onboarding_users GROUP BY {arrays})"

    @property
    def source(self) -> str:
        """What goes after FROM, as `u`, with the three arrays."""
        return "held" if self.by_standing else "onboarding_users"

    def columns(self, *names: str) -> str:
        """What to select of those names; of all when none is said."""
        of_each = self._of_standings if self.by_standing else self._of_people
        return ", ".join(f"{of_each(name)} AS {name}" for name in names or (*self.of_people, *self.least))

    def _of_people(self, name: str) -> str:
        if name in self.least:
            return f"min({self.least[name]})"
        return f"count(*) FILTER (WHERE {self.of_people[name]})"

    def _of_standings(self, name: str) -> str:
        return f"min(u.{name})" if name in self.least else f"sum(u.{name})::bigint"


def way_to_count(session: Session, of_people: Mapping[str, str], least: Mapping[str, str] | None = None) -> Counting:
    """How everybody is counted best now."""
    return Counting((how_many(session) or 0) <= FEW_TO_COUNT, of_people, least or {})
