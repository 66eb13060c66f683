"""Whether the actor is still allowed to act, checked again in the transaction of the change.

A request is let in before that transaction begins, and the role may change while it waits there. Saves under way are
finished all the same; whatever gives power to somebody, or runs for minutes, checks here.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.onboarding import history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import OnboardingError
from dashboard.staff import rate_limits
from dashboard.staff.permissions import PERMISSIONS, Permission, Role
from dashboard.staff.rate_limits import WINDOW_S

STAFF = "staff:"
NOTED_A_MINUTE = 30
"""The refusals recorded per account; a program that keeps asking cannot fill the log."""


class NoLongerAllowed(OnboardingError):
    """The account lost the permission after its request was let in; `role` is its current one, None: it is disabled."""

    def __init__(self, permission: Permission, role: Role | None) -> None:
        self.permission, self.role = permission, role
        super().__init__(f"This account may no longer {permission.does}.")


def email_of(actor: Actor) -> str:
    """The acting account's address; empty for a program."""
    return actor.key.removeprefix(STAFF) if actor.key.startswith(STAFF) else ""


def must_still(session: Session, actor: Actor, permission: Permission) -> None:
    """Makes changes of the acting account wait until the transaction ends. Raises NoLongerAllowed."""
    mine = select(StaffAccount).where(StaffAccount.email == email_of(actor)).with_for_update(read=True)
    check(session.scalar(mine.execution_options(populate_existing=True)), permission)


def check(row: StaffAccount | None, permission: Permission) -> None:
    """Raises NoLongerAllowed if the locked account may not do this. None is a program."""
    if row is None:
        return
    role = None if row.disabled_at is not None else Role(row.role)
    if role is None or permission not in PERMISSIONS[role]:
        raise NoLongerAllowed(permission, role)


def note_refusal(session: Session, actor: Actor, permission: Permission, request: str) -> None:
    """Records that the account tried what its role does not include: `request` is a method and a route."""
    granted, _ = rate_limits.draw(session, f"refusals {actor.key}", WINDOW_S / NOTED_A_MINUTE, most=1)
    if granted:
        changes = {"request": [None, request]}
        history.record(session, actor, "access.refused", subject=permission.does, changes=changes)
