"""What a transaction did, in numbers: noted by the engine as it happens, and counted once it is committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from sqlalchemy.orm import Session

from dashboard.onboarding.straight import Alone

Noted = Literal["save", "conflict", "release"]
Tally = Mapping[tuple[Noted, str], int]
"""How often what was done; a save and a conflict by its source, a release by its kind."""

KEY = "tally"


def note(asked: Session | Alone, what: Noted, which: str, count: int = 1) -> None:
    """Note that it was done `count` times in the transaction."""
    noted: Counter[tuple[Noted, str]] = asked.info.setdefault(KEY, Counter())
    noted[what, which] += count


def take(asked: Session | Alone) -> Tally:
    """What was noted so far, which is then forgotten."""
    noted: Tally = asked.info.pop(KEY, {})
    return noted


def so_far(asked: Session) -> Counter[tuple[Noted, str]]:
    """What was noted so far, to be put back when what follows is undone."""
    return Counter(asked.info.get(KEY, {}))


def put_back(asked: Session, noted: Counter[tuple[Noted, str]]) -> None:
    """Forget what was noted since `so_far`."""
    asked.info[KEY] = noted
