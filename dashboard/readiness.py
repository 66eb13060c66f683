"""May requests be sent here? A check of the database that ends within seconds, whatever is wrong."""

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
"""For the connection, and for the database's answer."""

FRESH_S = 1.0
"""How long a result is reused: frequent probes do not cost a query each."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The state of the database and its schema."""

    database: Literal["ok", "read-only", "unreachable"]
    schema: Literal["ok", "not current", "unknown"]

    @property
    def passed(self) -> bool:
        """Whether requests can be served."""
        return self.database == self.schema == "ok"


UNREACHABLE = Checks("unreachable", "unknown")


class Readiness:
    """Checks over its own connection, so that an exhausted pool is not mistaken for an unreachable database.

    The connection is kept: if others have used up the server's connections, requests go on with those in the pool.
    """

    def __init__(self, database_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        options = [*given_options(database_url), f"-c statement_timeout={1_000 * PATIENCE_S}"]
        self._engine = create_engine(
            database_url,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            # reconnects if it was cut, which says nothing about the present
            pool_pre_ping=True,
            connect_args={
                "application_name": "onboarding-dashboard-readiness",
                "connect_timeout": PATIENCE_S,
                "tcp_user_timeout": 1_000 * PATIENCE_S,
                # behind a pooler each check may get another server connection
                "prepare_threshold": None,
                "options": " ".join(options),
            },
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[float, Checks] | None = None

    def check(self) -> Checks:
        """A recent result, or a new one; one check at a time, for which the others wait briefly."""
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
                # "on" on a standby too
                takes_writes = session.scalar(text("SHOW transaction_read_only")) == "off"
                is_current = schema_is_current(session)
                if not takes_writes:
                    # by the next check the address may lead to another server
                    session.invalidate()
        except SQLAlchemyError as error:
            log.warning("not ready", error=reason_of(error))
            return UNREACHABLE
        checks = Checks("ok" if takes_writes else "read-only", "ok" if is_current else "not current")
        if not checks.passed:
            log.warning("not ready", database=checks.database, schema=checks.schema)
        return checks
