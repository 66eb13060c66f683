"""Saves and conflicts by hour and by day: what is counted, where it falls, and which release explains most of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.models import WriteConflict
from dashboard.onboarding import progress, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.traffic import CONFLICTS, SPANS, WRITES, Period, traffic
from tests.factories import ANNA, HOST, MAYA, OTHER, STEP, a_person, a_release, a_save, a_step

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PERIODS: tuple[Period, ...] = ("24h", "7d")


def every_test_begins_with(session: Session) -> None:
    """Two steps, one person."""
    a_step(session)
    a_step(session, OTHER)
    a_person(session)


def now(session: Session) -> datetime:
    """The moment at which the test's clock stands."""
    return session.execute(text("SELECT now()")).scalar_one()


def begin(session: Session, period: Period) -> datetime:
    """When the period begins, worked out here."""
    moment = now(session).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return moment - 23 * HOUR if period == "24h" else moment.replace(hour=0) - 6 * DAY


def a_conflict(session: Session, at: datetime, release_id: int | None = None, **more: Any) -> None:
    about: dict[str, Any] = {"user_id": ANNA, "step_id": STEP, "actor": HOST.key, "source": "api", "to_status": "done"}
    about |= {"row_version": 1, "current_row_version": 2}
    session.add(WriteConflict(at=at, release_id=release_id, **about | more))
    session.flush()


@pytest.mark.parametrize("period", PERIODS)
def test_with_nothing_saved_there_is_a_zero_for_each_hour_and_day(session: Session, period: Period) -> None:
    found = traffic(session, period)
    assert (found.writes, found.refused, found.tried, found.retries, found.first_retries) == (0, 0, 0, 0, 0)
    assert found.since == found.conflicts[0][0] == begin(session, period)
    assert [count for _, count in found.conflicts] == [0] * SPANS[period].length
    last = found.conflicts[-1][0]
    assert last <= now(session) < last + SPANS[period].one
    assert found.cause is None


def test_only_saves_of_pages_and_of_the_api_count(session: Session) -> None:
    sources = ("web", "api", "bulk", "import", "cli")
    for source in sources:
        a_save(session, "in_progress", actor=Actor("staff:sam@example.com", source))  # type: ignore[arg-type]
        a_conflict(session, now(session), source=source)
    found = traffic(session, "24h")
    assert (found.writes, found.refused, found.tried) == (2, 2, 4)


@pytest.mark.parametrize("period", PERIODS)
def test_a_period_begins_with_its_first_hour_or_day(session: Session, period: Period) -> None:
    first = begin(session, period)
    just_before = first - timedelta(microseconds=1)
    for at in (just_before, first):
        a_save(session, "done", at=at)
        a_conflict(session, at)
    found = traffic(session, period)
    assert (found.writes, found.refused) == (1, 1)
    assert found.conflicts[0] == (first, 1)


@pytest.mark.parametrize("period", PERIODS)
def test_conflicts_fall_into_their_hour_and_day(session: Session, period: Period) -> None:
    one, first = SPANS[period].one, begin(session, period)
    for at in (first + one, first + 2 * one - timedelta(microseconds=1), first + 4 * one):
        a_conflict(session, at)
    found = traffic(session, period)
    counts = [count for _, count in found.conflicts]
    assert counts == [0, 2, 0, 0, 1, *[0] * (SPANS[period].length - 5)]
    assert [
        later - earlier for (earlier, _), (later, _) in zip(found.conflicts, found.conflicts[1:], strict=False)
    ] == [one] * (SPANS[period].length - 1)


def test_retries_are_told_from_first_tries_and_first_retries_from_later_ones(session: Session) -> None:
    for attempt in (0, 1, 1, 1, 2):
        a_save(session, "done", attempt=attempt)
    for attempt in (0, 0, 0, 0, 1, 2, 3):
        a_conflict(session, now(session), attempt=attempt)
    found = traffic(session, "24h")
    assert (found.writes, found.refused) == (5, 7)
    assert (found.retries, found.first_retries, found.first_retries_kept) == (7, 4, 3)


def test_a_real_conflict_and_its_retry_are_counted(session: Session) -> None:
    a_release(session)
    with pytest.raises(progress.Conflict):
        progress.save(session, HOST, ANNA, STEP, "done", 1)
    progress.save(session, HOST, ANNA, STEP, "done", 2, attempt=1)
    found = traffic(session, "7d")
    assert (found.writes, found.refused, found.first_retries, found.first_retries_kept) == (1, 1, 1, 1)
    assert found.cause
    assert (found.cause.release.version, found.cause.conflicts) == (2, 1)


# Which release ------------------------------------------------------------------------------------------------------


def test_the_release_before_more_than_half_of_them_is_named(session: Session) -> None:
    early, late = a_release(session).release, a_release(session, OTHER).release
    for release_id in (early.id, None, late.id, late.id, late.id):
        a_conflict(session, now(session), release_id)
    cause = traffic(session, "24h").cause
    assert cause
    assert (cause.release.id, cause.release.step_id, cause.release.version, cause.conflicts) == (late.id, OTHER, 2, 3)


def test_a_half_is_not_most(session: Session) -> None:
    release = a_release(session).release
    a_conflict(session, now(session), release.id)
    a_conflict(session, now(session), None)
    assert traffic(session, "24h").cause is None


def test_where_most_came_after_no_release_none_is_named(session: Session) -> None:
    release = a_release(session).release
    for release_id in (release.id, None, None):
        a_conflict(session, now(session), release_id)
    assert traffic(session, "24h").cause is None


def test_a_rollback_can_be_what_most_came_after(session: Session) -> None:
    a_release(session)
    back = releases.roll_back(session, MAYA, STEP).release
    a_conflict(session, now(session), back.id)
    cause = traffic(session, "24h").cause
    assert cause
    assert (cause.release.kind, cause.release.version) == ("rollback", 1)


@pytest.mark.one_server("what is forbidden to the planner here is not forbidden on the nodes")
@pytest.mark.parametrize("period", PERIODS)
def test_only_the_rows_of_the_period_are_read(session: Session, period: Period) -> None:
    session.execute(text("SET LOCAL enable_seqscan = off"))
    # of empty tables it is one to the planner which index begins with the moment
    session.execute(text("DROP INDEX ix_user_step_events_by"))
    for query, index in ((WRITES, "ix_user_step_events_at"), (CONFLICTS, "ix_write_conflicts_at")):
        plan = "\n".join(session.scalars(text(f"EXPLAIN {query[period].text}")))
        assert index in plan
        assert "Index Cond: (at >=" in plan
