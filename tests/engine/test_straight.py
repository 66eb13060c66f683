"""Statements that go straight to psycopg: in the session's transaction, seen by listeners, with SQLAlchemy's errors."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.models import User
from dashboard.onboarding import progress, user_steps
from dashboard.onboarding.straight import Straight
from tests.factories import ANNA

NAMES = Straight(text("SELECT name, '100 %', 1 / :divisor FROM onboarding_users WHERE user_id = :user_id"))
PID = Straight(text("SELECT pg_backend_pid()"))


def test_blanks_of_a_literal_are_kept(session: Session) -> None:
    padded = Straight(text("SELECT\n  'a  b', ' it''s  ',\n  '' "))
    assert padded.sql == "SELECT 'a  b', ' it''s  ', ''"
    assert padded.rows(session, {}) == [("a  b", " it's  ", "")]


def test_it_sees_what_its_transaction_has_not_committed(session: Session) -> None:
    session.add(User(user_id=ANNA, name="Anna", email=""))
    assert NAMES.rows(session, {"user_id": ANNA, "divisor": 1}) == [("Anna", "100 %", 1)]


def test_an_error_is_one_of_sqlalchemy_and_undoes_the_transaction(database: Database) -> None:
    with pytest.raises(DataError) as refused, database.transaction() as session:
        session.execute(text("INSERT INTO onboarding_users (user_id) VALUES (:user_id)"), {"user_id": ANNA})
        NAMES.rows(session, {"user_id": ANNA, "divisor": 0})
    assert isinstance(refused.value.orig, psycopg.errors.DivisionByZero)
    assert not refused.value.connection_invalidated
    with database.statements() as session:
        assert NAMES.rows(session, {"user_id": ANNA, "divisor": 1}) == []


@pytest.mark.parametrize("kind", ["transaction", "statements", "alone"])
def test_a_connection_that_was_cut_is_not_used_again(database: Database, kind: str) -> None:
    with pytest.raises(OperationalError) as cut, getattr(database, kind)() as session:
        ((pid,),) = PID.rows(session, {})
        with database.statements() as other:
            other.execute(text("SELECT pg_terminate_backend(CAST(:pid AS int), 5000)"), {"pid": pid})
        PID.rows(session, {})
    assert cut.value.connection_invalidated
    for _ in range(3):
        with database.statements() as session:
            assert PID.rows(session, {}) != [(pid,)]


@pytest.mark.parametrize("kind", ["statements", "alone"])
def test_who_listens_to_the_engine_is_told(database: Database, kind: str) -> None:
    seen: list[tuple[Engine, str]] = []

    def note(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        seen.append((connection.engine, statement))

    event.listen(database.engine, "before_cursor_execute", note)
    with getattr(database, kind)() as asked:
        PID.rows(asked, {})
    event.remove(database.engine, "before_cursor_execute", note)
    assert [statement for _, statement in seen] == [PID.sql]
    assert seen[0][0].url == database.engine.url


def test_alone_each_is_a_transaction_and_the_connection_goes_back(database: Database) -> None:
    made = Straight(text("INSERT INTO onboarding_users (user_id) VALUES (:user_id) RETURNING user_id"))
    with pytest.raises(IntegrityError), database.alone() as asked:
        made.rows(asked, {"user_id": ANNA})
        made.rows(asked, {"user_id": ANNA})
    assert database.engine.pool.checkedout() == 0
    with database.statements() as session:
        assert NAMES.rows(session, {"user_id": ANNA, "divisor": 1}) == [("", "100 %", 1)]


def test_it_is_within_the_savepoint_of_a_session_that_joined_a_transaction(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin():
        session = Session(connection, join_transaction_mode="create_savepoint")
        made = Straight(text("INSERT INTO onboarding_users (user_id) VALUES (:user_id) RETURNING user_id"))
        assert made.rows(session, {"user_id": ANNA}) == [(ANNA,)]
        session.rollback()
        assert NAMES.rows(session, {"user_id": ANNA, "divisor": 1}) == []


def test_a_transaction_that_cannot_begin_is_told_as_every_fault_is(database: Database) -> None:
    pids: list[int] = []

    def cut(connection: psycopg.Connection, *_: object) -> None:
        if not pids:
            pids.append(connection.info.backend_pid)
            with database.statements() as other:
                other.execute(text("SELECT pg_terminate_backend(CAST(:pid AS int), 5000)"), {"pid": pids[0]})

    event.listen(database.engine, "checkout", cut)
    with pytest.raises(OperationalError) as told, database.transaction() as session:
        session.execute(text("SELECT 1"))
    event.remove(database.engine, "checkout", cut)
    assert told.value.connection_invalidated
    assert told.value.statement == "BEGIN"
    for _ in range(3):
        with database.transaction() as session:
            assert PID.rows(session, {}) != [(pids[0],)]


@pytest.mark.parametrize("kind", ["transaction", "statements", "alone"])
def test_a_server_that_is_away_is_told_alike_by_each(settings: Settings, kind: str) -> None:
    away = Database(replace(settings, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none"))
    with pytest.raises(OperationalError) as told, getattr(away, kind)() as asked:
        PID.rows(asked, {})
    assert not told.value.connection_invalidated
    away.dispose()


@pytest.mark.parametrize("statement", [progress.WRITE, user_steps.CHECKLIST_OF])
def test_what_every_call_asks_is_kept_by_psycopg(statement: Straight) -> None:
    """To take a longer one apart anew each time would cost a save a quarter of its time."""
    assert len(statement.sql) <= MAX_CACHED_STATEMENT_LENGTH
