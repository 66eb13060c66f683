"""A token that asks too often is told when to come again, and how much it has left before that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from dashboard import create_app
from dashboard.config import Settings
from dashboard.staff.permissions import Scope
from tests.api.conftest import Caller
from tests.factories import ANNA

STEPS = f"/api/onboarding/steps?user_id={ANNA}"
USERS_KEY = "a secret that host and dashboard share"


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """An app that lets a token ask five times a minute, and a user three times."""
    made = create_app(
        replace(settings, rate_limit=5, user_rate_limit=3, user_token_key=USERS_KEY, user_token_algorithms="HS256")
    )
    made.testing = True
    yield made
    made.extensions["database"].dispose()


def of_user(user_id: str, minutes: int = 5) -> str:
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    return jwt.encode({"sub": user_id, "exp": expires}, USERS_KEY, "HS256")


def test_each_answer_says_what_is_left_and_the_sixth_is_429(api: Caller, world: Session) -> None:
    answers = [api("GET", STEPS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"5"}
    assert 0 < int(answers[0].headers["RateLimit-Reset"]) <= 12
    refused = answers[-1]
    assert 1 <= int(refused.headers["Retry-After"]) <= 12
    assert refused.mimetype == "application/problem+json"
    assert refused.json["error"] == "Too Many Requests"
    assert refused.json["message"].startswith("This token can make 5 requests a minute. Wait ")


def test_a_refused_save_is_not_kept(api: Caller, world: Session) -> None:
    for _ in range(5):
        api("GET", STEPS)
    save = {"user_id": ANNA, "status": "done", "row_version": 1}
    assert api("PATCH", "/api/onboarding/steps/set-up-payments", save).status_code == 429
    world.rollback()
    assert world.scalar(text("SELECT count(*) FROM user_step_events")) == 0


def test_refusals_and_mistakes_count_too(api: Caller, world: Session) -> None:
    for _ in range(5):
        assert api("GET", "/api/onboarding/steps?user_id=nobody").status_code == 404
    assert api("GET", "/api/onboarding/steps?user_id=nobody").status_code == 429


def test_another_token_has_its_own_limit(api: Caller, world: Session) -> None:
    for _ in range(6):
        api("GET", STEPS)
    assert api("GET", STEPS, scopes=frozenset({Scope.PROGRESS_READ})).status_code == 200


def test_all_tokens_of_a_user_share_one_limit(api: Caller, world: Session) -> None:
    tokens = [of_user(ANNA, minutes) for minutes in range(1, 5)]
    assert [api("GET", "/api/onboarding/steps", token=token).status_code for token in tokens] == [200] * 3 + [429]
    refused = api("GET", "/api/onboarding/steps", token=tokens[0])
    assert refused.json["message"].startswith("This user can make 3 requests a minute. Wait ")
    assert api("GET", "/api/onboarding/steps", token=of_user("somebody else")).status_code == 404


def test_a_token_that_is_none_counts_nowhere(api: Caller, world: Session) -> None:
    for token in ("obd_unknown", "a.b.c", of_user(ANNA, -5)):
        for _ in range(8):
            answer = api("GET", STEPS, token=token)
            assert answer.status_code == 401
            assert "RateLimit-Limit" not in answer.headers
    assert world.scalar(text("SELECT count(*) FROM rate_limits")) == 0


def test_a_revoked_token_is_refused_at_once_whatever_it_has_left(api: Caller, world: Session) -> None:
    assert api("GET", STEPS).status_code == 200
    world.execute(text("UPDATE api_tokens SET revoked_at = now()"))
    world.commit()
    assert api("GET", STEPS).status_code == 401


def test_no_limit_is_no_header(settings: Settings, world: Session) -> None:
    app = create_app(replace(settings, rate_limit=0))
    answer = Caller(app)("GET", STEPS)
    app.extensions["database"].dispose()
    assert answer.status_code == 200
    assert "RateLimit-Limit" not in answer.headers


def test_whose_asking_is_counted_is_not_to_be_read_in_the_database(api: Caller, world: Session) -> None:
    assert api("GET", STEPS, token=of_user(ANNA)).status_code == 200
    keys = world.scalars(text("SELECT key FROM rate_limits")).all()
    assert len(keys) == 1
    assert ANNA not in keys[0]


def test_why_a_user_token_is_refused_is_in_the_log_under_the_id_of_the_request(app: Flask) -> None:
    bearer = {"Authorization": f"Bearer {of_user('anna', minutes=-5)}"}
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = app.test_client().get(STEPS, headers=bearer)
    assert answer.json["detail"] == "This token is unknown, expired or revoked."
    (line,) = [one for one in lines if one["event"] == "user token refused"]
    assert (line["reason"], line["request_id"]) == ("expired: exp is in the past", answer.headers["X-Request-ID"])


@pytest.mark.parametrize(("token", "reasons"), [(of_user("anna"), ["USER_TOKEN_KEY is not set"]), ("no token", [])])
def test_a_user_token_where_none_are_taken_is_told_in_the_log_alone(
    settings: Settings, token: str, reasons: list[str]
) -> None:
    app = create_app(settings)
    with capture_logs() as lines:
        answer = Caller(app)("GET", STEPS, token=token)
    app.extensions["database"].dispose()
    assert (answer.status_code, answer.json["detail"]) == (401, "This token is unknown, expired or revoked.")
    assert [line["reason"] for line in lines if line["event"] == "user token refused"] == reasons
