"""`dashboard people import` and `dashboard check`, run as programs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.config import libpq_url
from dashboard.onboarding import loading, people
from tests.conftest import url_of
from tests.databases import remove
from tests.factories import ANNA, STEP, a_person, a_save, a_step
from tests.program import Program

HEADER = f"user_id,name,email,{STEP}\n"
PROGRAM = [sys.executable, "-c", "from dashboard.cli import main; main()"]


@pytest.fixture
def dashboard(database_url: str) -> Program:
    """The `dashboard` command on this test's database."""
    return Program({"DATABASE_URL": database_url})


@pytest.fixture(autouse=True)
def a_live_step(session: Session) -> None:
    a_step(session)
    session.commit()


def everybody(session: Session) -> int:
    return session.execute(text("SELECT count(*) FROM onboarding_users")).scalar_one()


def test_a_file_is_imported(dashboard: Program, session: Session, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(HEADER + f"{ANNA},Anna Berg,anna@example.com,done\nben,Ben,,\n")
    done = dashboard("people", "import", str(file))
    assert (done.code, done.out, done.err) == (0, "Imported: 2 new people, 1 status written.", "")
    assert people.find(session, ANNA).finished


def test_standard_input_and_json(dashboard: Program) -> None:
    done = dashboard("people", "import", "-", "--json", given=HEADER + f"{ANNA},Anna,,done\n")
    assert done.code == 0
    assert json.loads(done.out) == {
        "new_people": 1,
        "updated_people": 0,
        "statuses": 1,
        "unchanged": 0,
        "steps": 0,
        "releases": 0,
        "dry_run": False,
    }
    assert done.err == ""


def test_a_dry_run_says_what_would_come_in_and_keeps_nothing(dashboard: Program, session: Session) -> None:
    given = HEADER + f"{ANNA},Anna,,done\n"
    done = dashboard("people", "import", "-", "--dry-run", given=given)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Would import: 1 new person, 1 status written.",
        "Nothing was changed: this was a dry run.",
    ]
    told = dashboard("people", "import", "-", "--dry-run", "--json", given=given).json
    assert (told["dry_run"], told["new_people"]) == (True, 1)
    assert everybody(session) == 0
    assert dashboard("people", "import", "-", "--dry-run", given=HEADER + ",,,\n").code == 2


def test_a_dry_run_that_waited_for_another_import_keeps_nothing(dashboard: Program, session: Session) -> None:
    loading.prepare(session)
    waiting = text("""
    SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
     WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted""")
    with ThreadPoolExecutor(1) as pool:
        dry = pool.submit(dashboard, "people", "import", "-", "--dry-run", given=HEADER + f"{ANNA},Anna,,done\n")
        while not session.scalar(waiting) and not dry.done():
            time.sleep(0.05)
        assert not dry.done()
        session.commit()
        assert (dry.result(20).code, dry.result().err) == (0, "")
    assert everybody(session) == 0


def test_a_dry_run_of_an_adoption_keeps_nothing(dashboard: Program, session: Session, original: str) -> None:
    done = dashboard("people", "import", "--from-database", original, "--dry-run")
    assert done.out.splitlines() == [
        "Would import: 1 step with 1 releases, 9 new people, 9 statuses written.",
        "Nothing was changed: this was a dry run.",
    ]
    assert everybody(session) == 0
    assert dashboard("people", "import", "--from-database", original).code == 0


def test_bad_lines_are_listed_and_nothing_comes_in(dashboard: Program, session: Session) -> None:
    given = HEADER.encode() + b"anna,Anna,,done\nben,Ben,,finished\ncl\xffeo,,,\n"
    done = dashboard("people", "import", "-", given=given)
    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines() == [
        "Nothing was imported: 2 problems.",
        f"  line 3: {STEP}: 'finished' is not a status; use todo, in_progress, skipped, done or nothing",
        "  line 4: is not UTF-8 (byte 3)",
    ]
    assert everybody(session) == 0


