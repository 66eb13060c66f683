"""What is measured: requests by their route and never by their address, and what was committed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard import metrics
from dashboard.database import Database
from dashboard.onboarding import bulk_changes, releases
from dashboard.onboarding.carryover import Policy
from tests import factories
from tests.api.conftest import Caller
from tests.factories import ANNA, BEN, HOST, MAYA, SAM, STEP

SAVE = {"user_id": ANNA, "status": "done", "row_version": 1}
ADDRESS = f"/api/onboarding/steps/{STEP}"


def value(name: str, **labels: str) -> float:
    """How far a count of this process is; it is shared by all tests, so look at it twice."""
    return metrics.REGISTRY.get_sample_value(f"onboarding_{name}", labels) or 0.0


def requests(rule: str, method: str, status: str) -> float:
    return value("http_requests_total", rule=rule, method=method, status=status)


def series(app: Flask) -> set[str]:
    return set(re.findall(r"^(onboarding_http_\S+)", app.test_client().get("/metrics").text, re.MULTILINE))


@pytest.fixture
def api(app: Flask) -> Caller:
    return Caller(app)


@pytest.fixture
def world(session: Session) -> Session:
    factories.a_step(session)
    factories.a_person(session)
    session.commit()
    return session


def test_a_request_is_counted_by_its_route(client: FlaskClient) -> None:
    before = (
        requests("/healthz", "GET", "2xx"),
        value("http_request_duration_seconds_count", rule="/healthz", method="GET"),
    )
    client.get("/healthz")
    after = (
        requests("/healthz", "GET", "2xx"),
        value("http_request_duration_seconds_count", rule="/healthz", method="GET"),
    )
    assert [now - was for was, now in zip(before, after, strict=True)] == [1, 1]


def test_its_duration_is_in_seconds(client: FlaskClient) -> None:
    before = value("http_request_duration_seconds_sum", rule="/healthz", method="GET")
    client.get("/healthz")
    assert 0 < value("http_request_duration_seconds_sum", rule="/healthz", method="GET") - before < 5


def test_no_address_and_no_method_that_a_caller_makes_up_becomes_a_series(app: Flask) -> None:
    client = app.test_client()
    for number in (1, 2):
        client.get(f"/people/{number}")
        client.get(f"/nowhere/{number}")
        client.open("/healthz", method=f"BREW{number}")
        client.open(f"/nowhere/{number}", method=f"BREW{number}")
    series(app)
    before = series(app)
    for number in range(3, 20):
        client.get(f"/people/{number}")
        client.get(f"/nowhere/{number}")
        client.open("/healthz", method=f"BREW{number}")
    assert series(app) == before
    assert not [one for one in before if "nowhere" in one or "BREW" in one]
    assert [one for one in before if 'method="other"' in one]


def test_a_fault_is_counted(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app.testing = False
    monkeypatch.setitem(app.view_functions, "health.healthz", lambda: 1 / 0)
    before = requests("/healthz", "GET", "5xx")
    assert client.get("/healthz").status_code == 500
    assert requests("/healthz", "GET", "5xx") == before + 1


def test_saves_and_conflicts_are_counted_by_their_door(api: Caller, world: Session) -> None:
    saved, stale = value("saves_total", source="api"), value("conflicts_total", source="api")
    assert api("PATCH", ADDRESS, SAVE).status_code == 200
    assert api("PATCH", ADDRESS, SAVE).status_code == 409
    assert api("PATCH", ADDRESS, {**SAVE, "status": "no"}).status_code == 422
    assert value("saves_total", source="api") == saved + 1
    assert value("conflicts_total", source="api") == stale + 1


def test_a_conflict_that_is_not_kept_is_not_counted(api: Caller, world: Session) -> None:
    stale = value("conflicts_total", source="api")
    assert api("PATCH", f"{ADDRESS}?create=true", {**SAVE, "user_id": BEN, "row_version": 1}).status_code == 200
    factories.a_release(world)
    world.commit()
    assert api("PATCH", f"{ADDRESS}?create=true", {**SAVE, "user_id": "new", "row_version": 1}).status_code == 409
    assert value("conflicts_total", source="api") == stale
    assert api("PATCH", f"{ADDRESS}?create=true", {**SAVE, "user_id": BEN, "row_version": 1}).status_code == 409
    assert value("conflicts_total", source="api") == stale + 1


def test_the_saves_of_a_bulk_change_are_counted_one_by_one(app: Flask, world: Session) -> None:
    factories.a_person(world, BEN)
    world.commit()
    database: Database = app.extensions["database"]
    with database.transaction() as session:
        bulk_id = bulk_changes.create(session, SAM, [ANNA, BEN, "cleo"], STEP, "done")
    factories.a_save(world, "skipped", BEN)
    world.commit()
    saved, stale = value("saves_total", source="bulk"), value("conflicts_total", source="bulk")
    with database.transaction() as session:
        bulk_changes.carry_on(session, SAM, bulk_id)
    assert value("saves_total", source="bulk") == saved + 1
    assert value("conflicts_total", source="bulk") == stale + 1


def test_a_release_is_counted_and_a_dry_run_is_not(app: Flask, world: Session) -> None:
    factories.a_draft(world, title="Take payments")
    world.commit()
    database: Database = app.extensions["database"]
    before = value("releases_total", kind="migrate")
    with database.transaction() as session, releases.dry_run(session):
        releases.release(session, MAYA, STEP, Policy())
    assert value("releases_total", kind="migrate") == before
    with database.transaction() as session:
        releases.release(session, MAYA, STEP, Policy())
    assert value("releases_total", kind="migrate") == before + 1


def test_what_a_transaction_did_before_a_dry_run_still_counts(app: Flask, world: Session) -> None:
    factories.a_draft(world, title="Take payments")
    world.commit()
    before = value("saves_total", source="api")
    with app.extensions["database"].transaction() as session:
        factories.a_save(session)
        with releases.dry_run(session):
            releases.release(session, MAYA, STEP, Policy())
    assert value("saves_total", source="api") == before + 1


def test_what_is_taken_back_is_not_counted(app: Flask, world: Session) -> None:
    before = value("saves_total", source="api")
    with pytest.raises(ZeroDivisionError), app.extensions["database"].transaction() as session:
        factories.a_save(session, actor=HOST)
        raise ZeroDivisionError
    assert value("saves_total", source="api") == before


def test_it_shows_how_many_connections_are_in_use(app: Flask) -> None:
    engine = app.extensions["database"].engine
    assert value("db_connections_limit") == app.extensions["database"].most_connections
    app.extensions["database"].dispose()
    with engine.connect():
        assert value("db_connections_in_use") == 1
        with engine.connect():
            assert value("db_connections_in_use") == 2
        assert value("db_connections_in_use") == 1
    assert value("db_connections_in_use") == 0


def test_a_connection_that_breaks_is_in_use_no_more(app: Flask, database: Database) -> None:
    engine = app.extensions["database"].engine
    with engine.connect() as connection:
        number = connection.scalar(text("SELECT pg_backend_pid()"))
        with database.engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": number})
        connection.invalidate()
    with engine.connect():
        assert value("db_connections_in_use") == 1
    assert value("db_connections_in_use") == 0


def test_a_worker_whose_number_is_somebody_elses_by_now_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def not_ours(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_ours)
    (tmp_path / "gauge_livesum_4711.db").touch()
    assert metrics._ended(tmp_path) == set()


def test_it_shows_the_memory_of_the_process(client: FlaskClient) -> None:
    client.get("/healthz")
    assert value("process_resident_memory_bytes") > 2**20
