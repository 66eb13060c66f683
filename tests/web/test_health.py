"""For machines: alive, ready, and what was measured, each told to those whom it is for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.engine import make_url
from structlog.testing import capture_logs

from dashboard import create_app
from dashboard.config import Settings, libpq_url
from dashboard.database import Database
from dashboard.readiness import FRESH_S, PATIENCE_S, UNREACHABLE, Checks, Readiness
from tests.conftest import test_settings as settings_for
from tests.databases import end_others

AWAY = "postgresql+psycopg://secret-user:secret-word@127.0.0.1:1/none"
READY = {"status": "ready", "checks": {"database": "ok", "schema": "ok"}}
TOKEN = "only-for-scraping"


# Ready ---------------------------------------------------------------------------------------------------------------


def test_it_is_ready_when_the_database_is_there_and_its_schema_current(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, READY)
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_a_database_it_says_so_and_nothing_of_where_it_is(tmp_path: Path) -> None:
    client = create_app(settings_for(AWAY, tmp_path)).test_client()
    with capture_logs() as log:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"status": "not ready", "checks": {"database": "unreachable", "schema": "unknown"}}
    assert [line["event"] for line in log] == ["not ready", "request"]
    assert "secret-word" not in str(log)


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/theme"])
def test_what_needs_no_database_needs_none_in_a_browser_that_is_signed_in_either(tmp_path: Path, path: str) -> None:
    app = create_app(settings_for(AWAY, tmp_path))
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()
    client.set_cookie("staff_session", "anything")
    answer = client.post(path, data={"theme": "dark"}) if path == "/theme" else client.get(path)
    assert answer.status_code == (303 if path == "/theme" else 200)


def test_a_page_says_that_the_database_is_away_and_the_form_to_sign_in_is_there_without_it(tmp_path: Path) -> None:
    client = create_app(settings_for(AWAY, tmp_path)).test_client()
    assert client.get("/sign-in").status_code == 200
    client.set_cookie("staff_session", "anything")
    answer = client.get("/sign-in")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "The database cannot be reached" in answer.text


@pytest.mark.parametrize("there", ["0001", None], ids=["an older one", "none"])
def test_another_schema_is_not_ready(client: FlaskClient, database: Database, there: str | None) -> None:
    with database.transaction() as session:
        session.execute(
            text("UPDATE alembic_version SET version_num = '0001'" if there else "DROP TABLE alembic_version")
        )
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"] == {"database": "ok", "schema": "not current"}


def test_a_pool_that_is_used_up_is_not_a_database_that_is_away(app: Flask, client: FlaskClient) -> None:
    engine = app.extensions["database"].engine
    held = [engine.connect() for _ in range(app.extensions["database"].most_connections)]
    assert client.get("/readyz").status_code == 200
    for connection in held:
        connection.close()


def test_two_that_ask_first_look_by_the_same_connection(new_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    both, looked = threading.Barrier(2), []

    class Slow(Readiness):
        def __init__(self, database_url: str) -> None:
            super().__init__(database_url)
            both.wait(10)

        def check(self) -> Checks:
            looked.append(self)
            return UNREACHABLE

    monkeypatch.setattr("dashboard.web.health.Readiness", Slow)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: new_app.test_client().get("/readyz"), range(2)))
    assert len(looked) == 2
    assert looked[0] is looked[1]


@pytest.mark.one_server("each node of a cluster has settings of its own")
def test_a_database_that_only_takes_reads_is_not_ready_until_it_takes_changes_again(
    settings: Settings, server: psycopg.Connection[object]
) -> None:
    now = 100.0
    readiness, name = Readiness(settings.database_url, clock=lambda: now), make_url(settings.database_url).database
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with capture_logs() as log:
        seen = readiness.check()
    assert (seen.passed, seen.database, seen.schema) == (False, "read-only", "ok")
    assert [(line["event"], line["database"]) for line in log] == [("not ready", "read-only")]
    server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    now += FRESH_S + 0.1
    assert readiness.check().passed


@pytest.mark.one_server("it is about one server's connections")
def test_a_server_whose_connections_others_have_used_up_goes_on_being_ready(
    settings: Settings, database: Database, server: psycopg.Connection[object]
) -> None:
    """Requests are answered over connections that are there; so is the look."""
    now = 100.0
    readiness, name = Readiness(settings.database_url, clock=lambda: now), make_url(settings.database_url).database
    assert readiness.check().passed
    # to superusers there is no limit: that of the database refuses them alone when it takes no connections at all
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(libpq_url(settings.database_url))
        now += FRESH_S + 0.1
        assert readiness.check().passed
    finally:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_look_whose_connection_was_cut_takes_another(settings: Settings, server: psycopg.Connection[object]) -> None:
    now = 100.0
    readiness, name = Readiness(settings.database_url, clock=lambda: now), make_url(settings.database_url).database
    assert readiness.check().passed
    end_others(server, str(name))
    now += FRESH_S + 0.1
    assert readiness.check().passed


def test_who_asks_often_costs_no_connection_each_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    readiness = Readiness(settings.database_url, clock=lambda: now)
    looks: list[float] = []
    look = Readiness._look
    monkeypatch.setattr(Readiness, "_look", lambda self: looks.append(now) or look(self))
    for _ in range(3):
        assert readiness.check().passed
    now += FRESH_S + 0.1
    assert readiness.check().passed
    assert len(looks) == 2


def test_a_database_that_hangs_is_given_up_soon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look hangs for as long as it may; whoever asks meanwhile does not wait for ever."""
    readiness, done = Readiness(settings.database_url), threading.Event()
    monkeypatch.setattr(Readiness, "_look", lambda self: done.wait(60))
    threading.Thread(target=readiness.check, daemon=True).start()
    began = time.monotonic()
    assert not readiness.check().passed
    assert time.monotonic() - began < 4 * (PATIENCE_S + 1)
    done.set()


