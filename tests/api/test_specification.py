"""Schemathesis: whatever the description allows or forbids is sent, and each answer must be one that it tells of.

What is sent is the same in every run. `API_EXAMPLES=500` sends more of it: so many requests an operation beside those
that the description itself suggests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from wsgiref.types import StartResponse, WSGIEnvironment

import hypothesis
import jwt
import pytest
import schemathesis
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.filters import HasAPIOperation
from sqlalchemy.orm import Session

from dashboard.api import BLUEPRINTS, vocabulary
from dashboard.api.openapi import USER_TOKEN, describe
from dashboard.config import Settings
from tests import factories
from tests.api.conftest import Caller

KEY = "the host's key, which only tests know"
CONFIG = {
    "seed": 1,
    # no request leaves the process: see Served
    "base-url": "http://localhost",
    "generation": {
        "deterministic": True,
        "max-examples": int(os.environ.get("API_EXAMPLES", "10")),
        # an unknown header, which nobody refuses, would be taken for a wrong value of the numbers beside it
        "allow-extra-parameters": False,
    },
    "phases": {"stateful": {"enabled": False}},
    # a request may be well formed and still break a rule of the model: a newer row_version than there is, say
    "checks": {"positive_data_acceptance": {"enabled": False}},
}


class Served:
    """The app of the test that runs, for the schema is older than it."""

    app: Flask

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.app(environ, start_response)


SERVED = Served()
schema = schemathesis.openapi.from_dict(describe(BLUEPRINTS), config=SchemathesisConfig.from_dict(CONFIG))
schema.app = SERVED


def is_for_users(context: HasAPIOperation) -> bool:
    return {USER_TOKEN: []} in context.operation.definition.raw["security"]


one_world = hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """User tokens are taken too, and nobody comes to the end of a rate limit."""
    plenty = 10**6
    return replace(
        settings, user_token_key=KEY, user_token_algorithms="HS256", rate_limit=plenty, user_rate_limit=plenty
    )


@pytest.fixture
def statuses(app: Flask, session: Session) -> Iterator[set[int]]:
    """Serves what the examples of the description name, as the demo has it; some of what is asked has to work."""
    for step_id in (vocabulary.STEP, vocabulary.RELEASED, vocabulary.OTHER_STEP):
        factories.a_step(session, step_id)
    for user_id in (vocabulary.USER, vocabulary.OTHER_USER, vocabulary.ERASED_USER):
        factories.a_person(session, user_id)
    for step_id in (vocabulary.STEP, vocabulary.STEP, vocabulary.RELEASED):
        factories.a_release(session, step_id)
    for status in ("in_progress", "done", "in_progress"):
        factories.a_save(session, status, vocabulary.USER, vocabulary.STEP)
    assert factories.row_version_of(session, vocabulary.USER, vocabulary.STEP) == vocabulary.NEWEST
    session.commit()
    SERVED.app = app
    seen: set[int] = set()
    yield seen
    assert seen & {200, 201}, f"nothing was answered but {sorted(seen)}"


def note(statuses: set[int], case: schemathesis.Case, token: str) -> None:
    """Sends the case, holds the answer against the description, and notes its status."""
    answer = case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
    # anybody is answered which methods there are
    if case.method != "OPTIONS":
        statuses.add(answer.status_code)


@schema.parametrize()
@one_world
def test_with_a_token_of_every_scope(case: schemathesis.Case, statuses: set[int], api: Caller) -> None:
    note(statuses, case, api.secret())


@schema.include(is_for_users).parametrize()
@one_world
def test_with_the_token_of_a_user(case: schemathesis.Case, statuses: set[int]) -> None:
    token = jwt.encode({"sub": vocabulary.USER, "exp": int(time.time()) + 3_600}, KEY, "HS256")
    note(statuses, case, token)
