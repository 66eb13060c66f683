"""Signing in, slowed down for whoever guesses, and the server-side sessions that follow.

A door signs someone in with two transactions: `admit` counts the attempt as refused before any password is looked at,
so that a thousand attempts at once, over any number of processes, are counted like a thousand in a row; `complete`
takes the count back when the password was right.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, delete, func, or_, select, update
from sqlalchemy.orm import Session

from dashboard.models import SignInFailure, StaffAccount, StaffSession
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import NotFound, OnboardingError
from dashboard.staff.accounts import Account, account_from, actor_key, normalise_email, password_matches, rehashed
from dashboard.staff.demo_accounts import may_sign_in

FREE_PER_ACCOUNT, FREE_PER_ADDRESS = 5, 20
WINDOW = timedelta(hours=1)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=2), timedelta(minutes=5)

IDLE, ABSOLUTE = timedelta(hours=12), timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)
REMEMBERED = timedelta(days=30)
MAX_USER_AGENT = 300


class Throttled(OnboardingError):
    """Too many refused sign-ins lately; the next one is looked at in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"Too many attempts. Try again in {_spoken(retry_after)}.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that may go on to the password; `id` is its entry among the refused until the password is right."""

    id: int
    email: str
    address: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh session: `secret` goes into the cookie and is kept nowhere."""

    account: Account
    secret: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A browser in which the account is signed in."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    address: str
    user_agent: str
    is_current: bool


def admit(session: Session, email: str, address: str) -> Attempt:
    """Counts an attempt for the account and for the address. Raises Throttled, and then counts nothing.

    After some free attempts the wait doubles with each up to LONGEST_DELAY, so nobody is locked out for good. Where the
    account was signed in lately, only attempts from there slow it down: a stranger's guesses cannot keep its owner out.
    """
    email = normalise_email(email)
    network = _network(address)
    # held until the caller commits; always in this order, so two attempts cannot wait for each other
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
    row = SignInFailure(email=email, address=network)
    session.add(row)
    session.flush()
    return Attempt(row.id, email, address)


def complete(
    session: Session, attempt: Attempt, password: str, *, user_agent: str = "", replaces: str = "", demo: bool = False
) -> SignedIn | None:
    """Starts a session when the password is right, else None; both are written to the audit log.

    An unknown account, a wrong password and a disabled account take the same work and get the same None. `replaces` is
    the secret of the session that this browser had until now; it ends. Demo accounts sign in in demo mode only.
    """
    row = session.scalar(select(StaffAccount).where(StaffAccount.email == attempt.email))
    matches = password_matches(row.password_hash if row else None, password)
    if row is None or not matches or not may_sign_in(row.email, demo=demo) or not _accept(session, row, password):
        # what an unknown person typed is not kept: it may be a password in the wrong field
        known = row.email if row else ""
        actor = Actor(actor_key(known) if known else "system:sign-in")
        history.record(session, actor, "sign_in.refused", subject=known, changes={"address": [None, attempt.address]})
        return None
    _forget(session, attempt)
    end(session, replaces)
    secret = _start(session, row, attempt.address, user_agent)
    history.record(
        session,
        Actor(actor_key(row.email)),
        "sign_in.accepted",
        subject=row.email,
        changes={"address": [None, attempt.address]},
    )
    return SignedIn(account_from(row), secret)


def load(session: Session, secret: str, *, demo: bool = False, visit: bool = True) -> Account | None:
    """Whose session this is; None when it is over or the account disabled. Notes a `visit` once a minute."""
    found = session.execute(
        select(StaffAccount, StaffSession.last_seen_at < func.now() - SEEN_EVERY)
        .join(StaffSession, StaffSession.account_id == StaffAccount.id)
        .where(StaffSession.id == _digest(secret), _open(), StaffAccount.disabled_at.is_(None))
    ).one_or_none()
    if found is None:
        return None
    row, is_due = found
    if not may_sign_in(row.email, demo=demo):
        return None
    if is_due and visit:
        _note_visit(session, _digest(secret))
    return account_from(row)


def end(session: Session, secret: str) -> None:
    """Ends the session; one that is over already stays as it is."""
    session.execute(
        update(StaffSession).where(StaffSession.id == _digest(secret), _open()).values(expires_at=func.now())
    )


def sessions_of(session: Session, email: str, secret: str = "") -> list[OpenSession]:
    """The open sessions of an account, the last used first; the one with this secret is marked."""
    statement = (
        select(StaffSession)
        .join(StaffAccount, StaffAccount.id == StaffSession.account_id)
        .where(StaffAccount.email == email, _open())
        .order_by(StaffSession.last_seen_at.desc(), StaffSession.id)
    )
    own = _digest(secret)
    return [
        OpenSession(row.id, row.created_at, row.last_seen_at, row.address, row.user_agent, row.id == own)
        for row in session.scalars(statement)
    ]


def end_one(session: Session, actor: Actor, email: str, session_id: str) -> None:
    """Ends one session of the account, by the id that `sessions_of` gave. Raises NotFound: not open, or not theirs."""
    statement = _ending(email).where(StaffSession.id == session_id).returning(StaffSession.id)
    if session.scalar(statement) is None:
        raise NotFound("open session", session_id)
    history.record(session, actor, "staff.sessions_ended", subject=email, changes={"sessions": [1, 0]})


def end_all(session: Session, actor: Actor, email: str, *, but: str = "") -> int:
    """Ends the account's sessions except the one with the secret `but`; how many those were."""
    statement = _ending(email).where(StaffSession.id != _digest(but)).returning(StaffSession.id)
    count = len(session.scalars(statement).all())
    if count:
        history.record(session, actor, "staff.sessions_ended", subject=email, changes={"sessions": [count, 0]})
    return count


