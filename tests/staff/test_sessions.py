"""Sessions: how long they last, how they end, and that a change of the role gives them another secret."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import AuditEntry, StaffAccount, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import NotFound
from dashboard.staff import accounts, sessions
from dashboard.staff.permissions import Role
from tests.staff.signed_in import make_account
from tests.staff.signing_in import ELSEWHERE, HOME, MAYA, get_in, pass_time

BOSS = Actor("staff:ada@example.com", "web")


def test_a_session_ends_when_idle(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    pass_time(session, sessions.IDLE - timedelta(minutes=2))
    assert sessions.load(session, secret) is not None
    session.commit()
    pass_time(session, sessions.IDLE - timedelta(minutes=2))
    assert sessions.load(session, secret) is not None
    session.commit()
    pass_time(session, sessions.IDLE + timedelta(seconds=1))
    assert sessions.load(session, secret) is None


def test_a_session_ends_for_good_however_busy_it_is(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    for _ in range(int(sessions.ABSOLUTE / timedelta(hours=6)) - 1):
        pass_time(session, timedelta(hours=6))
        assert sessions.load(session, secret) is not None
        session.commit()
    pass_time(session, timedelta(hours=6))
    assert sessions.load(session, secret) is None


def test_a_visit_is_noted_once_a_minute(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)

    def seen() -> object:
        session.commit()
        return session.scalar(select(StaffSession.last_seen_at))

    first = seen()
    sessions.load(session, secret)
    assert seen() == first
    pass_time(session, timedelta(seconds=61))
    moved = seen()
    sessions.load(session, secret)
    assert seen() != moved


def test_noting_a_visit_waits_for_nobody(session: Session, database: Database, maya: StaffAccount) -> None:
    secret = get_in(session)
    pass_time(session, timedelta(minutes=5))
    with database.transaction() as other:
        other.execute(select(StaffSession.id).with_for_update())
        session.execute(select(func.set_config("lock_timeout", "200ms", True)))
        assert sessions.load(session, secret) is not None


def test_signing_in_again_rotates_the_session(session: Session, maya: StaffAccount) -> None:
    first = get_in(session)
    second = get_in(session, replaces=first)
    assert second != first
    assert sessions.load(session, first) is None
    assert sessions.load(session, second) is not None


def test_a_role_change_counts_in_the_next_request(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()
    loaded = sessions.load(session, secret)
    assert loaded is not None
    assert loaded.account.role is Role.VIEWER


def test_an_ended_session_is_over(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    sessions.end(session, secret)
    session.commit()
    assert sessions.load(session, secret) is None
    sessions.end(session, "never was one")


def test_sessions_are_listed_and_ended_one_by_one_or_all(session: Session, maya: StaffAccount) -> None:
    here, there, third = get_in(session), get_in(session, ELSEWHERE), get_in(session, ELSEWHERE)
    listed = sessions.sessions_of(session, MAYA, here)
    assert sorted((one.address, one.is_current) for one in listed) == [
        (HOME, True),
        (ELSEWHERE, False),
        (ELSEWHERE, False),
    ]
    victim = next(one for one in listed if not one.is_current)
    sessions.end_one(session, BOSS, MAYA, victim.id)
    with pytest.raises(NotFound):
        sessions.end_one(session, BOSS, MAYA, victim.id)
    assert sessions.end_all(session, BOSS, MAYA, but=here) == 1
    session.commit()
    assert [sessions.load(session, secret) is not None for secret in (here, there, third)] == [True, False, False]
    actions = session.scalars(select(AuditEntry.action).where(AuditEntry.action == "staff.sessions_ended")).all()
    assert len(actions) == 2


def test_nobody_ends_a_session_of_another_account(session: Session, maya: StaffAccount) -> None:
    get_in(session)
    make_account(session, Role.VIEWER, "other@example.com")
    (hers,) = sessions.sessions_of(session, MAYA)
    with pytest.raises(NotFound):
        sessions.end_one(session, BOSS, "other@example.com", hers.id)
