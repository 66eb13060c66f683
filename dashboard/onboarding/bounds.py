"""How far somebody can be who passed so many steps: what an index of people by steps passed says about their percent.

Progress itself is in no index, for a release changes everybody's. But whoever has few steps done or skipped cannot be
far, whatever these are worth, and so those who are furthest are found without a look at everybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.scoring import percent_of

STEPS_PASSED = "(cardinality(u.done_releases) + cardinality(u.skipped_releases))"
"""How many steps the person `u` has done or skipped at some time, whatever that counts as now."""

STAGES = 3
"""So many counts of steps are tried before everybody is looked at."""

READ = text("""
SELECT (SELECT coalesce(array_agg(weight ORDER BY weight), '{}') FROM steps WHERE weight > 0) AS weights,
       (SELECT count(*) FROM steps) AS steps,
       count(DISTINCT step_id) AS reset
  FROM step_releases WHERE done_points = 0 OR skipped_points = 0
""")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The live `weights`, the smallest first; how many `steps` there are; at how many of them a status may count 0."""

    weights: Sequence[int]
    steps: int
    reset: int

    def most(self, passed: int) -> int:
        """The percent that nobody who passed so many steps is above."""
        return self._percent(self.weights[max(0, len(self.weights) - passed) :] if passed > 0 else ())

    def least(self, passed: int) -> int:
        """The percent that nobody who passed so many steps is below."""
        return self._percent(self.weights[: max(0, passed - self.reset)])

    def _percent(self, weights: Sequence[int]) -> int:
        return percent_of(sum(weights), sum(self.weights))

    def passed(self, least: int, most: int) -> tuple[int, int]:
        """How many steps those have passed, from and to, who are from and to these percents."""
        counts = range(self.steps + 1)
        from_ = next((passed for passed in counts if self.most(passed) >= least), self.steps + 1)
        return from_, max(passed for passed in counts if self.least(passed) <= most)

    def condition(self, least: int, most: int) -> str:
        """The same as a condition on `u`, which those between the two percents all meet."""
        from_, to = self.passed(least, most)
        return f"{STEPS_PASSED} BETWEEN {from_} AND {to}"

    def stages(self, least: int, most: int, *, ascending: bool) -> Iterator[str]:
        """Conditions on people `u` with a `percent`, each of which lets in more: of those between the two percents.

        Each lets in everybody who is less far than whomever it leaves out (descending: further); the last leaves nobody out.
        """
        from_, to = self.passed(least, most)
        if ascending:
            counts = [passed for passed in range(from_ + 1, to + 1) if self.least(passed) > least]
            for passed in counts[:STAGES]:
                yield f"{STEPS_PASSED} < {passed} AND u.percent < {self.least(passed)}"
        else:
            counts = [passed for passed in range(to, from_, -1) if self.most(passed - 1) < most]
            for passed in counts[:STAGES]:
                yield f"{STEPS_PASSED} >= {passed} AND u.percent > {self.most(passed - 1)}"
        yield "true"


def bounds(session: Session) -> Bounds:
    """The bounds that hold now."""
    return Bounds(*session.execute(READ).one())
