"""Cheap password hashes for this folder's tests; what is left of argon2 is the same code."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from dashboard.staff import accounts


@pytest.fixture(autouse=True)
def fast_hashes(monkeypatch: pytest.MonkeyPatch) -> PasswordHasher:
    """Today's parameters, as far as a test is concerned."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "HASHER", hasher)
    dummy = hasher.hash("\0")
    monkeypatch.setattr(accounts, "dummy_hash", lambda: dummy)
    return hasher
