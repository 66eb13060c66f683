"""The migrations build exactly what dashboard/models.py says."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import Base
from dashboard.onboarding import people
from dashboard.schema import alembic_config, migrate, schema_is_current
from dashboard.staff import passwords
from tests.factories import HOST, a_person


def test_the_migrated_schema_is_the_one_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        assert _difference(connection) == []


# What alembic does not compare, or not wholly: checks, what an index is of and where, how a table is kept.
SHAPE = text("""
SELECT c.relname || ': ' || told
  FROM pg_class c CROSS JOIN LATERAL (
       SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = c.oid AND contype <> 'n'
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid
        UNION ALL SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
                    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                   WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT concat_ws(' ', c.relpersistence, c.reloptions)
       ) of_table (told)
 WHERE c.relkind = 'r' AND c.relnamespace = CAST(:schema AS regnamespace) AND c.relname = ANY(:tables)
""")


@pytest.mark.one_server("a cluster has shards of its own of each table")
def test_a_table_has_no_other_shape_than_its_model(database: Database) -> None:
    def shape(schema: str) -> set[str]:
        told = connection.scalars(SHAPE, {"schema": schema, "tables": list(Base.metadata.tables)})
        return {line.replace(f"{schema}.", "") for line in told}

    with database.engine.connect() as connection, connection.begin() as undone:
        # public last: there are the functions that some columns are made by
        connection.execute(text("CREATE SCHEMA models; SET LOCAL search_path = models, public"))
        Base.metadata.create_all(connection, checkfirst=False)
        ours = shape("models")
        connection.execute(text("SET LOCAL search_path = public"))
        assert shape("public") == ours
        assert len(ours) > 2 * len(Base.metadata.tables)
        undone.rollback()


def _difference(connection: Connection) -> Any:
    # left to itself it passes over what a column may hold
    plugins = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]
    opts = {"compare_type": True, "compare_server_default": True, "autogenerate_plugins": plugins}
    context = MigrationContext.configure(connection, opts=opts)
    return compare_metadata(context, Base.metadata)


@pytest.mark.one_server("a database is distributed at the newest revision only")
def test_going_back_before_the_links_takes_nobody_away_who_has_been_here(database: Database) -> None:
    invited, provided, usual = "invited@example.com", "provided@example.com", "usual@example.com"
    accounts = text("SELECT email, password_hash FROM staff_accounts")
    with database.engine.connect() as connection, connection.begin() as undone:
        connection.execute(
            text(
                "INSERT INTO staff_accounts (email, name, role, password_hash, oidc_issuer, oidc_subject, last_sign_in_at)"
                " VALUES (:invited, 'I', 'admin', NULL, NULL, NULL, NULL), (:provided, 'P', 'admin', NULL, 'i', 's', now()),"
                " (:usual, 'U', 'admin', 'hash', NULL, NULL, NULL)"
            ),
            {"invited": invited, "provided": provided, "usual": usual},
        )
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        kept = {row.email: row.password_hash for row in connection.execute(accounts)}
        assert set(kept) == {provided, usual}
        assert kept[usual] == "hash"
        assert not passwords.matches(kept[provided], "")
        assert not passwords.matches(kept[provided], kept[provided])
        command.upgrade(config, "head")
        assert {row.email: row.password_hash for row in connection.execute(accounts)} == {provided: None, usual: "hash"}
        assert _difference(connection) == []
        undone.rollback()


@pytest.mark.one_server("a database is distributed at the newest revision only")
def test_steps_that_had_one_place_get_their_own_and_keep_their_order(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin() as undone:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        connection.execute(
            text("INSERT INTO steps (step_id, position) VALUES ('c', 1), ('b', 4), ('a', 4), ('d', 4), ('e', 9)")
        )
        command.upgrade(config, "head")
        placed = connection.execute(text("SELECT step_id, position FROM steps ORDER BY position")).all()
        assert placed == [("c", 1), ("a", 2), ("b", 3), ("d", 4), ("e", 5)]
        undone.rollback()


@pytest.mark.cluster
def test_a_database_whose_people_are_distributed_is_upgraded(database: Database) -> None:
    found_by = text("SELECT words, first_words FROM user_search")
    with Session(database.engine) as session:
        config = alembic_config()
        config.attributes["connection"] = session.connection()
        a_person(session, "ann")
        command.downgrade(config, "0008")
        command.upgrade(config, "head")
        a_person(session, "ben")
        words = session.execute(found_by).all()
        assert len(words) == 2
        assert all(row.first_words == row.words for row in words)
        assert _difference(session.connection()) == []
        session.rollback()


BEGINS_WITH_THE_PERSON = text("""
SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                WHERE i.indrelid = CAST(:kept AS regclass) AND a.attname = 'user_id')
""")


@pytest.mark.parametrize("kept", [name for name, table in Base.metadata.tables.items() if "user_id" in table.columns])
def test_what_is_kept_of_a_person_is_found_by_an_index(database: Database, kept: str) -> None:
    with database.transaction() as session:
        assert session.scalar(BEGINS_WITH_THE_PERSON, {"kept": kept})


@pytest.mark.one_server("a database is distributed at the newest revision only")
def test_who_has_several_blanks_in_their_name_is_found_by_one(database: Database) -> None:
    words = text("SELECT user_id, words FROM user_search ORDER BY user_id")
    with Session(database.engine) as session:
        config = alembic_config()
        config.attributes["connection"] = session.connection()
        command.downgrade(config, "0009")
        for user_id, name in (("ada", "Ada  King"), ("ben", "Ben\tKing"), ("cleo", "Cleo King"), ("dora", "")):
            people.put(session, HOST, user_id, name=name)
        before = [row.words for row in session.execute(words)]
        assert before == [" ada  king  ada", " ben\tking  ben", " cleo king  cleo", "   dora"]
        command.upgrade(config, "head")
        after = [row.words for row in session.execute(words)]
        assert after == [" ada king  ada", " ben king  ben", " cleo king  cleo", "   dora"]
        assert people.index_anew(session) == 0
        session.rollback()


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_migrating_again_changes_nothing(database: Database, database_url: str) -> None:
    migrate(database_url)
    with database.transaction() as session:
        assert schema_is_current(session)
