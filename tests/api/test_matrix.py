"""Every endpoint x every scope x whose token: who is answered, and that a refusal writes nothing."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jwt
import pytest
from sqlalchemy.orm import Session

from dashboard.config import Settings
from dashboard.onboarding.actor import Actor
from dashboard.staff.permissions import Scope
from tests.api.conftest import Caller
from tests.api.test_ladder import ADMIN, ENDPOINTS, PROGRESS, SAVE, Endpoint, every_endpoint, unused, without
from tests.factories import ANNA, BEN, STEP, a_person, a_save, snapshot, status_of

KEY = "a secret of the host product, and long enough"
OWN_STEPS = f"{PROGRESS}/steps"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With tokens of users, whom nothing slows down."""
    return dataclasses.replace(
        settings, user_token_key=KEY, user_token_algorithms="HS256", user_rate_limit=0, rate_limit=0
    )


def token_of(user_id: str) -> str:
    """What the host product gives a user's browser."""
    return jwt.encode({"sub": user_id, "exp": int(time.time()) + 600}, KEY, "HS256")


@every_endpoint
@pytest.mark.parametrize("scope", Scope)
def test_an_api_token_is_good_for_its_scope_and_nothing_else(
    endpoint: Endpoint, scope: Scope, api: Caller, world: Session
) -> None:
    scopes = frozenset({scope})
    api.secret(scopes)
    before = snapshot(world)
    world.rollback()
    answer = api(endpoint.method, endpoint.path, endpoint.body, scopes=scopes)
    if scope is endpoint.scope:
        assert answer.status_code == endpoint.works, answer.text
        return
    assert (answer.status_code, answer.json["scope"]) == (403, endpoint.scope)
    assert unused(snapshot(world)) == unused(before)


@every_endpoint
def test_a_user_is_answered_where_it_is_about_them_alone(endpoint: Endpoint, api: Caller, world: Session) -> None:
    before = snapshot(world)
    world.rollback()
    answer = api(endpoint.method, endpoint.path, endpoint.body, token=token_of(ANNA))
    if endpoint.of_users:
        assert answer.status_code == endpoint.works, answer.text
        return
    assert answer.status_code == 403
    assert "API token of the host's backend" in answer.json["detail"]
    of_the_staff = endpoint.scope in (Scope.STEPS_READ, Scope.STEPS_RELEASE)
    assert answer.json["scope"] == (endpoint.scope if of_the_staff else None)
    assert snapshot(world) == before


@every_endpoint
def test_a_user_who_names_another_is_refused(endpoint: Endpoint, api: Caller, world: Session) -> None:
    a_person(world, BEN)
    world.commit()
    before = snapshot(world)
    world.rollback()
    answer = api(endpoint.method, endpoint.path, endpoint.body, token=token_of(BEN))
    assert answer.status_code == 403, answer.text
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="onboarding", error="insufficient_scope"')
    assert snapshot(world) == before


def test_only_a_persons_own_steps_are_for_users() -> None:
    assert [str(endpoint) for endpoint in ENDPOINTS if endpoint.of_users] == [
        "GET /api/onboarding/steps",
        "GET /api/onboarding/steps/<step_id>",
        "PATCH /api/onboarding/steps/<step_id>",
    ]


