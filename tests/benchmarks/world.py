"""The world that a scenario is measured in: a filled database, and whatever asks it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import scoped_session, sessionmaker

from dashboard import create_app
from dashboard.config import Settings, sqlalchemy_url
from dashboard.database import Database
from dashboard.models import User
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.straight import EACH_ALONE
from dashboard.schema import migrate
from dashboard.staff import tokens
from dashboard.staff.permissions import Role, Scope
from tests.benchmarks import data
from tests.benchmarks.plain import Plain
from tests.benchmarks.programs import Programs
from tests.staff.signed_in import sign_in_as

AGENT = Actor("staff:agent@example.com", "web")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time goes into measuring. `seconds`: for each side of a scenario; `round_s`: for all callers at once.

    `runs`: no more than so many of each side. `requests`: before memory is looked at; `file_people`: in an imported file.
    """

    seconds: float = 3.0
    runs: int = 100_000
    round_s: float = 2.0
    requests: int = 10_000
    file_people: int = 100_000


class Server:
    """A PostgreSQL server, on which databases are made from a template with the schema in it, and dropped again."""

    def __init__(self, url: str, prefix: str = "bench", template: str = "") -> None:
        self.url, self.prefix = make_url(sqlalchemy_url(url)), prefix
        self.admin = Database(settings_of(self.address(self.url.database or "")))
        self.template = template or self._migrated()
        self.numbers = count(1)

    def address(self, name: str) -> str:
        """SQLAlchemy's address of one of its databases."""
        return self.url.set(database=name).render_as_string(hide_password=False)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of an empty database with the schema, as long as the block lasts."""
        name = f"{self.prefix}_{next(self.numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        try:
            yield self.address(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def version(self) -> str:
        """What the server says it is."""
        with self.admin.statements() as session:
            return str(session.execute(text("SHOW server_version")).scalar_one())

    def close(self) -> None:
        """Closes its connections."""
        self.admin.dispose()

    def _migrated(self) -> str:
        name = f"{self.prefix}_template"
        self._run(f"CREATE DATABASE {name}")
        migrate(self.address(name))
        return name

    def _run(self, statement: str) -> None:
        with self.admin.engine.connect().execution_options(**EACH_ALONE) as connection:
            connection.execute(text(statement))


def settings_of(address: str) -> Settings:
    """Settings for that address, with no time-out that a benchmark would meet."""
    return Settings(
        database_url=address,
        secret_key="only for a benchmark",
        demo=False,
        data_dir=Path(),
        statement_timeout_ms=600_000,
        lock_timeout_ms=600_000,
        idle_transaction_timeout_ms=600_000,
        rate_limit=0,
    )


class World:
    """A database of so many people in one shape, and who asks it: made when they are first asked for."""

    def __init__(
        self, server: Server, programs: Programs, url: str, people: int, shape: data.Shape, effort: Effort, folder: Path
    ) -> None:
        self.server, self.programs, self.url = server, programs, url
        self.people, self.shape, self.effort, self.folder = people, shape, effort, folder
        self.database = Database(settings_of(url))

    def close(self) -> None:
        """Closes every connection to the database."""
        for made in ("agent", "admin"):
            if made in self.__dict__:
                self.__dict__[made].application.extensions["database"].dispose()
        self.database.dispose()

    @cached_property
    def plain(self) -> Plain:
        """The same progress as a first version would have it."""
        return Plain(self.database)

    @cached_property
    def agent(self) -> FlaskClient:
        """A browser in which a support agent is signed in, with the app in this process."""
        client = create_app(settings_of(self.url)).test_client()
        sign_in_as(client, self.database, Role.SUPPORT)
        return client

    @property
    def cookie(self) -> dict[str, str]:
        """The header by which a served dashboard knows the same agent."""
        found = self.agent.get_cookie("staff_session")
        assert found is not None
        return {"Cookie": f"{found.key}={found.value}"}

    @cached_property
    def token(self) -> dict[str, str]:
        """The header of a host's backend that may do everything."""
        with self.database.transaction() as session:
            made = tokens.create(session, data.MANAGER, name="benchmark", scopes=list(Scope))
        return {"Authorization": f"Bearer {made.secret}"}

    @cached_property
    def admin(self) -> FlaskClient:
        """Flask-Admin's list of the same people with the same columns, searched in the same ones."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from flask_admin import Admin
            from flask_admin.contrib.sqla import ModelView

            class People(ModelView):  # type: ignore[misc]
                column_list = ("user_id", "name", "email", "created_at", "last_activity_at")
                column_searchable_list = ("name", "email", "user_id")
                column_default_sort = "name"
                page_size = 25

            app = Flask("flask_admin")
            app.secret_key = "of a benchmark"
            app.extensions["database"] = database = Database(settings_of(self.url))
            session = scoped_session(sessionmaker(database.engine))
            app.teardown_appcontext(lambda _: session.remove())
            Admin(app).add_view(People(User, session, endpoint="people"))
        return app.test_client()


@contextmanager
def world(
    server: Server, programs: Programs, people: int, shape: data.Shape, effort: Effort, folder: Path
) -> Iterator[World]:
    """A world of that size and shape, gone again at the end."""
    with server.database() as url:
        made = World(server, programs, url, people, shape, effort, folder)
        try:
            data.build(made.database, data.Crowd(people, shape))
            yield made
        finally:
            made.close()
