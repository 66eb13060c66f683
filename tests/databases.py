"""A database for many tests, each of which finds it as if it were new: emptying one takes a tenth of making one.

What many tests begin with is made once, too, and then copied into the database: see Worlds.

The server may be the coordinator of a Citus cluster, one whose database that TEST_DATABASE_URL names knows the nodes:
then every database is made on all of them, and distributed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from dashboard import cluster
from dashboard.config import Settings, libpq_url
from dashboard.database import Database
from dashboard.models import Base
from dashboard.schema import migrate

Server = psycopg.Connection[Any]
Address = Callable[[str], str]
T = TypeVar("T")

TABLES = [table.name for table in Base.metadata.sorted_tables]
AT_MOST = 300
"""Tests in one database: what they deleted lies about in it, and makes plans and scans worse."""

# What a test may have done to a database besides filling it.
SHAPE = """
SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute), (SELECT count(*) FROM pg_proc),
       (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_trigger WHERE tgenabled = 'O'),
       (SELECT count(*) FROM pg_db_role_setting), (SELECT string_agg(version_num, ' ') FROM alembic_version)
"""
OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
BUSY_OTHERS = f"{OTHERS} AND state <> 'idle'"
WAITING = "SELECT count(*) FROM {activity} WHERE datname = current_database() AND wait_event_type = 'Lock'"
LOOK_AGAIN = "SELECT pg_stat_clear_snapshot()"
PATIENCE_S = 5
BLOCKED_WITHIN_S = 15
ONE_AT_A_TIME = 6_401_883
_numbers = count(1)
# the triggers that refuse to forget are for the program
EMPTY = ("; ".join(["SET session_replication_role = replica", *(f"DELETE FROM {name}" for name in TABLES)]),)
# no node of a cluster knows of that: there it is done by TRUNCATE, as who means it may; each node is told by itself
EMPTY_CLUSTER = (
    "BEGIN",
    "SET LOCAL citus.propagate_set_commands = 'local'",
    "SET LOCAL onboarding.emptying = 'on'",
    f"TRUNCATE {', '.join(TABLES)}",
    "COMMIT",
)
RESTART = """
SELECT setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_class ON oid = seqrelid
"""

# What a table's columns are to an INSERT, and each as text that is SQL. A moment is as long ago as it was: pages say so.
COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum), string_agg(CASE
       WHEN atttypid = 'timestamptz'::regtype
       THEN format('coalesce(%%L || extract(epoch FROM now() - %%I) || %%L, %%L)',
                   'now() - make_interval(secs => ', attname, ')', 'NULL')
       ELSE format('quote_nullable(%%I::text)', attname) END, $$ || ', ' || $$ ORDER BY attnum)
  FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped
"""
COUNTED = """
SELECT format('SELECT setval(%L, %s)', quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value)
  FROM pg_sequences WHERE last_value IS NOT NULL
"""


def make(server: Server, name: str, template: str, address: Address, *, distributed: bool = True) -> None:
    """Makes a migrated database: a copy of the template, or on a cluster a new one on each node, distributed over them.

    `distributed=False`: on a cluster it is left empty.
    """
    nodes = nodes_of(server)
    if not nodes:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return
    for host, port, _ in nodes:
        with _on(server, host, port) as node:
            node.execute(f"CREATE DATABASE {name}")
        with _on(server, host, port, name) as node:
            node.execute("CREATE EXTENSION citus")
    with psycopg.connect(libpq_url(address(name)), autocommit=True) as coordinator:
        for host, port, is_coordinator in nodes:
            add = "citus_set_coordinator_host" if is_coordinator else "citus_add_node"
            coordinator.execute(f"SELECT {add}(%s, %s)", (host, port))
    if distributed:
        migrate(address(name))
        distribute(address(name))


def made_once(server: Server, name: str, template: str, fill: Callable[[str], None]) -> str:
    """The name of a database that is a copy of the template and filled, by the first worker that asks for it."""
    server.execute("SELECT pg_advisory_lock(%s)", (ONE_AT_A_TIME,))
    try:
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            draft = f"{name}_draft"
            server.execute(f"CREATE DATABASE {draft} TEMPLATE {template}")
            fill(draft)
            end_others(server, draft)
            server.execute(f"ALTER DATABASE {draft} RENAME TO {name}")
    finally:
        server.execute("SELECT pg_advisory_unlock(%s)", (ONE_AT_A_TIME,))
    return name


@contextmanager
def own_copy(server: Server, template: str) -> Iterator[str]:
    """The name of a copy of the database, which is dropped afterwards."""
    name = f"{template}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    remove(server, name)


def distribute(url: str) -> cluster.Plan:
    """Distributes a migrated database as `dashboard distribute` does."""
    database = Database(Settings(database_url=url, secret_key="", demo=False, data_dir=Path()))
    try:
        with database.transaction() as session:
            return cluster.distribute(session)
    finally:
        database.dispose()


def end_others(server: Server, name: str, others: LiteralString = OTHERS) -> None:
    """Ends what is connected to the database beside the server's own connection, and waits until it has ended.

    PostgreSQL's own ways to wait, DROP DATABASE WITH (FORCE) too, look every 100 ms: longer than most tests take.
    """
    until = time.monotonic() + PATIENCE_S
    while server.execute(others, (name,)).rowcount and time.monotonic() < until:
        time.sleep(0.001)


