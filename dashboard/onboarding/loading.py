"""What imports and the demo share: problems and reports, staging by COPY, and loading many rows at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dashboard import locks
from dashboard.onboarding.errors import Invalid, Refused
from dashboard.onboarding.sql import run
from dashboard.onboarding.straight import failure, is_cut

LISTED = 20
"""How many problems a refused import lists; the rest are counted."""

MANY_ROWS = 50_000
"""From here on a load checks keys once for all rows, where most rows of the table come with it."""

ATTEMPTS, SHORT, PAUSE_S = 20, "150ms", 0.1
"""How often a load tries to be alone, how long it waits for each of the five tables, and then lets others go first."""

KNOWN = "ON COMMIT DROP AS SELECT user_id FROM import_people JOIN onboarding_users USING (user_id)"
IS_KNOWN = "EXISTS (SELECT FROM import_known k WHERE k.user_id = p.user_id)"
"""Whether the person `p` of a load was here before it."""

Progress = Callable[[str, int, int | None], None]
"""Called with the stage, the rows done and all of them (None: not known), a few times a second at most."""


def quiet(_stage: str, _done: int, _total: int | None) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that can't be imported: where it is (`line 7`, `ada / verify-email`), and why it can't."""

    where: str
    reason: str


class BadRows(Invalid):
    """An import was refused, and nothing of it was kept. `listed` are the first problems, `total` counts all."""

    def __init__(self, listed: Iterable[Problem], total: int) -> None:
        self.listed = tuple(listed)
        self.total = total
        super().__init__({problem.where: problem.reason for problem in self.listed})


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `statuses`: steps of people that were written; `unchanged`: those that said nothing new."""

    new_people: int = 0
    updated_people: int = 0
    statuses: int = 0
    unchanged: int = 0
    steps: int = 0
    releases: int = 0


def driver_connection(session: Session) -> psycopg.Connection[Any]:
    """The session's own connection, for COPY inside its transaction. Raises TypeError where it is not psycopg's."""
    found = session.connection().connection.driver_connection
    if not isinstance(found, psycopg.Connection):
        raise TypeError("imports need psycopg")
    return found


@contextmanager
def copying(session: Session, table: str) -> Iterator[psycopg.Copy]:
    """Copies what is written inside into the table, `name` or `name (columns)`. Raises SQLAlchemy's errors."""
    connection, statement = session.connection(), f"COPY {table} FROM STDIN"
    try:
        with driver_connection(session).cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        is_gone = is_cut(error, connection.engine, connection.connection, connection.invalidate)
        raise failure(error, statement, {}, connection.engine, is_gone=is_gone) from error


def empty(session: Session, tables: Iterable[str]) -> None:
    """Empties the tables, append-only ones too, which the database lets nobody do by accident; ids begin at 1 again."""
    run(session, "SET LOCAL onboarding.emptying = 'on'")
    run(session, f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
    run(session, "SET LOCAL onboarding.emptying = 'off'")


def stage(session: Session, table: str, definition: str) -> int:
    """Makes a table that lasts as long as the transaction, from `(columns)` or `AS SELECT ...`; how many rows it has."""
    run(session, f"DROP TABLE IF EXISTS pg_temp.{table}")
    return run(session, f"CREATE TEMP TABLE {table} {definition}")


def prepare(session: Session, progress: Progress = quiet) -> None:
    """Waits for another import to end, however long that takes, and gives this transaction memory for a few large sorts.

    Before anything else in the transaction, which begins anew after it waited: it is dated from its beginning, and what was
    done meanwhile came first.
    """
    while not session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": locks.IMPORT}):
        progress("Waiting for another import", 0, None)
        run(session, "SET LOCAL lock_timeout = 0")
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.IMPORT})
        run(session, "ROLLBACK AND CHAIN")
    run(session, "SET LOCAL work_mem = '64MB'")
    run(session, "SET LOCAL maintenance_work_mem = '256MB'")
    # compiling queries costs more than it gives here
    run(session, "SET LOCAL jit = off")


