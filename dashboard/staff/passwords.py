"""Passwords: what can be one, and what is kept of it."""

from __future__ import annotations

import re
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dashboard.onboarding.errors import Invalid

MIN_PASSWORD, MAX_PASSWORD = 10, 200

# RFC 9106, second choice: 64 MiB, 3 passes, 4 lanes
HASHER = PasswordHasher()

CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def problem(password: str) -> str | None:
    """Why this cannot be a password; None when it can."""
    if len(password) < MIN_PASSWORD:
        return f"Use at least {MIN_PASSWORD} characters."
    if len(password) > MAX_PASSWORD:
        return f"Use at most {MAX_PASSWORD} characters."
    return "Remove control characters." if CONTROL.search(password) else None


def hashed(password: str) -> str:
    """What is stored of a password. Slow on purpose: call it before anything is locked. Raises Invalid."""
    if reason := problem(password):
        raise Invalid({"password": reason})
    return HASHER.hash(password)


@cache
def dummy_hash() -> str:
    """What an unknown account is verified against, to take the time of a known one; no password matches it.

    Made at the first call: a door calls it when it opens, so that the first unknown account is not the slow one.
    """
    return HASHER.hash("\0")


def matches(password_hash: str | None, password: str) -> bool:
    """True when the password is the hash's. None, for an unknown account, takes as long and is never true."""
    try:
        return HASHER.verify(password_hash or dummy_hash(), _encoded(password)) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def rehashed(password_hash: str, password: str) -> str:
    """The hash to store from now on: a new one when it was made under other parameters than today's."""
    return HASHER.hash(_encoded(password)) if HASHER.check_needs_rehash(password_hash) else password_hash


def _encoded(password: str) -> bytes:
    # a lone surrogate must be a wrong password, not a traceback
    return password.encode("utf-8", "surrogatepass")
