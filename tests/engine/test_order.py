"""The order of the checklist, under optimistic locking of its own."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from dashboard.onboarding import drafts, releases, steps
from dashboard.onboarding.errors import Invalid, NotFound, StalePlan
from tests.factories import MAYA, snapshot

SEEN = ["one", "two", "three"]


def every_test_begins_with(session: Session) -> None:
    for step_id in SEEN:
        drafts.create(session, MAYA, step_id, {"title": step_id.title()})
        releases.release(session, MAYA, step_id)


def order(session: Session) -> list[str]:
    return [step.step_id for step in steps.checklist(session)]


def test_the_checklist_takes_the_new_order(session: Session) -> None:
    steps.reorder(session, MAYA, ["three", "one", "two"], SEEN)
    assert order(session) == ["three", "one", "two"]


def test_the_same_order_again_is_not_logged(session: Session) -> None:
    before = snapshot(session)
    steps.reorder(session, MAYA, SEEN, SEEN)
    assert snapshot(session) == before


@pytest.mark.parametrize("wrong", [[], ["one", "two"], ["one", "two", "two"], ["one", "two", "four"], [*SEEN, "four"]])
def test_an_order_that_does_not_name_each_step_once_is_refused(session: Session, wrong: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        steps.reorder(session, MAYA, wrong, SEEN)
    assert refused.value.problems.keys() == {"order"}
    assert order(session) == SEEN


def test_an_order_made_from_another_one_is_stale(session: Session) -> None:
    steps.reorder(session, MAYA, ["two", "one", "three"], SEEN)
    with pytest.raises(StalePlan):
        steps.reorder(session, MAYA, ["three", "one", "two"], SEEN)
    assert order(session) == ["two", "one", "three"]


@pytest.mark.parametrize(
    ("step_id", "by", "after"),
    [
        ("two", -1, ["two", "one", "three"]),
        ("two", 1, ["one", "three", "two"]),
        ("one", 0, SEEN),
        ("one", -1, SEEN),
        ("three", 1, SEEN),
        ("three", -9, ["three", "one", "two"]),
    ],
)
def test_a_step_moves_as_far_as_there_are_places(session: Session, step_id: str, by: int, after: list[str]) -> None:
    steps.move(session, MAYA, step_id, by, SEEN)
    assert order(session) == after


def test_a_step_that_is_not_there_cannot_be_moved(session: Session) -> None:
    with pytest.raises(NotFound):
        steps.move(session, MAYA, "four", 1, SEEN)
