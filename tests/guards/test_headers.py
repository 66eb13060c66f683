"""Every route, signed in and out, over http and https, for a page and for a part of it: what each answer has to carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.staff.permissions import ByToken, Permission, Role
from dashboard.web.assets import MINUTES_S, YEAR_S
from dashboard.web.cookies import PREFIX
from tests.conftest import csrf_token
from tests.factories import STEP
from tests.guards.permissions_table import Route
from tests.security.world import World, furnish
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX

COOKIES = {"staff_session", "dashboard", "theme"}
SKIPPED = {"session.sign_out", "tokens.revoke"}
"""After these the rest would be asked as somebody else."""

TELLS_THE_SAME_TO_ALL = ("/healthz", "/readyz", "/metrics", "/static/", "/api/")
"""What does not look at cookies; the page about the API does."""

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = {
    "default-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "object-src": "'none'",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and its answer."""

    way: str
    method: str
    path: str
    route: Route
    is_https: bool
    answer: TestResponse

    def __str__(self) -> str:
        return f"{self.way}: {self.method} {self.path} -> {self.answer.status_code}"

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.answer.headers.items()}

    @property
    def is_static(self) -> bool:
        return self.route.endpoint == "static"


@pytest.fixture
def app(app: Flask) -> Flask:
    """The app as in production: what fails is a page."""
    app.testing = False
    return app


@pytest.fixture
def world(session: Session) -> World:
    return furnish(session)


def walk(app: Flask, world: World, client: FlaskClient, way: str, *, https: bool, htmx: bool) -> Iterator[Asked]:
    """A request to every address of every route, as a browser would make it; forms are empty, so that nothing is done."""
    base = "https://localhost" if https else "http://localhost"
    token = csrf_token(client.get("/settings/account" if "admin" in way else "/sign-in", base_url=base).text)
    page = {"Referer": f"{base}/steps", "X-CSRFToken": token, **(HTMX if htmx else {})}
    backend = {"Authorization": f"Bearer {world.secret}"}
    for method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
        for route, path in world.addresses(app, method):
            if route.endpoint in SKIPPED:
                continue
            headers = page | (backend if isinstance(route.need, ByToken) and method == "GET" else {})
            with client.open(path, method=method, headers=headers, base_url=base) as answer:
                answer.get_data()
                yield Asked(way, method, path, route, https, answer)


@pytest.fixture
def asked(app: Flask, database: Database, world: World) -> list[Asked]:
    """Everything that can be asked, in every way."""
    found = []
    for https in (False, True):
        for htmx in (False, True):
            for role in (None, Role.ADMIN):
                client = app.test_client()
                if role:
                    sign_in_as(client, database, role)
                    client.set_cookie(f"{PREFIX}staff_session", f"secret of {role.value}", secure=True)
                way = f"{'https' if https else 'http'}, {'htmx' if htmx else 'page'}, {role.value if role else 'signed out'}"
                found += walk(app, world, client, way, https=https, htmx=htmx)
    return found


def test_what_every_answer_carries(asked: list[Asked]) -> None:
    check_that_it_got_somewhere(asked)
    checks = (
        policy_is_strict,
        same_everywhere,
        https_is_remembered,
        nothing_is_stored,
        varies,
        cookies_are_out_of_reach,
    )
    wrong = [f"{problem} in {one}" for one in asked for check in checks for problem in check(one)]
    assert not wrong, "\n".join(wrong[:40])


def check_that_it_got_somewhere(asked: list[Asked]) -> None:
    """What is asserted of every answer is worth little where all of them are refusals."""
    pages = [one for one in asked if isinstance(one.route.need, Permission) and one.method == "GET"]
    inside = [one for one in pages if "admin" in one.way]
    assert {one.answer.status_code for one in inside} <= {200, 204, 303, 404, 409, 410, 422}
    assert sum(one.answer.status_code == 200 for one in inside) > 0.8 * len(inside)
    assert not any(one.answer.status_code == 200 for one in pages if "signed out" in one.way)
    api = [one for one in asked if isinstance(one.route.need, ByToken) and one.method == "GET"]
    assert {one.answer.status_code for one in api} <= {200, 410, 422}
    assert not any(one.answer.status_code >= 500 for one in asked)
    assert {one.path for one in asked} >= {"/people", f"/steps/{STEP}", "/people/anna", "/api/docs"}
    assert {cookie for one in asked for cookie in cookies_of(one)} >= {"dashboard", f"{PREFIX}dashboard"}


def policy_is_strict(one: Asked) -> Iterator[str]:
    policy = one.headers.get("content-security-policy", "")
    if "unsafe" in policy or "*" in policy or "data:" in policy:
        yield f"the policy allows too much: {policy}"
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";") if part.strip())
    if directives != POLICY:
        yield f"another policy: {policy}"


