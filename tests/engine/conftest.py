"""For tests of one rule at a time: a database for all of them, each leaving it as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, create_engine, func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import bulk_write, standings
from tests.conftest import PREFIX, url_of
from tests.databases import make, remove
from tests.factories import ANNA, BEN, CLEO, OTHER, a_person, a_save, a_step


@pytest.fixture(scope="session")
def shared_connection(server: psycopg.Connection[Any]) -> Iterator[Connection]:
    """The one connection to a migrated, empty database that stays empty."""
    name = f"{os.environ[PREFIX]}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_shared"
    make(server, name, f"{os.environ[PREFIX]}_template", url_of)
    with create_engine(url_of(name), poolclass=NullPool).connect() as connection:
        yield connection
    remove(server, name)


@pytest.fixture(scope="module")
def begun(request: pytest.FixtureRequest, shared_connection: Connection) -> Iterator[Any]:
    """What the file's `every_test_begins_with(session)` returned, where it has one: that is done once for all its tests."""
    begin = getattr(request.module, "every_test_begins_with", None)
    with shared_connection.begin() as transaction:
        with _session(shared_connection) as opened:
            made = begin(opened) if begin else None
            opened.commit()
        yield made
        transaction.rollback()


@pytest.fixture
def session(shared_connection: Connection, begun: Any) -> Iterator[Session]:
    """A session whose work is taken back after the test. The database's clock stands still, for all tests of a file."""
    savepoint = shared_connection.begin_nested()
    with _session(shared_connection) as opened:
        yield opened
    savepoint.rollback()


def _session(connection: Connection) -> Session:
    return Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")


@pytest.fixture
def committing_session(database: Database) -> Iterator[Session]:
    """A session of this test's own database, for files whose tests need more than one: there it is their `session`."""
    with Session(database.engine, expire_on_commit=False) as opened:
        yield opened


ONE_SERVER = pytest.mark.one_server("how many standings there are is not told on a cluster")


@pytest.fixture(params=["few", pytest.param("many", marks=ONE_SERVER)])
def few_and_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test goes twice: by standing, as where standings are few, and person by person, as where they are many."""
    if request.param == "many":
        monkeypatch.setattr(standings, "FEW_TO_LIST", -1)
        monkeypatch.setattr(standings, "FEW_TO_COUNT", -1)


@pytest.fixture
def dated_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows at once are dated as single saves of the same transaction are, which wait for nobody: at its beginning."""
    monkeypatch.setattr(bulk_write, "clock", lambda session: session.scalar(select(func.now())))


def three_people(session: Session) -> None:
    """Anna has done the step, Ben is in progress, Cleo has not started."""
    a_step(session)
    a_step(session, OTHER)
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    a_save(session, "done", ANNA)
    a_save(session, "in_progress", BEN)


def rows_read(session: Session, statement: str, values: Any, table: str = "") -> int:
    """How many rows all scans of the statement look at; of one `table` if it is named."""
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
    return _looked_at(session.connection().exec_driver_sql(explain, values).scalar_one()[0]["Plan"], table)


def _looked_at(plan: dict[str, Any], table: str) -> int:
    own = 0
    if "Scan" in plan["Node Type"] and plan["Node Type"] != "Subquery Scan":
        seen = (
            plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        )
        own = round(seen * plan["Actual Loops"]) if table in ("", plan.get("Relation Name")) else 0
    return own + sum(_looked_at(inner, table) for inner in plan.get("Plans", []))
