"""How everybody stands: who is idle, who is stuck at which step, and who of them for longest."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import everybody, finding, releases
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.everybody import Stuck, Waiting
from dashboard.onboarding.filters import Filter
from tests.factories import (
    ANNA,
    BEN,
    CLEO,
    MAYA,
    OTHER,
    STATUSES,
    STEP,
    a_draft,
    a_person,
    a_release,
    a_save,
    a_step,
    people,
    status_of,
)

pytestmark = pytest.mark.usefixtures("few_and_many")


DAY = timedelta(days=1)


def every_test_begins_with(session: Session) -> None:
    """Two steps and three people, who joined 100 days ago and have done nothing since."""
    a_step(session, weight=60)
    a_step(session, OTHER, weight=40)
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    session.execute(text("UPDATE onboarding_users SET created_at = now() - interval '100 days'"))


def ago(session: Session, days: float) -> datetime:
    found: datetime = session.execute(text("SELECT now()")).scalar_one()
    return found - days * DAY


def busy(session: Session, user_id: str, days: float, step_id: str = STEP, status: str = "in_progress") -> None:
    """They saved the status that many days ago."""
    a_save(session, status, user_id, step_id, at=ago(session, days))


def stuck(session: Session, step_id: str = STEP) -> Stuck:
    return everybody.overview(session).stuck.get(step_id) or Stuck()


def names(session: Session, step_id: str = STEP) -> list[str]:
    return [waiting.user_id for waiting in stuck(session, step_id).longest]


# Idle ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "idle"), [(13.9, 2), (14.1, 3)])
def test_idle_is_who_did_nothing_for_14_days(session: Session, days: float, idle: int) -> None:
    busy(session, ANNA, days)
    assert everybody.overview(session).idle == idle


def test_who_joined_lately_is_not_idle_yet(session: Session) -> None:
    a_person(session, "dora")
    assert everybody.overview(session).idle == 3


def test_who_has_finished_is_not_idle(session: Session) -> None:
    for step_id in (STEP, OTHER):
        busy(session, ANNA, 50, step_id, "done")
    found = everybody.overview(session)
    assert (found.idle, found.spread.finished, found.newly_finished, found.new) == (2, 1, 0, 0)


def test_who_comes_to_100_by_no_save_of_theirs_counts_as_finished_with_the_next_one(session: Session) -> None:
    for user_id in (ANNA, BEN):
        busy(session, user_id, 50, STEP, "done")
    busy(session, ANNA, 50, OTHER, "done")
    assert everybody.overview(session).next_save == 0
    releases.withdraw(session, MAYA, OTHER)
    found = everybody.overview(session)
    assert (found.spread.people[100], found.spread.finished, found.next_save) == (2, 1, 1)
    a_save(session, "skipped", BEN, STEP)
    found = everybody.overview(session)
    assert (found.spread.finished, found.next_save) == (2, 0)


def test_who_finished_once_and_was_reopened_is_idle_again_unless_still_through(session: Session) -> None:
    for user_id in (ANNA, BEN):
        for step_id in (STEP, OTHER):
            busy(session, user_id, 50, step_id, "done")
    a_save(session, "todo", BEN, STEP, at=ago(session, 40))
    assert everybody.overview(session).idle == 1
    a_draft(session, title="Counts anew")
    releases.release(session, MAYA, STEP, KEEP_ALL, reopens_finished=True)
    found = everybody.overview(session)
    assert (found.spread.finished, found.idle) == (1, 2)


def test_of_those_who_finished_lately_none_is_told_who_has_not_finished(session: Session) -> None:
    for user_id in (ANNA, BEN):
        for step_id in (STEP, OTHER):
            busy(session, user_id, 50, step_id, "done")
    assert everybody.overview(session).newly_finished == 0
    a_save(session, "todo", BEN, STEP)
    a_draft(session, title="Counts anew")
    releases.release(session, MAYA, STEP, KEEP_ALL, reopens_finished=True)
    a_save(session, "done", BEN, STEP)
    found = everybody.overview(session)
    assert (found.spread.finished, found.newly_finished) == (2, 1)
    a_draft(session, title="Done anew")
    releases.release(session, MAYA, STEP, Policy(done=False), reopens_finished=True)
    found = everybody.overview(session)
    assert (found.spread.finished, found.newly_finished) == (0, 0)


# Stuck ---------------------------------------------------------------------------------------------------------------


def test_with_nobody_in_progress_nobody_is_stuck(session: Session) -> None:
    busy(session, ANNA, 30, status="done")
    assert everybody.overview(session).stuck == {}


def test_stuck_are_those_in_progress_the_longest_waiting_first(session: Session) -> None:
    for user_id, days in ((ANNA, 20), (BEN, 3), (CLEO, 60)):
        busy(session, user_id, days)
    assert stuck(session) == Stuck(
        idle=2,
        longest=[
            Waiting(CLEO, "Cleo", ago(session, 60)),
            Waiting(ANNA, "Anna", ago(session, 20)),
            Waiting(BEN, "Ben", ago(session, 3)),
        ],
    )


def test_three_at_most_are_named_and_all_are_counted(session: Session) -> None:
    for number, user_id in enumerate(people(session, 30)):
        busy(session, user_id, 90 - number)
    assert stuck(session).idle == 30
    assert names(session) == ["user-0000", "user-0001", "user-0002"]


def test_what_they_did_at_another_step_counts_as_activity(session: Session) -> None:
    for user_id in (ANNA, BEN):
        busy(session, user_id, 60)
    busy(session, ANNA, 2, OTHER)
    assert (stuck(session).idle, names(session)) == (1, [BEN, ANNA])
    assert (stuck(session, OTHER).idle, names(session, OTHER)) == (0, [ANNA])


def test_of_the_same_age_they_come_by_id(session: Session) -> None:
    for user_id in (CLEO, ANNA, BEN):
        busy(session, user_id, 20)
    assert names(session) == [ANNA, BEN, CLEO]


@pytest.mark.parametrize(("name", "email", "label"), [("Anna", "a@x", "Anna"), ("", "a@x", "a@x"), ("", "", ANNA)])
def test_they_are_called_as_everywhere(session: Session, name: str, email: str, label: str) -> None:
    session.execute(text("UPDATE onboarding_users SET name = :n, email = :e"), {"n": name, "e": email})
    busy(session, ANNA, 20)
    assert [waiting.label for waiting in stuck(session).longest] == [label]


def test_it_is_the_status_that_counts_now(session: Session) -> None:
    busy(session, ANNA, 20)
    a_release(session, STEP, Policy(in_progress=False))
    assert stuck(session) == Stuck()
    releases.roll_back(session, MAYA, STEP)
    assert names(session) == [ANNA]


def test_nobody_is_stuck_at_a_step_that_was_withdrawn(session: Session) -> None:
    busy(session, ANNA, 20)
    releases.withdraw(session, MAYA, STEP)
    assert everybody.overview(session).stuck == {}
    releases.restore(session, MAYA, STEP)
    assert names(session) == [ANNA]


def busy_crowd(session: Session, seed: int) -> list[str]:
    """63 people who did this and that at any time, while the step was released twice."""
    chance = Random(seed)
    crowd = [ANNA, BEN, CLEO, *people(session, 60)]
    for _ in range(2):
        for user_id in chance.sample(crowd, 50):
            for step_id in (STEP, OTHER):
                # never just 14 days ago: the clocks of a cluster's nodes are not quite together
                busy(session, user_id, chance.randint(0, 40) + 0.5, step_id, chance.choice(STATUSES))
        a_draft(session, title=f"After {chance.random()}")
        policy = Policy(in_progress=chance.random() < 0.5)
        releases.release(session, MAYA, STEP, policy, reopens_finished=chance.random() < 0.5)
    return crowd


@pytest.mark.parametrize("seed", range(4))
def test_each_figure_counts_those_whom_the_list_behind_its_link_has(session: Session, seed: int) -> None:
    busy_crowd(session, seed)
    told = everybody.overview(session)
    assert told.idle == finding.page(session, Filter(idle_days=14, finished=False)).count.people > 0
    bands = [(start, start + 9) for start in range(0, 100, 10)]
    counted = [finding.page(session, Filter(progress=band)).count.people for band in (*bands, (100, 100))]
    assert told.spread.bands == counted
    for step_id in (STEP, OTHER):
        there = Filter(step_id=step_id, status="in_progress", sort="inactive")
        assert finding.page(session, there).count.people == told.funnel[step_id]["in_progress"]
        first = [found.person.user_id for found in finding.page(session, there, limit=3).people]
        assert [waiting.user_id for waiting in told.stuck.get(step_id, Stuck()).longest] == first


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_reading_person_by_person_says(session: Session, seed: int) -> None:
    crowd = busy_crowd(session, seed)
    told = everybody.overview(session)
    for step_id in (STEP, OTHER):
        assert told.stuck.get(step_id, Stuck()) == one_by_one(session, crowd, step_id)


def one_by_one(session: Session, crowd: list[str], step_id: str) -> Stuck:
    active: dict[str, Any] = dict(
        session.execute(  # type: ignore[arg-type]
            text("SELECT user_id, coalesce(last_activity_at, created_at) FROM onboarding_users")
        ).all()
    )
    here = [user_id for user_id in crowd if status_of(session, user_id, step_id) == "in_progress"]
    here.sort(key=lambda user_id: (active[user_id], user_id))
    label = {one: one.capitalize() if one in (ANNA, BEN, CLEO) else one for one in crowd}
    idle = sum(active[user_id] < ago(session, 14) for user_id in here)
    return Stuck(idle, [Waiting(user_id, label[user_id], active[user_id]) for user_id in here[:3]])
