"""A person is erased while others work on them, over real connections: nothing of them is left behind or half gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding import bulk_changes, erasure, invariants, loading, people, progress
from dashboard.onboarding.erasure import Stored
from dashboard.onboarding.errors import Conflict, Invalid, NotFound
from dashboard.onboarding.filters import Filter
from dashboard.onboarding.progress import Saved, WantedSave
from tests.databases import wait_until_blocked
from tests.factories import ANNA, SAM, a_person, a_step, row_version_of, snapshot
from tests.reliability.test_concurrency import at_once, at_statement, of_kind, waits

STEPS = [f"step-{number}" for number in range(6)]


@pytest.fixture
def wide(settings: Settings) -> Iterator[Database]:
    """This test's database with a connection for each thread, and Anna in it."""
    opened = Database(replace(settings, pool_size=16, lock_timeout_ms=4_000))
    with opened.transaction() as session:
        for step_id in STEPS:
            a_step(session, step_id)
        a_person(session)
    yield opened
    opened.dispose()


def erase(session: Session) -> Stored:
    return erasure.erase(session, SAM, ANNA, ANNA)


def left_of_anna(database: Database) -> list[str]:
    with database.transaction() as session:
        assert [check.promise for check in invariants.check(session) if not check.holds] == []
        return [row for rows in snapshot(session).values() for row in rows if ANNA in row.lower()]


def events(database: Database) -> int:
    with database.transaction() as session:
        return session.scalar(text("SELECT count(*) FROM user_step_events")) or 0


@pytest.mark.parametrize("turn", range(3))
def test_saves_at_the_same_time_come_before_it_or_find_nobody(wide: Database, turn: int) -> None:
    def save(session: Session, step_id: str) -> Saved:
        time.sleep(0.002 * turn)
        return progress.save(session, SAM, ANNA, step_id, "done", row_version_of(session, ANNA, step_id))

    savers = [lambda session, step_id=step_id: save(session, step_id) for step_id in STEPS]
    results = at_once(wide, *savers[:3], erase, *savers[3:])
    (erased,) = of_kind(Stored, results)
    saved = of_kind(Saved, results)
    assert len(saved) + len(of_kind(NotFound, results)) == len(STEPS)
    assert erased.events == len(saved) == events(wide)
    assert left_of_anna(wide) == []


def test_a_save_that_waits_for_it_finds_nobody(wide: Database) -> None:
    def save_all() -> str:
        try:
            with wide.transaction() as session:
                progress.save_many(session, SAM, ANNA, [WantedSave(step_id, "done", 1, "todo") for step_id in STEPS])
        except NotFound as refused:
            return refused.what
        return "saved"

    with ThreadPoolExecutor(1) as pool, wide.transaction() as session:
        erase(session)
        waiting = pool.submit(save_all)
        wait_until_blocked(session)
        session.commit()
        assert waiting.result(60) == "person"
    assert events(wide) == 0
    assert left_of_anna(wide) == []


def test_it_waits_for_a_save_that_is_under_way_and_takes_that_with_it(wide: Database) -> None:
    def erased() -> Stored:
        with wide.transaction() as session:
            return erase(session)

    with ThreadPoolExecutor(1) as pool, wide.transaction() as session:
        progress.save(session, SAM, ANNA, STEPS[0], "done", 1, comment="Anna called.")
        waiting = pool.submit(erased)
        wait_until_blocked(session)
        session.commit()
        assert waiting.result(60).events == 1
    assert left_of_anna(wide) == []


def test_of_two_who_erase_one_finds_nobody(wide: Database) -> None:
    results = at_once(wide, erase, erase)
    assert len(of_kind(Stored, results)) == len(of_kind(NotFound, results)) == 1


def test_whoever_is_put_again_at_the_same_time_is_somebody_new(wide: Database) -> None:
    def put(session: Session) -> bool:
        return people.put(session, SAM, ANNA, name="Anna")[1]

    results = at_once(wide, erase, put)
    (is_new,) = of_kind(bool, results)
    with wide.transaction() as session:
        there = session.scalar(text("SELECT count(*) FROM onboarding_users"))
    assert there == (1 if is_new else 0)


