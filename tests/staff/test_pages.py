"""Signing in and out through the pages: what the form answers, where it leads, and what a signed-out save keeps."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.demo import add_accounts
from dashboard.models import AuditEntry, SignInFailure, StaffAccount, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.staff import demo_accounts, links
from dashboard.staff.permissions import Permission, Role
from dashboard.web import access
from tests.conftest import csrf_token
from tests.staff.signed_in import PASSWORD, email_of, make_account, sign_in_as
from tests.web.desk import asked_of

MAYA = email_of(Role.MANAGER)
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Current-URL": "http://localhost/people/u-1"}


@pytest.fixture
def app(new_app: Flask) -> Flask:
    """The app with a page of each kind: one to look at, one to save, one for managers."""

    @access.require(Permission.VIEW)
    def look() -> str:
        return render_template_string(
            "{{ account.email }} {{ 'may release' if can('release') else 'may not release' }}"
        )

    @access.require(Permission.EDIT_PEOPLE)
    def save() -> str:
        return access.current_actor().key

    def forgotten() -> str:
        return "open to all"

    new_app.add_url_rule("/look", "look", look)
    new_app.add_url_rule("/save", "save", save, methods=["POST"])
    new_app.add_url_rule("/forgotten", "forgotten", forgotten)
    return new_app


@pytest.fixture
def maya(session: Session) -> StaffAccount:
    account = make_account(session, Role.MANAGER)
    session.commit()
    return account


def submit(client: FlaskClient, password: str = PASSWORD, email: str = MAYA, next_: str = "") -> TestResponse:
    """The sign-in form, opened and sent."""
    token = csrf_token(client.get("/sign-in").text)
    form = {"csrf_token": token, "email": email, "password": password, "next": next_}
    return client.post("/sign-in", data=form)


def test_signing_in_leads_to_the_overview_and_is_remembered(client: FlaskClient, maya: StaffAccount) -> None:
    answer = submit(client)
    assert (answer.status_code, answer.location) == (303, "/")
    assert client.get("/look").text == f"{MAYA} may release"
    assert client.get("/sign-in").status_code == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: FlaskClient, maya: StaffAccount) -> None:
    cookies = [line for line in submit(client).headers.getlist("Set-Cookie") if line.startswith("staff_session=")]
    assert len(cookies) == 1
    assert "HttpOnly" in cookies[0]
    assert "SameSite=Lax" in cookies[0]
    assert "Path=/;" in cookies[0]
    assert "Secure" not in cookies[0]


def test_under_https_the_cookie_is_of_this_host_only(settings: Settings, maya: StaffAccount) -> None:
    app = create_app(replace(settings, secure_cookies=True))
    client = app.test_client()
    https = {"base_url": "https://localhost"}
    token = csrf_token(client.get("/sign-in", **https).text)
    form = {"csrf_token": token, "email": MAYA, "password": PASSWORD}
    answer = client.post("/sign-in", data=form, headers={"Referer": "https://localhost/sign-in"}, **https)
    (cookie,) = [line for line in answer.headers.getlist("Set-Cookie") if "staff_session=" in line]
    assert cookie.startswith("__Host-staff_session=")
    assert "Secure" in cookie
    app.extensions["database"].dispose()


@pytest.mark.parametrize(("email", "password"), [(MAYA, "wrong password"), ("nobody@example.com", PASSWORD)])
def test_a_refusal_says_the_same_for_both_and_keeps_the_address(
    client: FlaskClient, maya: StaffAccount, email: str, password: str
) -> None:
    answer = submit(client, password, email)
    assert answer.status_code == 422
    assert f'value="{email}"' in answer.text
    assert password not in answer.text
    assert 'aria-describedby="password-error"' in answer.text
    assert "The email or password is not correct." in answer.text


def test_whoever_is_refused_learns_nothing_of_the_account(
    client: FlaskClient, session: Session, maya: StaffAccount
) -> None:
    """Wrong password, no account, disabled, invited: the same words, headers and statements, and one hash for each.

    That each computes one hash is in test_sign_in.py.
    """
    make_account(session, Role.VIEWER, "off@example.com").disabled_at = func.now()
    links.invite(session, Actor("system:test"), email="new@example.com", name="New", role=Role.VIEWER)
    session.commit()
    told = set()
    for email, password in (
        (MAYA, "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("off@example.com", "wrong password"),
        ("new@example.com", PASSWORD),
    ):
        token = csrf_token(client.get("/sign-in").text)
        with asked_of(client) as seen:
            answer = client.post("/sign-in", data={"csrf_token": token, "email": email, "password": password})
        page = re.sub(r"I[jm][\w.-]{60,}", "the token", answer.text.replace(email, "the address"))
        told.add(
            (answer.status_code, page, tuple(sorted(answer.headers.keys())), tuple(statement for statement, _ in seen))
        )
    assert len(told) == 1


def test_the_field_to_begin_with_is_marked_as_html_has_it(client: FlaskClient, maya: StaffAccount) -> None:
    """An attribute that is there or not, without a value: what was wrong is no value of it."""
    opened, refused = client.get("/sign-in").text, submit(client, "wrong password").text
    mistyped = submit(client, email="not an address").text
    for page, name in ((opened, "email"), (refused, "password"), (mistyped, "email")):
        marked = re.findall(r"<input[^>]* autofocus[^>]*>", page)
        assert [re.findall(r' name="(\w+)"', field)[0] for field in marked] == [name]
        assert "autofocus=" not in page


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [("", "x", "email"), ("not an address", "x", "email"), (MAYA, "", "password"), ("a" * 300 + "@b.c", "x", "email")],
)
def test_a_missing_or_bad_field_is_named_at_the_field(
    client: FlaskClient, database: Database, email: str, password: str, field: str
) -> None:
    answer = submit(client, password, email)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(SignInFailure)) == 0


def test_markup_in_the_address_comes_back_as_text(client: FlaskClient) -> None:
    answer = submit(client, email='"><script>alert(1)</script>@x')
    assert "<script>alert" not in answer.text


def test_guessing_gets_429_with_the_seconds_to_wait(client: FlaskClient, maya: StaffAccount, long_wait: int) -> None:
    for _ in range(5):
        assert submit(client, "wrong password").status_code == 422
    answer = submit(client)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= long_wait
    assert "Try again in" in answer.text
    assert f'value="{MAYA}"' in answer.text


def test_signing_in_needs_the_token_of_the_form(client: FlaskClient, maya: StaffAccount) -> None:
    assert client.post("/sign-in", data={"email": MAYA, "password": PASSWORD}).status_code == 400


def test_the_session_of_before_is_replaced(client: FlaskClient, session: Session, maya: StaffAccount) -> None:
    submit(client)
    first = client.get_cookie("staff_session")
    assert first is not None
    client.get("/missing")
    with client.session_transaction() as browser:
        kept = browser["csrf_token"]
    session.execute(update(StaffSession).values(expires_at=func.now()))
    session.commit()
    submit(client)
    second = client.get_cookie("staff_session")
    assert second is not None
    assert second.value != first.value
    # the same person: a page that was open all the time can still be saved
    with client.session_transaction() as browser:
        assert browser["csrf_token"] == kept


def test_a_planted_session_is_not_taken_over(client: FlaskClient, maya: StaffAccount) -> None:
    client.set_cookie("staff_session", "planted")
    with client.session_transaction() as browser:
        browser["csrf_token"] = "planted"
    client.get("/sign-in")
    submit(client)
    cookie = client.get_cookie("staff_session")
    assert cookie is not None
    assert cookie.value != "planted"
    with client.session_transaction() as browser:
        assert browser.get("csrf_token") != "planted"


def test_a_session_that_somebody_planted_is_theirs_alone_and_over(
    app: Flask, client: FlaskClient, session: Session, maya: StaffAccount
) -> None:
    """Whoever plants their own, signed in and all, in somebody's browser is not signed in as them afterwards."""
    make_account(session, Role.VIEWER)
    session.commit()
    mallory = app.test_client()
    submit(mallory, email=email_of(Role.VIEWER))
    planted = [mallory.get_cookie(name) for name in ("staff_session", "dashboard")]
    with mallory.session_transaction() as browser:
        known = browser["csrf_token"] = "known to Mallory"
    planted[1] = mallory.get_cookie("dashboard")
    for cookie in planted:
        assert cookie is not None
        client.set_cookie(cookie.key, cookie.value)
    token = csrf_token(client.get("/look-at-nothing").text)
    form = {"csrf_token": token, "email": MAYA, "password": PASSWORD}
    assert client.post("/sign-in", data=form).status_code == 303
    assert client.get("/look").text == f"{MAYA} may release"
    hers = client.get_cookie("staff_session")
    assert hers is not None
    assert planted[0] is not None
    assert hers.value != planted[0].value
    with client.session_transaction() as browser:
        assert browser.get("csrf_token") != known
    assert mallory.get("/look").status_code == 303


