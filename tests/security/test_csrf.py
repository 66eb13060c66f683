"""Requests that another site has a browser send: each route that changes anything x each wrong token.

What is tried: no token, one that was made up, one of another browser, one of this browser from before it was signed out,
in the form and in the header of htmx. All are refused, and nothing is written. What somebody typed into a page that was
open too long is kept, but not for another site, which would fill in the form that is to be sent again.
"""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.staff.permissions import Role
from tests.conftest import csrf_token
from tests.factories import snapshot
from tests.security.conftest import signed_in
from tests.security.world import Form, World, every_form, forms_of
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX

OTHER_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "post", "ANYTHING")
FROM_HERE = [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}]
FROM_ELSEWHERE = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example", "Referer": "http://localhost/"},
]


def token_of(client: FlaskClient) -> str:
    return csrf_token(client.get("/settings/account").text)


@pytest.fixture
def wrong_tokens(app: Flask, database: Database, admin: FlaskClient, world: World) -> dict[str, str]:
    """Tokens that are none of the administrator's browser, which was signed out and in again."""
    old = token_of(admin)
    admin.post("/sign-out", data={"csrf_token": old})
    sign_in_as(admin, database, Role.ADMIN)
    assert token_of(admin) != old
    other = signed_in(app, database, Role.ADMIN)
    return {"none": "", "made up": "ImFiYyI.abc.def", "of another browser": token_of(other), "old": old}


def test_nothing_is_written_without_the_token_of_this_browser(
    app: Flask, session: Session, world: World, admin: FlaskClient, wrong_tokens: dict[str, str]
) -> None:
    before = snapshot(session)
    wrong = []
    for route, path in world.posts(app):
        for what, token in wrong_tokens.items():
            for headers in ({}, HTMX, HTMX | {"X-CSRFToken": token}):
                data = {"csrf_token": token} if "X-CSRFToken" not in headers and token else {}
                answer = admin.post(path, data=data, headers=headers)
                if answer.status_code != 400 or "This page was open too long" not in answer.text:
                    wrong.append(f"{route.rule}, token {what}, {headers}: {answer.status_code}")
    session.rollback()
    assert snapshot(session) == before
    assert not wrong, "\n".join(wrong)


def test_no_other_method_does_what_a_post_does(app: Flask, session: Session, world: World, admin: FlaskClient) -> None:
    before = unvisited(snapshot(session))
    override = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST", "X-HTTP-Method": "POST"}
    token = token_of(admin)
    for _, path in world.posts(app):
        for method in OTHER_METHODS:
            answer = admin.open(f"{path}?_method=POST&csrf_token={token}", method=method, headers=override)
            assert answer.status_code < 500, (method, path)
    session.rollback()
    assert unvisited(snapshot(session)) == before


def unvisited(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """The rows without those that say who has looked at something."""
    return {table: rows for table, rows in rows.items() if table not in ("staff_sessions", "draft_editors")}


def typed(form: Form) -> dict[str, str]:
    """Something of one's own in each field that is not a token."""
    return {name: f"typed in {name} <b>" for name in form.names if name != "csrf_token"}


def test_what_was_typed_is_kept_by_a_form_that_was_open_too_long(admin: FlaskClient, world: World) -> None:
    kept = 0
    for number, form in enumerate(every_form(admin, world).values()):
        here = FROM_HERE[number % 2]
        values = typed(form)
        if not values:
            continue
        answer = admin.post(f"{form.action}?a=b", data=form.sent(**values, csrf_token="old"), headers=here)
        assert answer.status_code == 400
        [again] = [one for one in forms_of(answer.text, "/") if one.action == form.action]
        shown = {name: value for name, value in again.fields if name != "csrf_token"}
        assert shown == {name: value for name, value in values.items() if "password" not in name}
        assert admin.post(again.action, data=again.sent()).status_code != 400
        kept += 1
    assert kept > 15


def test_another_site_gets_no_form_filled_in(app: Flask, database: Database) -> None:
    admin = signed_in(app, database, Role.ADMIN)
    data = {"step_id": "evil", "title": "chosen by another site", "csrf_token": "old"}
    for headers in (elsewhere | more for elsewhere in FROM_ELSEWHERE for more in ({}, HTMX)):
        answer = admin.post("/steps/new", data=data, headers=headers)
        assert answer.status_code == 400
        assert "Reload the page" in answer.text
        assert "chosen by another site" not in answer.text
        assert "X-CSRFToken" not in answer.headers


def test_htmx_gets_another_token_and_leaves_what_was_typed(admin: FlaskClient, world: World) -> None:
    data = {"row_version": "2", "status": "done", "csrf_token": "old"}
    answer = admin.post("/people/anna/steps/set-up-payments", data=data, headers=HTMX | FROM_HERE[0])
    assert answer.status_code == 400
    assert answer.headers["HX-Retarget"] == "#notices"
    assert "what you typed is still here" in answer.text
    assert answer.headers["X-Account"] in admin.get("/people").text.partition("data-account=")[2].partition(">")[0]
    token = answer.headers["X-CSRFToken"]
    again = admin.post("/people/anna/steps/set-up-payments", data=data | {"csrf_token": token}, headers=HTMX)
    assert again.status_code in (200, 409)
