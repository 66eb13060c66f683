"""What was typed into a form that is refused as a whole: the page that says so still has it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding import steps
from dashboard.staff.permissions import Role
from dashboard.web.refused_form import LABELS
from tests import factories
from tests.conftest import Build, csrf_token
from tests.factories import ANNA, STEP
from tests.security.world import forms_of, furnish, pages
from tests.staff.signed_in import PASSWORD, email_of, make_account, sign_in_as
from tests.web.desk import HTMX, Data, form_of, part

LONG = "Line one & two.\r\n\r\n  <script>alert(1)</script>\r\nÜber “quotes” and 'more'.\r\n" * 20
DRAFT = f"/steps/{STEP}/draft"
TITLE = "Set up payments"
NO_LOSS = {"typed", "username"}
"""The id of somebody who is to be erased, which stands on the page, and an address that cannot be changed."""


def a_draft_and_a_person(session: Session) -> None:
    factories.a_step(session)
    factories.a_draft(session)
    factories.a_person(session)


@pytest.fixture
def manager(client: FlaskClient, database: Database, build: Build) -> FlaskClient:
    """A manager's browser; the step has a draft."""
    build(a_draft_and_a_person)
    sign_in_as(client, database, Role.MANAGER)
    return client


def typed(page: str) -> dict[str, str]:
    """What the page says that was typed."""
    if 'data-testid="typed"' not in page:
        return {}
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", part(page, "typed").partition("</dl>")[0], re.DOTALL)
    return {label: unescape(text) for label, text in found}


def draft(browser: FlaskClient) -> Data:
    """The form of the draft, with a long description typed into it and another weight."""
    return form_of(browser.get(DRAFT), "draft-form") | {"description": LONG, "weight": "35"}


def test_a_role_that_is_gone_leaves_what_was_typed(manager: FlaskClient, database: Database, session: Session) -> None:
    form = draft(manager)
    sign_in_as(manager, database, Role.VIEWER)
    answer = manager.post(DRAFT, data=form)
    assert answer.status_code == 403
    assert "You are signed in as Viewer. Nothing was saved." in answer.text
    # the title is as it was, so it is no loss
    assert typed(answer.text) == {"Description": LONG, "Weight": "35"}
    assert "<script>alert" not in answer.text
    assert 'data-testid="send-again"' not in answer.text
    found = steps.get(session, STEP).draft
    assert found is not None
    assert found.fields.description == ""


def test_a_session_that_is_over_leaves_it_and_a_form_to_send_it_again(
    manager: FlaskClient, database: Database, session: Session
) -> None:
    form = draft(manager)
    manager.delete_cookie("staff_session")
    answer = manager.post(DRAFT, data=form)
    assert answer.status_code == 401
    assert typed(answer.text) == {"Description": LONG, "Weight": "35"}
    again = dict(re.findall(r'name="(\w+)" value="([^"]*)"', part(answer.text, "signed-out")))
    again = {name: unescape(value) for name, value in again.items()}
    assert {name for name in form if name not in again} == set()
    sign_in_as(manager, database, Role.MANAGER)
    assert manager.post(DRAFT, data=again).status_code == 303
    session.rollback()
    found = steps.get(session, STEP).draft
    assert found is not None
    assert found.fields.description == LONG.replace("\r\n", "\n").strip()


