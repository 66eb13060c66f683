"""The history explains itself: one timeline, names for whoever did it, and logs that nobody can rewrite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import drafts, history, progress, releases
from dashboard.onboarding.history import Who
from tests.factories import (
    ANNA,
    BEN,
    CLEO,
    HOST,
    MAYA,
    OTHER,
    SAM,
    STEP,
    a_draft,
    a_person,
    a_release,
    a_save,
    a_step,
    snapshot,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def a_step_at(session: Session, at: datetime, step_id: str = STEP) -> None:
    a_step(session, step_id, released=False)
    releases.release(session, MAYA, step_id, at=at)


# The timeline ---------------------------------------------------------------------------------------------------------


def test_the_timeline_tells_writes_and_releases_newest_first(session: Session) -> None:
    a_step_at(session, minutes(0))
    a_person(session)
    progress.save(session, SAM, ANNA, STEP, "in_progress", 1, at=minutes(1), comment="called")
    a_draft(session)
    releases.release(session, MAYA, STEP, at=minutes(2), note="clearer words")
    told = history.timeline(session, ANNA, since=minutes(0))
    assert [(one.kind, one.at, one.by, one.from_status, one.to_status, one.comment) for one in told.changes] == [
        ("release", minutes(2), MAYA.key, "in_progress", "todo", "clearer words"),
        ("event", minutes(1), SAM.key, "todo", "in_progress", "called"),
    ]
    assert told.changes[0].release
    assert told.changes[0].release.version == 2


def test_releases_from_before_a_person_joined_are_not_theirs(session: Session) -> None:
    a_step_at(session, minutes(0))
    for minute in (1, 2):
        a_draft(session)
        releases.release(session, MAYA, STEP, at=minutes(minute))
    a_person(session)
    assert [change.row_version for change in history.timeline(session, ANNA, since=minutes(2)).changes] == [3]


def test_within_a_step_row_versions_keep_their_order_whatever_the_clock_says(session: Session) -> None:
    a_step_at(session, minutes(0))
    a_person(session)
    progress.save(session, SAM, ANNA, STEP, "in_progress", 1, at=minutes(5))
    a_draft(session)
    releases.release(session, MAYA, STEP, at=minutes(4))  # began before that save, was committed after it
    progress.save(session, SAM, ANNA, STEP, "done", 3, at=minutes(6))
    told = history.timeline(session, ANNA, since=minutes(0))
    assert [change.row_version for change in told.changes] == [4, 3, 2]


def test_pages_of_a_timeline_are_its_parts(session: Session) -> None:
    a_step_at(session, minutes(0))
    a_step_at(session, minutes(0), OTHER)
    a_person(session)
    for minute in range(1, 8):
        a_save(session, "done", step_id=(STEP, OTHER)[minute % 2], at=minutes(minute))
    whole = history.timeline(session, ANNA, minutes(0), limit=100)
    pages = [history.timeline(session, ANNA, minutes(0), start=start, limit=3) for start in (0, 3, 6, 9)]
    assert [change for page in pages for change in page.changes] == whole.changes
    assert [len(page.changes) for page in pages] == [3, 3, 1, 0]
    assert {page.total for page in (whole, *pages)} == {7}


def test_a_person_without_history_has_an_empty_timeline(session: Session) -> None:
    assert history.timeline(session, "nobody", minutes(0)) == history.Timeline([], 0, 0)


def test_who_moved_it_from_3_to_6_has_an_exact_answer(session: Session) -> None:
    a_step(session)
    a_person(session)
    for status in ("in_progress", "done"):
        a_save(session, status, actor=HOST)
    a_save(session, "todo", actor=SAM)
    a_release(session)
    a_save(session, "skipped", actor=HOST)
    changes = history.changes_since(session, ANNA, STEP, 3)
    assert [(change.row_version, change.by) for change in changes] == [(4, SAM.key), (5, MAYA.key), (6, HOST.key)]


# Names ----------------------------------------------------------------------------------------------------------------


def test_everybody_is_called_by_a_name(session: Session) -> None:
    session.execute(
        insert(models.StaffAccount).values(email="maya@example.com", name="Maya", role="manager", password_hash="-")
    )
    a_person(session, ANNA)
    a_person(session, BEN, "")
    keys = [MAYA.key, SAM.key, "user:anna", "user:ben", "user:cleo", "token:host", "system:import", "odd"]
    assert history.who(session, keys) == {
        MAYA.key: Who("Maya", "manager"),
        SAM.key: Who("sam@example.com"),
        "user:anna": Who("Anna"),
        "user:ben": Who("ben@example.com"),
        "user:cleo": Who(CLEO),
        "token:host": Who("host", "API"),
        "system:import": Who("import", "system"),
        "odd": Who("odd"),
    }
    assert history.who(session, []) == {}


# The logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["user_step_events", "audit_log"])
@pytest.mark.parametrize("change", ["UPDATE {} SET actor = 'somebody else'", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_rewrite_a_log(session: Session, table: str, change: str) -> None:
    a_step(session)
    a_person(session)
    a_save(session)
    before = snapshot(session)
    with pytest.raises(DBAPIError, match=rf"{table}(_\d+)? is append-only"), session.begin_nested():
        session.execute(text(change.format(table)))
    assert snapshot(session) == before


def test_every_change_by_staff_is_in_the_audit_log(session: Session) -> None:
    a_step(session, weight=10)
    a_draft(session, weight=20)
    releases.release(session, MAYA, STEP, note="heavier")
    releases.roll_back(session, MAYA, STEP)
    releases.withdraw(session, MAYA, STEP)
    releases.restore(session, MAYA, STEP)
    draft = drafts.start(session, MAYA, STEP)
    drafts.discard(session, MAYA, STEP, draft.row_version)
    log = session.execute(text("SELECT action, actor, changes, note FROM audit_log ORDER BY id")).all()
    assert [entry.action for entry in log] == [
        "step.create",
        "release.publish",
        "draft.start",
        "draft.save",
        "release.migrate",
        "release.rollback",
        "release.withdraw",
        "release.restore",
        "draft.start",
        "draft.discard",
    ]
    assert {entry.actor for entry in log} == {MAYA.key}
    assert log[3].changes == {"weight": [10, 20]}
    assert (log[4].changes, log[4].note) == ({"version": [1, 2]}, "heavier")
