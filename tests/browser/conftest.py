"""A real server and a real Chromium, on the demo. A test fails on any script error, broken content policy or dialog.

One server and one browser serve all tests of a worker; each test has a copy of the demo's database for itself.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import expect
from sqlalchemy import event, func, select
from sqlalchemy.engine import make_url

from dashboard.config import Settings, libpq_url
from dashboard.database import Database
from dashboard.models import StaffAccount, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.staff.demo_accounts import DEMO_ACCOUNTS
from dashboard.staff.sessions import ABSOLUTE
from tests.browser import chromium
from tests.conftest import test_settings, url_of
from tests.databases import made_once, own_copy
from tests.security import hostile
from tests.security.world import furnish_desk
from tests.serving import served

if TYPE_CHECKING:
    from flask import Flask
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Dialog,
        Page,
        Request,
        WebError,
    )
    from pytest_playwright import CreateContextCallback

QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # the pages of a test may share one: that halves what a second page costs
    "--renderer-process-limit=1",
)
# generous, for a busy machine: a passing test never waits this long
expect.set_options(timeout=15_000)

# told on the console, where a refusal that a page brought about by itself is told too
WITNESS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`content security policy: ${event.violatedDirective} refused ${event.sample || event.blockedURI}`));
"""
# what htmx would ask every few seconds comes to nothing: on a slow machine it would come between two looks
ONLY_WHEN_TOLD = """
addEventListener("every", (event) => event.stopImmediatePropagation(), true);
"""


# The server and its data ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def signed_in_template(
    server: psycopg.Connection[Any], demo_template: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of a database that holds the demo, in which every account is signed in."""

    def fill(name: str) -> None:
        database = Database(demo_settings(url_of(name), tmp_path_factory.getbasetemp()))
        with database.transaction() as session:
            until = session.scalar(select(func.now() + ABSOLUTE))
            for account in session.scalars(select(StaffAccount)):
                digest = sha256(secret_of(account.role).encode()).hexdigest()
                session.add(StaffSession(id=digest, account_id=account.id, expires_at=until))
        database.dispose()

    return made_once(server, f"{demo_template}_signed_in", demo_template, fill)


def demo_settings(url: str, folder: Path) -> Settings:
    """The settings of a test, in demo mode."""
    return replace(test_settings(url, folder), demo=True)


def secret_of(role: str) -> str:
    """What the cookie of the session holds in which the role's demo account is signed in."""
    return f"secret-of-{role}"


