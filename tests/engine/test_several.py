"""Several steps of one person saved at once: each by itself, none at the cost of another."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import history, people, progress, releases, user_steps
from dashboard.onboarding.errors import Conflict, Invalid, NotFound, Withdrawn
from dashboard.onboarding.progress import SavedOrRefused, WantedSave
from tests.factories import (
    ANNA,
    BEN,
    MAYA,
    SAM,
    a_person,
    a_save,
    a_step,
    events_of_step,
    people_with_wrong_arrays,
    row_version_of,
    snapshot,
    status_of,
)

STEPS = ("one", "two", "three", "four", "five")


def every_test_begins_with(session: Session) -> None:
    """Five steps, one person."""
    for step_id in STEPS:
        a_step(session, step_id)
    a_person(session)


def want(step_id: str, status: str = "done", row_version: int = 1, comment: str = "", seen: str = "todo") -> WantedSave:
    return WantedSave(step_id, status, row_version, seen, comment)


def save_many(session: Session, *wanted: WantedSave) -> list[SavedOrRefused]:
    return progress.save_many(session, SAM, ANNA, wanted)


def test_all_are_saved_in_checklist_order(session: Session) -> None:
    outcomes = save_many(session, want("three", "skipped", comment=" No need. "), want("one"), want("five"))
    assert [one.step_id for one in outcomes] == ["one", "three", "five"]
    assert [one.saved.progress for one in outcomes if one.saved] == [20, 40, 60]
    assert [status_of(session, ANNA, step_id) for step_id in STEPS] == ["done", "todo", "skipped", "todo", "done"]
    (event,) = events_of_step(session, ANNA, "three")
    assert (event.actor, event.source, event.comment) == (SAM.key, "web", "No need.")


def test_each_has_an_outcome_of_its_own_and_undoes_no_other(session: Session) -> None:
    a_save(session, "skipped", ANNA, "two")
    releases.withdraw(session, MAYA, "three")
    outcomes = save_many(
        session, want("one"), want("two"), want("three"), want("four", comment="x" * 2001), want("five", "todo")
    )
    assert [type(one.refusal) for one in outcomes] == [type(None), Conflict, Withdrawn, Invalid, type(None)]
    assert [one.saved is not None for one in outcomes] == [True, False, False, False, False]
    conflict = outcomes[1].refusal
    assert isinstance(conflict, Conflict)
    assert [(one.row_version, one.to_status) for one in conflict.changes] == [(2, "skipped")]
    assert [status_of(session, ANNA, step_id) for step_id in STEPS] == ["done", "skipped", "todo", "todo", "todo"]
    assert people_with_wrong_arrays(session) == []


def test_a_row_in_which_nothing_was_chosen_is_not_written_though_it_moved(session: Session) -> None:
    a_save(session, "done", ANNA, "one")
    before = snapshot(session)
    (outcome,) = save_many(session, want("one", "todo"))
    assert outcome == progress.save_wanted(session, SAM, ANNA, want("one", "todo")) == SavedOrRefused("one")
    assert snapshot(session) == before


def test_a_status_that_is_none_is_refused_though_it_was_seen(session: Session) -> None:
    (outcome,) = save_many(session, want("one", "wrong", seen="wrong"))
    assert isinstance(outcome.refusal, Invalid)


def test_a_comment_alone_says_something(session: Session) -> None:
    (outcome,) = save_many(session, want("one", "todo", comment="Asked again."))
    assert outcome.saved
    assert row_version_of(session, ANNA, "one") == 2


def test_the_attempt_is_kept(session: Session) -> None:
    save_many(session, WantedSave("one", "done", 1, "todo", attempt=3))
    assert session.scalar(text("SELECT attempt FROM user_step_events")) == 3


def test_finished_is_remembered_from_the_last_of_them(session: Session) -> None:
    outcomes = save_many(session, *(want(step_id) for step_id in STEPS))
    assert [one.saved.finished for one in outcomes if one.saved] == [False] * 4 + [True]
    assert people.find(session, ANNA).finished


@pytest.mark.parametrize(("done", "taken_back"), [("one", "two"), ("two", "one")])
def test_nobody_finished_who_was_at_100_only_between_two_of_them(session: Session, done: str, taken_back: str) -> None:
    for step_id in STEPS:
        if step_id != done:
            a_save(session, "done", ANNA, step_id)
    outcomes = save_many(session, want(done), want(taken_back, "todo", 2, seen="done"))
    assert [one.step_id for one in outcomes] == ["one", "two"]
    assert [one.saved.progress for one in outcomes if one.step_id == done and one.saved] == [80]
    person = people.find(session, ANNA)
    assert (person.progress, person.finished, person.finished_at) == (80, False, None)


@pytest.mark.parametrize(
    ("user_id", "step_id", "what"), [(ANNA, "no-such-step", "step"), (BEN, "one", "person"), ("\0", "one", "person")]
)
def test_what_is_not_there_is_not_found(session: Session, user_id: str, step_id: str, what: str) -> None:
    with pytest.raises(NotFound) as refused:
        progress.save_many(session, SAM, user_id, [want("one"), want(step_id)])
    assert refused.value.what == what


def test_nothing_wanted_writes_nothing(session: Session) -> None:
    assert save_many(session) == []


# How far each step has moved on


def test_versions_are_those_that_a_save_would_have_to_name(session: Session) -> None:
    a_save(session, "done", ANNA, "two")
    releases.withdraw(session, MAYA, "three")
    versions = user_steps.versions_of(session, ANNA)
    assert {step_id: one.row_version for step_id, one in versions.items()} == {
        step_id: row_version_of(session, ANNA, step_id) for step_id in STEPS
    }
    assert [step_id for step_id, one in versions.items() if not one.is_live] == ["three"]


def test_versions_of_nobody_are_not_found(session: Session) -> None:
    for user_id in (BEN, "\0", "x" * 300):
        with pytest.raises(NotFound):
            user_steps.versions_of(session, user_id)


def test_changes_of_several_steps_are_those_of_each(session: Session) -> None:
    a_save(session, "in_progress", ANNA, "one")
    a_save(session, "done", ANNA, "one")
    releases.withdraw(session, MAYA, "two")
    changes = history.changes_of(session, ANNA, {"one": 2, "two": 1, "three": 1, "no-such-step": 1})
    assert changes == {
        "one": history.changes_since(session, ANNA, "one", 2),
        "two": history.changes_since(session, ANNA, "two", 1),
        "three": [],
    }
    assert [change.to_status for change in changes["one"]] == ["done"]
