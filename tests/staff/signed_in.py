"""Staff and what is logged of them, and a client that is signed in without the form, where that is not the matter."""

from __future__ import annotations

import hashlib

from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import AuditEntry, StaffAccount, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.staff.passwords import hashed
from dashboard.staff.permissions import Role
from dashboard.staff.sessions import ABSOLUTE

PASSWORD = "correct horse battery"
NOOR = "noor@example.com"
BOSS = Actor("staff:ada@example.com", "web")


def email_of(role: Role) -> str:
    """The address of the account that `sign_in_as` makes for a role."""
    return f"{role.value}@staff.example"


def make_account(session: Session, role: Role, email: str = "") -> StaffAccount:
    """An account with the password PASSWORD; flushed."""
    account = StaffAccount(
        email=email or email_of(role), name=f"The {role.value}", role=role.value, password_hash=hashed(PASSWORD)
    )
    session.add(account)
    session.flush()
    return account


def a_colleague(session: Session, role: Role = Role.SUPPORT, email: str = NOOR) -> StaffAccount:
    """Somebody with an account and a password; committed."""
    made = make_account(session, role, email)
    session.commit()
    return made


def log(session: Session) -> list[tuple[str, str, str]]:
    """Who did what to whom, as the audit log has it, oldest first."""
    rows = session.execute(select(AuditEntry.actor, AuditEntry.action, AuditEntry.subject).order_by(AuditEntry.id))
    return [(actor, action, subject) for actor, action, subject in rows]


def sign_in_as(client: FlaskClient, database: Database, role: Role) -> str:
    """Makes the role's account where there is none, signs the client in, and returns the account's address."""
    email, secret = email_of(role), f"secret of {role.value}"
    with database.transaction() as session:
        account = session.scalar(select(StaffAccount).where(StaffAccount.email == email)) or make_account(session, role)
        session.merge(
            StaffSession(
                id=hashlib.sha256(secret.encode()).hexdigest(),
                account_id=account.id,
                expires_at=session.scalar(select(func.now() + ABSOLUTE)),
            )
        )
    client.set_cookie("staff_session", secret)
    return email
