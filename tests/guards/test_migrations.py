"""The migrations build exactly what dashboard/models.py says."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from dashboard.database import Database
from dashboard.models import Base
from dashboard.schema import alembic_config, migrate, schema_is_current


def test_the_migrated_schema_is_the_one_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        difference = compare_metadata(context, Base.metadata)
    assert difference == []


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_migrating_again_changes_nothing(database: Database, database_url: str) -> None:
    migrate(database_url)
    with database.transaction() as session:
        assert schema_is_current(session)
