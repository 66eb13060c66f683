"""What accounts and tokens can be called: a name can be seen, and leaves the text around it as it is."""

from __future__ import annotations

from dashboard.onboarding.visible import is_seen, is_steady


def problem(name: str, most: int) -> str | None:
    """Why nothing can have this name; None when it can."""
    if not 1 <= len(name) <= most:
        return f"Enter a name of 1 to {most} characters."
    if not is_steady(name):
        return "Remove control characters and marks that change the text direction."
    return None if is_seen(name) else "Enter a name with visible characters."


def steadied(name: str, most: int) -> str:
    """The name without what it may not have in it, cut to `most` characters; empty when nothing of it can be seen."""
    kept = "".join(filter(is_steady, name)).strip()[:most].strip()
    return kept if is_seen(kept) else ""
