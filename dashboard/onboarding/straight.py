"""Statements that every call of the API asks, given to psycopg as they are.

To look a statement up, put its values together and wrap what comes back takes SQLAlchemy twice as long as all that psycopg
does, and more of a processor than PostgreSQL needs for the answer. Its pool, its transactions, its events and its errors
stay: only the way from a text to a row is the short one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine, PoolProxiedConnection, TextClause
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

DIALECT = make_url("postgresql+psycopg://").get_dialect()()

# those of a literal belong to it
BLANKS = re.compile(r"('[^']*')|\s+")

EACH_ALONE = {"each_alone": True}
"""The execution option of connections on which each statement is a transaction of its own."""


class OnlyReads(OperationalError):
    """The database takes reads alone at present, a standby say. SQLAlchemy's own name for it is that of a defect."""


def as_only_reads(error: BaseException, sql: str | None, values: Any, engine: Engine | None) -> OnlyReads | None:
    """The error of a database that refused a write because it takes none, if that is what psycopg's error says."""
    if not isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return None
    # nothing was written: that its connection is not used again is no reason to doubt that
    return OnlyReads(sql, values, error, hide_parameters=engine is None or engine.hide_parameters)


class Alone:
    """A connection of the pool, for straight statements that are each a transaction of their own, and for nothing else.

    `info` is there for what a session would carry along.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        try:
            self.pooled = engine.raw_connection()
        except psycopg.Error as error:
            # SQLAlchemy lets it through as it is
            raise failure(error, None, {}, engine) from error
        self.info: dict[Any, Any] = {}

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        self.pooled.close()


class Straight:
    """A statement with its binds, for values that psycopg knows how to send."""

    def __init__(self, statement: TextClause) -> None:
        # without what only people need: up to 4,096 characters psycopg keeps a statement as it takes it apart
        self.sql = BLANKS.sub(lambda found: found[1] or " ", str(statement.compile(dialect=DIALECT))).strip()

    def rows(self, asked: Session | Alone, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """What it answers, in the transaction of the session if there is one. Raises SQLAlchemy's errors."""
        if isinstance(asked, Alone):
            if asked.engine.dispatch.before_cursor_execute:
                return self._rows(Connection(asked.engine, asked.pooled), values)
            return self._answer(asked.engine, asked.pooled, asked.pooled.invalidate, values)
        # as SQLAlchemy does before a statement
        asked.flush()
        return self._rows(_connection(asked), values)

    def _rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        for told in connection.dispatch.before_cursor_execute:
            told(connection, None, self.sql, values, None, False)
        return self._answer(connection.engine, connection.connection, connection.invalidate, values)

    def _answer(
        self,
        engine: Engine,
        pooled: PoolProxiedConnection,
        invalidate: Callable[[BaseException], None],
        values: Mapping[str, Any],
    ) -> list[tuple[Any, ...]]:
        driver = cast("psycopg.Connection[tuple[Any, ...]]", pooled.driver_connection)
        try:
            return driver.execute(self.sql, values).fetchall()
        except psycopg.Error as error:
            is_gone = is_cut(error, engine, pooled, invalidate)
            raise failure(error, self.sql, values, engine, is_gone=is_gone) from error


def is_cut(
    error: psycopg.Error, engine: Engine, pooled: PoolProxiedConnection, invalidate: Callable[[BaseException], None]
) -> bool:
    """Whether it means that the connection is gone, which is then not given back to the pool."""
    is_gone = engine.dialect.is_disconnect(cast("Any", error), pooled.dbapi_connection, None)
    # a server that takes no writes: by now the address may lead to one that does
    is_gone = is_gone or isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
    if is_gone:
        invalidate(error)
    return is_gone


def failure(
    error: psycopg.Error, sql: str | None, values: Mapping[str, Any], engine: Engine, *, is_gone: bool = False
) -> BaseException:
    """SQLAlchemy's error for one of psycopg's."""
    return as_only_reads(error, sql, dict(values), engine) or DBAPIError.instance(
        cast("str", sql),
        dict(values),
        error,
        psycopg.Error,
        hide_parameters=engine.hide_parameters,
        connection_invalidated=is_gone,
        dialect=engine.dialect,
    )


def _connection(session: Session) -> Connection:
    bind = session.get_bind()
    if isinstance(bind, Connection) and is_each_alone(bind):
        return bind
    return session.connection()


def is_each_alone(connection: Connection) -> bool:
    """Whether each statement on the connection is a transaction of its own."""
    return EACH_ALONE.items() <= connection.get_execution_options().items()
