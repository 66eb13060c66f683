"""An open page asks what has moved: nothing for nearly nothing, else a mark in the row that leaves alone what is edited."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.onboarding import erasure, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy
from dashboard.staff.permissions import Role
from tests.conftest import Build
from tests.factories import (
    ANNA,
    HOST,
    MAYA,
    OTHER,
    SAM,
    STEP,
    a_person,
    a_release,
    a_save,
    a_step,
    everybody,
    people,
    row_version_of,
    status_of,
)
from tests.staff.signed_in import make_account, sign_in_as
from tests.web.desk import HOSTILE, HTMX, asked_of, part, words
from tests.web.person import chosen, fields, hidden, panel, row, save_live

QUIET = HTMX | {"X-Quiet": "1"}


def anna_in_progress(session: Session) -> None:
    make_account(session, Role.SUPPORT, "sam@example.com")
    a_step(session, title="Set up payments")
    a_step(session, OTHER)
    a_person(session)
    a_save(session, "in_progress")


@pytest.fixture(autouse=True)
def anna(build: Build, session: Session) -> Session:
    """Anna, with two steps before her, the first of them in progress."""
    build(anna_in_progress)
    return session


def known(page: TestResponse) -> list[tuple[str, str]]:
    """What the page would tell the server that it knows."""
    told = re.findall(r'<input type="hidden" name="(known|stuck|told)" value="([^"]+)">', page.text)
    assert told
    return told


def ask(client: FlaskClient, given: list[tuple[str, str]], user_id: str = ANNA) -> TestResponse:
    query = "&".join(f"{name}={quote(value)}" for name, value in given)
    return client.get(f"/people/{user_id}/moved?{query}", headers=QUIET)


def marks(response: TestResponse) -> dict[str, str]:
    """What each marked row says."""
    found = re.findall(r'hx-target="#moved-row-([^"]+)"[^>]*>(.*?)</hx-partial>', response.text, re.DOTALL)
    return {step_id: words(html) for step_id, html in found}


# Nothing moved


def test_where_nothing_moved_there_is_no_body(agent: FlaskClient, anna: Session) -> None:
    response = ask(agent, known(agent.get("/people/anna")))
    assert (response.status_code, response.data) == (204, b"")


def test_it_costs_one_query_whatever_there_is(agent: FlaskClient, anna: Session) -> None:
    people(anna, 50)
    for number in range(5):
        a_step(anna, f"step-{number}")
        a_save(anna, "done", step_id=f"step-{number}")
    anna.commit()
    given = known(agent.get("/people/anna"))
    with asked_of(agent) as session_alone:
        agent.get("/people/anna/moved")
    with asked_of(agent) as seen:
        assert ask(agent, given).status_code == 204
    assert len(seen) == len(session_alone) + 1 == 2


def test_the_page_asks_with_what_it_knows_and_quietly(agent: FlaskClient) -> None:
    page = agent.get("/people/anna")
    asking = page.text.partition('<div id="moved"')[2].partition(">")[0]
    assert "data-quiet" in asking
    assert 'hx-get="/people/anna/moved"' in asking
    assert "every 8s" in asking
    assert known(page) == [("known", f"{STEP}.2"), ("known", f"{OTHER}.1")]


# Something moved


def test_a_row_that_a_colleague_changed_is_marked_with_their_name(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    a_save(anna, "done", actor=SAM)
    anna.commit()
    response = ask(agent, given)
    assert response.status_code == 200
    assert marks(response) == {STEP: "Changed by The support Show Set up payments as it is now"}
    assert "Set up payments: Changed by The support." in words(part(response.text, "moved-" + STEP))
    assert "<select" not in response.text
    assert "#step-row" not in response.text


def test_once_told_it_is_not_told_again_until_it_moves_again(agent: FlaskClient, anna: Session) -> None:
    page = agent.get("/people/anna")
    a_save(anna, "done", actor=SAM)
    anna.commit()
    told = ask(agent, known(page))
    after = [*known(told), ("known", f"{OTHER}.1")]
    assert after[0] == ("known", f"{STEP}.3")
    assert ask(agent, after).status_code == 204
    a_save(anna, "todo", actor=SAM)
    anna.commit()
    assert list(marks(ask(agent, after))) == [STEP]


@pytest.mark.parametrize(
    ("policy", "mark"),
    [
        (Policy(), "Reset by the release of version 2"),
        (Policy(in_progress=True), "Kept by the release of version 2"),
    ],
)
def test_a_release_is_named_as_one(agent: FlaskClient, anna: Session, policy: Policy, mark: str) -> None:
    given = known(agent.get("/people/anna"))
    a_release(anna, policy=policy, title="Set up payments")
    anna.commit()
    assert marks(ask(agent, given)) == {STEP: f"{mark} Show Set up payments as it is now"}


def test_several_rows_take_no_more_queries_than_one(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    a_save(anna, "done", actor=SAM)
    anna.commit()
    with asked_of(agent) as one:
        ask(agent, given)
    a_save(anna, "done", step_id=OTHER, actor=MAYA)
    anna.commit()
    with asked_of(agent) as two:
        assert list(marks(ask(agent, given))) == [STEP, OTHER]
    assert len(one) == len(two) <= 7


def test_a_withdrawn_step_says_so_and_shows_that_there_is_nothing_to_save(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    releases.withdraw(anna, MAYA, STEP)
    anna.commit()
    assert marks(ask(agent, given))[STEP].startswith("The step was withdrawn")
    shown = agent.get(f"/people/anna/steps/{STEP}", headers=HTMX)
    assert shown.status_code == 410
    read = words(panel(shown))
    assert "Set up payments was withdrawn" in read
    assert "What you chose" not in read


def test_a_step_that_is_new_is_told_once_and_left_to_a_new_load(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    a_step(anna, "third")
    anna.commit()
    response = ask(agent, given)
    assert "There is a new step on the checklist. Reload the page" in words(response.text)
    assert 'hx-get="/people/anna/moved"' in response.text
    assert ask(agent, [*given, ("told", "third")]).status_code == 204
    a_step(anna, "fourth")
    anna.commit()
    more = ask(agent, [*given, ("told", "third")])
    assert "There are 2 new steps on the checklist" in words(more.text)
    assert ask(agent, [*given, ("told", "fourth"), ("told", "third")]).status_code == 204
    releases.withdraw(anna, MAYA, "fourth")
    anna.commit()
    less = ask(agent, [*given, ("told", "fourth"), ("told", "third")])
    assert "There is a new step on the checklist" in words(less.text)


def test_words_of_others_are_text(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    everybody.put(anna, HOST, "x", name=HOSTILE)
    a_save(anna, "done", actor=Actor("user:x"))
    a_release(anna, OTHER, title=HOSTILE)
    anna.commit()
    assert "<script>alert" not in ask(agent, given).text


@pytest.mark.parametrize(
    "given", [[], [("known", "")], [("known", "x")], [("known", f"{STEP}.x")], [("known", HOSTILE), ("told", HOSTILE)]]
)
def test_a_question_that_makes_no_sense_is_no_fault(
    agent: FlaskClient, anna: Session, given: list[tuple[str, str]]
) -> None:
    response = ask(agent, given)
    assert response.status_code == 200
    assert marks(response) == {}
    assert "<script>alert" not in response.text


# Gone, signed out, not htmx


def test_an_erased_person_is_told_and_the_page_asks_no_more(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    erasure.erase(anna, SAM, ANNA, ANNA)
    anna.commit()
    response = ask(agent, given)
    assert response.status_code == 200
    assert "This person is no longer here" in words(response.text)
    assert "hx-get" not in response.text
    assert "#step-row" not in response.text


def test_signed_out_it_is_refused_without_sending_anybody_away(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    agent.delete_cookie("staff_session")
    response = ask(agent, given)
    assert response.status_code == 401
    assert "HX-Redirect" not in response.headers
    # what somebody asks for does send them to sign in
    assert "HX-Redirect" in agent.get(f"/people/anna/steps/{STEP}", headers=HTMX).headers


def test_what_asks_by_itself_keeps_no_session_open(agent: FlaskClient, anna: Session) -> None:
    given = known(agent.get("/people/anna"))
    anna.execute(text("UPDATE staff_sessions SET last_seen_at = now() - interval '1 hour'"))
    anna.commit()
    ask(agent, given)
    seen = text("SELECT now() - max(last_seen_at) > interval '30 minutes' FROM staff_sessions")
    assert anna.scalar(seen) is True
    anna.commit()
    agent.get("/people/anna")
    assert anna.scalar(seen) is False


def test_the_address_itself_leads_to_the_person(agent: FlaskClient) -> None:
    response = agent.get("/people/anna/moved")
    assert (response.status_code, response.location) == (303, "/people/anna")


# Show


def show(client: FlaskClient, data: dict[str, str]) -> TestResponse:
    return client.post(f"/people/anna/steps/{STEP}", data=data | {"resolve": "show"}, headers=HTMX)


def test_a_row_that_was_not_edited_is_shown_as_it_is_now(agent: FlaskClient, anna: Session) -> None:
    opened = fields(agent.get("/people/anna"))
    a_save(anna, "done", actor=SAM)
    anna.commit()
    response = show(agent, opened)
    assert response.status_code == 200
    assert chosen(row(response)) == "done"
    assert hidden(row(response), f"row_version.{STEP}") == "3"
    assert "data-focus" in row(response).partition(">")[0]
    assert '<hx-partial hx-target="#history"' in response.text


def test_what_was_edited_is_kept_beside_what_is_there_now(agent: FlaskClient, anna: Session) -> None:
    opened = fields(agent.get("/people/anna"))
    a_save(anna, "done", actor=SAM)
    anna.commit()
    response = show(agent, opened | {f"status.{STEP}": "skipped", f"comment.{STEP}": "Typed."})
    assert response.status_code == 200
    shown = panel(response)
    assert "One change came in since then." in words(shown)
    assert "Skipped Typed." in words(part(shown, "conflict-yours"))
    assert hidden(shown, "attempt") == "0", "nothing was refused"
    assert (status_of(anna), row_version_of(anna)) == ("done", 3)


def test_in_a_panel_it_is_the_panels_own_choice_that_is_kept(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done", actor=SAM)
    anna.commit()
    refused = save_live(agent, 2, "skipped", comment="Typed.")
    given = [*known(refused), ("known", f"{OTHER}.1")]
    assert ("stuck", STEP) in given
    assert ask(agent, given).status_code == 204
    a_save(anna, "todo", actor=SAM, comment="Once more.")
    anna.commit()
    marked = ask(agent, given)
    assert ("stuck", STEP) in known(marked)
    shown = panel(refused)
    fields_of = ("row_version", "status", "comment")
    token = fields(agent.get("/people/anna"))["csrf_token"]
    response = show(agent, {"csrf_token": token} | {f"yours.{one}.{STEP}": hidden(shown, one) for one in fields_of})
    again = panel(response)
    assert "Once more." in part(again, "conflict-changes")
    assert "Skipped Typed." in words(part(again, "conflict-yours"))


def test_a_viewer_is_shown_the_row_without_controls(client: FlaskClient, database: Database, anna: Session) -> None:
    sign_in_as(client, database, Role.VIEWER)
    given = known(client.get("/people/anna"))
    a_save(anna, "done", actor=SAM)
    anna.commit()
    marked = ask(client, given)
    assert f'hx-get="/people/anna/steps/{STEP}"' in marked.text
    assert "<button" not in marked.text
    response = client.get(f"/people/anna/steps/{STEP}", headers=HTMX)
    assert "Done" in words(row(response))
    assert "<select" not in response.text
