"""The naive, eager implementation that the engine has to equal: everybody has a row, and a release rewrites it.

A release looks at every person's row of the step, puts it back to To do unless its policy keeps the status, and moves
row_version on by one. Before it does, it copies every row, so that a rollback can give back what it took. A write is
stored when its row_version is that of the row. Nothing is derived, nothing is shared with the engine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True)
class Entry:
    """One line of a row's own diary: what made this row_version."""

    row_version: int
    kind: str
    by: str
    before: str
    after: str


@dataclass
class Row:
    status: str = "todo"
    row_version: int = 1
    updated_at: datetime | None = None
    updated_by: str | None = None
    written_after: int = 0
    """The number of the newest release when a person's work was last saved here; 0: never."""
    diary: list[Entry] = field(default_factory=list)


@dataclass
class Release:
    number: int
    kind: str
    version: int | None
    reopens: bool
    at: datetime
    before: dict[str, Row]
    undone: bool = False


@dataclass
class Step:
    weights: dict[int, int] = field(default_factory=dict)
    live: int | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What one release did, counted person by person."""

    matrix: dict[str, dict[str, int]]
    copied: int
    reset: int
    restored: int
    untouched: int
    kept_later: int
    everybody: int
    before: dict[str, int]
    after: dict[str, int]
    finished_before: int
    finished_after: int


class Refused(Exception):
    """What was asked for makes no sense now."""


class Oracle:
    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.finished_at: dict[str, datetime | None] = {}

    def join(self, person: str) -> None:
        """A new person gets a row in every step; its row_version is what the step's releases have made of it."""
        self.finished_at[person] = None
        for step in self.steps.values():
            step.rows[person] = Row(row_version=len(step.releases))

    # Progress ----------------------------------------------------------------------------------------------------

    def percent(self, person: str) -> int:
        live = [step for step in self.steps.values() if step.live is not None]
        total = sum(step.weights[step.live] for step in live if step.live)
        counting = [step for step in live if step.rows[person].status in ("done", "skipped")]
        return 100 * sum(step.weights[step.live] for step in counting if step.live) // total if total else 0

    def finished(self, person: str) -> bool:
        once = self.finished_at[person]
        if once is None:
            return False
        return self.percent(person) == 100 or not self._reopened_since(once)

    def _reopened_since(self, moment: datetime) -> bool:
        return any(
            release.reopens and not release.undone and release.at >= moment
            for step in self.steps.values()
            for release in step.releases
        )

    # Writes ------------------------------------------------------------------------------------------------------

    def write(self, step_id: str, person: str, status: str, row_version: int, by: str, at: datetime) -> None:
        """Store the status, if the caller saw this very row."""
        step = self.steps[step_id]
        row = step.rows[person]
        if step.live is None or row.row_version != row_version:
            raise Refused
        row.diary.append(Entry(row_version + 1, "event", by, row.status, status))
        row.status, row.row_version, row.updated_at, row.updated_by = status, row_version + 1, at, by
        row.written_after = len(step.releases)
        finished = self.finished_at[person]
        if self.percent(person) == 100 and (finished is None or self._reopened_since(finished)):
            self.finished_at[person] = at

    # Releases ----------------------------------------------------------------------------------------------------

    def publish(self, step_id: str, weight: int, by: str, at: datetime, reopens: bool = False) -> Report:
        """The first release: from now on everybody has a row."""
        before = self._standing()
        self.steps[step_id] = step = Step({1: weight})
        step.rows = {person: Row(row_version=0) for person in self.finished_at}
        self._release(step, "publish", 1, reopens, by, at, keeps=("done", "skipped", "in_progress"))
        return self._report(step, before, dict.fromkeys(self.finished_at, "todo"))

    def migrate(
        self, step_id: str, weight: int, keeps: tuple[str, ...], by: str, at: datetime, reopens: bool = False
    ) -> Report:
        step = self.steps[step_id]
        if step.live is None:
            raise Refused
        before, statuses = self._standing(), self._statuses(step)
        version = max(step.weights) + 1
        step.weights[version] = weight
        self._release(step, "migrate", version, reopens, by, at, keeps)
        return self._report(step, before, statuses)

    def roll_back(self, step_id: str, by: str, at: datetime) -> Report:
        """Undo the newest release that went forward: whoever has not saved anything since gets their row back."""
        step = self.steps[step_id]
        forward = [one for one in step.releases if one.kind in ("publish", "migrate") and not one.undone]
        if step.live is None or len(forward) < 2:
            raise Refused
        return self._take_back(step, forward[-1], "rollback", forward[-2].version, by, at)

    def withdraw(self, step_id: str, by: str, at: datetime) -> Report:
        step = self.steps[step_id]
        if step.live is None:
            raise Refused
        before, statuses = self._standing(), self._statuses(step)
        self._release(step, "withdraw", None, False, by, at, keeps=("done", "skipped", "in_progress"))
        return self._report(step, before, statuses)

    def restore(self, step_id: str, by: str, at: datetime) -> Report:
        step = self.steps[step_id]
        if step.live is not None:
            raise Refused
        return self._take_back(step, step.releases[-1], "restore", step.releases[-2].version, by, at)

    def _release(
        self,
        step: Step,
        kind: str,
        version: int | None,
        reopens: bool,
        by: str,
        at: datetime,
        keeps: tuple[str, ...],
    ) -> None:
        images = {person: replace(row) for person, row in step.rows.items()}
        step.releases.append(Release(len(step.releases) + 1, kind, version, reopens, at, images))
        step.live = version
        for row in step.rows.values():
            before = row.status
            if before not in (*keeps, "todo"):
                row.status, row.updated_at, row.updated_by = "todo", at, by
            self._move_on(row, by, before)

    def _take_back(self, step: Step, undone: Release, kind: str, version: int | None, by: str, at: datetime) -> Report:
        standing, statuses = self._standing(), self._statuses(step)
        later = {person for person, row in step.rows.items() if row.written_after >= undone.number}
        undone.undone = True
        step.releases.append(Release(len(step.releases) + 1, kind, version, False, at, {}))
        step.live = version
        for person, row in step.rows.items():
            before = row.status
            image = undone.before.get(person)
            if image and person not in later:
                row.status, row.updated_at, row.updated_by = image.status, image.updated_at, image.updated_by
            self._move_on(row, by, before)
        return self._report(step, standing, statuses, later)

    @staticmethod
    def _move_on(row: Row, by: str, before: str) -> None:
        row.row_version += 1
        if row.row_version > 1:
            row.diary.append(Entry(row.row_version, "release", by, before, row.status))

    # Counting ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _statuses(step: Step) -> dict[str, str]:
        return {person: row.status for person, row in step.rows.items()}

    def _standing(self) -> dict[str, tuple[int, bool]]:
        return {person: (self.percent(person), self.finished(person)) for person in self.finished_at}

    def _report(
        self,
        step: Step,
        standing: dict[str, tuple[int, bool]],
        was: dict[str, str],
        later: set[str] | None = None,
    ) -> Report:
        now, then = self._statuses(step), self._standing()
        pairs = Counter((was[person], now[person]) for person in now)
        names = ("done", "skipped", "in_progress", "todo")
        return Report(
            matrix={before: {after: pairs[before, after] for after in names} for before in names},
            copied=sum(1 for person in now if was[person] == now[person] != "todo"),
            reset=sum(1 for person in now if was[person] != "todo" == now[person]),
            restored=sum(1 for person in now if was[person] == "todo" != now[person]),
            untouched=sum(1 for person in now if was[person] == "todo" == now[person]),
            kept_later=sum(1 for person in later or () if now[person] != "todo"),
            everybody=len(now),
            before={person: percent for person, (percent, _) in standing.items()},
            after={person: percent for person, (percent, _) in then.items()},
            finished_before=sum(finished for _, finished in standing.values()),
            finished_after=sum(finished for _, finished in then.values()),
        )
