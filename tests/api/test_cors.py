"""Pages of other origins: those of CORS_ORIGINS may use the API for people's progress, and nobody else's anything."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests
from werkzeug.test import TestResponse

from dashboard.api import cors
from dashboard.config import Settings
from dashboard.onboarding import user_steps
from dashboard.staff.permissions import Scope
from tests.api.conftest import Caller, Patch
from tests.factories import ANNA, STEP

SHOP, STAGING = "https://shop.example", "http://localhost:5173"
STEPS = "/api/onboarding/steps"
OF_ANNA = f"{STEPS}?user_id={ANNA}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two sites of the host are let in."""
    return replace(settings, cors_origins=frozenset({SHOP, STAGING}))


def preflight(app: Flask, path: str, origin: str, method: str = "PATCH") -> TestResponse:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-attempt",
    }
    return app.test_client().options(path, headers=headers)


def told(answer: TestResponse) -> dict[str, str]:
    """What the answer says to other origins."""
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def is_let_in(answer: TestResponse, origin: str = SHOP) -> bool:
    assert "Origin" in answer.vary
    expected = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": cors.READABLE}
    assert told(answer) in ({}, expected)
    return told(answer) == expected


@pytest.mark.parametrize("origin", [SHOP, STAGING])
def test_a_preflight_of_a_listed_origin_says_what_it_may_send(app: Flask, origin: str) -> None:
    answer = preflight(app, f"{STEPS}/{STEP}", origin)
    assert (answer.status_code, answer.data) == (204, b"")
    assert told(answer) == {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, PATCH",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, X-Retry-Attempt",
        "Access-Control-Max-Age": "7200",
        "Access-Control-Expose-Headers": cors.READABLE,
    }
    assert set(answer.vary) == {"Origin"}


UNLISTED = [
    "https://other.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example.other.example",
    "https://evilshop.example",
    "https://SHOP.example",
    "https://shop.example/",
    "null",
    "*",
    "",
]


@pytest.mark.parametrize("origin", UNLISTED)
def test_any_other_origin_is_told_nothing(app: Flask, api: Caller, world: Session, origin: str) -> None:
    asked, read = preflight(app, f"{STEPS}/{STEP}", origin), api("GET", OF_ANNA, headers={"Origin": origin})
    for answer in (asked, read):
        assert not told(answer)
        assert "Origin" in answer.vary
    without = app.test_client().options(f"{STEPS}/{STEP}")
    assert (asked.status_code, asked.headers["Allow"]) == (without.status_code, without.headers["Allow"])


OTHER_PLACES = [
    "/api/admin/onboarding/steps",
    "/api/admin/onboarding/migrate-version",
    "/api/openapi.json",
    "/api/onboarding",
    "/API/onboarding/steps",
    "/sign-in",
    "/people",
    "/healthz",
    "/static/css/app.css",
    "/static/onboarding-client.js/",
]


@pytest.mark.parametrize("path", OTHER_PLACES)
def test_nothing_else_is_open(app: Flask, api: Caller, path: str) -> None:
    assert not told(preflight(app, path, SHOP))
    assert not told(preflight(app, path, SHOP, "POST"))
    with api("GET", path, headers={"Origin": SHOP}) as answer:
        assert not told(answer)
        assert "Origin" not in answer.vary


def test_a_read_and_a_save_are_let_in(api: Caller, patch: Patch) -> None:
    for answer in (api("GET", OF_ANNA, headers={"Origin": SHOP}), patch("done", 1, headers={"Origin": SHOP})):
        assert answer.status_code == 200
        assert is_let_in(answer)


def test_who_names_no_origin_gets_no_headers_but_caches_are_told(api: Caller, world: Session) -> None:
    answer = api("GET", OF_ANNA)
    assert answer.status_code == 200
    assert not is_let_in(answer)


def test_refusals_can_be_read_too(api: Caller, patch: Patch) -> None:
    origin = {"Origin": SHOP}
    assert patch("done", 1).status_code == 200
    refusals = {
        401: api("GET", OF_ANNA, token="", headers=origin),
        403: api("GET", OF_ANNA, scopes=frozenset({Scope.STEPS_READ}), headers=origin),
        404: api("GET", f"{STEPS}?user_id=nobody", headers=origin),
        405: api("DELETE", OF_ANNA, headers=origin),
        409: patch("skipped", 1, headers=origin),
        412: patch("skipped", None, headers=origin | {"If-Match": '"1"'}),
        422: patch("finished", 2, headers=origin),
    }
    for status, answer in refusals.items():
        assert answer.status_code == status
        assert is_let_in(answer), status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooManyRequests(retry_after=3), 429),
        (RuntimeError("a fault"), 500),
        (OperationalError("SELECT 1", {}, Exception("gone")), 503),
    ],
    ids=["too many", "fault", "no database"],
)
def test_so_can_what_may_be_tried_again(
    app: Flask, api: Caller, world: Session, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise error

    app.testing = False
    monkeypatch.setattr(user_steps, "checklist_of", fails)
    answer = api("GET", OF_ANNA, headers={"Origin": SHOP})
    assert answer.status_code == status
    assert is_let_in(answer)
    assert ("Retry-After" in answer.headers) is (status != 500)


def test_the_browser_client_can_be_imported_from_a_listed_origin(app: Flask) -> None:
    client = app.test_client()
    for origin, expected in ((SHOP, True), ("https://other.example", False)):
        with client.get(cors.CLIENT, headers={"Origin": origin}) as answer:
            assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
            assert is_let_in(answer) is expected
            assert answer.headers["Cache-Control"] == "public, max-age=300"


class TestWithoutTheSetting:
    """CORS is closed: the answers are as if there was no such thing."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, cors_origins=frozenset())

    def test_nobody_is_told_anything(self, app: Flask, api: Caller, world: Session) -> None:
        for answer in (preflight(app, STEPS, SHOP), api("GET", OF_ANNA, headers={"Origin": SHOP})):
            assert answer.status_code == 200
            assert not told(answer)
            assert "Origin" not in answer.vary
