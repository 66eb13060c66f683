"""Staff accounts. Each function that changes one writes the audit entry itself.

Changes that administrators make increase an account's `row_version` by one and write one entry of CHANGES each. So a
form sends the row_version it was opened at, and the second of two administrators is shown what the first one did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dashboard.models import ApiToken, AuditEntry, StaffAccount, StaffLink, StaffSession
from dashboard.onboarding import history
from dashboard.onboarding.actor import TOKEN_HOLDS, Actor
from dashboard.onboarding.errors import Invalid, NotFound, Refused
from dashboard.onboarding.visible import is_seen, is_steady
from dashboard.staff import demo_accounts, names, passwords, standing
from dashboard.staff.passwords import CONTROL
from dashboard.staff.permissions import PERMISSIONS, Permission, Role

MAX_EMAIL, MAX_NAME = 254, 200

CHANGES = (
    *("staff.role_changed", "staff.disabled", "staff.enabled"),
    *("staff.link_made", "staff.invitation_renewed", "staff.joined", "staff.connected", "staff.disconnected"),
)
"""The changes that increase an account's row_version."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who can sign in, as pages and commands show them.

    `is_invited`: not until they have chosen a password. `issuer`: the provider they sign in with; empty: none.
    """

    id: int
    email: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in_at: datetime | None
    is_invited: bool
    issuer: str
    row_version: int

    @property
    def state(self) -> str:
        """`active`, `invited` or `disabled`."""
        if self.disabled_at is not None:
            return "disabled"
        return "invited" if self.is_invited else "active"

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions of the account's role."""
        return PERMISSIONS[self.role]


@dataclass(frozen=True, slots=True)
class AccountChange:
    """One of the CHANGES of an account. `role` is `(before, after)`, for changes of role only."""

    at: datetime
    by: str
    action: str
    role: tuple[Role, Role] | None


class StaleAccount(Refused):
    """The account changed since the form was opened; `changes` are what others did to it, oldest first."""

    def __init__(self, account: Account, changes: Sequence[AccountChange]) -> None:
        self.account = account
        self.changes = tuple(changes)
        super().__init__(f"{account.name}'s account changed while you had it open. Nothing was saved.")


class Taken(Invalid):
    """The address belongs to another account."""


def actor_key(email: str) -> str:
    """The actor key recorded for what this account does."""
    return f"staff:{email}"


def normalise_email(email: str) -> str:
    """The spelling in which an address is stored and looked up."""
    return email.strip().lower()


def create(
    session: Session,
    actor: Actor,
    *,
    email: str,
    name: str,
    role: Role,
    password: str,
    password_hash: str | None = None,
) -> Account:
    """Creates an account. Raises Invalid naming each wrong member, a taken address included.

    `password_hash`: that of the password, where it is known, as hashing takes long.
    """
    owner = normalise_email(email), name.strip()
    problems = {"email": email_problem(owner[0]), "name": name_problem(owner[1])}
    check(problems | {"password": passwords.problem(password, *owner)})
    password_hash = password_hash or passwords.hashed(password, *owner)
    row = add(session, email=email, name=name, role=role, password_hash=password_hash)
    changes = {"role": [None, role.value], "name": [None, row.name]}
    history.record(session, actor, "staff.created", subject=row.email, changes=changes)
    return account_from(row)


def add(session: Session, *, email: str, name: str, role: Role, password_hash: str | None) -> StaffAccount:
    """The row of a new account. Raises Invalid like `create`; writes no audit entry."""
    email, name = normalise_email(email), name.strip()
    check({"email": email_problem(email), "name": name_problem(name)})
    row = StaffAccount(email=email, name=name, role=role.value, password_hash=password_hash)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Taken({"email": f"An account for {email} already exists."}) from error
    return row


def find(session: Session, email: str) -> Account | None:
    """The account with this address, in any spelling; None if there is none."""
    row = _row_of(session, email)
    return account_from(row) if row else None


