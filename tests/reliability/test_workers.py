"""Several worker processes: whichever is asked tells what all of them have measured."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dashboard import serving
from dashboard.serving import METRICS_FOLDER
from tests.reliability.test_run import PATIENCE_S, free_port, served

WORKERS = 2
ASKED = 'onboarding_http_requests_total{method="GET",rule="/sign-in",status="2xx"}'
"""Whether the server answers is asked at another address, perhaps once more than was waited for."""


def ask(port: int, path: str) -> str:
    """Over a connection of its own, so that the workers take turns."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def measured(port: int) -> dict[str, float]:
    lines = (line for line in ask(port, "/metrics").splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def workers(port: int) -> set[int]:
    """Those that are up, by their process ids."""
    of_a_worker = re.compile(r'onboarding_process_resident_memory_bytes\{pid="(\d+)"\}')
    found = {of_a_worker.fullmatch(name): value for name, value in measured(port).items()}
    return {int(one[1]) for one, value in found.items() if one and value > 0}


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so; a connection that a worker took with it when it was killed is made again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(OSError):
            if what():
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def several(folder: Path, port: int) -> Iterator[int]:
    """A server of several workers, by the process id of the one that has started them. Its log is a file of the folder."""
    more = {"WORKERS": str(WORKERS), "TMPDIR": str(folder)}
    with (folder / "log").open("w") as log, served(folder, port, stderr=log, **more) as process:
        wait_for(lambda: len(workers(port)) == WORKERS)
        yield process.pid


def shared(worker: int) -> Path:
    """The folder in which the worker and the others of its server count, as its environment has it."""
    environ = Path(f"/proc/{worker}/environ").read_text().split("\0")
    return Path(dict(one.split("=", 1) for one in environ if "=" in one)[METRICS_FOLDER])


def test_each_tells_what_all_have_counted_and_one_that_ends_takes_nothing_along_and_is_in_the_log(folder: Path) -> None:
    port = free_port()
    with several(folder, port) as pid:
        for _ in range(30):
            ask(port, "/sign-in")
        assert {measured(port)[ASKED] for _ in range(10)} == {30}
        assert measured(port)["onboarding_db_connections_limit"] == WORKERS * (8 + 2)

        victim = min(workers(port))
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in workers(port))
        assert measured(port)[ASKED] == 30
        wait_for(lambda: len(workers(port)) == WORKERS)
        assert measured(port)["onboarding_db_connections_limit"] == WORKERS * (8 + 2)

        # what the web server itself says is in the log too
        said = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
        assert [line["level"] for line in said if "Unexpected exit from worker" in line["event"]] == ["error"]

        counted = shared(min(workers(port)))
        assert (counted.is_dir(), counted.parent) == (True, Path(serving._metrics_place() or folder))
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not counted.exists())


def test_nothing_is_left_behind_when_it_is_killed(folder: Path) -> None:
    port = free_port()
    with several(folder, port) as pid:
        counted = shared(min(workers(port)))
        assert counted.is_dir()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not counted.exists())


# What they write into one log ----------------------------------------------------------------------------------------

SAYS = """
import structlog
from dashboard.web import requestlog
requestlog.configure()
for length in (10, 20_000):
    structlog.get_logger().info("long", text="x" * length)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_of_the_log_is_written_at_once(unbuffered: str) -> None:
    """What several processes write is not torn then: here each write is a message of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with ours, subprocess.Popen([sys.executable, "-c", SAYS], env=environ, stderr=theirs.fileno()) as process:
        theirs.close()
        written = list(iter(lambda: ours.recv(100_000), b""))
    assert process.returncode == 0
    assert [len(json.loads(one)["text"]) for one in written] == [10, 20_000]
    assert all(one.endswith(b"}\n") for one in written)


def test_a_line_that_cannot_be_written_is_dropped() -> None:
    """What writes it goes on: its request is answered, and may have saved something."""
    reader, nobody_reads = os.pipe()
    os.close(reader)
    try:
        assert subprocess.run([sys.executable, "-c", SAYS], stderr=nobody_reads).returncode == 0
    finally:
        os.close(nobody_reads)
