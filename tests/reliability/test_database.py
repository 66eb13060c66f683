"""Transactions, time-outs, migrations, and life after a database restart."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from dashboard import locks, schema
from dashboard.config import Settings, libpq_url
from dashboard.database import Database, only_reads, was_cut, why_unusable
from dashboard.embedded import running
from dashboard.onboarding import errors
from dashboard.onboarding.errors import OnboardingError, Recorded
from dashboard.onboarding.straight import Alone, Straight
from dashboard.schema import SchemaError, migrate, schema_is_current
from tests.databases import remove


def test_a_transaction_commits_once_at_the_end(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE notes (note text)"))
        session.execute(text("INSERT INTO notes VALUES ('kept')"))
    with database.transaction() as session:
        assert session.scalars(text("SELECT note FROM notes")).all() == ["kept"]


def test_an_error_undoes_all_of_it(database: Database) -> None:
    def fail_late() -> None:
        with database.transaction() as session:
            session.execute(text("CREATE TABLE notes (note text)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    with database.transaction() as session:
        assert session.scalar(text("SELECT to_regclass('notes')")) is None


def test_an_error_of_record_keeps_what_was_written_and_goes_on(database: Database) -> None:
    with pytest.raises(Recorded, match="refused"), database.transaction() as session:
        session.execute(text("CREATE TABLE notes (note text)"))
        raise Recorded("refused")
    with database.transaction() as session:
        assert session.scalar(text("SELECT to_regclass('notes')")) is not None


def test_after_a_rollback_there_is_nothing_left_to_keep(database: Database) -> None:
    with pytest.raises(Recorded), database.transaction() as session:
        session.execute(text("CREATE TABLE notes (note text)"))
        session.rollback()
        raise Recorded("refused")
    with database.transaction() as session:
        assert session.scalar(text("SELECT to_regclass('notes')")) is None


def test_each_statement_may_stand_alone(database: Database) -> None:
    def fail_late() -> None:
        with database.statements() as session:
            session.execute(text("CREATE TABLE notes (note text)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    clock = text("SELECT now()")
    with database.transaction() as session:
        assert session.scalar(text("SELECT to_regclass('notes')")) is not None
        assert session.scalar(clock) == session.scalar(clock)
    with database.statements() as session:
        assert session.scalar(clock) != session.scalar(clock)


WHO = text("SELECT pg_backend_pid()")


@pytest.fixture
def narrow(settings: Settings) -> Iterator[Database]:
    """This test's database, with one connection that is kept."""
    opened = Database(replace(settings, pool_size=1))
    yield opened
    opened.dispose()


def test_a_connection_serves_statements_and_transactions_in_turn(narrow: Database) -> None:
    with narrow.transaction() as session:
        first = session.scalar(WHO)
    with narrow.statements() as session:
        assert session.scalar(WHO) == first
    with pytest.raises(ZeroDivisionError), narrow.transaction() as session:
        session.execute(text("CREATE TABLE notes (note text)"))
        raise ZeroDivisionError
    with narrow.statements() as session:
        assert (session.scalar(WHO), session.scalar(text("SELECT to_regclass('notes')"))) == (first, None)


def test_a_connection_that_was_cut_is_replaced_before_its_first_statement(
    narrow: Database, server: psycopg.Connection[object]
) -> None:
    with narrow.transaction() as session:
        first = session.scalar(WHO)
    server.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    with narrow.transaction() as session:
        assert session.scalar(WHO) != first


A_WRITE = Straight(text("INSERT INTO onboarding_users (user_id) VALUES (:user_id) RETURNING user_id"))


def write(asked: Session | Alone, how: str) -> None:
    if how == "straight":
        A_WRITE.rows(asked, {"user_id": "anna"})
    else:
        assert isinstance(asked, Session)
        asked.execute(text("INSERT INTO onboarding_users (user_id) VALUES ('anna')"))


@pytest.mark.parametrize(
    ("kind", "how"),
    [("transaction", "usual"), ("statements", "usual"), *((one, "straight") for one in ("transaction", "alone"))],
)
@pytest.mark.one_server("each node of a cluster has settings of its own")
def test_where_only_reads_are_taken_that_is_told_and_a_connection_made_after_it_writes_again(
    narrow: Database, server: psycopg.Connection[object], kind: str, how: str
) -> None:
    name = narrow.engine.url.database
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(OperationalError) as refused, getattr(narrow, kind)() as asked:
        write(asked, how)
    assert only_reads(refused.value)
    assert not was_cut(refused.value)
    assert str(why_unusable(refused.value)).startswith("The database is read-only right now: cannot execute")
    server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    with getattr(narrow, kind)() as asked:
        write(asked, how)


def test_a_connection_to_which_the_server_told_something_is_kept(narrow: Database, settings: Settings) -> None:
    with narrow.statements() as session:
        first = session.scalar(WHO)
        session.execute(text("LISTEN news"))
    with narrow.statements() as session:
        session.execute(text("NOTIFY news"))
    with psycopg.connect(libpq_url(settings.database_url), autocommit=True) as other:
        other.execute("NOTIFY news")
    with narrow.statements() as session:
        assert session.scalar(WHO) == first


