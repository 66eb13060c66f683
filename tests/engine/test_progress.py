"""A person's steps: the checked write, rung by rung, and what reading them says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashboard.models import WriteConflict
from dashboard.onboarding import history, people, progress, releases, user_steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.errors import Conflict, Invalid, NotFound, Withdrawn
from tests.databases import sent
from tests.factories import (
    ANNA,
    HOST,
    OTHER,
    SAM,
    STATUSES,
    STEP,
    a_person,
    a_release,
    a_save,
    a_step,
    events_of_step,
    people_with_wrong_arrays,
    snapshot,
)


def every_test_begins_with(session: Session) -> None:
    """One step, one person."""
    a_step(session, weight=30)
    a_person(session)


def test_a_save_answers_with_the_row_as_it_now_is(session: Session) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    saved = progress.save(session, SAM, ANNA, STEP, "done", 1, comment="  by phone ", attempt=2, at=at)
    assert (saved.before, saved.status, saved.row_version, saved.updated_at) == ("todo", "done", 2, at)
    assert (saved.progress, saved.finished) == (100, True)
    step = user_steps.step_of(session, ANNA, STEP)
    assert (step.status, step.row_version, step.updated_at, step.updated_by) == ("done", 2, at, SAM.key)
    (event,) = events_of_step(session, ANNA)
    assert (event.from_status, event.to_status, event.row_version, event.comment) == ("todo", "done", 2, "by phone")
    assert people.find(session, ANNA).last_activity_at == at


@pytest.mark.parametrize("first", STATUSES)
@pytest.mark.parametrize("second", STATUSES)
def test_any_status_can_follow_any_other(session: Session, first: str, second: str) -> None:
    progress.save(session, SAM, ANNA, STEP, first, 1)
    saved = progress.save(session, SAM, ANNA, STEP, second, 2)
    assert (saved.before, saved.status, saved.row_version) == (first, second, 3)
    assert people_with_wrong_arrays(session) == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("status", bad) for bad in ("", "Done", "finished", None, 1, ["done"], "done\0")),
        *(
            ("row_version", bad)
            for bad in (0, -1, progress.NEWEST_TO_SAVE_OVER + 1, 2**31, 2**70, "1", True, None, 1.0)
        ),
        *(("comment", bad) for bad in ("x" * 2001, "a\0b", "\ud800", None, 5)),
    ],
)
def test_a_member_that_breaks_a_rule_is_named_and_nothing_is_written(session: Session, member: str, value: Any) -> None:
    before = snapshot(session)
    good: dict[str, Any] = {"status": "done", "row_version": 1, "comment": ""}
    with pytest.raises(Invalid) as refused:
        progress.save(session, SAM, ANNA, STEP, **good | {member: value})
    assert list(refused.value.problems) == [member]
    assert snapshot(session) == before


def test_an_unknown_status_is_refused_naming_the_four() -> None:
    with pytest.raises(Invalid, match="todo, in_progress, skipped, done"):
        progress.check_status("finished", 1)


@pytest.mark.parametrize("row_version", [2, progress.NEWEST_TO_SAVE_OVER])
def test_a_row_version_larger_than_the_current_one_is_refused(session: Session, row_version: int) -> None:
    with pytest.raises(Invalid, match="the newest is 1") as refused:
        progress.save(session, SAM, ANNA, STEP, "done", row_version)
    assert list(refused.value.problems) == ["row_version"]


def test_after_the_last_save_there_is_room_for_releases(session: Session) -> None:
    progress.save(session, SAM, ANNA, STEP, "done", 1)
    last = progress.NEWEST_TO_SAVE_OVER
    session.execute(text("UPDATE user_steps SET row_version = :last"), {"last": last})
    progress.save(session, SAM, ANNA, STEP, "todo", last)
    a_release(session)
    assert user_steps.step_of(session, ANNA, STEP).row_version == last + 2
    with pytest.raises(Invalid):
        progress.save(session, SAM, ANNA, STEP, "done", last + 2)


def test_a_stale_save_is_told_every_change_since_and_by_whom(session: Session) -> None:
    progress.save(session, SAM, ANNA, STEP, "in_progress", 1, comment="started")
    release = a_release(session, title="New words").release
    before = snapshot(session)
    with pytest.raises(Conflict) as conflict:
        progress.save(session, HOST, ANNA, STEP, "done", 1)
    told = conflict.value
    assert (told.attempted, told.current.row_version, told.current.status) == (1, 3, "todo")
    assert [(one.row_version, one.kind, one.by, one.from_status, one.to_status) for one in told.changes] == [
        (2, "event", SAM.key, "todo", "in_progress"),
        (3, "release", release.released_by, "in_progress", "todo"),
    ]
    assert told.changes[0].comment == "started"
    after = snapshot(session)
    assert len(after.pop("write_conflicts")) == 1
    assert after == {name: rows for name, rows in before.items() if name != "write_conflicts"}


def test_a_save_that_goes_through_is_one_statement(session: Session) -> None:
    a_step(session, OTHER)
    with sent(session.connection()) as seen:
        progress.save(session, SAM, ANNA, STEP, "done", 1)
    assert len(seen) == 1


def conflicts(session: Session) -> list[WriteConflict]:
    return list(session.scalars(select(WriteConflict).order_by(WriteConflict.id)))


def test_a_conflict_is_kept_with_what_was_tried_and_the_newest_release_before_it(session: Session) -> None:
    a_release(session, title="In other words")
    newest = a_release(session, title="In other words again").release
    progress.save(session, SAM, ANNA, STEP, "in_progress", 3)
    with pytest.raises(Conflict):
        progress.save(session, HOST, ANNA, STEP, "done", 1, comment="not kept", attempt=2)
    (kept,) = conflicts(session)
    assert (kept.user_id, kept.step_id, kept.actor, kept.source) == (ANNA, STEP, HOST.key, "api")
    assert (kept.to_status, kept.attempt, kept.row_version, kept.current_row_version) == ("done", 2, 1, 4)
    assert kept.release_id == newest.id


def test_a_conflict_that_no_release_came_before_names_none(session: Session) -> None:
    progress.save(session, SAM, ANNA, STEP, "in_progress", 1)
    with pytest.raises(Conflict):
        progress.save(session, SAM, ANNA, STEP, "done", 1, attempt=-3)
    (kept,) = conflicts(session)
    assert (kept.source, kept.attempt, kept.release_id) == ("web", 0, None)


def test_what_is_refused_for_another_reason_is_no_conflict(session: Session) -> None:
    for row_version, error in ((0, Invalid), (2, Invalid)):
        with pytest.raises(error):
            progress.save(session, SAM, ANNA, STEP, "done", row_version)
    with pytest.raises(NotFound):
        progress.save(session, SAM, "nobody", STEP, "done", 1)
    releases.withdraw(session, SAM, STEP)
    with pytest.raises(Withdrawn):
        progress.save(session, SAM, ANNA, STEP, "done", 1)
    assert conflicts(session) == []


def test_a_conflict_that_cannot_be_kept_still_is_one(session: Session) -> None:
    progress.save(session, SAM, ANNA, STEP, "in_progress", 1)
    session.execute(text("ALTER TABLE write_conflicts ADD CHECK (false)"))
    with pytest.raises(Conflict):
        progress.save(session, SAM, ANNA, STEP, "done", 1)
    assert user_steps.step_of(session, ANNA, STEP).status == "in_progress"


def test_a_page_from_before_a_release_conflicts_even_for_who_never_started(session: Session) -> None:
    a_release(session)
    with pytest.raises(Conflict) as conflict:
        progress.save(session, HOST, ANNA, STEP, "done", 1)
    assert [change.kind for change in conflict.value.changes] == ["release"]
    assert progress.save(session, HOST, ANNA, STEP, "done", 2).row_version == 3


@pytest.mark.parametrize("user_id", ["nobody", "", "anna ", "ANNA", "a\0b", "\ud800", "x" * 5000])
def test_a_person_who_is_not_there_is_not_found(session: Session, user_id: str) -> None:
    for ask in (
        lambda: progress.save(session, SAM, user_id, STEP, "done", 1),
        lambda: user_steps.step_of(session, user_id, STEP),
        lambda: people.find(session, user_id),
    ):
        with pytest.raises(NotFound) as missing:
            ask()
        assert missing.value.what == "person"


@pytest.mark.parametrize("step_id", ["nowhere", "", "a\0b", "\ud800", OTHER])
def test_a_step_that_is_not_there_or_not_yet_released_is_not_found(session: Session, step_id: str) -> None:
    a_step(session, OTHER, released=False)
    for ask in (
        lambda: progress.save(session, SAM, ANNA, step_id, "done", 1),
        lambda: user_steps.step_of(session, ANNA, step_id),
    ):
        with pytest.raises(NotFound) as missing:
            ask()
        assert missing.value.what == "step"


@pytest.mark.parametrize(("attempt", "kept"), [(-5, 0), (0, 0), (3, 3), (2**40, 2**31 - 1)])
def test_the_number_of_retries_is_kept_within_reason(session: Session, attempt: int, kept: int) -> None:
    progress.save(session, SAM, ANNA, STEP, "done", 1, attempt=attempt)
    assert f'"attempt":{kept},' in snapshot(session)["user_step_events"][0]


def test_progress_is_the_share_of_the_weight_rounded_down(session: Session) -> None:
    a_step(session, OTHER, weight=61)
    assert a_save(session, "done").progress == 32  # 30 of 91
    assert a_save(session, "skipped", step_id=OTHER).progress == 100
    assert a_save(session, "in_progress", step_id=OTHER).progress == 32


def test_weights_count_as_soon_as_they_are_released(session: Session) -> None:
    a_step(session, OTHER, weight=70)
    a_save(session, "done")
    a_release(session, OTHER, weight=30)
    assert people.find(session, ANNA).progress == 50
    releases.withdraw(session, SAM, OTHER)
    person = people.find(session, ANNA)
    assert (person.progress, person.finished, person.next_step) == (100, False, None)


def test_a_persons_steps_come_in_checklist_order_the_withdrawn_too(session: Session) -> None:
    a_step(session, "another", title="Another")
    releases.withdraw(session, SAM, STEP)
    told = user_steps.steps_of(session, ANNA)
    assert [(step.step_id, step.version, step.status) for step in told] == [
        (STEP, None, "todo"),
        ("another", 1, "todo"),
    ]
    assert told[0].title
    assert user_steps.steps_of(session, "nobody") == []


def test_a_reset_step_names_the_release_that_reset_it(session: Session) -> None:
    a_save(session, "done")
    release = a_release(session, STEP, Policy(done=False)).release
    step = user_steps.step_of(session, ANNA, STEP)
    assert (step.status, step.reset_by_release_id, step.updated_by) == ("todo", release.id, release.released_by)
    assert step.updated_at == release.released_at


def test_the_next_step_is_the_first_that_is_still_open(session: Session) -> None:
    a_step(session, "second", title="Second")
    assert people.find(session, ANNA).next_step == "Set up payments"
    a_save(session, "skipped")
    assert people.find(session, ANNA).next_step == "Second"
    a_save(session, "done", step_id="second")
    assert people.find(session, ANNA).next_step is None


@pytest.mark.parametrize("source", ["web", "api", "bulk", "import", "cli"])
def test_an_event_keeps_the_door_it_came_through(session: Session, source: Any) -> None:
    progress.save(session, Actor("user:anna", source), ANNA, STEP, "done", 1)
    (event,) = history.events_of(session, ANNA)
    assert (event.actor, event.source) == ("user:anna", source)
