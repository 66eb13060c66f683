"""Releases over the API: the original's call and figures, dry run, expectation, rollback."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.onboarding import cutover, releases, steps
from dashboard.onboarding.errors import BrokenInvariant
from tests.api.conftest import Caller
from tests.api.test_ladder import MIGRATE, unused
from tests.factories import ANNA, MAYA, OTHER, STEP, a_draft, a_save, a_step, people, snapshot, status_of

ADMIN = "/api/admin/onboarding"


def migrate(api: Caller, **members: Any) -> TestResponse:
    return api("POST", f"{ADMIN}/migrate-version", {**MIGRATE, **members})


def roll_back(api: Caller, **members: Any) -> TestResponse:
    return api("POST", f"{ADMIN}/rollback-version", {"stepId": STEP, "fromVersion": 2, "dryRun": False, **members})


@pytest.fixture
def crowd(session: Session) -> Session:
    """The original's figures: 100 have done STEP, 50 are at it, 50 have not begun."""
    a_step(session)
    everybody = people(session, 200)
    for index, user_id in enumerate(everybody[:150]):
        a_save(session, "done" if index < 100 else "in_progress", user_id)
    session.commit()
    return session


def figures(answer: TestResponse) -> tuple[int, int, int, int]:
    body = answer.json
    return body["usersAffected"], body["progressCopied"], body["progressReset"], body["untouched"]


def test_the_original_figures(api: Caller, crowd: Session) -> None:
    answer = migrate(api)
    assert answer.status_code == 200, answer.text
    assert list(answer.json) == [
        *("success", "dryRun", "usersAffected", "progressCopied", "progressReset", "untouched"),
        *("impact", "releaseId", "receipt"),
    ]
    assert (answer.json["success"], answer.json["dryRun"]) == (True, False)
    assert figures(answer) == (150, 100, 50, 50)
    assert answer.json["impact"]["matrix"]["in_progress"] == {"done": 0, "skipped": 0, "in_progress": 0, "todo": 50}
    assert answer.json["impact"]["changes"] == [
        {"member": "title", "before": "Set up payments", "after": "Take payments"}
    ]
    stored = crowd.execute(text("SELECT id, receipt FROM step_releases ORDER BY number DESC LIMIT 1")).one()
    assert (answer.json["releaseId"], answer.json["receipt"]) == (stored.id, stored.receipt)


def test_the_impact_is_all_that_the_engine_reports(api: Caller, crowd: Session) -> None:
    impact = migrate(api, newStepData={"weight": 40, "actionUrl": "/pay"}).json
    reported = impact["receipt"]["impact"]
    changes = impact["impact"].pop("changes")
    assert impact["impact"] == reported
    assert reported["totalWeight"] == {"before": 10, "after": 40}
    assert [change["member"] for change in changes] == ["weight", "actionUrl"]


def test_a_dry_run_says_the_same_and_changes_nothing(api: Caller, crowd: Session) -> None:
    api.secret()
    before = snapshot(crowd)
    dry = migrate(api, dryRun=True)
    crowd.rollback()
    assert unused(snapshot(crowd)) == unused(before)
    real = migrate(api)
    assert (dry.json["dryRun"], dry.json["releaseId"], list(dry.json)) == (True, None, list(real.json))
    assert figures(dry) == figures(real)
    assert dry.json["impact"] == real.json["impact"]


def test_what_is_left_out_stays(api: Caller, world: Session) -> None:
    assert migrate(api, newStepData={"weight": 5}).status_code == 200
    live = steps.get(world, STEP).live
    assert live is not None
    assert live.fields == steps.Fields("Set up payments", "", 5, "/settings/payments")
    assert migrate(api, fromVersion=2, toVersion=3, newStepData={}).json["impact"]["changes"] == []


def test_the_policy_is_the_original_one_unless_told(api: Caller, crowd: Session) -> None:
    keep = {"done": "redo", "inProgress": "keep"}
    assert figures(migrate(api, dryRun=True, policy=keep)) == (150, 50, 100, 50)
    assert figures(migrate(api, dryRun=True, policy={})) == (150, 100, 50, 50)


