"""One PostgreSQL server for a whole run, shared by its workers; an empty database for each test that asks for one."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import hypothesis
import psycopg
import pytest
from argon2 import PasswordHasher
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from dashboard.config import Settings, libpq_url, sqlalchemy_url
from dashboard.database import Database
from dashboard.staff import passwords
from tests.databases import Databases, Worlds, made_once, nodes_of, own_copy, remove

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.provider import Provider

# a slow machine is no fault of what it runs, and a run that failed can be had again
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

# what is left of argon2 is the same code, without 64 MiB and three passes for each password
passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
# a process computes it once: in no test of its own
passwords.dummy_hash()

# each HTTP client would read the certificates of all authorities anew, and none meets one here
ssl.create_default_context = cache(ssl.create_default_context)

# much is imported, nothing of it is garbage, and looking for some after every 700 objects is a twentieth of a run
gc.set_threshold(10_000, 20, 20)

Connect = Callable[[], psycopg.Connection[Any]]

# how the process that started the run tells its workers; set TEST_DATABASE_URL to use a server of your own
SERVER, PREFIX = "TEST_DATABASE_URL", "TEST_DATABASE_PREFIX"
ROOM = 4 << 30
_cleanup = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Starts the server and makes the template in the process that starts the run, not in its workers."""
    if hasattr(config, "workerinput") or config.option.collectonly or config.option.help:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if SERVER not in os.environ:
        os.environ[SERVER] = _start_server()
        _cleanup.callback(os.environ.pop, SERVER, None)
    os.environ[PREFIX] = f"test_{os.getpid()}"
    _cleanup.callback(_drop_databases)
    _make_template()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keeps what was imported and collected out of all further looks for garbage."""
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops what pytest_configure started, also after an interrupt."""
    _cleanup.close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Passes over what cannot be shown on this server."""
    of_cluster, of_server = item.get_closest_marker("cluster"), item.get_closest_marker("one_server")
    of_demo = item.get_closest_marker("on_the_demo")
    if not (of_cluster or of_server or of_demo):
        return
    with _server() as server:
        is_cluster = bool(nodes_of(server))
    if of_cluster and not is_cluster:
        pytest.skip("this server has no Citus; TEST_DATABASE_URL can lead to one that has")
    if of_server and is_cluster:
        pytest.skip(of_server.args[0])
    if of_demo and is_cluster:
        pytest.skip("the demo is for a single server")


def _start_server() -> str:
    from dashboard.embedded import running

    folder = Path(tempfile.mkdtemp(prefix="dashboard-tests-", dir=in_memory()))
    folder.chmod(0o755)
    _cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    return _cleanup.enter_context(running(folder, durable=False))


def in_memory() -> Path | None:
    """A folder in memory with room for all databases of a run, where there is one: copying them costs a quarter there."""
    folder = Path("/dev/shm")
    has_room = folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM
    return folder if has_room else None


def _make_template() -> None:
    from dashboard.schema import migrate

    template = f"{os.environ[PREFIX]}_template"
    with _server() as server:
        server.execute(f"CREATE DATABASE {template}")
    migrate(url_of(template))


def _drop_databases() -> None:
    with _server() as server:
        ours = (f"{os.environ[PREFIX]}_",)
        found = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", ours)
        for (name,) in found.fetchall():
            remove(server, name)


def _server() -> psycopg.Connection[Any]:
    return psycopg.connect(libpq_url(sqlalchemy_url(os.environ[SERVER])), autocommit=True)


def url_of(name: str) -> str:
    """The SQLAlchemy address of a database of the test server."""
    return make_url(sqlalchemy_url(os.environ[SERVER])).set(database=name).render_as_string(hide_password=False)


def test_settings(url: str, folder: Path) -> Settings:
    """Settings for tests: a small pool, and statements that end; a slow machine may think long between two of them."""
    return Settings(
        database_url=url,
        secret_key="only-for-tests-" * 3,
        demo=False,
        data_dir=folder,
        pool_size=4,
        statement_timeout_ms=20_000,
        idle_transaction_timeout_ms=120_000,
    )


test_settings.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def server() -> Iterator[psycopg.Connection[Any]]:
    """An autocommitting connection to the test server, for making and dropping databases."""
    with _server() as connection:
        yield connection


@pytest.fixture(scope="session")
def databases(server: psycopg.Connection[Any]) -> Iterator[Databases]:
    """This worker's databases, one after the other."""
    prefix = os.environ[PREFIX]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    made = Databases(server, f"{prefix}_{worker}", f"{prefix}_template", url_of)
    yield made
    made.drop()


