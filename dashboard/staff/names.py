"""What accounts and tokens can be called: a name can be seen, and leaves the text around it as it is."""

from __future__ import annotations

import unicodedata

TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn round what is read after them. Other invisible ones hold letters and emoji together, and may be there."""

BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})
UNSEEN = BREAKING | {"Cf", "Zs", "Mn", "Me"}
# letters and signs that are drawn as nothing
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def is_steady(text: str) -> bool:
    """Whether the text has no control characters and turns nothing round."""
    return not any(char in TURNING or unicodedata.category(char) in BREAKING for char in text)


def is_seen(text: str) -> bool:
    """Whether anything of the text can be seen."""
    return any(char not in BLANK and unicodedata.category(char) not in UNSEEN for char in text)


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
