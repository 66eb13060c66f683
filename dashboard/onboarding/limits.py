"""Limits of what comes in through any door: how long texts and how large numbers may be, and what PostgreSQL can store."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from dashboard.onboarding.errors import NotFound

MAX_INTEGER = 2**31 - 1
MAX_KEY = 200
"""Characters of whatever something is found by."""
MAX_COMMENT = 2_000
"""Characters of the comment on a save, and of the reason of a release."""

# PostgreSQL keeps no NUL, and UTF-8 has no lone surrogate.
NOT_KEPT = re.compile(r"[\0\ud800-\udfff]")


def text_problem(value: object, most: int) -> str | None:
    """Why `value` can't be kept as text of at most `most` characters; None when it can."""
    if not isinstance(value, str):
        return "must be text"
    if len(value) > most:
        return f"must be at most {most:,} characters, not {len(value):,}"
    if NOT_KEPT.search(value):
        return "has a character that cannot be stored"
    return None


def is_whole(value: object, least: int, most: int) -> bool:
    """Whether it is a whole number from `least` to `most`; True and False do not count as such."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def moment_from(value: Any) -> datetime | None:
    """The moment, in UTC, that an ISO 8601 text with a time zone names; None: it names none, or one that UTC cannot."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def check_key(what: str, key: str) -> None:
    """Raises NotFound for a key that PostgreSQL could not even be asked for."""
    if text_problem(key, MAX_KEY):
        raise NotFound(what, key)