@pytest.fixture(scope="session")
def worlds(server: psycopg.Connection[Any], databases: Databases) -> Iterator[Worlds]:
    """What this worker's tests begin with, each world made when a test first asks for it."""
    prefix = os.environ[PREFIX]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    workshop = Databases(server, f"{prefix}_{worker}_worlds", f"{prefix}_template", url_of)
    yield Worlds(databases, workshop)
    workshop.drop()


@pytest.fixture(scope="session")
def demo_template(server: psycopg.Connection[Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that holds the demo."""
    from dashboard import demo

    def fill(name: str) -> None:
        database = Database(test_settings(url_of(name), tmp_path_factory.getbasetemp()))
        with database.transaction() as session:
            assert demo.fill(session)
        database.dispose()

    return made_once(server, f"{os.environ[PREFIX]}_demo", f"{os.environ[PREFIX]}_template", fill)


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, databases: Databases, server: psycopg.Connection[Any]
) -> Iterator[str]:
    """The address of a migrated database that is this test's own while it runs, and empty or `on_the_demo`."""
    if request.node.get_closest_marker("on_the_demo"):
        with own_copy(server, request.getfixturevalue("demo_template")) as name:
            yield url_of(name)
        return
    yield databases.take()
    databases.give_back()


KEPT = 4
_databases: dict[Settings, Database] = {}
_apps: dict[Settings, Flask] = {}
Made = TypeVar("Made")


def _kept(
    kept: dict[Settings, Made], settings: Settings, make: Callable[[Settings], Made], end: Callable[[Made], None]
) -> Made:
    """What was made for these settings, if they are among those asked for last; where the data lie is no matter."""
    key = replace(settings, data_dir=Path())
    made = kept.pop(key, None) or make(settings)
    kept[key] = made
    if len(kept) > KEPT:
        end(kept.pop(next(iter(kept))))
    return made


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings for this test's database."""
    return test_settings(database_url, tmp_path)


@pytest.fixture
def database(settings: Settings) -> Database:
    """This test's database. What its engine has compiled for tests before it stays compiled, and connections stay open."""
    return _kept(_databases, settings, Database, Database.dispose)


class Build(Protocol):
    """`build(world)` fills this test's database as `world(session)` would, and commits; what that returns is returned.

    For what many tests begin with: `world` runs once and then its rows are copied, which takes a tenth of the time. It is a
    function of the module, makes the same each time, and returns plain values.
    """

    def __call__(self, world: Callable[[Session], Made]) -> Made: ...


@pytest.fixture
def build(worlds: Worlds, database: Database) -> Build:
    """Fills this test's database. See Build."""
    return partial(worlds.build, database)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session that the test may commit; what it leaves open is rolled back."""
    with Session(database.engine, expire_on_commit=False) as opened:
        yield opened


@pytest.fixture
def connect(database_url: str) -> Iterator[Connect]:
    """Opens raw psycopg connections to this test's database, for tests of concurrency."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(_closing(psycopg.connect(libpq_url(database_url))))


class _closing:  # noqa: N801  (psycopg's own context manager would commit)
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def __enter__(self) -> psycopg.Connection[Any]:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class _CompiledTemplates(BytecodeCache):
    """Templates compiled once in a process: compiling is most of what the first page of an app costs."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


# of every app, also of those that tests make themselves
Flask.jinja_options = {"bytecode_cache": _CompiledTemplates()}


def _made(settings: Settings) -> Flask:
    from dashboard import create_app

    made = create_app(settings)
    made.testing = True
    return made


def _end(app: Flask) -> None:
    app.extensions["database"].dispose()


@contextmanager
def lent(kept: dict[Settings, Flask], settings: Settings, make: Callable[[Settings], Flask]) -> Iterator[Flask]:
    """One app for many tests, each of which finds it as it was made."""
    app = _kept(kept, settings, make, _end)
    config, extensions = dict(app.config), dict(app.extensions)
    app.extensions["settings"] = settings
    yield app
    for of_app, was in ((app.config, config), (app.extensions, extensions)):
        of_app.clear()
        of_app.update(was)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The web application on this test's database."""
    with lent(_apps, settings, _made) as made:
        yield made


@pytest.fixture
def new_app(settings: Settings) -> Iterator[Flask]:
    """An app of this test's own, to which it may add routes."""
    made = _made(settings)
    yield made
    _end(made)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without JavaScript, signed in as nobody."""
    return app.test_client()


def csrf_token(page: str) -> str:
    """The CSRF token of a page with a form."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, "the page has no form with a CSRF token"
    return found[1]


@pytest.fixture(scope="session")
def provider_of_worker() -> Iterator[Provider]:
    """The OpenID Connect provider of this worker, started by the first test that wants it."""
    from tests.provider import running

    with running() as started:
        yield started


@pytest.fixture
def provider(provider_of_worker: Provider) -> Provider:
    """A real OpenID Connect provider, at which nobody is known yet."""
    provider_of_worker.reset()
    return provider_of_worker
