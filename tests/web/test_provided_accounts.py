"""What the pages say of an account that signs in with the sign-in provider, and what they let nobody do to it."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.staff import provided
from dashboard.staff.oidc import OpenIdClient
from dashboard.staff.permissions import Role
from dashboard.staff.provider import Identity, Provider
from dashboard.staff.sessions import SignedIn
from tests.conftest import csrf_token
from tests.staff.signed_in import NOOR, PASSWORD, a_colleague
from tests.web.desk import HOSTILE, part, words
from tests.web.settings import actions, fresh, post, value_of

ISSUER, LABEL = "https://id.example.com", "Example ID"
ROLES = (("onboarding-admins", Role.ADMIN), ("support", Role.SUPPORT))
both = pytest.mark.parametrize("live", [False, True], ids=["plain", "htmx"])


@pytest.fixture
def app(app: Flask) -> Flask:
    """One signs in with the provider; nobody asks it anything here."""
    app.extensions["oidc"] = OpenIdClient(Provider(ISSUER, "dashboard", "", ("openid",), "groups", ROLES, LABEL))
    return app


def come(session: Session, name: str = "Noor Haddad", email: str = NOOR) -> str:
    """Somebody signs in with the provider, as a support agent; the secret of the session. Committed."""
    outcome = provided.sign_in(session, Identity(ISSUER, email, email, name), Role.SUPPORT, address="192.0.2.1")
    session.commit()
    assert isinstance(outcome, SignedIn)
    return outcome.secret


@pytest.fixture
def noor(ada: FlaskClient, session: Session) -> StaffAccount:
    """The account of somebody who came from the provider."""
    come(session)
    return session.query(StaffAccount).filter_by(email=NOOR).one()


def at(account: StaffAccount, deed: str = "") -> str:
    return f"/settings/staff/{account.id}" + (f"/{deed}" if deed else "")


def test_the_list_says_who_comes_from_the_provider(ada: FlaskClient, session: Session, noor: StaffAccount) -> None:
    a_colleague(session, email="iris@example.com")
    page = ada.get("/settings/staff").text
    assert f"Support agent Active {LABEL}" in words(part(page, f"staff-row-{NOOR}"))
    assert LABEL not in words(part(page, "staff-row-iris@example.com"))


def test_the_account_says_that_its_role_follows_the_groups(ada: FlaskClient, noor: StaffAccount) -> None:
    page = ada.get(at(noor)).text
    said = words(part(page, "role-by-groups"))
    assert f"signs in with {LABEL}, and their role is set from their groups there" in said
    assert "Administrator onboarding-admins Support agent support" in said
    assert 'data-testid="role-form"' not in page
    assert f"signs in with {LABEL}" in words(part(page, "figure-state"))
    assert "bypassing Example ID" in words(part(page, "link-card"))


@both
def test_a_role_that_is_sent_all_the_same_is_refused(
    ada: FlaskClient, session: Session, noor: StaffAccount, live: bool
) -> None:
    answer = post(ada, at(noor, "role"), live=live, role="admin", row_version=noor.row_version)
    assert answer.status_code == 409
    assert "role is set from their groups at the sign-in provider" in words(part(answer.text, "form-problem"))
    assert fresh(session, noor).role == "support"


def test_a_link_gives_them_a_password_and_their_role_back_to_this_page(
    ada: FlaskClient, app: Flask, session: Session, noor: StaffAccount
) -> None:
    answer = post(ada, at(noor, "link"), live=True, row_version=noor.row_version)
    link = value_of(answer.text, "shown-link-value").removeprefix("http://localhost")
    visitor = app.test_client()
    form = {"csrf_token": csrf_token(visitor.get(link).text), "link": link.partition("=")[2]}
    chosen = visitor.post("/set-password", data=form | {"password": PASSWORD, "password_again": PASSWORD})
    assert chosen.location == "/sign-in"
    assert fresh(session, noor).oidc_subject is None
    page = ada.get(at(noor)).text
    assert 'data-testid="role-form"' in page
    assert LABEL not in words(page)


def test_what_was_opened_before_they_went_back_to_a_password_is_stale(
    ada: FlaskClient, session: Session, noor: StaffAccount
) -> None:
    from dashboard.onboarding.actor import Actor
    from dashboard.staff import accounts

    seen = noor.row_version
    accounts.set_password(session, Actor("system:command-line", "cli"), NOOR, PASSWORD)
    session.commit()
    answer = post(ada, at(noor, "disable"), live=True, row_version=seen)
    assert answer.status_code == 409
    assert "Switched from the sign-in provider to a password" in words(part(answer.text, "stale-account-changes"))


def test_without_the_provider_it_is_said_how_to_get_them_back_in(
    ada: FlaskClient, app: Flask, noor: StaffAccount
) -> None:
    del app.extensions["oidc"]
    assert "Provider not set up" in words(part(ada.get("/settings/staff").text, f"staff-row-{NOOR}"))
    page = ada.get(at(noor)).text
    assert "cannot sign in" in words(part(page, "figure-state"))
    assert "so that they can set a password instead" in words(part(page, "role-by-groups"))


def test_ones_own_account_has_no_password_to_change(app: Flask, session: Session) -> None:
    client = app.test_client()
    client.set_cookie("staff_session", come(session))
    page = client.get("/settings/account").text
    assert f"You sign in with {LABEL} and have no password here." in words(part(page, "own-provider"))
    assert 'data-testid="own-password"' not in page
    changed = {"old_password": "anything", "password": PASSWORD, "password_again": PASSWORD}
    assert post(client, "/settings/account/password", **changed).status_code == 422
    assert actions(session)[-1] == "staff.password_refused"


def test_the_activity_tells_of_it_in_words(ada: FlaskClient, session: Session, noor: StaffAccount) -> None:
    provided.refuse(session, provided.Refusal.NO_ROLE, "192.0.2.7")
    session.commit()
    page = words(ada.get("/activity?what=staff").text)
    assert f"Created the account {NOOR}" in page
    assert "The sign-in provider" in page
    assert "no group has a role here" in page
    assert ISSUER in page


def test_markup_from_the_provider_comes_out_as_text(ada: FlaskClient, session: Session) -> None:
    come(session, name=HOSTILE, email="eve@example.com")
    for address in ("/settings/staff", "/activity"):
        assert HOSTILE not in ada.get(address).text
