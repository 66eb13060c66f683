"""Scenarios of files: everybody in, everybody out, beside psql's own \\copy."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from sqlalchemy.engine import make_url

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.embedded import binaries
from dashboard.onboarding import adoption, imports
from dashboard.onboarding.actor import Actor
from tests.benchmarks import data
from tests.benchmarks.plain import COLUMNS, Plain
from tests.benchmarks.scenario import RATE, Scenario, Side, Sides
from tests.benchmarks.world import Server, World, settings_of

IMPORTER = Actor("system:import", "import")
CHUNK = 65_536
PEOPLE_CSV = """\\copy (
SELECT user_id, name, email, created_at, finished_at, last_activity_at, cardinality(done_releases)
  FROM onboarding_users ORDER BY lower(name), user_id) TO '{file}' CSV HEADER"""


class Source:
    """A database at `url` from which files are made and which is adopted, and one in which psql copies its rows."""

    def __init__(self, url: str, copied: str, crowd: data.Crowd, folder: Path) -> None:
        self.url, self.copied, self.rows = url, copied, crowd.rows
        database = Database(settings_of(url))
        data.build(database, crowd)
        for plain in (database, Database(settings_of(copied))):
            Plain(plain)
            plain.dispose()
        self.tsv, self.csv = folder / "rows.tsv", folder / "people.csv"
        with self.csv.open("w") as file:
            file.writelines(crowd.csv())
        psql(url, f"\\copy plain.user_onboarding ({COLUMNS}) TO '{self.tsv}'")

    @property
    def original(self) -> str:
        """The address by which the plain tables are found as those of the program that was used before."""
        with_path = make_url(self.url).update_query_dict({"options": "-csearch_path=plain"})
        return with_path.render_as_string(hide_password=False)

    def beside_copy(self, job: Callable[[], object], prepare: Callable[[], object]) -> Sides:
        """The job, and psql's copy of the same rows, in rows a second."""
        copy = f"\\copy plain.user_onboarding ({COLUMNS}) FROM '{self.tsv}'"
        other = self._per_second(
            lambda: psql(self.copied, copy), lambda: psql(self.copied, "TRUNCATE plain.user_onboarding")
        )
        return Sides(self._per_second(job, prepare), {"psql \\copy": other}, lambda: {"rows": f"{self.rows:,}"})

    def _per_second(self, job: Callable[[], object], prepare: Callable[[], object]) -> Side:
        def run() -> float:
            started = time.perf_counter()
            job()
            return self.rows / (time.perf_counter() - started)

        return Side(run, prepare)


class Empty:
    """A database that is made anew before each import."""

    def __init__(self, server: Server) -> None:
        self.server, self.stack = server, ExitStack()
        self.database: Database

    def renew(self) -> None:
        """Another one in its place, with nothing but the schema."""
        self.close()
        self.database = Database(settings_of(self.stack.enter_context(self.server.database())))
        self.stack.callback(self.database.dispose)

    def renew_with_steps(self) -> None:
        """The same, with the checklist."""
        self.renew()
        with self.database.transaction() as session:
            data.checklist(session)

    def close(self) -> None:
        """Drops it."""
        self.stack.close()


@contextmanager
def _from_source(world: World) -> Iterator[tuple[Source, Empty]]:
    crowd = data.Crowd(min(world.people, world.effort.file_people), world.shape)
    with (
        world.server.database() as url,
        world.server.database() as copied,
        closing(Empty(world.server)) as empty,
    ):
        yield Source(url, copied, crowd, world.folder), empty


@contextmanager
def importing(world: World) -> Iterator[Sides]:
    with _from_source(world) as (source, empty):

        def read() -> None:
            with source.csv.open("rb") as file, empty.database.transaction() as session:
                imports.import_csv(session, IMPORTER, file)

        yield source.beside_copy(read, empty.renew_with_steps)


@contextmanager
def adopting(world: World) -> Iterator[Sides]:
    with _from_source(world) as (source, empty):

        def adopt() -> None:
            with empty.database.transaction() as session:
                adoption.adopt(session, IMPORTER, source.original)

        yield source.beside_copy(adopt, empty.renew)


def psql(url: str, command: str) -> None:
    """One command of psql. Raises CalledProcessError."""
    program = [binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command.replace("\n", " ")]
    subprocess.run([*program, libpq_url(url)], check=True)


@contextmanager
def exporting(world: World) -> Iterator[Sides]:
    file = world.folder / "everybody.csv"
    with world.programs.dashboard(world.url, 1) as served:
        before = served.memory_mib()

        def download() -> None:
            connection = HTTPConnection("127.0.0.1", served.port, timeout=600)
            connection.request("GET", "/people.csv", headers=world.cookie)
            answer = connection.getresponse()
            lines = 0
            while chunk := answer.read(CHUNK):
                lines += chunk.count(b"\n")
            connection.close()
            if lines != world.people + 1:
                raise AssertionError(f"{lines} lines of {world.people} people")

        yield Sides(
            Side(download),
            {"psql \\copy": Side(lambda: psql(world.url, PEOPLE_CSV.format(file=file)))},
            lambda: {"memory of the worker": f"{before:.0f} MiB before, {served.memory_mib():.0f} MiB after"},
        )


SCENARIOS = (
    Scenario(
        "import",
        "Files",
        "Import of a CSV file",
        "rows a second, checked, with history and search, at 100,000 people at most",
        importing,
        growth=0,
        unit=RATE,
        advantage=0.33,
        runs=3,
        patience=3,
    ),
    Scenario(
        "adopt",
        "Files",
        "Import from the database used before",
        "rows a second, definitions and row_versions included, at 100,000 people at most",
        adopting,
        growth=0,
        unit=RATE,
        advantage=0.33,
        runs=3,
        patience=3,
    ),
    Scenario(
        "export",
        "Files",
        "Export of everybody",
        "people.csv with progress and next step, streamed over HTTP",
        exporting,
        growth=1,
        runs=3,
        patience=3,
    ),
)
