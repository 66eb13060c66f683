"""One status for many people in one request: each is answered as a save of its own would be."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.api.batch import Batch
from dashboard.onboarding import releases
from tests.api.conftest import CONFLICT, Caller
from tests.api.test_ladder import SAVE_MANY, unused
from tests.api.test_progress import events, kept_conflicts
from tests.factories import ANNA, BEN, CLEO, MAYA, OTHER, SAM, STEP, a_person, a_release, a_save, people, snapshot

STEPS = "/api/onboarding/steps"


@pytest.fixture
def three(world: Session) -> Session:
    """Anna has not begun, Ben is in progress, and Cleo has done OTHER."""
    a_person(world, BEN)
    a_person(world, CLEO)
    a_save(world, "in_progress", BEN, actor=SAM)
    a_save(world, "done", CLEO, OTHER)
    world.commit()
    return world


def save(api: Caller, *updates: tuple[str, int], status: str = "done", **more: Any) -> TestResponse:
    chosen = [{"user_id": user_id, "row_version": row_version} for user_id, row_version in updates]
    return api("PATCH", STEPS, {"step_id": STEP, "status": status, "updates": chosen}, **more)


def test_each_person_is_answered_as_a_save_of_their_own_in_the_order_asked(api: Caller, three: Session) -> None:
    asked = [(CLEO, 1), ("nobody", 1), (BEN, 1), (ANNA, 4)]
    answer = save(api, *asked)
    assert answer.status_code == 200
    assert "ETag" not in answer.headers
    assert list(answer.json) == ["step_id", "status", "results"]
    assert (answer.json["step_id"], answer.json["status"]) == (STEP, "done")
    results = answer.json["results"]
    assert [(one["user_id"], one["status"]) for one in results] == [
        (CLEO, 200),
        ("nobody", 404),
        (BEN, 409),
        (ANNA, 422),
    ]
    for (user_id, row_version), one in zip(asked[1:], results[1:], strict=True):
        singly = api("PATCH", f"{STEPS}/{STEP}", {"user_id": user_id, "status": "done", "row_version": row_version})
        assert singly.status_code == one["status"]
        assert one == singly.json | {"user_id": user_id}


def test_the_answers_have_the_members_that_clients_know(api: Caller, three: Session) -> None:
    a_release(three)
    three.commit()
    saved, stale = save(api, (CLEO, 2), (BEN, 1)).json["results"]
    assert saved.pop("step").pop("updatedAt")
    assert saved == {"user_id": CLEO, "status": 200, "progress": 100, "finished": True}
    assert [change.pop("at") != "" for change in stale["changes"]] == [True, True]
    assert stale == CONFLICT | {"user_id": BEN}


def test_the_attempt_is_recorded_with_every_event_and_conflict(api: Caller, three: Session) -> None:
    save(api, (ANNA, 1), (BEN, 1), headers={"X-Retry-Attempt": "2"})
    assert ("token:host", "api", 2, 2) in events(three)
    assert kept_conflicts(three) == [("token:host", "api", 2, 1, 2)]


def test_the_refused_are_on_record_though_others_were_saved(api: Caller, three: Session) -> None:
    save(api, (ANNA, 1), (BEN, 1), (CLEO, 1))
    assert len(kept_conflicts(three)) == 1
    assert [one["status"] for one in save(api, (ANNA, 2), (BEN, 2), (CLEO, 2)).json["results"]] == [200] * 3


def test_sent_again_it_is_told_as_done(api: Caller, three: Session) -> None:
    save(api, (ANNA, 1), (BEN, 2))
    again = save(api, (ANNA, 1), (BEN, 2)).json["results"]
    assert [(one["status"], one["currentState"]["status"]) for one in again] == [(409, "done")] * 2
    assert {change["by"] for one in again for change in one["changes"]} == {"token:host"}


def test_a_person_twice_is_refused_by_name_and_nobody_is_saved(api: Caller, three: Session) -> None:
    api.secret()
    before = snapshot(three)
    answer = save(api, (ANNA, 1), (BEN, 2), (ANNA, 1))
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"member": "updates.2.user_id", "reason": "names “anna” again, after updates.0"}]
    three.rollback()
    assert unused(snapshot(three)) == unused(before)


def test_a_wrong_status_is_named_with_whatever_else_is_wrong(api: Caller, three: Session) -> None:
    answer = save(api, (ANNA, 0), status="finished")
    assert {one["member"] for one in answer.json["errors"]} == {"status", "updates.0.row_version"}


def test_a_withdrawn_step_is_410(api: Caller, three: Session) -> None:
    releases.withdraw(three, MAYA, STEP)
    three.commit()
    assert save(api, (ANNA, 2), ("nobody", 1)).status_code == 410


def test_if_match_is_for_one_step(api: Caller, three: Session) -> None:
    answer = save(api, (ANNA, 1), headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json["errors"][0]["member"]) == (422, "If-Match")
    assert kept_conflicts(three) == []


def test_a_thousand_people_with_long_ids_fit(api: Caller, world: Session) -> None:
    crowd = people(world, 1_000, "x" * 195)
    assert {len(user_id) for user_id in crowd} == {200}
    world.commit()
    answer = save(api, *((user_id, 1) for user_id in crowd))
    assert answer.status_code == 200, answer.text
    assert [(one["user_id"], one["status"]) for one in answer.json["results"]] == [(user_id, 200) for user_id in crowd]
    assert int(answer.request.headers["Content-Length"]) < Batch.max_bytes


def test_members_that_would_not_be_heeded_are_refused(api: Caller, world: Session) -> None:
    for member, body in (
        ("user_id", {**SAVE_MANY, "user_id": ANNA}),
        ("updates.0.status", {**SAVE_MANY, "updates": [{"user_id": ANNA, "row_version": 1, "status": "todo"}]}),
    ):
        answer = api("PATCH", STEPS, body)
        assert (answer.status_code, answer.json["errors"]) == (422, [{"member": member, "reason": "is unknown"}])
