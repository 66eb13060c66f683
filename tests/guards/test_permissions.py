"""Every route x every role x signed out: what a route declares is what happens, and what docs/permissions.md says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import IntegerConverter
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import PERMISSIONS, ByToken, Permission, Public, Role, Scope
from tests.guards import permissions_table
from tests.guards.permissions_table import REWRITE, Route, routes
from tests.staff.signed_in import sign_in_as


@pytest.fixture
def app(app: Flask) -> Flask:
    """The app as in production, except that forms need no CSRF token: that is another test's matter."""
    app.testing = False
    app.config["WTF_CSRF_ENABLED"] = False
    return app


def test_every_route_declares_what_it_needs(app: Flask) -> None:
    silent = [f"{route.rule} ({route.endpoint})" for route in routes(app) if route.need is None]
    assert not silent, (
        "These declare nothing. Put @require(Permission.X) or @public(why) of dashboard.web.access under the route; "
        f"for the API, declare(view, ByToken(...)) of dashboard.staff.permissions: {silent}"
    )


def test_the_document_has_every_route(app: Flask) -> None:
    actual, written = [route.line for route in routes(app)], permissions_table.documented()
    missing = [line for line in actual if line not in written]
    stale = [line for line in written if line not in actual]
    assert not missing, _difference("has no line", missing)
    assert not stale, _difference("has a line for which there is no route", stale)
    assert written == actual, f"docs/permissions.md is not in order: run `{REWRITE}`"


def test_the_document_has_every_permission() -> None:
    assert permissions_table.documented_roles() == permissions_table.role_lines(), f"run `{REWRITE}`"


def _difference(what: str, lines: list[str]) -> str:
    return f"docs/permissions.md {what} (look at them, then run `{REWRITE}`):\n" + "\n".join(lines)


def test_pages_are_open_to_the_roles_that_have_the_permission(app: Flask, database: Database) -> None:
    wrong = []
    for route, method in _walk(app):
        if not isinstance(route.need, Permission):
            continue
        for role in Role:
            client = app.test_client()
            sign_in_as(client, database, role)
            answer = _ask(app, client, route, method)
            if (answer.status_code == 403) is (route.need in PERMISSIONS[role]) or _is_let_down(answer):
                wrong.append(f"{role.value}: {method} {route.rule} answered {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_pages_are_closed_to_whoever_is_signed_out(app: Flask) -> None:
    wrong = []
    for route, method in _walk(app):
        if not isinstance(route.need, Permission):
            continue
        answer = _ask(app, app.test_client(), route, method)
        sent_away = answer.status_code == 303 and answer.location.startswith("/sign-in?next=")
        if not (sent_away if method == "GET" else answer.status_code == 401):
            wrong.append(f"signed out: {method} {route.rule} answered {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_public_routes_are_open(app: Flask) -> None:
    for route, method in _walk(app):
        if isinstance(route.need, Public) and method == "GET" and route.endpoint != "static":
            answer = _ask(app, app.test_client(), route, method)
            assert answer.status_code not in {401, 403}, route
            assert answer.status_code < 500, route


def test_the_api_is_open_to_tokens_with_the_scope(app: Flask, database: Database) -> None:
    secrets = _tokens(database)
    wrong = []
    for route, method in _walk(app):
        if not isinstance(route.need, ByToken):
            continue
        for scope, secret in secrets.items():
            answer = _ask(app, app.test_client(), route, method, bearer=secret)
            if (answer.status_code == 403) is (scope is route.need.scope) or _is_let_down(answer):
                wrong.append(f"token with {scope}: {method} {route.rule} answered {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_the_api_is_closed_without_a_token(app: Flask, database: Database) -> None:
    wrong = []
    for route, method in _walk(app):
        if not isinstance(route.need, ByToken):
            continue
        client = app.test_client()
        sign_in_as(client, database, Role.ADMIN)
        for bearer in ("", "obd_" + "x" * 43):
            answer = _ask(app, client, route, method, bearer=bearer)
            if answer.status_code != 401:
                wrong.append(f"token {bearer!r}: {method} {route.rule} answered {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def _walk(app: Flask) -> Iterator[tuple[Route, str]]:
    for route in routes(app):
        for method in route.methods:
            yield route, method


def _ask(app: Flask, client: FlaskClient, route: Route, method: str, bearer: str = "") -> TestResponse:
    """One request with names that exist nowhere, and nothing in the form."""
    rule = next(rule for rule in app.url_map.iter_rules(route.endpoint) if rule.rule == route.rule)
    values = {
        name: 1 if isinstance(converter, IntegerConverter) else "no-such-thing"
        for name, converter in rule._converters.items()
    }
    _, path = rule.build(values) or ("", route.rule)
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    if isinstance(route.need, ByToken) and method != "GET":
        return client.open(path, method=method, headers=headers, json={})
    return client.open(path, method=method, headers=headers)


def _is_let_down(answer: TestResponse) -> bool:
    """True for a fault of ours, and for whoever is signed in being asked to sign in."""
    return answer.status_code >= 500 or answer.status_code == 401


def _tokens(database: Database) -> dict[Scope, str]:
    actor = Actor("system:test", "cli")
    with database.transaction() as session:
        return {scope: tokens.create(session, actor, name=scope, scopes=[scope]).secret for scope in Scope}