def test_the_release_is_signed_and_explained(api: Caller, world: Session) -> None:
    migrate(api, note="  Rules changed. ", reopenFinished=True)
    newest = releases.get(world, STEP, 2)
    assert (newest.released_by, newest.note, newest.reopens_finished) == ("token:host", "Rules changed.", True)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"fromVersion": 2, "toVersion": 3}, "Version 2 is not live: version 1 is."),
        ({"fromVersion": 10**18, "toVersion": 3}, "Version 1000000000000000000 is not live: version 1 is."),
        ({"toVersion": 1}, "Version 1 is not the next version: 2 is."),
        ({"toVersion": 5}, "Version 5 is not the next version: 2 is."),
    ],
)
def test_versions_that_do_not_fit_are_409(api: Caller, world: Session, members: dict[str, Any], why: str) -> None:
    api.secret()
    before = snapshot(world)
    answer = migrate(api, **members)
    assert (answer.status_code, answer.json["error"], answer.json["reasons"]) == (409, "Conflict", [why])
    world.rollback()
    assert unused(snapshot(world)) == unused(before)


def test_sent_twice_it_is_released_once(api: Caller, world: Session) -> None:
    assert [migrate(api).status_code for _ in range(2)] == [200, 409]
    assert steps.get(world, STEP).release_number == 2


def test_a_draft_of_somebody_else_is_kept_unless_told(api: Caller, world: Session) -> None:
    a_draft(world, title="Maya's words")
    world.commit()
    refused = migrate(api)
    assert (refused.status_code, len(refused.json["reasons"])) == (409, 1)
    assert refused.json["message"] == (
        refused.json["reasons"][0] + " Release it first, or discard it with discardDraft."
    )
    assert refused.json["reasons"][0].startswith("A draft of version 2 by ")
    world.rollback()
    draft = steps.get(world, STEP).draft
    assert draft is not None
    assert draft.fields.title == "Maya's words"
    assert migrate(api, discardDraft=True).status_code == 200
    world.rollback()
    # what its description promises: the log of activity still has the words
    kept = world.execute(text("SELECT action, changes FROM audit_log WHERE action LIKE 'draft.%' ORDER BY id")).all()
    assert ("draft.save", ["Set up payments", "Maya's words"]) in [
        (one.action, one.changes.get("title")) for one in kept
    ]
    assert "draft.discard" in [one.action for one in kept]


def test_an_expectation_that_is_not_met_is_409(api: Caller, crowd: Session) -> None:
    api.secret()
    before = snapshot(crowd)
    refused = migrate(api, expect={"progressReset": 48, "tolerance": 1})
    assert refused.status_code == 409
    assert refused.json["reasons"] == ["Reset: 48 people expected, 50 now."]
    crowd.rollback()
    assert unused(snapshot(crowd)) == unused(before)
    met = migrate(api, expect={"progressReset": 48, "tolerance": 2})
    assert met.status_code == 200
    receipt = met.json["receipt"]
    assert (receipt["predicted"], receipt["drift"], receipt["actual"]["reset"]) == ({"reset": 48}, {"reset": 2}, 50)


def test_all_that_is_wrong_is_told_at_once(api: Caller, world: Session) -> None:
    said = {"title": " ", "weight": 0, "actionUrl": "javascript:alert(1)", "descripton": "Misspelt."}
    refused = migrate(api, newStepData=said, dryrun=True)
    assert refused.status_code == 422
    assert {one["member"]: one["reason"] for one in refused.json["errors"]} == {
        "newStepData.title": "is required",
        "newStepData.weight": "must be a whole number from 1 to 1,000",
        "newStepData.actionUrl": "must be an http or https address, or a path that starts with /",
        "newStepData.descripton": "is unknown",
        "dryrun": "is unknown",
    }
    assert steps.get(world, STEP).draft is None