def _row_of(session: Session, email: str) -> StaffAccount | None:
    email = normalise_email(email)
    if CONTROL.search(email):
        return None
    return session.scalar(select(StaffAccount).where(StaffAccount.email == email))


def rename(session: Session, actor: Actor, email: str, name: str) -> Account:
    """Renames the account's owner; their past actions are shown under the new name. Raises NotFound or Invalid."""
    row, name = locked(session, email), name.strip()
    check({"name": name_problem(name)})
    before = row.name
    if before != name:
        row.name = name
        session.flush()
        history.record(session, actor, "staff.renamed", subject=row.email, changes={"name": [before, name]})
    return account_from(row)


def change_role(
    session: Session,
    actor: Actor,
    email: str,
    role: Role,
    seen: int | None = None,
    *,
    keep_tokens: bool = False,
    demo: bool = False,
) -> tuple[Account, list[str]]:
    """Changes the account's role, effective at once even where it is signed in: its sessions get new secrets.

    If it may no longer manage staff, the one-time links that it made stop working. Also returns the names of the API
    tokens it made, revoked if it may no longer manage them; `keep_tokens` keeps those working: whoever made a token
    knows it. `seen` is the row_version at which the form was opened; `demo`: this is a demo, so demo accounts count.
    Raises NotFound, NoLongerAllowed, StaleAccount, or Refused: one's own account, one whose role follows its groups, or
    the last admin.
    """
    row = locked(session, email, actor)
    _not_ones_own(actor, row)
    if row.oidc_subject is not None:
        raise Refused(f"{row.name}'s role is set from their groups at the sign-in provider. Change their groups there.")
    if row.role != role.value:
        must_be(session, row, seen)
    revoked = put_role(session, actor, row, role, keep_tokens=keep_tokens, demo=demo)
    return account_from(row), revoked


def put_role(
    session: Session, actor: Actor, row: StaffAccount, role: Role, *, keep_tokens: bool = False, demo: bool = False
) -> list[str]:
    """Gives a locked account the role, if it differs; returns the names of the tokens it revokes, as in `change_role`.

    Raises Refused: the last admin.
    """
    before = Role(row.role)
    if before is role:
        return []
    if before is Role.ADMIN:
        _keep_an_admin(session, row, demo=demo)
    row.role = role.value
    row.row_version += 1
    session.flush()
    _renew_sessions(session, row)
    history.record(
        session, actor, "staff.role_changed", subject=row.email, changes={"role": [before.value, role.value]}
    )
    lost = PERMISSIONS[before] - PERMISSIONS[role]
    if Permission.MANAGE_STAFF in lost:
        remove_links_made_by(session, row)
    return revoke_tokens(session, actor, row) if Permission.MANAGE_TOKENS in lost and not keep_tokens else []


def set_password(session: Session, actor: Actor, email: str, password: str) -> Account:
    """Replaces the password and ends all sessions of the account. Raises NotFound or Invalid."""
    row = _row_of(session, email)
    if row is None:
        raise NotFound("staff account", email)
    new = passwords.hashed(password, row.email, row.name)
    if passwords.matches(row.password_hash, password):
        raise Invalid({"password": passwords.SAME})
    row = locked(session, email)
    put_password(session, actor, row, new)
    end_sessions(session, row)
    history.record(session, actor, "staff.password_reset", subject=row.email)
    return account_from(row)


def disable(
    session: Session,
    actor: Actor,
    email: str,
    *,
    keep_tokens: bool = False,
    seen: int | None = None,
    demo: bool = False,
) -> list[str]:
    """Ends the account's sessions and blocks its sign-in; returns the names of the API tokens it made, revoked with it.

    The one-time links that it made stop working as well. `keep_tokens`, `seen` and `demo` as in `change_role`. Raises
    the same.
    """
    row = locked(session, email, actor)
    _not_ones_own(actor, row)
    if row.disabled_at is not None:
        return []
    must_be(session, row, seen)
    if row.role == Role.ADMIN.value:
        _keep_an_admin(session, row, demo=demo)
    row.disabled_at = session.scalar(select(func.now()))
    row.row_version += 1
    session.flush()
    end_sessions(session, row)
    _remove_link(session, row)
    remove_links_made_by(session, row)
    history.record(session, actor, "staff.disabled", subject=row.email)
    return [] if keep_tokens else revoke_tokens(session, actor, row)


