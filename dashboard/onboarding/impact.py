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


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What one of the three arrays of people's rows holds. Of each content there is one in a census: it is itself a key."""

    releases: Sequence[int]


@dataclass(frozen=True, slots=True)
class Group:
    """People whose rows hold the same, which `standing` stands for. Of them `finished_once` have ever finished, and
    `finished` of those not been reopened since: before and after the release that is being counted."""

    standing: int
    held: Mapping[Status, Held]
    people: int
    finished_once: int
    finished: tuple[int, int]

    def count_finished(self, percent: int, *, after: bool = False) -> int:
        """How many count as finished when the group is at `percent` (docs/model.md, rule 8)."""
        return self.finished_once if percent == 100 else self.finished[after]


@dataclass(frozen=True)
class Rules:
    """What the releases say at one moment: each one's worth, the sum of live weights, the newest reopening.

    What an array's content is worth is worked out once: there may be as many groups as people, but each of them is a
    combination of three contents, of which there are few.
    """

    recorded: Mapping[int, Recorded]
    total: int
    reopened_at: datetime

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
        known = self._statuses.setdefault(step_id, {})
        for status, held in group.held.items():
            if (status, held) not in known:
                known[status, held] = self._status_in(step_id, status, held)
            if found := known[status, held]:
                return found
        return "todo"

    def percent(self, group: Group) -> int:
        """The group's progress, 0 to 100, rounded down."""
        if not self.total:
            return 0
        return 100 * (self._points_of("done", group) + self._points_of("skipped", group)) // self.total

    @cached_property
    def _statuses(self) -> dict[str, dict[tuple[Status, Held], Status | None]]:
        return {}

    def _status_in(self, step_id: str, status: Status, held: Held) -> Status | None:
        """What the step's status counts as when it is recorded in this array; None: it is not."""
        for release in held.releases:
            recorded = self.recorded[release]
            if recorded.step_id == step_id:
                return status if recorded.keeps[status] else "todo"
        return None

    @cached_property
    def _points(self) -> dict[Status, dict[Held, int]]:
        return {"done": {}, "skipped": {}}

    def _points_of(self, status: Status, group: Group) -> int:
        held, known = group.held[status], self._points[status]
        if held not in known:
            recorded = (self.recorded[release] for release in held.releases)
            known[held] = sum(one.weight for one in recorded if one.keeps[status])
        return known[held]


RULES = text("""
SELECT r.id, r.step_id, s.weight,
       r.done_reset_by IS NULL AS done, r.skipped_reset_by IS NULL AS skipped,
       r.in_progress_reset_by IS NULL AS in_progress,
       r.id = s.current_release_id AS is_current,
       CASE WHEN r.reopens_finished AND r.undone_by IS NULL THEN r.released_at END AS reopened_at
  FROM step_releases r
  JOIN steps s ON s.step_id = r.step_id
""")

# The arrays as text, which is the key of their content.
CENSUS = text(f"""
SELECT done_releases::text, skipped_releases::text, in_progress_releases::text, min(standing) AS standing,
       count(*) AS people, count(finished_at) AS finished_once,
       count(*) FILTER (WHERE finished_at > :reopened_before) AS finished_before,
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


def census(session: Session, reopened_before: datetime) -> list[Group]:
    """Everybody, in groups. `reopened_before`: when finished was reopened last, before the release being counted.

    Ask for the rules after the census, never before: then they know every release that a row can name.
    """
    content = Contents()
    return [
        Group(standing, content.of(*arrays), people, finished_once, (before, after))
        for *arrays, standing, people, finished_once, before, after in session.execute(
            CENSUS, {"reopened_before": reopened_before}
        )
    ]


class Contents(dict[str, Held]):
    """The contents of arrays by the text that PostgreSQL writes for them: `{}`, `{1,5}`."""

    def __missing__(self, written: str) -> Held:
        held = self[written] = Held([int(release) for release in written[1:-1].split(",") if release])
        return held

    def of(self, done: str, skipped: str, in_progress: str) -> dict[Status, Held]:
        """What a row holds."""
        return {"done": self[done], "skipped": self[skipped], "in_progress": self[in_progress]}


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
            for held in group.held.values()
            for release in held.releases
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


def tally(groups: Sequence[Group], known: Rules) -> tuple[Spread, dict[str, Counts]]:
    """How far everybody is, and people by status for each step that was ever released."""
    spread = Spread()
    holding: dict[Status, Counter[Held]] = {status: Counter() for status in STATUSES}
    for group in groups:
        percent = known.percent(group)
        spread.people[percent] += group.people
        spread.finished += group.count_finished(percent)
        for status, held in group.held.items():
            holding[status][held] += group.people
    counts = {recorded.step_id: no_counts() for recorded in known.recorded.values()}
    for status, contents in holding.items():
        for held, people in contents.items():
            for release in held.releases:
                recorded = known.recorded[release]
                if recorded.keeps[status]:
                    counts[recorded.step_id][status] += people
    everybody = spread.people.total()
    for of_step in counts.values():
        of_step["todo"] = everybody - sum(of_step.values())
    return spread, counts
