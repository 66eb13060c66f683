"""May requests be sent here? A look at the database that is over in a few seconds, whatever is wrong with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy import QueuePool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dashboard.database import given_options, reason_of
from dashboard.schema import schema_is_current

log = structlog.get_logger("dashboard.readiness")

PATIENCE_S = 2
"""For the connection, and for the answer of the database."""

FRESH_S = 1.0
"""For so long what was seen is told again: whoever asks often costs the database no question each time."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What was seen of the database, and of its schema."""

    database: Literal["ok", "read-only", "unreachable"]
    schema: Literal["ok", "not current", "unknown"]

    @property
    def passed(self) -> bool:
        """True when requests can be answered."""
        return self.database == self.schema == "ok"


UNREACHABLE = Checks("unreachable", "unknown")


class Readiness:
    """Looks with a connection of its own, so that a pool that is used up is not taken for a database that is away.

    It is kept: where others have used up the connections of the server, requests go on with those that the pool has.
    """

    def __init__(self, database_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        options = [*given_options(database_url), f"-c statement_timeout={1_000 * PATIENCE_S}"]
        self._engine = create_engine(
            database_url,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            # another one where it was cut: what was cut says nothing of now
            pool_pre_ping=True,
            connect_args={
                "application_name": "onboarding-dashboard-readiness",
                "connect_timeout": PATIENCE_S,
                "tcp_user_timeout": 1_000 * PATIENCE_S,
                # behind a pooler each look may come to another of its connections
                "prepare_threshold": None,
                "options": " ".join(options),
            },
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[float, Checks] | None = None

    def check(self) -> Checks:
        """What the look of a moment ago has shown, or a new one; one at a time, the others wait for it a little."""
        if not self._lock.acquire(timeout=PATIENCE_S):
            return UNREACHABLE
        try:
            if self._seen is None or self._clock() - self._seen[0] > FRESH_S:
                self._seen = (self._clock(), self._look())
            return self._seen[1]
        finally:
            self._lock.release()

    def _look(self) -> Checks:
        try:
            with Session(self._engine) as session:
                # a standby says so too
                takes_writes = session.scalar(text("SHOW transaction_read_only")) == "off"
                is_current = schema_is_current(session)
                if not takes_writes:
                    # by the next look the address may lead to another server
                    session.invalidate()
        except SQLAlchemyError as error:
            log.warning("not ready", error=reason_of(error))
            return UNREACHABLE
        checks = Checks("ok" if takes_writes else "read-only", "ok" if is_current else "not current")
        if not checks.passed:
            log.warning("not ready", database=checks.database, schema=checks.schema)
        return checks
