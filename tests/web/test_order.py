"""The order of the checklist, changed on the list of steps."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.onboarding import steps
from dashboard.staff.permissions import Role
from tests.conftest import Build, csrf_token
from tests.factories import MAYA, STEP, a_person, a_save, a_step, snapshot, status_of
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX

SEEN = ["one", "two", "three"]
URL = "/steps/order"


def steps_in_order(session: Session) -> None:
    for step_id in SEEN:
        a_step(session, step_id)


@pytest.fixture(autouse=True)
def three_steps(build: Build) -> None:
    build(steps_in_order)


def order(database: Database) -> list[str]:
    with database.transaction() as session:
        return [step.step_id for step in steps.checklist(session)]


def post(
    client: FlaskClient, seen: list[str] = SEEN, headers: dict[str, str] | None = None, **more: object
) -> TestResponse:
    """The list's form, as it would be sent after the steps were `seen`."""
    data = {"csrf_token": csrf_token(client.get("/steps").text), "seen": seen, **more}
    return client.post(URL, data=data, headers=headers)


@pytest.mark.parametrize(
    ("button", "step_id", "after"),
    [
        ("up", "two", ["two", "one", "three"]),
        ("down", "two", ["one", "three", "two"]),
        ("up", "one", SEEN),
        ("down", "three", SEEN),
    ],
)
def test_the_buttons_move_a_step(
    manager: FlaskClient, database: Database, button: str, step_id: str, after: list[str]
) -> None:
    answer = post(manager, order=SEEN, **{button: step_id})
    assert (answer.status_code, answer.location) == (303, f"/steps#step-row-{step_id}")
    assert order(database) == after


def test_the_rows_as_they_stand_are_the_new_order(manager: FlaskClient, database: Database) -> None:
    answer = post(manager, order=["three", "one", "two"])
    assert (answer.status_code, answer.location) == (303, "/steps#steps")
    assert order(database) == ["three", "one", "two"]


def test_to_htmx_the_new_list_alone_is_given(manager: FlaskClient) -> None:
    part = post(manager, headers=HTMX, down="one").text
    assert part.lstrip().startswith('<section class="card" aria-labelledby="steps-h" id="steps"')
    assert part.index('id="step-row-two"') < part.index('id="step-row-one"')
    assert part.index('name="seen" value="two"') < part.index('name="seen" value="one"')


def test_progress_is_not_touched(manager: FlaskClient, database: Database, session: Session) -> None:
    with database.transaction() as other:
        a_person(other)
        a_save(other, "done", step_id="two")
    people = snapshot(session)["onboarding_users"]
    session.rollback()
    post(manager, up="two")
    assert snapshot(session)["onboarding_users"] == people
    assert status_of(session, step_id="two") == "done"


@pytest.mark.parametrize("change", [{"up": "three"}, {"order": ["three", "two", "one"]}])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "part"])
def test_an_order_that_is_another_by_now_moves_nothing(
    manager: FlaskClient, database: Database, change: dict[str, object], headers: dict[str, str]
) -> None:
    with database.transaction() as session:
        steps.reorder(session, MAYA, ["two", "one", "three"], SEEN)
    answer = post(manager, headers=headers, **change)
    assert answer.status_code == 409
    for words in ('role="alert"', "changed since you opened this page", "Nothing was moved"):
        assert words in answer.text
    assert answer.text.index('id="step-row-two"') < answer.text.index('id="step-row-one"')
    assert order(database) == ["two", "one", "three"]


def test_a_step_that_came_or_went_makes_it_stale(manager: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        a_step(session, STEP, released=False)
    assert post(manager, up="two").status_code == 409
    assert order(database) == [*SEEN, STEP]


@pytest.mark.parametrize(
    "wrong", [[], ["one", "two"], ["one", "two", "two"], ["one", "two", "<b>"], [*SEEN, "four"], ["x" * 5_000]]
)
def test_an_order_that_does_not_name_each_step_once_is_refused(
    manager: FlaskClient, database: Database, wrong: list[str]
) -> None:
    answer = post(manager, order=wrong)
    assert answer.status_code == 422
    assert "This order does not include each step exactly once. Nothing was moved." in answer.text
    assert post(manager, headers=HTMX, order=wrong).headers["HX-Retarget"] == "#notices"
    assert order(database) == SEEN


def test_a_step_that_is_not_on_the_list_cannot_be_moved(manager: FlaskClient, database: Database) -> None:
    assert post(manager, up="four").status_code == 404
    assert post(manager, seen=[], order=[]).status_code == 409
    assert order(database) == SEEN


def test_each_step_has_its_controls(manager: FlaskClient, database: Database) -> None:
    page = manager.get("/steps").text
    assert page.count('name="up"') == page.count('name="down"') == page.count("data-handle") == 3
    assert page.count('aria-disabled="true"') == 2, "up from the first place, down from the last"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT])
def test_others_see_the_order_and_may_not_change_it(client: FlaskClient, database: Database, role: Role) -> None:
    sign_in_as(client, database, role)
    assert "order-form" not in client.get("/steps").text
    assert post(client, up="two").status_code == 403
    assert order(database) == SEEN


def test_signed_out_it_is_closed(app: Flask, database: Database) -> None:
    client = app.test_client()
    token = csrf_token(client.get("/sign-in").text)
    assert client.post(URL, data={"csrf_token": token, "seen": SEEN, "up": "two"}).status_code == 401
    assert order(database) == SEEN


def test_it_needs_a_token(manager: FlaskClient, database: Database) -> None:
    assert manager.post(URL, data={"seen": SEEN, "up": "two"}).status_code == 400
    assert order(database) == SEEN


def test_a_step_may_be_called_order(manager: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        a_step(session, "order")
    assert "order, step 4 of 4" in manager.get(URL).text