def test_bad_lines_as_json(dashboard: Program) -> None:
    done = dashboard("people", "import", "-", "--json", given=HEADER + ",,,\n")
    assert done.code == 2
    assert json.loads(done.out) == {
        "imported": False,
        "problems": [{"where": "line 2", "reason": "user_id is required"}],
        "total": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give either a CSV file (- for standard input) or --from-database URL."),
        (("-", "--from-database", "postgresql://x"), "Give either a CSV file"),
        (("no-such-file.csv",), "no-such-file.csv"),
    ],
)
def test_bad_usage_is_exit_code_2(dashboard: Program, arguments: tuple[str, ...], said: str) -> None:
    done = dashboard("people", "import", *arguments)
    assert done.code == 2
    assert said in done.err


def test_an_unknown_column_is_exit_code_2(dashboard: Program) -> None:
    done = dashboard("people", "import", "-", given="user_id,nonsense\n")
    assert (done.code, done.err) == (2, "column 'nonsense': is not user_id, name, email or a step")


def test_a_database_that_cannot_be_reached_is_exit_code_3(dashboard: Program) -> None:
    done = dashboard("people", "import", "--from-database", "postgresql://nobody@127.0.0.1:1/none")
    assert done.code == 3
    assert done.err.startswith("The other database can't be read: ")


_numbers = count(1)


@pytest.fixture
def original(server: psycopg.Connection[Any]) -> Iterator[str]:
    """The address of a small database in the original's schema."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"{os.environ['TEST_DATABASE_PREFIX']}_{worker}_old_cli_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    url = libpq_url(url_of(name))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE onboarding_step_definitions AS
            SELECT 'verify'::text AS step_id, 1 AS version, 'Verify'::text AS title, 10 AS weight, true AS is_active;
            CREATE TABLE user_onboarding AS
            SELECT 'u' || n AS user_id, 'verify'::text AS step_id, 1 AS version, 'done'::text AS status,
                   n AS row_version, now() AS updated_at FROM generate_series(1, 9) n""")
    yield url
    remove(server, name)


def test_a_database_is_adopted(dashboard: Program, session: Session, original: str) -> None:
    done = dashboard("people", "import", "--from-database", original)
    assert done.code == 0, done.err
    assert done.out == "Imported: 1 step with 1 releases, 9 new people, 9 statuses written."
    rows = session.execute(text("SELECT user_id, row_version FROM user_onboarding WHERE step_id = 'verify'")).all()
    assert {(row.user_id, row.row_version) for row in rows} == {(f"u{n}", n) for n in range(1, 10)}
    again = dashboard("people", "import", "--from-database", original)
    assert again.code == 2
    assert "verify: already exists: a database is adopted once" in again.err
    assert "people import FILE.csv" in again.err


def test_a_terminal_sees_a_bar(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(HEADER + "".join(f"u{n},,,done\n" for n in range(2_000)))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DATABASE_URL": database_url, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*PROGRAM, "people", "import", str(file)], env=environment, stderr=theirs, stdout=subprocess.PIPE
    ) as running:
        os.close(theirs)
        shown = b""
        while block := _read(ours):
            shown += block
        assert running.wait() == 0
    os.close(ours)
    assert b"Reading" in shown or b"Adding" in shown
    assert "━".encode() in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_help_has_examples(dashboard: Program) -> None:
    done = dashboard("people", "import", "--help")
    assert done.code == 0
    assert "dashboard people import people.csv" in done.out
    assert "--from-database postgresql://" in done.out


# dashboard check -----------------------------------------------------------------------------------------------------


def test_check_holds(dashboard: Program, session: Session) -> None:
    a_person(session)
    a_save(session)
    session.commit()
    done, told = dashboard("check"), json.loads(dashboard("check", "--json").out)
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) == len(told["checks"]) > 0
    assert all(line.startswith("holds ") for line in lines)
    assert told["holds"] is True


def test_check_names_what_is_broken(dashboard: Program, session: Session) -> None:
    a_person(session)
    a_save(session)
    session.execute(text("UPDATE onboarding_users SET done_releases = '{}'"))
    session.commit()
    done = dashboard("check")
    assert done.code == 1
    assert "BROKEN  A person's lists of releases are what their rows say\n        1: anna" in done.out
    shown = dashboard("check", "--json")
    assert shown.code == 1
    assert [one["broken"] for one in json.loads(shown.out)["checks"] if one["broken"]] == [1]
