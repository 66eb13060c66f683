"""Files of lists: whole or plainly not, however slowly they are read, and a few of them at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding import activity, affected, bulk_changes, finding
from dashboard.staff.permissions import Role
from dashboard.web import export
from tests.factories import STEP, a_draft, a_save, a_step, people
from tests.staff.signed_in import sign_in_as
from tests.web.desk import send

FILES = {
    "/people.csv": (finding, "stream"),
    "/activity.csv": (activity, "stream"),
    f"/steps/{STEP}/release/people.csv": (affected, "stream"),
    "/bulk-changes/1/people.csv": (bulk_changes, "members"),
}


@pytest.fixture
def crowd(session: Session) -> None:
    """Sixty people who have done a step that has a draft."""
    a_step(session)
    for user_id in people(session, 60):
        a_save(session, "done", user_id)
    a_draft(session)
    session.commit()


@pytest.fixture
def admin(
    app: Flask, client: FlaskClient, database: Database, crowd: None, monkeypatch: pytest.MonkeyPatch
) -> FlaskClient:
    """A browser in which an administrator is signed in; files come in small pieces."""
    monkeypatch.setattr(export, "CHUNK", 100)
    sign_in_as(client, database, Role.ADMIN)
    return client


def begun(client: FlaskClient, address: str = "/people.csv") -> tuple[Any, Iterator[bytes]]:
    """The answer, and what is left of it after its first piece."""
    answer: Any = client.get(address, buffered=False)
    pieces = iter(answer.response)
    next(pieces)
    return answer, pieces


def too_long(session: Session) -> None:
    session.execute(text("SET LOCAL statement_timeout = 1"))
    session.execute(text("SELECT pg_sleep(1)"))


def pool_of(client: FlaskClient) -> Any:
    return client.application.extensions["database"].engine.pool


@pytest.mark.parametrize("address", FILES)
def test_a_list_that_cannot_be_had_is_a_page_and_no_file(
    admin: FlaskClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"user_id": "user-0001", "step": STEP, "status": "skipped", "comment": ""}
    assert send(admin, "/bulk-changes", chosen).location == "/bulk-changes/1"

    def fails(session: Session, *_: object, **__: object) -> Iterator[Any]:
        too_long(session)
        yield

    def fails_at_once(session: Session, *_: object, **__: object) -> None:
        too_long(session)

    module, name = FILES[address]
    monkeypatch.setattr(module, name, fails_at_once if name == "members" else fails)
    for _ in range(4):
        answer = admin.get(address)
        assert (answer.status_code, answer.mimetype) == (503, "text/html")
        assert "Content-Disposition" not in answer.headers
    assert pool_of(admin).checkedout() == 0


def test_a_file_that_breaks_off_says_so_in_its_last_line(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = finding.stream

    def breaks_off(session: Session, *given: Any) -> Iterator[Any]:
        for number, one in enumerate(stream(session, *given)):
            if number == 30:
                too_long(session)
            yield one

    monkeypatch.setattr(finding, "stream", breaks_off)
    with capture_logs() as log:
        answer: Any = admin.get("/people.csv", buffered=False)
        read = []
        with pytest.raises(OperationalError):
            read.extend(answer.response)
        answer.close()
    lines = b"".join(read).decode().splitlines()
    assert len(lines) == 1 + 30 + 1
    assert lines[-1] == export.BROKEN_OFF
    assert [one["file"] for one in log if one["event"] == "export broke off"] == ["people.csv"]
    assert pool_of(admin).checkedout() == 0


@pytest.mark.parametrize("address", ["/people.csv", "/activity.csv", f"/steps/{STEP}/release/people.csv"])
def test_a_file_that_is_read_slowly_is_whole(
    settings: Settings, database: Database, crowd: None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CHUNK", 100)
    impatient = create_app(replace(settings, idle_transaction_timeout_ms=300))
    reader = impatient.test_client()
    sign_in_as(reader, database, Role.ADMIN)
    whole = len(reader.get(address).text.splitlines())
    answer: Any = reader.get(address, buffered=False)
    pieces = iter(answer.response)
    read = next(pieces)
    time.sleep(0.6)
    read += b"".join(pieces)
    answer.close()
    impatient.extensions["database"].dispose()
    assert len(read.decode().splitlines()) == whole > 60


def test_a_few_files_at_once_leave_the_pages_their_connections(admin: FlaskClient) -> None:
    most = admin.application.extensions["database"].most_exports
    files = [begun(admin)[0] for _ in range(most)]
    refused = refusal(admin)
    assert "Try again in a moment" in refused.text
    assert "people.csv" not in refused.headers.get("Content-Disposition", "")
    for page in ("/people", "/activity", "/overview.csv"):
        assert admin.get(page).status_code == 200
    files.pop().close()
    assert admin.get("/people.csv").status_code == 200, "one was done with"
    assert admin.get("/people.csv").status_code == 200
    for one in files:
        one.close()
    assert pool_of(admin).checkedout() == 0


def refusal(client: FlaskClient) -> TestResponse:
    answer = client.get("/activity.csv")
    assert (answer.status_code, answer.mimetype, answer.headers["Retry-After"]) == (429, "text/html", "5")
    return answer


@pytest.mark.parametrize(
    ("pool", "threads", "most"), [(1, 1, 2), (8, 4, 2), (8, 16, 3), (40, 8, 4), (40, 64, 14)], ids=str
)
def test_so_many_that_most_connections_and_half_of_the_threads_are_left(
    settings: Settings, pool: int, threads: int, most: int
) -> None:
    assert Database(replace(settings, pool_size=pool, threads=threads)).most_exports == most
