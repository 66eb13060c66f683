"""The support desk at a million people and ten steps, as whole requests; beside it Flask-Admin's list of the same table.

It prints; it judges nothing. Building the data takes minutes: `BENCH_PEOPLE=1000000 make bench`.
"""

from __future__ import annotations

import os
import resource
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from dashboard import create_app
from dashboard.database import Database
from dashboard.models import User
from dashboard.onboarding import bulk_changes
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.paging import BY_NAME, write_cursor
from dashboard.staff.permissions import Role
from tests.benchmarks.measure import Timing, ratio, say, timed
from tests.benchmarks.servers import settings_of
from tests.staff.signed_in import sign_in_as

AGENT = Actor("staff:agent@example.com", "web")
LISTS = [
    *("", "sort=active", "sort=inactive", "sort=furthest", "sort=least", "sort=newest", "sort=oldest"),
    *(
        f"q={q}"
        for q in ("amara", "zo", "z", "okafor", "amara+okafor", "user-77777", "company42", "ova", "example", "xq")
    ),
    *(f"step=step-5&status={status}" for status in ("done", "skipped", "in_progress", "todo")),
    *(f"step=step-9&status={status}&sort=furthest" for status in ("done", "todo")),
    *("finished=yes", "finished=no&sort=furthest", "progress=100", "progress=40-49&sort=inactive", "progress=97"),
    *(
        "idle=14",
        "idle=300&sort=inactive",
        "idle=300&finished=no&sort=furthest",
        "joined_from=2026-09-01&joined_to=2026-09-02",
    ),
    *("q=amara&step=step-5&status=done&sort=inactive", "q=zhang&sort=furthest", "q=berg&finished=yes&sort=newest"),
]

pytestmark = pytest.mark.skipif("BENCH_PEOPLE" not in os.environ, reason="set BENCH_PEOPLE=1000000 to build the data")


@pytest.fixture(scope="module")
def agent(database: Database) -> Iterator[FlaskClient]:
    """A browser in which a support agent is signed in, to the app on that database."""
    settings = settings_of(database.engine.url.render_as_string(hide_password=False))
    app = create_app(replace(settings, secret_key="of a benchmark"))
    client = app.test_client()
    sign_in_as(client, database, Role.SUPPORT)
    yield client
    app.extensions["database"].dispose()


def asking(client: FlaskClient, address: str) -> Callable[[], None]:
    def ask() -> None:
        assert client.get(address).status_code == 200

    return ask


def test_the_list_of_people(agent: FlaskClient) -> None:
    """The first page of each search, filter and order, one after the other."""
    print()
    timings = {query: timed(asking(agent, f"/people?{query}"), runs=5, warm_up=1)[0] for query in LISTS}
    for query, timing in timings.items():
        say(f"/people?{query}"[:52], timing)
    every = sorted(timing.median for timing in timings.values())
    say("median of them (aim: under 50 ms)", f"{statistics.median(every):9.1f} ms")
    say("the slowest (aim: under 150 ms)", f"{every[-1]:9.1f} ms")


def test_page_1000_and_flask_admin(agent: FlaskClient, database: Database) -> None:
    """Page 1 and page 1,000 by keyset, and the same pages of Flask-Admin, which counts and skips."""
    query = text("SELECT name, user_id FROM onboarding_users ORDER BY lower(name), user_id OFFSET 24974 LIMIT 1")
    with database.transaction() as session:
        before = session.execute(query).one()
    deep = write_cursor("after", BY_NAME, before)
    admin = flask_admin(database)
    first, thousandth, admins, admins_thousandth, admins_search = timed(
        asking(agent, "/people"),
        asking(agent, f"/people?cursor={deep}"),
        asking(admin, "/admin/people/"),
        asking(admin, "/admin/people/?page=999"),
        asking(admin, "/admin/people/?search=okafor"),
        runs=7,
        warm_up=1,
    )
    print()
    say("page 1 by name", first)
    say("page 1,000 by name", thousandth)
    ratio("page 1,000 against page 1", thousandth, first, 1.0)
    say("Flask-Admin, page 1", admins)
    say("Flask-Admin, page 1,000", admins_thousandth)
    say("Flask-Admin, searched for “okafor”", admins_search)
    ratio("page 1 against Flask-Admin's", first, admins, 1.0)


