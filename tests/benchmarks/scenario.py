"""What a scenario is: the same job done by the dashboard and by what it is compared with, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.benchmarks.data import Shape

if TYPE_CHECKING:
    from tests.benchmarks.world import World

Group = Literal["Releases", "Saves", "Pages", "Files", "The process"]
Statistic = Literal["median", "p95", "most"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a figure is in. Less than `floor` counts as that much where growth is asked for: it is noise."""

    name: str
    more_is_better: bool = False
    floor: float = 0.0

    def cost(self, figure: float) -> float:
        """What one unit of work costs, by which growth is told: a rate upside down."""
        return 1 / max(figure, 1e-9) if self.more_is_better else max(figure, self.floor)

    def advantage(self, ours: float, other: float) -> float:
        """How many times as good as the other one ours is: above 1 it is better."""
        return self.cost(other) / max(self.cost(ours), 1e-9)


MS = Unit("ms", floor=1.0)
RATE = Unit("a second", more_is_better=True)
MIB = Unit("MiB", floor=1.0)


def nothing() -> None:
    """There is nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that are compared. `run` is timed, unless it returns the figure itself; `prepare` is not."""

    run: Callable[[], float | None]
    prepare: Callable[[], object] = nothing


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides, ready to run. Of the references, by name, the first is the one that is aimed at.

    `details` is asked at the end for more that is worth telling, by name.
    """

    ours: Side
    references: Mapping[str, Side] = field(default_factory=dict)
    details: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True, slots=True)
class Scenario:
    """One job. `sides` gets everything ready in a world, and tidies up.

    `aim`: what `aim_of` our figures may be at most, in `unit` (a rate: at least). `advantage`: how many times as good as
    the first reference ours is to be at least. `growth`: the largest exponent of the cost in the number of people; 0:
    it must not grow. `runs` is how often each side runs at most, and `patience` how much longer than usual it may take.
    """

    key: str
    group: Group
    name: str
    what: str
    sides: Callable[[World], AbstractContextManager[Sides]]
    growth: float
    unit: Unit = MS
    aim: float | None = None
    aim_of: Statistic = "median"
    advantage: float | None = None
    shapes: tuple[Shape, ...] = ("funnel",)
    runs: int = 30
    patience: float = 1.0
