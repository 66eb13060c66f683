"""Cheap password hashes for this folder's tests, what is left of argon2 is the same code; and MAYA, who signs in."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.staff import passwords, sign_in
from dashboard.staff.permissions import Role
from tests.staff.signed_in import make_account
from tests.staff.signing_in import MAYA


@pytest.fixture(autouse=True)
def fast_hashes(monkeypatch: pytest.MonkeyPatch) -> PasswordHasher:
    """Today's parameters, as far as a test is concerned."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", hasher)
    dummy = hasher.hash("\0")
    monkeypatch.setattr(passwords, "dummy_hash", lambda: dummy)
    return hasher


@pytest.fixture
def maya(session: Session) -> StaffAccount:
    """An onboarding manager with the password PASSWORD; committed."""
    account = make_account(session, Role.MANAGER, MAYA)
    session.commit()
    return account


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> int:
    """The seconds of the first wait: as long as the longest, so that none ends while a slow machine is at it."""
    monkeypatch.setattr(sign_in, "FIRST_DELAY", sign_in.LONGEST_DELAY)
    return int(sign_in.LONGEST_DELAY.total_seconds())
