"""A server that answers from a script, and a clock that nobody waits for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from dashboard.client import Client, Retry
from tests.api.conftest import api

__all__ = ["api"]

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]
Mapping = dict[str, Any]

BASE = "https://dashboard.example"
ANNA, STEP = "anna", "set-up-payments"
AT = "2026-11-24T10:00:00Z"


@dataclass
class Clock:
    """Time that passes when somebody sleeps. Every random pause is the longest one there may be, times `chance`."""

    now: float = 1_000.0
    chance: float = 1.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.chance

    def retry(self, **rules: Any) -> Retry:
        """The rules of retrying, by this clock."""
        return Retry(clock=self, sleep=self.sleep, uniform=self.uniform, **rules)


@dataclass
class Script:
    """Answers one request after the other, and keeps what it was asked."""

    clock: Clock
    answers: list[Answer] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, httpx.TimeoutException):
            self.clock.now += request.extensions["timeout"]["read"]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Method and path of each request, query included."""
        return [(request.method, request.url.raw_path.decode()) for request in self.asked]

    @property
    def bodies(self) -> list[Mapping]:
        """What each request that has a body said."""
        return [json.loads(request.content) for request in self.asked if request.content]

    @property
    def attempts(self) -> list[str | None]:
        """X-Retry-Attempt of each request."""
        return [request.headers.get("X-Retry-Attempt") for request in self.asked]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def script(clock: Clock) -> Script:
    return Script(clock)


@pytest.fixture
def client(script: Script, clock: Clock) -> Client:
    """A client of the script, with the usual rules of retrying."""
    return Client(BASE, "obd_secret", retry=clock.retry(), transport=httpx.MockTransport(script))


def ok(body: Mapping, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def problem(status: int, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    """A refusal as the API tells it."""
    body = {"type": "about:blank", "title": "Title", "status": status, "detail": "Why.", "error": "Title", **members}
    return httpx.Response(
        status, content=json.dumps(body), headers={"Content-Type": "application/problem+json", **(headers or {})}
    )


def a_step(status: str = "todo", row_version: int = 1) -> httpx.Response:
    body = {
        "id": STEP,
        "title": "Set up payments",
        "description": "",
        "weight": 10,
        "actionUrl": "/settings/payments",
        "version": 1,
        "status": status,
        "row_version": row_version,
        "updatedAt": None,
    }
    return ok(body, ETag=f'"{row_version}"')


def saved(status: str = "done", row_version: int = 2) -> httpx.Response:
    step = {"id": STEP, "status": status, "row_version": row_version, "updatedAt": AT}
    return ok({"success": True, "step": step, "progress": 50, "finished": False})


def change(row_version: int, from_status: str, to_status: str, kind: str = "event", by: str = "staff:sam") -> Mapping:
    return {"row_version": row_version, "at": AT, "by": by, "kind": kind, "from": from_status, "to": to_status}


def conflict(attempted: int, *changes: Mapping, status: int = 409) -> httpx.Response:
    """A stale save; `changes` lead to the current state."""
    last = changes[-1]
    return problem(
        status,
        attemptedVersion=attempted,
        currentVersion=last["row_version"],
        currentState={"status": last["to"], "row_version": last["row_version"]},
        changes=list(changes),
    )