def test_signed_out_in_another_tab_says_so_at_once(manager: FlaskClient, database: Database, session: Session) -> None:
    form, from_here = draft(manager), {"Sec-Fetch-Site": "same-origin"}
    manager.post("/sign-out", data={"csrf_token": form["csrf_token"]})
    answer = manager.post(DRAFT, data=form, headers=from_here)
    assert answer.status_code == 401
    assert "You are signed out" in answer.text
    assert typed(answer.text) == {"Description": LONG, "Weight": "35"}
    row = {"csrf_token": form["csrf_token"], "status": "done", "row_version": "1"}
    notice = manager.post(f"/people/{ANNA}/steps/{STEP}", data=row, headers=from_here | HTMX)
    assert notice.status_code == 401
    assert "You are signed out" in notice.text
    assert notice.headers["HX-Retarget"] == "#notices"
    assert manager.post(DRAFT, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 400
    assert manager.post("/sign-in", data={"csrf_token": "old"}, headers=from_here).status_code == 400
    sign_in_as(manager, database, Role.MANAGER)
    assert manager.post(DRAFT, data=form, headers=from_here).status_code == 400, "signed in, the page is only old"
    session.rollback()
    found = steps.get(session, STEP).draft
    assert found is not None
    assert found.fields.description == ""


def test_of_a_persons_rows_it_is_what_was_chosen_and_typed(client: FlaskClient, manager: FlaskClient) -> None:
    token = csrf_token(manager.get("/settings/account").text)
    form = {
        "csrf_token": token,
        f"status.{STEP}": "done",
        f"seen.{STEP}": "todo",
        f"comment.{STEP}": "By phone.",
        "status.other": "done",
        "seen.other": "done",
        "comment.other": " ",
        "row_version.other": "7",
        # of a panel in a row's place
        "yours.status.third": "skipped",
        "yours.comment.third": "",
        "undo.status.fourth": "todo",
    }
    answer = manager.post(f"/people/{ANNA}/steps", data=form)
    assert answer.status_code == 403
    assert typed(answer.text) == {
        f"Status of {TITLE}": "Done",
        f"Comment of {TITLE}": "By phone.",
        "Status of third": "Skipped",
    }


BULK = {"step": STEP, "status": "done", "comment": "By phone.", "filter_q": "a"}
SAID = {"Step": TITLE, "Status": "Done", "Comment": "By phone."}


@pytest.mark.parametrize(
    ("chosen", "people"),
    [
        ({"user_id": [ANNA, "ben"]}, "2 people selected"),
        ({"user_id": [ANNA]}, "1 person selected"),
        ({"user_id": [ANNA], "everybody": ["1"]}, "Everyone who matches"),
    ],
)
def test_of_a_change_of_many_people_it_is_the_step_and_how_many(
    manager: FlaskClient, chosen: dict[str, list[str]], people: str
) -> None:
    form = {"csrf_token": csrf_token(manager.get("/settings/account").text)} | BULK | chosen
    answer = manager.post("/bulk-changes", data=form)
    assert answer.status_code == 403
    assert typed(answer.text) == {"People": people} | SAID
    manager.delete_cookie("staff_session")
    answer = manager.post("/bulk-changes", data=form)
    assert answer.status_code == 401
    assert typed(answer.text) == {"People": people} | SAID | {"Step": STEP}, "no title for whom nobody knows"


def test_titles_are_told_to_the_browser_of_somebody_whose_session_is_over(
    client: FlaskClient, session: Session
) -> None:
    factories.a_step(session)
    make_account(session, Role.SUPPORT)
    session.commit()
    sent = form_of(client.get("/sign-in"), "sign-in-form")
    client.post("/sign-in", data=sent | {"email": email_of(Role.SUPPORT), "password": PASSWORD})
    form = {"csrf_token": csrf_token(client.get("/settings/account").text)} | BULK | {"user_id": ANNA}
    client.delete_cookie("staff_session")
    answer = client.post("/bulk-changes", data=form)
    assert answer.status_code == 401
    assert typed(answer.text) == {"People": "1 person selected"} | SAID
    assert "You will be asked to confirm it" not in answer.text


def test_while_the_database_is_away_steps_have_their_ids(manager: FlaskClient, away: Flask) -> None:
    form = {"csrf_token": csrf_token(manager.get("/settings/account").text)} | BULK | {"user_id": ANNA}
    browser = away.test_client()
    for name in ("staff_session", "dashboard"):
        cookie = manager.get_cookie(name)
        assert cookie is not None
        browser.set_cookie(name, cookie.value)
    answer = browser.post("/bulk-changes", data=form)
    assert answer.status_code == 503
    assert typed(answer.text) == {"People": "1 person selected"} | SAID | {"Step": STEP}


@pytest.mark.parametrize("status", [401, 403])
def test_no_password_is_shown(manager: FlaskClient, status: int) -> None:
    token = csrf_token(manager.get("/settings/account").text)
    form = {"csrf_token": token, "name": "Noor", "password": "hunter2-hunter2", "old_password": "hunter3-hunter3"}
    if status == 401:
        manager.delete_cookie("staff_session")
    answer = manager.post("/settings/account/password" if status == 401 else "/settings/staff/invite", data=form)
    assert answer.status_code == status
    assert typed(answer.text) == {"Name": "Noor"}
    assert "hunter" not in answer.text


@pytest.mark.parametrize("signed_in", [True, False])
def test_what_another_site_fills_in_is_not_offered(manager: FlaskClient, signed_in: bool) -> None:
    form = draft(manager) | {"csrf_token": "made up"}
    if not signed_in:
        manager.delete_cookie("staff_session")
    answer = manager.post(DRAFT, data=form)
    assert answer.status_code == 400
    assert "Line one" not in answer.text


@pytest.fixture
def away(settings: Settings) -> Iterator[Flask]:
    """The same dashboard while its database does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = create_app(replace(settings, database_url=f"postgresql+psycopg://nobody@127.0.0.1:{port}/none"))
    yield made
    made.extensions["database"].dispose()


def test_while_the_database_is_away_it_can_be_sent_again(manager: FlaskClient, away: Flask, session: Session) -> None:
    form = draft(manager)
    browser = away.test_client()
    for name in ("staff_session", "dashboard"):
        cookie = manager.get_cookie(name)
        assert cookie is not None
        browser.set_cookie(name, cookie.value)
    answer = browser.post(DRAFT, data=form)
    assert answer.status_code == 503
    assert typed(answer.text) == {"Description": LONG, "Weight": "35"}
    again = part(answer.text, "fault")
    assert f'action="{DRAFT}"' in again
    values = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', again)}
    assert manager.post(DRAFT, data=values).status_code == 303
    session.rollback()
    found = steps.get(session, STEP).draft
    assert found is not None
    assert found.fields.weight == 35


def test_while_the_database_is_away_a_browser_is_signed_out_all_the_same(manager: FlaskClient, away: Flask) -> None:
    form, browser = draft(manager), away.test_client()
    for name in ("staff_session", "dashboard"):
        cookie = manager.get_cookie(name)
        assert cookie is not None
        browser.set_cookie(name, cookie.value)
    with capture_logs() as log:
        answer = browser.post("/sign-out", data={"csrf_token": form["csrf_token"]})
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert browser.get_cookie("staff_session") is browser.get_cookie("dashboard") is None
    assert log[0]["event"] == "signed out in the browser alone"


def test_what_is_wrong_with_the_switch_of_the_theme_is_said_inside_the_page(manager: FlaskClient) -> None:
    token, from_here = draft(manager)["csrf_token"], {"Sec-Fetch-Site": "same-origin"}
    wrong = manager.post("/theme", data={"theme": "pink", "csrf_token": token})
    assert (wrong.status_code, "data-account=" in wrong.text) == (422, True)
    old = manager.post("/theme", data={"theme": "dark", "csrf_token": "old"}, headers=from_here | HTMX)
    account = re.findall(r'data-account="(\d+)"', wrong.text)
    assert (old.status_code, [old.headers["X-Account"]]) == (400, account)
    again = {"theme": "dark", "csrf_token": old.headers["X-CSRFToken"]}
    assert manager.post("/theme", data=again, headers=HTMX).status_code == 303


def test_whatever_people_type_into_has_a_label(client: FlaskClient, database: Database, session: Session) -> None:
    """Else nobody would see it on the page that says that it was not saved."""
    world = furnish(session)
    sign_in_as(client, database, Role.ADMIN)
    found = set()
    for path, page in pages(client, world):
        visible = set(re.findall(r'<textarea[^>]* name="([^"]+)"', page))
        for field in re.findall(r"<input[^>]*>", page):
            kind, name = re.search(r' type="(\w+)"', field), re.search(r' name="([^"]+)"', field)
            if name and (kind is None or kind[1] in ("text", "email", "url", "number")):
                visible.add(name[1])
        for form in forms_of(page, path):
            found |= {name.partition(".")[0] for name in set(form.names) & visible}
    assert found >= {"title", "description", "comment", "note", "name", "email"}
    assert found - set(LABELS) == NO_LOSS


# Parts of pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unsaved", [True, False])
def test_a_page_on_which_something_is_typed_is_not_left(manager: FlaskClient, unsaved: bool) -> None:
    manager.delete_cookie("staff_session")
    headers = HTMX | {"HX-Current-URL": f"http://localhost/people/{ANNA}"} | ({"X-Unsaved": "1"} if unsaved else {})
    answer = manager.get(f"/people/{ANNA}?history=20", headers=headers)
    if not unsaved:
        assert answer.headers["HX-Redirect"] == f"/sign-in?next=/people/{ANNA}?history%3D20"
        return
    assert answer.status_code == 401
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Push-Url"]) == ("#notices", "false")
    assert f'href="/sign-in?next=/people/{ANNA}?history%3D20" target="_blank"' in answer.text


def test_while_the_database_is_away_an_old_page_can_be_sent_again_too(
    manager: FlaskClient, away: Flask, session: Session
) -> None:
    form = draft(manager) | {"csrf_token": "old"}
    browser = away.test_client()
    cookie = manager.get_cookie("staff_session")
    assert cookie is not None
    browser.set_cookie("staff_session", cookie.value)
    answer = browser.post(DRAFT, data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert typed(answer.text) == {"Description": LONG, "Weight": "35"}
