"""`dashboard run` as a person starts and stops it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psycopg
import pytest

from dashboard.serving import reserved
from tests.program import Program

COMMAND = [sys.executable, "-c", "from dashboard.cli import main; main()"]
IN_TERMINAL = [
    *(sys.executable, "-c"),
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])",
]
"""What follows, in a terminal of its own, which is its standard input."""
PATIENCE_S = 60


# 200 for each worker of a run, below those that the system itself gives out, and not from the first on in each run
_ports = 20_000 + 200 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.cycle([_ports + (os.getpid() + n) % 200 for n in range(200)])


def free_port() -> int:
    """One that no other worker of the run chooses, and at which nobody listens."""
    for port in itertools.islice(PORTS, 200):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("", port))
            return port
    raise AssertionError("no port is free")


def environment(folder: Path, port: int, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "SECRET_KEY"}}
    return {
        **kept,
        "DATA_DIR": str(folder),
        "PORT": str(port),
        "WORKERS": "1",
        "DEMO": "0",
        "EMBEDDED_DATABASE": "1",
        **more,
    }


def beside(folder: Path, port: int, **more: str) -> Program:
    """Commands to their end, in the environment of that data folder, as a process beside it would run them."""
    return Program({"DATABASE_URL": None, "SECRET_KEY": None, **environment(folder, port, **more)})


def command(folder: Path, *arguments: str, port: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """One command to its end in a process of its own, in the environment of that data folder."""
    environ = environment(folder, port or free_port(), **more)
    return subprocess.run([*COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=PATIENCE_S)


@contextmanager
def served(
    folder: Path, port: int, *, stderr: int | IO[str] = subprocess.STDOUT, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """A running `dashboard run` that answers."""
    process = subprocess.Popen(
        [*COMMAND, "run"],
        env=environment(folder, port, **more),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until_it_answers(process, port)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until_it_answers(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if answers(port):
            return
        time.sleep(0.05)
    raise AssertionError(f"dashboard run does not answer: {process.communicate(timeout=10)[0]}")


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def servers_of(folder: Path) -> list[str]:
    shown = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if f"-D {folder / 'postgres'}" in line]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_web_server_and_the_database(new_folder: Path, how: signal.Signals) -> None:
    port = free_port()
    with served(new_folder, port) as process:
        # as a terminal does it: the whole group gets the signal
        os.killpg(process.pid, how)
        assert process.wait(PATIENCE_S) == 0
        assert not answers(port)
        assert servers_of(new_folder) == []


def test_it_says_where_it_is_as_soon_as_it_answers_there(folder: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        [*COMMAND, "run", "--json"], env=environment(folder, port), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())["url"], answers(port)
        process.terminate()
    assert found == (f"http://127.0.0.1:{port}", True)


@pytest.mark.parametrize("before", ["", "nohup"])
def test_it_ends_with_its_terminal_unless_that_is_to_be_ignored(folder: Path, before: str) -> None:
    port = free_port()
    terminal, end = os.openpty()
    process = subprocess.Popen(
        [*IN_TERMINAL, *before.split(), *COMMAND, "run"],
        env=environment(folder, port),
        stdin=end,
        stdout=subprocess.DEVNULL if before else end,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    os.close(end)
    try:
        wait_until_it_answers(process, port)
        # the kernel sends SIGHUP to every process of the terminal, and whatever is written to it fails from now on
        os.close(terminal)
        if before:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            assert answers(port)
            process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert not answers(port)
        assert servers_of(folder) == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_commands_beside_it_reach_its_database_and_a_second_one_is_refused(folder: Path) -> None:
    port = free_port()
    with served(folder, port):
        url = command(folder, "db", "url").stdout.strip()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM user_onboarding").fetchone() is not None
        dashboard = beside(folder, 1)
        assert dashboard("db", "migrate", "--json").json["revision"]
        dashboard("user", "add", "ada@example.com", "--name", "Ada", "--role", "admin")
        link = dashboard("user", "reset-link", "ada@example.com")
        assert (f"\nhttp://127.0.0.1:{port}/set-password?link=" in link.out, link.err) == (True, "")
        second = command(folder, "run")
        assert second.returncode == 1
        assert str(folder) in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        assert answers(port)
    guess = beside(folder, 81)("user", "reset-link", "ada@example.com")
    assert "\nhttp://127.0.0.1:81/set-password?link=" in guess.out
    assert guess.err == "BASE_URL is not set and no server is running here, so the address in the link is a guess."


def test_a_link_is_not_made_beside_a_server_that_listens_everywhere(folder: Path) -> None:
    with served(folder, free_port(), HOST="0.0.0.0"):
        dashboard = beside(folder, free_port())
        dashboard("user", "add", "ada@example.com", "--name", "Ada", "--role", "admin")
        refused = dashboard("user", "reset-link", "ada@example.com")
        assert (refused.code, refused.out) == (2, "")
        assert "The link needs the dashboard's address" in refused.err


def test_a_port_in_use_is_named_and_no_database_is_left_running(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = command(folder, "run", port=port)
    assert refused.returncode == 1
    assert f"Port {port}" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert servers_of(folder) == []


def test_a_port_that_another_start_has_chosen_is_taken_before_it_listens(folder: Path) -> None:
    port = free_port()
    with reserved("127.0.0.1", port):
        assert not answers(port)
        refused = command(folder, "run", port=port)
    assert (refused.returncode, servers_of(folder)) == (1, [])
    assert refused.stderr.startswith(f"Port {port} on 127.0.0.1 cannot be used (Address already in use)")
    with reserved("127.0.0.1", port):
        pass


def test_after_a_kill_everything_ends_and_the_next_start_works(folder: Path) -> None:
    port = free_port()
    with served(folder, port) as process:
        process.kill()
        process.wait(PATIENCE_S)
    with served(folder, port) as process:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert servers_of(folder) == []


def test_it_ends_when_its_database_does_and_the_next_start_works(folder: Path) -> None:
    port = free_port()
    with served(folder, port) as process:
        os.kill(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        told = process.communicate(timeout=PATIENCE_S)[0]
        assert process.returncode == 3
        assert f"PostgreSQL has ended (-9). The end of {folder / 'postgres.log'}:" in told
        assert "Traceback" not in told
        assert not answers(port)
    with served(folder, port) as process:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_database_that_is_told_to_end_takes_the_web_server_along(folder: Path) -> None:
    with served(folder, free_port()) as process:
        os.kill(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


NOBODY_THERE = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/x"}


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "says"),
    [
        (("run",), NOBODY_THERE | {"SECRET_KEY": "s" * 32}, 3, "database"),
        (("no-such-command",), {}, 2, "no-such-command"),
    ],
)
def test_errors_are_plain_lines_with_a_code(
    new_folder: Path, arguments: tuple[str, ...], environ: dict[str, str], code: int, says: str
) -> None:
    ended = command(new_folder, *arguments, **environ)
    assert ended.returncode == code
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "says"),
    [
        (("run",), {"PORT": "http"}, 2, "PORT"),
        (("run",), NOBODY_THERE, 2, "SECRET_KEY"),
        (("db", "migrate"), NOBODY_THERE, 3, "database"),
        (("db", "url"), {"DATABASE_URL": "mysql://me@127.0.0.1/x"}, 2, "DATABASE_URL"),
    ],
)
def test_each_error_has_its_code_and_names_what_is_wrong(
    new_folder: Path, arguments: tuple[str, ...], environ: dict[str, str], code: int, says: str
) -> None:
    ended = beside(new_folder, free_port(), **environ)(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
