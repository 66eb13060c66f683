"""What goes wrong around the endpoints: unknown addresses, other methods, faults of ours, a database that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dashboard import create_app
from dashboard.api.openapi import ADDRESS, MEANS
from dashboard.api.problems import REPEAT
from dashboard.database import Database
from dashboard.onboarding import progress, user_steps
from tests.api.conftest import Caller
from tests.api.test_ladder import ENDPOINTS, Endpoint, every_endpoint
from tests.conftest import test_settings as settings_for
from tests.factories import ANNA, STEP

ONE = f"/api/onboarding/steps/{STEP}?user_id={ANNA}"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_an_unknown_address_is_a_404_problem(api: Caller, method: str) -> None:
    answer = api(method, "/api/onboarding/nothing", token="")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert answer.json["detail"] == f"There is no /api/onboarding/nothing; see {ADDRESS}."


def test_so_is_the_root(api: Caller) -> None:
    for path in ("/api", "/api/"):
        answer = api("GET", path, token="")
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@every_endpoint
def test_another_method_is_405_and_says_which_there_are(endpoint: Endpoint, api: Caller) -> None:
    taken = {one.method for one in ENDPOINTS if one.rule == endpoint.rule}
    answer = api(next(method for method in ("DELETE", "POST", "PUT") if method not in taken), endpoint.path)
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert endpoint.method in answer.headers["Allow"]


@every_endpoint
def test_options_asks_for_no_token_and_tells_nothing(endpoint: Endpoint, api: Caller) -> None:
    answer = api("OPTIONS", endpoint.path, token="")
    assert (answer.status_code, answer.data) == (200, b"")


def test_head_is_a_get_without_its_body(api: Caller, world: Session) -> None:
    answer = api("HEAD", ONE)
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (200, b"", '"1"')
    assert api("HEAD", ONE, token="").status_code == 401


def test_a_fault_says_nothing_but_its_request_id(
    app: Flask, api: Caller, world: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    app.testing = False
    monkeypatch.setattr(user_steps, "step_of", fail)
    answer = api("GET", ONE)
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("method", "unsure"), [("GET", False), ("PATCH", True)])
def test_only_a_save_that_was_cut_may_have_been_kept(
    api: Caller, world: Session, monkeypatch: pytest.MonkeyPatch, method: str, unsure: bool
) -> None:
    def cut(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)

    monkeypatch.setattr(user_steps, "step_of", cut)
    monkeypatch.setattr(progress, "save_at_once", cut)
    body = {"user_id": ANNA, "status": "done", "row_version": 1}
    answer = api(method, ONE, body if method == "PATCH" else None)
    assert answer.status_code == 503
    assert ("may or may not have been saved" in answer.json["detail"]) == unsure
    # unlike people, who are told to check first
    assert (REPEAT in answer.json["detail"]) == unsure
    assert MEANS[503].endswith(REPEAT)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_without_a_database_it_is_503_and_to_be_tried_again(endpoint: Endpoint, tmp_path: Path) -> None:
    app = create_app(settings_for("postgresql+psycopg://nobody@127.0.0.1:1/none", tmp_path))
    answer = Caller(app)(endpoint.method, endpoint.path, endpoint.body, token="obd_any")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert "psycopg" not in answer.text


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_when_the_database_goes_away_a_token_that_was_seen_is_told_so_too(
    endpoint: Endpoint, app: Flask, api: Caller, world: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "rate_limits", {False: None, True: None})
    assert api("GET", ONE).status_code == 200
    away = Database(settings_for("postgresql+psycopg://nobody@127.0.0.1:1/none", tmp_path))
    monkeypatch.setitem(app.extensions, "database", away)
    answer = api(endpoint.method, endpoint.path, endpoint.body)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


def test_the_process_is_healthy_without_a_database(tmp_path: Path) -> None:
    app = create_app(settings_for("postgresql+psycopg://nobody@127.0.0.1:1/none", tmp_path))
    assert app.test_client().get("/healthz").json == {"status": "ok"}


def test_no_csrf_token_is_asked_for(app: Flask, api: Caller, world: Session) -> None:
    assert app.config.get("WTF_CSRF_ENABLED", True)
    body = {"user_id": ANNA, "status": "done", "row_version": 1}
    assert api("PATCH", ONE, body, headers={"Origin": "https://elsewhere.example"}).status_code == 200
