"""What the tests of step pages share: a browser that is signed in, forms as the page gave them out, queries counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html.parser import HTMLParser

from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from dashboard.database import Database
from tests.conftest import csrf_token

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
Data = dict[str, str]


class _Form(HTMLParser):
    """The values that a browser would send with the form of one data-testid."""

    def __init__(self, testid: str) -> None:
        super().__init__()
        self.testid, self.found, self.inside, self.textarea = testid, False, False, ""
        self.values: Data = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.inside = attributes.get("data-testid") == self.testid
            self.found = self.found or self.inside
        if not self.inside or not (name := attributes.get("name")):
            return
        if tag == "textarea":
            self.textarea, self.values[name] = name, ""
        if tag == "input" and (attributes.get("type") not in ("radio", "checkbox") or "checked" in attributes):
            self.values[name] = attributes.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.values[self.textarea] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.textarea = ""
        if tag == "form":
            self.inside = False


def form_of(page: TestResponse, testid: str) -> Data:
    """What the page's form would send as it stands, its CSRF token included."""
    parser = _Form(testid)
    # as browsers do: CRLF is one line break
    parser.feed(page.text.replace("\r\n", "\n"))
    assert parser.found, f"the page has no form {testid}"
    return parser.values


def send(client: FlaskClient, address: str, data: Data | None = None, **more: str) -> TestResponse:
    """A form post with a token of this browser."""
    token = csrf_token(client.get("/steps").text)
    return client.post(address, data={"csrf_token": token, **(data or {}), **more})


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that go to the database meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def asked_of(client: FlaskClient) -> AbstractContextManager[list[str]]:
    """The statements of the app behind this browser, whose database is another object than the test's own."""
    return counted(client.application.extensions["database"])


def queries(client: FlaskClient, address: str) -> int:
    """How many statements the page takes."""
    with asked_of(client) as seen:
        assert client.get(address).status_code == 200
    return len(seen)


def same_however_much_there_is(client: FlaskClient, address: str, more: Callable[[], None]) -> int:
    """How many statements the page takes, asserted to be as many when there is `more`."""
    before = queries(client, address)
    more()
    assert queries(client, address) == before
    return before
