"""A database for many tests, each of which finds it as if it were new: emptying one takes a tenth of making one."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from dashboard.config import libpq_url
from dashboard.models import Base

TABLES = [table.name for table in Base.metadata.sorted_tables]
AT_MOST = 300
"""Tests in one database: what they deleted lies about in it, and makes plans and scans worse."""

# What a test may have done to a database besides filling it.
SHAPE = """
SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute), (SELECT count(*) FROM pg_proc),
       (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_trigger WHERE tgenabled = 'O'),
       (SELECT count(*) FROM pg_db_role_setting), (SELECT string_agg(version_num, ' ') FROM alembic_version)
"""
OTHERS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
# the triggers that refuse to forget are for the program
EMPTY = "; ".join(["SET session_replication_role = replica", *(f"DELETE FROM {name}" for name in TABLES)])
RESTART = """
SELECT setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_class ON oid = seqrelid
"""


class Databases:
    """The database of one worker's tests, made from the template when there is none that can be used again."""

    def __init__(self, server: psycopg.Connection[Any], prefix: str, template: str, address: Any) -> None:
        self.server, self.prefix, self.template, self.address = server, prefix, template, address
        self.made, self.tests, self.shape = 0, 0, None
        self.own: psycopg.Connection[Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.prefix}_{self.made}"

    def take(self) -> str:
        """The address of a database that is as the template."""
        if self.own is None:
            self.made, self.tests = self.made + 1, 0
            self.server.execute(f"CREATE DATABASE {self.name} TEMPLATE {self.template}")
            self.own = psycopg.connect(libpq_url(self.address(self.name)), autocommit=True)
            self.shape = self._shape()
        self.tests += 1
        return str(self.address(self.name))

    def give_back(self) -> None:
        """Empties it for the next test, or drops it where that is not enough."""
        assert self.own is not None
        try:
            self.own.execute(OTHERS, (self.name,))
            if self.tests < AT_MOST and self._shape() == self.shape:
                self.own.execute(sql.SQL(EMPTY))  # type: ignore[arg-type]
                self.own.execute(RESTART)
                self.own.execute("RESET ALL")
                return
        except psycopg.Error:
            pass
        self.drop()

    def drop(self) -> None:
        if self.own is not None:
            self.own.close()
            self.own = None
            self.server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def _shape(self) -> Any:
        assert self.own is not None
        return self.own.execute(SHAPE).fetchone()