def test_signing_out_ends_the_session_in_the_database(
    client: FlaskClient, session: Session, maya: StaffAccount
) -> None:
    submit(client)
    secret = client.get_cookie("staff_session")
    assert secret is not None
    token = csrf_token(client.get("/missing").text)
    answer = client.post("/sign-out", data={"csrf_token": token})
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert client.get_cookie("staff_session") is None
    client.set_cookie("staff_session", secret.value)
    assert client.get("/look").status_code == 303
    newest = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert newest is not None
    assert (newest.actor, newest.action, newest.subject) == (f"staff:{MAYA}", "sign_in.ended", MAYA)
    assert client.post("/sign-out", data={"csrf_token": csrf_token(client.get("/sign-in").text)}).status_code == 303
    session.rollback()
    assert session.scalar(select(func.max(AuditEntry.id))) == newest.id


# Where it leads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/steps", "/people?q=a%20b&after=2", "/people/%C3%A9", "/look?next=//x"])
def test_the_way_back_is_kept(client: FlaskClient, maya: StaffAccount, path: str) -> None:
    assert submit(client, next_=path).location == path


# Signed out, or without the permission -------------------------------------------------------------------------------


def test_a_page_sends_to_the_form_and_back(client: FlaskClient) -> None:
    answer = client.get("/look?q=a&page=2")
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/look?q%3Da%26page%3D2")


