"""Callers at once, over real connections to a real server."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller
from tests.api.test_ladder import MIGRATE, ROLL_BACK
from tests.factories import ANNA, STEP
from tests.serving import served

Answer = tuple[int, dict[str, Any]]
Send = Callable[[str, str, dict[str, Any]], Answer]

SAVE = f"/api/onboarding/steps/{STEP}"


@pytest.fixture
def send(app: Flask, api: Caller, world: Session) -> Iterator[Send]:
    """Sends one request over a connection of its own."""
    secret = api.secret()
    with served(app) as address:
        host = urlsplit(address).netloc

        def send(method: str, path: str, body: dict[str, Any]) -> Answer:
            connection = HTTPConnection(host, timeout=30)
            headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            found = answer.status, json.loads(answer.read())
            connection.close()
            return found

        yield send


def at_once(callers: int, call: Callable[[int], Answer]) -> list[Answer]:
    """What all of them were answered; they start together."""
    start = threading.Barrier(callers)

    def wait_and_call(caller: int) -> Answer:
        start.wait()
        return call(caller)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(wait_and_call, range(callers)))


def test_ten_saves_of_one_version_are_one_200_and_nine_409(send: Send, world: Session) -> None:
    for round_ in range(5):
        version = round_ + 1
        body = {"user_id": ANNA, "status": "done", "row_version": version}
        answers = at_once(10, lambda _, body=body: send("PATCH", SAVE, body))  # type: ignore[misc]
        assert Counter(status for status, _ in answers) == {200: 1, 409: 9}
        assert {answer["currentVersion"] for status, answer in answers if status == 409} == {version + 1}
    world.rollback()
    assert world.scalar(text("SELECT count(*) FROM user_step_events")) == 5


def test_ten_clients_that_retry_all_get_their_turn(send: Send, world: Session) -> None:
    def save(caller: int) -> Answer:
        version = 1
        while True:
            body = {"user_id": ANNA, "status": "done", "row_version": version}
            status, answer = send("PATCH", SAVE, body)
            if status != 409:
                return status, answer
            version = answer["currentVersion"]

    answers = at_once(10, save)
    assert [status for status, _ in answers] == [200] * 10
    assert sorted(answer["step"]["row_version"] for _, answer in answers) == list(range(2, 12))


def test_of_two_migrations_at_once_one_wins(send: Send, world: Session) -> None:
    answers = at_once(4, lambda _: send("POST", "/api/admin/onboarding/migrate-version", dict(MIGRATE)))
    assert Counter(status for status, _ in answers) == {200: 1, 409: 3}


def test_of_two_rollbacks_at_once_one_wins(send: Send, world: Session) -> None:
    send("POST", "/api/admin/onboarding/migrate-version", dict(MIGRATE))
    body = dict(ROLL_BACK) | {"fromVersion": 2, "dryRun": False}
    answers = at_once(4, lambda _: send("POST", "/api/admin/onboarding/rollback-version", body))
    assert Counter(status for status, _ in answers) == {200: 1, 409: 3}
