"""Signing in as the door does, again and again, and time that passes: for tests of sign-in, sessions and links."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dashboard.models import RateLimit, SignInFailure, StaffLink, StaffSession
from dashboard.staff import sign_in
from dashboard.staff.rate_limits import WINDOW_S
from dashboard.staff.sessions import SignedIn
from tests.staff.signed_in import PASSWORD

MAYA, HOME, ELSEWHERE = "maya@example.com", "192.0.2.1", "198.51.100.7"
USED_UP_S = WINDOW_S


def attempt(
    session: Session, password: str, email: str = MAYA, address: str = HOME, replaces: str = ""
) -> SignedIn | None:
    """One sign-in as the door does it: two transactions."""
    admitted = sign_in.admit(session, email, address)
    session.commit()
    outcome = sign_in.complete(session, admitted, password, user_agent="A browser", replaces=replaces)
    session.commit()
    return outcome


def get_in(session: Session, address: str = HOME, replaces: str = "") -> str:
    signed_in = attempt(session, PASSWORD, address=address, replaces=replaces)
    assert signed_in is not None
    return signed_in.secret


def fail(session: Session, times: int, email: str = MAYA, address: str = HOME) -> None:
    """Refused sign-ins in a row, as if each had waited as long as it was told to."""
    for _ in range(times):
        session.add(SignInFailure(email=email, address=address))
    session.commit()


def use_up(session: Session, key: str) -> None:
    """As after very many: the bucket of that key has no permit for USED_UP_S, however slow the machine is."""
    full_at = session.scalar(select(func.clock_timestamp() + timedelta(seconds=WINDOW_S + USED_UP_S)))
    session.merge(RateLimit(key=key, full_at=full_at, granted=0))
    session.commit()


def pass_time(session: Session, by: timedelta) -> None:
    """Moves everything that happened into the past."""
    session.execute(update(SignInFailure).values(at=SignInFailure.at - by))
    session.execute(
        update(StaffSession).values(
            created_at=StaffSession.created_at - by,
            last_seen_at=StaffSession.last_seen_at - by,
            expires_at=StaffSession.expires_at - by,
            renewed_at=StaffSession.renewed_at - by,
        )
    )
    session.execute(update(StaffLink).values(expires_at=StaffLink.expires_at - by))
    session.commit()
