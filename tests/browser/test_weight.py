"""What a browser loads of each page, counted by Chromium as it came over the wire, headers included.

Limits of bytes, not of time: a slow machine changes nothing in them.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Enter, secret_of
from tests.browser.pages import AMARA
from tests.browser.test_every_page import ADDRESSES

if TYPE_CHECKING:
    from flask import Flask

    from dashboard.database import Database

FIRST_LOAD, NEXT_PAGE = 110_000, 15_000
FINGERPRINTED = re.compile(r"/static/[0-9a-f]{16}/")
COMPRESSED = {"text/css", "text/html", "text/javascript", "image/svg+xml"}
MAIN = ("overview", "people", "preview", "activity", "the API")
"""What the others load besides themselves is what these do."""
PAGES = {name: ADDRESSES[name] for name in MAIN} | {
    "a person": f"/people/{AMARA}",
    "signing in": "/sign-in",
    "the example of the browser client": "/static/example/checklist.html",
}
AT_THEIR_NAMES = {"/static/example/checklist.html"}
BY_ITSELF = {"Fetch", "XHR"}
"""What a page asks by itself every few seconds may be too short to be compressed."""


@dataclass
class Loaded:
    """The answers that came, by request id, and how many bytes each took: 0 from the browser's own cache."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        return int(sum(self.took.values()))

    @property
    def heaviest(self) -> str:
        told = sorted(
            ((size, self.answers.get(one, {}).get("url", one)) for one, size in self.took.items()), reverse=True
        )
        return "\n".join(f"{int(size):>7} {url}" for size, url in told)


@contextmanager
def loading(page: Page) -> Iterator[Loaded]:
    """What the page loads meanwhile."""
    seen = Loaded()
    chromium = page.context.new_cdp_session(page)

    def on_answer(event: dict[str, Any]) -> None:
        seen.answers[event["requestId"]] = event["response"] | {"type": event["type"]}

    def on_end(event: dict[str, Any]) -> None:
        seen.took[event["requestId"]] = event["encodedDataLength"]

    chromium.on("Network.responseReceived", on_answer)
    chromium.on("Network.loadingFinished", on_end)
    chromium.send("Network.enable")
    yield seen
    chromium.detach()


def visit(page: Page, path: str) -> Loaded:
    """All that the page loads, its font too."""
    with loading(page) as seen:
        page.goto(path)
        page.evaluate("document.fonts.ready.then(() => true)")
    return seen


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_light_and_the_next_one_lighter(enter: Enter, path: str) -> None:
    ada = enter("" if path == "/sign-in" else "admin", new=True)
    first = visit(ada, path)
    assert first.weight < FIRST_LOAD, first.heaviest
    # the browser's own widgets have images at data: addresses
    came = [one for one in first.answers.values() if not one["url"].startswith("data:")]
    of_page = [one for one in came if one["mimeType"] in COMPRESSED and one["type"] not in BY_ITSELF]
    assert len(of_page) > 2
    for answer in of_page:
        assert header(answer, "Content-Encoding") in {"br", "gzip"}, answer["url"]
        assert "Accept-Encoding" in header(answer, "Vary"), answer["url"]
    if path not in AT_THEIR_NAMES:
        check_static_files(first)

    ada.goto("about:blank")
    again = visit(ada, path)
    assert again.answers
    assert again.weight < NEXT_PAGE, again.heaviest


def test_each_other_page_is_light_and_loads_files_that_browsers_keep(site: Flask, database: Database) -> None:
    ada = site.test_client()
    ada.set_cookie("staff_session", secret_of("admin"))
    for path in set(ADDRESSES.values()) - set(PAGES.values()):
        answer = ada.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.mimetype == "text/html", path
        assert answer.headers["Content-Encoding"] == "gzip", path
        assert "Accept-Encoding" in answer.headers["Vary"], path
        assert len(answer.data) < NEXT_PAGE, path
        files = re.findall(r'(?:src|href)="(/static/[^"]+)', gzip.decompress(answer.data).decode())
        assert len(files) > 2, path
        assert [file for file in files if not FINGERPRINTED.match(file)] == [], path


@pytest.mark.parametrize("path", ["/", f"/people/{AMARA}", "/api/docs"])
def test_it_is_light_without_brotli_too(enter: Enter, path: str) -> None:
    """Browsers take brotli over https and from the machine itself; over http from another one, gzip alone."""
    seen = visit(enter("admin", new=True, extra_http_headers={"Accept-Encoding": "gzip"}), path)
    assert {header(one, "Content-Encoding") for one in seen.answers.values()} == {"gzip", ""}
    assert seen.weight < FIRST_LOAD, seen.heaviest


def header(answer: dict[str, Any], wanted: str) -> str:
    """The header's value, or the empty text."""
    return next((value for name, value in answer["headers"].items() if name.lower() == wanted.lower()), "")


def check_static_files(loaded: Loaded) -> None:
    """Each has a fingerprint in its address and is kept for a year, the font among them."""
    files = {url: one for one in loaded.answers.values() if "/static/" in (url := one["url"])}
    assert any(url.endswith(".woff2") for url in files)
    for url, answer in files.items():
        assert FINGERPRINTED.search(url), url
        assert header(answer, "Cache-Control") == "public, max-age=31536000, immutable", url
