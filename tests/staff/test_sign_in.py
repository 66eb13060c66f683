"""Signing in: who gets in, who is slowed down and for how long, and how long a session lasts."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.demo import add_accounts
from dashboard.models import AuditEntry, SignInFailure, StaffAccount, StaffSession
from dashboard.staff import accounts, demo_accounts, links, passwords, roster, sessions, sign_in
from dashboard.staff.permissions import Role
from tests.conftest import test_settings
from tests.staff.signed_in import BOSS, PASSWORD, make_account
from tests.staff.signing_in import ELSEWHERE, HOME, MAYA, attempt, fail, get_in, pass_time


def test_the_right_password_starts_a_session(session: Session, maya: StaffAccount) -> None:
    signed_in = attempt(session, PASSWORD, email=" MAYA@example.com ")
    assert signed_in is not None
    assert signed_in.account.email == MAYA
    assert signed_in.account.last_sign_in_at is not None
    loaded = sessions.load(session, signed_in.secret)
    assert loaded == signed_in
    row = session.scalars(select(StaffSession)).one()
    assert (row.address, row.user_agent) == (HOME, "A browser")


def test_only_the_digest_of_the_secret_is_stored(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    row = session.scalars(select(StaffSession)).one()
    assert len(secret) >= 43
    assert secret not in row.id
    assert len(row.id) == 64
    assert sessions.load(session, row.id) is None


@pytest.mark.parametrize(
    ("email", "password"), [(MAYA, "wrong password"), ("nobody@example.com", PASSWORD), (MAYA, "")]
)
def test_a_wrong_password_and_an_unknown_account_get_the_same(
    session: Session, maya: StaffAccount, email: str, password: str
) -> None:
    assert attempt(session, password, email=email) is None
    assert session.scalar(select(func.count()).select_from(StaffSession)) == 0
    assert session.scalar(select(func.count()).select_from(SignInFailure)) == 1


def test_each_refusal_computes_exactly_one_hash(
    session: Session, maya: StaffAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            computed.append("verify")
            return super().verify(hash, password)

        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            computed.append("hash")
            return super().hash(password, salt=salt)

    make_account(session, Role.VIEWER, "off@example.com").disabled_at = func.now()
    links.invite(session, BOSS, email="invited@example.com", name="Invited", role=Role.VIEWER)
    monkeypatch.setattr(passwords, "HASHER", Counting(time_cost=1, memory_cost=8, parallelism=1))
    for email in (MAYA, "nobody@example.com", "invited@example.com"):
        assert attempt(session, "wrong password", email=email) is None
    assert attempt(session, PASSWORD, email="off@example.com") is None
    assert computed == ["verify"] * 4


def test_a_disabled_account_gets_no_further(session: Session, maya: StaffAccount) -> None:
    secret = get_in(session)
    maya.disabled_at = func.now()
    session.commit()
    assert sessions.load(session, secret) is None
    assert attempt(session, PASSWORD) is None


def test_a_password_hash_of_other_parameters_is_replaced(session: Session, maya: StaffAccount) -> None:
    maya.password_hash = old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    session.commit()
    assert attempt(session, "wrong password") is None
    session.refresh(maya)
    assert maya.password_hash == old
    get_in(session)
    session.refresh(maya)
    assert maya.password_hash != old
    assert passwords.matches(maya.password_hash, PASSWORD)


def test_a_password_replaced_while_it_was_verified_no_longer_counts(
    session: Session, database: Database, maya: StaffAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches = passwords.matches

    def slow(password_hash: str | None, password: str) -> bool:
        monkeypatch.setattr(passwords, "matches", matches)
        with database.transaction() as other:
            accounts.set_password(other, BOSS, MAYA, "another password")
        return matches(password_hash, password)

    monkeypatch.setattr(passwords, "matches", slow)
    assert attempt(session, PASSWORD) is None


def test_sign_ins_and_refusals_are_in_the_audit_log_but_nothing_that_was_typed(
    session: Session, maya: StaffAccount
) -> None:
    attempt(session, "wrong password")
    attempt(session, "x", email="my secret password")
    get_in(session)
    entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.actor, entry.action, entry.subject) for entry in entries] == [
        (f"staff:{MAYA}", "sign_in.refused", MAYA),
        ("system:sign-in", "sign_in.refused", ""),
        (f"staff:{MAYA}", "sign_in.accepted", MAYA),
    ]
    assert {str(entry.changes) for entry in entries} == {str({"address": [None, HOME]})}


# Slowing down --------------------------------------------------------------------------------------------------------


def retry_after(session: Session, email: str = MAYA, address: str = HOME) -> int:
    """Seconds that the next attempt would have to wait; counts nothing."""
    try:
        sign_in.admit(session, email, address)
    except sign_in.Throttled as error:
        return error.retry_after
    finally:
        session.rollback()
    return 0


def waits(session: Session, seconds: int, since: float, email: str = MAYA, address: str = HOME) -> None:
    """Holds the wait to the seconds, less what a busy machine took `since` before what it counts from."""
    told = retry_after(session, email, address)
    assert seconds - (time.monotonic() - since) <= told <= seconds


def test_the_wait_grows_and_ends(session: Session, maya: StaffAccount) -> None:
    began = time.monotonic()
    for seconds in (0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300):
        waits(session, seconds, began)
        began = time.monotonic()
        fail(session, 1)
    pass_time(session, timedelta(seconds=200))
    waits(session, 100, began)
    pass_time(session, timedelta(seconds=100))
    assert retry_after(session) == 0
    get_in(session)


def test_the_wait_begins_when_the_attempt_was_counted_however_long_its_locks_were_waited_for(
    session: Session, maya: StaffAccount
) -> None:
    session.execute(select(func.now(), func.pg_sleep(0.5)))
    sign_in.admit(session, MAYA, HOME)
    assert session.scalars(select(SignInFailure.at - func.now())).one() >= timedelta(seconds=0.5)


def test_it_is_forgotten_after_an_hour(session: Session, maya: StaffAccount) -> None:
    began = time.monotonic()
    fail(session, 1000)
    waits(session, 300, began)
    pass_time(session, timedelta(hours=1, seconds=1))
    assert retry_after(session) == 0


def test_a_clock_that_was_set_back_keeps_nobody_out(session: Session, maya: StaffAccount) -> None:
    fail(session, 1000)
    pass_time(session, timedelta(hours=-5))
    assert retry_after(session) == 0
    began = time.monotonic()
    fail(session, 5)
    waits(session, 2, began)


def test_a_refused_attempt_while_waiting_does_not_make_the_wait_longer(
    session: Session, maya: StaffAccount, long_wait: int
) -> None:
    began = time.monotonic()
    fail(session, 5)
    for _ in range(10):
        with pytest.raises(sign_in.Throttled):
            sign_in.admit(session, MAYA, HOME)
        session.rollback()
    waits(session, long_wait, began)


def test_unknown_accounts_are_slowed_down_the_same(session: Session, maya: StaffAccount) -> None:
    began = time.monotonic()
    fail(session, 6, email="nobody@example.com")
    waits(session, 4, began, email="NOBODY@example.com")


def test_an_address_is_slowed_down_over_many_accounts(session: Session, maya: StaffAccount) -> None:
    for number in range(20):
        began = time.monotonic()
        fail(session, 1, email=f"guess{number}@example.com")
    waits(session, 2, began, email="next@example.com")
    assert retry_after(session, email="next@example.com", address=ELSEWHERE) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
    ],
)
def test_what_counts_as_one_address(session: Session, long_wait: int, one: str, other: str, same: bool) -> None:
    for number in range(20):
        sign_in.admit(session, f"guess{number}@example.com", one)
    session.commit()
    assert (retry_after(session, email="next@example.com", address=other) > 0) is same


def test_a_stranger_cannot_keep_the_owner_out(session: Session, maya: StaffAccount) -> None:
    get_in(session, address=HOME)
    began = time.monotonic()
    fail(session, 50, address=ELSEWHERE)
    waits(session, 300, began, address=ELSEWHERE)
    waits(session, 300, began, address="203.0.113.5")
    assert retry_after(session, address=HOME) == 0


def test_success_takes_back_the_attempts_from_there_only(session: Session, maya: StaffAccount) -> None:
    fail(session, 2)
    fail(session, 1, address=ELSEWHERE)
    fail(session, 2, email="other@example.com")
    get_in(session)
    left = session.execute(select(SignInFailure.email, SignInFailure.address)).all()
    assert sorted(left) == [(MAYA, ELSEWHERE)] + [("other@example.com", HOME)] * 2


def test_attempts_at_once_are_counted_like_attempts_in_a_row(database: Database, long_wait: int) -> None:
    def one(_: int) -> bool:
        try:
            with database.transaction() as session:
                sign_in.admit(session, MAYA, HOME)
        except sign_in.Throttled:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        admitted = list(pool.map(one, range(40)))
    assert sum(admitted) == sign_in.FREE_PER_ACCOUNT


def admitted_of(url: str, folder: str, times: int) -> int:
    """How many attempts of a process of its own are let through, each from another address."""
    # a busy machine may take longer than the first wait
    sign_in.FIRST_DELAY = sign_in.LONGEST_DELAY
    opened, count = Database(test_settings(url, Path(folder))), 0
    for number in range(times):
        try:
            with opened.transaction() as session:
                sign_in.admit(session, MAYA, f"198.51.{os.getpid() % 256}.{number}")
            count += 1
        except sign_in.Throttled:
            pass
    opened.dispose()
    return count


def test_processes_count_together_and_lock_nobody_out_for_good(
    session: Session, maya: StaffAccount, database_url: str, tmp_path: Path
) -> None:
    get_in(session, address=HOME)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(admitted_of, database_url, str(tmp_path), 20) for _ in range(2)]
        assert sum(one.result(300) for one in pending) == sign_in.FREE_PER_ACCOUNT
    # where she was signed in lately nothing is slowed down, and anywhere else it is over in a few minutes
    assert retry_after(session, address=HOME) == 0
    pass_time(session, sign_in.LONGEST_DELAY)
    assert attempt(session, PASSWORD, address=ELSEWHERE) is not None


def test_demo_accounts_sign_in_in_demo_mode_only(session: Session) -> None:
    add_accounts(session)
    add_accounts(session)
    session.commit()
    for account in demo_accounts.DEMO_ACCOUNTS:
        assert attempt(session, account.password, email=account.email) is None
        admitted = sign_in.admit(session, account.email, HOME)
        signed_in = sign_in.complete(session, admitted, account.password, demo=True)
        assert signed_in is not None
        assert sessions.load(session, signed_in.secret, demo=True) == signed_in
        assert sessions.load(session, signed_in.secret) is None
    assert len(roster.everyone(session)) == len(Role)
