"""Upgrades a database to the newest schema, safely beside running workers and other starting processes."""

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.orm import Session

from dashboard import locks
from dashboard.paths import MIGRATIONS

LOCK_TIMEOUT = "10s"
OLDEST_SERVER = 14
"""The oldest major version of PostgreSQL that will do."""


class SchemaError(Exception):
    """The schema cannot be migrated, for instance because a newer version of the program created it."""


def migrate(url: str, *, statement_timeout_ms: int = 0) -> None:
    """Upgrades to head under an advisory lock: of several starters one migrates, and the others wait and find it done.

    A migration takes as long as its data need, unless `statement_timeout_ms` limits each statement and the wait for its
    turn. Raises SchemaError, and sqlalchemy.exc.OperationalError if a lock is not obtained in time; nothing is changed
    then.
    """
    # after waiting, it has to see what the one before did
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="READ COMMITTED", connect_args={"connect_timeout": 5}
    )
    try:
        with engine.begin() as connection:
            _refuse_old_server(connection)
            connection.execute(
                text("SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', '0', true)"),
                {"statement": str(statement_timeout_ms)},
            )
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.SCHEMA})
            connection.execute(text("SELECT set_config('lock_timeout', :lock, true)"), {"lock": LOCK_TIMEOUT})
            _refuse_newer(connection)
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(f"The schema cannot be migrated: {error}") from error
    finally:
        engine.dispose()


def schema_is_current(session: Session) -> bool:
    """Whether the database is at this program version's newest Alembic revision."""
    return _revision(session.connection()) == head_revision()


def require_current(session: Session) -> None:
    """Raises SchemaError, with what to do, if the schema is not the newest that this program version knows."""
    revision = _refuse_newer(session.connection())
    if revision != head_revision():
        state = "has no schema yet" if revision is None else "has the schema of an older version of this program"
        raise SchemaError(f"The database {state}. Run `dashboard db migrate` first; `dashboard run` does the same.")


def _refuse_old_server(connection: Connection) -> None:
    version = connection.dialect.server_version_info
    if version and int(version[0]) < OLDEST_SERVER:
        found = ".".join(map(str, version))
        raise SchemaError(f"The database is PostgreSQL {found}, and this needs PostgreSQL {OLDEST_SERVER} or later.")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(connection: Connection) -> str | None:
    """The database's revision. Raises SchemaError if this program version does not know it."""
    revision = _revision(connection)
    if revision is not None and revision not in _known_revisions():
        raise SchemaError(
            f"The database is newer than this program: its schema is at {revision}, which this version does not know. "
            "Use the version that made it, or a later one."
        )
    return revision


def alembic_config() -> Config:
    """Alembic's configuration for the migrations that ship with this program; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


@cache
def head_revision() -> str | None:
    """The newest revision that this program version knows."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())
