"""Hostile text on each route there is, by the ids of people who have hostile ones: all of it stays text.

Every page and panel that the catalogue leads to is looked at in test_every_page.py, on the same data. What comes back
when hostile text is sent is in test_sent_back.py. What is tried is in tests/security/hostile.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard.models import User
from dashboard.staff.permissions import Permission
from tests.browser.as_text import look
from tests.browser.conftest import Enter
from tests.browser.pages import AMARA, PAYMENTS
from tests.conftest import url_of
from tests.databases import own_copy
from tests.security.world import World, values_of

if TYPE_CHECKING:
    from flask import Flask


@pytest.fixture
def database_url(server: psycopg.Connection[Any], hostile_template: str) -> Iterator[str]:
    """The address of this test's own copy of the hostile demo."""
    with own_copy(server, hostile_template) as name:
        yield url_of(name)


def test_whatever_an_address_leads_to(enter: Enter, session: Session, site: Flask) -> None:
    others = session.scalars(select(User.user_id).where(User.user_id != AMARA).order_by(User.user_id).limit(2)).all()
    world = World(values_of(session, [PAYMENTS], [AMARA, *others]), "")
    session.rollback()
    ada = enter("admin")
    found, opened = [], set()
    for route, address in world.addresses(site, "GET"):
        if not isinstance(route.need, Permission) or address.endswith((".csv", ".json")):
            continue
        ada.goto(address)
        if ada.url not in opened:
            found += look(ada)
        opened.add(ada.url)
    assert len(opened) > 30
    assert not found, "\n".join(found)
