"""`make bench`: measures, prints what it finds, and writes the report when it is asked to."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from dashboard.embedded import running
from tests.benchmarks import machine, report
from tests.benchmarks.data import Shape
from tests.benchmarks.harness import Result, Worlds, run_all
from tests.benchmarks.programs import ROOT, Processes
from tests.benchmarks.report import Report
from tests.benchmarks.scenario import Scenario
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.world import Effort, Server, World, world

SIZES = "1000,100000"
SMALLEST = 100


def main() -> int:
    """0; 1 when a scenario could not be measured."""
    sizes, chosen, effort = asked(os.environ)
    # whoever ends it leaves no server behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # a line for each of thousands of requests would hide the figures
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        readable_by_the_server(folder)
        with running(folder / "data") as url:
            server = Server(url)
            results = run_all(chosen, sizes, _worlds(server, Processes(folder), effort, folder), _tell)
            on = machine.told(server.version())
            server.close()
    made = Report(datetime.now(UTC), time.monotonic() - started, on, sorted(sizes), results)
    print(report.summary(made))
    if os.environ.get("BENCH_WRITE"):
        report.write(made, ROOT / "docs")
    return int(any(result.failures for result in results))


def asked(environ: Mapping[str, str]) -> tuple[list[int], Sequence[Scenario], Effort]:
    """The sizes, the scenarios and the effort that the environment asks for. Raises SystemExit for what it can't be."""
    sizes = environ.get("BENCH_SIZES") or SIZES
    only = [key for key in environ.get("BENCH_ONLY", "").split(",") if key]
    keys = [one.key for one in SCENARIOS]
    if unknown := set(only).difference(keys):
        raise SystemExit(f"BENCH_ONLY: there is no {', '.join(sorted(unknown))}; there are {', '.join(keys)}")
    try:
        numbers = [int(size) for size in sizes.split(",")]
        effort = Effort(seconds=float(environ.get("BENCH_SECONDS") or Effort().seconds))
    except ValueError as error:
        raise SystemExit(f"BENCH_SIZES and BENCH_SECONDS are numbers: {error}") from error
    if min(numbers) < SMALLEST:
        raise SystemExit(f"BENCH_SIZES: {SMALLEST} people at least")
    return numbers, [one for one in SCENARIOS if not only or one.key in only], effort


def _worlds(server: Server, programs: Processes, effort: Effort, folder: Path) -> Worlds:
    def open_world(people: int, shape: Shape) -> AbstractContextManager[World]:
        print(f"\n{people:,} people, {shape}", flush=True)
        return world(server, programs, people, shape, effort, folder)

    return open_world


def _tell(result: Result, people: int) -> None:
    print(report.line(result, people), flush=True)


def readable_by_the_server(folder: Path) -> None:
    """Lets another system user into the folder: root's server runs as one."""
    for parent in (folder, *folder.parents):
        if parent != Path(parent.anchor) and parent.owner() == "root":
            parent.chmod(parent.stat().st_mode | 0o055)


if __name__ == "__main__":
    sys.exit(main())
