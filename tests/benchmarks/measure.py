"""Timing with its spread. Two things are compared in turns of one run, so that a slow moment hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of each run."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def __str__(self) -> str:
        ordered = sorted(self.runs)
        worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        return f"{self.median:9.3f} ms   (least {ordered[0]:.3f}, 95 % {worst:.3f}, runs {len(ordered)})"


def timed(*jobs: Callable[[], object], runs: int = 20, warm_up: int = 3) -> list[Timing]:
    """Each job's timing; the jobs take turns."""
    taken: list[list[float]] = [[] for _ in jobs]
    for run in range(warm_up + runs):
        for job, into in zip(jobs, taken, strict=True):
            started = time.perf_counter()
            job()
            if run >= warm_up:
                into.append((time.perf_counter() - started) * 1000)
    return [Timing(tuple(into)) for into in taken]


def say(what: str, timing: object) -> None:
    """One line of the report."""
    print(f"  {what:<52} {timing}")


def ratio(what: str, ours: Timing, other: Timing, target: float) -> None:
    """One line of the report: how many times `other` ours takes, beside what we aim at. It judges nothing."""
    print(f"  {what:<52} {ours.median / other.median:9.2f} x    (aim: {target} x)")
