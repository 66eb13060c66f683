"""Who does something: the one name under which events, releases and the audit log keep it, and whether a token holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["web", "api", "bulk", "import", "cli"]


@dataclass(frozen=True, slots=True)
class Actor:
    """`key` is `staff:<email>`, `token:<name>`, `user:<user_id>` or `system:<what>`; `source` is the door."""

    key: str
    source: Source = "web"


PEOPLE = "people"
BY = f"regexp_replace(actor, '^user:.*', '{PEOPLE}')"
"""Who did something, in SQL: an actor's key, or PEOPLE for each of those who go through the checklist. It has an index."""


def called(name: str, email: str, user_id: str) -> str:
    """What to call a person: the name, else the email, else the id."""
    return name or email or user_id


TOKEN_HOLDS = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"  # noqa: S105 - a condition
"""The condition under which an API token is good for anything. A statement that has it in itself needs no look-up before."""

IF_TOKEN_HOLDS = f"(:token_id IS NULL OR EXISTS (SELECT FROM api_tokens WHERE id = :token_id AND {TOKEN_HOLDS}))"
"""True, too, where it is nobody's token that asks."""
