"""Imports beside each other and beside ordinary work, over real connections: nobody waits in a circle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding import loading, releases
from tests.databases import wait_until_blocked
from tests.factories import a_person, a_step

KEYS = text("SELECT count(*) FROM pg_constraint WHERE conrelid = 'user_steps'::regclass AND contype IN ('f', 'p')")


@pytest.fixture
def database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """This test's database, in which nobody waits long for a lock and any load is a large one."""
    monkeypatch.setattr(loading, "MANY_ROWS", 1)
    opened = Database(replace(settings, lock_timeout_ms=800))
    with opened.transaction() as session:
        a_step(session)
        a_person(session)
    yield opened
    opened.dispose()


def load(database: Database) -> int:
    """Loads as an import does, which has read releases by then; how many keys were on meanwhile."""
    with database.transaction() as session:
        loading.prepare(session)
        releases.newest_first(session, 100)
        with loading.loading(session, 1_000):
            return session.scalar(KEYS) or 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("step_releases", "user_steps"),
        ("user_step_events", "onboarding_users"),
        ("onboarding_users", "step_releases"),
    ],
)
def test_a_reader_and_a_first_large_import_come_to_tables_in_any_order(
    database: Database, first: str, second: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            session.execute(text(f"SELECT count(*) FROM {first}"))
            importing = pool.submit(load, database)
            wait_until_blocked(session)
            session.execute(text(f"SELECT count(*) FROM {second}"))
        assert importing.result(10) == 0


def test_a_first_large_import_leaves_the_keys_on_where_a_reader_never_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ATTEMPTS", 2)
    with database.transaction() as session:
        session.execute(text("SELECT count(*) FROM user_step_events"))
        before = session.scalar(KEYS)
        assert load(database) == before


def test_a_second_import_waits_for_the_first_longer_than_for_any_other_lock(database: Database) -> None:
    told: list[str] = []

    def wait() -> tuple[Any, ...]:
        with database.transaction() as session:
            loading.prepare(session, lambda stage, _done, _total: told.append(stage))
            return tuple(session.execute(text("SELECT current_setting('lock_timeout'), now()")).one())

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            loading.prepare(session)
            second = pool.submit(wait)
            time.sleep(1.1)
            assert not second.done(), "the second must wait for the first"
            ended = session.scalar(text("SELECT clock_timestamp()"))
        timeout, began = second.result(5)
    assert timeout == "800ms"
    assert began > ended, "the second must be dated from after the first"
    assert told == ["Waiting for another import"]
