"""The engine and its transactions: one commit at the end of each, everything undone on an error."""

import select
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import BoundedSemaphore
from typing import cast

import psycopg
from flask import current_app
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError as DataError  # doors name it and Session from here: they import no sqlalchemy
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session as Session
from sqlalchemy.orm import sessionmaker

from dashboard.config import Settings
from dashboard.onboarding.errors import Recorded
from dashboard.onboarding.straight import EACH_ALONE, OnlyReads, as_only_reads, failure, is_cut, is_each_alone
from dashboard.onboarding.straight import Alone as Alone  # this one, too
from dashboard.onboarding.tally import Tally, take

MAX_OVERFLOW = 2
"""Connections beyond the pool's size, for a moment of many requests."""

PREPARE_AFTER = 5

DATABASE_FAULTS = (OperationalError, InterfaceError, PoolTimeoutError)
"""The errors of a database that cannot be used at present."""

EXPORT_IDLE_MS = 600_000
"""How long an export may wait for its reader, whose network may be slow; longer than anything else may be idle (ms)."""

GIVEN_UP = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
"""Why PostgreSQL ends a statement that would have succeeded at another moment."""

KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""For libpq: a server that went away without a word is noticed within a minute, and the socket says so (s; ms)."""


class TooManyExports(Exception):
    """As many exports are under way as may be: each has a connection and a thread for as long as its reader takes."""


class Database:
    """One PostgreSQL database, with the pool and the time-outs of the settings.

    `on_commit` is told what each transaction did, once it is committed.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = _engine(settings)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._alone = self.engine.execution_options(**EACH_ALONE)
        self.most_connections = settings.pool_size + MAX_OVERFLOW
        # most connections, and the half of the threads, stay for those who only look at pages
        self.most_exports = max(2, min(self.most_connections // 3, settings.threads // 2))
        self._exports = BoundedSemaphore(self.most_exports)
        self._export_idle_ms = max(EXPORT_IDLE_MS, settings.idle_transaction_timeout_ms)
        self.on_commit: Callable[[Tally], None] = lambda _: None

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose work is committed once at the end, or rolled back when the block raises.

        Recorded (a Conflict) is the one error that commits: what was written before it is its record.
        """
        with self._sessions() as session:
            with session.begin() as begun:
                try:
                    yield session
                except Recorded:
                    if begun.is_active:
                        begun.commit()
                    self.on_commit(take(session))
                    raise
            self.on_commit(take(session))

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A transaction that writes nothing, and in which everything is as it was at its first look."""
        with self.transaction() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
            yield session

    @contextmanager
    def export(self) -> Iterator[Session]:
        """A transaction that a file is read out of, as slowly as its reader takes it. Raises TooManyExports."""
        if not self._exports.acquire(blocking=False):
            raise TooManyExports
        try:
            with self.transaction() as session:
                session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {self._export_idle_ms}"))
                yield session
        finally:
            self._exports.release()

    @contextmanager
    def statements(self) -> Iterator[Session]:
        """A session each of whose statements is a transaction of its own: two messages to the server fewer.

        For readers, and for a write that is one statement; a savepoint or SET LOCAL has no meaning in it.
        """
        with self._alone.connect() as connection, Session(connection, expire_on_commit=False) as session:
            yield session
            # straight statements begin nothing
            if session.in_transaction():
                session.commit()
            self.on_commit(take(session))

    @contextmanager
    def alone(self) -> Iterator[Alone]:
        """The least that straight statements need, where a call of the API is one of them."""
        with Alone(self.engine) as asked:
            yield asked
            self.on_commit(take(asked))

    def dispose(self) -> None:
        """Closes the pooled connections; the object stays usable."""
        self.engine.dispose()


def transaction() -> AbstractContextManager[Session]:
    """The transaction of a door: the running app's database."""
    database: Database = current_app.extensions["database"]
    return database.transaction()


def exporting() -> AbstractContextManager[Session]:
    """The transaction of a door that streams a file out of it: the running app's database."""
    database: Database = current_app.extensions["database"]
    return database.export()


def statements() -> AbstractContextManager[Session]:
    """The session of a door whose statements each stand alone: the running app's database."""
    database: Database = current_app.extensions["database"]
    return database.statements()


def alone() -> AbstractContextManager[Alone]:
    """A connection of a door for straight statements: the running app's database."""
    database: Database = current_app.extensions["database"]
    return database.alone()


def took_too_long(error: Exception) -> bool:
    """Whether the database is there, but this was given up: a time-out, or two that waited for each other."""
    return isinstance(error, PoolTimeoutError) or isinstance(getattr(error, "orig", None), GIVEN_UP)


def was_cut(error: Exception) -> bool:
    """Whether the connection was lost while something was asked: even a commit may have been carried out."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def only_reads(error: Exception) -> bool:
    """Whether the database refused a write because it takes none at present: nothing was written."""
    return isinstance(getattr(error, "orig", None), psycopg.errors.ReadOnlySqlTransaction)


def reason_of(error: Exception) -> str:
    """The first line of what the driver says: those that follow may hold values, which are people's."""
    return next(iter(str(getattr(error, "orig", None) or error).strip().splitlines()), "no reason given")


def why_unusable(error: Exception) -> str | None:
    """One plain line when the error means that the database cannot be used at present or in this way, else None."""
    match error:
        case PoolTimeoutError():
            return "The database is busy: every connection is in use"
        case DBAPIError() if only_reads(error):
            return f"The database is read-only right now: {reason_of(error)}"
        case OperationalError() | InterfaceError():
            return f"The database {'cancelled this' if took_too_long(error) else 'cannot be used'}: {reason_of(error)}"
        case DBAPIError(orig=psycopg.errors.InsufficientPrivilege()):
            return f"The database does not let this role do that: {reason_of(error)}"
        case DBAPIError(orig=psycopg.errors.FeatureNotSupported() | psycopg.errors.UndefinedFile()):
            # an extension that is not installed beside the server
            return f"The database cannot do this: {reason_of(error)}"
        case ProgrammingError(statement=None):
            # before there was a connection: what the address asks for
            return f"DATABASE_URL cannot be used: {reason_of(error)}"
    return None


def _engine(settings: Settings) -> Engine:
    options = {
        "statement_timeout": settings.statement_timeout_ms,
        "lock_timeout": settings.lock_timeout_ms,
        "idle_in_transaction_session_timeout": settings.idle_transaction_timeout_ms,
        "timezone": "UTC",
        # who waited for a row looks at it again and tells a conflict: the stricter ones give the whole transaction up
        "default_transaction_isolation": r"read\ committed",
    }
    engine = create_engine(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=settings.pool_timeout_s,
        pool_recycle=1_800,
        # an error is logged with its statement, and values are people's
        hide_parameters=True,
        # so that a lone statement is one message to the server: see _begin
        isolation_level="AUTOCOMMIT",
        connect_args={
            "application_name": "onboarding-dashboard",
            "connect_timeout": 5,
            "options": " ".join([*given_options(settings.database_url), *(f"-c {k}={v}" for k, v in options.items())]),
            # executions until a statement is prepared; the database's connection may be another one each time
            "prepare_threshold": PREPARE_AFTER if settings.prepared_statements else None,
            **KEEPALIVES,
        },
    )
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _tell_only_reads)
    _replace_dead_connections(engine)
    return engine


def _begin(connection: Connection) -> None:
    if is_each_alone(connection):
        return
    pooled = connection.connection
    try:
        cast(psycopg.Connection, pooled.driver_connection).execute("BEGIN")
    except psycopg.Error as error:
        # SQLAlchemy lets what an event raises through as it is
        is_gone = is_cut(error, connection.engine, pooled, connection.invalidate)
        raise failure(error, "BEGIN", {}, connection.engine, is_gone=is_gone) from error


def _tell_only_reads(context: ExceptionContext) -> OnlyReads | None:
    """Has it told as what it is, and all connections replaced: by now the address may lead to a server that writes."""
    told = as_only_reads(context.original_exception, context.statement, context.parameters, context.engine)
    if told:
        context.is_disconnect = True
    return told


def _replace_dead_connections(engine: Engine) -> None:
    """Has connections that a restart of the database cut replaced before a request's first statement.

    Unasked, a server says nothing unless it ends a connection (or has news, which a ping takes in): a look at the
    socket is enough, where a ping each time would be one more message for every request.
    """

    def look(connection: DBAPIConnection, _: object, __: object) -> None:
        if not _has_something_to_read(connection):
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error:
            raise InvalidatePoolError from None

    event.listen(engine, "checkout", look)


def _has_something_to_read(connection: DBAPIConnection) -> bool:
    if connection.closed:
        return True
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))


def given_options(url: str) -> list[str]:
    """Start-up options that the address itself carries (a search_path, say): ours are added, not put in their place."""
    given = make_url(url).query.get("options", ())
    return [given] if isinstance(given, str) else list(given)
