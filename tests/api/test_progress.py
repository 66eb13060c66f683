"""A person's steps over the API: reading, saving, conflicts, and the loop of the original's client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import releases
from dashboard.web import compression
from tests.api.conftest import CONFLICT, Caller, Patch
from tests.databases import sent
from tests.factories import ANNA, BEN, MAYA, OTHER, SAM, STEP, a_release, a_save, a_step

STEPS = "/api/onboarding/steps"
ONE = f"{STEPS}/{STEP}?user_id={ANNA}"


def events(session: Session) -> list[Any]:
    session.rollback()
    found = session.execute(
        text("SELECT actor, source, attempt, row_version FROM user_step_events ORDER BY row_version")
    )
    return [tuple(row) for row in found]


def test_the_checklist_comes_in_order_with_its_progress(api: Caller, world: Session) -> None:
    a_save(world, "done")
    a_step(world, "draft-only", released=False)
    world.commit()
    answer = api("GET", f"{STEPS}?user_id={ANNA}").json
    assert list(answer) == ["user_id", "progress", "finished", "steps"]
    assert (answer["user_id"], answer["progress"], answer["finished"]) == (ANNA, 75, False)
    assert [step["id"] for step in answer["steps"]] == [STEP, OTHER]
    first, second = answer["steps"]
    assert datetime.fromisoformat(first.pop("updatedAt")).utcoffset() is not None
    assert first == {
        "id": STEP,
        "title": "Set up payments",
        "description": "",
        "weight": 30,
        "actionUrl": "/settings/payments",
        "version": 1,
        "status": "done",
        "row_version": 2,
    }
    assert (second["status"], second["row_version"], second["updatedAt"]) == ("todo", 1, None)


def test_a_withdrawn_step_is_off_the_checklist(api: Caller, world: Session) -> None:
    releases.withdraw(world, MAYA, STEP)
    world.commit()
    assert [step["id"] for step in api("GET", f"{STEPS}?user_id={ANNA}").json["steps"]] == [OTHER]


def test_one_step_has_its_row_version_as_etag(api: Caller, world: Session) -> None:
    answer = api("GET", ONE)
    assert answer.headers["ETag"] == '"1"'
    assert answer.json["row_version"] == 1


def test_the_usual_calls_are_one_statement_without_a_transaction(
    app: Flask, api: Caller, patch: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the first call draws one permit of the rate limit, the second one enough for the rest
    patch("in_progress", 1)
    patch("todo", 2)
    monkeypatch.setattr(Database, "transaction", None)
    monkeypatch.setattr(Database, "statements", None)
    with sent(app.extensions["database"].engine) as asked:
        assert patch("done", 3).status_code == 200
        assert api("GET", f"{STEPS}?user_id={ANNA}").status_code == 200
    assert [statement.split()[0] for statement, _ in asked] == ["WITH", "SELECT"]


def test_a_save_answers_as_the_original_did(api: Caller, patch: Patch) -> None:
    answer = patch("done", 1)
    assert answer.status_code == 200
    assert answer.json["success"] is True
    assert list(answer.json["step"]) == ["id", "status", "row_version", "updatedAt"]
    assert answer.json["step"] | {"updatedAt": ""} == {"id": STEP, "status": "done", "row_version": 2, "updatedAt": ""}
    assert answer.json["progress"] == 75
    assert answer.headers["ETag"] == '"2"'
    assert api("GET", ONE).json["updatedAt"] == answer.json["step"]["updatedAt"]


def test_the_last_step_finishes(patch: Patch, world: Session) -> None:
    a_save(world, "skipped", step_id=OTHER)
    world.commit()
    answer = patch("done", 1).json
    assert (answer["progress"], answer["finished"]) == (100, True)


def test_a_save_is_signed_with_the_token_and_counts_the_attempt(patch: Patch, world: Session) -> None:
    patch("in_progress", 1)
    patch("done", 2, headers={"X-Retry-Attempt": "3"})
    patch("todo", 3, headers={"X-Retry-Attempt": "9" * 30})
    assert events(world) == [
        ("token:host", "api", 0, 2),
        ("token:host", "api", 3, 3),
        ("token:host", "api", 2**31 - 1, 4),
    ]


@pytest.mark.parametrize("attempt", ["-1", "one", "1.5", "", "9" * 5000])
def test_an_attempt_that_is_no_number_is_refused_by_name(patch: Patch, world: Session, attempt: str) -> None:
    answer = patch("done", 1, headers={"X-Retry-Attempt": attempt})
    assert (answer.status_code, answer.json["errors"][0]["member"]) == (422, "X-Retry-Attempt")
    assert events(world) == []


def test_a_stale_save_is_a_conflict_with_every_change_since(patch: Patch, world: Session) -> None:
    a_save(world, "in_progress", actor=SAM)
    a_release(world)
    world.commit()
    answer = patch("done", 1)
    assert answer.status_code == 409
    assert answer.mimetype == "application/problem+json"
    body = answer.json
    moments = [datetime.fromisoformat(change.pop("at")) for change in body["changes"]]
    assert moments == sorted(moments)
    assert body == CONFLICT
    assert len(events(world)) == 1


def kept_conflicts(session: Session) -> list[Any]:
    session.rollback()
    found = session.execute(
        text("SELECT actor, source, attempt, row_version, current_row_version FROM write_conflicts ORDER BY id")
    )
    return [tuple(row) for row in found]


def test_each_conflict_is_kept_with_its_attempt(patch: Patch, world: Session) -> None:
    patch("in_progress", 1)
    assert patch("done", 1).status_code == 409
    assert patch("done", None, headers={"If-Match": '"1"', "X-Retry-Attempt": "1"}).status_code == 412
    assert patch("done", 3).status_code == 422
    assert kept_conflicts(world) == [("token:host", "api", 0, 1, 2), ("token:host", "api", 1, 1, 2)]
    assert len(events(world)) == 1


def test_the_tag_is_the_same_for_who_takes_compressed_answers(
    api: Caller, patch: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "SMALLEST_BYTES", 0)
    asked = {"Accept-Encoding": "gzip, br"}
    read = api("GET", ONE, headers=asked)
    assert (read.headers["ETag"], read.headers.get("Content-Encoding")) == ('"1"', None)
    assert patch("done", None, headers=asked | {"If-Match": read.headers["ETag"]}).status_code == 200


def test_if_match_may_stand_in_and_is_then_412(patch: Patch) -> None:
    assert patch("in_progress", None, headers={"If-Match": '"1"'}).headers["ETag"] == '"2"'
    stale = patch("done", None, headers={"If-Match": '"1"'})
    assert stale.status_code == stale.json["status"] == 412
    assert (stale.json["attemptedVersion"], stale.json["currentVersion"]) == (1, 2)
    assert stale.json["currentState"] == {"status": "in_progress", "row_version": 2}
    assert len(stale.json["changes"]) == 1


def test_both_must_say_the_same(patch: Patch, world: Session) -> None:
    differ = patch("done", 1, headers={"If-Match": '"2"'})
    assert differ.status_code == 400
    assert "row_version is 1" in differ.json["detail"]
    assert events(world) == []
    assert patch("done", 1, headers={"If-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize("tag", ["*", "1", 'W/"1"', '"1", "2"', '"one"', '""', '"-1"', '"01"', '"' + "1" * 400 + '"'])
def test_an_etag_that_is_none_of_ours_is_refused_by_name(patch: Patch, world: Session, tag: str) -> None:
    answer = patch("done", None, headers={"If-Match": tag})
    assert (answer.status_code, answer.json["errors"][0]["member"]) == (422, "If-Match")
    assert (
        answer.json["errors"][0]["reason"]
        == 'must be the one ETag that was read, like "3": not *, not W/"3", not several'
    )
    assert events(world) == []


def test_what_is_wrong_with_an_etag_is_said_of_the_header(patch: Patch, world: Session) -> None:
    for tag, reason in (
        ('"99"', "is 99, but the newest is 1"),
        ('"2100000001"', 'must be from "1" to "2100000000"'),
        ('"0"', 'must be from "1" to "2100000000"'),
    ):
        answer = patch("done", None, headers={"If-Match": tag})
        assert (answer.status_code, answer.json["errors"]) == (422, [{"member": "If-Match", "reason": reason}])


@pytest.mark.parametrize("row_version", [2_100_000_001, 2**70])
def test_the_greatest_row_version_is_named(patch: Patch, world: Session, row_version: int) -> None:
    answer = patch("done", row_version)
    assert answer.json["errors"] == [{"member": "row_version", "reason": "must be at most 2,100,000,000"}]
    assert patch("done", 2_100_000_000).json["errors"][0]["reason"] == "is 2100000000, but the newest is 1"


@pytest.mark.parametrize(
    ("body", "headers", "members"),
    [
        ({}, {}, {"user_id", "status"}),
        ({"status": "finished"}, {}, {"user_id", "status"}),
        ({"user_id": None, "status": "finished", "row_version": 0}, {}, {"user_id", "status", "row_version"}),
        (
            {"status": 1},
            {"If-Match": "*", "X-Retry-Attempt": "x"},
            {"user_id", "status", "If-Match", "X-Retry-Attempt"},
        ),
    ],
)
def test_whatever_is_wrong_is_named_at_once(
    api: Caller, world: Session, body: Any, headers: dict[str, str], members: set[str]
) -> None:
    answer = api("PATCH", f"/api/onboarding/steps/{STEP}?create=perhaps", body, headers=headers)
    assert answer.status_code == 422
    assert {one["member"] for one in answer.json["errors"]} == {"create", *members}


def test_neither_is_428(patch: Patch, world: Session) -> None:
    answer = patch("done", None)
    assert answer.status_code == 428
    assert "row_version" in answer.json["detail"]
    assert events(world) == []


def test_a_withdrawn_step_is_410(api: Caller, patch: Patch, world: Session) -> None:
    releases.withdraw(world, MAYA, STEP)
    world.commit()
    told = "The step was withdrawn. Staff can restore it, on its page or with `dashboard step restore`."
    for answer in (patch("done", 2), api("GET", ONE)):
        assert (answer.status_code, answer.json["detail"]) == (410, told)


def test_an_unknown_status_names_the_four(patch: Patch) -> None:
    reason = patch("finished", 1).json["errors"][0]["reason"]
    assert all(status in reason for status in ("todo", "in_progress", "skipped", "done"))


def test_members_that_nobody_knows_are_passed_over(api: Caller, world: Session) -> None:
    body = {"user_id": ANNA, "status": "done", "row_version": 1, "version": 1, "client": {"name": "web", "deep": [[]]}}
    assert api("PATCH", f"{STEPS}/{STEP}", body).status_code == 200


def test_the_address_may_name_the_person(api: Caller, world: Session) -> None:
    body = {"status": "done", "row_version": 1}
    assert api("PATCH", ONE, body).status_code == 200
    assert api("PATCH", ONE, body | {"user_id": BEN}).status_code == 400
    assert api("PATCH", f"{ONE}&user_id={BEN}", body).status_code == 400


def test_create_makes_a_person_once_and_never_touches_their_name(api: Caller, world: Session) -> None:
    body = {"user_id": BEN, "status": "done", "row_version": 1}
    unknown = api("PATCH", f"{STEPS}/{STEP}", body)
    told = "There is no person “ben”. Create them with PUT, or save with ?create=true."
    assert (unknown.status_code, unknown.json["detail"], unknown.json["message"]) == (404, told, told)
    assert unknown.json["type"] == "/api/docs#not-found"
    assert api("GET", f"{STEPS}/{STEP}?user_id={BEN}").json["detail"] == "There is no person “ben”."
    assert api("PATCH", f"{STEPS}/{STEP}?create=true", body).status_code == 200
    api("PUT", f"/api/onboarding/users/{BEN}", {"name": "Ben", "email": "ben@example.com"})
    assert api("PATCH", f"{STEPS}/{STEP}?create=true", body | {"row_version": 2}).status_code == 200
    assert world.execute(text("SELECT name, email FROM onboarding_users WHERE user_id = 'ben'")).one() == (
        "Ben",
        "ben@example.com",
    )


def test_a_person_made_for_a_save_alone_is_not_kept_without_it(api: Caller, world: Session) -> None:
    a_release(world)
    world.commit()
    body = {"user_id": BEN, "status": "done", "row_version": 1}
    stale = api("PATCH", f"{STEPS}/{STEP}?create=true", body)
    assert (stale.status_code, stale.json["currentVersion"]) == (409, 2)
    assert kept_conflicts(world) == []
    of_ben = text("SELECT count(*) FROM audit_log WHERE user_id = 'ben'")
    assert (api("GET", f"{STEPS}?user_id={BEN}").status_code, world.scalar(of_ben)) == (404, 0)
    assert api("PATCH", f"{STEPS}/{STEP}?create=true", body | {"row_version": 2}).status_code == 200


def test_a_status_saved_over_itself_is_a_save_and_the_description_says_so(patch: Patch, api: Caller) -> None:
    first, second = (patch("done", row_version).json["step"] for row_version in (1, 2))
    assert second["updatedAt"] > first["updatedAt"]
    assert api("GET", ONE).json["updatedAt"] == second["updatedAt"]
    schemas = api("GET", "/api/openapi.json").json["components"]["schemas"]
    told = {name: schemas[name]["properties"]["updatedAt"]["description"] for name in ("Step", "SavedStep")}
    assert told == {"Step": "When it was last saved or reset; null: never.", "SavedStep": "When it was saved."}


def test_a_save_sent_again_is_told_as_done(patch: Patch) -> None:
    patch("done", 1)
    again = patch("done", 1).json
    assert again["currentState"] == {"status": "done", "row_version": 2}
    assert [change["by"] for change in again["changes"]] == ["token:host"]


def test_the_loop_of_the_original_client(patch: Patch, world: Session) -> None:
    """PATCH with row_version, take currentVersion out of a 409, retry, read step.row_version and updatedAt."""
    a_save(world, "in_progress", actor=SAM)
    world.commit()
    row_version, attempt = 1, 0
    while (answer := patch("done", row_version, headers={"X-Retry-Attempt": str(attempt)})).status_code == 409:
        assert answer.json["error"] == "Conflict"
        row_version, attempt = answer.json["currentVersion"], attempt + 1
    assert answer.status_code == 200
    assert answer.json["step"]["row_version"] == 3
    assert datetime.fromisoformat(answer.json["step"]["updatedAt"])
    assert attempt == 1
    assert events(world)[-1] == ("token:host", "api", 1, 3)