def test_a_conflict_that_is_being_kept_is_renamed_with_the_others(wide: Database) -> None:
    with wide.transaction() as session:
        progress.save(session, SAM, ANNA, STEPS[0], "done", 1)
    with Session(wide.engine) as saving:
        with pytest.raises(Conflict):
            progress.save(saving, SAM, ANNA, STEPS[0], "skipped", 1)
        assert waits(wide, erase, saving) is None
    assert left_of_anna(wide) == []
    with wide.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM write_conflicts")) == 1


def test_a_bulk_change_that_is_being_forgotten_does_not_hold_it_up(wide: Database) -> None:
    with wide.transaction() as session:
        bulk_changes.create(session, SAM, [ANNA], STEPS[0], "done")
        session.execute(text("UPDATE bulk_changes SET created_at = now() - interval '25 hours'"))
    with Session(wide.engine) as choosing:
        choosing.execute(text(bulk_changes.FORGET))
        assert waits(wide, erase, choosing) is None
    assert left_of_anna(wide) == []


@pytest.mark.parametrize("chosen", [[ANNA, "nobody"], Filter(q=ANNA)])
def test_it_waits_for_a_bulk_change_that_is_being_previewed(wide: Database, chosen: Filter | list[str]) -> None:
    with Session(wide.engine) as choosing:
        bulk_changes.create(choosing, SAM, chosen, STEPS[0], "done")
        assert waits(wide, erase, choosing) is None
    assert left_of_anna(wide) == []


def test_a_bulk_change_that_waits_for_it_to_forget_another_holds_nobody_yet(wide: Database) -> None:
    with wide.transaction() as session:
        made = bulk_changes.create(session, SAM, [ANNA], STEPS[0], "done")
        session.execute(text("UPDATE bulk_changes SET created_at = now() - interval '25 hours'"))
    with Session(wide.engine) as erasing:
        erasing.execute(erasure.HOLD_BULK_CHANGES, {"bulk_ids": [made]})
        event.listen(erasing, "before_commit", erase, once=True)
        everybody = Filter(step_id=STEPS[0], status="todo")
        failed = waits(wide, lambda session: bulk_changes.create(session, SAM, everybody, STEPS[0], "done"), erasing)
    assert isinstance(failed, Invalid), "nobody is left, and it was no deadlock"
    assert left_of_anna(wide) == []


def test_whoever_is_erased_while_a_filter_is_looked_up_is_not_named(wide: Database) -> None:
    def at_once_if_possible() -> None:
        with suppress(OperationalError), wide.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '20ms'"))
            erase(session)
            got_in.append(n)

    got_in: list[int] = []
    for n in range(20):
        with Session(wide.engine) as choosing, choosing.begin():
            reached = at_statement(choosing, n, at_once_if_possible)
            with suppress(Invalid):
                bulk_changes.create(choosing, SAM, Filter(q=ANNA), STEPS[0], "done")
        with suppress(NotFound), wide.transaction() as session:
            erase(session)
        assert left_of_anna(wide) == [], n
        if not reached:
            assert len(got_in) > 1, "nobody is erased in between"
            return
        with wide.transaction() as session:
            a_person(session)
    pytest.fail("a bulk change has more statements than were tried")


def test_a_first_large_import_waits_for_whoever_is_being_added(wide: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MANY_ROWS", 1)

    def load(session: Session) -> None:
        with loading.loading(session, 1_000):
            pass

    with Session(wide.engine) as adding:
        adding.execute(text("INSERT INTO onboarding_users (user_id) VALUES ('ben')"))
        added = text("INSERT INTO user_search (user_id, words) VALUES ('ben', ' ben')")
        event.listen(adding, "before_commit", lambda session: session.execute(added), once=True)
        assert waits(wide, load, adding) is None
    with wide.transaction() as session:
        assert people.find(session, "ben").user_id == "ben"