def same_everywhere(one: Asked) -> Iterator[str]:
    # the address of that page holds a secret
    more = {"Referrer-Policy": "no-referrer"} if one.route.endpoint.startswith("password_links.") else {}
    for name, value in (EVERYWHERE | more).items():
        if one.headers.get(name.lower()) != value:
            yield f"{name} is {one.headers.get(name.lower())}"
    features = one.headers.get("permissions-policy", "")
    if not all(f"{feature}=()" in features for feature in ("camera", "microphone", "geolocation")):
        yield f"Permissions-Policy is {features}"
    if "server" in one.headers or "x-powered-by" in one.headers:
        yield "it tells what it is made of"


def https_is_remembered(one: Asked) -> Iterator[str]:
    expected = f"max-age={YEAR_S}" if one.is_https else None
    if one.headers.get("strict-transport-security") != expected:
        yield f"Strict-Transport-Security is {one.headers.get('strict-transport-security')}"


def nothing_is_stored(one: Asked) -> Iterator[str]:
    told = one.headers.get("cache-control", "")
    if one.is_static and one.answer.status_code == 200:
        if told not in ("no-cache", f"public, max-age={MINUTES_S}", f"public, max-age={YEAR_S}, immutable"):
            yield f"Cache-Control is {told}"
    elif told != "no-store":
        yield f"Cache-Control is {told}"


def varies(one: Asked) -> Iterator[str]:
    vary = {name.lower() for name in one.answer.vary}
    wanted = set()
    if one.answer.mimetype == "text/html":
        wanted = {"hx-request", "hx-request-type", "hx-history-restore-request", "cookie"}
    elif not one.path.startswith(TELLS_THE_SAME_TO_ALL):
        wanted = {"cookie"}
    if not wanted <= vary:
        yield f"Vary is {', '.join(sorted(vary))}"


def cookies_of(one: Asked) -> SimpleCookie:
    found: SimpleCookie = SimpleCookie()
    for line in one.answer.headers.getlist("Set-Cookie"):
        found.load(line)
    return found


def cookies_are_out_of_reach(one: Asked) -> Iterator[str]:
    for name, cookie in cookies_of(one).items():
        if name.removeprefix(PREFIX) not in COOKIES:
            yield f"a cookie that nobody knows: {name}"
        if name.startswith(PREFIX) is not (one.is_https and name != "theme"):
            yield f"the cookie is called {name}"
        told = {"httponly": True, "samesite": "Lax", "path": "/", "domain": ""}
        for attribute, value in told.items():
            if cookie[attribute] != value:
                yield f"{attribute} of {name} is {cookie[attribute]!r}"
        if bool(cookie["secure"]) is not one.is_https:
            yield f"secure of {name} is {cookie['secure']!r}"


# What the walk does not come by ---------------------------------------------------------------------------------------


def https(client: FlaskClient, path: str, **more: str) -> TestResponse:
    """A form post over https, with a token of this browser."""
    base = "https://localhost"
    token = csrf_token(client.get("/sign-in", base_url=base).text)
    return client.post(path, data={"csrf_token": token, **more}, headers={"Referer": f"{base}/"}, base_url=base)


def test_the_theme_goes_over_https_alone_where_there_is_https(client: FlaskClient) -> None:
    (told,) = [line for line in https(client, "/theme", theme="dark").headers.getlist("Set-Cookie") if "theme=" in line]
    assert "; Secure" in told
    assert "; HttpOnly" in told
    assert "; SameSite=Lax" in told


@pytest.mark.parametrize("set_", [{"secure_cookies": True}, {"base_url": "HTTPS://localhost"}], ids=str)
def test_cookies_go_over_https_alone_also_where_no_request_says_that_it_is_https(
    settings: Settings, set_: dict[str, Any]
) -> None:
    app = create_app(replace(settings, **set_))
    answer = app.test_client().get("/sign-in")
    assert answer.headers["Set-Cookie"].startswith(f"{PREFIX}dashboard=")
    assert "; Secure" in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in answer.headers
    app.extensions["database"].dispose()


@pytest.mark.parametrize(("seconds", "told"), [(0, "max-age=0"), (300, "max-age=300")])
def test_for_how_long_https_is_remembered_can_be_set(settings: Settings, seconds: int, told: str) -> None:
    app = create_app(replace(settings, hsts_seconds=seconds))
    client = app.test_client()
    for path in ("/sign-in", "/healthz", "/nowhere", "/static/css/app.css", "/api/openapi.json"):
        with client.get(path, base_url="https://localhost") as answer:
            assert answer.headers["Strict-Transport-Security"] == told
    app.extensions["database"].dispose()