def flask_admin(database: Database) -> FlaskClient:
    """Flask-Admin's list of the same table with the same columns, searched in the same ones."""
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
        session = scoped_session(sessionmaker(database.engine))
        app.teardown_appcontext(lambda _: session.remove())
        Admin(app).add_view(People(User, session, endpoint="people"))
    return app.test_client()


def test_a_person(agent: FlaskClient, database: Database) -> None:
    """People's pages, a different one each time."""
    with database.transaction() as session:
        some = list(session.scalars(text("SELECT user_id FROM onboarding_users ORDER BY md5(user_id) LIMIT 200")))
    turn = count()
    (taken,) = timed(lambda: asking(agent, f"/people/{some[next(turn) % 200]}")(), runs=60, warm_up=5)
    print()
    say("a person's page (aim: under 30 ms)", taken)


HAND_WRITTEN = text("""
WITH written AS (
    INSERT INTO user_steps AS us (user_id, step_id, status, release_id, row_version, updated_at, updated_by)
    SELECT user_id, :step_id, 'done', :release_id, 2, now(), 'by hand' FROM unnest(CAST(:people AS text[])) AS user_id
        ON CONFLICT (user_id, step_id) DO UPDATE
       SET status = 'done', release_id = :release_id, row_version = us.row_version + 1, updated_at = now()
 RETURNING user_id, row_version
), told AS (
    INSERT INTO user_step_events (user_id, step_id, row_version, actor, source, from_status, to_status, release_id)
    SELECT user_id, :step_id, row_version, 'by hand', 'bulk', 'todo', 'done', :release_id FROM written
)
UPDATE onboarding_users u SET done_releases = array_append(u.done_releases, :release_id), last_activity_at = now()
  FROM written w WHERE w.user_id = u.user_id
""")


def test_a_bulk_change(database: Database) -> None:
    """10,000 people set to Done, previewed and accounted for, beside one statement by hand that checks nothing."""
    with database.transaction() as session:
        release_id = session.scalar(text("SELECT current_release_id FROM steps WHERE step_id = 'step-10'"))

    def some(session: Session) -> list[str]:
        query = text("""SELECT u.user_id FROM onboarding_users u
                         WHERE NOT EXISTS (SELECT FROM user_steps us WHERE us.user_id = u.user_id AND step_id = 'step-10')
                         ORDER BY md5(u.user_id) LIMIT 10000""")
        return list(session.scalars(query))

    runs: dict[str, list[float]] = {"prepare": [], "ours": [], "by hand": []}
    for _ in range(4):
        with database.transaction() as session:
            people = some(session)
        made: list[int] = []

        def prepare(people: list[str] = people, made: list[int] = made) -> None:
            with database.transaction() as session:
                made.append(bulk_changes.create(session, AGENT, people, "step-10", "done"))

        def ours(made: list[int] = made) -> None:
            finished = False
            while not finished:
                with database.transaction() as session:
                    finished = bulk_changes.carry_on(session, AGENT, made[0]).finished_at is not None

        runs["prepare"] += timed(prepare, runs=1, warm_up=0)[0].runs
        runs["ours"] += timed(ours, runs=1, warm_up=0)[0].runs
        with database.transaction() as session:
            people = some(session)

        def by_hand(people: list[str] = people) -> None:
            with database.transaction() as session:
                session.execute(HAND_WRITTEN, {"people": people, "step_id": "step-10", "release_id": release_id})

        runs["by hand"] += timed(by_hand, runs=1, warm_up=0)[0].runs
    taken = {name: Timing(tuple(of_name)) for name, of_name in runs.items()}
    print()
    say("bulk change of 10,000: its preview", taken["prepare"])
    say(f"bulk change of 10,000: carried out in {10_000 // bulk_changes.BATCH} batches", taken["ours"])
    say("one statement by hand", taken["by hand"])
    ratio("carried out against it", taken["ours"], taken["by hand"], 1.5)


def test_everybody_as_a_file(agent: FlaskClient) -> None:
    """All people as CSV, and what it costs in memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def export() -> None:
        lines = sum(chunk.count(b"\n") for chunk in agent.get("/people.csv", buffered=False).iter_encoded())
        assert lines > int(os.environ["BENCH_PEOPLE"])

    (taken,) = timed(export, runs=1, warm_up=0)
    print()
    say("everybody as CSV", taken)
    say(
        "peak memory more than before",
        f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:9.1f} MiB",
    )
