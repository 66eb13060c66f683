"""Rate limits: each caller has a bucket of permits in the database, shared by all processes.

A process draws a few permits at a time and spends them from memory, so that few requests cost a statement. The emptier
the bucket, the fewer it draws: a limit of ten is ten, however many processes there are.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

WINDOW_S = 60
"""How long an empty bucket takes to fill up, in seconds."""

MOST_AT_ONCE = 64
REMEMBERED = 10_000
"""The callers that a process remembers; the least recent one's permits are lost, which errs on the strict side."""

FORGET_ONE_IN = 1_000

# `full_at` is when the bucket would be full again if nothing were drawn: each permit delays it by :cost seconds. It is
# read as two windows away at most, or a clock that was set back would keep callers out for as long as it jumped.
TAKE = text("""
INSERT INTO rate_limits AS b (key, full_at, granted) VALUES (:key, clock_timestamp() + make_interval(secs => :cost), 1)
ON CONFLICT (key) DO UPDATE SET (full_at, granted) = (
    SELECT greatest(asked.full_at, asked.at) + make_interval(secs => :cost * taken.permits), taken.permits
      FROM (SELECT clock_timestamp() AS at,
                   least(b.full_at, clock_timestamp() + make_interval(secs => 2 * :window)) AS full_at) asked
     CROSS JOIN LATERAL (
           SELECT floor((:window - greatest(extract(epoch FROM asked.full_at - asked.at), 0)) / :cost + 1e-6)::int
               AS permits) there
     CROSS JOIN LATERAL (
           SELECT greatest(0, least(there.permits, greatest(1, there.permits / 16), :most)) AS permits) taken)
RETURNING granted, extract(epoch FROM full_at - clock_timestamp())::float AS full_in
""")
FORGET = text("DELETE FROM rate_limits WHERE full_at < clock_timestamp()")


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer to a caller: whether this request is allowed, how many more would be now, and the times to wait."""

    limit: int
    remaining: int
    full_in_s: int
    retry_after_s: int | None

    @property
    def is_spent(self) -> bool:
        """Whether this request is one too many."""
        return self.retry_after_s is not None


@dataclass(slots=True)
class _Held:
    """What this process knows of a bucket as of the moment `at`: the permits it holds, and how full the bucket was."""

    permits: int = 0
    at: float = -math.inf
    full_in: float = 0.0


class RateLimit:
    """A limit of requests per minute for each caller, shared by all processes that use the same database."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._cost = WINDOW_S / per_minute
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, key: str, take: Callable[[str, float], tuple[int, float]]) -> Allowance:
        """Spends one permit of the caller `key`; `take` is `draw` in a transaction of its own, and rarely called."""
        if (told := self._from_memory(key)) is not None:
            return told
        granted, full_in = take(key, self._cost)
        with self._lock:
            held = self._of(key)
            fresh = held.permits if self._is_fresh(held) else 0
            held.permits, held.at, held.full_in = fresh + granted, self._clock(), full_in
            return self._spent(held)

    def _from_memory(self, key: str) -> Allowance | None:
        """The answer if it needs no query: a permit is held, or there can't be one yet."""
        with self._lock:
            # only callers confirmed by `take` are remembered: made-up ones would displace them
            if (held := self._held.get(key)) is None:
                return None
            self._held.move_to_end(key)
            if held.permits and self._is_fresh(held):
                return self._spent(held)
            return self._spent(held) if self._wait(held) > 0 else None

    def _of(self, key: str) -> _Held:
        held = self._held.setdefault(key, _Held())
        self._held.move_to_end(key)
        if len(self._held) > REMEMBERED:
            self._held.popitem(last=False)
        return held

    def _is_fresh(self, held: _Held) -> bool:
        # after that long the bucket has filled up again, including these permits
        return self._clock() - held.at < WINDOW_S

    def _wait(self, held: _Held) -> float:
        """Seconds until the bucket has a permit, if it had none."""
        return held.full_in + self._cost - WINDOW_S - (self._clock() - held.at) - 1e-6

    def _spent(self, held: _Held) -> Allowance:
        retry_after = None
        if held.permits:
            held.permits -= 1
        else:
            retry_after = max(1, math.ceil(self._wait(held)))
        full_in = max(0.0, held.full_in - (self._clock() - held.at))
        there = math.floor((WINDOW_S - full_in) / self._cost + 1e-6)
        # permits held for a while have been refilled in the bucket too: together they are never more than it holds
        remaining = min(self.per_minute, max(0, there) + held.permits)
        return Allowance(self.per_minute, remaining, math.ceil(full_in), retry_after)


def draw(session: Session, key: str, cost: float, most: int = MOST_AT_ONCE) -> tuple[int, float]:
    """Takes up to `most` permits from the bucket: how many (0: it is empty), and the seconds until it is full again."""
    row = session.execute(TAKE, {"key": key, "cost": cost, "window": float(WINDOW_S), "most": most}).one()
    if random.randrange(FORGET_ONE_IN) == 0:  # noqa: S311 - it only spreads the work
        session.execute(FORGET)
    return row.granted, row.full_in
