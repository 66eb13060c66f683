"""The key that signs is replaced while people work: whoever is signed in stays so, and an open form can still be sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard import create_app
from dashboard.config import Settings
from dashboard.staff.permissions import Role
from tests.conftest import csrf_token
from tests.staff.signed_in import PASSWORD, email_of, make_account

OLD, NEW = "the key until yesterday", "the key from today on"


@contextmanager
def served(settings: Settings, **keys: object) -> Iterator[Flask]:
    made = create_app(replace(settings, **keys))  # type: ignore[arg-type]
    yield made
    made.extensions["database"].dispose()


def opened(app: Flask) -> tuple[FlaskClient, str, str]:
    """A browser with the sign-in form open: its token, and the cookie that the token goes with."""
    browser = app.test_client()
    token = csrf_token(browser.get("/sign-in").text)
    kept = browser.get_cookie("dashboard")
    assert kept
    return browser, token, kept.value


def sent(app: Flask, token: str, cookie: str) -> int:
    """How the form is answered when it is sent to `app`."""
    browser = app.test_client()
    browser.set_cookie("dashboard", cookie)
    form = {"csrf_token": token, "email": email_of(Role.MANAGER), "password": PASSWORD}
    return browser.post("/sign-in", data=form).status_code


def test_a_form_of_before_can_be_sent_while_the_old_key_is_read(settings: Settings, session: Session) -> None:
    make_account(session, Role.MANAGER)
    session.commit()
    with served(settings, secret_key=OLD) as before:
        _, token, cookie = opened(before)
    with served(settings, secret_key=NEW, old_secret_keys=(OLD,)) as after:
        assert sent(after, token, cookie) == 303
        _, newer, newer_cookie = opened(after)
    with served(settings, secret_key=NEW) as later:
        assert sent(later, token, cookie) == 400
        assert sent(later, newer, newer_cookie) == 303


def test_whoever_is_signed_in_stays_so(settings: Settings, session: Session) -> None:
    make_account(session, Role.MANAGER)
    session.commit()
    with served(settings, secret_key=OLD) as before:
        browser, token, _ = opened(before)
        browser.post("/sign-in", data={"csrf_token": token, "email": email_of(Role.MANAGER), "password": PASSWORD})
        cookies = [(one.key, one.value) for one in browser._cookies.values()]  # type: ignore[union-attr]
    with served(settings, secret_key=NEW) as after:
        browser = after.test_client()
        for name, value in cookies:
            browser.set_cookie(name, value)
        assert browser.get("/").status_code == 200


def kept_by(browser: FlaskClient) -> str:
    """The cookie of the browser's signed session."""
    kept = browser.get_cookie("dashboard")
    assert kept
    return kept.value


def test_what_an_old_key_has_signed_is_signed_anew_at_the_next_page_so_that_the_key_can_be_dropped(
    settings: Settings, session: Session
) -> None:
    with served(settings, secret_key=OLD) as before:
        browser, _, cookie = opened(before)
        with browser.session_transaction() as kept:
            secret = kept["csrf_token"]
    with served(settings, secret_key=NEW, old_secret_keys=(OLD,)) as after:
        browser = after.test_client()
        browser.set_cookie("dashboard", cookie)
        assert browser.get("/nowhere").status_code == 404
        newer = kept_by(browser)
        assert newer != cookie
        assert not browser.get("/nowhere").headers.getlist("Set-Cookie"), "once is enough"
    with served(settings, secret_key=NEW) as later:
        browser = later.test_client()
        browser.set_cookie("dashboard", newer)
        browser.get("/sign-in")
        with browser.session_transaction() as kept:
            assert kept["csrf_token"] == secret


def test_what_no_key_has_signed_is_not_signed_either(settings: Settings, session: Session) -> None:
    with served(settings, secret_key="the key of somebody else") as elsewhere:
        _, _, cookie = opened(elsewhere)
    with served(settings, secret_key=NEW, old_secret_keys=(OLD,)) as here:
        browser = here.test_client()
        browser.set_cookie("dashboard", cookie)
        assert not browser.get("/healthz").headers.getlist("Set-Cookie")
