"""The accounts of a demo: one per role, with passwords that the sign-in page shows. They work in demo mode only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.staff import passwords
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
    """Whether the sign-in page of a demo shows this account's password."""
    return email in EMAILS


def may_sign_in(email: str, *, demo: bool) -> bool:
    """False for a demo account outside demo mode, where a database may still hold one."""
    return demo or not is_demo_account(email)


def as_shown(session: Session) -> list[DemoAccount]:
    """The accounts that still have the password that the sign-in page shows."""
    a = StaffAccount
    query = select(a.email, a.password_hash).where(a.email.in_(EMAILS), a.disabled_at.is_(None))
    hashes = {row.email: row.password_hash for row in session.execute(query)}
    return [one for one in DEMO_ACCOUNTS if (kept := hashes.get(one.email)) and _is_kept(kept, one.password)]


@lru_cache(maxsize=64)
def _is_kept(password_hash: str, password: str) -> bool:
    # deliberately slow, and always the same for a given hash
    return passwords.matches(password_hash, password)
