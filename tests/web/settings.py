"""What the tests of the settings share: a form post, tokens of an account, and what became of it."""

from __future__ import annotations

import re
from html import unescape

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.models import AuditEntry, StaffAccount
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.accounts import actor_key
from dashboard.staff.permissions import Role, Scope
from tests.conftest import csrf_token
from tests.web.desk import HTMX


def tokens_of(session: Session, account: StaffAccount, *names: str) -> None:
    """API tokens that the account made while it was an administrator's; flushed."""
    role, account.role = account.role, Role.ADMIN.value
    for name in names:
        tokens.create(session, Actor(actor_key(account.email)), name=name, scopes=[Scope.STEPS_READ])
    account.role = role
    session.flush()


def post(client: FlaskClient, address: str, *, live: bool = False, **fields: object) -> TestResponse:
    """A form post with a token of this browser, plain or as htmx sends it."""
    token = csrf_token(client.get("/settings/account").text)
    data = {"csrf_token": token, **{name: str(value) for name, value in fields.items()}}
    return client.post(address, data=data, headers=HTMX if live else {})


def fresh(session: Session, account: StaffAccount) -> StaffAccount:
    """The account as it is now."""
    session.rollback()
    session.refresh(account)
    return account


def value_of(page: str, testid: str) -> str:
    """What the field with the data-testid holds."""
    found = re.search(rf'value="([^"]*)"[^>]*data-testid="{testid}"', page)
    assert found, f"there is no {testid}"
    return unescape(found[1])


def actions(session: Session) -> list[str]:
    """What the audit log has, oldest first."""
    session.rollback()
    return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
