"""A server of its own for a benchmark, with a database of each size; fsync is on, unlike in the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from dashboard.config import Settings, sqlalchemy_url
from dashboard.database import EACH_ALONE, Database
from dashboard.schema import migrate
from tests.benchmarks import data


def readable_by_the_server(folder: Path) -> None:
    """Lets another system user into the folder: root's server runs as one."""
    for parent in (folder, *folder.parents):
        if parent == Path(parent.anchor) or parent.owner() != "root":
            continue
        parent.chmod(parent.stat().st_mode | 0o055)


@contextmanager
def databases_of(url: str, sizes: Mapping[int, int]) -> Iterator[dict[int, Database]]:
    """A filled database for each number of people and of steps, on the server at `url`."""
    admin = Database(settings_of(sqlalchemy_url(url)))
    databases = {}
    for people, of_steps in sizes.items():
        with admin.engine.connect().execution_options(**EACH_ALONE) as connection:
            connection.execute(text(f"CREATE DATABASE bench_{people}"))
        address = admin.engine.url.set(database=f"bench_{people}").render_as_string(hide_password=False)
        migrate(address)
        databases[people] = Database(settings_of(address))
        data.build(databases[people], people, of_steps)
    yield databases
    for database in (admin, *databases.values()):
        database.dispose()


def settings_of(address: str) -> Settings:
    """Settings for that address, with no time-out that a benchmark would meet."""
    return Settings(database_url=address, secret_key="", demo=False, data_dir=Path(), statement_timeout_ms=3_600_000)
