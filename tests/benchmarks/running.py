"""Scenarios of the process itself: how long it takes to start, and how large it gets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tests.benchmarks import data
from tests.benchmarks.callers import ApiCaller, at_once
from tests.benchmarks.scenario import MIB, Scenario, Side, Sides
from tests.benchmarks.world import World

PAGES = ("/people", "/people?q=okafor", "/steps", "/activity")
EACH = 100
"""One request in so many is for a page, as a host's backend asks much more often than people do."""


@contextmanager
def starting(world: World) -> Iterator[Sides]:
    def start() -> float:
        started = time.perf_counter()
        with world.programs.dashboard(world.url, 2):
            return (time.perf_counter() - started) * 1000

    def start_bare() -> float:
        started = time.perf_counter()
        with world.programs.bare(world.url):
            return (time.perf_counter() - started) * 1000

    yield Sides(Side(start), {"a bare Flask app": Side(start_bare)})


@contextmanager
def growing(world: World) -> Iterator[Sides]:
    with world.database.transaction() as session:
        rows = data.some_rows(session, 2_000)
    assert world.plain

    def ours() -> float:
        turns = count()
        with (
            world.programs.dashboard(world.url, 1) as served,
            at_once([ApiCaller(served.port, {**world.token, **world.cookie}, "host", rows)]) as (host,),
        ):
            for number in range(world.effort.requests):
                if number % EACH == 0:
                    host.ask("GET", PAGES[next(turns) % len(PAGES)])
                elif number % 2:
                    host.save()
                else:
                    host.read()
            return served.memory_mib()

    def bare() -> float:
        with (
            world.programs.bare(world.url) as served,
            at_once([ApiCaller(served.port, {}, "host", rows)]) as (host,),
        ):
            for number in range(world.effort.requests):
                if number % 2:
                    host.save()
                else:
                    host.read()
            return served.memory_mib()

    yield Sides(Side(ours), {"a bare Flask app": Side(bare)})


SCENARIOS = (
    Scenario(
        "start",
        "The process",
        "Start",
        "from the start of `dashboard run` with two workers to its first answer",
        starting,
        growth=0,
        runs=5,
        patience=3,
    ),
    Scenario(
        "memory",
        "The process",
        "Memory of a worker",
        "resident after 10,000 requests of the API and for pages",
        growing,
        growth=0,
        unit=MIB,
        aim=150,
        runs=1,
    ),
)
