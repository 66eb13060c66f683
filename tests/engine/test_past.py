"""A person as of a moment: one rule at a time. That it holds over any history is in test_model_property.py."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import imports, past, people, releases, steps, user_steps
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.onboarding.past import Past
from tests.factories import (
    ANNA,
    BEN,
    HOST,
    MAYA,
    OTHER,
    STEP,
    a_draft,
    a_person,
    a_save,
    a_step,
    row_version_of,
)

KEEPS_ALL = Policy(in_progress=True)


def day(number: int) -> datetime:
    return datetime(2026, 3, number, 12, tzinfo=UTC)


def every_test_begins_with(session: Session) -> None:
    """Two steps that were made and went live on the 1st, and Anna, who joined just before."""
    for step_id, weight in ((STEP, 60), (OTHER, 40)):
        a_step(session, step_id, weight=weight, released=False)
        session.execute(text("UPDATE steps SET created_at = :at"), {"at": day(1)})
        releases.release(session, MAYA, step_id, at=day(1))
    a_person(session)
    session.execute(text("UPDATE onboarding_users SET created_at = :at"), {"at": day(1) - timedelta(hours=1)})


def released(session: Session, at: datetime, policy: Policy = Policy(), reopens: bool = False, **fields: Any) -> None:  # noqa: B008
    a_draft(session, **fields)
    releases.release(session, MAYA, STEP, policy, reopens_finished=reopens, at=at)


def statuses(then: Past) -> list[str]:
    return [step.status for step in then.steps]


def test_it_says_what_was_said_and_what_counted_then(session: Session) -> None:
    a_save(session, "in_progress", at=day(2))
    released(session, day(3), title="In new words", weight=20)
    a_save(session, "done", at=day(4))

    before = past.as_of(session, ANNA, day(2))
    step = before.steps[0]
    assert (step.title, step.weight, step.version) == ("Set up payments", 60, 1)
    assert (step.status, step.row_version, step.updated_by) == ("in_progress", 2, HOST.key)
    assert (before.person.progress, before.person.last_activity_at) == (0, day(2))

    reset = past.as_of(session, ANNA, day(3)).steps[0]
    assert (reset.title, reset.weight, reset.version) == ("In new words", 20, 2)
    assert (reset.status, reset.row_version, reset.updated_at, reset.updated_by) == ("todo", 3, day(3), MAYA.key)

    after = past.as_of(session, ANNA, day(5))
    assert (after.steps, after.person) == (user_steps.steps_of(session, ANNA), people.find(session, ANNA))
    assert after.person.progress == 33


def test_a_step_is_not_there_before_it_was_released(session: Session) -> None:
    a_step(session, "later", released=False)
    releases.release(session, MAYA, "later", at=day(5))
    assert [step.step_id for step in past.as_of(session, ANNA, day(4)).steps] == [STEP, OTHER]
    assert [step.step_id for step in past.as_of(session, ANNA, day(5)).steps] == [STEP, OTHER, "later"]


def test_a_release_that_was_rolled_back_counted_until_then(session: Session) -> None:
    a_save(session, "in_progress", at=day(2))
    released(session, day(3))
    releases.roll_back(session, MAYA, STEP, at=day(5))
    assert [statuses(past.as_of(session, ANNA, day(number)))[0] for number in (2, 3, 4, 5)] == [
        "in_progress",
        "todo",
        "todo",
        "in_progress",
    ]


def test_a_withdrawn_step_counts_for_nothing_while_it_is_withdrawn(session: Session) -> None:
    a_save(session, "done", at=day(2))
    releases.withdraw(session, MAYA, STEP, at=day(3))
    releases.restore(session, MAYA, STEP, at=day(4))
    told = [past.as_of(session, ANNA, day(number)) for number in (2, 3, 4)]
    assert [one.person.progress for one in told] == [60, 0, 60]
    assert [one.steps[0].version for one in told] == [1, None, 1]
    assert told[1].steps[0].title == "Set up payments"


def test_finished_is_remembered_as_it_was_then(session: Session) -> None:
    a_save(session, "done", at=day(2))
    a_save(session, "skipped", step_id=OTHER, at=day(3))
    released(session, day(4), Policy(done=False), reopens=True)
    a_save(session, "done", at=day(5))
    released(session, day(6), Policy(done=False), reopens=True)
    a_save(session, "done", at=day(7))
    told = [past.as_of(session, ANNA, day(number)).person for number in (2, 3, 4, 5, 6, 7)]
    assert [(one.progress, one.finished, one.finished_at) for one in told] == [
        (60, False, None),
        (100, True, day(3)),
        (40, False, day(3)),
        (100, True, day(5)),
        (40, False, day(5)),
        (100, True, day(7)),
    ]


def test_a_release_that_reopened_and_was_undone_asks_nobody_again(session: Session) -> None:
    a_save(session, "done", at=day(2))
    a_save(session, "done", step_id=OTHER, at=day(2))
    released(session, day(3), Policy(done=False), reopens=True)
    releases.roll_back(session, MAYA, STEP, at=day(4))
    a_save(session, "todo", at=day(5))
    released(session, day(6), reopens=True)
    a_save(session, "done", at=day(7))
    told = [past.as_of(session, ANNA, day(number)).person for number in (2, 3, 4, 5, 6, 7)]
    assert [one.finished for one in told] == [True, False, True, True, False, True]
    assert [one.finished_at for one in told] == [day(2)] * 5 + [day(7)]


def test_who_finished_in_a_transaction_that_began_before_a_release_that_reopens_had_finished(session: Session) -> None:
    a_save(session, "done", step_id=OTHER, at=day(2))
    released(session, day(4), reopens=True)
    assert a_save(session, "done", at=day(3)).finished
    a_save(session, "todo", at=day(5))
    assert past.as_of(session, ANNA, day(5)).person.finished
    released(session, day(6), reopens=True)
    a_save(session, "done", at=day(7))
    told = [past.as_of(session, ANNA, day(number)).person for number in (4, 5, 6, 7)]
    assert [one.finished for one in told] == [True, True, False, True]
    assert [one.finished_at for one in told] == [day(4) + timedelta(microseconds=1)] * 3 + [day(7)]


def test_a_write_that_a_release_overtook_stays_before_it(session: Session) -> None:
    """It began later, and was there before: what it says was never seen under the old version after the release."""
    a_save(session, "in_progress", at=day(4))
    released(session, day(3), KEEPS_ALL, title="In new words")
    assert past.as_of(session, ANNA, day(3)).steps[0].version == 1
    assert past.as_of(session, ANNA, day(3)).steps[0].status == "todo"
    assert past.as_of(session, ANNA, day(4)).steps[0].title == "In new words"
    assert past.as_of(session, ANNA, day(4)).steps[0].status == "in_progress"


def test_a_row_that_was_imported_stands_as_it_came_in(session: Session) -> None:
    released(session, day(3))
    imports.import_csv(session, HOST, csv(["user_id,name,email,set-up-payments", "ben,Ben,,in_progress"]))
    now = session.scalar(text("SELECT now()"))
    then = past.as_of(session, BEN, now)
    assert then.steps == user_steps.steps_of(session, BEN)
    assert then.steps[0].row_version == row_version_of(session, BEN)
    assert then.person == people.find(session, BEN)


def csv(lines: Iterable[str]) -> BytesIO:
    return BytesIO("\n".join(lines).encode())


def test_a_time_before_they_joined_or_yet_to_come_is_refused(session: Session) -> None:
    with pytest.raises(Invalid) as early:
        past.as_of(session, ANNA, day(1) - timedelta(hours=1, seconds=1))
    assert early.value.problems == {"as_of": "is before they joined"}
    with pytest.raises(Invalid) as late:
        past.as_of(session, ANNA, datetime.now(UTC) + timedelta(minutes=1))
    assert late.value.problems == {"as_of": "is in the future"}
    assert past.as_of(session, ANNA, day(1) - timedelta(hours=1)).steps == []


def test_nobody_has_no_past(session: Session) -> None:
    with pytest.raises(NotFound):
        past.as_of(session, "nobody", day(2))


def test_steps_are_in_the_order_in_which_they_stood_then(session: Session) -> None:
    a_step(session, "third", released=False)
    releases.release(session, MAYA, "third", at=day(1))
    order = [STEP, OTHER, "third"]
    for new, at in (["third", OTHER, STEP], day(3)), ([OTHER, "third", STEP], day(5)):
        steps.reorder(session, MAYA, new, order)
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE audit_log SET at = :at WHERE id = (SELECT max(id) FROM audit_log)"), {"at": at})
        session.execute(text("SET LOCAL session_replication_role = origin"))
        order = new

    def then(number: int) -> list[str]:
        return [step.step_id for step in past.as_of(session, ANNA, day(number)).steps]

    assert (then(2), then(4), then(6)) == ([STEP, OTHER, "third"], ["third", OTHER, STEP], [OTHER, "third", STEP])
    assert past.as_of(session, ANNA, day(2)).person.next_step == steps.get(session, STEP).latest.fields.title
