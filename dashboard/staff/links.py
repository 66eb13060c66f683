"""One-time links with which staff choose a password: an invitation, or a new link for a forgotten password.

An account has at most one link, and the database only its SHA-256. Anyone who opens a link can take the account over,
so its maker passes it on in person: nothing is sent from here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount, StaffLink
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import NotFound, Refused
from dashboard.staff import accounts, passwords, standing
from dashboard.staff.accounts import Account, account_from, actor_key
from dashboard.staff.demo_accounts import may_sign_in
from dashboard.staff.permissions import Permission, Role
from dashboard.staff.sign_in import admit_from
from dashboard.staff.tokens import digest

PATH = "/set-password"
VALID = timedelta(hours=72)
TRIES_A_MINUTE = 20


@dataclass(frozen=True, slots=True)
class Link:
    """A new link of an account; `secret` is available now and never again."""

    account: Account
    secret: str
    expires_at: datetime

    def address(self, base_url: str) -> str:
        """The address to pass on. The secret is in the query, which no log of ours keeps."""
        return f"{base_url}{PATH}?link={self.secret}"


def invite(session: Session, actor: Actor, *, email: str, name: str, role: Role) -> Link:
    """Creates an account without a password, and the link with which its owner chooses one.

    Raises NoLongerAllowed, and Invalid naming each wrong member, including an address that already has an account or an
    invitation.
    """
    standing.must_still(session, actor, Permission.MANAGE_STAFF)
    row = accounts.add(session, email=email, name=name, role=role, password_hash=None)
    changes = {"role": [None, role.value], "name": [None, row.name]}
    history.record(session, actor, "staff.invited", subject=row.email, changes=changes)
    return _put(session, actor, row)


def make(session: Session, actor: Actor, email: str, *, seen: int | None = None, demo: bool = False) -> Link:
    """A new link for the account, replacing any earlier one. Its current way to sign in works until the link is used.

    Raises NotFound, NoLongerAllowed, StaleAccount (`seen` as in accounts.change_role), or Refused: one's own account,
    or one that may not sign in.
    """
    row = accounts.locked(session, email, actor)
    if actor.key == actor_key(row.email):
        raise Refused("Change your own password on your account page, with your current one.")
    accounts.must_be(session, row, seen)
    if row.disabled_at is not None:
        raise Refused(f"The account {row.email} is disabled. Enable it first.")
    if not may_sign_in(row.email, demo=demo):
        raise Refused(f"{row.email} is a demo account, which can only sign in to a demo.")
    row.row_version += 1
    session.flush()
    is_invited = accounts.is_invited(row)
    history.record(session, actor, "staff.invitation_renewed" if is_invited else "staff.link_made", subject=row.email)
    return _put(session, actor, row)


def withdraw(session: Session, actor: Actor, email: str) -> None:
    """Takes back an invitation together with its account, which has never done anything.

    Raises NotFound, NoLongerAllowed, or Refused: too late.
    """
    row = accounts.locked(session, email, actor)
    if not accounts.is_invited(row):
        raise Refused(f"{row.name} has accepted the invitation in the meantime. Disable the account instead.")
    session.delete(row)
    session.flush()
    history.record(session, actor, "staff.invitation_withdrawn", subject=row.email)


def admit(session: Session, address: str) -> None:
    """Counts that a link is opened or submitted from the address. Raises Throttled after TRIES_A_MINUTE of them."""
    admit_from(session, address, "link", TRIES_A_MINUTE)


def opened(session: Session, secret: str, *, demo: bool = False) -> Account | None:
    """The account whose password the link sets; None alike if it is unknown, used, replaced or expired."""
    row = _row_of(session, secret)
    return account_from(row) if row and may_sign_in(row.email, demo=demo) else None


def use(session: Session, secret: str, password: str, *, address: str = "", demo: bool = False) -> Account | None:
    """Sets the password of the link's account and signs it out everywhere; None as in `opened`. Works once.

    Both are recorded in the audit log. Raises Invalid if the password is unacceptable; the link then stays valid.
    """
    account = opened(session, secret, demo=demo)
    if account is None or not _take(session, secret, account, password):
        changes = {"address": [None, address]}
        history.record(session, Actor("system:sign-in"), "staff.link_refused", changes=changes)
        return None
    history.record(
        session,
        Actor(actor_key(account.email)),
        "staff.joined" if account.is_invited else "staff.password_by_link",
        subject=account.email,
        changes={"address": [None, address]},
    )
    return accounts.find(session, account.email)


def _take(session: Session, secret: str, account: Account, password: str) -> bool:
    """Uses up the link; False if it was used or withdrawn while the hash was computed."""
    # the account's present password is accepted: a refusal would reveal it to the link's holder
    password_hash = passwords.hashed(password, account.email, account.name)
    try:
        row = accounts.locked(session, account.email)
    except NotFound:
        return False
    if _row_of(session, secret) is None:
        return False
    if accounts.is_invited(row):
        row.row_version += 1
    accounts.put_password(session, Actor(actor_key(account.email)), row, password_hash)
    accounts.end_sessions(session, row)
    return True


def _put(session: Session, actor: Actor, row: StaffAccount) -> Link:
    secret = secrets.token_urlsafe(32)
    said = {
        "secret_hash": digest(secret),
        "created_at": func.now(),
        "created_by": actor.key,
        "expires_at": func.now() + VALID,
    }
    statement = insert(StaffLink).values(account_id=row.id, **said)
    replacing = statement.on_conflict_do_update(index_elements=[StaffLink.account_id], set_=said)
    expires_at = session.scalars(replacing.returning(StaffLink.expires_at)).one()
    return Link(account_from(row), secret, expires_at)


def _row_of(session: Session, secret: str) -> StaffAccount | None:
    statement = (
        select(StaffAccount)
        .join(StaffLink, StaffLink.account_id == StaffAccount.id)
        .where(
            StaffLink.secret_hash == digest(secret),
            StaffLink.expires_at > func.now(),
            StaffAccount.disabled_at.is_(None),
        )
    )
    return session.scalar(statement)
