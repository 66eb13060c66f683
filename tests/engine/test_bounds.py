"""How far somebody can be by the number of steps they passed, against every way of having passed them."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import choosing, finding, releases, standings
from dashboard.onboarding.bounds import Bounds, bounds
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.filters import Filter
from tests.factories import MAYA, OTHER, STEP, a_release, a_step, people


@pytest.fixture
def session(committing_session: Session) -> Session:
    """What ANALYZE says of a table's size is not taken back with its transaction."""
    return committing_session


def percents(live: list[int], withdrawn: int, reset: int, passed: int) -> list[int]:
    """Of all who passed so many of the steps: what they are at, however what may count 0 does."""
    steps = [*live, *[0] * withdrawn]
    found = []
    for chosen in combinations(range(len(steps)), passed):
        may_count_0 = [at for at in chosen if at < reset or at >= len(live)]
        for lost in product([False, True], repeat=len(may_count_0)):
            gone = {at for at, is_lost in zip(may_count_0, lost, strict=True) if is_lost}
            found.append(100 * sum(steps[at] for at in chosen if at not in gone) // sum(live))
    return found


@pytest.mark.parametrize(
    ("live", "withdrawn", "reset"), [([30, 5, 12, 1], 0, 0), ([7, 7, 9], 2, 0), ([40, 3, 11], 1, 2)]
)
def test_nobody_is_beyond_the_bounds_and_somebody_is_at_the_upper_one(
    live: list[int], withdrawn: int, reset: int
) -> None:
    told = Bounds(sorted(live), len(live) + withdrawn, reset + withdrawn)
    for passed in range(len(live) + withdrawn + 1):
        found = percents(live, withdrawn, reset, passed)
        assert told.least(passed) <= min(found)
        assert max(found) <= told.most(passed)
        if passed <= len(live):
            assert max(found) == told.most(passed)
        for percent in found:
            from_, to = told.passed(percent, percent)
            assert from_ <= passed <= to


def test_with_no_step_everybody_is_at_0() -> None:
    told = Bounds([], 2, 2)
    assert (told.most(2), told.least(2), told.passed(0, 0), told.passed(1, 100)) == (0, 0, (0, 2), (3, 2))


def test_what_counts_0_is_at_the_steps_that_were_reset_or_withdrawn(session: Session) -> None:
    for step_id, weight in ((STEP, 30), (OTHER, 20), ("third", 10)):
        a_step(session, step_id, weight=weight)
    assert bounds(session) == Bounds([10, 20, 30], 3, 0)
    a_release(session, STEP, Policy(skipped=False))
    releases.withdraw(session, MAYA, OTHER)
    assert bounds(session) == Bounds([10, 30], 3, 2)


def of_standings(session: Session, number: int, count: int) -> None:
    """So many people of so many standings."""
    a_step(session)
    people(session, count)
    done = text("UPDATE onboarding_users SET done_releases = ARRAY[substr(user_id, 6)::int % :number]")
    session.execute(done, {"number": number})


@pytest.mark.one_server("how many standings there are is not told on a cluster")
def test_many_standings_are_expected_once_the_planner_knows_of_them(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_standings(session, 60, 60)
    session.execute(text("ANALYZE onboarding_users"))
    assert standings.how_many(session) == 60
    assert standings.way_to_count(session, {}).by_standing
    monkeypatch.setattr(standings, "FEW_TO_COUNT", 59)
    assert not standings.way_to_count(session, {}).by_standing


def test_standings_are_few_only_where_they_are_whatever_the_planner_expects(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_standings(session, 4, 12)
    monkeypatch.setattr(standings, "how_many", lambda _: 1)
    for most, few in ((3, False), (4, True), (5, True)):
        monkeypatch.setattr(standings, "FEW_TO_LIST", most)
        assert standings.are_few(session) == few
        assert (choosing.choose(session, Filter(step_id=STEP, status="done")).standings is not None) == few


@pytest.mark.one_server("how many standings there are is not told on a cluster")
def test_the_sample_tells_how_many_are_at_a_percent(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "FEW_TO_LIST", -1)
    monkeypatch.setattr(finding, "CHEAP", 0)
    a_step(session, STEP, weight=30)
    a_step(session, OTHER, weight=20)
    people(session, 60)
    passed = """UPDATE onboarding_users SET done_releases = ARRAY(SELECT current_release_id FROM steps WHERE step_id = :step)
                 WHERE (user_id < 'user-0015') = :first"""
    for step_id, first in ((STEP, True), (OTHER, False)):
        session.execute(text(passed), {"step": step_id, "first": first})
    session.execute(text("ANALYZE onboarding_users"))
    assert finding.page(session, Filter(progress=(60, 60))).count == finding.Count(15, exact=False)
    assert finding.page(session, Filter(progress=(30, 50))).count == finding.Count(45, exact=False)
