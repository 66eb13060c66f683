"""What the tests of pages share: what one reads on a page, forms as it gave them out, and the queries that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import unescape
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import csrf_token
from tests.databases import sent

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
HOSTILE = "<script>alert(1)</script>\"'&<b>"
Data = dict[str, str]


def words(html: str) -> str:
    """What one reads, on one line."""
    told = re.sub(r'<svg[^>]*aria-label="([^"]*)"[^>]*>', r" \1 ", html)
    return re.sub(r" ([.,])", r"\1", " ".join(unescape(re.sub(r"<[^>]*>", " ", told)).split()))


def part(html: str, testid: str) -> str:
    """The HTML from the element with the data-testid on."""
    found = html.partition(f'data-testid="{testid}"')[2]
    assert found, f"there is no {testid}"
    return found


def main_of(html: str) -> str:
    """The HTML from what is the page's own on: what is the same on every page stands before it."""
    found = html.partition("<main")[2]
    assert found, "the page has no main part"
    return found


def figure(page: str, name: str) -> str:
    """One of the figures at the top of a page, as one reads it."""
    return words(part(page, f"figure-{name}").partition("</div>")[0])


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


def asked_of(client: FlaskClient) -> AbstractContextManager[list[tuple[str, Any]]]:
    """The statements of the app behind this browser, whose database is another object than the test's own."""
    return sent(client.application.extensions["database"].engine)


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
