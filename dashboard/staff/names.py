"""Valid names of accounts and tokens: visible, and leaving the text around them intact."""

from __future__ import annotations

from dashboard.onboarding.visible import is_seen, is_steady


def problem(name: str, most: int) -> str | None:
    """Why nothing can have this name; None if it is valid."""
    if not 1 <= len(name) <= most:
        return f"Enter a name of 1 to {most} characters."
    if not is_steady(name):
        return "Remove control characters and marks that change the text direction."
    return None if is_seen(name) else "Enter a name with visible characters."


def steadied(name: str, most: int) -> str:
    """The name without invalid characters, cut to `most` characters; empty if nothing visible is left."""
    kept = "".join(filter(is_steady, name)).strip()[:most].strip()
    return kept if is_seen(kept) else ""
