"""Import of 1,000,000 rows against psql's own \\copy of the same rows into a plain table with the original's primary key.

`make bench` runs it; `python -m tests.benchmarks.test_import_speed [people] [--stages]` runs it alone. It prints; nothing
here fails for being slow.
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from dashboard.config import Settings, libpq_url
from dashboard.database import Database
from dashboard.embedded import binaries, running
from dashboard.onboarding import adoption, imports, invariants
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.loading import quiet
from dashboard.schema import migrate

STEPS = 8
PEOPLE = next((int(word) for word in sys.argv[1:] if word.isdigit()), 125_000)
TARGET = 3.0
ACTOR = Actor("system:import", "import")
ORIGINAL = """
CREATE TABLE onboarding_step_definitions (step_id text, version int, title text NOT NULL, description text, weight int,
    is_active boolean, created_at timestamptz DEFAULT now(), PRIMARY KEY (step_id, version));
CREATE TABLE user_onboarding (user_id text, step_id text, version int, status text NOT NULL, row_version int NOT NULL,
    updated_at timestamptz, PRIMARY KEY (user_id, step_id));
"""
FILL = f"""
INSERT INTO onboarding_step_definitions
SELECT 'step-' || s, v, 'Step ' || s, '', 10, v = 2, now() - interval '1 year' * (3 - v)
  FROM generate_series(1, {STEPS}) s, generate_series(1, 2) v;
INSERT INTO user_onboarding
SELECT 'usr_' || substr(md5(u::text), 1, 12), 'step-' || s, 2 - (u % 20 = 0)::int,
       (ARRAY['done', 'done', 'skipped', 'in_progress', 'todo'])[1 + (u * s) % 5], 2 + u % 5,
       now() - (u % 1000) * interval '1 hour'
  FROM generate_series(1, %s) u, generate_series(1, {STEPS}) s
"""


def test_import_against_the_plain_copy() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data") as url:
            measure(Path(folder), url, PEOPLE)


def measure(folder: Path, url: str, people: int) -> None:
    """One round: the plain copy, the adoption, the CSV file, and the CSV file once more over what it made."""
    names = {name: str(make_url(url).set(database=name).render_as_string(hide_password=False)) for name in DATABASES}
    with psycopg.connect(libpq_url(url), autocommit=True) as server:
        for name in DATABASES:
            server.execute(f"CREATE DATABASE {name}")
    original = libpq_url(names["original"])
    with psycopg.connect(original, autocommit=True) as connection:
        connection.execute(ORIGINAL)
        connection.execute(FILL.replace("%s", str(people)))
    file = folder / "rows.tsv"
    psql(original, f"\\copy user_onboarding to {file}")
    rows = people * STEPS
    print(f"{rows:,} rows of {people:,} people, {file.stat().st_size / 2**20:.0f} MiB as text")
    psql(libpq_url(names["plain"]), ORIGINAL)
    plain = min(
        timed("psql \\copy, plain table", lambda: copy_plain(libpq_url(names["plain"]), file)) for _ in range(2)
    )
    for name in ("adopted", "listed"):
        migrate(names[name])
    adopt_into(names["adopted"], original, plain)
    lines = folder / "people.csv"
    write_csv(original, lines)
    list_into(names["listed"], lines, plain)


DATABASES = ("original", "plain", "adopted", "listed")


def copy_plain(url: str, file: Path) -> None:
    psql(url, "TRUNCATE user_onboarding")
    psql(url, f"\\copy user_onboarding from {file}")


def psql(url: str, command: str) -> None:
    subprocess.run([binaries() / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, url], check=True)


def adopt_into(url: str, original: str, plain: float) -> None:
    database = opened(url)

    def adopt() -> None:
        with database.transaction() as session:
            adoption.adopt(session, ACTOR, original, progress=stages())

    compared("people import --from-database", adopt, plain)
    check(database)


def list_into(url: str, lines: Path, plain: float) -> None:
    database = opened(url)
    with database.transaction() as session:
        from dashboard.onboarding import releases, steps

        for number in range(1, STEPS + 1):
            steps.create(session, ACTOR, f"step-{number}", {"title": f"Step {number}"})
            releases.release(session, ACTOR, f"step-{number}")

    def read() -> None:
        with lines.open("rb") as file, database.transaction() as session:
            imports.import_csv(session, ACTOR, file, progress=stages())

    compared("people import FILE.csv", read, plain)
    compared("the same file again", read, plain)
    check(database)


def write_csv(original: str, lines: Path) -> None:
    query = "SELECT user_id, string_agg(status, ',' ORDER BY step_id) FROM user_onboarding GROUP BY 1 ORDER BY random()"
    with lines.open("w", newline="") as file, psycopg.connect(original) as connection:
        writer = csv.writer(file)
        writer.writerow(["user_id", "name", "email", *(f"step-{number}" for number in range(1, STEPS + 1))])
        for user_id, statuses in connection.execute(query):
            writer.writerow([user_id, f"Name of {user_id}", f"{user_id}@people.example", *statuses.split(",")])


def opened(url: str) -> Database:
    return Database(Settings(url, "", False, Path(), statement_timeout_ms=0, idle_transaction_timeout_ms=0))


def stages() -> Callable[[str, int, int | None], None]:
    """Prints how long each stage took when asked with --stages."""
    if "--stages" not in sys.argv:
        return quiet
    last = ["", time.perf_counter()]

    def tell(stage: str, _done: int, _total: int | None) -> None:
        now = time.perf_counter()
        if stage != last[0]:
            print(f"    {last[0] or 'Starting'}: {now - float(last[1]):.2f} s")
            last[:] = [stage, now]

    return tell


def compared(what: str, work: Callable[[], None], plain: float) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = timed(what, work)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    verdict = "within" if took <= TARGET * plain else "OVER"
    print(f"    {took / plain:.2f} x the plain copy ({verdict} {TARGET:g} x), memory grew by {grown:.0f} MiB")


def timed(what: str, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    took = time.perf_counter() - started
    print(f"{what}: {took:.2f} s")
    return took


def check(database: Database) -> None:
    with database.transaction() as session:
        broken = [one for one in invariants.check(session) if not one.holds]
    print(f"    invariants: {broken or 'all hold'}")
    database.dispose()


if __name__ == "__main__":
    test_import_against_the_plain_copy()
