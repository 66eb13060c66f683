"""Signs a test's client in without the form: for tests whose matter is something else."""

from __future__ import annotations

import hashlib

from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import StaffAccount, StaffSession
from dashboard.staff.passwords import hashed
from dashboard.staff.permissions import Role
from dashboard.staff.sessions import ABSOLUTE

PASSWORD = "correct horse battery"


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
