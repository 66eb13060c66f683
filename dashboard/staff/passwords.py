"""Passwords: which are acceptable, and what is stored of them.

Besides its length, a whole password is compared with common ones and with its owner's names, as NIST SP 800-63B-4,
3.1.1.2, requires; there is no rule about its letters, digits and symbols.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dashboard.onboarding.errors import Invalid

MIN_PASSWORD, MAX_PASSWORD = 10, 200

# RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes
HASHER = PasswordHasher()

CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_COMMON = Path(__file__).with_name("common_passwords.txt")
SAME = "This is your current password. Choose a different one."


def problem(password: str, *owner: str, before: str = "") -> str | None:
    """Why this cannot be a password; None if it can.

    `owner`: its owner's email and name, if known; `before`: the password it replaces.
    """
    if len(password) < MIN_PASSWORD:
        return f"Use at least {MIN_PASSWORD} characters."
    if len(password) > MAX_PASSWORD:
        return f"Use at most {MAX_PASSWORD} characters."
    if CONTROL.search(password):
        return "Remove control characters."
    if password == before:
        return SAME
    if password.casefold() in _common():
        return "This password is too common, so it is easy to guess. Choose another one."
    if _bare(password) in {_bare(part) for text in owner for part in (text, text.partition("@")[0])}:
        return "This is the account's email or name. Choose something that others cannot guess."
    return None


@cache
def _common() -> frozenset[str]:
    lines = _COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _bare(text: str) -> str:
    """Its letters and digits in lower case, without digits at either end: Maya.Lindqvist-1999 is a name with a year."""
    letters = "".join(filter(str.isalnum, text.casefold()))
    return letters.strip("0123456789") or letters or text


def hashed(password: str, *owner: str, before: str = "") -> str:
    """The hash to store. Deliberately slow: call it before locking anything. Raises Invalid; see `problem`."""
    if reason := problem(password, *owner, before=before):
        raise Invalid({"password": reason})
    return HASHER.hash(password)


@cache
def dummy_hash() -> str:
    """The hash that an unknown account is verified against, to take as long as a known one; no password matches it.

    Computed at the first call: a door calls it at start-up, so that the first unknown account is not slower.
    """
    return HASHER.hash("\0")


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password matches the hash. None, for an unknown account, takes as long and never matches."""
    try:
        return HASHER.verify(password_hash or dummy_hash(), _encoded(password)) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def rehashed(password_hash: str, password: str) -> str:
    """The hash to store from now on: a new one if it was made with other parameters than today's."""
    return HASHER.hash(_encoded(password)) if HASHER.check_needs_rehash(password_hash) else password_hash


def _encoded(password: str) -> bytes:
    # a lone surrogate must be a wrong password, not a traceback
    return password.encode("utf-8", "surrogatepass")