def wait_until_blocked(session: Session) -> None:
    """Until some transaction of this database waits for a lock: the workers of the run have databases of their own."""
    waiting, look_again = text(WAITING.format(activity="pg_stat_activity")), text(LOOK_AGAIN)
    if session.scalar(text("SELECT to_regclass('citus_stat_activity')")):  # that of all nodes
        waiting = text(WAITING.format(activity="citus_stat_activity"))
        look_again = text(f"SELECT run_command_on_all_nodes('{LOOK_AGAIN}')")
    until = time.monotonic() + BLOCKED_WITHIN_S
    while not session.scalar(waiting):
        assert time.monotonic() < until, "nobody waits"
        time.sleep(0.01)
        # what it was told of the others at first it would be told again in the same transaction
        session.execute(look_again)


@contextmanager
def sent(target: Engine | Connection, *tables: str) -> Iterator[list[tuple[str, Any]]]:
    """The statements that go to the database meanwhile, by this connection or by any of this engine, with their values.

    `tables`: only those that name one of them.
    """
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if not tables or any(table in statement for table in tables):
            seen.append((statement, values))

    event.listen(target, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(target, "before_cursor_execute", note)


def remove(server: Server, name: str) -> None:
    """Drops the database, on every node where there is one of that name."""
    for host, port, is_coordinator in nodes_of(server):
        if not is_coordinator:
            with _on(server, host, port) as node:
                node.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    end_others(server, name)
    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def nodes_of(server: Server) -> list[tuple[str, int, bool]]:
    """Host and port of each node of the cluster that the server coordinates, and whether it is that; none: no cluster."""
    if server.execute("SELECT to_regclass('pg_dist_node')").fetchone() == (None,):
        return []
    return server.execute("SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node ORDER BY groupid").fetchall()


def _on(server: Server, host: str, port: int, name: str = "postgres") -> Server:
    """A connection to that node, as whoever is connected to the server."""
    info = server.info
    return psycopg.connect(host=host, port=port, user=info.user, password=info.password, dbname=name, autocommit=True)


class Databases:
    """The database of one worker's tests, made from the template when there is none that can be used again."""

    def __init__(self, server: Server, prefix: str, template: str, address: Address) -> None:
        self.server, self.prefix, self.template, self.address = server, prefix, template, address
        self.empty = EMPTY_CLUSTER if nodes_of(server) else EMPTY
        self.made, self.tests, self.shape = 0, 0, None
        self.own: psycopg.Connection[Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.prefix}_{self.made}"

    def take(self) -> str:
        """The address of a database that is as the template."""
        if self.own is None:
            self.made, self.tests = self.made + 1, 0
            make(self.server, self.name, self.template, self.address)
            self.own = psycopg.connect(libpq_url(self.address(self.name)), autocommit=True)
            self.shape = self._shape()
        self.tests += 1
        return self.address(self.name)

    def give_back(self) -> None:
        """Empties it for the next test, or drops it where that is not enough."""
        assert self.own is not None
        try:
            # what waits in a pool for the next test may stay
            end_others(self.own, self.name, BUSY_OTHERS)
            if self.tests < AT_MOST and self._shape() == self.shape:
                for statement in self.empty:
                    self.own.execute(sql.SQL(statement))
                self.own.execute(RESTART)
                self.own.execute("RESET ALL")
                return
        except psycopg.Error:
            pass
        self.drop()

    def drop(self) -> None:
        if self.own is not None:
            self.own.close()
            self.own = None
            remove(self.server, self.name)

    def _shape(self) -> Any:
        assert self.own is not None
        return self.own.execute(SHAPE).fetchone()


class Worlds:
    """What many tests begin with, made by the engine once in a worker and afterwards as the rows that it left.

    On a cluster it is made for each test: there rows lie where the engine has put them.
    """

    def __init__(self, databases: Databases, workshop: Databases) -> None:
        self.databases, self.workshop = databases, workshop
        self.on_cluster = bool(nodes_of(databases.server))
        self.opened: Database | None = None
        self.made: dict[Callable[[Session], Any], tuple[str, Any]] = {}

    def build(self, database: Database, world: Callable[[Session], T]) -> T:
        """Fills a test's database, in which there are at most a few staff accounts, as `world(session)` would; commits.

        Returns what `world` has returned: plain values, no rows of the session.
        """
        if self.on_cluster:
            with Session(database.engine, expire_on_commit=False) as session:
                made = world(session)
                session.commit()
            return made
        if world not in self.made:
            self.made[world] = self._make(world)
        rows, made = self.made[world]
        assert self.databases.own is not None
        self.databases.own.execute(sql.SQL(rows))
        return deepcopy(made)

    def _make(self, world: Callable[[Session], T]) -> tuple[str, T]:
        """The statements that put the rows of the world into an empty database, and what it has returned."""
        url = self.workshop.take()
        if self.opened is None or self.opened.engine.url.database != self.workshop.name:
            self.opened = Database(Settings(database_url=url, secret_key="", demo=False, data_dir=Path()))
        with Session(self.opened.engine, expire_on_commit=False) as session:
            made = world(session)
            session.commit()
        self.opened.dispose()
        assert self.workshop.own is not None
        rows = _rows(self.workshop.own)
        self.workshop.give_back()
        return rows, made


def _rows(connection: Server) -> str:
    """The statements that put every row of the database into an empty one, in one transaction."""
    parts = ["BEGIN", "SET LOCAL session_replication_role = replica"]
    with connection.transaction():
        for name in TABLES:
            [(columns, values)] = connection.execute(COLUMNS, (name,)).fetchall()
            found = connection.execute(sql.SQL(f"SELECT '(' || {values} || ')' FROM {name}")).fetchall()
            if found:
                into = f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE VALUES "
                parts.append(into + ", ".join(row for (row,) in found))
        parts += [count for (count,) in connection.execute(COUNTED)]
    return "; ".join([*parts, "COMMIT"])
