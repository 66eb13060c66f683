"""Who does something: the one name under which events, releases and the audit log keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["web", "api", "bulk", "import", "cli"]


@dataclass(frozen=True, slots=True)
class Actor:
    """`key` is `staff:<email>`, `token:<name>`, `user:<user_id>` or `system:<what>`; `source` is the door."""

    key: str
    source: Source = "web"