NAMING_BEN: list[tuple[str, str, Any]] = [
    ("GET", f"{OWN_STEPS}?user_id={BEN}", None),
    ("GET", f"{OWN_STEPS}/{STEP}?user_id={BEN}", None),
    ("GET", f"{OWN_STEPS}?user_id=nobody", None),
    ("GET", f"{OWN_STEPS}?user_id=ANNA", None),
    ("PATCH", f"{OWN_STEPS}/{STEP}", {**SAVE, "user_id": BEN}),
    ("PATCH", f"{OWN_STEPS}/{STEP}?user_id={BEN}", without(SAVE, "user_id")),
    ("PATCH", f"{OWN_STEPS}/{STEP}?user_id={BEN}", SAVE),
    ("PATCH", f"{OWN_STEPS}/{STEP}?user_id={ANNA}", {**SAVE, "user_id": BEN}),
    ("PATCH", f"{OWN_STEPS}/{STEP}?user_id={BEN}", {**SAVE, "user_id": BEN}),
    ("PATCH", f"{OWN_STEPS}/{STEP}?create=true", {**SAVE, "user_id": "newcomer"}),
    ("PATCH", f"{OWN_STEPS}/{STEP}?create=true&user_id=newcomer", without(SAVE, "user_id")),
    ("PATCH", OWN_STEPS, {"step_id": STEP, "status": "done", "updates": [{"user_id": BEN, "row_version": 1}]}),
    ("PUT", f"{PROGRESS}/users/{BEN}", {"name": "Not Ben"}),
    ("PUT", f"{PROGRESS}/users/newcomer", {}),
    ("DELETE", f"{PROGRESS}/users/{BEN}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), NAMING_BEN)
def test_in_the_address_or_in_the_body_another_is_not_for_them(
    method: str, path: str, body: Any, api: Caller, world: Session
) -> None:
    a_person(world, BEN)
    world.commit()
    before = snapshot(world)
    world.rollback()
    answer = api(method, path, body, token=token_of(ANNA))
    assert answer.status_code == 403, answer.text
    assert answer.json["scope"] is None
    assert snapshot(world) == before


@pytest.mark.parametrize("wrong", ["step", "status", "row_version"])
def test_a_user_who_names_another_learns_nothing_else(wrong: str, api: Caller, world: Session) -> None:
    """Whether there is such a person or such a row_version is not told on the way to the refusal."""
    path = f"{OWN_STEPS}/{'no-such-step' if wrong == 'step' else STEP}"
    body = {**SAVE, "user_id": "somebody", "status": "done", "row_version": 99}
    if wrong == "status":
        body["status"] = "finished"
    assert api("PATCH", path, body, token=token_of(ANNA)).status_code == 403


def test_a_user_need_not_say_who_they_are(api: Caller, world: Session) -> None:
    mine = token_of(ANNA)
    assert api("GET", OWN_STEPS, token=mine).json["user_id"] == ANNA
    saved = api("PATCH", f"{OWN_STEPS}/{STEP}", without(SAVE, "user_id"), token=mine)
    assert (saved.status_code, saved.headers["ETag"]) == (200, '"2"')
    stale = api("PATCH", f"{OWN_STEPS}/{STEP}", without(SAVE, "user_id"), token=mine)
    assert [change["by"] for change in stale.json["changes"]] == [f"user:{ANNA}"]
    assert status_of(world) == "done"


def test_a_user_may_create_themselves_and_nobody_else(api: Caller, world: Session) -> None:
    body = without(SAVE, "user_id")
    mine = token_of("newcomer")
    assert api("PATCH", f"{OWN_STEPS}/{STEP}", body, token=mine).status_code == 404
    assert api("PATCH", f"{OWN_STEPS}/{STEP}?create=true", body, token=mine).status_code == 200
    assert api("GET", OWN_STEPS, token=mine).json["user_id"] == "newcomer"
    assert api("GET", f"{OWN_STEPS}?user_id=other", scopes=frozenset({Scope.PROGRESS_READ})).status_code == 404


def test_a_token_of_ours_may_read_what_a_user_did(api: Caller, world: Session) -> None:
    api("PATCH", f"{OWN_STEPS}/{STEP}", without(SAVE, "user_id"), token=token_of(ANNA))
    assert api("GET", f"{OWN_STEPS}/{STEP}?user_id={ANNA}").json["status"] == "done"
    assert api("GET", f"{ADMIN}/steps", token=token_of(ANNA)).status_code == 403


def test_a_user_is_not_told_which_of_the_staff_it_was(api: Caller, world: Session) -> None:
    a_save(world, "skipped", actor=Actor("staff:tomas@example.com", "web"))
    a_save(world, "todo", actor=Actor("token:shop", "api"))
    a_save(world, "in_progress", actor=Actor(f"user:{ANNA}", "api"))
    world.commit()
    told = api("PATCH", f"{OWN_STEPS}/{STEP}", SAVE, token=token_of(ANNA))
    assert [change["by"] for change in told.json["changes"]] == ["staff", "token", f"user:{ANNA}"]
    assert "tomas" not in told.text
    told = api("PATCH", f"{OWN_STEPS}/{STEP}", SAVE)
    assert [change["by"] for change in told.json["changes"]][:2] == ["staff:tomas@example.com", "token:shop"]
