"""A batch is the same single saves one after another: whatever the world, conflicts, refusals and records and all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import batch, history, progress, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.batch import Update
from dashboard.onboarding.bulk_write import Refusal
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.errors import Conflict, Invalid, NotFound, Refused, Withdrawn
from dashboard.onboarding.progress import Saved
from tests import factories
from tests.databases import sent
from tests.engine.conftest import three_people
from tests.factories import (
    ANNA,
    BEN,
    CLEO,
    HOST,
    MAYA,
    OTHER,
    SAM,
    STATUSES,
    STEP,
    a_person,
    a_release,
    a_save,
    a_step,
    people_with_wrong_arrays,
    row_version_of,
    snapshot,
    status_of,
)

EXAMPLES = 4 * int(os.environ.get("HISTORIES", "16"))
NOBODY = "nobody"

# What it equals ------------------------------------------------------------------------------------------------------

people = st.sampled_from((ANNA, BEN, CLEO))
step_ids = st.sampled_from((STEP, OTHER))
policies = st.builds(Policy, st.booleans(), st.booleans(), st.booleans())
moves = st.one_of(
    st.tuples(st.just("save"), people, step_ids, st.sampled_from(STATUSES)),
    st.tuples(st.just("release"), step_ids, policies, st.integers(1, 12), st.booleans()),
    st.tuples(st.just("roll back"), step_ids),
    st.tuples(st.just("withdraw other")),
)


@pytest.mark.one_server("each node of a cluster has a clock of its own")
@pytest.mark.usefixtures("dated_as_one")
@given(
    history=st.lists(moves, max_size=12),
    order=st.permutations((ANNA, BEN, CLEO, NOBODY)),
    wanted=st.integers(1, 4),
    behind=st.lists(st.sampled_from((0, 0, 0, 0, 1, 2, 5, -1)), min_size=4, max_size=4),
    status=st.sampled_from(STATUSES),
    attempt=st.integers(0, 2),
)
@settings(
    max_examples=EXAMPLES,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_batch_is_the_same_single_saves_one_after_another(
    database: Database, history: list[Any], order: list[str], wanted: int, behind: list[int], status: str, attempt: int
) -> None:
    # in one transaction, where the clock of the database stands still
    with database.engine.connect() as connection, connection.begin() as transaction:
        session = Session(connection, join_transaction_mode="create_savepoint")
        a_world(session, history)
        updates = [
            Update(user_id, max(1, (row_version_of(session, user_id) if user_id != NOBODY else 1) - back))
            for user_id, back in zip(order[:wanted], behind, strict=False)
        ]
        with taken_back(session):
            singly = [one_by_one(session, update, status, attempt) for update in updates]
            expected = rows(session)
        found = batch.save(session, HOST, STEP, status, updates, attempt=attempt)
        assert [told(one) for one in found] == [told(one) for one in singly]
        assert rows(session) == expected
        assert people_with_wrong_arrays(session) == []
        session.close()
        transaction.rollback()


def a_world(session: Session, moves: list[Any]) -> None:
    for step_id, weight in ((STEP, 3), (OTHER, 5)):
        a_step(session, step_id, weight=weight)
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    other_is_live = True
    for kind, *how in moves:
        if kind == "withdraw other" and other_is_live:
            releases.withdraw(session, MAYA, OTHER)
            other_is_live = False
        elif OTHER in how and not other_is_live:
            continue
        elif kind == "save":
            user_id, step_id, status = how
            a_save(session, status, user_id, step_id, actor=SAM)
        elif kind == "release":
            step_id, policy, weight, reopens = how
            factories.a_draft(session, step_id, weight=weight)
            releases.release(session, MAYA, step_id, policy, reopens_finished=reopens)
        elif kind == "roll back":
            with suppress(Refused):
                releases.roll_back(session, MAYA, how[0])


@contextmanager
def taken_back(session: Session) -> Iterator[None]:
    nested = session.begin_nested()
    yield
    nested.rollback()
    session.expire_all()


def one_by_one(session: Session, update: Update, status: str, attempt: int) -> Saved | Refusal:
    try:
        return progress.save(session, HOST, update.user_id, STEP, status, update.row_version, attempt=attempt)
    except (Conflict, Invalid, NotFound) as refused:
        return refused


def told(one: Saved | Refusal) -> object:
    if isinstance(one, Conflict):
        return one.attempted, one.current, one.changes
    return one if isinstance(one, Saved) else (type(one), str(one))


def rows(session: Session) -> dict[str, list[str]]:
    """Every row, but for the numbers that conflicts go by."""
    found = snapshot(session)
    found["write_conflicts"] = sorted(re.sub(r'"id":\d+,', "", row) for row in found["write_conflicts"])
    return found


# Rung by rung --------------------------------------------------------------------------------------------------------


every_test_begins_with = three_people


def save(session: Session, *updates: tuple[str, int], **more: Any) -> list[Saved | Refusal]:
    chosen = {"step_id": STEP, "status": "done"} | more
    return batch.save(session, HOST, updates=[Update(*one) for one in updates], **chosen)


def test_each_gets_an_answer_in_the_order_asked(session: Session) -> None:
    found = save(session, (CLEO, 1), (NOBODY, 1), (BEN, 1), (ANNA, 2), ("zoe", 3))
    assert [type(one) for one in found] == [Saved, NotFound, Conflict, Saved, NotFound]
    (cleo, _, ben, anna, _) = found
    assert isinstance(cleo, Saved)
    assert (cleo.user_id, cleo.before, cleo.row_version, cleo.progress, cleo.finished) == (CLEO, "todo", 2, 50, False)
    assert isinstance(anna, Saved)
    assert (anna.user_id, anna.before, anna.row_version) == (ANNA, "done", 3)
    assert isinstance(ben, Conflict)
    assert (ben.attempted, ben.current.row_version, ben.current.status) == (1, 2, "in_progress")


def test_the_status_that_it_has_already_is_a_save_too(session: Session) -> None:
    save(session, (ANNA, 2))
    assert [(one.from_status, one.to_status) for one in history.events_of(session, ANNA)][-1] == ("done", "done")
    assert row_version_of(session, ANNA) == 3


def test_a_row_version_newer_than_there_is_is_refused_for_that_person_alone(session: Session) -> None:
    refused, saved = save(session, (ANNA, 3), (BEN, 2))
    assert isinstance(refused, Invalid)
    assert refused.problems == {"row_version": "is 3, but the newest is 2"}
    assert isinstance(saved, Saved)


def test_events_and_conflicts_are_signed_and_count_the_attempt(session: Session) -> None:
    newest = a_release(session).release
    save(session, (ANNA, 2), (CLEO, 2), attempt=7)
    written = session.execute(text("SELECT user_id, actor, source, attempt FROM user_step_events WHERE attempt > 0"))
    assert written.all() == [(CLEO, HOST.key, "api", 7)]
    kept = session.execute(text("SELECT * FROM write_conflicts")).one()
    assert (kept.user_id, kept.actor, kept.source, kept.attempt) == (ANNA, HOST.key, "api", 7)
    assert (kept.to_status, kept.row_version, kept.current_row_version, kept.release_id) == ("done", 2, 3, newest.id)


@pytest.mark.one_server("on a cluster there are some for each shard")
def test_the_number_of_statements_does_not_grow_with_the_people(session: Session) -> None:
    crowd = factories.people(session, 300)
    saved, stale, newer = crowd[:100], crowd[100:200], crowd[200:]
    for user_id in stale:
        a_save(session, "in_progress", user_id)

    def statements(people: int) -> int:
        """How many it takes for so many who are saved, who conflict, who were never so far, and who are not there."""
        chosen = [(user_id, 1) for user_id in (*saved[:people], *stale[:people])]
        chosen += [(user_id, 9) for user_id in newer[:people]] + [(f"x{number}", 1) for number in range(people)]
        with taken_back(session), sent(session.connection()) as seen:
            found = save(session, *chosen)
        kinds = [kind for kind in (Saved, Conflict, Invalid, NotFound) for _ in range(people)]
        assert [type(one) for one in found] == kinds
        return len(seen)

    assert statements(1) == statements(100) == 12


@pytest.mark.parametrize(
    ("updates", "named"),
    [
        ([], {"updates"}),
        ([(f"p{number}", 1) for number in range(1_001)], {"updates"}),
        ([(ANNA, 2), (BEN, 2), (ANNA, 2), (ANNA, 3)], {"updates.2.user_id", "updates.3.user_id"}),
        ([(ANNA, 2), ("a\0", 1), ("x" * 201, 1)], {"updates.1.user_id", "updates.2.user_id"}),
        (
            [(BEN, 2), (ANNA, 0), (CLEO, progress.NEWEST_TO_SAVE_OVER + 1)],
            {"updates.1.row_version", "updates.2.row_version"},
        ),
    ],
)
def test_what_cannot_be_saved_is_named_and_nobody_is(
    session: Session, updates: list[tuple[str, int]], named: set[str]
) -> None:
    before = snapshot(session)
    with pytest.raises(Invalid) as refused:
        save(session, *updates)
    assert set(refused.value.problems) == named
    assert snapshot(session) == before


def test_who_is_named_twice_is_told_by_name(session: Session) -> None:
    with pytest.raises(Invalid, match=r"updates.2.user_id: names “anna” again, after updates.0"):
        save(session, (ANNA, 2), (BEN, 2), (ANNA, 3))


def test_a_status_that_there_is_not_saves_nobody(session: Session) -> None:
    with pytest.raises(Invalid, match="todo, in_progress, skipped, done"):
        save(session, (ANNA, 2), status="finished")


@pytest.mark.parametrize("step_id", ["nowhere", "only-a-draft", "a\0", "", "x" * 300])
def test_a_step_that_nobody_has_is_not_found(session: Session, step_id: str) -> None:
    a_step(session, "only-a-draft", released=False)
    with pytest.raises(NotFound) as missing:
        save(session, (ANNA, 2), step_id=step_id)
    assert missing.value.what == "step"


def test_a_withdrawn_step_saves_nobody(session: Session) -> None:
    releases.withdraw(session, MAYA, STEP)
    before = snapshot(session)
    with pytest.raises(Withdrawn):
        save(session, (ANNA, 3), (BEN, 1), (NOBODY, 1))
    assert snapshot(session) == before


def test_a_thousand_go_at_once(session: Session) -> None:
    crowd = factories.people(session, 1_000)
    found = save(session, *((user_id, 1) for user_id in crowd[::-1]), status="skipped")
    assert [one.user_id for one in found if isinstance(one, Saved)] == crowd[::-1]
    assert {status_of(session, user_id) for user_id in (crowd[0], crowd[-1])} == {"skipped"}


def test_it_is_kept_under_the_door_that_it_came_through(session: Session) -> None:
    batch.save(session, Actor("token:nightly", "cli"), STEP, "done", [Update(CLEO, 1)])
    assert [(one.actor, one.source) for one in history.events_of(session, CLEO)] == [("token:nightly", "cli")]
