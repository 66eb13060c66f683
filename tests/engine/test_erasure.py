"""Everything that is stored about a person, handed out; and the person erased, with nothing left that tells of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard.models import Base
from dashboard.onboarding import erasure, history, invariants, people, releases, user_steps
from dashboard.onboarding import everybody as all_people
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.erasure import Stored
from dashboard.onboarding.errors import Invalid, NotFound
from tests.factories import (
    BEN,
    HOST,
    MAYA,
    OTHER,
    SAM,
    STEP,
    a_person,
    a_release,
    a_save,
    a_step,
    erased_as,
    everybody,
    snapshot,
)

USER, NAME, EMAIL = "usr_qx7", "Quirina Xanthos", "quirina@xanthos.example"
KEPT = ("user_step_events", "write_conflicts", "audit_log")
THEMSELVES = Actor(f"user:{USER}", "api")


def every_test_begins_with(session: Session) -> None:
    """Somebody with a history of each kind, and Ben beside her, who has the same without words."""
    a_step(session, STEP, weight=60)
    a_step(session, OTHER, weight=40)
    everybody.put(session, HOST, USER, name=NAME, email="old@xanthos.example")
    everybody.put(session, HOST, USER, name=NAME, email=EMAIL)
    a_person(session, BEN)
    for user_id, actor in ((USER, THEMSELVES), (BEN, Actor(f"user:{BEN}", "api"))):
        a_save(session, "in_progress", user_id, actor=actor)
        a_save(session, "done", user_id, OTHER, actor=SAM, comment=f"{user_id} called." if user_id == USER else "")
    a_release(session, title="In new words")
    a_save(session, "skipped", USER, actor=SAM, comment=f"{NAME} has no use for it.")
    stale_save(session, USER)
    stale_save(session, BEN)
    session.execute(
        text("INSERT INTO audit_log (actor, action, user_id, subject, changes, note) VALUES (:a, 'x', :u, :s, :c, :n)"),
        {"a": THEMSELVES.key, "u": USER, "s": EMAIL, "c": json.dumps({"name": [None, NAME]}), "n": NAME},
    )


def stale_save(session: Session, user_id: str) -> None:
    session.execute(
        text(
            "INSERT INTO write_conflicts (at, user_id, step_id, actor, source, to_status, row_version,"
            " current_row_version) VALUES (now(), :u, :s, 'user:' || :u, 'api', 'done', 1, 2)"
        ),
        {"u": user_id, "s": STEP},
    )


def erase(session: Session) -> Stored:
    return erasure.erase(session, SAM, USER, USER)


def told(session: Session, *words: str) -> list[str]:
    """Every row of every table that has one of the words."""
    rows = [f"{table}: {row}" for table, found in snapshot(session).items() for row in found]
    return [row for row in rows if any(word.lower() in row.lower() for word in words)]


# Everything stored


def test_what_is_stored_is_counted(session: Session) -> None:
    assert erasure.stored(session, USER) == Stored(steps=2, events=3, conflicts=1, audit=3)


def test_the_export_has_every_row_that_names_them(session: Session) -> None:
    given = json.loads(json.dumps(erasure.export(session, USER)))
    rows = {(table, json.dumps(row)) for table, found in given["stored"].items() for row in found}
    assert len(rows) == len(told(session, USER, NAME, EMAIL, "quirina"))
    assert given["stored"]["onboarding_users"][0]["email"] == EMAIL
    assert given["stored"]["user_search"]
    assert {event["comment"] for event in given["stored"]["user_step_events"]} == {
        "",
        f"{USER} called.",
        f"{NAME} has no use for it.",
    }


def test_the_export_says_what_counts_and_which_releases_touched_them(session: Session) -> None:
    given = erasure.export(session, USER)
    assert (given["person"]["name"], given["person"]["progress"]) == (NAME, 100)
    assert [(step["step_id"], step["status"]) for step in given["steps"]] == [(STEP, "skipped"), (OTHER, "done")]
    (release,) = given["releases"]
    assert {name: release[name] for name in ("step_id", "version", "from_status", "to_status", "released_by")} == {
        "step_id": STEP,
        "version": 2,
        "from_status": "in_progress",
        "to_status": "todo",
        "released_by": MAYA.key,
    }


def test_the_export_has_nothing_of_anybody_else(session: Session) -> None:
    assert BEN not in json.dumps(erasure.export(session, USER))


@pytest.mark.parametrize("user_id", ["nobody", "\0", "x" * 300])
def test_nobody_is_not_found(session: Session, user_id: str) -> None:
    for ask in (erasure.export, erasure.stored):
        with pytest.raises(NotFound):
            ask(session, user_id)
    with pytest.raises(NotFound):
        erasure.erase(session, SAM, user_id, user_id)


# Erased


def test_nothing_tells_of_them_any_more(session: Session) -> None:
    assert told(session, USER, "quirina", "xanthos")
    erase(session)
    assert told(session, USER, "quirina", "xanthos") == []
    with pytest.raises(NotFound):
        people.find(session, USER)


def test_no_table_of_people_is_left_out(session: Session) -> None:
    """One that is new has to be thought of here too: deleted from, or anonymised."""
    assert {table.name for table in Base.metadata.tables.values() if "user_id" in table.columns} == {
        "onboarding_users",
        "user_search",
        "user_steps",
        "bulk_change_people",
        *KEPT,
    }


def test_what_was_counted_stays(session: Session) -> None:
    def counts() -> dict[str, Any]:
        tables = {name: len(rows) for name, rows in snapshot(session).items()}
        return {name: tables[name] for name in ("user_step_events", "write_conflicts", "step_releases")}

    before, kept = counts(), history.events_of(session, USER)
    erase(session)
    assert counts() == before
    pseudonym = erased_as(session)
    after = history.events_of(session, pseudonym)
    assert [(one.step_id, one.row_version, one.to_status, one.at) for one in after] == [
        (one.step_id, one.row_version, one.to_status, one.at) for one in kept
    ]
    assert {one.actor for one in after} == {f"user:{pseudonym}", SAM.key}
    assert {one.comment for one in after} == {""}
    assert sum(all_people.overview(session).spread.people.values()) == 1


def test_everybody_else_stays_as_they_were(session: Session) -> None:
    before = told(session, BEN)
    erase(session)
    assert told(session, BEN) == before


def test_that_they_were_erased_and_by_whom_is_kept_and_not_who(session: Session) -> None:
    stored = erase(session)
    entry = session.execute(text("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1")).one()
    assert (entry.actor, entry.action, entry.user_id) == (SAM.key, "person.erase", erased_as(session))
    assert (entry.subject, entry.note, entry.changes) == ("", "", {"steps": [2, 0]})
    assert stored == Stored(steps=2, events=3, conflicts=1, audit=3)
    assert entry.user_id.startswith("erased-")


def test_every_promise_holds_afterwards(session: Session) -> None:
    erase(session)
    releases.roll_back(session, MAYA, STEP)
    assert [check.promise for check in invariants.check(session) if not check.holds] == []


def test_whoever_comes_back_under_the_same_id_begins_anew(session: Session) -> None:
    erase(session)
    everybody.put(session, HOST, USER)
    assert {step.status for step in user_steps.steps_of(session, USER)} == {"todo"}
    a_save(session, "done", USER)
    assert len(history.events_of(session, USER)) == 1
    second = erase(session)
    assert second == Stored(steps=1, events=1, conflicts=0, audit=1)
    assert told(session, USER) == []


@pytest.mark.parametrize("typed", ["", " ", "usr_QX7", "usr_qx", NAME, EMAIL, BEN])
def test_another_id_erases_nobody(session: Session, typed: str) -> None:
    before = snapshot(session)
    with pytest.raises(Invalid) as refused:
        erasure.erase(session, SAM, USER, typed)
    assert refused.value.problems == {"typed": "is not this person's id"}
    assert snapshot(session) == before


def test_spaces_around_the_typed_id_do_not_matter(session: Session) -> None:
    erasure.erase(session, SAM, USER, f"  {USER} ")
    assert told(session, USER) == []


@pytest.mark.parametrize("table", KEPT)
def test_the_log_stays_closed_for_everybody_else(session: Session, table: str) -> None:
    erase(session)
    session.begin_nested()
    with pytest.raises(DBAPIError, match="append-only"):
        session.execute(text(f"UPDATE {table} SET actor = 'x' WHERE user_id = 'ben'"))
