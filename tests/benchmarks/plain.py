"""What the dashboard is measured against: the same progress in the table of a first version, and how one changes it there.

One row for each user and step, rewritten by each release. The tables are in a schema of their own, `plain`, so that
nothing which is done to them touches what the engine keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ARRAY, Connection, Text, bindparam, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from dashboard.database import Database
from dashboard.onboarding.straight import EACH_ALONE

TABLES = """
CREATE SCHEMA plain;
CREATE TABLE plain.onboarding_step_definitions (
    step_id text, version int, title text NOT NULL, description text NOT NULL, weight int NOT NULL, action_url text NOT NULL,
    position int NOT NULL, is_active boolean NOT NULL, created_at timestamptz NOT NULL, PRIMARY KEY (step_id, version));
CREATE TABLE plain.user_onboarding (
    user_id text, step_id text, version int NOT NULL, status text NOT NULL, row_version int NOT NULL,
    updated_at timestamptz NOT NULL, updated_by text NOT NULL, status_before text, PRIMARY KEY (user_id, step_id));
CREATE TABLE plain.events (
    user_id text, step_id text, row_version int, at timestamptz NOT NULL, actor text NOT NULL, status text NOT NULL);
CREATE INDEX ON plain.events (user_id, step_id, row_version)
"""
FILL = """
INSERT INTO plain.onboarding_step_definitions
SELECT step_id, v.version, title, description, d.weight, action_url, position, v.version = 1, edited_at
  FROM onboarding_step_definitions d JOIN steps USING (step_id), (VALUES (1), (2)) AS v (version) WHERE is_active;
INSERT INTO plain.user_onboarding
SELECT user_id, step_id, 1, status, row_version, updated_at, updated_by, NULL FROM user_steps ORDER BY user_id, step_id
"""
ANALYSE = "VACUUM (ANALYZE) plain.user_onboarding"
COLUMNS = "user_id, step_id, version, status, row_version, updated_at, updated_by"

# The eager migration: every row of the step, in one transaction; what a rollback needs is kept beside the status.
LIVE = text("UPDATE plain.onboarding_step_definitions SET is_active = version = :version WHERE step_id = :step_id")
MIGRATE = text("""
UPDATE plain.user_onboarding
   SET status_before = status, status = CASE status WHEN 'in_progress' THEN 'todo' ELSE status END,
       version = version + 1, row_version = row_version + 1, updated_at = now()
 WHERE step_id = :step_id
""")
ROLL_BACK = text("""
UPDATE plain.user_onboarding
   SET status = coalesce(status_before, status), status_before = NULL,
       version = version - 1, row_version = row_version + 1, updated_at = now()
 WHERE step_id = :step_id
""")

COUNT = text("SELECT status, count(*) FROM plain.user_onboarding WHERE step_id = :step_id GROUP BY 1")

UPDATE = text("""
UPDATE plain.user_onboarding SET status = :status, updated_at = now(), updated_by = 'plain'
 WHERE user_id = :user_id AND step_id = :step_id
""")
EVENT = text("""
INSERT INTO plain.events (user_id, step_id, row_version, at, actor, status)
VALUES (:user_id, :step_id, 1, now(), 'plain', :status)
""")
CHECKED = text("""
UPDATE plain.user_onboarding SET status = :status, row_version = row_version + 1, updated_at = now(), updated_by = 'plain'
 WHERE user_id = :user_id AND step_id = :step_id AND row_version = :row_version
""")
UPDATE_MANY = text("""
UPDATE plain.user_onboarding SET status = :status, updated_at = now(), updated_by = 'plain'
 WHERE user_id = ANY(:people) AND step_id = :step_id
""").bindparams(bindparam("people", type_=ARRAY(Text)))


class Base(DeclarativeBase):
    """Apart from the dashboard's own tables."""


class Row(Base):
    """The same table as an ORM has it; its `version_id_col` makes a flush over a row that moved on fail."""

    __tablename__ = "user_onboarding"
    __table_args__: ClassVar[dict[str, Any]] = {"schema": "plain"}

    user_id: Mapped[str] = mapped_column(primary_key=True)
    step_id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    row_version: Mapped[int] = mapped_column()
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __mapper_args__: ClassVar[dict[str, Any]] = {"version_id_col": row_version}


class Plain:
    """The plain tables of one database, filled from the engine's."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.engine.connect().execution_options(**EACH_ALONE) as connection:
            for statement in (*TABLES.split(";"), *FILL.split(";"), ANALYSE):
                connection.execute(text(statement))

    def migrate(self, step_id: str) -> None:
        """The next version for everybody, eagerly."""
        with self.database.transaction() as session:
            _migrate(session, step_id)

    def would_migrate(self, step_id: str) -> None:
        """The same, counted and taken back."""
        with self.database.engine.connect() as connection:
            _migrate(connection, step_id)
            connection.execute(COUNT, {"step_id": step_id}).all()
            connection.rollback()

    def count(self, step_id: str) -> None:
        """People of a step by status, and nothing else of what a preview tells."""
        with self.database.statements() as session:
            session.execute(COUNT, {"step_id": step_id}).all()

    def roll_back(self, step_id: str) -> None:
        """Back to the version before, and to what everybody had."""
        with self.database.transaction() as session:
            session.execute(LIVE, {"step_id": step_id, "version": 1})
            session.execute(ROLL_BACK, {"step_id": step_id})

    def vacuum(self) -> None:
        """Clears away what an eager change left, so that the next one finds the table as it was."""
        with self.database.engine.connect().execution_options(**EACH_ALONE) as connection:
            connection.execute(text(ANALYSE))

    def save(self, user_id: str, step_id: str, status: str, *, told: bool = False) -> None:
        """The naive save: whoever comes last has won. `told`: with a line of history."""
        values = {"user_id": user_id, "step_id": step_id, "status": status}
        with self.database.transaction() as session:
            session.execute(UPDATE, values)
            if told:
                session.execute(EVENT, values)

    def save_checked(self, user_id: str, step_id: str, status: str) -> None:
        """Read, then written over the row_version that was read: two statements, as programs without a page do it."""
        with self.database.transaction() as session:
            seen = session.get_one(Row, (user_id, step_id)).row_version
            values = {"user_id": user_id, "step_id": step_id, "status": status, "row_version": seen}
            session.execute(CHECKED, values)

    def save_by_orm(self, user_id: str, step_id: str, status: str) -> None:
        """The typical loop of an ORM: the object is loaded, changed and flushed, again where somebody came in between."""
        while True:
            with suppress(StaleDataError), self.database.transaction() as session:
                row = session.get_one(Row, (user_id, step_id))
                row.status, row.updated_by = status, "plain"
                return

    def save_many(self, people: Sequence[str], step_id: str, status: str) -> None:
        """One unchecked statement for all of them, without history."""
        with self.database.transaction() as session:
            session.execute(UPDATE_MANY, {"people": list(people), "step_id": step_id, "status": status})

    def save_many_by_orm(self, people: Sequence[str], step_id: str, status: str) -> None:
        """The loop of an ORM over all of them, in one transaction."""
        with self.database.transaction() as session:
            query = select(Row).where(Row.step_id == step_id, Row.user_id.in_(people))
            for row in session.scalars(query):
                row.status, row.updated_by = status, "plain"


def _migrate(session: Session | Connection, step_id: str) -> None:
    session.execute(LIVE, {"step_id": step_id, "version": 2})
    session.execute(MIGRATE, {"step_id": step_id})
