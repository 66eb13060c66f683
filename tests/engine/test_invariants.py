"""The check of stored data: it holds on what the engine writes, and names each kind of damage."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import invariants, people, releases
from tests.conftest import Build
from tests.factories import ANNA, BEN, CLEO, MAYA, OTHER, STEP, a_person, a_release, a_save, a_step

LISTS = "A person's lists of releases are what their rows say"
FOUND = "Everyone is in the search index under their current name"
OWN = "A status is recorded under a release of its own step"
COUNTS = "A row_version that counts is at least 1"
GAPLESS = "Row versions of a step have no gap and no repeat: each is one event or one release"
NEWEST_EVENT = "What a row says is what its newest event says, and every row has one"
STARTS = "An event starts from the status that counted just before it"
NEWEST_RELEASE = "A step's current release is its newest"
LIVE = "A live step has exactly one active version, the released one; any other step has none"
WEIGHT = "A step's weight is that of its live version"
NUMBERED = "Releases of a step are numbered 1, 2, 3 ... in the order of their ids"
FOLLOWS = "What each release is, undoes and goes back to follows from those before it"
IN_TIME = "Releases of a step come one after another"
NAMED = "A version is released when a release names it, and only then"
DRAFTED = "A draft's row_version is not below those of drafts before it"
RECEIPTS = "Each release has its receipt, which adds up"
GUARDED = "The database guards what is never rewritten"
TOLD = "Events tell who is there or was erased, when they were last active, and by what they finished"
FINISHED = "Whoever came to 100 % by a step of their own has finished"
DERIVED = "What each release keeps is what the policies after it say"


def eventful(session: Session) -> None:
    """Three people, one of whom does nothing, and two steps, with releases of all kinds between their writes."""
    a_step(session, STEP)
    a_step(session, OTHER)
    a_step(session, "never-released", released=False)
    a_person(session, ANNA)
    a_person(session, BEN)
    a_person(session, CLEO)
    a_save(session, "in_progress")
    a_save(session, "done", BEN)
    a_release(session)
    a_save(session, "in_progress")
    releases.roll_back(session, MAYA, STEP)
    a_save(session, "skipped", ANNA, OTHER)
    releases.withdraw(session, MAYA, OTHER)
    releases.restore(session, MAYA, OTHER)
    a_release(session)
    a_save(session, "done")


@pytest.fixture
def session(build: Build, committing_session: Session) -> Session:
    """Where all that has happened; what is damaged is named by ids, which start at 1 there."""
    build(eventful)
    return committing_session


def broken(session: Session) -> dict[str, int]:
    return {check.promise: check.broken for check in invariants.check(session) if not check.holds}


def test_everything_that_the_engine_does_holds(session: Session) -> None:
    assert broken(session) == {}


def test_a_withdrawn_step_holds(session: Session) -> None:
    releases.withdraw(session, MAYA, OTHER)
    assert broken(session) == {}


def test_an_empty_database_holds(committing_session: Session) -> None:
    assert broken(committing_session) == {}


def test_each_promise_is_told_once(session: Session) -> None:
    promises = [check.promise for check in invariants.check(session)]
    assert len(set(promises)) == len(promises) == 20


BY_HAND = "SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL session_replication_role = replica"
"""No trigger fires, and no foreign key holds: on no node either, where there are several."""
EVEN_COPIED = "SET LOCAL citus.enable_unsafe_triggers = on"
"""A cluster else leaves alone the triggers of what it copies to every node; elsewhere it says nothing to anybody."""
LONG_AGO = "UPDATE step_releases SET released_at = 'epoch'"
EVENT = (
    "INSERT INTO user_step_events (user_id, step_id, row_version, actor, source, from_status, to_status, release_id)"
)
BEN_AT = (
    f"SELECT 'ben', '{STEP}', %s, 'x', '%s', 'done', 'todo', current_release_id FROM steps WHERE step_id = '{STEP}'"
)


@pytest.mark.parametrize(
    ("damage", "promises"),
    [
        ("UPDATE onboarding_users SET done_releases = done_releases || 1 WHERE user_id = 'anna'", {LISTS}),
        ("UPDATE onboarding_users SET skipped_releases = '{}'", {LISTS}),
        ("UPDATE onboarding_users SET name = 'Bernd' WHERE user_id = 'ben'", {FOUND}),
        ("DELETE FROM user_search WHERE user_id = 'ben'", {FOUND}),
        ("UPDATE onboarding_users SET in_progress_releases = '{1}' WHERE user_id = 'ben'", {LISTS}),
        ("UPDATE user_steps SET status = 'todo' WHERE user_id = 'ben'", {LISTS, NEWEST_EVENT}),
        ("UPDATE user_steps SET row_version = row_version + 1 WHERE user_id = 'ben'", {NEWEST_EVENT}),
        ("UPDATE user_steps SET row_version = -9 WHERE user_id = 'ben'", {NEWEST_EVENT, COUNTS}),
        ("UPDATE user_steps SET updated_at = 'epoch' WHERE user_id = 'ben'", {NEWEST_EVENT}),
        ("DELETE FROM user_steps WHERE user_id = 'ben'", {LISTS, NEWEST_EVENT}),
        ("UPDATE user_steps SET release_id = 2 WHERE user_id = 'ben'", {LISTS, OWN, NEWEST_EVENT}),
        (f"{EVENT} {BEN_AT % (9, 'web')}", {GAPLESS, NEWEST_EVENT}),
        (f"{EVENT} {BEN_AT % (3, 'web')}", {GAPLESS, NEWEST_EVENT}),
        (f"{EVENT} SELECT 'ben', '{OTHER}', 7, 'x', 'web', 'todo', 'done', 2", {GAPLESS, NEWEST_EVENT}),
        (f"{EVENT} SELECT 'ben', '{OTHER}', 7, 'x', 'import', 'todo', 'done', 2", {GAPLESS, NEWEST_EVENT}),
        (f"{EVENT} SELECT 'ben', '{OTHER}', 2, 'x', 'web', 'done', 'todo', 2", {STARTS, NEWEST_EVENT}),
        (f"UPDATE steps SET current_release_id = 1 WHERE step_id = '{STEP}'", {NEWEST_RELEASE}),
        (f"UPDATE onboarding_step_definitions SET is_active = false WHERE step_id = '{STEP}'", {LIVE, WEIGHT}),
        (f"{BY_HAND}; UPDATE onboarding_step_definitions SET weight = 7 WHERE is_active", {WEIGHT}),
        ("UPDATE step_releases SET in_progress_reset_by = NULL WHERE id = 1", {DERIVED}),
        ("UPDATE step_releases SET done_reset_by = 3 WHERE id = 1", {DERIVED}),
        ("UPDATE step_releases SET done_points = 3 WHERE id = 1", {DERIVED}),
        ("UPDATE step_releases SET number = 99 WHERE id = 2", {NUMBERED, NEWEST_RELEASE}),
        ("UPDATE step_releases SET undone_by = NULL", {FOLLOWS, DERIVED}),
        (f"UPDATE step_releases SET undone_by = 2 WHERE step_id = '{STEP}' AND number = 4", {FOLLOWS}),
        (f"UPDATE step_releases SET version = 2 WHERE step_id = '{STEP}' AND number = 3", {FOLLOWS, RECEIPTS}),
        (f"UPDATE step_releases SET version = 1 WHERE step_id = '{STEP}' AND number = 4", {FOLLOWS, LIVE}),
        ("UPDATE step_releases SET kind = 'publish' WHERE kind = 'migrate'", {FOLLOWS, RECEIPTS}),
        ("UPDATE step_releases SET kind = 'publish' WHERE kind = 'rollback'", {FOLLOWS}),
        ("UPDATE step_releases SET kind = 'rollback' WHERE kind = 'restore'", {FOLLOWS}),
        ("UPDATE step_releases SET released_at = 'epoch' WHERE number = 4", {IN_TIME}),
        ("UPDATE step_releases SET receipt = NULL WHERE number = 1", {RECEIPTS}),
        ("UPDATE step_releases SET receipt = '[1]' WHERE number = 1", {RECEIPTS}),
        ("UPDATE step_releases SET receipt = jsonb_set(receipt, '{actual,reset}', '9')", {RECEIPTS}),
        ("UPDATE step_releases SET receipt = jsonb_set(receipt, '{impact,untouched}', '9')", {RECEIPTS}),
        ("UPDATE step_releases SET receipt = jsonb_set(receipt, '{impact,matrix,done,todo}', '9')", {RECEIPTS}),
        ("UPDATE step_releases SET receipt = jsonb_set(receipt, '{impact,after,bands,0}', '9')", {RECEIPTS}),
        ("UPDATE step_releases SET receipt = jsonb_set(receipt, '{version}', '9')", {RECEIPTS}),
        (
            f"{BY_HAND}; UPDATE onboarding_step_definitions SET state = 'draft' WHERE step_id = '{STEP}' AND version = 2",
            {NAMED},
        ),
        ("UPDATE onboarding_step_definitions SET state = 'released' WHERE step_id = 'never-released'", {NAMED}),
        ("UPDATE steps SET draft_row_version = 0", {DRAFTED}),
        ("UPDATE steps SET draft_row_version = 9 WHERE step_id = 'never-released'", {DRAFTED}),
        ("ALTER TABLE audit_log DISABLE TRIGGER append_only", {GUARDED}),
        ("ALTER TABLE write_conflicts ENABLE REPLICA TRIGGER not_emptied", {GUARDED}),
        (f"{EVEN_COPIED}; DROP TRIGGER not_rewritten ON onboarding_step_definitions", {GUARDED}),
        (f"{LONG_AGO}; UPDATE onboarding_users SET finished_at = NULL WHERE user_id = 'anna'", {FINISHED}),
        ("UPDATE onboarding_users SET finished_at = 'epoch' WHERE user_id = 'anna'", {TOLD}),
        (
            "UPDATE onboarding_users SET finished_at = statement_timestamp() + interval '1 day' WHERE user_id = 'anna'",
            {TOLD},
        ),
        ("UPDATE onboarding_users SET finished_at = now() WHERE user_id = 'cleo'", {TOLD}),
        ("UPDATE onboarding_users SET last_activity_at = NULL WHERE user_id = 'ben'", {TOLD}),
        ("UPDATE onboarding_users SET last_activity_at = '9000-01-01' WHERE user_id = 'ben'", {TOLD}),
        (f"{BY_HAND}; DELETE FROM user_steps; DELETE FROM onboarding_users; DELETE FROM user_search", {TOLD}),
    ],
)
def test_damage_is_found_under_its_name(session: Session, damage: str, promises: set[str]) -> None:
    for statement in damage.split("; "):
        session.execute(text(statement))
    found = broken(session)
    assert promises <= set(found), found
    assert all(found.values())


def test_what_people_are_found_by_is_put_right(session: Session) -> None:
    session.execute(text("UPDATE onboarding_users SET name = 'Bernd' WHERE user_id = 'ben'"))
    session.execute(text("DELETE FROM user_search WHERE user_id = 'anna'"))
    assert (broken(session), people.index_anew(session)) == ({FOUND: 2}, 2)
    assert (broken(session), people.index_anew(session)) == ({}, 0)


def test_a_few_are_named_and_all_are_counted(session: Session) -> None:
    for number in range(9):
        a_person(session, f"user-{number}")
        a_save(session, "done", f"user-{number}")
    session.execute(text("UPDATE onboarding_users SET done_releases = '{}' WHERE user_id LIKE 'user-%'"))
    (found,) = [check for check in invariants.check(session) if not check.holds]
    assert found.broken == 9
    assert found.examples == ("user-0", "user-1", "user-2", "user-3", "user-4")
