"""The same ladder for every endpoint: works, no token, wrong scope, not found, bad id, bad members by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.api.batch import Batch
from dashboard.api.reading import MAX_BODY_BYTES
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import ByToken, Scope, declared
from tests.api.conftest import Caller
from tests.factories import ANNA, STEP, snapshot

Body = Mapping[str, Any]

PROGRESS, ADMIN = "/api/onboarding", "/api/admin/onboarding"
SAVE = {"user_id": ANNA, "status": "done", "row_version": 1}
SAVE_MANY: dict[str, Any] = {
    "step_id": STEP,
    "status": "done",
    "updates": [{"user_id": ANNA, "row_version": 1}],
}
MIGRATE = {"stepId": STEP, "fromVersion": 1, "toVersion": 2, "newStepData": {"title": "Take payments"}}
ROLL_BACK = {"stepId": STEP, "fromVersion": 1, "dryRun": True}


@dataclass(frozen=True)
class Endpoint:
    """One endpoint with a request that works; `missing` are requests for what is not there, `wrong` name the member.

    `of_users`: it also takes the token of a user; `max_bytes` is how long a body may be.
    """

    method: str
    path: str
    rule: str
    scope: Scope
    body: Body | None = None
    missing: list[tuple[str, Body | None]] = field(default_factory=list)
    wrong: list[tuple[str, Body | None, str]] = field(default_factory=list)
    works: int = 200
    of_users: bool = False
    max_bytes: int = MAX_BODY_BYTES

    def __str__(self) -> str:
        return f"{self.method} {self.rule}"


def without(body: Body, name: str) -> Body:
    return {member: value for member, value in body.items() if member != name}


def wrong_values(path: str, body: Body, values: Mapping[str, list[Any]]) -> list[tuple[str, Body | None, str]]:
    return [(path, {**body, name: value}, name) for name, wrong in values.items() for value in wrong]


NOT_TEXT: list[Any] = [None, 1, True, ["a"], {"a": 1}]
NOT_WHOLE: list[Any] = ["1", "", True, False, 1.5, 1e300, [], {}]
NOT_BOOL: list[Any] = ["true", 0, 1, None, []]
NOT_ID: list[Any] = [*NOT_TEXT, "", "a\0b", "\ud800", "x" * 201]

ENDPOINTS = [
    Endpoint(
        "GET",
        f"{PROGRESS}/steps?user_id={ANNA}",
        f"{PROGRESS}/steps",
        Scope.PROGRESS_READ,
        missing=[(f"{PROGRESS}/steps?user_id=nobody", None)],
        wrong=[
            (f"{PROGRESS}/steps", None, "user_id"),
            (f"{PROGRESS}/steps?user_id=", None, "user_id"),
            (f"{PROGRESS}/steps?user_id={'x' * 201}", None, "user_id"),
        ],
        of_users=True,
    ),
    Endpoint(
        "GET",
        f"{PROGRESS}/steps/{STEP}?user_id={ANNA}",
        f"{PROGRESS}/steps/<step_id>",
        Scope.PROGRESS_READ,
        missing=[
            (f"{PROGRESS}/steps/{STEP}?user_id=nobody", None),
            (f"{PROGRESS}/steps/no-such-step?user_id={ANNA}", None),
            (f"{PROGRESS}/steps/No%20Step;%27--?user_id={ANNA}", None),
            (f"{PROGRESS}/steps/{'x' * 5000}?user_id={ANNA}", None),
        ],
        wrong=[(f"{PROGRESS}/steps/{STEP}", None, "user_id")],
        of_users=True,
    ),
    Endpoint(
        "PATCH",
        f"{PROGRESS}/steps/{STEP}",
        f"{PROGRESS}/steps/<step_id>",
        Scope.PROGRESS_WRITE,
        SAVE,
        missing=[
            (f"{PROGRESS}/steps/no-such-step", SAVE),
            (f"{PROGRESS}/steps/no-such-step?create=true", {**SAVE, "user_id": "newcomer"}),
            (f"{PROGRESS}/steps/{STEP}", {**SAVE, "user_id": "nobody"}),
            (f"{PROGRESS}/steps/{STEP}?create=false", {**SAVE, "user_id": "nobody"}),
        ],
        wrong=[
            (f"{PROGRESS}/steps/{STEP}", without(SAVE, "user_id"), "user_id"),
            (f"{PROGRESS}/steps/{STEP}", without(SAVE, "status"), "status"),
            (f"{PROGRESS}/steps/{STEP}?create=perhaps", SAVE, "create"),
            (f"{PROGRESS}/steps/{STEP}?dryRun=true", SAVE, "dryRun"),
            *wrong_values(
                f"{PROGRESS}/steps/{STEP}",
                SAVE,
                {
                    "user_id": NOT_ID,
                    "status": [*NOT_TEXT, "", "Done", "finished"],
                    "row_version": [*NOT_WHOLE, 0, -1, 2, 2**31 - 1, 2**31, 2**63],
                },
            ),
        ],
        of_users=True,
    ),
    Endpoint(
        "PATCH",
        f"{PROGRESS}/steps",
        f"{PROGRESS}/steps",
        Scope.PROGRESS_WRITE,
        SAVE_MANY,
        missing=[(f"{PROGRESS}/steps", {**SAVE_MANY, "step_id": step_id}) for step_id in ("no-such-step", "No; --")],
        wrong=[
            *((f"{PROGRESS}/steps", without(SAVE_MANY, name), name) for name in SAVE_MANY),
            (f"{PROGRESS}/steps?create=true", SAVE_MANY, "create"),
            *wrong_values(
                f"{PROGRESS}/steps",
                SAVE_MANY,
                {
                    "step_id": NOT_ID,
                    "status": [*NOT_TEXT, "", "Done", "finished"],
                    "updates": [None, 1, "anna", {}, [], [{"user_id": "x", "row_version": 1}] * 1001],
                    "user_id": [ANNA],
                },
            ),
            *(
                (f"{PROGRESS}/steps", {**SAVE_MANY, "updates": [*SAVE_MANY["updates"], update]}, f"updates.1{name}")
                for update, name in [
                    *((wrong, "") for wrong in (None, 1, "ben", [])),
                    *(({"user_id": wrong, "row_version": 1}, ".user_id") for wrong in [*NOT_ID, ANNA]),
                    *(({"user_id": "ben", "row_version": wrong}, ".row_version") for wrong in [*NOT_WHOLE, 0, 2**31]),
                    ({"row_version": 1}, ".user_id"),
                    ({"user_id": "ben"}, ".row_version"),
                    ({"user_id": "ben", "row_version": 1, "status": "todo"}, ".status"),
                ]
            ),
        ],
        max_bytes=Batch.max_bytes,
    ),
    Endpoint(
        "PUT",
        f"{PROGRESS}/users/{ANNA}",
        f"{PROGRESS}/users/<user_id:user_id>",
        Scope.PROGRESS_WRITE,
        {"name": "Anna", "email": "anna@example.com"},
        wrong=[
            (f"{PROGRESS}/users/{'x' * 201}", {}, "user_id"),
            (f"{PROGRESS}/users/%20", {}, "user_id"),
            *wrong_values(
                f"{PROGRESS}/users/{ANNA}",
                {},
                {
                    "name": [*NOT_TEXT, "x" * 201, "a\0", "\udfff"],
                    "email": [*NOT_TEXT, "x" * 321],
                    "nmae": ["Anna"],
                },
            ),
        ],
    ),
    Endpoint(
        "DELETE",
        f"{PROGRESS}/users/{ANNA}",
        f"{PROGRESS}/users/<user_id:user_id>",
        Scope.PROGRESS_WRITE,
        missing=[(f"{PROGRESS}/users/{user_id}", None) for user_id in ("nobody", "Anna", "%20", "anna%20", "a%2Fb")],
        wrong=[
            (f"{PROGRESS}/users/{'x' * 201}", None, "user_id"),
            (f"{PROGRESS}/users/{ANNA}?dryRun=true", None, "dryRun"),
        ],
    ),
    Endpoint("GET", f"{ADMIN}/steps", f"{ADMIN}/steps", Scope.STEPS_READ),
    *(
        Endpoint(
            "GET",
            f"{ADMIN}/steps/{STEP}/{what}",
            f"{ADMIN}/steps/<step_id>/{what}",
            Scope.STEPS_READ,
            missing=[
                (f"{ADMIN}/steps/{step_id}/{what}{query}", None)
                for step_id in ("no-such-step", "No%20Step;%27--", "x" * 5000)
                for query in ("", "?before=1")
            ],
            wrong=[
                (f"{ADMIN}/steps/{STEP}/{what}?{name}={wrong}", None, name)
                for name, most in (("limit", 200), ("before", 2**31 - 1))
                for wrong in ("", "0", "-1", "one", "1.5", most + 1, 10**30)
            ],
        )
        for what in ("versions", "releases")
    ),
    Endpoint(
        "POST",
        f"{ADMIN}/migrate-version",
        f"{ADMIN}/migrate-version",
        Scope.STEPS_RELEASE,
        MIGRATE,
        missing=[
            (f"{ADMIN}/migrate-version", {**MIGRATE, "stepId": "no-such-step"}),
            (f"{ADMIN}/migrate-version", {**MIGRATE, "stepId": "No step; --"}),
        ],
        wrong=[
            *((f"{ADMIN}/migrate-version", without(MIGRATE, name), name) for name in MIGRATE),
            (f"{ADMIN}/migrate-version?dryRun=true", MIGRATE, "dryRun"),
            *wrong_values(
                f"{ADMIN}/migrate-version",
                MIGRATE,
                {
                    "stepId": NOT_ID,
                    "fromVersion": [*NOT_WHOLE, None, 0, -1],
                    "toVersion": [*NOT_WHOLE, None, 0],
                    "newStepData": [None, [], "title", 1],
                    "dryRun": NOT_BOOL,
                    "dryrun": [True],
                    "dry_run": [True],
                    "reopenFinished": NOT_BOOL,
                    "discardDraft": NOT_BOOL,
                    "note": [*NOT_TEXT, "x" * 2001, "a\0b", "\ud800"],
                    "policy": [None, [], "keep"],
                    "expect": [None, 5],
                },
            ),
            *(
                (f"{ADMIN}/migrate-version", {**MIGRATE, "newStepData": {name: value}}, f"newStepData.{name}")
                for name, values in {
                    "title": [*NOT_TEXT, "", " ", "x" * 201, "a\0b", "\ud800"],
                    "description": [*NOT_TEXT, "x" * 5001],
                    "weight": [*NOT_WHOLE, None, 0, -1, 1001, 10**18],
                    "actionUrl": [*NOT_TEXT, "javascript:alert(1)", "//evil.example", "settings", "ftp://x"],
                    "action_url": ["/settings"],
                    "titel": ["x"],
                }.items()
                for value in values
            ),
            *(
                (f"{ADMIN}/migrate-version", {**MIGRATE, "policy": {name: value}}, f"policy.{name}")
                for name, value in [("done", "reset"), ("skipped", True), ("inProgress", None), ("in_progress", "keep")]
            ),
            *(
                (f"{ADMIN}/migrate-version", {**MIGRATE, "expect": {"progressReset": 0, **more}}, f"expect.{name}")
                for name, more in [
                    ("progressReset", {"progressReset": "0"}),
                    ("progressReset", {"progressReset": -1}),
                    ("tolerance", {"tolerance": 0.5}),
                    ("tolerance", {"tolerance": -1}),
                    ("tolerence", {"tolerence": 1}),
                ]
            ),
        ],
    ),
    Endpoint(
        "POST",
        f"{ADMIN}/rollback-version",
        f"{ADMIN}/rollback-version",
        Scope.STEPS_RELEASE,
        ROLL_BACK,
        missing=[(f"{ADMIN}/rollback-version", {**ROLL_BACK, "stepId": "no-such-step"})],
        wrong=[
            (f"{ADMIN}/rollback-version", without(ROLL_BACK, "stepId"), "stepId"),
            (f"{ADMIN}/rollback-version", without(ROLL_BACK, "fromVersion"), "fromVersion"),
            (f"{ADMIN}/rollback-version?dryRun=true", ROLL_BACK, "dryRun"),
            *wrong_values(
                f"{ADMIN}/rollback-version",
                ROLL_BACK,
                {
                    "stepId": NOT_ID,
                    "fromVersion": [*NOT_WHOLE, None, 0],
                    "dryRun": NOT_BOOL,
                    "toVersion": [1],
                    "note": NOT_TEXT,
                },
            ),
        ],
        # the world's step is at its first version: see test_releases.py for one that can go back
        works=409,
    ),
]
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
every_one_that_may_find_nothing = pytest.mark.parametrize(
    "endpoint", [one for one in ENDPOINTS if one.missing], ids=str
)
every_one_that_is_sent_something = pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.wrong], ids=str)


def test_every_endpoint_is_on_the_ladder(app: Flask) -> None:
    served = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if isinstance(declared(app.view_functions[rule.endpoint]), ByToken)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == {str(endpoint) for endpoint in ENDPOINTS}


@every_endpoint
def test_works_with_its_scope_alone(endpoint: Endpoint, api: Caller, world: Session) -> None:
    answer = api(endpoint.method, endpoint.path, endpoint.body, scopes=frozenset({endpoint.scope}))
    assert answer.status_code == endpoint.works, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


@every_endpoint
def test_without_a_token_is_401(endpoint: Endpoint, api: Caller, world: Session) -> None:
    before = snapshot(world)
    for authorization in ("", "Bearer", "Bearer ", "Basic YTpi", "Bearer obd_wrong", "Bearer " + "é" * 20, "obd_x"):
        answer = api(
            endpoint.method,
            endpoint.path,
            endpoint.body,
            token="",
            headers={"Authorization": authorization} if authorization else {},
        )
        assert answer.status_code == 401, authorization
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="onboarding"')
        assert answer.json["error"] == "Unauthorized"
    world.rollback()
    assert snapshot(world) == before


@every_endpoint
def test_a_revoked_or_expired_token_is_401(endpoint: Endpoint, api: Caller, world: Session) -> None:
    actor = Actor("system:test", "cli")
    gone = tokens.create(world, actor, name="gone", scopes=list(Scope))
    tokens.revoke(world, actor, "gone")
    late = tokens.create(
        world, actor, name="late", scopes=list(Scope), expires_at=datetime.now(UTC) + timedelta(hours=1)
    )
    world.execute(text("UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE name = 'late'"))
    world.commit()
    for secret in (gone.secret, late.secret):
        answer = api(endpoint.method, endpoint.path, endpoint.body, token=secret)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@every_endpoint
@pytest.mark.parametrize("ended", ["revoked_at = now()", "expires_at = now()"], ids=["revoked", "expired"])
def test_so_is_one_that_was_seen_lately(endpoint: Endpoint, ended: str, api: Caller, world: Session) -> None:
    # the first call draws one permit of the rate limit, the second one enough for the rest
    for _ in range(2):
        assert api("GET", f"{PROGRESS}/steps?user_id={ANNA}").status_code == 200
    world.execute(text(f"UPDATE api_tokens SET {ended}"))
    world.commit()
    before = snapshot(world)
    asked = [(endpoint.path, endpoint.body), *endpoint.missing, *((path, body) for path, body, _ in endpoint.wrong)]
    for path, body in asked:
        answer = api(endpoint.method, path, body)
        assert answer.status_code == 401, path
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    world.rollback()
    assert snapshot(world) == before


@every_endpoint
def test_with_every_scope_but_its_own_is_403_and_names_it(endpoint: Endpoint, api: Caller, world: Session) -> None:
    api.secret(frozenset(Scope) - {endpoint.scope})
    before = snapshot(world)
    answer = api(endpoint.method, endpoint.path, endpoint.body, scopes=frozenset(Scope) - {endpoint.scope})
    assert answer.status_code == 403
    assert answer.json["scope"] == endpoint.scope
    assert endpoint.scope in answer.json["detail"]
    assert f'error="insufficient_scope", scope="{endpoint.scope}"' in answer.headers["WWW-Authenticate"]
    world.rollback()
    assert unused(snapshot(world)) == unused(before)


@every_one_that_may_find_nothing
def test_what_is_not_there_is_404(endpoint: Endpoint, api: Caller, world: Session) -> None:
    api.secret()
    before = snapshot(world)
    for path, body in endpoint.missing:
        answer = api(endpoint.method, path, body)
        assert answer.status_code == 404, path
        assert answer.json["error"] == "Not Found"
        assert answer.json["message"].startswith("There is no ")
    world.rollback()
    assert unused(snapshot(world)) == unused(before)


@every_one_that_is_sent_something
def test_a_wrong_member_is_422_by_name_and_changes_nothing(endpoint: Endpoint, api: Caller, world: Session) -> None:
    api.secret()
    before = snapshot(world)
    for path, body, member in endpoint.wrong:
        answer = api(endpoint.method, path, body)
        assert answer.status_code == 422, (path, body, answer.text)
        assert [one["member"] for one in answer.json["errors"]] == [member], (path, body, answer.text)
        assert f"{member}: " in answer.json["detail"]
        assert "\n" not in answer.json["detail"]
    world.rollback()
    assert unused(snapshot(world)) == unused(before)


def unused(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """The rows without those of tokens, which note when they were used."""
    return {table: rows for table, rows in rows.items() if table != "api_tokens"}
