"""Cut off anywhere, a release or a write has happened whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

import psycopg
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.onboarding import cutover, drafts, erasure, progress, releases, steps
from dashboard.onboarding.errors import BrokenInvariant, Conflict
from dashboard.onboarding.progress import WantedSave
from tests.factories import ANNA, BEN, MAYA, OTHER, SAM, STEP, a_draft, a_person, a_release, a_save, a_step, snapshot

THIRD = "import-contacts"
Work = Callable[[Session], object]


class PowerCut(Exception):
    """What happens at the n-th statement."""


def migrated(session: Session) -> object:
    return releases.migrate(session, MAYA, STEP, 2, 3, {"title": "Again", "weight": 3}, discard_draft=True)


def drafted(session: Session) -> int:
    draft = steps.get(session, STEP).draft
    assert draft
    return draft.row_version


CUT_OFF: dict[str, Work] = {
    "release": lambda session: releases.release(session, MAYA, STEP, reopens_finished=True, note="why"),
    "rollback": lambda session: releases.roll_back(session, MAYA, STEP),
    "withdraw": lambda session: releases.withdraw(session, MAYA, STEP),
    "restore": lambda session: releases.restore(session, MAYA, OTHER),
    "migrate": migrated,
    "save over a row": lambda session: progress.save(session, SAM, ANNA, STEP, "skipped", 3),
    "first save": lambda session: progress.save(session, SAM, BEN, STEP, "done", 2),
    "save several": lambda session: progress.save_many(
        session, SAM, ANNA, [WantedSave(STEP, "done", 3, "todo"), WantedSave(THIRD, "done", 1, "todo", "why")]
    ),
    "erase": lambda session: erasure.erase(session, SAM, ANNA, ANNA),
    "create": lambda session: drafts.create(session, MAYA, "fourth", {"title": "Fourth"}),
    "save draft": lambda session: drafts.save(session, MAYA, STEP, {"title": "Y"}, drafted(session)),
    "discard draft": lambda session: drafts.discard(session, MAYA, STEP, drafted(session)),
}


@pytest.fixture(autouse=True)
def standing(database: Database) -> None:
    """Two releases of a step with a draft waiting, a withdrawn step, one person with work done and one without."""
    with database.transaction() as session:
        for step_id in (STEP, OTHER, THIRD):
            a_step(session, step_id)
        for user_id in (ANNA, BEN):
            a_person(session, user_id)
        a_save(session, "in_progress", ANNA, OTHER)
        a_save(session, "in_progress")
        a_release(session)
        a_draft(session, weight=70)
        releases.withdraw(session, MAYA, OTHER)


def everything(database: Database) -> dict[str, list[str]]:
    with database.transaction() as session:
        return snapshot(session)


def cut_at(database: Database, n: int, work: Work, cut: Callable[[Connection], None]) -> bool:
    """Whether the work got to its n-th statement (or, past the last one, to its commit), where it was cut off."""
    with database.transaction() as session:
        seen, connection = count(), session.connection()

        @event.listens_for(connection, "before_cursor_execute")
        def maybe(*_: object) -> None:
            if next(seen) == n:
                cut(connection)

        work(session)
        if next(seen) == n:
            cut(connection)
            return True
        session.rollback()
        return False


def power_cut(_: Connection) -> None:
    raise PowerCut


@pytest.mark.parametrize("name", CUT_OFF)
def test_a_failure_at_any_statement_leaves_nothing_changed(database: Database, name: str) -> None:
    before = everything(database)
    for n in count():
        with suppress(PowerCut):
            if not cut_at(database, n, CUT_OFF[name], power_cut):
                break
        assert everything(database) == before, f"cut off at statement {n}"
    assert n > 1
    with database.transaction() as session:
        CUT_OFF[name](session)
    assert everything(database) != before


def a_stale_save(session: Session) -> None:
    with pytest.raises(Conflict):
        progress.save(session, SAM, ANNA, STEP, "skipped", 1)


def test_a_stale_save_that_is_cut_off_leaves_nothing_and_else_the_one_row_of_its_record(database: Database) -> None:
    before = everything(database)
    for n in count():
        with suppress(PowerCut):
            if not cut_at(database, n, a_stale_save, power_cut):
                break
        assert everything(database) == before, f"cut off at statement {n}"
    assert n > 4
    with database.transaction() as session:
        a_stale_save(session)
    after = everything(database)
    assert [name for name in after if after[name] != before[name]] == ["write_conflicts"]


@pytest.mark.parametrize("name", ["release", "rollback", "first save", "save over a row", "stale save", "erase"])
def test_a_connection_that_dies_at_any_statement_leaves_nothing_changed(database: Database, name: str) -> None:
    before = everything(database)
    work = (CUT_OFF | {"stale save": a_stale_save})[name]

    def terminate(cut: Connection) -> None:
        connection = cut.connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        url = libpq_url(database.engine.url.render_as_string(hide_password=False))
        with psycopg.connect(url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])

    died = 0
    for n in count():
        try:
            if not cut_at(database, n, work, terminate):
                break
        except DBAPIError as error:
            assert error.connection_invalidated
            died += 1
        assert everything(database) == before, f"died at statement {n}"
    assert died == n > 1
    with database.transaction() as session:
        work(session)
    assert everything(database) != before


def test_a_release_that_would_break_an_invariant_is_taken_back_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(database)
    derive = cutover.DERIVE
    monkeypatch.setattr(cutover, "DERIVE", type(derive)(derive.text.replace("NOT m.carry_done", "true")))
    with database.transaction() as session:
        session.begin_nested()
        a_save(session, "done", ANNA)
        with pytest.raises(BrokenInvariant, match="no status is lost"):
            releases.release(session, MAYA, STEP)
        session.rollback()
    assert everything(database) == before
