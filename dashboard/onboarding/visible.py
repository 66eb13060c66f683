"""What can be seen of a text of one line: its own letters, and nothing that turns the text around it round."""

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


def line_problem(text: str) -> str | None:
    """Why the text cannot stand in a line of others, as the rest of a sentence about it; None if it can."""
    if not is_steady(text):
        return "must be one line, without control characters or marks that change the text direction"
    return None if is_seen(text) else "must have visible characters"
