"""Figures of everybody: counted each time for few, told again for a while for many, and never over a release."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import pytest
from sqlalchemy.orm import Session

from dashboard.onboarding import cached_figures, erasure, everybody, releases, traffic
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.everybody import Overview
from dashboard.onboarding.traffic import Period, Traffic
from tests.factories import ANNA, BEN, MAYA, STEP, a_person, a_release, a_save, a_step


class Clock:
    """A monotonic clock that is set by hand; counting takes a second."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def every_test_begins_with(session: Session) -> None:
    a_step(session)
    for user_id in (ANNA, BEN):
        a_person(session, user_id)


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests share an engine, and figures are cached by engine."""
    monkeypatch.setattr(cached_figures, "_kept", WeakKeyDictionary())


@pytest.fixture
def clock(session: Session, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """For the two of them as if they were many."""
    clock, count = Clock(), everybody.overview

    def slowly(session: Session) -> Overview:
        clock.now += 1
        return count(session)

    monkeypatch.setattr(cached_figures, "time", clock)
    monkeypatch.setattr(cached_figures, "MANY", 2)
    monkeypatch.setattr(everybody, "overview", slowly)
    return clock


def done(session: Session) -> int:
    return cached_figures.overview(session).funnel[STEP]["done"]


def test_few_are_counted_each_time(session: Session) -> None:
    assert done(session) == 0
    a_save(session, "done")
    assert done(session) == 1


def test_many_are_told_again_for_twenty_times_as_long_as_counting_took(session: Session, clock: Clock) -> None:
    assert done(session) == 0
    before = cached_figures.overview(session)
    a_save(session, "done")
    clock.now += cached_figures.TIMES - 0.1
    assert cached_figures.overview(session) is before
    clock.now += 0.1
    assert done(session) == 1
    assert cached_figures.overview(session).counted_at > before.counted_at


def test_a_release_is_told_at_once(session: Session, clock: Clock) -> None:
    a_save(session, "done")
    assert done(session) == 1
    a_release(session, STEP, Policy(done=False))
    assert done(session) == 0
    releases.roll_back(session, MAYA, STEP)
    assert done(session) == 1


def test_whoever_was_erased_is_named_no_more(session: Session, clock: Clock) -> None:
    a_save(session, "in_progress", ANNA)
    a_save(session, "in_progress", BEN)
    assert {one.user_id for one in cached_figures.overview(session).stuck[STEP].longest} == {ANNA, BEN}
    erasure.erase(session, MAYA, ANNA, ANNA)
    assert [one.user_id for one in cached_figures.overview(session).stuck[STEP].longest] == [BEN]


def test_while_one_counts_the_others_are_told_what_there_is(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cached_figures.overview(session)
    clock.now += cached_figures.TIMES
    told: list[Overview] = []
    count = everybody.overview

    def meanwhile(session: Session) -> Overview:
        told.append(cached_figures.overview(session))
        return count(session)

    monkeypatch.setattr(everybody, "overview", meanwhile)
    assert cached_figures.overview(session) is not before
    assert told == [before]
    assert told[0] is before


def test_when_counting_failed_another_one_tries(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cached_figures.overview(session)
    clock.now += cached_figures.TIMES
    with monkeypatch.context() as broken:
        broken.setattr(everybody, "overview", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cached_figures.overview(session)
    assert cached_figures.overview(session) is before
    clock.now += cached_figures.PATIENCE_S
    assert cached_figures.overview(session) is not before


def test_many_saves_are_told_again_for_a_while(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(cached_figures, "time", clock)
    monkeypatch.setattr(cached_figures, "BUSY", 1)
    assert cached_figures.traffic(session, "24h").writes == 0
    a_save(session, "done")
    assert cached_figures.traffic(session, "24h").writes == 1

    clock.now += 1
    count = traffic.traffic

    def slowly(session: Session, period: Period) -> Traffic:
        clock.now += 1
        return count(session, period)

    monkeypatch.setattr(traffic, "traffic", slowly)
    assert cached_figures.traffic(session, "24h").writes == 1
    a_save(session, "todo")
    clock.now += cached_figures.TIMES - 0.1
    assert cached_figures.traffic(session, "24h").writes == 1
    assert cached_figures.traffic(session, "7d").writes == 2
    clock.now += 0.1
    assert cached_figures.traffic(session, "24h").writes == 2


def test_what_was_counted_while_there_was_much_is_not_told_once_there_is_little(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(cached_figures, "time", clock)
    monkeypatch.setattr(cached_figures, "BUSY", 1)
    a_save(session, "done")
    assert cached_figures.traffic(session, "24h").writes == 1
    monkeypatch.setattr(cached_figures, "BUSY", 9)
    a_save(session, "todo")
    clock.now += 3_600
    assert cached_figures.traffic(session, "24h").writes == 2
    assert cached_figures.traffic(session, "24h").writes == 2
