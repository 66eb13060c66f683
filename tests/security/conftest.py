"""An installation as it would be abused: furnished, faults answered as in production."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.staff.permissions import Role
from dashboard.web import errors
from dashboard.web.security import HEADERS
from tests.conftest import Build
from tests.security.world import World, furnish
from tests.staff.signed_in import sign_in_as


@pytest.fixture
def app(app: Flask, monkeypatch: pytest.MonkeyPatch, faults: list[BaseException]) -> Flask:
    """The app as in production; what would be in its log as a fault is in `faults`."""
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False

    def note(_: str, *, exc_info: BaseException, **__: object) -> None:
        faults.append(exc_info)

    monkeypatch.setattr(errors.log, "exception", note, raising=False)
    return app


@pytest.fixture
def faults() -> list[BaseException]:
    """What was raised behind each 500, to say it where a test fails."""
    return []


@pytest.fixture
def world(build: Build) -> World:
    """Something of everything; committed."""
    return build(furnish)


@pytest.fixture
def admin(app: Flask, database: Database, world: World) -> FlaskClient:
    """A browser in which an administrator is signed in."""
    return signed_in(app, database, Role.ADMIN)


def signed_in(app: Flask, database: Database, role: Role | None) -> FlaskClient:
    """A browser in which somebody of the role is signed in; None: nobody."""
    client = app.test_client()
    if role is not None:
        sign_in_as(client, database, role)
    return client


def unsound(answer: TestResponse) -> str:
    """What is wrong with an answer, whatever was asked: a fault, a header of ours that is missing, its insides shown."""
    missing = [name for name in (*HEADERS, "X-Request-ID", "Cache-Control") if name not in answer.headers]
    if answer.status_code >= 500:
        return f"answered {answer.status_code}"
    if missing:
        return f"answered {answer.status_code} without {', '.join(missing)}"
    return "shows a traceback" if b"Traceback (most recent call last)" in answer.data else ""
