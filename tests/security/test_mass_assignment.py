"""Fields that a form or a body is not for: a role, an id, somebody else's name, a state. They change nothing.

What is tried: each form of each page, and each route that takes one, is sent twice, on two installations that are the
same: once as it is, once with all that a row could have beside it. What came of it is the same. Bodies of the API that
have such members are refused by name, or, where those are passed over, save what they would have saved without.
"""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.models import UserStepEvent
from dashboard.staff.permissions import Role
from tests.api.conftest import Caller
from tests.api.test_ladder import ENDPOINTS, Endpoint, unused
from tests.databases import EMPTY, RESTART
from tests.factories import ANNA, BEN, OTHER, STEP, a_person, a_step, row_version_of, snapshot
from tests.security.conftest import signed_in
from tests.security.world import Form, every_form, furnish
from tests.staff.signed_in import email_of

MORE = {
    "id": "1",
    "account_id": "1",
    "bulk_id": "1",
    "token_id": "1",
    "user_id": BEN,
    "step_id": OTHER,
    "email": email_of(Role.SUPPORT),
    "role": "viewer",
    "is_admin": "1",
    "is_superuser": "true",
    "permissions": "manage_staff",
    "scopes": "steps:release",
    "actor": "system:evil",
    "source": "cli",
    "created_by": "staff:evil",
    "edited_by": "staff:evil",
    "released_by": "staff:evil",
    "updated_by": "staff:evil",
    "created_at": "2000-01-01",
    "released_at": "2000-01-01",
    "disabled_at": "",
    "finished_at": "2000-01-01",
    "expires_at": "2999-01-01",
    "password_hash": "x",
    "token_hash": "x",
    "secret_hash": "x",
    "is_invited": "0",
    "state": "released",
    "is_active": "1",
    "version": "1",
    "based_on": "1",
    "position": "1",
    "number": "99",
    "kind": "publish",
    "undone_by": "1",
    "carry_done": "0",
    "done_points": "1000",
    "current_release_id": "1",
    "outcome": "changed",
    "from_status": "done",
    "session": "x",
    "demo": "1",
    "_method": "DELETE",
    "force": "1",
}
TYPED = {"name", "title", "description", "note", "comment", "status"}
"""What each form has changed in it, so that it does what it is for."""

CHANGING = re.compile(r"(_at|_hash|^at|^seen_at|^id|^previous_id|^receipt)$")


def told(session: Session) -> dict[str, list[str]]:
    """Every row, but for moments, secrets and how long a release took."""
    found: dict[str, list[str]] = {}
    for table, rows in snapshot(session).items():
        kept = [json.loads(row) for row in rows]
        secret = table in ("staff_sessions", "staff_links")
        changing = [{name for name in row if CHANGING.search(name) and (name != "id" or secret)} for row in kept]
        plain = [{name: row[name] for name in row.keys() - gone} for row, gone in zip(kept, changing, strict=True)]
        found[table] = sorted(json.dumps(row, sort_keys=True) for row in plain)
    found["audit_log"] = [re.sub(r'"expires_at": \[null, "[^"]*"\]', "", one) for one in found["audit_log"]]
    session.rollback()
    return found


def use(app: Flask, database: Database, session: Session, more: dict[str, str]) -> dict[str, list[str]]:
    """Sends every form, with `more` in the fields that it has not, on a new installation; what came of it."""
    app.config["WTF_CSRF_ENABLED"] = False
    world = furnish(session)
    client = signed_in(app, database, Role.ADMIN)
    forms = list(every_form(client, world).values())
    have = {form.action for form in forms}
    forms += [Form(path, ()) for _, path in world.posts(app) if path not in have]
    # whoever signs out is sent to sign in by all that follows
    for form in sorted(forms, key=lambda one: one.action == "/sign-out"):
        typed = {
            name: "skipped" if "status" in name else "Other words" for name in form.names if name.split(".")[0] in TYPED
        }
        beside = {name: value for name, value in more.items() if name not in form.names}
        assert client.post(form.action, data=form.sent(**typed, **beside)).status_code < 500, form
    return told(session)


def test_what_a_form_is_not_for_changes_nothing(
    app: Flask, database: Database, session: Session, database_url: str
) -> None:
    without = use(app, database, session, {})
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        for statement in (*EMPTY, RESTART):
            connection.execute(statement)
    session.expire_all()
    with_more = use(app, database, session, MORE)
    for table, rows in without.items():
        assert with_more[table] == rows, table


# The API -------------------------------------------------------------------------------------------------------------

MEMBERS: dict[str, Any] = {
    "id": OTHER,
    "stepId": OTHER,
    "role": "admin",
    "actor": "staff:evil",
    "source": "cli",
    "updated_by": "staff:evil",
    "updated_at": "2000-01-01T00:00:00Z",
    "release_id": 1,
    "attempt": 9,
    "comment": "evil",
    "finished": True,
    "progress": 100,
    "__class__": "x",
    "__proto__": {"status": "todo"},
}
WITH_A_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.body is not None]


@pytest.fixture
def api(app: Flask) -> Caller:
    """Asks the API of this test's app."""
    return Caller(app)


@pytest.fixture
def two(session: Session) -> Session:
    """Two live steps, and two people who have begun neither."""
    for step_id in (STEP, OTHER):
        a_step(session, step_id)
    for user_id in (ANNA, BEN):
        a_person(session, user_id)
    session.commit()
    return session


@pytest.mark.parametrize("endpoint", WITH_A_BODY, ids=str)
def test_what_a_body_is_not_for_is_refused_or_passed_over(endpoint: Endpoint, api: Caller, two: Session) -> None:
    api.secret()
    body = dict(endpoint.body or {})
    for name, value in MEMBERS.items():
        if name in body:
            continue
        before = unused(snapshot(two))
        two.rollback()
        if "row_version" in body:
            body["row_version"] = row_version_of(two)
            two.rollback()
        answer = api(endpoint.method, endpoint.path, {**body, name: value})
        if answer.status_code == 422:
            assert name in answer.json["detail"]
            assert unused(snapshot(two)) == before
            two.rollback()
            continue
        assert answer.status_code == 200, (name, answer.text)
        changed = {table for table, rows in unused(snapshot(two)).items() if rows != before[table]}
        assert changed <= {"user_steps", "user_step_events", "onboarding_users"}, name
        two.rollback()
    events = two.scalars(select(UserStepEvent)).all()
    assert {(one.user_id, one.step_id, one.actor, one.source, one.attempt, one.comment) for one in events} <= {
        (ANNA, STEP, "token:host", "api", 0, "")
    }
    assert bool(events) is (str(endpoint) == "PATCH /api/onboarding/steps/<step_id>")
