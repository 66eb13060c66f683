"""Everybody's figures as pages show them: counted for each page, or cached for some seconds where there is much to count.

Counting a million people takes some tenths of a second, and a server whose first page a few people keep open would do
nothing else. So the figures are shown again for a while; but a release, which changes what everybody counts as, shows at
once, and nobody who was erased is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dashboard.onboarding import everybody, impact
from dashboard.onboarding import traffic as saves
from dashboard.onboarding.everybody import Overview
from dashboard.onboarding.traffic import Period, Traffic

MANY = 25_000
"""From so many people on, they are not counted for each page."""

BUSY = 5_000
"""From so many saves on, they are not either."""

TIMES = 20
"""Figures that took a second to count are shown for so many seconds: counting takes a twentieth of the time at most."""

PATIENCE_S = 15.0
"""While one request counts, the others get the cached figures; after so long another one tries."""

T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    """Figures that are shown again until that second of the monotonic clock."""

    figures: Any
    until: float


_kept: WeakKeyDictionary[Engine, dict[str, _Kept]] = WeakKeyDictionary()


def overview(session: Session) -> Overview:
    """How everybody stands, now or a few seconds ago: `counted_at` says when."""
    return _lately(
        session,
        "overview",
        everybody.overview,
        is_much=lambda seen: seen.everybody >= MANY,
        holds=lambda seen: seen.rules == impact.rules(session) and everybody.names_only_those_there(session, seen),
    )


def traffic(session: Session, period: Period) -> Traffic:
    """The saves of the period, counted now, or a few seconds ago where they are many."""
    return _lately(
        session,
        f"traffic {period}",
        lambda session: saves.traffic(session, period),
        is_much=lambda seen: seen.tried >= BUSY,
        holds=lambda _: True,
    )


def _lately(
    session: Session,
    what: str,
    count: Callable[[Session], T],
    *,
    is_much: Callable[[T], bool],
    holds: Callable[[T], bool],
) -> T:
    here = _kept.setdefault(session.get_bind().engine, {})
    kept = here.get(what)
    started = time.monotonic()
    if kept is not None and holds(kept.figures):
        figures: T = kept.figures
        if kept.until > started:
            return figures
        kept.until = started + PATIENCE_S
    counted = count(session)
    ended = time.monotonic()
    if is_much(counted):
        here[what] = _Kept(counted, ended + TIMES * (ended - started))
    else:
        here.pop(what, None)
    return counted
