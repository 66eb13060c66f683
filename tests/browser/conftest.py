"""A real server and a real Chromium. A test fails on any script error, broken content policy or dialog of its pages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.browser import chromium

if TYPE_CHECKING:
    from flask import Flask
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page
    from pytest_playwright import CreateContextCallback

QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class _SilentHandler(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None:
        """A passing test prints nothing."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Which Chromium, and how it is started here."""
    path = chromium.find()
    if path is None:
        pytest.fail(chromium.HOW_TO_GET_ONE)
    args = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return {**browser_type_launch_args, "executable_path": path, "args": args}


@pytest.fixture
def live_server(app: Flask) -> Iterator[str]:
    """The address, without a slash at its end, of this test's application on a free port."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What went wrong in the pages of this test; anything left in it at the end fails the test."""
    seen: list[str] = []
    yield seen
    assert not seen, "\n".join(seen)


@pytest.fixture
def context(new_context: CreateContextCallback, live_server: str, problems: list[str]) -> BrowserContext:
    """A browser of its own (cookies and all) for one person; page.goto("/steps") goes to the live server."""
    return watched(new_context(base_url=live_server), problems)


@pytest.fixture
def other_page(new_context: CreateContextCallback, live_server: str, problems: list[str]) -> Page:
    """A page in a second person's browser, on the same live server."""
    return watched(new_context(base_url=live_server), problems).new_page()


@pytest.fixture
def scriptless_page(new_context: CreateContextCallback, live_server: str, problems: list[str]) -> Page:
    """A page in a browser with JavaScript off."""
    return watched(new_context(base_url=live_server, java_script_enabled=False), problems).new_page()


def watched(context: BrowserContext, problems: list[str]) -> BrowserContext:
    """The same context, its pages' errors noted in `problems`."""

    def on_console(message: ConsoleMessage) -> None:
        if "content security policy" in message.text.lower():
            problems.append(f"content policy: {message.text}")

    def on_dialog(dialog: Dialog) -> None:
        problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    context.on("weberror", lambda error: problems.append(f"script error: {error.error}"))
    context.on("console", on_console)
    context.on("dialog", on_dialog)
    return context
