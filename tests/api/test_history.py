"""The versions and the releases of a step, newest first and page by page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from dashboard.onboarding import releases
from dashboard.onboarding.carryover import Policy
from tests.api.conftest import Caller
from tests.factories import MAYA, NOOR, OTHER, STEP, a_draft, a_release, a_step

STEPS = "/api/admin/onboarding/steps"


def test_versions_say_what_the_step_said_and_which_is_live(api: Caller, world: Session) -> None:
    a_release(world, title="Take payments")
    releases.roll_back(world, MAYA, STEP)
    a_draft(world, weight=7)
    world.commit()
    answer = api("GET", f"{STEPS}/{STEP}/versions").json
    assert list(answer) == ["id", "versions", "next"]
    assert (answer["id"], answer["next"]) == (STEP, None)
    draft, past, live = answer["versions"]
    assert [(one["version"], one["state"]) for one in (draft, past, live)] == [(3, "draft"), (2, "past"), (1, "live")]
    assert datetime.fromisoformat(live.pop("editedAt")).utcoffset() is not None
    assert live == {
        "version": 1,
        "state": "live",
        "title": "Set up payments",
        "description": "",
        "weight": 30,
        "actionUrl": "/settings/payments",
        "basedOn": None,
        "editedBy": MAYA.key,
    }
    assert (past["title"], draft["weight"], draft["basedOn"]) == ("Take payments", 7, 1)


def test_no_version_of_a_withdrawn_step_is_live(api: Caller, world: Session) -> None:
    releases.withdraw(world, MAYA, STEP)
    world.commit()
    assert [one["state"] for one in api("GET", f"{STEPS}/{STEP}/versions").json["versions"]] == ["past"]


def test_releases_say_who_when_why_and_what_came_of_it(api: Caller, world: Session) -> None:
    made = a_release(world, STEP, Policy(done=False, skipped=False, in_progress=True)).release
    back = releases.roll_back(world, NOOR, STEP, note="Wrong text").release
    world.commit()
    answer = api("GET", f"{STEPS}/{STEP}/releases").json
    assert list(answer) == ["id", "releases", "next"]
    newest, migrated, first = answer["releases"]
    assert [(one["number"], one["kind"], one["version"]) for one in (newest, migrated, first)] == [
        (3, "rollback", 1),
        (2, "migrate", 2),
        (1, "publish", 1),
    ]
    assert datetime.fromisoformat(newest.pop("releasedAt")).utcoffset() is not None
    assert newest.pop("receipt")["impact"]["restored"] == 0
    assert newest == {
        "id": back.id,
        "number": 3,
        "kind": "rollback",
        "version": 1,
        "by": NOOR.key,
        "note": "Wrong text",
        "policy": {"done": "keep", "skipped": "keep", "inProgress": "keep"},
        "reopenFinished": False,
        "undone": False,
        "undoneBy": None,
    }
    assert (migrated["id"], migrated["undone"], migrated["undoneBy"]) == (made.id, True, back.id)
    assert migrated["policy"] == {"done": "redo", "skipped": "reset", "inProgress": "keep"}


def test_a_withdrawal_has_no_version(api: Caller, world: Session) -> None:
    releases.withdraw(world, MAYA, STEP)
    world.commit()
    newest = api("GET", f"{STEPS}/{STEP}/releases").json["releases"][0]
    assert (newest["kind"], newest["version"]) == ("withdraw", None)


def test_what_migrate_answered_is_what_is_listed(api: Caller, world: Session) -> None:
    body = {"stepId": STEP, "fromVersion": 1, "toVersion": 2, "newStepData": {"title": "Take payments"}, "note": "Law"}
    answer = api("POST", "/api/admin/onboarding/migrate-version", body).json
    newest = api("GET", f"{STEPS}/{STEP}/releases?limit=1").json["releases"][0]
    assert (newest["id"], newest["receipt"], newest["note"]) == (answer["releaseId"], answer["receipt"], "Law")
    assert newest["by"] == "token:host"
    assert newest["policy"] == {"done": "keep", "skipped": "keep", "inProgress": "reset"}


def test_a_step_that_was_never_released_has_a_version_and_no_release(api: Caller, world: Session) -> None:
    a_step(world, "new-one", released=False)
    world.commit()
    assert [one["state"] for one in api("GET", f"{STEPS}/new-one/versions").json["versions"]] == ["draft"]
    assert api("GET", f"{STEPS}/new-one/releases").json == {"id": "new-one", "releases": [], "next": None}


@pytest.mark.parametrize(("what", "number"), [("versions", "version"), ("releases", "number")])
def test_pages_follow_one_another_whatever_comes_meanwhile(api: Caller, world: Session, what: str, number: str) -> None:
    for _ in range(6):
        a_release(world)
    world.commit()

    def page(query: str) -> dict[str, Any]:
        found: dict[str, Any] = api("GET", f"{STEPS}/{STEP}/{what}?{query}").json
        return found

    first = page("limit=3")
    assert ([one[number] for one in first[what]], first["next"]) == ([7, 6, 5], 5)
    a_release(world)
    world.commit()
    second = page(f"limit=3&before={first['next']}")
    assert ([one[number] for one in second[what]], second["next"]) == ([4, 3, 2], 2)
    last = page(f"limit=3&before={second['next']}")
    assert ([one[number] for one in last[what]], last["next"]) == ([1], None)
    assert page("before=1") == {"id": STEP, what: [], "next": None}
    assert page("limit=8")["next"] is None
    assert page("limit=7")["next"] == 2
    assert [one[number] for one in api("GET", f"{STEPS}/{OTHER}/{what}").json[what]] == [1]
