"""Which database a command takes: one that is there, with the schema of this version. Only `run` makes one."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.schema import head_revision
from tests.program import Program

COMMANDS = [
    ("check",),
    ("db", "url"),
    ("db", "migrate"),
    ("demo", "reset"),
    ("distribute", "--dry-run"),
    ("people", "import", "-"),
    ("step", "list"),
    ("token", "list"),
    ("token", "create", "--name", "shop", "--scopes", "steps:read"),
    ("user", "list"),
]
OF_ANY_SCHEMA = [("db", "url"), ("db", "migrate"), ("distribute", "--dry-run")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_none_is_made_where_there_is_none(tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = tmp_path / "var"
    done = Program({"DATABASE_URL": "", "DATA_DIR": str(folder)})(*command)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"There is no database in {folder}, and only `dashboard run` makes one. "
        "Set DATA_DIR to the folder of the one that is meant, or DATABASE_URL."
    )
    assert not folder.exists()


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        (None, "The database has no schema yet. Run `dashboard db migrate` first"),
        ("0001", "The database has the schema of an older version of this program. Run `dashboard db migrate` first"),
        ("9999", "The database is newer than this program: its schema is at 9999, which this version does not know."),
    ],
)
@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in OF_ANY_SCHEMA], ids=" ".join)
def test_another_schema_is_refused_and_left_alone(
    database_url: str, session: Session, command: tuple[str, ...], revision: str | None, says: str
) -> None:
    change = "UPDATE alembic_version SET version_num = :to" if revision else "DELETE FROM alembic_version"
    session.execute(text(change), {"to": revision} if revision else {})
    session.commit()
    done = Program({"DATABASE_URL": database_url})(*command)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(says)
    assert session.scalar(text("SELECT version_num FROM alembic_version")) == revision
    assert revision != head_revision()


def test_a_newer_schema_is_not_migrated_either(database_url: str, session: Session) -> None:
    session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    session.commit()
    done = Program({"DATABASE_URL": database_url})("db", "migrate")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("The database is newer than this program")
