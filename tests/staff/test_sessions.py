"""Sessions: how long they last, how they end, and when they get another secret; changing one's own password."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import AuditEntry, StaffAccount, StaffSession
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.staff import accounts, passwords, sessions, sign_in
from dashboard.staff.permissions import Role
from tests.staff.signed_in import BOSS, PASSWORD, make_account
from tests.staff.signing_in import ELSEWHERE, HOME, MAYA, attempt, get_in, pass_time


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


# Another secret ------------------------------------------------------------------------------------------------------


def renewed(session: Session, secret: str) -> str:
    """The secret under which the session goes on after a request that brings this one."""
    found = sessions.load(session, secret)
    assert found is not None
    session.commit()
    return found.secret


def test_a_change_of_role_gives_every_session_another_secret_once(session: Session, maya: StaffAccount) -> None:
    here, there = get_in(session), get_in(session, ELSEWHERE)
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()
    new = renewed(session, here)
    assert new != here
    assert renewed(session, new) == new
    assert renewed(session, there) not in (there, new)
    assert {len(row) for row in session.scalars(select(StaffSession.id))} == {64}


def test_without_a_change_the_secret_stays(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    accounts.change_role(session, BOSS, MAYA, Role.MANAGER)
    session.commit()
    assert renewed(session, secret) == secret


def test_the_secret_of_before_is_good_for_what_is_under_way_and_no_more(session: Session, maya: StaffAccount) -> None:
    old = get_in(session)
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()
    new = renewed(session, old)
    # it does not get the new one, and does not renew once more
    assert renewed(session, old) == old
    accounts.change_role(session, BOSS, MAYA, Role.SUPPORT)
    session.commit()
    assert renewed(session, old) == old
    pass_time(session, sessions.UNDER_WAY + timedelta(seconds=1))
    assert sessions.load(session, old) is None
    assert sessions.load(session, new) is not None


def test_requests_at_once_get_one_new_secret_between_them(
    database: Database, session: Session, maya: StaffAccount
) -> None:
    old = get_in(session)
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()

    def one(_: int) -> str:
        with database.transaction() as other:
            found = sessions.load(other, old)
            return found.secret if found else ""

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(one, range(8)))
    assert len(set(got)) == 2
    assert sorted(got).count(old) == 7
    session.commit()
    assert sessions.load(session, next(secret for secret in got if secret != old)) is not None


def test_a_new_secret_makes_no_session_last_longer(session: Session, maya: StaffAccount) -> None:
    old = get_in(session)
    before = session.scalars(select(StaffSession.expires_at)).one()
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()
    renewed(session, old)
    assert session.scalars(select(StaffSession.expires_at)).one() == before


def test_what_is_under_way_with_the_old_secret_ends_the_session_too(session: Session, maya: StaffAccount) -> None:
    old, other = get_in(session), get_in(session, ELSEWHERE)
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()
    new = renewed(session, old)
    assert [one.is_current for one in sessions.sessions_of(session, MAYA, old)].count(True) == 1
    assert sessions.end_all(session, BOSS, MAYA, but=old) == 1
    session.commit()
    assert sessions.load(session, other) is None
    sessions.end(session, old)
    session.commit()
    assert sessions.load(session, new) is None


def test_a_disabled_account_is_not_let_in_by_any_secret(session: Session, maya: StaffAccount) -> None:
    old = get_in(session)
    accounts.change_role(session, BOSS, MAYA, Role.VIEWER)
    session.commit()
    new = renewed(session, old)
    accounts.disable(session, BOSS, MAYA)
    session.commit()
    assert [sessions.load(session, secret) for secret in (old, new)] == [None, None]


# Changing one's own password -----------------------------------------------------------------------------------------


def change(session: Session, old: str, new: str, secret: str) -> str | None:
    """As the door does it: two transactions."""
    admitted = sign_in.admit(session, MAYA, HOME)
    session.commit()
    got = sign_in.change_password(session, admitted, old, new, secret=secret)
    session.commit()
    return got


def test_a_new_password_ends_every_other_session(session: Session, maya: StaffAccount) -> None:
    here, there = get_in(session), get_in(session, ELSEWHERE)
    new = change(session, PASSWORD, "another password", here)
    assert new not in (None, here)
    assert sessions.load(session, new or "") is not None
    assert sessions.load(session, there) is None
    assert attempt(session, PASSWORD) is None
    assert attempt(session, "another password") is not None
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert actions[2:4] == ["staff.password_changed", "staff.sessions_ended"]


def test_it_takes_the_password_of_now(session: Session, maya: StaffAccount) -> None:
    here = get_in(session)
    assert change(session, "not the password", "another password", here) is None
    assert sessions.load(session, here) is not None
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.actor, entry.action) == (f"staff:{MAYA}", "staff.password_refused")
    assert entry.changes == {"address": [None, HOME]}
    assert attempt(session, PASSWORD) is not None


def test_guessing_it_is_slowed_down_like_signing_in(session: Session, maya: StaffAccount) -> None:
    here = get_in(session)
    for _ in range(sign_in.FREE_PER_ACCOUNT):
        assert change(session, "not the password", "another password", here) is None
    with pytest.raises(sign_in.Throttled):
        sign_in.admit(session, MAYA, HOME)


def test_a_bad_new_password_changes_nothing(session: Session, maya: StaffAccount) -> None:
    here = get_in(session)
    admitted = sign_in.admit(session, MAYA, HOME)
    with pytest.raises(Invalid):
        sign_in.change_password(session, admitted, PASSWORD, "short", secret=here)
    session.rollback()
    assert attempt(session, PASSWORD) is not None


def test_a_password_that_was_replaced_meanwhile_is_the_wrong_one(
    session: Session, database: Database, maya: StaffAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = get_in(session)
    matches = passwords.matches

    def slow(password_hash: str | None, password: str) -> bool:
        monkeypatch.setattr(passwords, "matches", matches)
        with database.transaction() as other:
            accounts.set_password(other, BOSS, MAYA, "set by the boss")
        return matches(password_hash, password)

    monkeypatch.setattr(passwords, "matches", slow)
    assert change(session, PASSWORD, "another password", here) is None
    monkeypatch.undo()
