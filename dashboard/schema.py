"""Brings a database to the newest schema, safely beside running workers and other starters."""

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import NullPool, create_engine, text

from dashboard.paths import MIGRATIONS

# any number will do as long as every version of the program uses the same one
ADVISORY_LOCK = 7_402_118_350_962_841_553


class SchemaError(Exception):
    """The schema cannot be migrated, for instance because a newer version of the program made it."""


def migrate(url: str, *, lock_timeout_ms: int = 10_000, statement_timeout_ms: int = 600_000) -> None:
    """Upgrades to head under an advisory lock: of several starters one migrates and the others wait, then find it done.

    Raises SchemaError, and sqlalchemy.exc.OperationalError when a lock is not had in time; nothing is changed then.
    """
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.begin() as connection:
            connection.execute(
                text("SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', '0', true)"),
                {"statement": str(statement_timeout_ms)},
            )
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.execute(text("SELECT set_config('lock_timeout', :lock, true)"), {"lock": str(lock_timeout_ms)})
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(f"The schema cannot be migrated: {error}") from error
    finally:
        engine.dispose()


def alembic_config() -> Config:
    """Alembic's configuration for the migrations that came with this program; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


@cache
def head_revision() -> str | None:
    """The newest revision that this version of the program knows."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()
