"""Which columns hold text of people's, hosts' and browsers': a new one is put on the list, so that it is tried too.

The list is that of tests/security/hostile.py; the demo that tests/browser/ looks at has all of it filled.
"""

from __future__ import annotations

import psycopg
from sqlalchemy import ARRAY, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from dashboard.config import libpq_url
from dashboard.models import Base
from tests.security.hostile import MARK, OURS, TEXTS, poison
from tests.security.world import World


def test_every_column_that_holds_text_is_on_one_of_the_lists() -> None:
    columns = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, String | Text | JSONB)
        or (isinstance(column.type, ARRAY) and isinstance(column.type.item_type, String))
    }
    tried = {f"{table}.{name}" for table, names in TEXTS.items() for name in names}
    assert tried.isdisjoint(OURS)
    assert tried | set(OURS) == columns


def test_each_of_them_is_filled(world: World, session: Session, database_url: str) -> None:
    with psycopg.connect(libpq_url(database_url)) as connection:
        poison(connection)
    for table, names in TEXTS.items():
        for name in names:
            found = session.scalars(text(f"SELECT {name}::text FROM {table} WHERE {name} IS NOT NULL")).all()
            assert any(MARK in one or "alert(1)" in one for one in found), f"{table}.{name}: {found[:3]}"
