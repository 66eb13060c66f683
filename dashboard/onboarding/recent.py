"""Everybody's figures as pages show them: counted for each page, or lately where there are very many people.

To count a million people takes some tenths of a second, and a server whose first page a few people look at would do
nothing else. So what was counted is told again for a while; only a release, which changes what everybody counts as, is
told at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dashboard.onboarding import everybody, impact
from dashboard.onboarding.everybody import Overview

MANY = 25_000
"""So many people are not counted for each page."""

TIMES = 20
"""What took a second to count is told for so many: counting takes a twentieth of a process's time at most."""

PATIENCE_S = 15.0
"""While one counts, the others are told what there is; after so long another one tries."""


@dataclass(slots=True)
class _Kept:
    """An overview that is told again until that second of the monotonic clock."""

    overview: Overview
    until: float


_kept: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()


def overview(session: Session) -> Overview:
    """How everybody stands, now or a few seconds ago; its `counted_at` tells."""
    engine = session.get_bind().engine
    kept = _kept.get(engine)
    started = time.monotonic()
    if kept is not None and kept.overview.rules == impact.rules(session):
        if kept.until > started:
            return kept.overview
        kept.until = started + PATIENCE_S
    counted = everybody.overview(session)
    ended = time.monotonic()
    if counted.everybody >= MANY:
        _kept[engine] = _Kept(counted, ended + TIMES * (ended - started))
    return counted
