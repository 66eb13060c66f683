"""What is measured by `make bench`: data as the engine would have left them, and scenarios that do what they say."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard import create_app
from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.onboarding import everybody, imports, invariants
from tests.benchmarks import data
from tests.benchmarks.bare import DATABASE_URL, bare_app
from tests.benchmarks.data import Shape
from tests.benchmarks.harness import run_all
from tests.benchmarks.programs import Processes, Served
from tests.benchmarks.report import line
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.world import Effort, Server, World, settings_of, world
from tests.conftest import PREFIX, SERVER
from tests.serving import served

PEOPLE = 200
SHAPES: list[Shape] = ["funnel", "random"]
_numbers = count()


def broken(session: Session) -> list[tuple[str, tuple[str, ...]]]:
    return [(check.promise, check.examples) for check in invariants.check(session) if not check.holds]


# The data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_loaded_keeps_every_promise_of_the_model(database: Database, shape: Shape) -> None:
    crowd = data.Crowd(PEOPLE, shape)
    data.build(database, crowd)
    with database.transaction() as session:
        assert broken(session) == []
        counts = (
            "SELECT (SELECT count(*) FROM user_steps), (SELECT count(*) FROM user_search), (SELECT count(*) FROM steps)"
        )
        assert tuple(session.execute(text(counts)).one()) == (crowd.rows, PEOPLE, data.STEPS)
        late = "SELECT count(*) FROM user_step_events JOIN onboarding_users USING (user_id) WHERE at < created_at OR at > now()"
        assert session.scalar(text(late)) == 0
        active = "SELECT count(*) FROM onboarding_users u WHERE last_activity_at IS DISTINCT FROM (" + LATEST + ")"
        assert session.scalar(text(active)) == 0
        seen = everybody.overview(session)
        assert seen.everybody == PEOPLE
        assert (
            seen.spread.finished
            == seen.spread.people[100]
            == sum("i" not in code and "." not in code for code in crowd.codes)
        )


LATEST = "SELECT max(updated_at) FROM user_steps us WHERE us.user_id = u.user_id"


def test_a_funnel_gets_narrower_and_random_data_have_every_status_at_every_step() -> None:
    funnel, anything = (data.Crowd(1_000, shape).codes for shape in SHAPES)
    reached = [sum(code[step] in "ds" for code in funnel) for step in range(data.STEPS)]
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > 850 > 200 > reached[-1] > 40
    assert all(code.rstrip(".").rstrip("i").strip("ds") == "" and code.count("i") < 2 for code in funnel)
    for step in range(data.STEPS):
        assert all(200 < people < 300 for people in Counter(code[step] for code in anything).values())
    assert len(set(funnel)) < 300 < 990 < len(set(anything))


def test_the_same_seed_makes_the_same_people() -> None:
    one, same, other = data.Crowd(PEOPLE, "random"), data.Crowd(PEOPLE, "random"), data.Crowd(PEOPLE, "random", seed=6)
    assert (one.codes, list(one.names())) == (same.codes, list(same.names()))
    assert (one.codes, list(one.names())) != (other.codes, list(other.names()))


def test_the_file_says_what_the_data_do(database: Database, tmp_path: Path) -> None:
    crowd = data.Crowd(PEOPLE, "random")
    file = tmp_path / "people.csv"
    file.write_text("".join(crowd.csv()))
    with database.transaction() as session:
        data.checklist(session)
        with file.open("rb") as lines:
            assert imports.import_csv(session, data.MANAGER, lines).statuses == crowd.rows
        done = "SELECT count(*) FROM user_steps WHERE status = 'done'"
        assert session.scalar(text(done)) == sum(code.count("d") for code in crowd.codes)


# The scenarios --------------------------------------------------------------------------------------------------------


class Threads:
    """Serves both in this process, which is all that it takes to see that a scenario works."""

    @contextmanager
    def dashboard(self, url: str, workers: int) -> Iterator[Served]:
        app = create_app(settings_of(url))
        with served(app) as address:
            yield Served(urlsplit(address).port or 0, lambda: 1.0, time.process_time, dict)
        app.extensions["database"].dispose()

    @contextmanager
    def bare(self, url: str) -> Iterator[Served]:
        os.environ[DATABASE_URL] = libpq_url(url)
        app = bare_app()
        with served(app) as address:
            yield Served(urlsplit(address).port or 0, lambda: 1.0, time.process_time, dict)
        app.extensions["pool"].close()


@pytest.fixture
def bench_server() -> Iterator[Server]:
    prefix = os.environ[PREFIX]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    made = Server(os.environ[SERVER], f"{prefix}_bench_{worker}_{next(_numbers)}", f"{prefix}_template")
    yield made
    made.close()


RECEIPTS = "Each release has its receipt, which adds up"
"""Not those of the scenarios that measure a release without its counting."""


def test_every_scenario_runs_and_leaves_the_data_whole(
    bench_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATABASE_URL, "")
    effort = Effort(seconds=0, runs=1, round_s=0.05, requests=8, file_people=PEOPLE)
    damage: list[object] = []

    @contextmanager
    def worlds(people: int, shape: Shape) -> Iterator[World]:
        with world(bench_server, Threads(), people, shape, effort, tmp_path) as made:
            yield made
            with made.database.transaction() as session:
                damage.extend(one for one in broken(session) if one[0] != RECEIPTS)

    told: list[str] = []
    results = run_all(SCENARIOS, [PEOPLE], worlds, lambda one, people: told.append(line(one, people)))
    assert [one.failures for one in results if one.failures] == []
    assert len(told) == len(results) == sum(len(one.shapes) for one in SCENARIOS)
    assert damage == []
    without = {one.scenario.key for one in results if one.shape == "funnel" and not one.measured[PEOPLE].references}
    assert without == {"filter", "person", "overview", "pages"}
    figures = [of for one in results for of in (one.measured[PEOPLE].ours, *one.measured[PEOPLE].references.values())]
    assert all(of.runs == 1 and of.median > 0 for of in figures)


def test_a_program_is_measured_from_outside(bench_server: Server, tmp_path: Path) -> None:
    with bench_server.database() as url, Processes(tmp_path).dashboard(url, 1) as program:
        connection = HTTPConnection("127.0.0.1", program.port, timeout=20)
        connection.request("GET", "/sign-in", headers={"X-Request-ID": "sign-in.user-1.000001"})
        assert connection.getresponse().read()
        connection.close()
        assert 0 < program.server_ms()["sign-in.user-1.000001"] < 20_000
        assert 20 < program.memory_mib() < 500
        assert 0 < program.processor_s() < 60
    assert list(tmp_path.iterdir()) == []


def test_the_bare_views_answer_without_checking(bench_server: Server, tmp_path: Path) -> None:
    with world(bench_server, Threads(), PEOPLE, "funnel", Effort(), tmp_path) as made:
        assert made.plain
        with Processes(tmp_path).bare(made.url) as program:
            connection = HTTPConnection("127.0.0.1", program.port, timeout=20)
            body = json.dumps({"user_id": "user-1", "status": "skipped"})
            connection.request("PATCH", "/api/onboarding/steps/step-1", body, {"Content-Type": "application/json"})
            assert connection.getresponse().read()
            connection.request("GET", "/api/onboarding/steps?user_id=user-1")
            (first, *_) = json.loads(connection.getresponse().read())["steps"]
            connection.close()
    assert (first["id"], first["status"], first["version"]) == ("step-1", "skipped", 1)
