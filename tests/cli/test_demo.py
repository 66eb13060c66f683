"""`dashboard demo reset`, run as a program beside open connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard import demo
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests.factories import HOST, a_save, a_step
from tests.program import Program


def dashboard(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dashboard.cli import main; main()", *arguments]
    environment = {**os.environ, "DATABASE_URL": url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.on_the_demo
def test_it_brings_the_known_state_back_while_others_read(
    database_url: str, session: Session, connect: Callable[[], psycopg.Connection[object]]
) -> None:
    a_save(session, "done", "usr_7f3k2q", "book-kickoff-call")
    session.commit()
    stop = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        connection = connect()
        connection.autocommit = True
        while not stop.is_set():
            try:
                (people,) = connection.execute("SELECT count(*) FROM onboarding_users").fetchone() or (0,)
                assert people == demo.PEOPLE
            except Exception as error:
                failures.append(error)
            time.sleep(0.01)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    done = dashboard(database_url, "demo", "reset", "--json")
    stop.set()
    for reader in readers:
        reader.join()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["people"] == demo.PEOPLE
    assert failures == []
    kept = text("SELECT count(*) FROM user_steps WHERE user_id = 'usr_7f3k2q' AND step_id = 'book-kickoff-call'")
    assert session.scalar(kept) == 0


@pytest.mark.on_the_demo
def test_it_says_that_tokens_are_gone(database_url: str, session: Session) -> None:
    tokens.create(session, HOST, name="shop", scopes=[Scope.STEPS_READ])
    session.commit()
    done = Program({"DATABASE_URL": database_url}, "demo", "reset")()
    assert done.out.endswith("Sign in again; API tokens were deleted.")
    assert tokens.everything(session) == []
    assert "API tokens are deleted too" in Program({}, "demo", "reset")("--help").out


def test_a_database_that_is_not_a_demo_is_refused(database_url: str, session: Session) -> None:
    a_step(session)
    session.commit()
    done = dashboard(database_url, "demo", "reset")
    assert done.returncode == 1
    assert done.stderr.strip() == "This database does not hold the demo, so nothing was changed."
    assert session.scalar(text("SELECT count(*) FROM steps")) == 1