@contextmanager
def _lock_timeout(session: Session, longest: str) -> Iterator[None]:
    """What is done inside waits that long for a lock, "0": for ever. After an error the setting goes with the rollback."""
    setting = text("SELECT set_config('lock_timeout', :longest, true)")
    usual = session.scalar(text("SELECT current_setting('lock_timeout')"))
    session.execute(setting, {"longest": longest})
    yield
    session.execute(setting, {"longest": usual})


# In the order in which they come off: a foreign key before the primary key that it points at.
KEYS = text("""
SELECT conrelid::regclass::text AS on_table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint
 WHERE contype IN ('f', 'p') AND conrelid IN ('onboarding_users'::regclass, 'user_search'::regclass,
                                              'user_steps'::regclass, 'user_step_events'::regclass)
 ORDER BY contype, conname
""")
INDEXES = text("""
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
  FROM pg_index
 WHERE indrelid IN ('onboarding_users'::regclass, 'user_search'::regclass, 'user_step_events'::regclass)
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
 ORDER BY 1
""")
# Also the owner of the tables: to anybody else the keys are not theirs to take off.
IS_MOST = text("""
SELECT (SELECT count(*) FROM (SELECT 1 FROM user_steps LIMIT :rows) there) < :rows
   AND (SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class
         WHERE oid IN ('onboarding_users'::regclass, 'user_search'::regclass, 'user_steps'::regclass,
                       'user_step_events'::regclass, 'step_releases'::regclass))
""")
# the last one too: whoever takes off a key that points at it takes it from everybody
TABLES = "onboarding_users, user_search, user_steps, user_step_events, step_releases"


@contextmanager
def loading(session: Session, rows: int) -> Iterator[None]:
    """Load `rows` rows of user_steps, their people and their events inside, fast.

    Where that is most of the table, keys and indexes of these tables are taken off and put back in the same transaction:
    all rows are checked at once, where row by row it takes five times as long. Nobody else reads or writes these tables
    or reads releases meanwhile, an ON CONFLICT finds none, and a row that breaks a key fails the import at the end of the
    block. Where others keep them busy, the keys stay on.
    """
    if rows < MANY_ROWS or not session.scalar(IS_MOST, {"rows": rows}) or not _alone(session):
        yield
        return
    keys, indexes = session.execute(KEYS).all(), session.execute(INDEXES).all()
    for key in keys:
        run(session, f"ALTER TABLE {key.on_table} DROP CONSTRAINT {key.name}")
    for index in indexes:
        run(session, f"DROP INDEX {index.name}")
    yield
    for key in reversed(keys):
        run(session, f"ALTER TABLE {key.on_table} ADD CONSTRAINT {key.name} {key.definition}")
    for index in indexes:
        run(session, index.definition)


def _alone(session: Session) -> bool:
    """Shuts everybody else out of the tables; False: somebody kept them busy all the time.

    Others come to them in any order, and this transaction has read releases before: whoever waits for one table and holds
    another waits in a circle with some of them. So it waits too short for PostgreSQL to look for circles (deadlock_timeout,
    a second), and whoever waited meanwhile goes first.
    """
    for _ in range(ATTEMPTS):
        try:
            with session.begin_nested(), _lock_timeout(session, SHORT):
                run(session, f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
            return True
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
        time.sleep(PAUSE_S)
    return False


def add_people(session: Session, new_people: str, people: int) -> int:
    """Adds those of the `people` of a load who are not known yet, by the statement `new_people`; how many are known.

    Inside `loading`, for where keys are off nobody comes in between. Raises Refused (a race with someone).
    """
    known = stage(session, "import_known", KNOWN)
    if known + run(session, new_people) != people:
        raise Refused("Someone in this import was just added by someone else. Run the import again.")
    return known


def add_statistics(session: Session, *tables: str) -> None:
    """Tells the planner what was just loaded, so that the first pages after it are not slow."""
    for table in tables:
        run(session, f"ANALYZE {table}")
