"""What a release did or would do: one report object, counted from one pass over the people.

People are counted in groups: what a release does to somebody depends on how they have its step recorded and on the
points that all other steps give them, and that is the same for many (docs/model.md, rule 7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import Integer

from dashboard.onboarding import standings
from dashboard.onboarding.carryover import PASSED, STATUSES, WORKED, Release, Status
from dashboard.onboarding.scoring import REMEMBERED, finished_of, percent_of


@dataclass(frozen=True, slots=True)
class ReleaseWorth:
    """A release as the one under which a status was recorded: what each status is worth today, in points."""

    step_id: str
    weight: int
    keeps: Mapping[Status, bool]


@dataclass(frozen=True, slots=True)
class Group:
    """People for whom a release of one step does the same.

    They have `points` by all other steps, and this one recorded with `status` under `release_id` (None: never, or as To
    do). Of them `finished_once` have ever finished, and `finished` of those not been reopened since: before and after
    the release that is being counted.
    """

    points: int
    status: Status
    release_id: int | None
    people: int
    finished_once: int
    finished: tuple[int, int]

    def count_finished(self, percent: int, *, after: bool = False) -> int:
        """How many count as finished when the group is at `percent`."""
        return finished_of(percent, self.finished_once, self.finished[after])


@dataclass(frozen=True)
class Rules:
    """What the releases say at one moment: each one's worth."""

    releases: Mapping[int, ReleaseWorth]

    @cached_property
    def weights(self) -> Mapping[str, int]:
        """The live weight of each step that was ever released; 0 while it is not live."""
        return {one.step_id: one.weight for one in self.releases.values()}

    def releases_counting(self, step_id: str, status: Status) -> list[int]:
        """The releases of the step under which the status counts."""
        return [release_id for release_id, one in self.releases.items() if one.step_id == step_id and one.keeps[status]]

    def status_of(self, group: Group) -> Status:
        """What the group's recorded status of the step counts as."""
        if group.release_id is None or not self.releases[group.release_id].keeps[group.status]:
            return "todo"
        return group.status


RULES = text("""
SELECT r.id, r.step_id, s.weight,
       r.done_reset_by IS NULL AS done, r.skipped_reset_by IS NULL AS skipped,
       r.in_progress_reset_by IS NULL AS in_progress
  FROM step_releases r
  JOIN steps s ON s.step_id = r.step_id
""")


def rules(session: Session) -> Rules:
    """The rules in force, from the few rows of step_releases."""
    return Rules(
        {
            row.id: ReleaseWorth(
                row.step_id,
                row.weight,
                {"done": row.done, "skipped": row.skipped, "in_progress": row.in_progress, "todo": True},
            )
            for row in session.execute(RULES)
        }
    )


def _held(status: Status) -> str:
    points = "0" if status == "in_progress" else f"r.{status}_points"
    return f"""
 CROSS JOIN LATERAL (SELECT coalesce(sum({points}) FILTER (WHERE r.step_id <> :step_id), 0)::int AS points,
                            max(r.id) FILTER (WHERE r.step_id = :step_id) AS release_id
                       FROM step_releases r WHERE r.id = ANY(u.{status}_releases)) {status}"""


# What distinguishes the groups: the points, and the release under which the step was recorded with each status.
GROUP_KEYS = ("done.points + skipped.points", *(f"{status}.release_id" for status in WORKED))
HELD = "".join(_held(status) for status in WORKED)

# When finished was reopened last, as if the release that is counted was not there and had undone none. It is looked up by the
# statement that counts, as REOPENED_AT is: another step's release that comes in meanwhile is no effect of this one.
REOPENED_BEFORE = """
    coalesce((SELECT max(released_at) FROM step_releases
               WHERE reopens_finished AND id <> :release_id AND coalesce(undone_by, :release_id) = :release_id), '-infinity')
"""
CENSUS_OF_PEOPLE = {
    "people": "true",
    "finished_once": "finished_at IS NOT NULL",
    "finished_before": f"finished_at > {REOPENED_BEFORE}",
    "finished_after": REMEMBERED,
}
# The weight of all other steps is from the same moment as their points.
CENSUS = f"""
{{begins}}
SELECT {", ".join(GROUP_KEYS)}, max((SELECT sum(weight) FROM steps WHERE step_id <> :step_id)) AS total, {{columns}}
  FROM {{source}} u {HELD}
 GROUP BY {", ".join(GROUP_KEYS)}
"""
WITHOUT_PEOPLE = text("SELECT sum(weight) FROM steps WHERE step_id <> :step_id")


def census(session: Session, step_id: str, release_id: int) -> tuple[list[Group], int]:
    """Everybody, in groups, before and after a release of the step, and the weight of all live steps but this one.

    Ask for the rules after the census, unless the step is locked: then they know every release of it that a row can name.
    """
    how = standings.way_to_count(session, CENSUS_OF_PEOPLE)
    statement = text(CENSUS.format(begins=how.begins, source=how.source, columns=how.columns()))
    rows = session.execute(
        statement.bindparams(bindparam("release_id", type_=Integer())), {"step_id": step_id, "release_id": release_id}
    ).all()
    groups = [
        Group(points, *recorded_in(*releases), people, finished_once, (before, after))
        for points, *releases, _, people, finished_once, before, after in rows
    ]
    if not rows:
        return [], session.scalar(WITHOUT_PEOPLE, {"step_id": step_id}) or 0
    return groups, max(row.total or 0 for row in rows)


def recorded_in(*releases: int | None) -> tuple[Status, int | None]:
    """The status that is recorded, and under which release, by the releases of one step in the three arrays."""
    return next(((status, one) for status, one in zip(WORKED, releases, strict=True) if one), ("todo", None))


