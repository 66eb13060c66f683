"""What a release was planned from, and what has changed since: a preview's release, draft and counts, and today's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboard.onboarding.errors import StalePlan
from dashboard.onboarding.impact import Impact

PREDICTED = {
    "affected": "affected",
    "copied": "copied",
    "reset": "reset",
    "restored": "restored",
    "kept_later": "keptLater",
    "untouched": "untouched",
    "up": "up",
    "down": "down",
    "same": "same",
    "fall_from_100": "fallFrom100",
}
"""The counts that a preview predicts: their names in Impact (or its Moves), and in the receipt."""
MOVES = ("up", "down", "same", "fall_from_100")


@dataclass(frozen=True, slots=True)
class Planned:
    """What the caller saw when deciding: the current release's id (0: none), the draft's row_version; None: not asked.

    `predicted` has counts by the names of PREDICTED. `reset` and `restored` may differ by `tolerance` people before the
    plan is stale; the others are only kept, for the receipt.
    """

    release_id: int | None = None
    draft_row_version: int | None = None
    predicted: Mapping[str, int] = field(default_factory=dict)
    tolerance: int = 0

    def is_of(self, other: Planned) -> bool:
        """True when both saw the same release and the same draft, whatever they predict."""
        return (self.release_id, self.draft_row_version) == (other.release_id, other.draft_row_version)


@dataclass(frozen=True, slots=True)
class Drift:
    """How many people a preview predicted for one member of a receipt, and how many they are."""

    member: str
    predicted: int
    actual: int

    @property
    def difference(self) -> int:
        """Positive: more people than predicted."""
        return self.actual - self.predicted


def foretold(report: Impact) -> dict[str, int]:
    """What a preview with this report predicts, by the names of PREDICTED."""
    return {name: getattr(report.moves if name in MOVES else report, name) for name in PREDICTED}


def counts(kept: Mapping[str, Any]) -> dict[str, int]:
    """The same counts of a report as a receipt keeps it, by the receipt's names."""
    return {member: kept["moves"][name] if name in MOVES else kept[member] for name, member in PREDICTED.items()}


def drift(planned: Planned, report: Impact) -> list[Drift]:
    """Every count that was predicted beside the actual one, also those that are equal."""
    return [
        Drift(PREDICTED[name], planned.predicted[name], actual)
        for name, actual in foretold(report).items()
        if name in planned.predicted
    ]


HELD_TO = {"reset": "Reset", "restored": "Given back"}
"""The members of a receipt that may drift by the plan's tolerance only, as people read them."""


def check_drift(drifts: Iterable[Drift], tolerance: int) -> None:
    """Raises StalePlan when more than `tolerance` people moved in what a plan is held to."""
    reasons = [
        f"{HELD_TO[one.member]}: {one.predicted:,} people expected, {one.actual:,} now."
        for one in drifts
        if one.member in HELD_TO and abs(one.difference) > tolerance
    ]
    if reasons:
        raise StalePlan(reasons)


def tolerance(everybody: int, percent: float, people: int) -> int:
    """How many people a prediction may drift by: `percent` of everybody, or `people` where that is more."""
    return max(people, int(everybody * percent / 100))