def test_a_save_by_htmx_leaves_the_form_alone(client: FlaskClient, app: Flask) -> None:
    token = csrf_token(client.get("/sign-in").text)
    answer = client.post("/save", data={"status": "done"}, headers=HTMX | {"X-CSRFToken": token})
    assert answer.status_code == 401
    assert answer.headers["HX-Retarget"] == "#notices"
    assert "/sign-in?next=/people/u-1" in answer.text


def test_a_plain_save_can_be_sent_again_after_signing_in(client: FlaskClient, maya: StaffAccount) -> None:
    sent = {"status": "done", "comment": '<b>"typed"</b>', "password": "hunter2-hunter2"}
    token = csrf_token(client.get("/sign-in").text)
    answer = client.post("/save?a=1", data=sent | {"csrf_token": token})
    assert answer.status_code == 401
    assert 'action="/save?a=1"' in answer.text
    assert 'name="comment" value="&lt;b&gt;&#34;typed&#34;&lt;/b&gt;"' in answer.text
    assert "hunter2" not in answer.text
    assert answer.text.count('name="csrf_token"') == 1


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_without_the_permission_one_is_told_who_has_it(
    client: FlaskClient, database: Database, headers: dict[str, str]
) -> None:
    sign_in_as(client, database, Role.VIEWER)
    token = csrf_token(client.get("/missing").text)
    answer = client.post("/save", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 403
    assert "To change people&#39;s progress, you need the role Support agent or Administrator" in answer.text
    assert "You are signed in as Viewer" in answer.text
    assert answer.headers.get("HX-Retarget") == ("#notices" if headers else None)


def test_with_the_permission_the_actor_is_the_account(client: FlaskClient, database: Database) -> None:
    sign_in_as(client, database, Role.SUPPORT)
    token = csrf_token(client.get("/missing").text)
    assert client.post("/save", data={"csrf_token": token}).text == "staff:support@staff.example"
    assert client.get("/look").text == "support@staff.example may not release"


def test_a_role_taken_away_counts_at_once(client: FlaskClient, session: Session, database: Database) -> None:
    sign_in_as(client, database, Role.SUPPORT)
    token = csrf_token(client.get("/missing").text)
    session.execute(update(StaffAccount).values(role="viewer"))
    session.commit()
    assert client.post("/save", data={"csrf_token": token}).status_code == 403


def test_a_disabled_account_is_signed_out_at_once(client: FlaskClient, session: Session, database: Database) -> None:
    sign_in_as(client, database, Role.ADMIN)
    session.execute(update(StaffAccount).values(disabled_at=func.now()))
    session.commit()
    assert client.get("/look").status_code == 303


def test_a_view_that_declares_nothing_stays_shut(client: FlaskClient, database: Database) -> None:
    sign_in_as(client, database, Role.ADMIN)
    with pytest.raises(RuntimeError, match="'forgotten' declares no permission"):
        client.get("/forgotten")


def test_a_permission_misspelt_in_a_template_is_a_fault(app: Flask, client: FlaskClient, database: Database) -> None:
    with app.test_request_context("/"):
        app.preprocess_request()
        assert not access.can("release")
        with pytest.raises(RuntimeError, match="nobody is signed in"):
            access.current_actor()
    sign_in_as(client, database, Role.ADMIN)
    with client:
        client.get("/look")
        with pytest.raises(ValueError, match="relase"):
            access.can("relase")


# Demo ----------------------------------------------------------------------------------------------------------------


def test_the_demo_accounts_are_shown_and_work_in_demo_mode(settings: Settings, session: Session) -> None:
    add_accounts(session)
    session.commit()
    app = create_app(replace(settings, demo=True))
    for account in demo_accounts.DEMO_ACCOUNTS:
        client = app.test_client()
        page = client.get("/sign-in").text
        assert f'data-testid="sign-in-as-{account.role.value}"' in page
        form = {"csrf_token": csrf_token(page), "email": account.email, "password": account.password}
        assert client.post("/sign-in", data=form).status_code == 303
    app.extensions["database"].dispose()


def test_the_demo_accounts_are_neither_shown_nor_working_otherwise(client: FlaskClient, session: Session) -> None:
    add_accounts(session)
    session.commit()
    assert "demo" not in client.get("/sign-in").text.lower()
    account = demo_accounts.DEMO_ACCOUNTS[0]
    assert submit(client, account.password, account.email).status_code == 422
