"""What a release did or would do: one report object, counted from one pass over the people.

People are counted by what their rows hold, not one by one: all who have the same releases in their three arrays count
the same, and there are few such groups however many people there are (docs/model.md, rule 7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime

from dashboard.onboarding.carryover import STATUSES, Release, Status
from dashboard.onboarding.progress import REOPENED_AT

NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A release as the one under which a status was recorded: what each status is worth today, in points."""

    step_id: str
    weight: int
    keeps: Mapping[Status, bool]


@dataclass(frozen=True)
class Rules:
    """What the releases say at one moment: each one's worth, the sum of live weights, the newest reopening."""

    recorded: Mapping[int, Recorded]
    total: int
    reopened_at: datetime

    @cached_property
    def points(self) -> Mapping[Status, Mapping[int, int]]:
        """What a status is worth, by the release under which it was recorded: 0 where it counts no more."""
        return {
            status: {release: one.weight if one.keeps[status] else 0 for release, one in self.recorded.items()}
            for status in STATUSES
        }

    @cached_property
    def of_step(self) -> Mapping[str, Mapping[int, Mapping[Status, bool]]]:
        """The releases of each step, and which statuses that were recorded under them still count."""
        found: dict[str, dict[int, Mapping[Status, bool]]] = {}
        for release, one in self.recorded.items():
            found.setdefault(one.step_id, {})[release] = one.keeps
        return found

    def weight_of(self, step_id: str) -> int:
        """The step's live weight; 0 while it is not live."""
        return next((one.weight for one in self.recorded.values() if one.step_id == step_id), 0)

    def with_step_as_in(self, earlier: Rules, step_id: str) -> Rules:
        """These rules, except that the one step still follows `earlier`: what held just before its release."""
        of_step = {release: one for release, one in earlier.recorded.items() if one.step_id == step_id}
        total = self.total - self.weight_of(step_id) + earlier.weight_of(step_id)
        return Rules({**self.recorded, **of_step}, total, earlier.reopened_at)

    def status_of(self, step_id: str, group: Group) -> Status:
        """What the group's recorded status of the step counts as."""
        of_step = self.of_step.get(step_id, {})
        for status, releases in group.releases.items():
            for release in releases:
                if release in of_step:
                    return status if of_step[release][status] else "todo"
        return "todo"

    def percent(self, group: Group) -> int:
        """The group's progress, 0 to 100, rounded down."""
        done, skipped = self.points["done"], self.points["skipped"]
        points = sum([done[one] for one in group.releases["done"]])
        points += sum([skipped[one] for one in group.releases["skipped"]])
        return 100 * points // self.total if self.total else 0


@dataclass(frozen=True, slots=True)
class Group:
    """People whose rows hold the same. Of them `finished_once` have ever finished, and `finished` of those not been
    reopened since: before and after the release that is being counted."""

    releases: Mapping[Status, list[int]]
    people: int
    finished_once: int
    finished: tuple[int, int]

    def count_finished(self, percent: int, *, after: bool = False) -> int:
        """How many count as finished when the group is at `percent` (docs/model.md, rule 8)."""
        return self.finished_once if percent == 100 else self.finished[after]


RULES = text("""
SELECT r.id, r.step_id, s.weight,
       r.done_reset_by IS NULL AS done, r.skipped_reset_by IS NULL AS skipped,
       r.in_progress_reset_by IS NULL AS in_progress,
       r.id = s.current_release_id AS is_current,
       CASE WHEN r.reopens_finished AND r.undone_by IS NULL THEN r.released_at END AS reopened_at
  FROM step_releases r
  JOIN steps s ON s.step_id = r.step_id
""")

CENSUS = text(f"""
SELECT done_releases, skipped_releases, in_progress_releases, count(*) AS people, count(finished_at) AS finished_once,
       count(*) FILTER (WHERE finished_at > coalesce(:reopened_before, {REOPENED_AT})) AS finished_before,
       count(*) FILTER (WHERE finished_at > {REOPENED_AT}) AS finished_after
  FROM onboarding_users
 GROUP BY done_releases, skipped_releases, in_progress_releases
""").bindparams(bindparam("reopened_before", type_=DateTime(timezone=True)))


def rules(session: Session) -> Rules:
    """The rules in force, from the few rows of step_releases."""
    rows = session.execute(RULES).all()
    recorded = {
        row.id: Recorded(
            row.step_id,
            row.weight,
            {"done": row.done, "skipped": row.skipped, "in_progress": row.in_progress, "todo": True},
        )
        for row in rows
    }
    reopened = [row.reopened_at for row in rows if row.reopened_at]
    return Rules(recorded, sum(row.weight for row in rows if row.is_current), max(reopened, default=NEVER))


