"""The accounts of a demo: one a role, with passwords that the sign-in page shows. They sign in in demo mode only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from dashboard.onboarding.actor import Actor
from dashboard.staff.permissions import Role


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """An account whose password is no secret."""

    email: str
    name: str
    role: Role
    password: str


DEMO_ACCOUNTS = (
    DemoAccount("maya@demo.example", "Maya Lindqvist", Role.MANAGER, "demo-manager"),
    DemoAccount("tomas@demo.example", "Tomás Okafor", Role.SUPPORT, "demo-support"),
    DemoAccount("ines@demo.example", "Inés Varga", Role.VIEWER, "demo-viewer"),
    DemoAccount("ada@demo.example", "Ada Whitfield", Role.ADMIN, "demo-administrator"),
)

EMAILS = frozenset(account.email for account in DEMO_ACCOUNTS)


def is_demo_account(email: str) -> bool:
    """True for those whose password the sign-in page of a demo shows."""
    return email in EMAILS


def may_sign_in(email: str, *, demo: bool) -> bool:
    """False for a demo account outside demo mode, where a database may still hold one."""
    return demo or not is_demo_account(email)


def create_missing(session: Session) -> None:
    """Makes those of the demo accounts that are not there yet."""
    # accounts have to know which of them may sign in
    from dashboard.staff import accounts

    actor = Actor("system:demo", "cli")
    for demo in DEMO_ACCOUNTS:
        if accounts.find(session, demo.email) is None:
            accounts.create(session, actor, email=demo.email, name=demo.name, role=demo.role, password=demo.password)
