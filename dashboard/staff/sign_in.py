"""Signing in and changing one's password, throttled against guessing.

A door signs someone in with two transactions: `admit` counts the attempt as refused before any password is verified, so
that a thousand simultaneous attempts, over any number of processes, count like a thousand in a row; `complete` takes
the count back if the password was right.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from dashboard.models import SignInFailure, StaffAccount, StaffSession
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import OnboardingError
from dashboard.staff import passwords, rate_limits, sessions
from dashboard.staff.accounts import actor_key, normalise_email, put_password
from dashboard.staff.demo_accounts import may_sign_in
from dashboard.staff.rate_limits import WINDOW_S
from dashboard.staff.sessions import SignedIn
from dashboard.words import plural

FREE_PER_ACCOUNT, FREE_PER_ADDRESS = 5, 20
WINDOW = timedelta(hours=1)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=2), timedelta(minutes=5)


class Throttled(OnboardingError):
    """Too many refused sign-ins lately; the next one is accepted in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"Too many attempts. Try again in {_spoken(retry_after)}.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in admitted to the password check; `id` is its entry among the refusals until the password is right."""

    id: int
    email: str
    address: str


def admit_from(session: Session, address: str, what: str, a_minute: int) -> None:
    """Counts an attempt at `what` from the address. Raises Throttled after `a_minute` of them in a minute."""
    cost = WINDOW_S / a_minute
    granted, full_in = rate_limits.draw(session, f"{what} {network_of(address)}", cost, most=1)
    if not granted:
        raise Throttled(max(1, math.ceil(full_in + cost - WINDOW_S)))


