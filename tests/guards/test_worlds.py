"""What tests begin with is copied as rows: the copy is what the engine would have made, and made just now."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.conftest import Build, Connect
from tests.databases import EMPTY, RESTART
from tests.factories import BEN, STEP, a_draft, a_person, a_release, a_save, a_step, snapshot

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d|\"milliseconds\": [\d.]+")
pytestmark = pytest.mark.one_server("on a cluster the engine makes what each test begins with")


def lived(session: Session) -> list[str]:
    """Rows of many tables, text that has to be quoted, values that are absent, people without rows of their own."""
    a_step(session, title='It\'s \\ 100 % "so"; --', description="Line one\nline two")
    a_person(session, name="O'Brien \\n")
    a_person(session, BEN)
    a_save(session, "in_progress", comment="'; DROP TABLE steps; --")
    a_release(session)
    a_draft(session, weight=30)
    return [STEP]


@pytest.fixture
def empty(connect: Connect) -> Callable[[], None]:
    """Empties this test's database, as is done between two tests."""

    def emptied() -> None:
        with connect() as connection:
            connection.autocommit = True
            for statement in (*EMPTY, RESTART):
                connection.execute(statement)

    return emptied


def rows(session: Session) -> dict[str, list[str]]:
    """Every row as text, without its moments and durations."""
    found = {name: sorted(MOMENT.sub("then", row) for row in rows) for name, rows in snapshot(session).items()}
    session.rollback()
    return found


def test_the_copy_is_what_the_engine_makes(build: Build, session: Session, empty: Callable[[], None]) -> None:
    made = build(lived)
    copied = rows(session)
    empty()
    assert not any(rows(session).values())
    assert lived(session) == made
    session.commit()
    assert rows(session) == copied


def test_the_engine_goes_on_from_the_copy(build: Build, session: Session) -> None:
    build(lived)
    a_step(session, "another")
    a_save(session, "done")
    session.commit()


def test_moments_are_as_long_ago_as_they_were(build: Build, session: Session, empty: Callable[[], None]) -> None:
    def age() -> timedelta:
        build(lived)
        found: timedelta = session.scalars(text("SELECT now() - updated_at FROM user_steps")).one()
        session.rollback()
        return found

    first = age()
    empty()
    waited = time.monotonic()
    time.sleep(0.4)
    assert age() - first < timedelta(seconds=(time.monotonic() - waited) / 2)
