"""Which database a command takes: one that is there, with the schema of this version. Only `run` makes one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from dashboard.onboarding import finding
from dashboard.onboarding.filters import Filter
from dashboard.schema import head_revision
from tests import factories
from tests.conftest import url_of
from tests.databases import remove
from tests.program import Program

COMMANDS = [
    ("check",),
    ("db", "url"),
    ("db", "migrate"),
    ("demo", "reset"),
    ("distribute", "--dry-run"),
    ("people", "import", "-"),
    ("step", "list"),
    ("token", "list"),
    ("token", "create", "--name", "shop", "--scopes", "steps:read"),
    ("user", "list"),
]
OF_ANY_SCHEMA = [("db", "url"), ("db", "migrate"), ("distribute", "--dry-run")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_none_is_made_where_there_is_none(tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = tmp_path / "var"
    done = Program({"DATABASE_URL": "", "DATA_DIR": str(folder)})(*command)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"There is no database in {folder}, and only `dashboard run` creates one. "
        "Set DATA_DIR to the folder that has it, or set DATABASE_URL."
    )
    assert not folder.exists()


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        (None, "The database has no schema yet. Run `dashboard db migrate` first"),
        ("0001", "The database has the schema of an older version of this program. Run `dashboard db migrate` first"),
        ("9999", "The database is newer than this program: its schema is at 9999, which this version does not know."),
    ],
)
@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in OF_ANY_SCHEMA], ids=" ".join)
def test_another_schema_is_refused_and_left_alone(
    database_url: str, session: Session, command: tuple[str, ...], revision: str | None, says: str
) -> None:
    change = "UPDATE alembic_version SET version_num = :to" if revision else "DELETE FROM alembic_version"
    session.execute(text(change), {"to": revision} if revision else {})
    session.commit()
    done = Program({"DATABASE_URL": database_url})(*command)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(says)
    assert session.scalar(text("SELECT version_num FROM alembic_version")) == revision
    assert revision != head_revision()


def test_a_newer_schema_is_not_migrated_either(database_url: str, session: Session) -> None:
    session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    session.commit()
    done = Program({"DATABASE_URL": database_url})("db", "migrate")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("The database is newer than this program")


def test_people_left_by_an_older_version_are_found_again(database_url: str, session: Session) -> None:
    factories.a_person(session, "usr_1", "Quirinus Three")
    session.execute(text("DELETE FROM user_search"))
    session.commit()
    migrate = Program({"DATABASE_URL": database_url})
    assert migrate("db", "migrate").out == (f"The schema is at {head_revision()}. Search index repaired for 1 person.")
    assert [one.person.user_id for one in finding.page(session, Filter(q="quirinus")).people] == ["usr_1"]
    assert migrate("db", "migrate").out == f"The schema is at {head_revision()}."


# A database that does not let it be used -----------------------------------------------------------------------------


def with_option(url: str, name: str, value: str) -> str:
    return make_url(url).update_query_pairs([(name, value)]).render_as_string(hide_password=False)


@pytest.fixture
def role(server: psycopg.Connection[object]) -> Iterator[str]:
    """A role that may connect, and do nothing else."""
    name = f"{os.environ['TEST_DATABASE_PREFIX']}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_nobody"
    server.execute(f"CREATE ROLE {name}")
    yield name
    server.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("command", [("user", "list"), ("check",), ("db", "migrate"), ("run",)], ids=" ".join)
def test_a_role_without_rights_is_told_in_one_line(
    database_url: str, role: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    url = with_option(database_url, "options", f"-c role={role}")
    done = Program({"DATABASE_URL": url, "SECRET_KEY": "s" * 32, "DATA_DIR": str(tmp_path)})(*command)
    assert (done.code, done.out) == (3, "")
    assert done.err == "The database does not let this role do that: permission denied for table alembic_version"


@pytest.mark.one_server("a database of the test's own is not on the nodes")
def test_a_role_that_may_make_no_tables_is_told_in_one_line(server: psycopg.Connection[object], role: str) -> None:
    name = f"{role}_empty"
    server.execute(f"CREATE DATABASE {name}")
    try:
        with psycopg.connect(server.info.dsn, dbname=name, password=server.info.password, autocommit=True) as inside:
            inside.execute("REVOKE CREATE ON SCHEMA public FROM public")
        done = Program({"DATABASE_URL": with_option(url_of(name), "options", f"-c role={role}")})("db", "migrate")
    finally:
        remove(server, name)
    assert (done.code, done.out) == (3, "")
    assert done.err == "The database does not let this role do that: permission denied for schema public"


@pytest.mark.parametrize(
    "command",
    [
        ("user", "add", "ada@example.com", "--name", "Ada", "--role", "admin"),
        ("token", "create", "--name", "shop", "--scopes", "steps:read"),
    ],
    ids=" ".join,
)
def test_a_database_that_only_takes_reads_is_told_in_one_line(database_url: str, command: tuple[str, ...]) -> None:
    url = with_option(database_url, "options", "-c default_transaction_read_only=on")
    done = Program({"DATABASE_URL": url})(*command)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("The database is read-only right now: cannot execute ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.on_the_demo
def test_a_demo_that_cannot_be_reset_since_only_reads_are_taken_is_told_in_one_line(database_url: str) -> None:
    url = with_option(database_url, "options", "-c default_transaction_read_only=on")
    done = Program({"DATABASE_URL": url})("demo", "reset")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("The database is read-only right now: cannot execute TRUNCATE")


def test_migrating_a_database_that_only_takes_reads_is_told_in_one_line(database_url: str, session: Session) -> None:
    session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    session.commit()
    url = with_option(database_url, "options", "-c default_transaction_read_only=on")
    done = Program({"DATABASE_URL": url})("db", "migrate")
    assert (done.code, len(done.err.splitlines())) == (3, 1)
    assert done.err.startswith("The database is read-only right now: cannot execute")


@pytest.mark.parametrize("command", [("user", "list"), ("db", "migrate")], ids=" ".join)
def test_an_option_of_the_address_that_there_is_not_is_told_in_one_line(
    database_url: str, command: tuple[str, ...]
) -> None:
    done = Program({"DATABASE_URL": with_option(database_url, "ssl", "true")})(*command)
    assert (done.code, done.out, done.err) == (3, "", 'DATABASE_URL cannot be used: invalid connection option "ssl"')