def test_an_extension_that_the_server_does_not_have_is_told_in_one_line(database: Database) -> None:
    with pytest.raises(DBAPIError) as refused, database.transaction() as session:
        session.execute(text("CREATE EXTENSION no_such_extension"))
    assert str(why_unusable(refused.value)).startswith("The database cannot do this: ")


def test_of_the_refusals_only_a_conflict_is_of_record() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OnboardingError)]
    assert [kind.__name__ for kind in kinds if issubclass(kind, Recorded)] == ["Recorded", "Conflict"]


def test_every_connection_has_the_time_outs_of_the_settings(settings: Settings) -> None:
    limits = replace(settings, statement_timeout_ms=1234, lock_timeout_ms=567, idle_transaction_timeout_ms=8901)
    database = Database(limits)
    with database.transaction() as session:
        shown = [
            session.scalar(text(f"SHOW {name}"))
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
        ]
    database.dispose()
    assert shown == ["1234ms", "567ms", "8901ms", "onboarding-dashboard"]


@pytest.mark.parametrize("kind", ["transaction", "statements", "alone"])
@pytest.mark.one_server("each node of a cluster has settings of its own")
def test_whatever_a_database_begins_transactions_with_ours_read_what_was_committed(
    narrow: Database, server: psycopg.Connection[object], kind: str
) -> None:
    server.execute(f"ALTER DATABASE {narrow.engine.url.database} SET default_transaction_isolation = 'repeatable read'")
    with getattr(narrow, kind)() as asked:
        assert Straight(text("SHOW transaction_isolation")).rows(asked, {}) == [("read committed",)]


@pytest.mark.parametrize("are_wanted", [True, False])
def test_statements_are_prepared_unless_a_pooler_forbids_it(settings: Settings, *, are_wanted: bool) -> None:
    database = Database(replace(settings, pool_size=1, prepared_statements=are_wanted))
    for _ in range(10):
        with database.statements() as session:
            found = session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    database.dispose()
    assert bool(found) is are_wanted


def test_options_of_the_address_itself_are_kept(settings: Settings) -> None:
    separator = "&" if "?" in settings.database_url else "?"
    with_options = f"{settings.database_url}{separator}options=-c%20search_path%3Dpg_catalog"
    database = Database(replace(settings, database_url=with_options))
    with database.transaction() as session:
        assert session.scalar(text("SHOW search_path")) == "pg_catalog"
        assert session.scalar(text("SHOW lock_timeout")) == "5s"
    database.dispose()


def test_it_recovers_by_itself_after_a_database_restart(settings: Settings) -> None:
    with tempfile.TemporaryDirectory(prefix="restart-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running(folder, durable=False) as url:
            database = Database(replace(settings, database_url=url))
            with database.transaction() as session:
                assert session.scalar(text("SELECT 1")) == 1
        with pytest.raises(OperationalError), database.transaction() as session:
            session.scalar(text("SELECT 1"))
        with running(folder, durable=False), database.transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1
        database.dispose()


def test_an_empty_database_is_not_current(server: psycopg.Connection[object], settings: Settings) -> None:
    name = settings.database_url.partition("?")[0].rpartition("/")[2] + "_empty"
    server.execute(f"CREATE DATABASE {name}")
    empty = Database(replace(settings, database_url=settings.database_url.replace(name[:-6], name)))
    with empty.transaction() as session:
        assert not schema_is_current(session)
    empty.dispose()
    remove(server, name)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_many_starters_migrate_once(server: psycopg.Connection[object], settings: Settings, isolation: str) -> None:
    name = settings.database_url.partition("?")[0].rpartition("/")[2] + "_many"
    server.execute(f"CREATE DATABASE {name}")
    server.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    url = settings.database_url.replace(name[:-5], name)
    failures: list[BaseException] = []

    def start() -> None:
        try:
            migrate(url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    remove(server, name)
    assert failures == []


def test_migrating_gives_up_when_it_does_not_get_its_turn(settings: Settings) -> None:
    with psycopg.connect(libpq_url(settings.database_url)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (locks.SCHEMA,))
        with pytest.raises(OperationalError, match="statement timeout"):
            migrate(settings.database_url, statement_timeout_ms=200)


def test_a_migration_may_take_as_long_as_it_needs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[str] = []

    def upgrade(config: Config, _revision: str) -> None:
        asked = text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        allowed.extend(config.attributes["connection"].execute(asked).one())

    monkeypatch.setattr(command, "upgrade", upgrade)
    migrate(settings.database_url)
    assert allowed == ["0", schema.LOCK_TIMEOUT]


def test_a_server_that_is_too_old_is_told_in_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OLDEST_SERVER", 99)
    with pytest.raises(
        SchemaError, match=r"^The database is PostgreSQL \d+\.\d+, and this needs PostgreSQL 99 or later\.$"
    ):
        migrate(settings.database_url)


def test_a_schema_of_a_newer_program_is_left_alone(database: Database, settings: Settings) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    with pytest.raises(SchemaError, match="from-the-future"):
        migrate(settings.database_url)
