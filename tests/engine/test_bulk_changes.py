"""Bulk changes: what the preview says, that each batch is a checked write, and that nobody is overwritten."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import bulk_changes, erasure, people, releases, user_steps
from dashboard.onboarding.errors import Invalid, NotFound, Refused, Withdrawn
from dashboard.onboarding.filters import Filter
from tests import factories
from tests.engine.conftest import three_people
from tests.factories import (
    ANNA,
    BEN,
    CLEO,
    MAYA,
    OTHER,
    SAM,
    STEP,
    a_release,
    a_save,
    a_step,
    events_of_step,
    people_with_wrong_arrays,
    snapshot,
    status_of,
)

every_test_begins_with = three_people


def prepared(session: Session, *chosen: str, status: str = "done", comment: str = "") -> int:
    return bulk_changes.create(session, SAM, chosen or (ANNA, BEN, CLEO), STEP, status, comment)


def carried_out(session: Session, bulk_id: int) -> bulk_changes.BulkChange:
    for _ in range(50):
        if (bulk := bulk_changes.carry_on(session, SAM, bulk_id)).finished_at:
            return bulk
    raise AssertionError("it never ends")


def test_a_preview_changes_nobody_and_says_what_would(session: Session) -> None:
    before = [user_steps.steps_of(session, user_id) for user_id in (ANNA, BEN, CLEO)]
    bulk = bulk_changes.get(session, prepared(session, comment=" By phone "))
    assert (bulk.people, bulk.would_change, bulk.waiting) == (3, 2, 3)
    assert bulk.before == {"done": 1, "skipped": 0, "in_progress": 1, "todo": 1}
    assert (bulk.status, bulk.comment, bulk.created_by, bulk.started_at) == ("done", "By phone", SAM.key, None)
    assert [user_steps.steps_of(session, user_id) for user_id in (ANNA, BEN, CLEO)] == before


def test_the_effect_counts_who_comes_to_100_and_who_falls(session: Session) -> None:
    for user_id in (ANNA, BEN):
        a_save(session, "done", user_id, OTHER)

    def effect(status: str) -> bulk_changes.Effect:
        return bulk_changes.effect(session, bulk_changes.get(session, prepared(session, status=status)))

    assert effect("done") == bulk_changes.Effect(reach_100=1, fall_from_100=0)
    assert effect("skipped") == bulk_changes.Effect(reach_100=1, fall_from_100=0)
    assert effect("todo") == bulk_changes.Effect(reach_100=0, fall_from_100=1)


def test_the_effect_leaves_out_who_moved_on_since_the_preview(session: Session) -> None:
    a_save(session, "done", BEN, OTHER)
    bulk = bulk_changes.get(session, prepared(session))
    assert bulk_changes.effect(session, bulk).reach_100 == 1
    a_save(session, "done", BEN)
    assert bulk_changes.effect(session, bulk).reach_100 == 0
    a_save(session, "in_progress", BEN)
    assert bulk_changes.effect(session, bulk).reach_100 == 0


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_everybody_gets_the_status_by_a_write_of_their_own(
    session: Session, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", batch)
    bulk = carried_out(session, prepared(session, comment="By phone"))
    assert bulk.outcomes == {"changed": 2, "same": 1}
    for user_id, before, row_version in ((BEN, "in_progress", 3), (CLEO, "todo", 2)):
        event = events_of_step(session, user_id)[-1]
        assert (event.actor, event.source, event.comment) == (SAM.key, "bulk", "By phone")
        assert (event.from_status, event.to_status, event.row_version) == (before, "done", row_version)
        assert user_steps.step_of(session, user_id, STEP).row_version == row_version
        assert people.find(session, user_id).progress == 50
    assert len(events_of_step(session, ANNA)) == 1
    assert people_with_wrong_arrays(session) == []


@pytest.mark.one_server("each node of a cluster has a clock of its own")
@pytest.mark.usefixtures("dated_as_one")
@pytest.mark.parametrize("status", ["done", "skipped", "in_progress", "todo"])
def test_it_is_what_saving_one_after_the_other_would_be(session: Session, status: str) -> None:
    a_release(session)
    users = """SELECT user_id, done_releases, skipped_releases, in_progress_releases, finished_at IS NULL, last_activity_at
                 FROM onboarding_users ORDER BY 1"""
    rows = "SELECT * FROM user_steps ORDER BY user_id, step_id"

    def held() -> list[Any]:
        return [session.execute(text(query)).all() for query in (users, rows)]

    with session.begin_nested() as example:
        for user_id in (ANNA, BEN, CLEO):
            if status_of(session, user_id) != status:
                a_save(session, status, user_id, actor=SAM)
        expected = held()
        example.rollback()
    carried_out(session, prepared(session, status=status))
    assert held() == expected


def test_who_moved_since_the_preview_is_left_alone_listed_and_counted_as_a_conflict(session: Session) -> None:
    bulk_id = prepared(session)
    a_save(session, "skipped", CLEO)
    bulk = carried_out(session, bulk_id)
    assert bulk.outcomes == {"changed": 1, "same": 1, "moved": 1}
    assert status_of(session, CLEO) == "skipped"
    (moved,), _, following = bulk_changes.members(session, bulk_id, "moved")
    assert (moved.user_id, moved.from_status, moved.status, following) == (CLEO, "todo", "skipped", None)
    kept = session.execute(text("SELECT * FROM write_conflicts")).one()
    assert (kept.user_id, kept.actor, kept.source, kept.to_status) == (CLEO, SAM.key, "bulk", "done")
    assert (kept.row_version, kept.current_row_version, kept.release_id) == (1, 2, None)


def test_a_release_since_the_preview_moves_everybody_and_is_named_in_the_conflicts(session: Session) -> None:
    a_release(session)
    bulk_id = prepared(session)
    newest = [a_release(session).release.id for _ in range(2)][-1]
    a_save(session, "skipped", CLEO)
    assert carried_out(session, bulk_id).outcomes == {"same": 1, "moved": 2}
    kept = session.execute(text("SELECT user_id, source, release_id FROM write_conflicts ORDER BY user_id")).all()
    assert kept == [(BEN, "bulk", newest), (CLEO, "bulk", newest)]


def test_who_moved_to_just_that_status_needs_nothing(session: Session) -> None:
    bulk_id = prepared(session)
    a_save(session, "done", BEN)
    assert carried_out(session, bulk_id).outcomes == {"changed": 1, "same": 2}


def test_those_who_moved_can_be_changed_again_as_they_are_now(session: Session) -> None:
    bulk_id = prepared(session, comment="By phone")
    a_save(session, "skipped", CLEO)
    carried_out(session, bulk_id)
    retried = bulk_changes.again(session, SAM, bulk_id)
    (member,), *_ = bulk_changes.members(session, retried)
    assert (member.user_id, member.from_status) == (CLEO, "skipped")
    assert bulk_changes.get(session, retried).comment == "By phone"
    assert carried_out(session, retried).outcomes == {"changed": 1}
    with pytest.raises(Refused):
        bulk_changes.again(session, SAM, retried)


def test_whoever_was_erased_is_not_among_those_who_moved(session: Session) -> None:
    bulk_id = prepared(session, BEN, CLEO)
    for user_id in (BEN, CLEO):
        a_save(session, "skipped", user_id)
    carried_out(session, bulk_id)
    erasure.erase(session, MAYA, BEN, BEN)
    retried = bulk_changes.get(session, bulk_changes.again(session, SAM, bulk_id))
    assert (retried.people, retried.outcomes) == (1, {None: 1})
    erasure.erase(session, MAYA, CLEO, CLEO)
    with pytest.raises(Refused):
        bulk_changes.again(session, SAM, bulk_id)


def test_another_change_is_for_the_same_people_as_far_as_they_are_here(session: Session) -> None:
    bulk_id = prepared(session, BEN, CLEO)
    a_save(session, "done", CLEO)
    erasure.erase(session, MAYA, BEN, BEN)
    other = bulk_changes.get(session, bulk_changes.instead(session, SAM, bulk_id, "skipped", "By letter"))
    assert (other.status, other.comment, other.before["done"], other.people) == ("skipped", "By letter", 1, 1)
    erasure.erase(session, MAYA, CLEO, CLEO)
    with pytest.raises(Invalid):
        bulk_changes.instead(session, SAM, bulk_id, "skipped", "")


def test_ids_of_nobody_are_left_out(session: Session) -> None:
    # an id may be that of somebody who was erased since the list was opened
    bulk = carried_out(session, prepared(session, BEN, BEN, "nobody", "💥", "' OR 1=1 --"))
    assert bulk.outcomes == {"changed": 1}
    assert session.scalars(text("SELECT user_id FROM bulk_change_people")).all() == [BEN]
    with pytest.raises(Invalid, match="people: are no longer here"):
        prepared(session, "nobody")


def test_whoever_is_erased_after_the_preview_is_gone_and_not_named(session: Session) -> None:
    bulk_id = prepared(session, BEN, CLEO)
    erasure.erase(session, MAYA, CLEO, CLEO)
    assert carried_out(session, bulk_id).outcomes == {"changed": 1, "gone": 1}
    (gone,), *_ = bulk_changes.members(session, bulk_id, "gone")
    assert (gone.user_id.startswith("erased-"), gone.status) == (True, None)


def test_ten_thousand_ids_are_taken_and_one_more_is_refused(session: Session) -> None:
    ids = [f"nobody-{number}" for number in range(9_999)]
    bulk = carried_out(session, bulk_changes.create(session, SAM, [BEN, *ids], STEP, "done"))
    assert bulk.outcomes == {"changed": 1}
    with pytest.raises(Invalid, match="10,000"):
        bulk_changes.create(session, SAM, [BEN, CLEO, *ids], STEP, "done")


def test_a_filter_chooses_all_who_match(session: Session) -> None:
    bulk_id = bulk_changes.create(session, SAM, Filter(step_id=STEP, status="in_progress"), STEP, "done")
    assert carried_out(session, bulk_id).outcomes == {"changed": 1}
    assert status_of(session, CLEO) == "todo"


def test_whoever_comes_to_100_has_finished(session: Session) -> None:
    a_save(session, "done", BEN, OTHER)
    carried_out(session, prepared(session))
    assert people.find(session, BEN).finished
    assert not people.find(session, CLEO).finished


def test_a_withdrawn_step_is_not_needed_to_have_finished(session: Session) -> None:
    a_save(session, "in_progress", BEN, OTHER)
    releases.withdraw(session, MAYA, OTHER)
    carried_out(session, prepared(session))
    assert people.find(session, BEN).finished
    assert people.find(session, CLEO).finished


def test_it_is_in_the_log_once_and_carrying_on_after_the_end_does_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 1)
    bulk_id = prepared(session, comment="By phone")
    carried_out(session, bulk_id)
    before = snapshot(session)
    bulk_changes.carry_on(session, SAM, bulk_id)
    assert snapshot(session) == before
    entry = session.execute(text("SELECT * FROM audit_log WHERE action = 'people.bulk'")).one()
    assert (entry.actor, entry.step_id, entry.note) == (SAM.key, STEP, "By phone")
    assert entry.changes == {"status": [None, "done"], "changed": [None, 2], "same": [None, 1]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"chosen": []}, "people"),
        ({"chosen": ["a\0"]}, "people"),
        ({"chosen": ["x" * 201]}, "people"),
        ({"chosen": Filter(q="nobody-at-all")}, "people"),
        ({"status": "finished"}, "status"),
        ({"comment": "x" * 2001}, "comment"),
        ({"comment": "\0"}, "comment"),
    ],
)
def test_what_cannot_be_done_is_named_and_nothing_is_kept(
    session: Session, changes: dict[str, Any], named: str
) -> None:
    before = snapshot(session)
    with pytest.raises(Invalid) as refused:
        bulk_changes.create(
            session, SAM, **{"chosen": [BEN], "step_id": STEP, "status": "done", "comment": ""} | changes
        )
    assert list(refused.value.problems) == [named]
    assert snapshot(session) == before


def test_there_must_be_such_a_step_and_such_a_change(session: Session) -> None:
    a_step(session, "only-a-draft", released=False)
    for step_id in ("nowhere", "only-a-draft", "a\0"):
        with pytest.raises(NotFound):
            bulk_changes.create(session, SAM, [BEN], step_id, "done")
    for bulk_id in (0, -1, 999_999, 2**40):
        with pytest.raises(NotFound):
            bulk_changes.carry_on(session, SAM, bulk_id)


def test_a_withdrawn_step_is_refused_before_and_after_the_preview(session: Session) -> None:
    bulk_id = prepared(session)
    releases.withdraw(session, MAYA, STEP)
    before = snapshot(session)
    with pytest.raises(Withdrawn):
        bulk_changes.carry_on(session, SAM, bulk_id)
    with pytest.raises(Withdrawn):
        prepared(session)
    assert snapshot(session) == before


def test_people_are_paged_by_id(session: Session) -> None:
    ids = factories.people(session, 5)
    bulk_id = prepared(session, *ids)
    pages: list[list[str]] = []
    cursor: str | None = None
    while cursor or not pages:
        page, previous, cursor = bulk_changes.members(session, bulk_id, cursor=cursor, limit=2)
        pages.append([member.user_id for member in page])
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    page, previous, _ = bulk_changes.members(session, bulk_id, cursor=previous, limit=2)
    assert ([member.user_id for member in page], previous is None) == (ids[2:4], False)
    page, previous, _ = bulk_changes.members(session, bulk_id, cursor=previous, limit=2)
    assert ([member.user_id for member in page], previous) == (ids[:2], None)


def test_a_column_that_a_newer_program_added_is_passed_over(session: Session) -> None:
    bulk_id = prepared(session)
    session.execute(text("ALTER TABLE bulk_changes ADD COLUMN later text"))
    assert bulk_changes.get(session, bulk_id).people == 3


def test_a_preview_that_nobody_confirmed_is_forgotten_after_a_day(session: Session) -> None:
    old, run = prepared(session), prepared(session)
    carried_out(session, run)
    session.execute(text("UPDATE bulk_changes SET created_at = now() - interval '25 hours'"))
    prepared(session)
    with pytest.raises(NotFound):
        bulk_changes.get(session, old)
    assert bulk_changes.get(session, run).people == 3
