"""Server-side sessions: the browsers in which an account is signed in, for how long, and how they end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Text, Update, bindparam, func, literal, select, update
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount, StaffSession
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import NotFound
from dashboard.staff.accounts import Account, account_from, actor_key
from dashboard.staff.demo_accounts import may_sign_in
from dashboard.staff.tokens import digest

IDLE, ABSOLUTE = timedelta(hours=12), timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)
REMEMBERED = timedelta(days=30)
MAX_USER_AGENT = 300
LISTED = 50

UNDER_WAY = timedelta(seconds=30)
"""How long the previous secret is still valid, for requests sent before the browser had the new one."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account in a browser; `secret` is what its cookie has to hold from now on, and is stored nowhere."""

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


def start(session: Session, row: StaffAccount, address: str, user_agent: str) -> str:
    """Starts a session of the account and returns its secret."""
    secret = secrets.token_urlsafe(32)
    session.add(
        StaffSession(
            id=digest(secret),
            account_id=row.id,
            expires_at=session.scalar(select(func.now() + ABSOLUTE)),
            address=address,
            user_agent=user_agent[:MAX_USER_AGENT],
        )
    )
    session.flush()
    return secret


def begin(
    session: Session, row: StaffAccount, address: str, user_agent: str, replaces: str, **more: str | None
) -> SignedIn:
    """Signs in: starts a session in place of the one with the secret `replaces`, and records it with the address and `more`."""
    end(session, replaces)
    secret = start(session, row, address, user_agent)
    changes = {name: [None, value] for name, value in {"address": address, **more}.items()}
    history.record(session, Actor(actor_key(row.email)), "sign_in.accepted", subject=row.email, changes=changes)
    return SignedIn(account_from(row), secret)


def load(session: Session, secret: str, *, demo: bool = False, visit: bool = True) -> SignedIn | None:
    """Whose session this is; None if it is over or the account disabled. Records a `visit` once a minute.

    After a change of role, the session continues under a new secret, so that anyone who knew the old one is shut out.
    """
    found = session.execute(LOAD, {"own": digest(secret)}).one_or_none()
    if found is None or not may_sign_in(found.StaffAccount.email, demo=demo):
        return None
    if found.visit_due and visit:
        _note_visit(session, found.id)
    if found.renewal_due and found.id == digest(secret):
        secret = _renew(session, found.id) or secret
    return SignedIn(account_from(found.StaffAccount), secret)


def end(session: Session, secret: str) -> None:
    """Ends the session, if it is not over already."""
    session.execute(update(StaffSession).where(_known_by(secret), is_open()).values(expires_at=func.now()))


def sign_out(session: Session, actor: Actor, secret: str) -> None:
    """Ends the actor's session and records it."""
    end(session, secret)
    history.record(session, actor, "sign_in.ended", subject=actor.key.partition(":")[2])


def sessions_of(session: Session, email: str, secret: str = "") -> list[OpenSession]:
    """An account's open sessions: first the one with this secret, marked, then by last use; LISTED at most."""
    is_current = _known_by(secret)
    statement = (
        select(StaffSession, is_current)
        .join(StaffAccount, StaffAccount.id == StaffSession.account_id)
        .where(StaffAccount.email == email, is_open())
        .order_by(is_current.desc(), StaffSession.last_seen_at.desc(), StaffSession.id)
        .limit(LISTED)
    )
    return [
        OpenSession(row.id, row.created_at, row.last_seen_at, row.address, row.user_agent, current)
        for row, current in session.execute(statement)
    ]


def end_one(session: Session, actor: Actor, email: str, session_id: str) -> None:
    """Ends one session of the account, by its id from `sessions_of`. Raises NotFound: not open, or not its own."""
    statement = _ending(email).where(StaffSession.id == session_id).returning(StaffSession.id)
    if session.scalar(statement) is None:
        raise NotFound("open session", session_id)
    history.record(session, actor, "staff.sessions_ended", subject=email, changes={"sessions": [1, 0]})


def end_all(session: Session, actor: Actor, email: str, *, but: str = "") -> int:
    """Ends the account's sessions except the one with the secret `but`; returns how many."""
    count = len(session.scalars(_ending(email).where(~_known_by(but)).returning(StaffSession.id)).all())
    if count:
        history.record(session, actor, "staff.sessions_ended", subject=email, changes={"sessions": [count, 0]})
    return count


def renew(session: Session, secret: str) -> str:
    """Replaces this secret, which requests under way may still send; returns the new one."""
    return _renew(session, digest(secret)) or secret


def _renew(session: Session, session_id: str) -> str:
    """The new secret; empty if another request got it, at the same time or before."""
    secret = secrets.token_urlsafe(32)
    statement = (
        update(StaffSession)
        .where(StaffSession.id == session_id, is_open())
        .values(id=digest(secret), previous_id=session_id, renewed_at=func.now(), renewal_due=False)
        .returning(StaffSession.id)
        .execution_options(synchronize_session=False)
    )
    return secret if session.scalar(statement) else ""


def _note_visit(session: Session, session_id: str) -> None:
    # of two simultaneous requests, the second skips this instead of waiting
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
        .where(StaffSession.account_id.in_(of_account), is_open())
        .values(expires_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _known_by(secret: str) -> ColumnElement[bool]:
    return _has(literal(digest(secret)))


def _has(own: ColumnElement[str]) -> ColumnElement[bool]:
    """The session whose secret has this digest, or had it a moment ago. Never null, so that it can be negated."""
    had_it = StaffSession.previous_id.is_not(None) & (StaffSession.previous_id == own)
    return (StaffSession.id == own) | (had_it & (StaffSession.renewed_at > func.now() - UNDER_WAY))


def is_open() -> ColumnElement[bool]:
    """The condition that a session is not over."""
    return (StaffSession.expires_at > func.now()) & (StaffSession.last_seen_at > func.now() - IDLE)


# built once, because every page needs it
LOAD = (
    select(
        StaffAccount,
        StaffSession.id,
        (StaffSession.last_seen_at < func.now() - SEEN_EVERY).label("visit_due"),
        StaffSession.renewal_due,
    )
    .join(StaffSession, StaffSession.account_id == StaffAccount.id)
    .where(_has(bindparam("own", type_=Text())), is_open(), StaffAccount.disabled_at.is_(None))
)