def census(session: Session, reopened_before: datetime | None = None) -> list[Group]:
    """Everybody, in groups. `reopened_before`: when finished was reopened last, before the release being counted.

    Ask for the rules after the census, never before: then they know every release that a row can name.
    """
    return [
        Group({"done": done, "skipped": skipped, "in_progress": in_progress}, people, finished_once, (before, after))
        for done, skipped, in_progress, people, finished_once, before, after in session.execute(
            CENSUS, {"reopened_before": reopened_before}
        )
    ]


Counts = dict[Status, int]


def no_counts() -> Counts:
    """Nobody, in each status."""
    return dict.fromkeys(STATUSES, 0)


@dataclass(slots=True)
class Spread:
    """How far people are: people by percent."""

    people: Counter[int] = field(default_factory=Counter)
    finished: int = 0

    @property
    def bands(self) -> list[int]:
        """People in 0-9, 10-19, ... 90-99 and 100 percent: eleven numbers."""
        bands = [0] * 11
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
        return {"bands": self.bands, "median": self.median, "finished": self.finished}


@dataclass(frozen=True, slots=True)
class Moves:
    """How percents move: people who go up, down or stay; the largest drop in points; who falls from 100."""

    up: int
    down: int
    same: int
    largest_drop: int
    fall_from_100: int


@dataclass(frozen=True, slots=True)
class Impact:
    """What a release does to everybody.

    `matrix[before][after]` counts people by the status of this step. copied: a status other than To do stays; reset: it
    becomes To do; restored: a rollback or a restore gives it back. affected = copied + reset + restored, and with
    `untouched` (To do before and after) that is everybody. `kept_later`: people with work recorded since the release
    that a rollback undoes, who keep it.
    """

    everybody: int
    affected: int
    copied: int
    reset: int
    restored: int
    kept_later: int
    untouched: int
    matrix: Mapping[Status, Counts]
    before: Spread
    after: Spread
    moves: Moves

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
        }


@dataclass(frozen=True, slots=True)
class Move:
    """What a release does to one group: the status of the step and the percent, before and after."""

    before: Status
    after: Status
    percent_before: int
    percent_after: int
    keeps_later_work: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """Everybody in groups, with the rules before and after one release; `undone` is what a rollback undoes."""

    step_id: str
    groups: Sequence[Group]
    before: Rules
    after: Rules
    undone: Release | None = None

    def move(self, group: Group) -> Move:
        """What the release does to the group."""
        return Move(
            self.before.status_of(self.step_id, group),
            self.after.status_of(self.step_id, group),
            self.before.percent(group),
            self.after.percent(group),
            self.undone is not None and self._recorded_since(group, self.undone.id),
        )

    def _recorded_since(self, group: Group, release_id: int) -> bool:
        # Releases of one step are numbered and given ids in one order.
        return any(
            release >= release_id and self.before.recorded[release].step_id == self.step_id
            for releases in group.releases.values()
            for release in releases
        )


def impact(counted: Counted) -> Impact:
    """The report on one release."""
    matrix: dict[Status, Counts] = {status: no_counts() for status in STATUSES}
    was, will = Spread(), Spread()
    up = down = largest_drop = fall = kept_later = 0
    for group in counted.groups:
        people, move = group.people, counted.move(group)
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
    everybody = was.people.total()
    copied = sum(matrix[status][status] for status in STATUSES if status != "todo")
    reset = sum(matrix[status]["todo"] for status in STATUSES if status != "todo")
    restored = sum(people for status, people in matrix["todo"].items() if status != "todo")
    return Impact(
        everybody=everybody,
        affected=copied + reset + restored,
        copied=copied,
        reset=reset,
        restored=restored,
        kept_later=kept_later,
        untouched=matrix["todo"]["todo"],
        matrix=matrix,
        before=was,
        after=will,
        moves=Moves(up, down, everybody - up - down, largest_drop, fall),
    )


def funnel(session: Session) -> dict[str, Counts]:
    """People by status for each step that was ever released, from one pass over the people."""
    groups = census(session)
    return tally(groups, rules(session))[1]


def tally(groups: Sequence[Group], known: Rules) -> tuple[Spread, dict[str, Counts]]:
    """How far everybody is, and people by status for each step that was ever released."""
    spread = Spread()
    counts = {recorded.step_id: no_counts() for recorded in known.recorded.values()}
    for group in groups:
        percent = known.percent(group)
        spread.people[percent] += group.people
        spread.finished += group.count_finished(percent)
        for status, releases in group.releases.items():
            for release in releases:
                recorded = known.recorded[release]
                if recorded.keeps[status]:
                    counts[recorded.step_id][status] += group.people
    everybody = spread.people.total()
    for of_step in counts.values():
        of_step["todo"] = everybody - sum(of_step.values())
    return spread, counts
