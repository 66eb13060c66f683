"""The world of the API tests, and a caller that has tokens. The cast is that of tests/factories.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests import factories
from tests.conftest import Build

ALL = frozenset(Scope)

# what a save over row_version 1 is told after SAM began the step and a release of MAYA reset it, without the moments
CONFLICT: dict[str, Any] = {
    "type": "/api/docs#step-conflict",
    "title": "Conflict",
    "status": 409,
    "detail": "Step was modified by another request",
    "error": "Conflict",
    "message": "Step was modified by another request",
    "attemptedVersion": 1,
    "currentVersion": 3,
    "currentState": {"status": "todo", "row_version": 3},
    "suggestion": "Fetch the latest state and retry",
    "changes": [
        {"row_version": 2, "by": factories.SAM.key, "kind": "event", "from": "todo", "to": "in_progress"},
        {"row_version": 3, "by": factories.MAYA.key, "kind": "release", "from": "in_progress", "to": "todo"},
    ],
}


@dataclass
class Caller:
    """Asks the API with a token of the scopes it is told to; `token=""` asks without one."""

    app: Flask
    secrets: dict[frozenset[Scope], str] = field(default_factory=dict)

    def __call__(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        scopes: frozenset[Scope] = ALL,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> TestResponse:
        token = self.secret(scopes) if token is None else token
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        body = {} if json is None else {"json": json}
        return self.app.test_client().open(path, method=method, headers=bearer | (headers or {}), **body, **more)

    def secret(self, scopes: frozenset[Scope] = ALL) -> str:
        """The secret of the token with these scopes; the one that has all is called host."""
        if scopes not in self.secrets:
            name = "host" if scopes == ALL else "-".join(sorted(scopes))
            database: Database = self.app.extensions["database"]
            with database.transaction() as session:
                made = tokens.create(session, Actor("system:test", "cli"), name=name, scopes=scopes)
            self.secrets[scopes] = made.secret
        return self.secrets[scopes]


Patch = Callable[..., TestResponse]


@pytest.fixture
def api(app: Flask) -> Caller:
    """Asks the API of this test's app."""
    return Caller(app)


def anna_at_two_steps(session: Session) -> None:
    factories.a_step(session, factories.STEP, weight=30, action_url="/settings/payments")
    factories.a_step(session, factories.OTHER, weight=10)
    factories.a_person(session)


@pytest.fixture
def world(build: Build, session: Session) -> Session:
    """Two live steps, STEP and OTHER, and ANNA, who has begun neither."""
    build(anna_at_two_steps)
    return session


@pytest.fixture
def patch(api: Caller, world: Session) -> Patch:
    """Saves ANNA's STEP, as the original's client does; keywords change the body or the request."""

    def save(status: str = "done", row_version: int | None = 1, *, query: str = "", **more: Any) -> TestResponse:
        body = {"user_id": factories.ANNA, "status": status}
        if row_version is not None:
            body["row_version"] = row_version
        return api("PATCH", f"/api/onboarding/steps/{factories.STEP}{query}", body, **more)

    return save