def _wait(session: Session, which: ColumnElement[bool], free: int) -> timedelta:
    # the clock, not the transaction's start: the locks may have been waited for
    now = func.clock_timestamp()
    count, since_last = session.execute(
        select(func.count(), now - func.max(SignInFailure.at)).where(which, SignInFailure.at > now - WINDOW)
    ).one()
    if count < free:
        return timedelta()
    # the exponent is bounded before it is used: 2 to the power of a million failures is a long number
    delay: timedelta = min(FIRST_DELAY * 2 ** min(count - free, 30), LONGEST_DELAY)
    return delay - since_last  # type: ignore[no-any-return]


def _known_networks(session: Session, email: str) -> set[str]:
    statement = (
        select(StaffSession.address)
        .join(StaffAccount, StaffAccount.id == StaffSession.account_id)
        .where(StaffAccount.email == email, StaffSession.created_at > func.now() - REMEMBERED)
        .distinct()
    )
    return {_network(address) for address in session.scalars(statement)}


def _network(address: str) -> str:
    """What is counted as one address: of IPv6 the /64, because whoever has one has 2^64 of them."""
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
    """Notes the sign-in, unless the account was disabled or the password replaced while the hash was computed."""
    statement = (
        update(StaffAccount)
        .where(
            StaffAccount.id == row.id,
            StaffAccount.password_hash == row.password_hash,
            StaffAccount.disabled_at.is_(None),
        )
        .values(last_sign_in_at=func.now(), password_hash=rehashed(row.password_hash, password))
        .returning(StaffAccount.id)
        .execution_options(synchronize_session=False)
    )
    if session.scalar(statement) is None:
        return False
    session.refresh(row)
    return True


def _forget(session: Session, attempt: Attempt) -> None:
    """Takes the account's refusals from this address back, and drops what no longer counts for anyone."""
    here = (SignInFailure.email == attempt.email) & (SignInFailure.address == _network(attempt.address))
    session.execute(delete(SignInFailure).where(or_(here, SignInFailure.at < func.now() - WINDOW)))
    session.execute(delete(StaffSession).where(StaffSession.expires_at < func.now() - REMEMBERED))


def _start(session: Session, row: StaffAccount, address: str, user_agent: str) -> str:
    secret = secrets.token_urlsafe(32)
    session.add(
        StaffSession(
            id=_digest(secret),
            account_id=row.id,
            expires_at=session.scalar(select(func.now() + ABSOLUTE)),
            address=address,
            user_agent=user_agent[:MAX_USER_AGENT],
        )
    )
    session.flush()
    return secret


def _note_visit(session: Session, session_id: str) -> None:
    # two requests at once: the second leaves it to the first instead of waiting for it
    free = select(StaffSession.id).where(StaffSession.id == session_id).with_for_update(skip_locked=True)
    session.execute(
        update(StaffSession)
        .where(StaffSession.id.in_(free))
        .values(last_seen_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _ending(email: str) -> Update:
    of_account = select(StaffAccount.id).where(StaffAccount.email == email)
    return (
        update(StaffSession)
        .where(StaffSession.account_id.in_(of_account), _open())
        .values(expires_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _open() -> ColumnElement[bool]:
    return (StaffSession.expires_at > func.now()) & (StaffSession.last_seen_at > func.now() - IDLE)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _spoken(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
