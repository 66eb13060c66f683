"""Runs scenarios in worlds of each size: both sides in turns, again and again, and then how the cost has grown."""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.benchmarks.data import Shape
from tests.benchmarks.scenario import Scenario, Sides
from tests.benchmarks.world import World

OURS = "ours"
TOLERANCE = 0.1
"""An exponent may be worse by so much: twice the cost for a thousand times the people."""
TARGET_PEOPLE = 1_000_000
"""What is aimed at is said of so many people."""
SHAPES: tuple[Shape, ...] = ("funnel", "random")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the runs of one side came to, in the scenario's unit."""

    runs: int
    median: float
    least: float
    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A scenario at one size: our figures, those of each reference by name, and what else there is to tell."""

    ours: Figures
    references: Mapping[str, Figures]
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failed:
    """A scenario that could not be measured at one size, and why."""

    why: str


@dataclass(slots=True)
class Result:
    """A scenario in one shape of the data, with what came of it by the number of people."""

    scenario: Scenario
    shape: Shape
    by_people: dict[int, Measured | Failed] = field(default_factory=dict)

    @property
    def measured(self) -> dict[int, Measured]:
        """Where it was measured, the fewest people first."""
        found = {people: one for people, one in self.by_people.items() if isinstance(one, Measured)}
        return dict(sorted(found.items()))

    @property
    def failures(self) -> dict[int, str]:
        """Where it was not, and why."""
        return {people: one.why for people, one in self.by_people.items() if isinstance(one, Failed)}

    def exponent(self, side: str = OURS) -> float | None:
        """How the cost grows with the number of people: 0 not at all, 1 as they do. None: of one size it can't be told."""
        found = {people: _of(one, side) for people, one in self.measured.items()}
        return exponent({people: self.scenario.unit.cost(of.median) for people, of in found.items() if of})

    @property
    def grows_too_fast(self) -> bool:
        """Whether that is a defect."""
        grown = self.exponent()
        return grown is not None and grown > self.scenario.growth + TOLERANCE

    def advantage(self, people: int, reference: str) -> float:
        """How many times as good as that reference we are at that size."""
        one = self.measured[people]
        return self.scenario.unit.advantage(one.ours.median, one.references[reference].median)

    @property
    def missed(self) -> list[str]:
        """What was aimed at and not reached, at the largest size."""
        if not self.measured:
            return []
        people, one = list(self.measured.items())[-1]
        scenario, unit = self.scenario, self.scenario.unit
        missed = []
        if scenario.aim is not None:
            figure = getattr(one.ours, scenario.aim_of)
            if figure < scenario.aim if unit.more_is_better else figure > scenario.aim:
                missed.append(f"{scenario.aim_of} {figure:.3g} {unit.name}, aim {scenario.aim:g}")
        if scenario.advantage is not None and one.references:
            reference = next(iter(one.references))
            if (reached := self.advantage(people, reference)) < scenario.advantage:
                missed.append(f"{reached:.2f} × {reference}, aim {scenario.advantage:g}")
        return missed


def _of(one: Measured, side: str) -> Figures | None:
    return one.ours if side == OURS else one.references.get(side)


def figures(values: Sequence[float]) -> Figures:
    """Of the runs of one side; the first ones, which warm everything up, are left out where there are others."""
    settled = sorted(values[math.ceil(len(values) / 10) :] if len(values) > 1 else values)
    return Figures(
        len(settled),
        statistics.median(settled),
        settled[0],
        settled[min(len(settled) - 1, int(len(settled) * 0.95))],
        settled[-1],
    )


def exponent(costs: Mapping[int, float]) -> float | None:
    """The slope of log(cost) over log(people), by least squares. None: there are fewer than two sizes."""
    if len(costs) < 2:
        return None
    x, y = [math.log(people) for people in costs], [math.log(cost) for cost in costs.values()]
    return statistics.linear_regression(x, y).slope


def measure(sides: Sides, *, runs: int, seconds: float) -> dict[str, Figures]:
    """The figures of ours and of each reference. They take turns, so that a slow moment hits all.

    A side that has run `runs` times, or used up its `seconds`, stays out while the others go on. The first run of each
    warms it up, and is one too many; where that alone takes longer than `seconds` it is the only one.
    """
    jobs = {OURS: sides.ours, **sides.references}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    spent = dict.fromkeys(jobs, 0.0)
    while turn := [name for name in jobs if len(taken[name]) < runs and (not taken[name] or spent[name] < seconds)]:
        for name in turn:
            before = time.perf_counter()
            jobs[name].prepare()
            started = time.perf_counter()
            figure = jobs[name].run()
            ended = time.perf_counter()
            taken[name].append((ended - started) * 1000 if figure is None else figure)
            spent[name] += ended - before
            if len(taken[name]) == 1 < runs and spent[name] < seconds:
                spent[name] = 0.0
    return {name: figures(values) for name, values in taken.items()}


def run(scenario: Scenario, world: World) -> Measured | Failed:
    """One scenario in one world; whatever goes wrong is its result."""
    effort = world.effort
    try:
        with scenario.sides(world) as sides:
            runs, seconds = min(scenario.runs, effort.runs), effort.seconds * scenario.patience
            found = measure(sides, runs=runs, seconds=seconds)
            details = dict(sides.details())
        return Measured(found.pop(OURS), found, details)
    except Exception as error:
        return failure(error)


def failure(error: Exception) -> Failed:
    """What is told of it: the error, and where in the benchmarks it came up."""
    lines = traceback.extract_tb(error.__traceback__)
    here = [line for line in lines if "benchmarks" in line.filename] or lines
    where = f"{here[-1].filename.rpartition('/')[2]}:{here[-1].lineno}: " if here else ""
    return Failed(f"{where}{type(error).__name__}: {str(error).strip()[:300]}")


Worlds = Callable[[int, Shape], AbstractContextManager[World]]


def run_all(
    scenarios: Iterable[Scenario], sizes: Sequence[int], worlds: Worlds, tell: Callable[[Result, int], object]
) -> list[Result]:
    """Every scenario at every size, the smallest first, in each of its shapes; `tell` hears of each as it is done."""
    results = [Result(one, shape) for one in scenarios for shape in SHAPES if shape in one.shapes]
    for people in sorted(sizes):
        for shape in SHAPES:
            here = [result for result in results if result.shape == shape]
            for result in _in_one_world(here, people, lambda people=people, shape=shape: worlds(people, shape)):
                tell(result, people)
    return results


def _in_one_world(
    results: Sequence[Result], people: int, open_world: Callable[[], AbstractContextManager[World]]
) -> Iterator[Result]:
    if not results:
        return
    try:
        with open_world() as world:
            for result in results:
                result.by_people[people] = run(result.scenario, world)
                yield result
    except Exception as error:
        for result in results:
            if people not in result.by_people:
                result.by_people[people] = failure(error)
                yield result
