"""The engine and its transactions: one commit at the end of each, everything rolled back on an error."""

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
from sqlalchemy.exc import DataError as DataError  # like Session, for the doors: they import no sqlalchemy
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session as Session
from sqlalchemy.orm import sessionmaker

from dashboard.config import Settings
from dashboard.onboarding.counters import Tally, take
from dashboard.onboarding.errors import Recorded
from dashboard.onboarding.straight import EACH_ALONE, OnlyReads, as_only_reads, failure, is_cut, is_each_alone
from dashboard.onboarding.straight import Alone as Alone  # for the doors, too

MAX_OVERFLOW = 2
"""Connections beyond the pool's size, for short peaks."""

PREPARE_AFTER = 5

DATABASE_FAULTS = (OperationalError, InterfaceError, PoolTimeoutError)
"""The errors of a database that is currently unusable."""

EXPORT_IDLE_MS = 600_000
"""How long an export may wait for a slow reader, in ms; longer than any other idle transaction."""

GIVEN_UP = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
"""Why PostgreSQL cancels a statement that would have succeeded at another moment."""

KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""For libpq: a silently lost server is noticed within a minute, and the socket reports it (s; ms)."""


class TooManyExports(Exception):
    """The limit of concurrent exports is reached: each holds a connection and a thread until its reader is done."""


class Database:
    """One PostgreSQL database, with the pool and the time-outs of the settings.

    `on_commit` is called with the tally of each transaction once it is committed.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = _engine(settings)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._alone = self.engine.execution_options(**EACH_ALONE)
        self.most_connections = settings.pool_size + MAX_OVERFLOW
        # most connections, and half of the threads, stay free for page views
        self.most_exports = max(2, min(self.most_connections // 3, settings.threads // 2))
        self._exports = BoundedSemaphore(self.most_exports)
        self._export_idle_ms = max(EXPORT_IDLE_MS, settings.idle_transaction_timeout_ms)
        self.on_commit: Callable[[Tally], None] = lambda _: None

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that is committed once at the end, or rolled back if the block raises.

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
        """A read-only transaction in which everything stays as at its first query."""
        with self.transaction() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
            yield session

    @contextmanager
    def export(self) -> Iterator[Session]:
        """A transaction from which a file is streamed, as slowly as its reader takes it. Raises TooManyExports."""
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
        """A session in which each statement is its own transaction: two fewer messages to the server.

        For reads, and for a write that is a single statement; savepoints and SET LOCAL have no meaning in it.
        """
        with self._alone.connect() as connection, Session(connection, expire_on_commit=False) as session:
            yield session
            # straight statements begin no transaction
            if session.in_transaction():
                session.commit()
            self.on_commit(take(session))

    @contextmanager
    def alone(self) -> Iterator[Alone]:
        """The minimum for straight statements, for API calls that are a single statement."""
        with Alone(self.engine) as asked:
            yield asked
            self.on_commit(take(asked))

    def dispose(self) -> None:
        """Closes the pooled connections; the object stays usable."""
        self.engine.dispose()


def transaction() -> AbstractContextManager[Session]:
    """A transaction on the running app's database, for the doors."""
    database: Database = current_app.extensions["database"]
    return database.transaction()


def exporting() -> AbstractContextManager[Session]:
    """A transaction on the running app's database from which a door streams a file."""
    database: Database = current_app.extensions["database"]
    return database.export()


def statements() -> AbstractContextManager[Session]:
    """A session on the running app's database whose statements each stand alone, for the doors."""
    database: Database = current_app.extensions["database"]
    return database.statements()


def alone() -> AbstractContextManager[Alone]:
    """A connection to the running app's database for a door's straight statements."""
    database: Database = current_app.extensions["database"]
    return database.alone()


def took_too_long(error: Exception) -> bool:
    """Whether the database is up but gave this up: a time-out or a deadlock."""
    return isinstance(error, PoolTimeoutError) or isinstance(getattr(error, "orig", None), GIVEN_UP)


def was_cut(error: Exception) -> bool:
    """Whether the connection was lost during a statement: even a commit may have been carried out."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def only_reads(error: Exception) -> bool:
    """Whether the database refused a write because it is currently read-only: nothing was written."""
    return isinstance(getattr(error, "orig", None), psycopg.errors.ReadOnlySqlTransaction)


def reason_of(error: Exception) -> str:
    """The first line of the driver's message: the following ones may hold people's data."""
    return next(iter(str(getattr(error, "orig", None) or error).strip().splitlines()), "no reason given")


def why_unusable(error: Exception) -> str | None:
    """One plain line if the error means that the database is unusable now or in this way, else None."""
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
            # for instance an extension that is not installed on the server
            return f"The database cannot do this: {reason_of(error)}"
        case ProgrammingError(statement=None):
            # raised before connecting: the address itself is wrong
            return f"DATABASE_URL cannot be used: {reason_of(error)}"
    return None


def _engine(settings: Settings) -> Engine:
    options = {
        "statement_timeout": settings.statement_timeout_ms,
        "lock_timeout": settings.lock_timeout_ms,
        "idle_in_transaction_session_timeout": settings.idle_transaction_timeout_ms,
        "timezone": "UTC",
        # after waiting for a row, it is read again and a conflict reported: stricter levels would abort the transaction
        "default_transaction_isolation": r"read\ committed",
    }
    engine = create_engine(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=settings.pool_timeout_s,
        pool_recycle=1_800,
        # errors are logged with their statement, and its values are people's data
        hide_parameters=True,
        # makes a lone statement one message to the server: see _begin
        isolation_level="AUTOCOMMIT",
        connect_args={
            "application_name": "onboarding-dashboard",
            "connect_timeout": 5,
            "options": " ".join([*given_options(settings.database_url), *(f"-c {k}={v}" for k, v in options.items())]),
            # executions before a statement is prepared; behind a pooler the server connection may differ each time
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
        # SQLAlchemy does not translate errors that events raise
        is_gone = is_cut(error, connection.engine, pooled, connection.invalidate)
        raise failure(error, "BEGIN", {}, connection.engine, is_gone=is_gone) from error


def _tell_only_reads(context: ExceptionContext) -> OnlyReads | None:
    """Translates the error and discards all connections: the address may by now lead to a server that takes writes."""
    told = as_only_reads(context.original_exception, context.statement, context.parameters, context.engine)
    if told:
        context.is_disconnect = True
    return told


def _replace_dead_connections(engine: Engine) -> None:
    """Replaces connections that a database restart cut, before a request's first statement.

    A server sends nothing unasked unless it closes the connection (or has a notice, which a ping consumes): checking
    the socket is enough, whereas a ping would cost every request one more message.
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
    """Start-up options in the address itself (such as a search_path): ours are added, not put in their place."""
    given = make_url(url).query.get("options", ())
    return [given] if isinstance(given, str) else list(given)
