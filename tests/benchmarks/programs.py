"""The programs that are measured from outside, each a process of its own as somebody would run it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Protocol

from dashboard.config import libpq_url
from tests.benchmarks.bare import DATABASE_URL

ROOT = Path(__file__).parents[2]
DASHBOARD = [sys.executable, "-c", "from dashboard.cli import main; main()", "run"]
GRANIAN = [
    *(sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "4", "--no-ws"),
    *("--log-level", "warning", "--factory", "--host", "127.0.0.1"),
]
HIDDEN = {"DATABASE_URL", "SECRET_KEY", "PORT", "HOST", "WORKERS", "THREADS", "DEMO", "DATA_DIR", "POOL_SIZE"}
"""Variables of whoever measures that would make it another program."""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """A program that answers. `memory_mib` is the resident set of its largest process, `processor_s` the time that all
    of them have used of a processor.

    `server_ms` tells what the program itself said how long requests took, by the id that they were sent with.
    """

    port: int
    memory_mib: Callable[[], float]
    processor_s: Callable[[], float]
    server_ms: Callable[[], Mapping[str, float]]


class Programs(Protocol):
    """How the dashboard and the bare views are served."""

    def dashboard(self, url: str, workers: int) -> AbstractContextManager[Served]:
        """The dashboard on the database at that address of SQLAlchemy."""

    def bare(self, url: str) -> AbstractContextManager[Served]:
        """The views of bare.py on that database, by one worker."""


class Processes:
    """Served by processes: `dashboard run`, and granian for the bare views, with as many threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def dashboard(self, url: str, workers: int) -> Iterator[Served]:
        port = free_port()
        more = {
            "DATABASE_URL": libpq_url(url),
            "SECRET_KEY": "only for a benchmark",
            "PORT": str(port),
            "WORKERS": str(workers),
            "RATE_LIMIT": "0",
            "STATEMENT_TIMEOUT_MS": "600000",
        }
        with self._running(DASHBOARD, port, more) as served:
            yield served

    @contextmanager
    def bare(self, url: str) -> Iterator[Served]:
        port = free_port()
        command = [*GRANIAN, "--port", str(port), "tests.benchmarks.bare:bare_app"]
        with self._running(command, port, {DATABASE_URL: libpq_url(url)}) as served:
            yield served

    @contextmanager
    def _running(self, command: list[str], port: int, more: Mapping[str, str]) -> Iterator[Served]:
        log = self.folder / f"{port}.log"
        environment = {name: value for name, value in os.environ.items() if name not in HIDDEN} | dict(more)
        with ExitStack() as stack:
            said = stack.enter_context(log.open("wb"))
            process = stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said)
            )
            stack.callback(stop, process)
            wait_until_it_answers(port, process, log)
            pid = process.pid
            yield Served(port, lambda: memory_mib(pid), lambda: processor_s(pid), lambda: dict(requests_in(log)))
        log.unlink()


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port: int = trial.getsockname()[1]
        return port


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until /healthz answers 200. Raises RuntimeError with the end of what the program said."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"it does not answer: {log.read_text(errors='replace')[-500:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the program, by force where it does not end by itself."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def memory_mib(pid: int) -> float:
    """The largest resident set of the process and its children, in MiB: that of a worker."""
    sizes = [Path(f"/proc/{one}/status").read_text() for one in _family(pid)]
    return max(int(size.partition("VmRSS:")[2].split()[0]) for size in sizes if "VmRSS:" in size) / 1024


def processor_s(pid: int) -> float:
    """Seconds of a processor that the process and its children have used."""
    stats = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in _family(pid)]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[str]:
    return [str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def requests_in(log: Path) -> Iterator[tuple[str, float]]:
    """The id and the milliseconds of each request that a log tells of."""
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and "ms" in told:
                yield told["request_id"], told["ms"]