def enable(session: Session, actor: Actor, email: str, seen: int | None = None) -> Account:
    """Lets a disabled account sign in again; its tokens stay revoked. Raises NotFound, NoLongerAllowed or StaleAccount."""
    row = locked(session, email, actor)
    if row.disabled_at is not None:
        must_be(session, row, seen)
        row.disabled_at = None
        row.row_version += 1
        session.flush()
        history.record(session, actor, "staff.enabled", subject=row.email)
    return account_from(row)


def must_be(session: Session, row: StaffAccount, seen: int | None) -> None:
    """Raises StaleAccount if the account is no longer at the row_version `seen`; None: any will do."""
    if seen is not None and seen != row.row_version:
        raise StaleAccount(account_from(row), _changes_since(session, row, seen))


def _changes_since(session: Session, row: StaffAccount, seen: int) -> list[AccountChange]:
    newest = (
        select(AuditEntry)
        .where(AuditEntry.action.in_(CHANGES), AuditEntry.subject == row.email)
        .order_by(AuditEntry.id.desc())
        .limit(max(0, row.row_version - seen))
    )
    return [_change_from(entry) for entry in reversed(session.scalars(newest).all())]


def _change_from(entry: AuditEntry) -> AccountChange:
    before, after = entry.changes.get("role", (None, None))
    role = (Role(before), Role(after)) if before and after else None
    return AccountChange(entry.at, entry.actor, entry.action, role)


def put_password(session: Session, actor: Actor, row: StaffAccount, password_hash: str) -> None:
    """Replaces the account's password, and invalidates any link with which it could have set one.

    An account that signed in with the provider no longer does: nobody has two ways in.
    """
    issuer, row.oidc_issuer, row.oidc_subject = row.oidc_issuer, None, None
    row.password_hash = password_hash
    if issuer:
        row.row_version += 1
        history.record(session, actor, "staff.disconnected", subject=row.email, changes={"provider": [issuer, None]})
    session.flush()
    _remove_link(session, row)


def connect(session: Session, actor: Actor, row: StaffAccount, issuer: str, subject: str) -> None:
    """Makes the account sign in with the provider instead of its password; signs it out everywhere."""
    _put_identity(session, row, issuer, subject)
    end_sessions(session, row)
    history.record(session, actor, "staff.connected", subject=row.email, changes={"provider": [None, issuer]})


def join(session: Session, actor: Actor, row: StaffAccount, issuer: str, subject: str) -> None:
    """Accepts an invitation by signing in with the provider instead of choosing a password."""
    _put_identity(session, row, issuer, subject)
    history.record(session, actor, "staff.joined", subject=row.email, changes={"provider": [None, issuer]})


def _put_identity(session: Session, row: StaffAccount, issuer: str, subject: str) -> None:
    row.password_hash, row.oidc_issuer, row.oidc_subject = None, issuer, subject
    row.row_version += 1
    session.flush()
    _remove_link(session, row)


def email_problem(email: str) -> str | None:
    """Why this cannot be an account's address; None if it can."""
    is_one = len(email) <= MAX_EMAIL and _EMAIL.fullmatch(email) and is_steady(email)
    if is_one and all(map(is_seen, email.split("@"))):
        return None
    return "Enter an email address such as name@example.com."


def name_problem(name: str) -> str | None:
    """Why this cannot be a person's name; None if it can."""
    return names.problem(name, MAX_NAME)


def check(problems: Mapping[str, str | None]) -> None:
    """Raises Invalid with the actual problems, if there are any."""
    found = {member: problem for member, problem in problems.items() if problem}
    if found:
        raise Invalid(found)


