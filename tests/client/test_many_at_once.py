"""Many clients of one step at the same moment, over real connections to a real server: everybody gets their turn once."""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from flask import Flask
from sqlalchemy.orm import Session

from dashboard.client import Client, Retry, Saved, Status, always
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.traffic import traffic
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests import factories
from tests.factories import ANNA, STATUSES, STEP, events_of_step
from tests.serving import served

# a context of its own for each client would cost more than all that is tested here
TLS = ssl.create_default_context()


@pytest.fixture
def address(app: Flask, session: Session) -> Iterator[str]:
    """Where the app is served; ANNA is before STEP."""
    factories.a_step(session)
    factories.a_person(session)
    session.commit()
    with served(app) as found:
        yield found


def clients(session: Session, address: str, number: int, retry: Retry) -> list[Client]:
    """Clients with tokens of their own: client-0, client-1 ..."""
    made = []
    for index in range(number):
        token = tokens.create(session, Actor("system:test"), name=f"client-{index}", scopes=[*Scope])
        transport = httpx.HTTPTransport(verify=TLS)
        made.append(Client(address, token.secret, retry=retry, timeout_s=30, transport=transport))
    session.commit()
    return made


def at_once(everybody: list[Client]) -> list[tuple[Status, Saved]]:
    """What each wanted and got; they start together, and each wants what it wants whatever happens."""
    start = threading.Barrier(len(everybody))

    def save(index: int) -> tuple[Status, Saved]:
        status = STATUSES[index % 4]
        start.wait()
        return status, everybody[index].update_step(ANNA, STEP, status, always, row_version=1)

    with ThreadPoolExecutor(len(everybody)) as pool:
        return list(pool.map(save, range(len(everybody))))


@pytest.mark.parametrize("number", [10, 200])
def test_each_intent_is_written_once(session: Session, address: str, number: int) -> None:
    everybody = clients(session, address, number, Retry(attempts=50, deadline_s=60))
    got = at_once(everybody)

    events = events_of_step(session, ANNA)
    acknowledged = {
        (f"token:client-{index}", one.row_version, status) for index, (status, one) in enumerate(got) if not one.already
    }
    assert {(event.actor, event.row_version, event.to_status) for event in events} == acknowledged
    assert [event.row_version for event in events] == list(range(2, len(events) + 2))
    statuses = {event.row_version: event.to_status for event in events}
    assert all(statuses[one.row_version] == status for status, one in got)

    counted = traffic(session, "24h")
    assert counted.writes == len(events)
    tries = Counter(one.retries for _, one in got)
    print(
        f"\n{number} clients of one step: {counted.writes} written, {number - len(events)} found it done already;",
        f"{counted.refused} conflicts, {counted.first_retries_kept} of {counted.first_retries} first retries kept",
        f"({counted.first_retries_kept / max(1, counted.first_retries):.0%}); at most {max(tries)} retries",
    )


def test_one_client_serves_many_threads(session: Session, address: str) -> None:
    (client,) = clients(session, address, 1, Retry())
    people = factories.people(session, 16)
    session.commit()

    def go_through(user_id: str) -> list[int]:
        return [client.update_step(user_id, STEP, status).row_version for status in ("in_progress", "done")]

    with client, ThreadPoolExecutor(len(people)) as pool:
        assert list(pool.map(go_through, people)) == [[2, 3]] * len(people)
        assert [client.steps(user_id).progress for user_id in people] == [100] * len(people)
    assert traffic(session, "24h").refused == 0
