"""Valid names of accounts and tokens: visible, and leaving the text around them intact."""

from __future__ import annotations

from dashboard.onboarding.visible import is_seen, is_steady, line_problem


def problem(name: str, most: int) -> str | None:
    """Why nothing can have this name; None if it is valid."""
    if not 1 <= len(name) <= most:
        return f"Enter a name of 1 to {most} characters."
    reason = line_problem(name)
    return f"The name {reason}." if reason else None


def steadied(name: str, most: int) -> str:
    """The name without invalid characters, cut to `most` characters; empty if nothing visible is left."""
    kept = "".join(filter(is_steady, name)).strip()[:most].strip()
    return kept if is_seen(kept) else ""