@pytest.fixture(scope="session")
def hostile_template(
    server: psycopg.Connection[Any], signed_in_template: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of a database like that, with more in it, in which every text of people's is hostile."""

    def fill(name: str) -> None:
        database = Database(demo_settings(url_of(name), tmp_path_factory.getbasetemp()))
        with database.transaction() as session:
            furnish_desk(session, Actor("staff:ada@demo.example"), "setup-payments")
        database.dispose()
        with psycopg.connect(libpq_url(url_of(name))) as connection:
            hostile.poison(connection)

    return made_once(server, f"{signed_in_template}_hostile", signed_in_template, fill)


@pytest.fixture
def database_url(server: psycopg.Connection[Any], signed_in_template: str) -> Iterator[str]:
    """The address of this test's own copy of the demo."""
    with own_copy(server, signed_in_template) as name:
        yield url_of(name)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings for this test's database, in demo mode."""
    return demo_settings(database_url, tmp_path)


@pytest.fixture(scope="session")
def site(
    server: psycopg.Connection[Any], signed_in_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """The application of this worker; `database` leads it to each test's.

    By itself it has a copy of its own: what is connected to the template, between two tests say, keeps it from being copied.
    """
    from dashboard import create_app

    with own_copy(server, signed_in_template) as name:
        yield create_app(demo_settings(url_of(name), tmp_path_factory.getbasetemp()))


@pytest.fixture
def database(site: Flask, database_url: str) -> Iterator[Database]:
    """This test's database, by the engine of the site: what it has compiled for tests before this one stays compiled."""
    opened: Database = site.extensions["database"]

    def lead(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
        parameters["dbname"] = make_url(database_url).database

    event.listen(opened.engine, "do_connect", lead)
    # what a request that outlived its test has connected leads elsewhere
    opened.dispose()
    yield opened
    event.remove(opened.engine, "do_connect", lead)
    opened.dispose()


@pytest.fixture(scope="session")
def address(site: Flask) -> Iterator[str]:
    """Where the application of this worker is served."""
    with served(site) as address:
        yield address


@pytest.fixture
def live_server(address: str, database: Database) -> str:
    """The address, without a slash at its end, of the dashboard on this test's copy of the demo."""
    return address


# The browser ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Which Chromium, and how it is started here."""
    path = chromium.find()
    if path is None:
        pytest.fail(chromium.HOW_TO_GET_ONE)
    args = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return {**browser_type_launch_args, "executable_path": path, "args": args}


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What went wrong in the pages of this test; anything left in it at the end fails the test."""
    seen: list[str] = []
    yield seen
    assert not seen, "\n".join(seen)


@pytest.fixture
def javascript() -> bool:
    """Whether the browsers of this test run scripts; `both_ways` runs a test with and without."""
    return True


# What the server does with a plain form is proven by tests/web, for every form; what a browser adds to it without scripts,
# its own controls and the styles of `scripting: none`, by one journey of each family of forms, as few as these are slow:
#   a person's rows     test_saving (one row, undo), test_person (several; what the other rows hold; an earlier day; erasing)
#   conflicts           test_conflicts (edit mine; save mine, twice; where the focus is)
#   drafts and steps    test_drafts (merging), test_release_desk (the order)
#   releases            test_releasing (draft to rollback), test_release_desk (a choice, Update report)
#   bulk changes        test_bulk (the chosen ones; all who match, in one go)
#   filters, periods    test_people, test_activity, test_overview
#   accounts, tokens    test_signing_in, test_provider, test_settings (invitation, stale account, token)
#   refused forms       test_interrupted (signed out), test_old_forms
# Beside them stands what only a browser can show: what folds, what lies where (test_people, test_person, test_docs).
both_ways = pytest.mark.parametrize("javascript", [True, False], ids=["script", "no-script"])
scriptless = pytest.mark.parametrize("javascript", [False], ids=["no-script"])


class Enter(Protocol):
    """Opens a browser of its own, signed in as a demo account of the role, or as nobody; its one empty page.

    Pages ask by themselves what has moved only where `asks_by_itself`; elsewhere it is `look_again` that has them ask. A
    `new` one has no file in its cache yet.
    """

    def __call__(self, role: str = "", *, asks_by_itself: bool = False, new: bool = False, **options: Any) -> Page: ...


@pytest.fixture(scope="session")
def spare(browser: Browser) -> dict[str, list[BrowserContext]]:
    """Browsers that tests of this worker are done with, by their options: they have the static files, and end with `browser`."""
    return defaultdict(list)


@pytest.fixture
def enter(
    request: pytest.FixtureRequest,
    live_server: str,
    problems: list[str],
    javascript: bool,
    new_context: CreateContextCallback,
    browser: Browser,
    spare: dict[str, list[BrowserContext]],
) -> Iterator[Enter]:
    """`enter("manager")` is Maya's browser, `enter("admin")` Ada's: cookies and all are apart. See Enter."""
    # what pytest-playwright records begins and ends with a browser
    recorded = any(request.config.getoption(f"--{kind}") != "off" for kind in ("tracing", "video", "screenshot"))
    used: list[tuple[str, BrowserContext]] = []

    def opened(role: str = "", *, asks_by_itself: bool = False, new: bool = False, **options: Any) -> Page:
        # colours that fade in would be measured on the way
        given = {"base_url": live_server, "reduced_motion": "reduce", "java_script_enabled": javascript, **options}
        key = repr((sorted(given.items()), asks_by_itself))
        again = not (new or recorded)
        if again and spare[key]:
            context = spare[key].pop()
        else:
            context = (browser.new_context if again else new_context)(**given)
            context.add_init_script(WITNESS if asks_by_itself else WITNESS + ONLY_WHEN_TOLD)
        if again:
            used.append((key, context))
        context.add_cookies(signed_in(role, live_server))
        stack.enter_context(watched(context, problems))
        return context.new_page()

    with ExitStack() as stack:
        yield opened
        for key, context in used:
            for page in context.pages:
                page.close()
            context.clear_cookies()
            context.clear_permissions()
            spare[key].append(context)


def signed_in(role: str, address: str) -> list[Any]:
    """The cookies of a browser in which the role's account has signed in."""
    if not role:
        return []
    assert role in {account.role.value for account in DEMO_ACCOUNTS}
    kept = {"httpOnly": True, "sameSite": "Lax"}
    return [{"name": "staff_session", "value": secret_of(role), "url": address, **kept}]


@pytest.fixture
def page(enter: Enter) -> Page:
    """A page of a browser in which nobody is signed in."""
    return enter()


@contextmanager
def watched(context: BrowserContext, problems: list[str]) -> Iterator[None]:
    """Notes in `problems` what goes wrong meanwhile in the context's pages, which begin with WITNESS."""

    def on_console(message: ConsoleMessage) -> None:
        if "content security policy" in message.text.lower():
            problems.append(f"content policy: {message.text}")

    def on_dialog(dialog: Dialog) -> None:
        problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_request(request: Request) -> None:
        if urlsplit(request.url).path == hostile.REQUESTED:
            problems.append(f"hostile text has asked for {request.url}")

    def on_error(error: WebError) -> None:
        problems.append(f"script error: {error.error}")

    heard = {"request": on_request, "weberror": on_error, "console": on_console, "dialog": on_dialog}
    for event_name, note in heard.items():
        context.on(event_name, note)
    yield
    for event_name, note in heard.items():
        context.remove_listener(event_name, note)
