"""Who is at the desk: browsers in which staff are signed in. A file that wants others makes its own."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboard.database import Database
from dashboard.staff.permissions import Role
from tests.staff.signed_in import sign_in_as


@pytest.fixture
def manager(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which an onboarding manager is signed in."""
    sign_in_as(client, database, Role.MANAGER)
    return client


@pytest.fixture
def agent(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which a support agent is signed in."""
    sign_in_as(client, database, Role.SUPPORT)
    return client


@pytest.fixture
def viewer(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which a viewer is signed in."""
    sign_in_as(client, database, Role.VIEWER)
    return client


@pytest.fixture
def ada(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which an administrator is signed in."""
    sign_in_as(client, database, Role.ADMIN)
    return client


@pytest.fixture
def colleague(app: Flask, database: Database) -> FlaskClient:
    """Another browser, of an administrator."""
    other = app.test_client()
    sign_in_as(other, database, Role.ADMIN)
    return other
