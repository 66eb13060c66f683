"""Signing in with the sign-in provider: which account an identity has, and what that account may do from now on.

An account is identified by issuer and subject, never by its address alone. Its role is set from the groups at each
sign-in. An account that has a password is connected to the provider only by giving that password.
"""

from __future__ import annotations

from enum import Enum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import NotFound, Refused
from dashboard.staff import accounts, passwords, sessions
from dashboard.staff.accounts import Taken, actor_key
from dashboard.staff.demo_accounts import is_demo_account
from dashboard.staff.permissions import Role
from dashboard.staff.provider import Identity
from dashboard.staff.sessions import SignedIn
from dashboard.staff.sign_in import Attempt, admit_from, forget, tidy

TRIES_A_MINUTE = 60
PROVIDER = Actor("system:provider")


class Refusal(Enum):
    """Why the provider's word is not enough; the value is the reason in the audit log.

    PASSWORD: an account with the address has a password, which has to be given once. See `connect`.
    """

    PASSWORD = "the account has a password"  # noqa: S105 - no password, but a reason
    NO_ROLE = "no group has a role here"
    UNVERIFIED = "the address is not verified"
    DISABLED = "the account is disabled"
    TAKEN = "the address is another account's"
    LAST_ADMIN = "the last administrator would lose the role"
    NOT_PROVEN = "the provider's answer could not be verified"


def admit(session: Session, address: str) -> None:
    """Counts a return from the provider at the address. Raises Throttled after TRIES_A_MINUTE of them."""
    admit_from(session, address, "provider", TRIES_A_MINUTE)


def sign_in(
    session: Session, identity: Identity, role: Role | None, *, address: str, user_agent: str = "", replaces: str = ""
) -> SignedIn | Refusal:
    """Starts a session for the identity, with the role of its groups; None: no group has a role.

    A first sign-in creates an account or accepts the invitation. A refusal ends the account's sessions everywhere,
    because the provider no longer allows them. Losing the power to manage staff or API tokens takes back the one-time
    links or tokens that the account made. All of it is recorded in the audit log. `replaces` as in the sign-in with a
    password.
    """
    _one_at_a_time(session, identity)
    found = _admitted(session, identity, role)
    if isinstance(found, Refusal):
        return found if found is Refusal.PASSWORD else refuse(session, found, address, identity)
    return _started(session, found, address, user_agent, replaces)


def connect(
    session: Session,
    attempt: Attempt,
    password: str,
    identity: Identity,
    role: Role,
    *,
    user_agent: str = "",
    replaces: str = "",
) -> SignedIn | Refusal | None:
    """Connects the account with the identity's address to the provider, given its password.

    None if the password is wrong, which is recorded in the audit log and slows down the next attempt. Afterwards the
    account has no password, is signed in only here, and has the role of the groups.
    """
    row = session.scalar(select(StaffAccount).where(StaffAccount.email == attempt.email))
    verified = row.password_hash if row else None
    if not passwords.matches(verified, password):
        changes = {"address": [None, attempt.address]}
        history.record(
            session, Actor(actor_key(attempt.email)), "sign_in.refused", subject=attempt.email, changes=changes
        )
        return None
    _one_at_a_time(session, identity)
    row = accounts.locked(session, attempt.email)
    if row.password_hash != verified:
        return None
    if row.disabled_at is not None:
        return refuse(session, Refusal.DISABLED, attempt.address, identity)
    if _row_of(session, identity):
        return refuse(session, Refusal.TAKEN, attempt.address, identity)
    if not _follow(session, row, role):
        return refuse(session, Refusal.LAST_ADMIN, attempt.address, identity)
    forget(session, attempt)
    accounts.connect(session, Actor(actor_key(row.email)), row, identity.issuer, identity.subject)
    return _started(session, row, attempt.address, user_agent, replaces)


def refuse(session: Session, why: Refusal, address: str, identity: Identity | None = None) -> Refusal:
    """Records the refusal; ends the sessions of the identity's account, for NO_ROLE also the links and tokens it made."""
    row = _row_of(session, identity) if identity else None
    email = row.email if row else identity.email if identity else ""
    actor = Actor(actor_key(row.email) if row else "system:sign-in")
    changes = {"address": [None, address], "reason": [None, why.value]}
    history.record(session, actor, "sign_in.refused", subject=email, changes=changes)
    if row:
        sessions.end_all(session, PROVIDER, row.email)
        if why is Refusal.NO_ROLE:
            accounts.remove_links_made_by(session, row)
            accounts.revoke_tokens(session, PROVIDER, row)
    return why


def _admitted(session: Session, identity: Identity, role: Role | None) -> StaffAccount | Refusal:
    own = _row_of(session, identity)
    if own is None and not identity.email:
        return Refusal.UNVERIFIED
    row = _locked(session, own.email if own else identity.email)
    if row is None:
        return _created(session, identity, role)
    if own is None and (row.oidc_subject is not None or is_demo_account(row.email)):
        return Refusal.TAKEN
    if row.disabled_at is not None:
        return Refusal.DISABLED
    if role is None:
        return Refusal.NO_ROLE
    if row.password_hash is not None:
        return Refusal.PASSWORD
    if own is None:
        accounts.join(session, Actor(actor_key(row.email)), row, identity.issuer, identity.subject)
    return row if _follow(session, row, role) else Refusal.LAST_ADMIN


def _created(session: Session, identity: Identity, role: Role | None) -> StaffAccount | Refusal:
    if is_demo_account(identity.email):
        return Refusal.TAKEN
    if role is None:
        return Refusal.NO_ROLE
    try:
        row = accounts.add(session, email=identity.email, name=identity.name, role=role, password_hash=None)
    except Taken:
        # two came at once, who are two people to the provider
        return Refusal.TAKEN
    row.oidc_issuer, row.oidc_subject = identity.issuer, identity.subject
    session.flush()
    changes = {"role": [None, role.value], "name": [None, row.name], "provider": [None, identity.issuer]}
    history.record(session, PROVIDER, "staff.created", subject=row.email, changes=changes)
    return row


def _follow(session: Session, row: StaffAccount, role: Role) -> bool:
    """Gives the account the role of its groups; False for the last administrator, who stays one."""
    try:
        accounts.put_role(session, PROVIDER, row, role)
    except Refused:
        return False
    return True


def _started(session: Session, row: StaffAccount, address: str, user_agent: str, replaces: str) -> SignedIn:
    row.last_sign_in_at = session.scalar(select(func.now()))
    session.flush()
    tidy(session)
    return sessions.begin(session, row, address, user_agent, replaces, provider=row.oidc_issuer)


def _row_of(session: Session, identity: Identity) -> StaffAccount | None:
    statement = select(StaffAccount).where(
        StaffAccount.oidc_issuer == identity.issuer, StaffAccount.oidc_subject == identity.subject
    )
    return session.scalar(statement)


def _locked(session: Session, email: str) -> StaffAccount | None:
    try:
        return accounts.locked(session, email)
    except NotFound:
        return None


def _one_at_a_time(session: Session, identity: Identity) -> None:
    """Until the transaction ends: two simultaneous first sign-ins create one account."""
    key = f"provider {identity.issuer} {identity.subject}"
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
