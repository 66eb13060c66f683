"""Every call of the client against the real application: what it sends is taken, and what it is answered can be read."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from flask import Flask
from sqlalchemy.orm import Session

from dashboard.client import Client, Conflict, Invalid, NotFound, ReleaseConflict, Withdrawn
from dashboard.onboarding import history, releases
from tests import factories
from tests.api.conftest import Caller
from tests.client.conftest import BASE
from tests.factories import ANNA, BEN, CLEO, HOST, MAYA, SAM, STEP


@pytest.fixture
def client(app: Flask, api: Caller, session: Session) -> Iterator[Client]:
    """A client of the app; ANNA, BEN and CLEO are before STEP."""
    factories.a_step(session)
    for user_id in (ANNA, BEN, CLEO):
        factories.a_person(session, user_id)
    session.commit()
    with Client(BASE, api.secret(), transport=httpx.WSGITransport(app)) as made:
        yield made


def test_progress(client: Client, session: Session) -> None:
    assert [step.id for step in client.steps(ANNA).steps] == [STEP]
    assert client.save_step(ANNA, STEP, "in_progress", 1).row_version == 2
    with pytest.raises(Conflict) as met:
        client.save_step(ANNA, STEP, "done", 1)
    assert [(one.by, one.kind, one.to_status) for one in met.value.changes] == [(HOST.key, "event", "in_progress")]
    saved = client.update_step(ANNA, STEP, "done", row_version=1)
    assert (saved.row_version, saved.progress, saved.finished, saved.retries) == (3, 100, True, 1)
    assert client.update_step(ANNA, STEP, "done").already
    assert client.step(ANNA, STEP).updated_at == saved.updated_at
    with pytest.raises(NotFound, match="There is no step “nothing”"):
        client.step(ANNA, "nothing")
    with pytest.raises(Invalid) as wrong:
        client.save_step(ANNA, STEP, "done", 9)
    assert list(wrong.value.members) == ["row_version"]


def test_somebody_new_after_many_releases(client: Client, session: Session) -> None:
    factories.a_release(session)
    factories.a_release(session)
    session.commit()
    assert client.update_step("new/one", STEP, "done", create=True).row_version == 4


def test_many_people(client: Client, session: Session) -> None:
    factories.a_save(session, "done", BEN, actor=SAM)
    factories.a_save(session, "skipped", CLEO, actor=SAM)
    session.commit()
    updates = [(ANNA, 1), (BEN, 1), (CLEO, 1), ("nobody", 1)]
    anna, ben, cleo, nobody = client.save_many(STEP, "done", updates)
    assert anna.saved
    assert (anna.saved.row_version, anna.saved.progress, anna.saved.already) == (2, 100, False)
    assert ben.saved
    assert (ben.saved.row_version, ben.saved.already) == (2, True)
    assert isinstance(cleo.refusal, Conflict)
    assert [one.by for one in cleo.refusal.changes] == [SAM.key]
    assert isinstance(nobody.refusal, NotFound)
    assert len(history.events_of(session, ANNA)) == 1


@pytest.mark.parametrize("user_id", ["u-1", "a/b", "..", "a/steps/b", "~x", "ü b", "a\nb", "?#%2F", "a//b", "x/erase"])
def test_people_of_any_id(client: Client, user_id: str) -> None:
    assert client.put_user(user_id, name="One", email="one@example.com").user_id == user_id
    assert client.put_user(user_id, name="Two").email == ""
    assert client.update_step(user_id, STEP, "done").progress == 100
    client.erase_user(user_id)
    for call in (client.erase_user, client.steps):
        with pytest.raises(NotFound):
            call(user_id)


def test_releases(client: Client, session: Session) -> None:
    client.save_step(ANNA, STEP, "in_progress", 1)
    preview = client.migrate(STEP, 1, 2, {"title": "Pay"}, dry_run=True)
    done = client.migrate(STEP, 1, 2, {"title": "Pay"}, expect={"progress_reset": preview.progress_reset}, note="Why")
    assert (preview.release_id, done.progress_reset, done.untouched) == (None, 1, 2)
    newest, first = client.releases(STEP)
    assert (newest.id, newest.by, newest.note, newest.policy["inProgress"]) == (
        done.release_id,
        HOST.key,
        "Why",
        "reset",
    )
    assert newest.receipt == done.receipt
    assert (first.kind, first.number) == ("publish", 1)
    assert [(one.version, one.title, one.state) for one in client.versions(STEP)] == [
        (2, "Pay", "live"),
        (1, "Set up payments", "past"),
    ]
    with pytest.raises(ReleaseConflict, match="Version 1 is not live: version 2 is"):
        client.migrate(STEP, 1, 2, {})
    back = client.rollback(STEP, 2)
    assert (back.restored, client.definitions()[0].version) == (1, 1)
    releases.withdraw(session, MAYA, STEP)
    session.commit()
    with pytest.raises(Withdrawn):
        client.step(ANNA, STEP)


def test_a_long_history_comes_whole(client: Client, session: Session) -> None:
    for number in range(50):
        factories.a_release(session, title=f"Title {number}")
    session.commit()
    assert [one.number for one in client.releases(STEP)] == list(range(51, 0, -1))
    assert [one.version for one in client.versions(STEP)] == list(range(51, 0, -1))


def test_there_is_a_call_for_every_endpoint(app: Flask) -> None:
    calls = {
        "list_steps": Client.steps,
        "get_step": Client.step,
        "save_step": Client.save_step,
        "save_batch": Client.save_many,
        "put_user": Client.put_user,
        "delete_user": Client.erase_user,
        "list_definitions": Client.definitions,
        "list_versions": Client.versions,
        "list_releases": Client.releases,
        "migrate_version": Client.migrate,
        "rollback_version": Client.rollback,
    }
    served = {
        endpoint.rpartition(".")[2] for endpoint, view in app.view_functions.items() if endpoint.startswith("api_")
    }
    assert served == set(calls)
