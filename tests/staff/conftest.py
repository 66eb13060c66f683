"""MAYA, who signs in, and a wait that does not end."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.staff import sign_in
from dashboard.staff.permissions import Role
from tests.staff.signed_in import make_account
from tests.staff.signing_in import MAYA


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