def test_a_statement_that_hangs_is_given_up_soon(settings: Settings, database: Database) -> None:
    with database.engine.begin() as holder:
        holder.execute(text("LOCK TABLE alembic_version"))
        began = time.monotonic()
        assert Readiness(settings.database_url).check().database == "unreachable"
        assert time.monotonic() - began < 4 * (PATIENCE_S + 2)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_goes_well_and_is_asked_all_the_time_is_not_logged(client: FlaskClient, path: str) -> None:
    with capture_logs() as log:
        assert client.get(path).status_code == 200
    assert log == []
    with capture_logs() as log:
        assert client.post(path, data={}).status_code == 405
    assert [(line["path"], line["status"]) for line in log] == [(path, 405)]


# Who may read what was measured --------------------------------------------------------------------------------------


def scraper(settings: Settings, **more: object) -> FlaskClient:
    return create_app(replace(settings, **more)).test_client()  # type: ignore[arg-type]


def status(client: FlaskClient, address: str = "127.0.0.1", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get("/metrics", headers=named, environ_overrides={"REMOTE_ADDR": address}).status_code


def test_it_is_prometheus_text(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "# TYPE onboarding_http_requests_total counter" in answer.text


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", 200), ("127.8.8.8", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.0.0.1", 403), ("", 403)],
)
def test_by_default_only_the_machine_itself_reads_it(settings: Settings, address: str, expected: int) -> None:
    assert status(scraper(settings), address) == expected


def test_the_networks_can_be_others_or_none(settings: Settings) -> None:
    named = scraper(settings, metrics_networks="10.1.0.0/16 fd00::/8")
    assert [status(named, address) for address in ("10.1.2.3", "fd00::7", "10.2.0.1", "127.0.0.1")] == [
        200,
        200,
        403,
        403,
    ]
    assert status(scraper(settings, metrics_networks="none")) == 403


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Forwarded", "X_Real_IP"])
def test_behind_a_proxy_that_nobody_told_of_its_address_counts_for_nothing(settings: Settings, name: str) -> None:
    assert status(scraper(settings), **{name: "203.0.113.9"}) == 403


def test_behind_a_trusted_proxy_the_address_is_the_forwarded_one(settings: Settings) -> None:
    behind = scraper(settings, trusted_proxies=1)
    assert status(behind, "10.0.0.2", X_Forwarded_For="203.0.113.9") == 403
    assert status(behind, "10.0.0.2", X_Forwarded_For="127.0.0.1") == 200
    # what a caller claims stands to the left of what the proxy has seen
    assert status(behind, "10.0.0.2", X_Forwarded_For="127.0.0.1, 203.0.113.9") == 403


def test_the_token_opens_it_from_anywhere_and_nothing_else_does(settings: Settings) -> None:
    far, client = "203.0.113.9", scraper(settings, metrics_token=TOKEN)
    assert status(client, far, Authorization=f"Bearer {TOKEN}") == 200
    for given in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer é", f"Bearer {TOKEN[:-1]}"):
        refused = client.get("/metrics", headers={"Authorization": given}, environ_overrides={"REMOTE_ADDR": far})
        assert refused.status_code == 401, given
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert refused.mimetype == "text/plain"
        assert TOKEN not in refused.text
    assert status(client) == 200


def test_an_empty_token_opens_nothing(settings: Settings) -> None:
    assert status(scraper(settings), "203.0.113.9", Authorization="Bearer ") == 403
