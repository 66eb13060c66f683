"""The page behind a one-time link: who gets a form, what it sets, and that it gives nothing away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding.actor import Actor
from dashboard.staff import accounts, links, passwords, sessions
from dashboard.staff.permissions import Role
from tests.conftest import csrf_token
from tests.staff.signed_in import NOOR, PASSWORD, make_account, sign_in_as
from tests.staff.signing_in import USED_UP_S, pass_time, use_up
from tests.web.desk import HOSTILE, asked_of, form_of, part, words
from tests.web.settings import actions

ADA = Actor("staff:ada@example.com")
HERE = "/set-password"


@pytest.fixture
def secret(session: Session) -> str:
    """That of Noor's invitation; committed."""
    made = links.invite(session, ADA, email=NOOR, name="Noor", role=Role.SUPPORT)
    session.commit()
    return made.secret


def opened(client: FlaskClient, secret: str) -> TestResponse:
    return client.get(HERE, query_string={"link": secret})


def choose(client: FlaskClient, secret: str, password: str = PASSWORD, again: str | None = None) -> TestResponse:
    """The form of the page, sent."""
    given = {"link": secret, "password": password, "password_again": password if again is None else again}
    token = csrf_token(client.get("/sign-in").text)
    return client.post(HERE, data={"csrf_token": token, **given})


