"""When a call is retried, after what pause, and when retrying ends."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from dashboard.client.errors import ClientError, Conflict, GaveUp, RateLimited, Unanswered, Unavailable

T = TypeVar("T")
Kinds = tuple[type[ClientError], ...]

PASSING: Kinds = (Unanswered, Unavailable, RateLimited)
"""Errors that may go away by themselves."""

log = logging.getLogger("dashboard.client")


@dataclass(frozen=True, slots=True)
class Retry:
    """The limits on the number and the total time of a call's tries. No try begins after `deadline_s`.

    By default time is the limit, not the number: a restarting server refuses connections at once, and is back within
    it.

    The n-th pause is random, between nothing and `pause_s` * 2**(n-1), at most `longest_pause_s`, on top of what
    Retry-After asks for. The randomness separates clients that met the same conflict at the same moment.
    """

    attempts: int = 30
    deadline_s: float = 30.0
    pause_s: float = 0.1
    longest_pause_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform

    def run(self, call: Callable[[Tries], T], passing: Kinds = PASSING) -> T:
        """The result of `call`, retried while its errors are `passing`. Raises its last error or GaveUp."""
        tries = Tries(self)

        def once() -> T:
            try:
                return call(tries)
            except ClientError as error:
                tries.note(error)
                raise

        return Retrying(
            retry=retry_if_exception_type(passing),
            wait=tries.pause,
            stop=tries.are_over,
            sleep=self.sleep,
            before_sleep=tries.tell,
            retry_error_callback=tries.give_up,
        )(once)


@dataclass(slots=True)
class Tries:
    """The progress of one call. `unsure`: one of the tries so far may have been carried out."""

    rules: Retry
    count: int = 0
    unsure: bool = False
    conflict: Conflict | None = None
    last: ClientError = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.rules.clock()

    @property
    def left_s(self) -> float:
        """The time until the deadline; zero or negative once it has passed."""
        return self.began + self.rules.deadline_s - self.rules.clock()

    def note(self, error: ClientError) -> None:
        """Counts a try that ended with `error`, which from now on speaks for the earlier tries too."""
        self.count += 1
        self.last = error
        if isinstance(error, Conflict):
            self.conflict = error
        self.unsure = error.unsure = error.unsure or (self.unsure and not error.settles)

    def pause(self, _: RetryCallState) -> float:
        """Seconds until the next try: full jitter, because fixed pauses would bring everyone back at once."""
        # the exponent is bounded because 2.0**1024 is no float
        longest = min(self.rules.longest_pause_s, self.rules.pause_s * 2.0 ** min(self.count - 1, 64))
        return self.last.retry_after_s + self.rules.uniform(0, longest)

    def are_over(self, state: RetryCallState) -> bool:
        """Whether there is no further try: too many, or the next one would begin too late."""
        return self.count >= self.rules.attempts or state.upcoming_sleep >= self.left_s

    def tell(self, state: RetryCallState) -> None:
        """Logs one line about the failed try."""
        log.info("try %d failed (%s); the next one in %.2f s", self.count, self.last, state.upcoming_sleep)

    def give_up(self, _: RetryCallState) -> NoReturn:
        """Raises GaveUp."""
        raise GaveUp(self.count, self.last, self.conflict) from self.last
