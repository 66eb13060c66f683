"""The pages of API tokens: the list, a new one whose secret is shown once, and revoking one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import ApiToken
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import Role, Scope
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, form_of, part, same_however_much_there_is, words
from tests.web.settings import actions, post, value_of

HERE = "/settings/tokens"
ADA = Actor("staff:admin@staff.example")
OPERATOR = Actor("system:command-line", "cli")
SHOP = {"name": "shop", "scopes": "progress:read", "expires": "90"}


def a_token(session: Session, name: str = "shop", actor: Actor = ADA, **more: datetime) -> tokens.NewToken:
    made = tokens.create(session, actor, name=name, scopes=[Scope.PROGRESS_READ, Scope.STEPS_READ], **more)
    session.commit()
    return made


def row(page: str, name: str) -> str:
    return words(part(page, f"token-row-{name}").partition("</tr>")[0])


def test_without_tokens_it_says_what_they_are_for(ada: FlaskClient) -> None:
    page = ada.get(HERE).text
    assert "No active tokens Your product needs one" in words(part(page, "no-tokens"))
    assert page.count('data-testid="new-token"') == 1


def test_tokens_are_listed_and_those_that_no_longer_work_apart(ada: FlaskClient, session: Session) -> None:
    made = a_token(session)
    tokens.authenticate(session, made.secret)
    a_token(session, "job", OPERATOR, expires_at=datetime.now(UTC) + timedelta(days=400))
    a_token(session, "over", expires_at=datetime.now(UTC) + timedelta(days=1))
    session.execute(update(ApiToken).where(ApiToken.name == "over").values(expires_at=func.now()))
    a_token(session, "gone")
    tokens.revoke(session, ADA, "gone")
    session.commit()
    page = ada.get(HERE).text
    assert "shop by The admin" in row(page, "shop")
    assert "progress:read steps:read just now Never Revoke shop" in row(page, "shop")
    assert "by The command line" in row(page, "job")
    assert re.search(r"Never \d+ \w{3} 20\d\d Revoke", row(page, "job"))
    works, _, over = page.partition('data-testid="tokens-over"')
    assert re.findall(r'data-testid="token-row-(\w+)"', works) == ["job", "shop"]
    assert re.findall(r'data-testid="token-row-(\w+)"', over) == ["gone", "over"]
    assert "Revoked" in row(page, "gone")
    assert "Expired" in row(page, "over")
    assert 'data-testid="revoke"' not in over
    assert made.secret not in page


def test_the_list_takes_as_many_queries_however_many_there_are(ada: FlaskClient, session: Session) -> None:
    a_token(session)

    def more() -> None:
        for number in range(20):
            a_token(session, f"token {number}", Actor(f"staff:someone{number}@example.com"))

    assert same_however_much_there_is(ada, HERE, more) <= 6


def test_in_a_demo_it_says_what_a_token_is_good_for(ada: FlaskClient) -> None:
    assert "demo-tokens" not in ada.get(HERE).text
    ada.application.config["DEMO"] = True
    assert "dashboard demo reset" in part(ada.get(HERE).text, "demo-tokens")


# A new one -----------------------------------------------------------------------------------------------------------


def test_the_form_says_what_each_scope_allows(ada: FlaskClient) -> None:
    page = words(ada.get(f"{HERE}/new").text)
    for scope in Scope:
        assert f"{scope.allows.capitalize()} {scope}" in page


@pytest.mark.parametrize(("expires", "days"), [("30", 30), ("365", 365), ("never", None)])
def test_a_new_token_works_and_is_shown_once(
    ada: FlaskClient, session: Session, expires: str, days: int | None
) -> None:
    given = {"name": " shop ", "scopes": ["progress:read", "steps:read"], "expires": expires}
    token = form_of(ada.get(f"{HERE}/new"), "token-form")["csrf_token"]
    answer = ada.post(f"{HERE}/new", data={"csrf_token": token, **given})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    secret = value_of(answer.text, "shown-token-value")
    found = tokens.authenticate(session, secret)
    session.commit()
    assert found is not None
    assert (found.name, found.scopes) == ("shop", {Scope.PROGRESS_READ, Scope.STEPS_READ})
    until = session.scalars(select(ApiToken.expires_at)).one()
    assert (until is None) is (days is None)
    if until and days:
        assert abs(until - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)
    assert secret not in ada.get(HERE).text
    assert actions(session) == ["token.created"]
    with ada.session_transaction() as kept:
        assert secret not in str(dict(kept))


def test_sending_the_form_again_makes_no_second_one(ada: FlaskClient, session: Session) -> None:
    post(ada, f"{HERE}/new", **SHOP)
    again = post(ada, f"{HERE}/new", **SHOP)
    assert again.status_code == 422
    assert "The name “shop” has already been used." in words(part(again.text, "name-error"))
    assert session.scalar(select(func.count()).select_from(ApiToken)) == 1


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("name", ""),
        ("name", "n" * 101),
        ("name", "a\tb"),
        ("scopes", ""),
        ("scopes", "steps:write"),
        ("scopes", HOSTILE),
        ("expires", "soon"),
        ("expires", ""),
        ("expires", "-1"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(
    ada: FlaskClient, session: Session, member: str, value: str
) -> None:
    answer = post(ada, f"{HERE}/new", **(SHOP | {member: value}))
    assert answer.status_code == 422
    assert f'data-testid="{member}-error"' in answer.text
    assert "<script>alert" not in answer.text
    focused = [tag for tag in re.findall(r"<[^>]+>", answer.text) if " autofocus" in tag]
    assert [re.findall(r'name="(\w+)"', tag) for tag in focused] == [[member]]
    sent = form_of(answer, "token-form")
    assert sent["name"] == (value if member == "name" else "shop")
    assert ("scopes" in sent) is (member != "scopes")
    assert session.scalar(select(func.count()).select_from(ApiToken)) == 0


def test_markup_in_a_name_is_text(ada: FlaskClient, session: Session) -> None:
    assert "<script>alert" not in post(ada, f"{HERE}/new", **(SHOP | {"name": HOSTILE})).text
    page = ada.get(HERE).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    token_id = session.scalars(select(ApiToken.id)).one()
    assert "<script>alert" not in ada.get(f"{HERE}/{token_id}/revoke").text


# Revoking ------------------------------------------------------------------------------------------------------------


def test_a_token_is_revoked_after_a_look_at_it(ada: FlaskClient, session: Session) -> None:
    made = a_token(session)
    address = f"{HERE}/{made.entry.id}/revoke"
    page = words(ada.get(address).text)
    assert "This cannot be undone" in page
    assert "progress:read steps:read" in page
    assert tokens.authenticate(session, made.secret) is not None
    session.commit()
    answer = post(ada, address)
    assert (answer.status_code, answer.location) == (303, HERE)
    assert "The token shop was revoked." in words(ada.get(HERE).text)
    assert tokens.authenticate(session, made.secret) is None
    assert "This token no longer works" in words(ada.get(address).text)
    post(ada, address)
    assert actions(session) == ["token.created", "token.revoked"]


@pytest.mark.parametrize("token_id", ["0", "999", str(2**31), str(2**80), "x", "-1"])
def test_a_token_that_is_not_there_is_not_found(ada: FlaskClient, token_id: str) -> None:
    assert ada.get(f"{HERE}/{token_id}/revoke").status_code == 404
    assert post(ada, f"{HERE}/{token_id}/revoke").status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT, Role.MANAGER])
def test_nobody_else_makes_or_revokes_one(
    client: FlaskClient, session: Session, database: Database, role: Role
) -> None:
    made = a_token(session)
    sign_in_as(client, database, role)
    for address in (HERE, f"{HERE}/new", f"{HERE}/{made.entry.id}/revoke"):
        assert client.get(address).status_code == 403
    assert post(client, f"{HERE}/new", **SHOP).status_code == 403
    assert post(client, f"{HERE}/{made.entry.id}/revoke").status_code == 403
    assert actions(session) == ["token.created"] + 5 * ["access.refused"]
