"""Statements that every call of the API asks, given to psycopg as they are.

To look a statement up, put its values together and wrap what comes back takes SQLAlchemy twice as long as all that psycopg
does, and more of a processor than PostgreSQL needs for the answer. Its pool, its transactions, its events and its errors
stay: only the way from a text to a row is the short one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, TextClause
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

DIALECT = make_url("postgresql+psycopg://").get_dialect()()

EACH_ALONE = {"each_alone": True}
"""The execution option of connections on which each statement is a transaction of its own."""


class Straight:
    """A statement with its binds, for values that psycopg knows how to send."""

    def __init__(self, statement: TextClause) -> None:
        # without what only people need: up to 4,096 characters psycopg keeps a statement as it takes it apart
        self.sql = " ".join(str(statement.compile(dialect=DIALECT)).split())

    def rows(self, session: Session, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """What it answers, in the transaction of the session if there is one. Raises SQLAlchemy's errors."""
        # as SQLAlchemy does before a statement
        session.flush()
        connection = _connection(session)
        driver = cast("psycopg.Connection[tuple[Any, ...]]", connection.connection.driver_connection)
        with driver.cursor() as cursor:
            for told in connection.dispatch.before_cursor_execute:
                told(connection, cursor, self.sql, values, None, False)
            try:
                return cursor.execute(self.sql, values).fetchall()
            except psycopg.Error as error:
                raise self._as_sqlalchemy(connection, values, error) from error

    def _as_sqlalchemy(self, connection: Connection, values: Mapping[str, Any], error: psycopg.Error) -> BaseException:
        dialect = connection.dialect
        is_gone = dialect.is_disconnect(cast("Any", error), connection.connection.dbapi_connection, None)
        if is_gone:
            connection.invalidate(error)
        return DBAPIError.instance(
            self.sql,
            dict(values),
            error,
            psycopg.Error,
            hide_parameters=connection.engine.hide_parameters,
            connection_invalidated=is_gone,
            dialect=dialect,
        )


def _connection(session: Session) -> Connection:
    bind = session.get_bind()
    if isinstance(bind, Connection) and is_each_alone(bind):
        return bind
    return session.connection()


def is_each_alone(connection: Connection) -> bool:
    """Whether each statement on the connection is a transaction of its own."""
    return EACH_ALONE.items() <= connection.get_execution_options().items()
