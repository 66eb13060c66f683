"""Requests a second of the API beside bare Flask views, each served by one process of the same server, in turns.

It prints; it judges nothing. The callers keep their connections, as a host's backend does, and wait for each answer.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.embedded import running
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests.benchmarks.measure import say
from tests.benchmarks.servers import databases_of, readable_by_the_server

PEOPLE = 20_000
CALLERS = 8
ROUNDS, ROUND_S = 5, 3.0
MEMORY_REQUESTS = 50_000
ROOT = Path(__file__).parents[2]
GRANIAN = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "4", "--no-ws", "--log-level", "warning"]


@dataclass
class Row:
    """A row that one caller has to itself."""

    user_id: str
    step_id: str
    row_version: int


@dataclass
class Served:
    """A program that listens, and how its worker's memory is read."""

    port: int
    process: subprocess.Popen[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def memory_mib(self) -> float:
        """The largest resident set of its processes, in MiB: that of the worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        sizes = [Path(f"/proc/{pid}/status").read_text() for pid in (*children, str(self.process.pid))]
        return max(int(size.partition("VmRSS:")[2].split()[0]) for size in sizes) / 1024


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with eight steps on a server that keeps its promises."""
    folder = tmp_path_factory.mktemp("api")
    readable_by_the_server(folder)
    with running(folder) as url, databases_of(url, {PEOPLE: 8}) as databases:
        yield databases[PEOPLE]


@pytest.fixture(scope="module")
def ours(filled: Database) -> Iterator[Served]:
    """The dashboard, with a token that may ask as often as it likes."""
    with filled.transaction() as session:
        made = tokens.create(session, Actor("system:benchmark", "cli"), name="bench", scopes=list(Scope))
    url = filled.engine.url.render_as_string(hide_password=False)
    environment = {"DATABASE_URL": url, "SECRET_KEY": "only for a benchmark", "RATE_LIMIT": "1000000000"}
    with served("dashboard.serving:worker_app", environment) as program:
        program.headers = {"Authorization": f"Bearer {made.secret}"}
        yield program


@pytest.fixture(scope="module")
def bare(filled: Database) -> Iterator[Served]:
    """The views of bare.py."""
    url = libpq_url(filled.engine.url.render_as_string(hide_password=False))
    with served("tests.benchmarks.bare:bare_app", {"BARE_DATABASE_URL": url}) as program:
        yield program


@contextmanager
def served(target: str, environment: Mapping[str, str]) -> Iterator[Served]:
    """Serves the factory by Granian, in one process of four threads."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "granian",
        *GRANIAN,
        "--factory",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        target,
    ]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
        )
        stack.callback(process.terminate)
        for _ in range(200):
            with closing(socket.socket()) as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield Served(port, process)


class Caller:
    """One connection that asks and waits, over and over; it knows how long each answer took."""

    def __init__(self, served: Served, rows: list[Row]) -> None:
        self.connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
        self.headers = {**served.headers, "Content-Type": "application/json"}
        self.rows, self.statuses = cycle(rows), cycle(("done", "skipped", "in_progress", "todo"))

    def save(self) -> None:
        row = next(self.rows)
        wanted = {"user_id": row.user_id, "status": next(self.statuses), "row_version": row.row_version}
        answer = self._ask("PATCH", f"/api/onboarding/steps/{row.step_id}", json.dumps(wanted))
        row.row_version = answer["step"].get("row_version", row.row_version)

    def read(self) -> None:
        self._ask("GET", f"/api/onboarding/steps?user_id={next(self.rows).user_id}")

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, found
        return found


def round_of(callers: list[Caller], ask: Callable[[Caller], None], seconds: float) -> list[float]:
    """All of them at once for so long: the milliseconds of each answer."""
    taken: list[list[float]] = [[] for _ in callers]
    until = time.perf_counter() + seconds

    def go(caller: Caller, into: list[float]) -> None:
        while (started := time.perf_counter()) < until:
            ask(caller)
            into.append((time.perf_counter() - started) * 1000)

    threads = [threading.Thread(target=go, args=pair) for pair in zip(callers, taken, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for of_caller in taken for one in of_caller]


def rows_of(database: Database) -> list[Row]:
    """Recorded rows at the row_version that counts, in no order."""
    query = text("""SELECT v.user_id, v.step_id, v.row_version FROM user_onboarding v JOIN user_steps USING (user_id, step_id)
                     ORDER BY md5(v.user_id || v.step_id) LIMIT 16000""")
    with database.transaction() as session:
        return [Row(*row) for row in session.execute(query)]


def callers_of(served: Served, rows: list[Row]) -> list[Caller]:
    return [Caller(served, rows[number::CALLERS]) for number in range(CALLERS)]


def compare(what: str, ours: list[Caller], bare: list[Caller], ask: Callable[[Caller], None], aim: str) -> None:
    """In turns, and what came of it."""
    for callers in (ours, bare):
        round_of(callers, ask, 1.0)
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    waits: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        for name, callers in (("ours", ours), ("bare", bare)):
            taken = round_of(callers, ask, ROUND_S)
            rates[name].append(len(taken) / ROUND_S)
            waits[name] += taken
    print()
    for name, title in (("ours", what), ("bare", f"{what}, bare Flask view")):
        worst = statistics.quantiles(waits[name], n=100)[98]
        say(
            title,
            f"{statistics.median(rates[name]):9.0f} a second   (p50 {statistics.median(waits[name]):.2f} ms, "
            f"p99 {worst:.2f} ms, least {min(rates[name]):.0f}, most {max(rates[name]):.0f})",
        )
    share = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
    say(f"ours of the bare one's (aim: {aim})", f"{100 * share:9.0f} %")


def test_saves_a_second(filled: Database, ours: Served, bare: Served) -> None:
    """PATCH under the row_version rule, with its history, against an UPDATE that checks nothing."""
    rows = rows_of(filled)
    # the unchecked ones leave people's arrays behind: they have people of their own
    mine = {row.user_id for row in rows[:8_000]}
    rest = [row for row in rows if row.user_id not in mine]
    compare("PATCH", callers_of(ours, rows[:8_000]), callers_of(bare, rest), Caller.save, "85 % or more")


def test_reads_a_second(filled: Database, ours: Served, bare: Served) -> None:
    """GET of all steps of a person."""
    rows = rows_of(filled)
    compare("GET steps", callers_of(ours, rows), callers_of(bare, rows), Caller.read, "85 % or more")


def test_memory_stays_flat(filled: Database, ours: Served) -> None:
    """The worker's memory after a start, and after many more requests."""
    callers = callers_of(ours, rows_of(filled))
    done, sizes = 0, []
    for goal in (MEMORY_REQUESTS // 10, MEMORY_REQUESTS // 2, MEMORY_REQUESTS):
        while done < goal:
            done += len(round_of(callers, Caller.read, 2.0))
        sizes.append((done, ours.memory_mib()))
    print()
    for requests, size in sizes:
        say(f"memory of the worker after {requests:,} requests", f"{size:9.1f} MiB")
