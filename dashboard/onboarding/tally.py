"""What a transaction did, in numbers: noted by the engine as it happens, told to whoever counts once it is committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def forgotten(session: Session) -> Iterator[None]:
    """What is noted inside is forgotten at the end, for it is taken back."""
    before = _so_far(session)
    try:
        yield
    finally:
        session.info[KEY] = before


@contextmanager
def forgotten_on(session: Session, kind: type[BaseException]) -> Iterator[None]:
    """The same, where it is taken back only when that is raised."""
    before = _so_far(session)
    try:
        yield
    except kind:
        session.info[KEY] = before
        raise


def _so_far(session: Session) -> Counter[tuple[Noted, str]]:
    return Counter(session.info.get(KEY, {}))
