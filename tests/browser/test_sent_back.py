"""Hostile text that a request brings, in each field of each form and each part of an address: it comes back as text.

Pages repeat what was typed, beside what is wrong with it; those of a session or a form that is over repeat all of it.
Each answer is parsed by a real browser. What is tried is in tests/security/hostile.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import Page
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.staff.permissions import Role
from tests.browser.as_text import look_through
from tests.databases import Databases
from tests.security.hostile import BREAKOUT, HOSTILE
from tests.security.world import World, every_form, furnish, queries_of_pages
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
SHORT = HOSTILE[1:6]
PLACES = ("/", "/people/", "/steps/", "/bulk-changes/", "/settings/staff/", "/api/", "/static/", "/set-password?link=")


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """An empty database: that of the demo is larger than this needs."""
    yield databases.take()
    databases.give_back()


@pytest.fixture
def world(session: Session) -> World:
    """Something of everything."""
    return furnish(session)


@pytest.fixture
def client(site: Flask, live_server: str, database: Database, world: World) -> FlaskClient:
    """An administrator's browser without a page: what it is sent is parsed in another."""
    made = site.test_client()
    sign_in_as(made, database, Role.ADMIN)
    return made


class Answers:
    """The pages that came back, by what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}

    def keep(self, what: str, answer: TestResponse) -> None:
        if answer.mimetype == "text/html":
            self.pages[f"{what}: {answer.status_code}"] = answer.text

    def statuses(self) -> set[str]:
        """The statuses of all of them."""
        return {what.rpartition(" ")[2] for what in self.pages}


def test_what_a_form_sends_back(client: FlaskClient, database: Database, world: World, page: Page) -> None:
    forms = every_form(client, world)
    page.goto("/sign-in")
    answers = Answers()
    for form in forms.values():
        typed = [name for name in form.names if name != "csrf_token"]
        if not typed:
            continue
        for number, name in enumerate(typed):
            short = form.sent(**{name: SHORT[number % len(SHORT)]})
            answers.keep(f"{form.action} {name}", client.post(form.action, data=short, headers=HTMX))
            answer = client.post(form.action, data=form.sent(**{name: BREAKOUT}), follow_redirects=True)
            answers.keep(f"{form.action} {name}, whole", answer)
        everything = dict.fromkeys(typed, BREAKOUT)
        old = form.sent(**everything, csrf_token="old")
        answers.keep(f"{form.action}, old", client.post(form.action, data=old, headers=FROM_HERE))
        client.delete_cookie("staff_session")
        answers.keep(f"{form.action}, signed out", client.post(form.action, data=form.sent(**everything)))
        sign_in_as(client, database, Role.ADMIN)
    assert len(answers.pages) > 200
    assert {"200", "400", "401", "409", "422"} <= answers.statuses()
    found = look_through(page, answers.pages)
    assert not found, "\n".join(found)


def test_what_an_address_sends_back(client: FlaskClient, world: World, page: Page) -> None:
    page.goto("/sign-in")
    answers = Answers()
    asked = [(path, name) for path, names in queries_of_pages(client, world).items() for name in sorted(names)]
    for number, (path, name) in enumerate(asked):
        for text in (BREAKOUT, HOSTILE[1 + number % (len(HOSTILE) - 1)]):
            answers.keep(f"{path}?{name}={text}", client.get(f"{path}?{name}={quote(text)}", follow_redirects=True))
    for path in PLACES:
        answers.keep(path, client.get(path + quote(BREAKOUT)))
    assert {"200", "404", "422"} <= answers.statuses()
    found = look_through(page, answers.pages)
    assert not found, "\n".join(found)
