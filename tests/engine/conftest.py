"""For tests of one rule at a time: a database for all of them, each leaving it as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import standings
from tests.conftest import PREFIX, url_of
from tests.databases import make, remove


@pytest.fixture(scope="session")
def shared_connection(server: psycopg.Connection[Any]) -> Iterator[Connection]:
    """The one connection to a migrated, empty database that stays empty."""
    name = f"{os.environ[PREFIX]}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_shared"
    make(server, name, f"{os.environ[PREFIX]}_template", url_of)
    with create_engine(url_of(name), poolclass=NullPool).connect() as connection:
        yield connection
    remove(server, name)


@pytest.fixture
def session(shared_connection: Connection) -> Iterator[Session]:
    """A session whose work is taken back after the test. Within it the database's clock stands still."""
    transaction = shared_connection.begin()
    with Session(shared_connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as opened:
        yield opened
    transaction.rollback()


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