def admit(session: Session, email: str, address: str) -> Attempt:
    """Counts an attempt for the account and for the address. Raises Throttled, and then counts nothing.

    After some free attempts, each doubles the wait, up to LONGEST_DELAY, so nobody is locked out for good. If the
    account was signed in from the address lately, only attempts from there delay it: a stranger's guesses cannot keep
    its owner out.
    """
    email = normalise_email(email)
    network = network_of(address)
    # held until the caller commits; always in this order, so that two attempts cannot deadlock
    for key in (f"sign-in account {email}", f"sign-in address {network}"):
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    of_account = SignInFailure.email == email
    if network in _known_networks(session, email):
        of_account &= SignInFailure.address == network
    wait = max(
        _wait(session, of_account, FREE_PER_ACCOUNT),
        _wait(session, SignInFailure.address == network, FREE_PER_ADDRESS),
    )
    if wait > timedelta():
        raise Throttled(-(-wait // timedelta(seconds=1)))
    # by the same clock as the wait: the next one waits from now, not from the start of this transaction
    row = SignInFailure(at=func.clock_timestamp(), email=email, address=network)
    session.add(row)
    session.flush()
    return Attempt(row.id, email, address)


def complete(
    session: Session, attempt: Attempt, password: str, *, user_agent: str = "", replaces: str = "", demo: bool = False
) -> SignedIn | None:
    """Starts a session if the password is right, else None; both are recorded in the audit log.

    An unknown account, a wrong password and a disabled account take the same time and give the same None. `replaces` is
    the secret of this browser's previous session, which ends. Demo accounts can sign in only in demo mode.
    """
    row = session.scalar(select(StaffAccount).where(StaffAccount.email == attempt.email))
    matches = passwords.matches(row.password_hash if row else None, password)
    if row is None or not matches or not may_sign_in(row.email, demo=demo) or not _accept(session, row, password):
        # what was typed for an unknown account is not kept: it may be a password in the wrong field
        known = row.email if row else ""
        actor = Actor(actor_key(known) if known else "system:sign-in")
        history.record(session, actor, "sign_in.refused", subject=known, changes={"address": [None, attempt.address]})
        return None
    forget(session, attempt)
    return sessions.begin(session, row, attempt.address, user_agent, replaces)


def change_password(session: Session, attempt: Attempt, old: str, new: str, *, secret: str) -> str | None:
    """Replaces the password if `old` is right, ends the account's sessions but the one with `secret`: its new secret.

    None if `old` is wrong, which is recorded in the audit log and slows down the next attempt, as at sign-in. Raises
    Invalid if `new` cannot be a password.
    """
    actor = Actor(actor_key(attempt.email))
    row = session.scalar(select(StaffAccount).where(StaffAccount.email == attempt.email))
    if row is None or not passwords.matches(row.password_hash, old) or not _replace(session, actor, row, old, new):
        changes = {"address": [None, attempt.address]}
        history.record(session, actor, "staff.password_refused", subject=attempt.email, changes=changes)
        return None
    forget(session, attempt)
    history.record(session, actor, "staff.password_changed", subject=row.email)
    sessions.end_all(session, actor, row.email, but=secret)
    return sessions.renew(session, secret)


def _wait(session: Session, which: ColumnElement[bool], free: int) -> timedelta:
    # the clock, not the transaction's start: it may have waited for the locks
    now = func.clock_timestamp()
    # those of a time to come are from before the clock was set back
    lately = SignInFailure.at.between(now - WINDOW, now)
    count, since_last = session.execute(
        select(func.count(), now - func.max(SignInFailure.at)).where(which, lately)
    ).one()
    if count < free:
        return timedelta()
    # the exponent is capped before use: 2 to the power of a million failures is a long number
    delay: timedelta = min(FIRST_DELAY * 2 ** min(count - free, 30), LONGEST_DELAY)
    return delay - since_last  # type: ignore[no-any-return]


def _known_networks(session: Session, email: str) -> set[str]:
    statement = (
        select(StaffSession.address)
        .join(StaffAccount, StaffAccount.id == StaffSession.account_id)
        .where(StaffAccount.email == email, StaffSession.created_at > func.now() - sessions.REMEMBERED)
        .distinct()
    )
    return {network_of(address) for address in session.scalars(statement)}


def network_of(address: str) -> str:
    """The network counted as one address: for IPv6 the /64, because its holder has 2^64 addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _accept(session: Session, row: StaffAccount, password: str) -> bool:
    """Records the sign-in, unless the account was disabled or the password replaced while the hash was computed."""
    if row.password_hash is None:
        return False
    statement = (
        update(StaffAccount)
        .where(
            StaffAccount.id == row.id,
            StaffAccount.password_hash == row.password_hash,
            StaffAccount.disabled_at.is_(None),
        )
        .values(last_sign_in_at=func.now(), password_hash=passwords.rehashed(row.password_hash, password))
        .returning(StaffAccount.id)
        .execution_options(synchronize_session=False)
    )
    if session.scalar(statement) is None:
        return False
    session.refresh(row)
    return True


def _replace(session: Session, actor: Actor, row: StaffAccount, old: str, password: str) -> bool:
    """Replaces the verified password, unless it is no longer the account's."""
    new = passwords.hashed(password, row.email, row.name, before=old)
    unchanged = (StaffAccount.id == row.id) & (StaffAccount.password_hash == row.password_hash)
    statement = select(StaffAccount).where(unchanged, StaffAccount.disabled_at.is_(None)).with_for_update()
    if session.scalar(statement) is None:
        return False
    put_password(session, actor, row, new)
    return True


def forget(session: Session, attempt: Attempt) -> None:
    """Takes back the account's refusals from this address, and drops those that no longer count for anyone."""
    here = (SignInFailure.email == attempt.email) & (SignInFailure.address == network_of(attempt.address))
    session.execute(delete(SignInFailure).where(here))
    tidy(session)


def tidy(session: Session) -> None:
    """Drops refusals and sessions that no longer count for anyone."""
    session.execute(delete(SignInFailure).where(SignInFailure.at < func.now() - WINDOW))
    session.execute(delete(StaffSession).where(StaffSession.expires_at < func.now() - sessions.REMEMBERED))


def _spoken(seconds: int) -> str:
    return plural(seconds, "second") if seconds < 60 else plural(-(-seconds // 60), "minute")
