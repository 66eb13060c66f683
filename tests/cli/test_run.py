"""`dashboard run` up to the moment at which it serves: what it says then."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from granian.server import Server

from dashboard import serving
from dashboard.staff.demo_accounts import DEMO_ACCOUNTS
from tests.program import Program
from tests.reliability.test_run import free_port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path, port: int) -> Program:
    """The command on the test's database; it ends where it would begin to serve."""
    monkeypatch.setattr(serving, "serve", lambda settings, say: say())
    environment = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path), "PORT": str(port), "WORKERS": "1"}
    return Program(environment | {"DEMO": "0", "SECRET_KEY": "only-for-tests-" * 3}, "run")


def test_it_says_where_it_is(program: Program, port: int) -> None:
    done = program()
    assert done.out == f"The onboarding dashboard is at http://127.0.0.1:{port}\nPress Ctrl-C to stop it."
    assert program("--json").json == {"url": f"http://127.0.0.1:{port}", "accounts": []}


def test_it_says_the_address_at_which_its_pages_answer(program: Program, port: int) -> None:
    program.environment["BASE_URL"] = "https://onboarding.example.com"
    listening = f"listening at http://127.0.0.1:{port}"
    assert program().out.startswith(f"The onboarding dashboard is at https://onboarding.example.com ({listening})\n")
    assert program("--json").json["url"] == "https://onboarding.example.com"
    program.environment["BASE_URL"] = f"http://127.0.0.1:{port}"
    assert "(" not in program().out


@pytest.mark.parametrize("where", ["/nowhere", None])
def test_a_disk_that_is_full_is_told_in_one_line(
    program: Program, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    def serve(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)

    monkeypatch.setattr(serving, "serve", serve)
    done = program()
    assert (done.code, done.err) == (3, "/nowhere: No space left on device" if where else "No space left on device")


@pytest.mark.parametrize("told_to_end", [False, True])
def test_workers_that_keep_ending_are_a_fault_and_no_refusal(
    program: Program, monkeypatch: pytest.MonkeyPatch, told_to_end: bool
) -> None:
    def serve(server: Server) -> None:
        server.interrupt_signal = told_to_end
        sys.exit(1)

    monkeypatch.setattr(serving, "serve", lambda settings, _say: serving._serve(settings))
    monkeypatch.setattr(serving.multiprocessing, "set_start_method", lambda *_, **__: None)
    monkeypatch.setattr(Server, "serve", serve)
    done = program()
    assert (done.code, "its workers do" in done.err) == ((0, False) if told_to_end else (3, True))


@pytest.mark.on_the_demo
def test_of_the_demo_it_says_who_can_sign_in(program: Program, port: int) -> None:
    program.environment["DEMO"] = "1"
    told = program().out
    found = program("--json").json
    assert found["url"] == f"http://127.0.0.1:{port}"
    assert [one["role"] for one in found["accounts"]] == [account.role.value for account in DEMO_ACCOUNTS]
    for one in found["accounts"]:
        assert f"{one['role']:<8} {one['email']:<22} password {one['password']}" in told
