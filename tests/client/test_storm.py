"""The client against the real application and database, over a connection on which anything may happen to a request.

Whatever does: what was acknowledged was written exactly once, and what was refused was not written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from dashboard.client import (
    Client,
    ClientError,
    Conflict,
    GaveUp,
    Intent,
    NoLongerWanted,
    ReleaseConflict,
    Released,
    Saved,
    Status,
    always,
    unless_finished,
)
from dashboard.onboarding import history, releases
from dashboard.onboarding.carryover import Release
from tests import factories
from tests.api.conftest import Caller
from tests.client.conftest import BASE, Clock
from tests.factories import HOST, SAM, STATUSES, events_of_step, people_with_wrong_arrays

FINISHED = {"done", "skipped"}
EXAMPLES = int(os.environ.get("STORMS", "40"))

LOST = ("refused", "429", "503 before", "cut before")
"""Nobody read the request."""
KEPT = ("answered", "cut after", "503 after", "half an answer")
"""It was carried out, whatever became of the answer."""
LATE = "late"
"""It arrives when the client has long given up on it, and on its way sent others."""

fates = st.one_of(st.just("answered"), st.sampled_from((*LOST, *KEPT, LATE)))
meddling = st.one_of(st.none(), st.none(), st.sampled_from((*STATUSES, "release")))


@dataclass
class Storm(httpx.BaseTransport):
    """Lets the drawn fates befall the requests; `meddle` is what somebody else does before each of them."""

    app: Flask
    clock: Clock
    meddle: Callable[[], None]
    fates: Iterator[str]
    late: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.meddle()
        fate = next(self.fates)
        if fate != "late":
            self.deliver_late()
        match fate:
            case "refused":
                raise httpx.ConnectError("refused")
            case "429":
                return httpx.Response(429, headers={"Retry-After": "1"})
            case "503 before":
                return httpx.Response(503)
            case "cut before":
                raise httpx.WriteError("cut")
            case "late":
                # it is still on its way when the client has long given up on it
                self.late.append(request)
                self.clock.now += request.extensions["timeout"]["read"]
                raise httpx.ReadTimeout("no answer")
        response = self.deliver(request)
        match fate:
            case "cut after":
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            case "503 after":
                return httpx.Response(503)
            case "half an answer":
                headers = {"Content-Type": response.headers["Content-Type"]}
                return httpx.Response(response.status_code, headers=headers, content=response.content[:-1])
        return response

    def deliver(self, request: httpx.Request) -> httpx.Response:
        response = httpx.WSGITransport(self.app).handle_request(request)
        response.read()
        return response

    def deliver_late(self) -> None:
        while self.late:
            self.deliver(self.late.pop(0))


@dataclass
class World:
    """One new person before one new step, in a storm."""

    app: Flask
    session: Session
    token: str
    draw: Callable[..., Any]
    step_id: str
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        factories.a_step(self.session, self.step_id)
        self.user_id = f"of-{self.step_id}"
        factories.a_person(self.session, self.user_id)
        self.session.commit()
        self.storm = Storm(self.app, self.clock, self.meddle, iter(lambda: self.draw(fates), None))
        retry = self.clock.retry(attempts=6, deadline_s=40)
        self.client = Client(BASE, self.token, retry=retry, transport=self.storm)

    def meddle(self) -> None:
        """What somebody else does, just before a request of ours arrives."""
        deed = self.draw(meddling)
        if deed == "release":
            factories.a_release(self.session, self.step_id)
        elif deed:
            factories.a_save(self.session, deed, self.user_id, self.step_id, SAM)
        self.session.commit()

    def ours(self) -> list[tuple[int, str]]:
        """The writes of our token, oldest first."""
        self.session.rollback()
        events = events_of_step(self.session, self.user_id, self.step_id)
        return [(event.row_version, event.to_status) for event in events if event.actor == HOST.key]

    def told(self) -> dict[int, str]:
        """The status at each row_version there was."""
        self.session.rollback()
        changes = history.changes_since(self.session, self.user_id, self.step_id, 1)
        return {1: "todo"} | {change.row_version: change.to_status for change in changes}

    def released(self) -> list[Release]:
        """Every release of the step, newest first."""
        self.session.rollback()
        return releases.of_step(self.session, self.step_id, limit=100)


@pytest.fixture
def new_world(app: Flask, api: Caller, session: Session) -> Callable[[st.DataObject], World]:
    """Makes a world in which `data` decides what happens."""
    token, numbers = api.secret(), count(1)
    return lambda data: World(app, session, token, data.draw, f"step-{next(numbers)}")


NewWorld = Callable[[st.DataObject], World]
stormy = settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck), print_blob=True)


# Saves ----------------------------------------------------------------------------------------------------------------

intents = st.sampled_from([always, unless_finished, None])


def save(world: World, status: Status, intent: Intent | None, seen: int | None) -> Saved:
    if intent is None:
        return world.client.save_step(world.user_id, world.step_id, status, seen or max(world.told()))
    return world.client.update_step(world.user_id, world.step_id, status, intent, row_version=seen)


def check_one_save(world: World) -> None:
    """One call, and what it says beside what was written, after everything that was on its way has arrived."""
    status, intent = world.draw(st.sampled_from(STATUSES)), world.draw(intents)
    before, statuses = world.ours(), world.told()
    seen = world.draw(st.one_of(st.none(), st.just(max(statuses))))
    try:
        outcome: Saved | ClientError = save(world, status, intent, seen)
    except ClientError as error:
        outcome = error
    world.storm.deliver_late()
    written = world.ours()[len(before) :]
    assert len(written) <= 1
    match outcome:
        case Saved(already=False):
            assert written == [(outcome.row_version, status)]
        case Saved():
            assert world.told()[outcome.row_version] == status
            assert {found for _, found in written} <= {status}
        case GaveUp(unsure=True):
            assert {found for _, found in written} <= {status}
        case _:
            assert isinstance(outcome, GaveUp | NoLongerWanted | Conflict)
            assert not outcome.unsure
            assert written == []
    if intent is unless_finished and seen and written and statuses[seen] not in FINISHED:
        assert world.told()[written[0][0] - 1] not in FINISHED


@stormy
@given(data=st.data())
def test_a_save_is_written_once_when_it_is_acknowledged_and_not_when_it_is_refused(
    new_world: NewWorld, data: st.DataObject
) -> None:
    world = new_world(data)
    for _ in range(data.draw(st.integers(1, 4))):
        check_one_save(world)
    statuses = world.told()
    writes = len(events_of_step(world.session, world.user_id, world.step_id))
    assert sorted(statuses) == list(range(1, len(statuses) + 1))
    assert writes + len(world.released()) == max(statuses)
    assert people_with_wrong_arrays(world.session) == []


# Releases -------------------------------------------------------------------------------------------------------------


@settings(stormy, max_examples=EXAMPLES // 2)
@given(data=st.data(), back=st.booleans())
def test_a_release_happens_once_when_it_is_acknowledged_and_is_never_said_not_to_have_when_it_has(
    new_world: NewWorld, data: st.DataObject, back: bool
) -> None:
    world = new_world(data)
    factories.a_release(world.session, world.step_id)
    world.session.commit()
    try:
        if back:
            outcome: Released | ClientError = world.client.rollback(world.step_id, 2)
        else:
            outcome = world.client.migrate(world.step_id, 2, 3, {"weight": 5})
    except ClientError as error:
        outcome = error
    world.storm.deliver_late()
    ours = [release for release in world.released() if release.released_by == HOST.key]
    assert len(ours) <= 1
    match outcome:
        case Released():
            assert [(one.id, one.version) for one in ours] == [(outcome.release_id, 1 if back else 3)]
        case GaveUp(unsure=True) | ReleaseConflict(unsure=True):
            pass
        case _:
            assert isinstance(outcome, GaveUp | ReleaseConflict)
            assert ours == []
