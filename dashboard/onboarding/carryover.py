"""The carry-over rule (docs/model.md, rule 1) for any moment of the past; the database holds the same for today.

A status is never rewritten by a release. What it counts as is read off the releases between the one under which it was
recorded and the one that is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

Status = Literal["done", "skipped", "in_progress", "todo"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""In the order in which every page shows them."""

STATUS_LABELS: Mapping[str, str] = {
    "done": "Done",
    "skipped": "Skipped",
    "in_progress": "In progress",
    "todo": "To do",
}

WORKED: tuple[Status, ...] = ("done", "skipped", "in_progress")
"""Those that are recorded in an array of a person's each."""

PASSED: tuple[Status, ...] = ("done", "skipped")
"""Those that count for a person's progress. As text, it is a list in SQL."""

Kind = Literal["publish", "migrate", "rollback", "withdraw", "restore"]
FORWARD: tuple[Kind, ...] = ("publish", "migrate")
"""The kinds that make a version live, and that a rollback undoes. As text, it is a list in SQL."""
UNDOES: frozenset[Kind] = frozenset({"rollback", "restore"})
"""The kinds that only take back: they reset nothing and are not rolled back themselves."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which statuses a release keeps; the others count as To do. The default is the original system's rule."""

    done: bool = True
    skipped: bool = True
    in_progress: bool = False

    def keeps(self, status: Status) -> bool:
        """Whether `status` is kept; To do always is."""
        return status == "todo" or bool(getattr(self, status))


KEEP_ALL = Policy(in_progress=True)


@dataclass(frozen=True, slots=True)
class Release:
    """One row of step_releases. `version` is None for a withdrawal; `undone_by` is the release that undid it."""

    id: int
    step_id: str
    number: int
    version: int | None
    kind: Kind
    policy: Policy
    undone_by: int | None
    reopens_finished: bool
    note: str
    released_at: datetime
    released_by: str
    receipt: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The release as the API and its file show it."""
        keeps = self.policy
        return {
            "id": self.id,
            "number": self.number,
            "kind": self.kind,
            "version": self.version,
            "releasedAt": self.released_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "by": self.released_by,
            "note": self.note,
            "policy": {
                "done": "keep" if keeps.done else "redo",
                "skipped": "keep" if keeps.skipped else "reset",
                "inProgress": "keep" if keeps.in_progress else "reset",
            },
            "reopenFinished": self.reopens_finished,
            "undone": self.undone_by is not None,
            "undoneBy": self.undone_by,
            "receipt": self.receipt,
        }


def reset_by(status: Status, recorded: int, current: int, releases: Sequence[Release]) -> Release | None:
    """The release that reset a `status` recorded at release number `recorded`, as it stood at number `current`.

    `releases` are those of the step until then at least, oldest first. None: the status still counted then.
    """
    until = {release.id for release in releases if release.number <= current}
    for release in releases:
        if not recorded < release.number <= current or release.kind in UNDOES or release.policy.keeps(status):
            continue
        if release.undone_by not in until:
            return release
    return None


def status_at(status: Status, recorded: int, current: int, releases: Sequence[Release]) -> Status:
    """What a `status` recorded at release number `recorded` counted as at release number `current`."""
    return "todo" if reset_by(status, recorded, current, releases) else status


def statuses_counting_today(releases: Sequence[Release]) -> Iterator[tuple[Release, set[Status]]]:
    """Each of the step's releases, newest first, with the statuses recorded under it that count today.

    `releases` are all those of the step, oldest first. One walk, however many there are.
    """
    counting: set[Status] = set(WORKED)
    for release in reversed(releases):
        yield release, set(counting)
        if release.undone_by is None and release.kind not in UNDOES:
            counting = {status for status in counting if release.policy.keeps(status)}