def test_an_invitation_leads_to_a_password_and_to_the_sign_in_page(
    client: FlaskClient, session: Session, secret: str
) -> None:
    page = opened(client, secret)
    assert page.status_code == 200
    assert "Welcome, Noor" in words(page.text)
    sent = form_of(page, "set-password-form")
    assert (sent["username"], sent["link"]) == (NOOR, secret)
    answer = client.post(HERE, data=sent | {"password": PASSWORD, "password_again": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    page = client.get("/sign-in")
    assert f"Your password is set. Sign in as {NOOR}." in words(page.text)
    sent = form_of(page, "sign-in-form")
    assert sent["email"] == NOOR, "it is filled in, and in no address"
    assert re.search(r'<input[^>]* autofocus[^>]* name="password"', page.text)
    assert form_of(client.get("/sign-in"), "sign-in-form")["email"] == "", "once"
    sent |= {"email": NOOR, "password": PASSWORD}
    assert client.post("/sign-in", data=sent).status_code == 303
    assert "Noor" in words(part(client.get("/").text, "account"))


def test_looking_at_it_uses_nothing_up(client: FlaskClient, session: Session, secret: str) -> None:
    before = actions(session)
    for _ in range(3):
        assert opened(client, secret).status_code == 200
        assert client.head(HERE, query_string={"link": secret}).status_code == 200
    assert actions(session) == before
    assert choose(client, secret).status_code == 303


def test_who_forgot_their_password_is_signed_out_everywhere(client: FlaskClient, session: Session) -> None:
    maya = make_account(session, Role.MANAGER, "maya@example.com")
    open_session = sessions.start(session, maya, "192.0.2.1", "A browser")
    link = links.make(session, ADA, maya.email)
    session.commit()
    assert "Choose a new password" in words(opened(client, link.secret).text)
    assert choose(client, link.secret, "another password").status_code == 303
    assert sessions.load(session, open_session) is None
    session.refresh(maya)
    assert passwords.matches(maya.password_hash, "another password")


# Links that do not work ----------------------------------------------------------------------------------------------


def used(session: Session, secret: str) -> None:
    links.use(session, secret, PASSWORD)


def expired(session: Session, secret: str) -> None:
    pass_time(session, timedelta(hours=73))


def replaced(session: Session, secret: str) -> None:
    links.make(session, ADA, NOOR)


def withdrawn(session: Session, secret: str) -> None:
    links.withdraw(session, ADA, NOOR)


def disabled(session: Session, secret: str) -> None:
    accounts.disable(session, ADA, NOOR)


def same(answer: TestResponse) -> str:
    """The page without what is of this browser and this moment."""
    return re.sub(r'"X-CSRFToken": "[^"]*"', "", answer.text)


@pytest.mark.parametrize("way", [used, expired, replaced, withdrawn, disabled], ids=lambda way: way.__name__)
def test_each_gets_the_answer_that_an_unknown_one_gets(
    client: FlaskClient, session: Session, secret: str, way: object
) -> None:
    way(session, secret)  # type: ignore[operator]
    session.commit()
    answers = [opened(client, one) for one in (secret, "unknown", "")] + [client.get(HERE)]
    answers += [choose(client, one) for one in (secret, "unknown", "")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({same(answer) for answer in answers}) == 1
    assert NOOR not in answers[0].text
    assert 'data-testid="dead-link"' in answers[0].text


def test_a_refused_link_is_in_the_log_a_looked_at_one_is_not(client: FlaskClient, session: Session) -> None:
    opened(client, "unknown")
    assert actions(session) == []
    choose(client, "unknown")
    assert actions(session) == ["staff.link_refused"]


@pytest.mark.parametrize(
    ("password", "again", "field"),
    [
        ("short", "short", "password"),
        ("x" * 201, "x" * 201, "password"),
        ("password123", "password123", "password"),
        ("Noor 123456", "Noor 123456", "password"),
        (PASSWORD, "else", "password_again"),
        ("", "", "password"),
    ],
)
def test_a_bad_password_is_said_at_its_field_and_the_link_stays_good(
    client: FlaskClient, session: Session, secret: str, password: str, again: str, field: str
) -> None:
    answer = choose(client, secret, password, again)
    assert answer.status_code == 422
    assert f'data-testid="{field}-error"' in answer.text
    assert form_of(answer, "set-password-form")["link"] == secret
    assert not password or f'value="{password}"' not in answer.text
    assert choose(client, secret).status_code == 303


def test_a_bad_password_for_a_dead_link_gets_the_same_plain_answer(client: FlaskClient) -> None:
    assert same(choose(client, "unknown", "short")) == same(opened(client, "unknown"))


# What the page gives away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["open", "dead", "send", "slow"])
def test_no_other_page_learns_the_address(client: FlaskClient, session: Session, secret: str, way: str) -> None:
    if way == "slow":
        use_up(session, "link 127.0.0.1")
    answer = {
        "open": lambda: opened(client, secret),
        "dead": lambda: opened(client, "unknown"),
        "send": lambda: choose(client, secret, "short"),
        "slow": lambda: opened(client, secret),
    }[way]()
    assert answer.status_code == {"open": 200, "dead": 404, "send": 422, "slow": 429}[way]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)


def test_the_secret_is_in_no_line_of_the_log(client: FlaskClient, secret: str) -> None:
    with capture_logs() as lines:
        opened(client, secret)
        choose(client, secret)
    assert [line["path"] for line in lines].count(HERE) == 2
    assert secret not in str(lines)


def test_hostile_names_are_text(client: FlaskClient, session: Session) -> None:
    link = links.invite(session, ADA, email="<b>@x\"'", name=HOSTILE, role=Role.VIEWER)
    session.commit()
    page = opened(client, link.secret).text
    assert "<script>alert" not in page
    assert "<b>@" not in page


def test_it_needs_the_token_of_the_form(client: FlaskClient, session: Session, secret: str) -> None:
    given = {"link": secret, "password": PASSWORD, "password_again": PASSWORD}
    assert client.post(HERE, data=given).status_code == 400
    assert client.post(HERE, data=given | {"csrf_token": "made up"}).status_code == 400
    assert links.opened(session, secret) is not None


@pytest.fixture
def behind_https(settings: Settings) -> Iterator[Flask]:
    """The app as it is behind https."""
    made = create_app(replace(settings, secure_cookies=True))
    made.testing = True
    yield made
    made.extensions["database"].dispose()


def test_under_https_the_form_works_although_its_page_sends_no_referrer(behind_https: Flask, secret: str) -> None:
    client = behind_https.test_client()
    https = {"base_url": "https://localhost"}
    page = client.get(HERE, query_string={"link": secret}, **https)
    sent = form_of(page, "set-password-form") | {"password": PASSWORD, "password_again": PASSWORD}
    assert client.post(HERE, data=sent, headers={"Origin": "null"}, **https).status_code == 303


def test_it_is_slowed_down_by_address(client: FlaskClient, session: Session, secret: str) -> None:
    for _ in range(links.TRIES_A_MINUTE):
        assert opened(client, "unknown").status_code == 404
    use_up(session, "link 127.0.0.1")
    answer = opened(client, secret)
    assert answer.status_code == 429
    assert USED_UP_S / 2 < int(answer.headers["Retry-After"]) <= USED_UP_S + 3
    assert choose(client, secret).status_code == 429
    assert client.get(HERE, environ_base={"REMOTE_ADDR": "192.0.2.1"}, query_string={"link": secret}).status_code == 200


def test_an_unknown_link_costs_few_queries_and_no_hash(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setattr(passwords, "hashed", lambda _: pytest.fail("hashed for nobody"))
    with asked_of(client) as seen:
        assert choose(client, "unknown").status_code == 404
    assert len(seen) <= 4


def test_it_works_in_a_browser_in_which_somebody_else_is_signed_in(
    client: FlaskClient, database: Database, secret: str
) -> None:
    sign_in_as(client, database, Role.ADMIN)
    page = opened(client, secret)
    assert page.status_code == 200
    answer = client.post(
        HERE, data=form_of(page, "set-password-form") | {"password": PASSWORD, "password_again": PASSWORD}
    )
    assert answer.status_code == 303
    assert "Your password is set" in words(client.get("/", follow_redirects=True).text)


@pytest.mark.parametrize("given", ["\0", "é", "x" * 5000, HOSTILE])
def test_any_text_as_a_link_is_answered(client: FlaskClient, given: str) -> None:
    answer = opened(client, given)
    assert answer.status_code == (400 if "\0" in given else 404)
    assert "<script>alert" not in answer.text
