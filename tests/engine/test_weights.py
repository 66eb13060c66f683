"""Weights change nobody's status and yet everybody's percent: what a report then says of those who rise, drop, fall."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from sqlalchemy.orm import Session

from dashboard.onboarding import people, releases
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.erasure import erase
from dashboard.onboarding.impact import Impact, Moves
from tests.factories import MAYA, OTHER, STEP, a_draft, a_person, a_save, a_step, row_version_of, status_of

# what each has done of STEP and of OTHER, which weigh 10 and 30
CAST = {
    "anna": ("todo", "todo"),
    "ben": ("done", "todo"),
    "cleo": ("todo", "done"),
    "dora": ("done", "done"),
    "eve": ("skipped", "done"),
    "finn": ("in_progress", "done"),
}
BEFORE = {"anna": 0, "ben": 25, "cleo": 75, "dora": 100, "eve": 100, "finn": 75}

pytestmark = pytest.mark.usefixtures("few_and_many")


def every_test_begins_with(session: Session) -> None:
    a_step(session, STEP, weight=10)
    a_step(session, OTHER, weight=30)
    for name, statuses in CAST.items():
        a_person(session, name)
        for step_id, status in zip((STEP, OTHER), statuses, strict=True):
            if status != "todo":
                a_save(session, status, name, step_id)
    assert percents(session) == BEFORE


def percents(session: Session) -> dict[str, int]:
    return {name: people.find(session, name).progress for name in CAST}


def weighed(session: Session, weight: int, policy: Policy = KEEP_ALL, *, reopens_finished: bool = False) -> Impact:
    """What a release does that changes STEP's weight alone."""
    a_draft(session, weight=weight)
    outcome = releases.release(session, MAYA, STEP, policy, reopens_finished=reopens_finished)
    assert [change.member for change in outcome.changes] == ["weight"]
    return outcome.impact


def counts(impact: Impact) -> tuple[int, int, int, int]:
    return impact.copied, impact.reset, impact.restored, impact.untouched


def finished(impact: Impact) -> tuple[int, int]:
    return impact.before.finished, impact.after.finished


def test_a_new_weight_alone_changes_no_status_and_the_percent_of_all_between_0_and_100(session: Session) -> None:
    versions = {name: row_version_of(session, name) for name in CAST}
    impact = weighed(session, 70)
    assert percents(session) == {"anna": 0, "ben": 70, "cleo": 30, "dora": 100, "eve": 100, "finn": 30}
    assert astuple(impact.moves) == astuple(Moves(up=1, down=2, same=3, largest_drop=45, fall_from_100=0))
    assert counts(impact) == (4, 0, 0, 2)
    assert (impact.before.bands, impact.after.bands) == (
        [1, 0, 1, 0, 0, 0, 0, 2, 0, 0, 2],
        [1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 2],
    )
    assert (impact.before.median, impact.after.median) == (75, 30)
    assert finished(impact) == (2, 2)
    assert impact.total_weight == (40, 100)
    assert {name: status_of(session, name) for name in CAST} == {name: status for name, (status, _) in CAST.items()}
    assert {name: row_version_of(session, name) for name in CAST} == {name: n + 1 for name, n in versions.items()}


@pytest.mark.parametrize(
    ("weight", "ben", "cleo"), [(1, 3, 96), (9, 23, 76), (11, 26, 73), (30, 50, 50), (1000, 97, 2)]
)
@pytest.mark.parametrize("reopens_finished", [True, False])
def test_no_weight_moves_anybody_from_0_or_from_100(
    session: Session, weight: int, ben: int, cleo: int, reopens_finished: bool
) -> None:
    impact = weighed(session, weight, reopens_finished=reopens_finished)
    assert percents(session) == BEFORE | {"ben": ben, "cleo": cleo, "finn": cleo}
    assert (impact.moves.fall_from_100, finished(impact)) == (0, (2, 2))
    assert impact.moves.largest_drop == max(25 - ben, 75 - cleo)


def test_rounded_down_nobody_is_at_100_who_still_has_something_to_do(session: Session) -> None:
    weighed(session, 1)
    a_draft(session, OTHER, weight=1000)
    impact = releases.release(session, MAYA, OTHER, KEEP_ALL).impact
    assert percents(session) == BEFORE | {"ben": 0, "cleo": 99, "finn": 99}
    assert (impact.after.bands[9], impact.after.bands[10]) == (2, 2)


@pytest.mark.one_server("each node of a cluster has a clock of its own")
@pytest.mark.parametrize(("reopens_finished", "after"), [(False, 2), (True, 0)])
def test_the_first_release_of_a_heavy_step_takes_everybody_down(
    session: Session, reopens_finished: bool, after: int
) -> None:
    a_step(session, "heavy", released=False, weight=160)
    impact = releases.release(session, MAYA, "heavy", KEEP_ALL, reopens_finished=reopens_finished).impact
    assert percents(session) == {"anna": 0, "ben": 5, "cleo": 15, "dora": 20, "eve": 20, "finn": 15}
    assert astuple(impact.moves) == astuple(Moves(up=0, down=5, same=1, largest_drop=80, fall_from_100=2))
    assert counts(impact) == (0, 0, 0, 6)
    assert finished(impact) == (2, after)


@pytest.mark.one_server("each node of a cluster has a clock of its own")
@pytest.mark.parametrize(("reopens_finished", "after"), [(False, 2), (True, 1)])
def test_a_reset_weighs_what_the_step_weighs_from_then_on(session: Session, reopens_finished: bool, after: int) -> None:
    impact = weighed(session, 70, Policy(done=False, in_progress=True), reopens_finished=reopens_finished)
    assert percents(session) == {"anna": 0, "ben": 0, "cleo": 30, "dora": 30, "eve": 100, "finn": 30}
    assert astuple(impact.moves) == astuple(Moves(up=0, down=4, same=2, largest_drop=70, fall_from_100=1))
    assert counts(impact) == (2, 2, 0, 2)
    assert finished(impact) == (2, after)

    back = releases.roll_back(session, MAYA, STEP).impact
    assert percents(session) == BEFORE
    assert astuple(back.moves) == astuple(Moves(up=4, down=0, same=2, largest_drop=0, fall_from_100=0))
    assert counts(back) == (2, 0, 2, 2)
    assert finished(back) == (after, 2)


def test_a_withdrawal_of_the_heavy_step_lifts_people_to_100_but_they_have_not_finished(session: Session) -> None:
    weighed(session, 70)
    impact = releases.withdraw(session, MAYA, STEP).impact
    assert percents(session) == {"anna": 0, "ben": 0, "cleo": 100, "dora": 100, "eve": 100, "finn": 100}
    assert astuple(impact.moves) == astuple(Moves(up=2, down=1, same=3, largest_drop=70, fall_from_100=0))
    assert finished(impact) == (2, 2)


def test_a_report_has_the_total_weight_before_and_after_whoever_there_is(session: Session) -> None:
    for there in (CAST, {}):
        for name in CAST.keys() - there:
            erase(session, MAYA, name, name)
        assert releases.withdraw(session, MAYA, STEP).impact.total_weight == (40, 30)
        assert releases.restore(session, MAYA, STEP).impact.total_weight == (30, 40)
