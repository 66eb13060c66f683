"""Staff accounts. Each function that changes one writes the audit entry itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dashboard.models import ApiToken, StaffAccount, StaffSession
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound, Refused
from dashboard.staff.permissions import PERMISSIONS, Permission, Role

MIN_PASSWORD, MAX_PASSWORD = 10, 200
MAX_EMAIL, MAX_NAME = 254, 200

# RFC 9106, second choice: 64 MiB, 3 passes, 4 lanes
HASHER = PasswordHasher()

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who can sign in, as pages and commands show them."""

    email: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in_at: datetime | None

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the account's role may do."""
        return PERMISSIONS[self.role]


def actor_key(email: str) -> str:
    """The name under which what this account does is kept."""
    return f"staff:{email}"


def normalise_email(email: str) -> str:
    """The one spelling under which an address is kept and looked up."""
    return email.strip().lower()


def create(session: Session, actor: Actor, *, email: str, name: str, role: Role, password: str) -> Account:
    """Makes an account. Raises Invalid naming each member that is wrong, a taken address included."""
    email, name = normalise_email(email), name.strip()
    _check({"email": email_problem(email), "name": _name_problem(name), "password": password_problem(password)})
    row = StaffAccount(email=email, name=name, role=role.value, password_hash=HASHER.hash(password))
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Invalid({"email": f"There already is an account for {email}."}) from error
    history.record(
        session, actor, "staff.created", subject=email, changes={"role": [None, role.value], "name": [None, name]}
    )
    return account_from(row)


def find(session: Session, email: str) -> Account | None:
    """The account with this address, in any spelling; None when there is none."""
    email = normalise_email(email)
    if email_problem(email):
        return None
    row = session.scalar(select(StaffAccount).where(StaffAccount.email == email))
    return account_from(row) if row else None


def everyone(session: Session) -> list[Account]:
    """All accounts, disabled ones included, by address."""
    return [account_from(row) for row in session.scalars(select(StaffAccount).order_by(StaffAccount.email))]


def change_role(session: Session, actor: Actor, email: str, role: Role) -> Account:
    """Gives the account another role, at once also where it is signed in. Raises NotFound, or Refused: last admin."""
    row = _locked(session, email)
    before = row.role
    if before == role.value:
        return account_from(row)
    if before == Role.ADMIN.value and row.disabled_at is None:
        _keep_an_admin(session, row)
    row.role = role.value
    session.flush()
    history.record(session, actor, "staff.role_changed", subject=row.email, changes={"role": [before, role.value]})
    return account_from(row)


def set_password(session: Session, actor: Actor, email: str, password: str) -> Account:
    """Replaces the password and ends every session of the account. Raises NotFound or Invalid."""
    row = _locked(session, email)
    _check({"password": password_problem(password)})
    row.password_hash = HASHER.hash(password)
    session.flush()
    _end_sessions(session, row)
    history.record(session, actor, "staff.password_reset", subject=row.email)
    return account_from(row)


def disable(session: Session, actor: Actor, email: str, *, keep_tokens: bool = False) -> list[str]:
    """Ends the account's sessions and keeps it from signing in; names the API tokens it made, revoked with it.

    `keep_tokens` leaves those working: whoever made a token knows it. Raises NotFound, or Refused for the last admin.
    """
    row = _locked(session, email)
    if row.disabled_at is not None:
        return []
    if row.role == Role.ADMIN.value:
        _keep_an_admin(session, row)
    row.disabled_at = session.scalar(select(func.now()))
    session.flush()
    _end_sessions(session, row)
    history.record(session, actor, "staff.disabled", subject=row.email)
    return [] if keep_tokens else _revoke_tokens(session, actor, row)


def enable(session: Session, actor: Actor, email: str) -> Account:
    """Lets a disabled account sign in again; its tokens stay revoked. Raises NotFound."""
    row = _locked(session, email)
    if row.disabled_at is not None:
        row.disabled_at = None
        session.flush()
        history.record(session, actor, "staff.enabled", subject=row.email)
    return account_from(row)


@cache
def dummy_hash() -> str:
    """What an unknown account is verified against, to take the time of a known one; no password matches it.

    Made at the first call: a door calls it when it opens, so that the first unknown account is not the slow one.
    """
    return HASHER.hash("\0")


def password_matches(password_hash: str | None, password: str) -> bool:
    """True when the password is the hash's. None, for an unknown account, takes as long and is never true."""
    try:
        return HASHER.verify(password_hash or dummy_hash(), _encoded(password)) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def rehashed(password_hash: str, password: str) -> str:
    """The hash to store from now on: a new one when it was made under other parameters than today's."""
    return HASHER.hash(_encoded(password)) if HASHER.check_needs_rehash(password_hash) else password_hash


def password_problem(password: str) -> str | None:
    """Why this cannot be a password; None when it can."""
    if len(password) < MIN_PASSWORD:
        return f"Use at least {MIN_PASSWORD} characters."
    if len(password) > MAX_PASSWORD:
        return f"Use at most {MAX_PASSWORD} characters."
    return "Leave out control characters." if _CONTROL.search(password) else None


def email_problem(email: str) -> str | None:
    """Why this cannot be the address of an account; None when it can."""
    if len(email) > MAX_EMAIL or _CONTROL.search(email) or not _EMAIL.fullmatch(email):
        return "Enter an email address such as name@example.com."
    return None


def _encoded(password: str) -> bytes:
    # a lone surrogate must be a wrong password, not a traceback
    return password.encode("utf-8", "surrogatepass")


def _name_problem(name: str) -> str | None:
    if not 1 <= len(name) <= MAX_NAME:
        return f"Enter a name of 1 to {MAX_NAME} characters."
    return "Leave out control characters." if _CONTROL.search(name) else None


def _check(problems: Mapping[str, str | None]) -> None:
    found = {member: problem for member, problem in problems.items() if problem}
    if found:
        raise Invalid(found)


def _locked(session: Session, email: str) -> StaffAccount:
    """The row, locked together with all active admins and in one order, so two cannot remove each other at once."""
    email = normalise_email(email)
    if email_problem(email):
        raise NotFound("staff account", email)
    statement = (
        select(StaffAccount)
        .where((StaffAccount.email == email) | _ACTIVE_ADMIN)
        .order_by(StaffAccount.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = {row.email: row for row in session.scalars(statement)}
    if email not in found:
        raise NotFound("staff account", email)
    return found[email]


_ACTIVE_ADMIN = (StaffAccount.role == Role.ADMIN.value) & StaffAccount.disabled_at.is_(None)


def _keep_an_admin(session: Session, leaving: StaffAccount) -> None:
    others = select(func.count()).where(_ACTIVE_ADMIN, StaffAccount.id != leaving.id)
    if not session.scalar(others):
        raise Refused(f"{leaving.email} is the last administrator. Make someone else one first.")


def _end_sessions(session: Session, row: StaffAccount) -> None:
    session.execute(
        update(StaffSession)
        .where(StaffSession.account_id == row.id, StaffSession.expires_at > func.now())
        .values(expires_at=func.now())
    )


def _revoke_tokens(session: Session, actor: Actor, row: StaffAccount) -> list[str]:
    statement = (
        update(ApiToken)
        .where(ApiToken.created_by == actor_key(row.email), ApiToken.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiToken.name)
    )
    names = sorted(session.scalars(statement))
    for name in names:
        history.record(session, actor, "token.revoked", subject=name)
    return names


def account_from(row: StaffAccount) -> Account:
    """What pages and commands may see of a row."""
    return Account(row.email, row.name, Role(row.role), row.created_at, row.disabled_at, row.last_sign_in_at)