Counts = dict[Status, int]


def no_counts() -> Counts:
    """Nobody, in each status."""
    return dict.fromkeys(STATUSES, 0)


BANDS = (*(f"{low}-{low + 9}" for low in range(0, 100, 10)), "100")
"""The bands of percents in which people are counted, as a filter of people spells them."""


@dataclass(slots=True)
class Spread:
    """How far people are: people by percent."""

    people: Counter[int] = field(default_factory=Counter)
    finished: int = 0

    @property
    def bands(self) -> list[int]:
        """People in each of BANDS."""
        bands = [0] * len(BANDS)
        for percent, people in self.people.items():
            bands[percent // 10] += people
        return bands

    @property
    def median(self) -> int:
        """The percent that half of the people have reached (the lower of two middle ones); 0 with nobody."""
        half, seen = (self.people.total() + 1) // 2, 0
        for percent in sorted(self.people):
            seen += self.people[percent]
            if seen >= half:
                return percent
        return 0

    def as_json(self) -> dict[str, Any]:
        """Its members, as the API and a receipt show them."""
        return {"bands": self.bands, "median": self.median, "finished": self.finished}


@dataclass(frozen=True, slots=True)
class Moves:
    """How percentages move: people who go up, down or stay; the largest drop in points; who falls below 100."""

    up: int
    down: int
    same: int
    largest_drop: int
    fall_from_100: int


@dataclass(frozen=True, slots=True)
class Impact:
    """What a release does to everybody.

    `matrix[before][after]` counts people by the status of this step; what it sums up to is read off it. `kept_later`:
    people with work recorded since the release that a rollback undoes, who keep it. `total_weight`: the points of all live
    steps before and after.
    """

    matrix: Mapping[Status, Counts]
    kept_later: int
    before: Spread
    after: Spread
    moves: Moves
    total_weight: tuple[int, int]

    @property
    def everybody(self) -> int:
        """All people."""
        return sum(people for counts in self.matrix.values() for people in counts.values())

    @property
    def untouched(self) -> int:
        """People whose step is To do before and after."""
        return self.matrix["todo"]["todo"]

    @property
    def affected(self) -> int:
        """All others: copied, reset or restored."""
        return self.everybody - self.untouched

    @property
    def reset(self) -> int:
        """People whose step becomes To do."""
        return sum(self.matrix[status]["todo"] for status in WORKED)

    @property
    def restored(self) -> int:
        """People whose step was To do, and who are given back what it was."""
        return sum(self.matrix["todo"][status] for status in WORKED)

    @property
    def copied(self) -> int:
        """People whose step stays as it is, and is not To do."""
        return self.affected - self.reset - self.restored

    def as_json(self) -> dict[str, Any]:
        """The report's members, as the API and a receipt show them."""
        return {
            "everybody": self.everybody,
            "affected": self.affected,
            "copied": self.copied,
            "reset": self.reset,
            "restored": self.restored,
            "keptLater": self.kept_later,
            "untouched": self.untouched,
            "matrix": {status: dict(counts) for status, counts in self.matrix.items()},
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "moves": asdict(self.moves),
            "totalWeight": dict(zip(("before", "after"), self.total_weight, strict=True)),
        }


@dataclass(frozen=True, slots=True)
class Move:
    """What a release does to one group: the status of the step and the percent, before and after."""

    before: Status
    after: Status
    percent_before: int
    percent_after: int
    keeps_later_work: bool


@dataclass(frozen=True)
class Counted:
    """Everybody in groups, with the rules before and after one release; `undone` is what a rollback undoes.

    `total` is the weight of all other live steps.
    """

    step_id: str
    groups: Sequence[Group]
    total: int
    before: Rules
    after: Rules
    undone: Release | None = None

    @cached_property
    def moves(self) -> Sequence[tuple[Group, Move]]:
        """What the release does to each group: worked out once for the report and every list of a page."""
        return [(group, self._move(group)) for group in self.groups]

    def _move(self, group: Group) -> Move:
        return Move(
            self.before.status_of(group),
            self.after.status_of(group),
            self._percent(group, self.before),
            self._percent(group, self.after),
            # releases of one step are numbered and given ids in one order
            self.undone is not None and (group.release_id or 0) >= self.undone.id,
        )

    def total_weight(self, known: Rules) -> int:
        """The points of all live steps, this one among them."""
        return self.total + known.weights.get(self.step_id, 0)

    def _percent(self, group: Group, known: Rules) -> int:
        weight = known.weights.get(self.step_id, 0)
        points = group.points + (weight if known.status_of(group) in PASSED else 0)
        return percent_of(points, self.total_weight(known))


def impact(counted: Counted) -> Impact:
    """The report on one release."""
    matrix: dict[Status, Counts] = {status: no_counts() for status in STATUSES}
    was, will = Spread(), Spread()
    up = down = largest_drop = fall = kept_later = 0
    for group, move in counted.moves:
        people = group.people
        old, new = move.percent_before, move.percent_after
        matrix[move.before][move.after] += people
        was.people[old] += people
        will.people[new] += people
        was.finished += group.count_finished(old)
        will.finished += group.count_finished(new, after=True)
        up += people * (new > old)
        down += people * (new < old)
        fall += people * (old == 100 > new)
        largest_drop = max(largest_drop, old - new)
        kept_later += people * move.keeps_later_work
    same = was.people.total() - up - down
    moves = Moves(up, down, same, largest_drop, fall)
    total_weight = (counted.total_weight(counted.before), counted.total_weight(counted.after))
    return Impact(matrix, kept_later, was, will, moves, total_weight)