@pytest.mark.parametrize("post", [migrate, roll_back])
def test_a_reason_is_asked_for_where_one_is_required(
    api: Caller, world: Session, post: Callable[..., TestResponse]
) -> None:
    if post is roll_back:
        migrate(api)
    settings = api.app.extensions["settings"]
    api.app.extensions["settings"] = dataclasses.replace(settings, reason_required=True)
    number = steps.get(world, STEP).release_number
    world.rollback()
    for nothing in ({}, {"note": " \n"}):
        refused = post(api, **nothing)
        assert refused.status_code == 422
        assert refused.json["errors"] == [{"member": "note", "reason": "is required"}]
    assert post(api, dryRun=True).status_code == 200
    assert steps.get(world, STEP).release_number == number
    world.rollback()
    assert post(api, note="Because.").json["receipt"]
    assert releases.of_step(world, STEP, limit=1)[0].note == "Because."


def test_a_broken_invariant_is_told_and_changes_nothing(
    api: Caller, crowd: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[str]:
        raise BrokenInvariant("It would have broken a rule that must always hold: this.")

    api.secret()
    before = snapshot(crowd)
    crowd.rollback()
    monkeypatch.setattr(cutover, "_check_invariants", broken)
    answer = migrate(api)
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert answer.json["detail"] == "It would have broken a rule that must always hold: this. Nothing was changed."
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert unused(snapshot(crowd)) == unused(before)


def test_a_withdrawn_step_is_410(api: Caller, world: Session) -> None:
    releases.withdraw(world, MAYA, STEP)
    world.commit()
    told = "The step was withdrawn. Staff can restore it, on its page or with `dashboard step restore`."
    assert [(one.status_code, one.json["detail"]) for one in (migrate(api), roll_back(api, fromVersion=1))] == [
        (410, told)
    ] * 2


def test_a_rollback_gives_back_and_keeps_later_work(api: Caller, crowd: Session) -> None:
    migrate(api)
    a_save(crowd, "done", "user-0100")
    a_save(crowd, "in_progress", "user-0199")
    crowd.commit()
    api.secret()
    before = snapshot(crowd)
    dry = roll_back(api, dryRun=True)
    crowd.rollback()
    assert unused(snapshot(crowd)) == unused(before)
    real = roll_back(api, note="Wrong text")
    assert real.status_code == 200, real.text
    for answer in (dry, real):
        assert (answer.json["restored"], answer.json["keptLater"]) == (49, 2)
        assert answer.json["impact"]["changes"][0]["after"] == "Set up payments"
    assert status_of(crowd, "user-0101") == "in_progress"
    assert status_of(crowd, "user-0100") == "done"
    assert status_of(crowd, "user-0199") == "in_progress"


def test_a_rollback_from_what_is_not_live_is_409(api: Caller, world: Session) -> None:
    migrate(api)
    refused = roll_back(api, fromVersion=1)
    assert (refused.status_code, refused.json["reasons"]) == (409, ["Version 1 is not live: version 2 is."])
    assert [roll_back(api).status_code for _ in range(2)] == [200, 409]
    nothing = roll_back(api, fromVersion=1)
    assert nothing.status_code == 409
    assert "nothing to roll back to" in nothing.json["message"]


def test_the_checklist_of_the_staff(api: Caller, world: Session) -> None:
    a_step(world, "new-one", released=False, description="<b>bold</b>")
    draft = a_draft(world, title="Take payments")
    releases.withdraw(world, MAYA, OTHER)
    world.commit()
    answer = api("GET", f"{ADMIN}/steps").json
    first, other, new = answer["steps"]
    assert first | {"draft": None} == {
        "id": STEP,
        "title": "Set up payments",
        "description": "",
        "weight": 30,
        "actionUrl": "/settings/payments",
        "position": 1,
        "version": 1,
        "release": 1,
        "withdrawn": False,
        "draft": None,
    }
    assert (first["draft"]["version"], first["draft"]["row_version"]) == (2, draft.row_version)
    assert (first["draft"]["title"], first["draft"]["editedBy"]) == ("Take payments", MAYA.key)
    assert (other["version"], other["release"], other["withdrawn"]) == (None, 2, True)
    assert (new["version"], new["release"], new["withdrawn"], new["description"]) == (None, None, False, "<b>bold</b>")


def test_a_person_sees_the_new_version_at_once(api: Caller, world: Session) -> None:
    migrate(api)
    step = api("GET", f"/api/onboarding/steps/{STEP}?user_id={ANNA}").json
    assert (step["version"], step["title"], step["row_version"]) == (2, "Take payments", 2)
