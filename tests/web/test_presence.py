"""Who else has a draft open: told beside the form and on the step's page, forgotten when the form is left."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import drafts, presence, releases, steps
from dashboard.staff.permissions import Role
from tests.conftest import Build, csrf_token
from tests.factories import MAYA, OTHER, STEP, a_draft, a_step
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX, form_of, part, same_however_much_there_is, send

DRAFT = f"/steps/{STEP}/draft"
BEAT = f"{DRAFT}/presence"
LEAVE = f"{BEAT}/leave"
ME, COLLEAGUE = "staff:manager@staff.example", "staff:admin@staff.example"


def a_saved_draft(session: Session) -> None:
    a_step(session)
    a_draft(session, title="Other words")


@pytest.fixture(autouse=True)
def drafted(build: Build) -> None:
    """A draft of version 2, saved once since it was started: it is at row_version 2."""
    build(a_saved_draft)


def editors(database: Database) -> dict[str, int]:
    """Who has the draft open, at which row_version."""
    with database.transaction() as session:
        return {one.actor: one.row_version for one in presence.editors(session, STEP)}


def newest(database: Database) -> int:
    with database.transaction() as session:
        draft = steps.get(session, STEP).draft
        assert draft
        return draft.row_version


def beat(client: FlaskClient, row_version: object, address: str = BEAT) -> str:
    """What the form gets for saying that it is still open."""
    token = csrf_token(client.get("/steps").text)
    answer = client.post(address, data={"row_version": row_version}, headers=HTMX | {"X-CSRFToken": token})
    assert answer.status_code == 200
    return answer.text


def test_opening_the_form_says_so(manager: FlaskClient, colleague: FlaskClient, database: Database) -> None:
    colleague.get(DRAFT)
    page = manager.get(DRAFT).text
    now = newest(database)
    assert editors(database) == {ME: now, COLLEAGUE: now}
    card = page.partition('data-testid="editing-now"')[2].partition("</section>")[0]
    assert card.index("The manager (you)") < card.index("The admin")
    assert f"Has draft {now} open" in card


def test_the_card_asks_for_itself_again(manager: FlaskClient, database: Database) -> None:
    page, card = manager.get(DRAFT).text, beat(manager, newest(database))
    assert 'hx-trigger="load, every 15s, visibilitychange from:document"' in page
    assert card.lstrip().startswith('<section class="card" id="editing-now"')
    assert 'hx-trigger="every 15s, visibilitychange from:document"' in card, "it would ask without end"
    assert f'data-leave="{LEAVE}"' in card


def test_a_beat_keeps_what_was_opened(manager: FlaskClient, colleague: FlaskClient, database: Database) -> None:
    opened = newest(database)
    page = manager.get(DRAFT).text
    colleague.post(DRAFT, data=form_of(colleague.get(DRAFT), "draft-form") | {"title": "Theirs"})
    colleague.get(DRAFT)
    card = beat(manager, opened)
    assert '<div role="status"></div>' in page, "what is in it from the start is not read out"
    assert f"Has draft {opened} open" in card
    assert f"Saved draft {opened + 1} at <time" in card
    assert 'data-testid="newer-draft"' in card
    assert f"Draft {opened + 1} is newer than the one you opened" in card
    assert editors(database)[ME] == opened


def test_a_merge_shows_who_is_there(manager: FlaskClient, colleague: FlaskClient, database: Database) -> None:
    mine = form_of(manager.get(DRAFT), "draft-form")
    colleague.post(DRAFT, data=form_of(colleague.get(DRAFT), "draft-form") | {"title": "Theirs"})
    colleague.get(DRAFT)
    panel = manager.post(DRAFT, data=mine | {"weight": "30"})
    assert panel.status_code == 409
    assert "The admin" in panel.text.partition('data-testid="editing-now"')[2]
    assert editors(database)[ME] == newest(database)


def test_the_step_page_names_the_others(manager: FlaskClient, colleague: FlaskClient) -> None:
    manager.get(DRAFT)
    page = f"/steps/{STEP}"
    assert "also editing" not in manager.get(page).text, "oneself is nobody else"
    colleague.get(DRAFT)
    assert "The admin is also editing this draft." in manager.get(page).text


def test_whoever_leaves_is_gone_at_once(manager: FlaskClient, database: Database) -> None:
    manager.get(DRAFT)
    answer = send(manager, LEAVE)
    assert (answer.status_code, answer.data) == (204, b"")
    assert editors(database) == {}
    assert send(manager, LEAVE).status_code == 204


def test_whoever_is_not_heard_of_is_forgotten(manager: FlaskClient, colleague: FlaskClient, session: Session) -> None:
    colleague.get(DRAFT)
    session.execute(text("UPDATE draft_editors SET seen_at = now() - interval '46 seconds'"))
    session.commit()
    assert "also editing" not in manager.get(f"/steps/{STEP}").text
    assert "The admin" not in part(manager.get(DRAFT).text, "editing-now")


def test_saving_and_discarding_leave(manager: FlaskClient, database: Database) -> None:
    fields = form_of(manager.get(DRAFT), "draft-form")
    assert manager.post(DRAFT, data=fields | {"title": "Saved"}).status_code == 303
    assert editors(database) == {}
    fields = form_of(manager.get(DRAFT), "draft-form")
    assert send(manager, f"{DRAFT}/discard", row_version=fields["row_version"], version="2").status_code == 303
    assert editors(database) == {}


@pytest.mark.parametrize("end", ["released", "discarded"])
def test_a_draft_that_is_gone_is_told(manager: FlaskClient, database: Database, end: str) -> None:
    opened = newest(database)
    manager.get(DRAFT)
    with database.transaction() as session:
        if end == "released":
            releases.release(session, MAYA, STEP)
        else:
            drafts.discard(session, MAYA, STEP, opened)
    card = beat(manager, opened)
    assert "This draft was released or discarded." in card
    assert "hx-trigger" not in card


def test_a_first_draft_that_is_gone_with_its_step_is_told(manager: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        first = drafts.create(session, MAYA, OTHER, {"title": "Not released yet"})
        drafts.discard(session, MAYA, OTHER, first.row_version)
    card = beat(manager, first.row_version, f"/steps/{OTHER}/draft/presence")
    assert "This draft was released or discarded." in card
    assert "hx-trigger" not in card


def test_a_beat_for_a_step_that_is_gone_is_nobodys(database: Database) -> None:
    with database.transaction() as session:
        presence.beat(session, MAYA, "gone", 1)
        assert presence.editors(session, "gone") == []


@pytest.mark.parametrize("row_version", ["", "one", "0", "-1", "1.5"])
def test_a_beat_without_a_number_is_refused(manager: FlaskClient, database: Database, row_version: str) -> None:
    assert send(manager, BEAT, row_version=row_version).status_code == 422
    assert editors(database) == {}


def test_a_number_that_never_was_counts_as_the_newest(manager: FlaskClient, database: Database) -> None:
    beat(manager, 9 * 10**17)
    assert editors(database) == {ME: newest(database)}


def test_a_step_that_is_not_there_is_404(manager: FlaskClient) -> None:
    assert send(manager, "/steps/nowhere/draft/presence", row_version="1").status_code == 404


def test_without_a_script_a_beat_leads_to_the_form(manager: FlaskClient) -> None:
    answer = send(manager, BEAT, row_version="1")
    assert (answer.status_code, answer.location) == (303, DRAFT)


@pytest.mark.parametrize("address", [BEAT, LEAVE])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT])
def test_others_are_not_counted(client: FlaskClient, database: Database, role: Role, address: str) -> None:
    sign_in_as(client, database, role)
    assert send(client, address, row_version="1").status_code == 403
    assert editors(database) == {}


@pytest.mark.parametrize("address", [BEAT, LEAVE])
def test_signed_out_it_is_closed(app: Flask, manager: FlaskClient, database: Database, address: str) -> None:
    manager.get(DRAFT)
    client = app.test_client()
    token = csrf_token(client.get("/sign-in").text)
    assert client.post(address, data={"csrf_token": token, "row_version": "1"}).status_code == 401
    assert list(editors(database)) == [ME]


@pytest.mark.parametrize("address", [BEAT, LEAVE])
def test_it_needs_a_token(manager: FlaskClient, database: Database, address: str) -> None:
    assert manager.post(address, data={"row_version": "1"}).status_code == 400
    assert editors(database) == {}


def test_the_form_takes_as_many_queries_with_more_editors(manager: FlaskClient, database: Database) -> None:
    def more() -> None:
        with database.transaction() as session:
            for number in range(5):
                presence.beat(session, type(MAYA)(f"staff:{number}@example.com"), STEP, 1)

    assert same_however_much_there_is(manager, DRAFT, more) <= 7


def test_forms_that_hold_typed_text_are_guarded(manager: FlaskClient) -> None:
    page = manager.get(DRAFT).text
    assert "data-guard" in page
    assert "js/drafts.js" in page
    assert "data-leaves" in page.partition("/draft/discard")[2].partition(">")[0]
