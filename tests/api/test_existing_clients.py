"""Clients that were written for the original system, with the standard library alone: they run unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from tests.api.conftest import Caller
from tests.factories import ANNA, OTHER, SAM, STATUSES, STEP, a_release, a_save, events_of_step, people
from tests.serving import served

Json = dict[str, Any]


@dataclass(frozen=True)
class Original:
    """What such a program knows: an address, a token, and the names of the members."""

    address: str
    token: str

    def send(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            with urlopen(Request(self.address + path, data, headers, method=method), timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def steps(self, user_id: str) -> list[Json]:
        status, body = self.send("GET", "/api/onboarding/steps?" + urlencode({"user_id": user_id}))
        assert status == 200
        steps: list[Json] = body["steps"]
        return steps

    def update_step(self, user_id: str, step: Json, new_status: str) -> Json:
        """The original's loop: over the version that was shown, and after a conflict over the current one."""
        row_version, retries = step["row_version"], 0
        while True:
            body = {"user_id": user_id, "status": new_status, "row_version": row_version}
            status, answer = self.send("PATCH", f"/api/onboarding/steps/{step['id']}", body)
            if status == 200 and answer["success"]:
                saved = answer["step"]
                updated = {"row_version": saved["row_version"], "updatedAt": saved["updatedAt"], "retries": retries}
                return step | {"status": saved["status"]} | updated
            if status != 409:
                raise RuntimeError(answer.get("message", answer["error"]))
            assert answer["error"] == "Conflict"
            assert answer["attemptedVersion"] == row_version
            assert answer["currentState"]["row_version"] == answer["currentVersion"]
            row_version, retries = answer["currentVersion"], retries + 1

    def migrate(self, step_id: str, from_version: int, to_version: int, data: Json, *, dry_run: bool) -> Json:
        body = {"stepId": step_id, "fromVersion": from_version, "toVersion": to_version}
        status, answer = self.send(
            "POST", "/api/admin/onboarding/migrate-version", body | {"newStepData": data, "dryRun": dry_run}
        )
        if status != 200 or not answer["success"]:
            raise RuntimeError(answer["message"])
        return {name: answer[name] for name in ("usersAffected", "progressCopied", "progressReset")}


@pytest.fixture
def original(app: Flask, api: Caller, world: Session) -> Iterator[Original]:
    secret = api.secret()
    with served(app) as address:
        yield Original(address, secret)


def test_it_shows_the_steps_and_saves_one(original: Original) -> None:
    first, second = original.steps(ANNA)
    assert {"id", "title", "description", "status", "row_version", "updatedAt"} <= set(first)
    assert (first["id"], second["id"], first["status"], first["row_version"]) == (STEP, OTHER, "todo", 1)
    saved = original.update_step(ANNA, first, "done")
    assert (saved["status"], saved["row_version"], saved["retries"]) == ("done", 2, 0)
    assert datetime.fromisoformat(saved["updatedAt"]).utcoffset() is not None
    (shown, _) = original.steps(ANNA)
    assert {name: shown[name] for name in ("status", "row_version", "updatedAt")} == {
        name: saved[name] for name in ("status", "row_version", "updatedAt")
    }


def test_it_gets_past_a_colleague_and_a_release(original: Original, world: Session) -> None:
    (shown, _) = original.steps(ANNA)
    a_save(world, "in_progress", actor=SAM)
    a_release(world)
    world.commit()
    saved = original.update_step(ANNA, shown, "done")
    assert (saved["row_version"], saved["retries"]) == (4, 1)


def test_ten_of_them_at_once_all_get_their_turn(original: Original, world: Session) -> None:
    (shown, _) = original.steps(ANNA)
    with ThreadPoolExecutor(10) as pool:
        saved = list(pool.map(lambda index: original.update_step(ANNA, shown, STATUSES[index % 4]), range(10)))
    assert sorted(one["row_version"] for one in saved) == list(range(2, 12))
    events = {event.row_version: event.to_status for event in events_of_step(world, ANNA)}
    assert {one["row_version"]: one["status"] for one in saved} == events


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "finished"}, "status"),
        ({"user_id": "nobody"}, "There is no person"),
        ({"row_version": "1"}, "row_version"),
    ],
)
def test_it_is_told_in_words_what_is_wrong(original: Original, change: Json, says: str) -> None:
    body = {"user_id": ANNA, "status": "done", "row_version": 1} | change
    status, answer = original.send("PATCH", f"/api/onboarding/steps/{STEP}", body)
    assert status in (404, 422)
    assert answer["error"]
    assert says in answer["message"]


def test_its_migration_counts_copied_and_reset(original: Original, world: Session) -> None:
    everybody = people(world, 200)
    for index, user_id in enumerate(everybody[:150]):
        a_save(world, "done" if index < 100 else "in_progress", user_id)
    world.commit()
    counts = {"usersAffected": 150, "progressCopied": 100, "progressReset": 50}
    new = {"title": "Set up payments, again", "description": "With the new provider", "weight": 15}
    assert original.migrate(STEP, 1, 2, new, dry_run=True) == counts
    assert original.migrate(STEP, 1, 2, new, dry_run=False) == counts
    (done,), (reset,), (untouched,) = (
        [step for step in original.steps(everybody[index]) if step["id"] == STEP] for index in (0, 100, 199)
    )
    assert (done["status"], reset["status"], untouched["status"]) == ("done", "todo", "todo")
    assert (done["version"], done["title"], done["row_version"]) == (2, "Set up payments, again", 3)


def test_its_migration_from_an_old_version_is_refused_with_a_message(original: Original) -> None:
    original.migrate(STEP, 1, 2, {"title": "New"}, dry_run=False)
    with pytest.raises(RuntimeError, match="Version 1 is not live: version 2 is"):
        original.migrate(STEP, 1, 2, {"title": "New"}, dry_run=False)
