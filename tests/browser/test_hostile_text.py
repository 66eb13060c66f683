"""Hostile text in every column that people can fill, on every page and panel, in a real browser.

What is tried: markup, ends of attributes, of titles and text areas, event handlers, javascript: addresses, attributes of
htmx, templates, comments, marks that turn text round, words without an end. Nothing of it may become an element, an
attribute, a request or a dialog, and nothing of it may move or turn what stands beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.models import User
from dashboard.onboarding.actor import Actor
from dashboard.staff.permissions import Permission, Public
from tests.browser.conftest import Enter, demo_settings
from tests.browser.pages import AMARA, PAYMENTS
from tests.browser.test_every_page import ADDRESSES, ADMIN_WAYS, AGENT_WAYS, MANAGER_WAYS, NARROW, PHONE, Way, too_wide
from tests.conftest import url_of
from tests.guards.permissions_table import routes
from tests.security import hostile
from tests.security.world import World, furnish_desk, values_of

if TYPE_CHECKING:
    from flask import Flask

_numbers = count(1)

WITNESS = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(
  `${event.violatedDirective}: ${event.sample || event.blockedURI}`));
"""
FOUND = """
([mark, requested]) => {
  const found = [...window.refused];
  const roots = [document, ...[...document.querySelectorAll("template")].map((one) => one.content)];
  const isOurs = (element) => element.matches("script[src]") && element.src.startsWith(location.origin + "/static/");
  for (const element of roots.flatMap((root) => [...root.querySelectorAll("*")])) {
    const names = element.getAttributeNames();
    const wrong = names.some((name) => name.startsWith("on") || name === mark
      || (name === "hx-get" && element.getAttribute(name) === requested)
      || /^\\s*(javascript|data|vbscript):/i.test(element.getAttribute(name)) && /^(href|src|action|formaction|hx-.*)$/.test(name)
    ) || (element.matches("script, style, base, iframe, object, embed, meta[http-equiv]") && !isOurs(element));
    if (wrong) found.push(element.outerHTML.slice(0, 200));
  }
  const comments = document.createTreeWalker(document, NodeFilter.SHOW_COMMENT);
  while (comments.nextNode()) found.push(`<!--${comments.currentNode.data.slice(0, 200)}-->`);
  if (document.querySelectorAll("#main").length !== 1) found.push("not one #main");
  if (document.documentElement.textContent.includes('49" hx-get')) found.push("a template was carried out");
  return found;
}
"""


@pytest.fixture(scope="session")
def hostile_demo(server: psycopg.Connection[Any], demo_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database like the demo's, in which every text is hostile."""
    name = f"{demo_template}_hostile_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {demo_template}")
    database = Database(demo_settings(url_of(name), tmp_path_factory.getbasetemp()))
    with Session(database.engine) as session:
        furnish_desk(session, Actor("staff:ada@demo.example"), PAYMENTS)
        session.commit()
    database.dispose()
    with psycopg.connect(libpq_url(url_of(name))) as connection:
        hostile.poison(connection)
    yield name
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(server: psycopg.Connection[Any], hostile_demo: str) -> Iterator[str]:
    """The address of this test's own copy of it."""
    name = f"{hostile_demo}_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {hostile_demo}")
    yield url_of(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def watch(page: Page, problems: list[str]) -> Page:
    """The same page, with what its documents refuse noted, and what they ask for."""
    page.add_init_script(WITNESS)
    page.on("request", lambda request: problems.append(request.url) if urlsplit(request.url).path == hostile.REQUESTED else None)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" and "Failed to load resource" not in message.text else None)
    return page


def look(page: Page) -> list[str]:
    """What of the hostile text has become more than text on the page as it stands."""
    return [f"{page.url}: {one}" for one in page.evaluate(FOUND, [hostile.MARK, hostile.REQUESTED])]

import time
def addresses(site, session, user_ids):
    world = World(values_of(session, [PAYMENTS], user_ids), "")
    walked = [
        path
        for route, path in world.addresses(site, "GET")
        if isinstance(route.need, Permission | Public) and route.endpoint != "static"
    ]
    return dict.fromkeys([*ADDRESSES.values(), *walked])

def test_every_page_shows_it_as_text(enter: Enter, session: Session, site: Flask, problems: list[str]) -> None:
    ada = watch(enter("admin"), problems)
    somebody = session.scalars(select(User.user_id).where(User.user_id != AMARA).order_by(User.user_id).limit(3)).all()
    found=[]
    for n, address in enumerate(addresses(site, session, [AMARA, *somebody])):
        if "csv" in address or "json" in address or address in ("/healthz","/readyz","/metrics"): continue
        ada.goto(address)
        found += look(ada)
        ada.set_viewport_size({"width":1280,"height":800})
        for x in ada.evaluate(open("/tmp/bidi.js").read()): print("BIDI", address[:60], x)
        for w in (1280, 360, 320):
            if x := too_wide(ada, w): print(address, x)
    assert not found, "\n".join(found)

@pytest.mark.parametrize("way", [*MANAGER_WAYS,*ADMIN_WAYS,*AGENT_WAYS], ids=lambda way: way.__name__)
def test_ways(enter: Enter, problems: list[str], way) -> None:
    who=("manager","admin") if way in MANAGER_WAYS else ("admin","support") if way in ADMIN_WAYS else ("support","admin")
    one, two=[watch(enter(w),problems) for w in who]
    t=time.time()
    way(one,two)
    print(way.__name__, time.time()-t)
    assert not (found:=look(one)), "\n".join(found)
    for w in (1280, 360, 320):
            if x := too_wide(one, w): print(way.__name__, x)
