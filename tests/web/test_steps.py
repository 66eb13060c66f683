"""The list of steps, a new step, one step, and any two of its versions."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import drafts, releases, steps
from dashboard.staff.permissions import Role
from dashboard.web import steps as pages
from tests.conftest import csrf_token
from tests.factories import (
    ANNA,
    MAYA,
    OTHER,
    STEP,
    a_draft,
    a_person,
    a_release,
    a_save,
    a_step,
    people,
    snapshot,
)
from tests.staff.signed_in import sign_in_as
from tests.web.desk import form_of, same_however_much_there_is, send

NEW = {"step_id": "meet-us", "title": "Meet us", "description": "Say hello.", "weight": "15", "action_url": "/meet"}


# The list


def test_the_list_shows_each_step_in_order(manager: FlaskClient, session: Session) -> None:
    a_step(session, title="First", weight=20)
    a_step(session, OTHER, title="Second", weight=30)
    drafts.start(session, MAYA, OTHER)
    session.commit()
    page = manager.get("/steps").text
    assert page.index(f'data-testid="step-row-{STEP}"') < page.index(f'data-testid="step-row-{OTHER}"')
    assert "2 live steps, 50 points in total" in page
    assert "Version 2 draft" in page
    assert "1 draft</span>" in page


def test_one_point_is_a_point(manager: FlaskClient, session: Session) -> None:
    a_step(session, weight=1)
    session.commit()
    assert "1 of 1 point<" in manager.get(f"/steps/{STEP}").text


def test_an_empty_list_says_what_to_do_next(manager: FlaskClient) -> None:
    page = manager.get("/steps").text
    assert "No steps yet" in page
    assert page.count('data-testid="new-step"') == 1


def test_withdrawn_and_unreleased_steps_say_so(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    releases.withdraw(session, MAYA, STEP)
    a_step(session, OTHER, released=False)
    session.commit()
    page = manager.get("/steps").text
    assert "Withdrawn" in page
    assert "Not released" in page
    assert "0 live steps" in page


def test_a_viewer_is_offered_no_new_step(client: FlaskClient, database: Database, session: Session) -> None:
    a_step(session)
    session.commit()
    sign_in_as(client, database, Role.VIEWER)
    assert 'data-testid="new-step"' not in client.get("/steps").text


def test_the_list_takes_as_many_queries_with_more_steps_and_people(manager: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        a_step(session)

    def more() -> None:
        with database.transaction() as session:
            for number in range(5):
                a_step(session, f"step-{number}")
                a_release(session, f"step-{number}")
            for user_id in people(session, 20):
                a_save(session, "done", user_id)

    assert same_however_much_there_is(manager, "/steps", more) <= 5


# A new step


def test_a_new_step_is_a_draft_that_nobody_sees(manager: FlaskClient, session: Session) -> None:
    fields = form_of(manager.get("/steps/new"), "new-step-form") | NEW
    answer = manager.post("/steps/new", data=fields)
    assert (answer.status_code, answer.location) == (303, "/steps/meet-us")
    made = steps.get(session, "meet-us")
    assert made.live is None
    assert made.draft
    assert made.draft.fields == steps.Fields("Meet us", "Say hello.", 15, "/meet")
    page = manager.get("/steps/meet-us").text
    assert "Preview version 1" in page
    assert "as a draft" in page


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("title", " ", "Title is required."),
        ("title", "x" * 201, "Title must be at most 200 characters, not 201."),
        ("weight", "ten", "Weight must be a whole number from 1 to 1,000."),
        ("weight", "0", "Weight must be a whole number from 1 to 1,000."),
        ("weight", "1001", "Weight must be a whole number from 1 to 1,000."),
        ("weight", "1.5", "Weight must be a whole number from 1 to 1,000."),
        ("weight", "9" * 5_000, "Weight must be a whole number from 1 to 1,000."),
        ("weight", "١٠", "Weight must be a whole number from 1 to 1,000."),
        ("action_url", "javascript:alert(1)", "Opens must be an http or https address, or a path that starts with /."),
        ("action_url", "pay", "Opens must be an http or https address, or a path that starts with /."),
        ("action_url", "//elsewhere", "Opens must start with one slash, not two, or be an http or https address."),
        ("action_url", "/ok path?x=1#y", "Opens must not contain spaces."),
        ("action_url", "/ok\\path", "Opens must not contain a backslash or an invisible character."),
        ("action_url", "https://a:99999/", "Opens must have a port from 1 to 65,535."),
        ("action_url", "https://a:0/", "Opens must have a port from 1 to 65,535."),
        ("action_url", "https://a:b/", "Opens must have a port from 1 to 65,535."),
        ("description", "x" * 5001, "Description must be at most 5,000 characters, not 5,001."),
        ("step_id", "Meet Us", "Id must be 1 to 64 lowercase letters"),
        ("step_id", "new", "Id is reserved for the page that creates a step: choose another."),
    ],
)
def test_what_breaks_a_rule_is_said_at_its_field(
    manager: FlaskClient, session: Session, field: str, typed: str, message: str
) -> None:
    answer = send(manager, "/steps/new", NEW | {field: typed})
    assert answer.status_code == 422
    assert f'data-testid="{field}-error"' in answer.text
    assert message in answer.text
    assert form_of(answer, "new-step-form")[field] == typed
    assert steps.checklist(session) == []
    assert re.findall(r'<(?:input|textarea)(?=[^>]* autofocus)[^>]* id="([^"]+)"', answer.text) == [field]
    assert "Not saved" in answer.text
    assert "from 1 to 1,000. " in answer.text, "as the hint says it"


def test_of_several_wrong_fields_the_first_has_the_focus(manager: FlaskClient) -> None:
    for wrong, first in ((("weight", "action_url"), "weight"), (("weight", "step_id"), "step_id")):
        answer = send(manager, "/steps/new", NEW | dict.fromkeys(wrong, "//"))
        assert re.findall(r'<(?:input|textarea)(?=[^>]* autofocus)[^>]* id="([^"]+)"', answer.text) == [first]
    assert "autofocus" not in manager.get("/steps/new").text


def test_an_id_that_is_taken_is_refused_at_its_field(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    session.commit()
    answer = send(manager, "/steps/new", NEW | {"step_id": STEP})
    assert answer.status_code == 422
    assert "Id is already used by another step." in answer.text


def test_a_form_without_its_fields_makes_nothing(manager: FlaskClient, session: Session) -> None:
    answer = send(manager, "/steps/new", {"step_id": "meet-us", "title": "Meet us"})
    assert answer.status_code == 422
    assert "is missing from the form" in answer.text
    assert steps.checklist(session) == []


def test_a_new_step_needs_a_token(manager: FlaskClient, session: Session) -> None:
    assert manager.post("/steps/new", data=NEW).status_code == 400
    assert steps.checklist(session) == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT])
def test_others_may_not_make_steps(client: FlaskClient, database: Database, role: Role, session: Session) -> None:
    sign_in_as(client, database, role)
    assert client.get("/steps/new").status_code == 403
    assert send(client, "/steps/new", NEW).status_code == 403
    assert steps.checklist(session) == []


def test_signed_out_one_is_sent_to_sign_in_and_what_was_typed_is_kept(client: FlaskClient) -> None:
    answer = client.get("/steps/new")
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/steps/new")
    token = csrf_token(client.get("/sign-in").text)
    answer = client.post("/steps/new", data=NEW | {"csrf_token": token})
    assert answer.status_code == 401
    assert 'value="Say hello."' in answer.text


# One step


def test_the_page_of_a_step_tells_all_of_it(manager: FlaskClient, session: Session) -> None:
    a_step(session, title="Payments", weight=20, description="Connect.", action_url="/pay")
    for user_id in people(session, 3):
        a_save(session, "in_progress", user_id)
    a_release(session, title="Set up payments")
    a_draft(session, weight=30, action_url="/pay/start")
    session.commit()
    page = manager.get(f"/steps/{STEP}").text
    for words in (
        "Version 2 live",
        "Version 3 draft",
        "step 1 of 1",
        "20 of 20 points",
        "<b>weight</b> (20 to 30) and <b>where it opens</b>",
        "<b>0</b> copied",
        "<b>3</b> reset",
        f'href="/steps/{STEP}/releases/2"',
        "Preview version 3",
        "Roll back",
        "Withdraw",
        "Start a draft from version 1",
    ):
        assert words in page


def test_a_step_is_counted_among_those_that_people_see(manager: FlaskClient, session: Session) -> None:
    a_step(session, "first")
    a_step(session, "gone")
    a_step(session)
    a_step(session, "unreleased", released=False)
    releases.withdraw(session, MAYA, "gone")
    session.commit()
    assert f"{STEP}, step 2 of 2<" in manager.get(f"/steps/{STEP}").text
    for step_id in ("gone", "unreleased"):
        page = manager.get(f"/steps/{step_id}").text
        assert f">{step_id}</p>" in page
        assert ", step " not in page


def test_a_rollback_is_told_as_one(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_person(session)
    a_save(session, "in_progress")
    a_release(session)
    releases.roll_back(session, MAYA, STEP, note="It was <b>wrong</b>.")
    session.commit()
    page = manager.get(f"/steps/{STEP}").text
    assert "Rolled back to version 1" in page
    assert "<b>1</b> given back" in page
    assert "Undone" in page
    assert "It was &lt;b&gt;wrong&lt;/b&gt;." in page
    assert 'data-testid="roll-back"' not in page, "there is nothing left to go back to"


def test_that_not_all_releases_are_shown_is_said(
    manager: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_step(session)
    a_release(session)
    releases.roll_back(session, MAYA, STEP)
    session.commit()
    monkeypatch.setattr(pages, "NEWEST", 3)
    assert "All releases" not in manager.get(f"/steps/{STEP}").text
    monkeypatch.setattr(pages, "NEWEST", 2)
    page = manager.get(f"/steps/{STEP}").text
    assert "Newest 2 of 3 releases" in page
    assert 'data-testid="release-1"' not in page
    link = re.search(r'href="([^"]+)">All releases', page)
    assert link
    assert f'href="/steps/{STEP}/releases/1"' in manager.get(unescape(link[1])).text
    assert ">Earlier<" not in page, "the release of version 1 has a date"


def test_a_withdrawn_step_offers_to_be_restored(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    releases.withdraw(session, MAYA, STEP)
    session.commit()
    page = manager.get(f"/steps/{STEP}").text
    assert 'data-testid="restore"' in page
    assert 'data-testid="withdraw"' not in page
    assert "is kept in case it is restored" in page


def test_a_viewer_sees_the_step_and_nothing_to_change_it_with(
    client: FlaskClient, database: Database, session: Session
) -> None:
    a_step(session)
    a_release(session)
    a_draft(session, weight=30)
    session.commit()
    sign_in_as(client, database, Role.VIEWER)
    page = client.get(f"/steps/{STEP}").text
    assert "Preview version 3" in page
    for testid in ("withdraw", "roll-back", "edit-draft", "start-draft"):
        assert f'data-testid="{testid}"' not in page
    assert "Start a draft" not in page


def test_html_in_a_title_is_text(manager: FlaskClient, session: Session) -> None:
    a_step(session, title="<script>alert(1)</script>")
    session.commit()
    for address in ("/steps", f"/steps/{STEP}", f"/steps/{STEP}/withdraw", f"/steps/{STEP}/releases/1"):
        page = manager.get(address).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("address", ["/steps/nowhere", "/steps/nowhere/compare", "/steps/nowhere/releases/1"])
def test_an_unknown_step_is_a_404_page(manager: FlaskClient, address: str) -> None:
    answer = manager.get(address)
    assert answer.status_code == 404
    assert "There is no step “nowhere”." in answer.text


def test_signed_out_a_step_is_closed(client: FlaskClient, session: Session) -> None:
    a_step(session)
    session.commit()
    for address in ("/steps", f"/steps/{STEP}", f"/steps/{STEP}/compare"):
        assert client.get(address).location == f"/sign-in?next={address}"


def test_a_step_takes_as_many_queries_with_more_versions_and_people(manager: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        a_step(session)
        a_release(session)
        a_draft(session, weight=30)

    def more() -> None:
        with database.transaction() as session:
            releases.release(session, MAYA, STEP)
            for _ in range(4):
                a_release(session)
            a_draft(session, weight=40)
            for user_id in people(session, 20):
                a_save(session, "done", user_id)

    assert same_however_much_there_is(manager, f"/steps/{STEP}", more) <= 10


# Two versions


def test_two_versions_are_compared_word_by_word(manager: FlaskClient, session: Session) -> None:
    a_step(session, title="Connect your bank", weight=20)
    a_draft(session, title="Connect a bank", weight=30)
    session.commit()
    page = manager.get(f"/steps/{STEP}/compare?a=1&b=2").text
    for words in (
        "Connect <del>your</del> bank",
        "Connect <ins>a</ins> bank",
        "<del>20</del> of 20",
        "<ins>30</ins> of 30",
    ):
        assert words in page
    assert "2 of 4 fields" in page


def test_without_a_choice_the_live_version_is_compared_with_the_draft(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_release(session)
    a_draft(session, weight=30)
    session.commit()
    assert "Version 2 and version 3" in manager.get(f"/steps/{STEP}/compare").text


def test_without_a_draft_the_version_before_the_live_one_comes_first(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_release(session)
    a_release(session)
    session.commit()
    assert "Version 2 and version 3" in manager.get(f"/steps/{STEP}/compare").text
    page = manager.get(f"/steps/{STEP}").text
    picked = re.findall(r'<input type="radio" name="([ab])" value="(\d)"[^>]* checked', page)
    assert sorted(picked) == [("a", "2"), ("b", "3")]


def test_a_version_against_itself_says_the_same(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    session.commit()
    assert "These versions are identical." in manager.get(f"/steps/{STEP}/compare?a=1&b=1").text


@pytest.mark.parametrize("number", ["9", "0", "-1", "one", "", "9" * 30])
def test_a_version_that_is_not_there_is_a_404_page(manager: FlaskClient, session: Session, number: str) -> None:
    a_step(session)
    session.commit()
    assert manager.get(f"/steps/{STEP}/compare?a=1&b={number}").status_code == 404


def test_looking_changes_nothing(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_release(session)
    a_person(session, ANNA)
    a_draft(session, weight=30)
    session.commit()
    before = snapshot(session)
    session.rollback()
    for path in ("", "/compare", "/draft", "/release", "/rollback", "/withdraw", "/restore", "/releases/1"):
        assert manager.get(f"/steps/{STEP}{path}").status_code < 500
    # whoever looks at the form has it open: that alone is noted
    nobody_editing = {"draft_editors": before["draft_editors"]}
    assert snapshot(session) | nobody_editing == before
