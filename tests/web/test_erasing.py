"""Everything stored about a person as a file, and the page that erases them."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding.actor import Actor
from dashboard.staff.permissions import Role
from tests.conftest import Build
from tests.factories import BEN, HOST, a_person, a_save, a_step, everybody, snapshot
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, form_of, part, send, words

USER, NAME = "usr_qx7", "Quirina Xanthos"


def somebody_known(session: Session) -> None:
    a_step(session, title="Set up payments")
    everybody.put(session, HOST, USER, name=NAME, email="q@xanthos.example")
    a_person(session, BEN)
    a_save(session, "in_progress", USER, actor=Actor(f"user:{USER}", "api"))
    a_save(session, "done", USER, comment="Quirina called.")


@pytest.fixture(autouse=True)
def quirina(build: Build, session: Session) -> Session:
    """Somebody whose step was saved twice, once with a comment."""
    build(somebody_known)
    return session


# The file


def test_everything_stored_comes_as_a_file(agent: FlaskClient) -> None:
    response = agent.get(f"/people/{USER}/export.json")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert response.headers["Content-Disposition"] == f'attachment; filename="{USER}.json"'
    assert response.headers["Cache-Control"] == "no-store"
    given = json.loads(response.text)
    assert given["person"]["name"] == NAME
    assert [event["comment"] for event in given["stored"]["user_step_events"]] == ["", "Quirina called."]


@pytest.mark.parametrize(
    ("user_id", "filename"),
    [("a/b", "a-b"), ('"; x=y\\', "x-y"), ("אבא", "person"), ("..", "person"), ("x" * 200, "x" * 80)],
)
def test_any_id_makes_a_harmless_name_of_a_file(
    agent: FlaskClient, quirina: Session, user_id: str, filename: str
) -> None:
    everybody.put(quirina, HOST, user_id)
    quirina.commit()
    with agent.application.test_request_context():
        address = agent.application.url_for("erasure.export", user_id=user_id)
    response = agent.get(address)
    assert response.headers["Content-Disposition"] == f'attachment; filename="{filename}.json"'


@pytest.mark.parametrize("below", ["export.json", "erase", "moved", "steps"])
def test_an_id_that_ends_like_an_address_below_a_person_has_its_own(
    agent: FlaskClient, quirina: Session, below: str
) -> None:
    everybody.put(quirina, HOST, f"{USER}/{below}", name="Somebody else")
    quirina.commit()
    with agent.application.test_request_context():
        address = agent.application.url_for("people.show", user_id=f"{USER}/{below}")
    assert "<h1>Somebody else</h1>" in agent.get(address).text


# The page


def test_it_says_what_will_go_and_what_stays(agent: FlaskClient) -> None:
    page = agent.get(f"/people/{USER}/erase").text
    goes, stays = words(part(page, "what-goes")), words(part(page, "what-stays"))
    assert "Their id, name and email The status of 1 step" in goes
    assert "2 saves, under a made-up name" in stays
    assert "1 activity log entry" in stays
    assert f'href="/people/{USER}/export.json"' in page


def test_the_typed_id_erases_and_leads_to_the_people(agent: FlaskClient, quirina: Session) -> None:
    form = form_of(agent.get(f"/people/{USER}/erase"), "erase-form") | {"typed": f" {USER} "}
    response = agent.post(f"/people/{USER}/erase", data=form)
    assert (response.status_code, response.location) == (303, "/people")
    page = agent.get("/people").text
    assert "The person was erased." in words(part(page, "flash"))
    assert NAME not in page
    assert agent.get(f"/people/{USER}").status_code == 404
    quirina.rollback()
    left = [row for rows in snapshot(quirina).values() for row in rows]
    assert not [row for row in left if USER in row or "uirina" in row or "xanthos" in row]
    entry = quirina.execute(text("SELECT actor, action FROM audit_log ORDER BY id DESC LIMIT 1")).one()
    assert tuple(entry) == ("staff:support@staff.example", "person.erase")


@pytest.mark.parametrize("typed", ["", NAME, BEN, HOSTILE])
def test_another_id_is_refused_at_the_field_and_kept(agent: FlaskClient, quirina: Session, typed: str) -> None:
    response = send(agent, f"/people/{USER}/erase", {"typed": typed})
    assert response.status_code == 422
    said = words(part(response.text, "typed-error").partition("</p>")[0])
    assert "This is not this person's id. No one was erased." in said
    assert form_of(response, "erase-form")["typed"] == typed
    assert 'aria-describedby="typed-error typed-hint"' in response.text
    assert "<script>alert" not in response.text
    assert agent.get(f"/people/{USER}").status_code == 200


def test_nobody_is_erased_twice(agent: FlaskClient) -> None:
    assert send(agent, f"/people/{USER}/erase", {"typed": USER}).status_code == 303
    assert send(agent, f"/people/{USER}/erase", {"typed": USER}).status_code == 404
    for below in ("/erase", "/export.json"):
        assert agent.get(f"/people/{USER}{below}").status_code == 404


def test_a_form_from_elsewhere_erases_nobody(agent: FlaskClient) -> None:
    assert agent.post(f"/people/{USER}/erase", data={"typed": USER}).status_code == 400
    assert agent.get(f"/people/{USER}").status_code == 200


# Who may


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MANAGER])
def test_those_who_may_not_see_no_way_to_it(
    client: FlaskClient, database: Database, quirina: Session, role: Role
) -> None:
    sign_in_as(client, database, role)
    page = client.get(f"/people/{USER}").text
    assert "erase" not in page
    assert "export.json" not in page
    for below in ("erase", "export.json"):
        assert client.get(f"/people/{USER}/{below}").status_code == 403
    assert send(client, f"/people/{USER}/erase", {"typed": USER}).status_code == 403
    assert client.get(f"/people/{USER}").status_code == 200


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.ADMIN])
def test_those_who_may_have_both_at_the_end_of_the_page(
    client: FlaskClient, database: Database, quirina: Session, role: Role
) -> None:
    sign_in_as(client, database, role)
    page = client.get(f"/people/{USER}").text
    assert f'href="/people/{USER}/export.json"' in part(page, "history")
    assert f'href="/people/{USER}/erase"' in part(page, "history")


def test_words_of_others_are_text(agent: FlaskClient, quirina: Session) -> None:
    everybody.put(quirina, HOST, USER, name=HOSTILE)
    quirina.commit()
    assert "<script>alert" not in agent.get(f"/people/{USER}/erase").text