def locked(session: Session, email: str, by: Actor | None = None) -> StaffAccount:
    """The row, locked together with all active admins in a fixed order, so that two cannot remove each other at once.

    Raises NotFound, and NoLongerAllowed if the acting account, `by`, may no longer manage staff.
    """
    email, acting = normalise_email(email), standing.email_of(by) if by else ""
    if CONTROL.search(email):
        raise NotFound("staff account", email)
    statement = (
        select(StaffAccount)
        .where(StaffAccount.email.in_((email, acting)) | _ACTIVE_ADMIN)
        .order_by(StaffAccount.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = {row.email: row for row in session.scalars(statement)}
    if acting:
        standing.check(found.get(acting), Permission.MANAGE_STAFF)
    if email not in found:
        raise NotFound("staff account", email)
    return found[email]


def is_invited(row: StaffAccount) -> bool:
    """Whether its owner has not come yet: it has neither a password nor an identity at the provider."""
    return row.password_hash is None and row.oidc_subject is None


# an invited account that nobody has used yet cannot let anybody in
_ACTIVE_ADMIN = (
    (StaffAccount.role == Role.ADMIN.value)
    & StaffAccount.disabled_at.is_(None)
    & (StaffAccount.password_hash.is_not(None) | StaffAccount.oidc_subject.is_not(None))
)


def _not_ones_own(actor: Actor, row: StaffAccount) -> None:
    # by a slip, people would lock themselves out of the page on which to undo it
    if actor.key == actor_key(row.email):
        raise Refused("You cannot change your own role or disable your own account. Ask another administrator.")


def _keep_an_admin(session: Session, leaving: StaffAccount, *, demo: bool) -> None:
    if (
        leaving.disabled_at is not None
        or is_invited(leaving)
        or not demo_accounts.may_sign_in(leaving.email, demo=demo)
    ):
        return
    if not has_other_admin(session, leaving.id, demo=demo):
        raise Refused(f"{leaving.email} is the last administrator. Make someone else an administrator first.")


def has_other_admin(session: Session, account_id: int, *, demo: bool) -> bool:
    """Whether another administrator can sign in; `demo`: this is a demo, so its accounts can."""
    nobody = frozenset() if demo else demo_accounts.EMAILS
    others = select(StaffAccount.id).where(
        _ACTIVE_ADMIN, StaffAccount.id != account_id, StaffAccount.email.not_in(nobody)
    )
    return session.scalar(others.limit(1)) is not None


def end_sessions(session: Session, row: StaffAccount) -> None:
    """Signs the account out everywhere."""
    session.execute(
        update(StaffSession)
        .where(StaffSession.account_id == row.id, StaffSession.expires_at > func.now())
        .values(expires_at=func.now())
    )


def _renew_sessions(session: Session, row: StaffAccount) -> None:
    session.execute(update(StaffSession).where(StaffSession.account_id == row.id).values(renewal_due=True))


def _remove_link(session: Session, row: StaffAccount) -> None:
    session.execute(delete(StaffLink).where(StaffLink.account_id == row.id))


def remove_links_made_by(session: Session, row: StaffAccount) -> None:
    """Deletes the one-time links that the account made: its owner knows them, and could take other accounts over."""
    session.execute(delete(StaffLink).where(StaffLink.created_by == actor_key(row.email)))


def revoke_tokens(session: Session, actor: Actor, row: StaffAccount) -> list[str]:
    """Revokes the working API tokens that the account made, and returns their names."""
    statement = (
        update(ApiToken)
        .where(ApiToken.created_by == actor_key(row.email), text(TOKEN_HOLDS))
        .values(revoked_at=func.now())
        .returning(ApiToken.name)
    )
    names = sorted(session.scalars(statement))
    for name in names:
        history.record(session, actor, "token.revoked", subject=name)
    return names


def account_from(row: StaffAccount) -> Account:
    """The part of a row that pages and commands may see."""
    return Account(
        row.id,
        row.email,
        row.name,
        Role(row.role),
        row.created_at,
        row.disabled_at,
        row.last_sign_in_at,
        is_invited(row),
        row.oidc_issuer or "",
        row.row_version,
    )
