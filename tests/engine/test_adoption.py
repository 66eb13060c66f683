"""Adoption of a database in the original's schema, and then the main job on what came in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.onboarding import (
    activity,
    adoption,
    adoption_source,
    drafts,
    erasure,
    everybody,
    history,
    invariants,
    loading,
    past,
    people,
    progress,
    releases,
    steps,
    user_steps,
)
from dashboard.onboarding.activity_filter import ActivityFilter
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.adoption_source import Unreachable
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.errors import Conflict, Invalid, Refused
from dashboard.onboarding.loading import BadRows, Imported, Problem
from tests.conftest import url_of
from tests.databases import remove, sent
from tests.factories import ANNA, BEN, CLEO, MAYA, SAM, a_draft, a_person, a_save, a_step, snapshot

IMPORTER = Actor("system:import", "import")
PAY, TEAM = "setup-payments", "inviteTeam"
WHEN = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

DEFINITIONS = """
CREATE TABLE onboarding_step_definitions (
    step_id text, version int, title text NOT NULL, description text, weight int, is_active boolean,
    created_at timestamptz, PRIMARY KEY (step_id, version))
"""
ROWS = """
CREATE TABLE user_onboarding (
    user_id text, step_id text, version int, status text, row_version int, updated_at timestamptz)
"""


@pytest.fixture
def session(committing_session: Session) -> Session:
    return committing_session


class Original:
    """A database as the original system left it; rows have no key, so that broken ones can be made too."""

    def __init__(self, connection: psycopg.Connection[Any], url: str) -> None:
        self.connection = connection
        self.url = url

    def define(self, step_id: str, *weights: int, active: int | None = 1, title: str = "Do it") -> None:
        """One version for each weight."""
        for number, weight in enumerate(weights, 1):
            self.connection.execute(
                "INSERT INTO onboarding_step_definitions VALUES (%s, %s, %s, 'How', %s, %s, %s)",
                [step_id, number, title, weight, number == active, WHEN - timedelta(days=100 - number)],
            )

    def row(self, *row: Any) -> None:
        """user_id, step_id, version, status, row_version, updated_at (left out: WHEN)."""
        values = (*row, WHEN)[:6]
        self.connection.execute("INSERT INTO user_onboarding VALUES (%s, %s, %s, %s, %s, %s)", values)


@pytest.fixture(scope="module")
def another_database(server: psycopg.Connection[Any]) -> Iterator[Original]:
    name = f"{os.environ['TEST_DATABASE_PREFIX']}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_old"
    server.execute(f"CREATE DATABASE {name}")
    url = libpq_url(url_of(name))
    with psycopg.connect(url, autocommit=True) as connection:
        yield Original(connection, url)
    remove(server, name)


@pytest.fixture
def original(another_database: Original) -> Original:
    """With its two tables, in which nothing is yet."""
    another_database.connection.execute("DROP TABLE IF EXISTS onboarding_step_definitions, user_onboarding")
    another_database.connection.execute(DEFINITIONS)
    another_database.connection.execute(ROWS)
    return another_database


def adopt(session: Session, original: Original) -> Imported:
    return adoption.adopt(session, IMPORTER, original.url)


def broken(session: Session) -> list[tuple[str, tuple[str, ...]]]:
    return [(check.promise, check.examples) for check in invariants.check(session) if not check.holds]


def told(session: Session, user_id: str, step_id: str) -> list[tuple[str, int, str]]:
    changes = history.changes_since(session, user_id, step_id, -100)
    return [(change.kind, change.row_version, change.to_status) for change in changes]


# What comes in -------------------------------------------------------------------------------------------------------


def test_every_version_becomes_a_release_and_the_active_one_is_live(session: Session, original: Original) -> None:
    original.define(PAY, 10, 20, 30, active=3)
    original.define(TEAM, 5)
    done = adopt(session, original)
    assert (done.steps, done.releases, done.new_people) == (2, 4, 0)
    assert [(one.step_id, one.live.version if one.live else None) for one in steps.checklist(session)] == [
        (TEAM, 1),
        (PAY, 3),
    ]
    made = history.releases_of(session)[PAY]
    assert [(one.kind, one.version) for one in made] == [("publish", 1), ("migrate", 2), ("migrate", 3)]
    assert [one.released_at for one in made] == [WHEN - timedelta(days=100 - number) for number in (1, 2, 3)]
    assert broken(session) == []


def test_row_version_status_and_time_are_kept(session: Session, original: Original) -> None:
    original.define(PAY, 60, 60, active=2)
    original.define(TEAM, 40)
    rows = [(ANNA, PAY, 2, "done", 7), (ANNA, TEAM, 1, "in_progress", 1), (BEN, PAY, 2, "skipped", 1)]
    for row in rows:
        original.row(*row)
    original.row(BEN, TEAM, 1, "todo", 3)
    assert adopt(session, original).statuses == 4
    view = session.execute(text("SELECT * FROM user_onboarding ORDER BY user_id, step_id")).all()
    assert [(row.user_id, row.step_id, row.step_version, row.status, row.row_version) for row in view] == sorted(
        [*rows, (BEN, TEAM, 1, "todo", 3)]
    )
    assert {row.updated_at for row in view} == {WHEN}
    anna = people.find(session, ANNA)
    assert (anna.progress, anna.name, anna.created_at, anna.last_activity_at) == (60, "", WHEN, WHEN)
    assert broken(session) == []


def test_a_row_of_an_older_version_is_recorded_under_that_release(session: Session, original: Original) -> None:
    original.define(PAY, 10, 10, 10, active=3)
    original.row(ANNA, PAY, 1, "done", 5)
    original.row(BEN, PAY, 1, "in_progress", 5)
    original.row(CLEO, PAY, 2, "in_progress", 1)
    adopt(session, original)
    found = {user: user_steps.step_of(session, user, PAY) for user in (ANNA, BEN, CLEO)}
    assert {user: step.row_version for user, step in found.items()} == {ANNA: 5, BEN: 5, CLEO: 1}
    assert {user: step.status for user, step in found.items()} == {ANNA: "done", BEN: "todo", CLEO: "todo"}
    assert told(session, BEN, PAY) == [("event", 3, "in_progress"), ("release", 4, "todo"), ("release", 5, "todo")]
    releases.roll_back(session, MAYA, PAY)
    assert user_steps.step_of(session, CLEO, PAY).status == "in_progress"
    assert broken(session) == []


def test_an_older_active_version_is_a_rollback(session: Session, original: Original) -> None:
    original.define(PAY, 10, 20, 30, active=1)
    original.row(ANNA, PAY, 1, "in_progress", 4)
    original.row(BEN, PAY, 3, "in_progress", 4)
    original.row(CLEO, PAY, 2, "done", 2)
    adopt(session, original)
    made = history.releases_of(session)[PAY]
    assert [(one.kind, one.version) for one in made[3:]] == [("rollback", 2), ("rollback", 1)]
    step = steps.get(session, PAY)
    assert step.live
    assert (step.live.version, step.live.fields.weight) == (1, 10)
    found = [user_steps.step_of(session, user, PAY) for user in (ANNA, BEN, CLEO)]
    assert [(one.status, one.row_version) for one in found] == [("in_progress", 4), ("in_progress", 4), ("done", 2)]
    assert broken(session) == []


def test_a_step_without_an_active_version_comes_in_withdrawn(session: Session, original: Original) -> None:
    original.define(PAY, 10, active=None)
    original.row(ANNA, PAY, 1, "done", 2)
    adopt(session, original)
    assert steps.get(session, PAY).withdrawn
    assert user_steps.step_of(session, ANNA, PAY).row_version == 2
    releases.restore(session, MAYA, PAY)
    assert user_steps.step_of(session, ANNA, PAY).status == "done"
    assert broken(session) == []


def test_whoever_did_everything_is_finished_since_then(session: Session, original: Original) -> None:
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "skipped", 2)
    adopt(session, original)
    assert people.find(session, ANNA).finished_at == WHEN


@pytest.mark.parametrize(
    ("made", "seen", "released"),
    [
        ((None, None), (None, 50), (50, 50)),
        ((None, None), (60, 50), (50, 50)),
        ((None, None), (40, 50), (40, 50)),
        ((None, None), (50, None), (50, 100)),
        ((None, 30), (50, 50), (30, 30)),
        ((40, None), (50, 30), (40, 40)),
        ((40, 30), (None, None), (40, 40)),
        ((40, 900), (None, None), (40, 100)),
    ],
)
def test_no_release_comes_before_the_one_before_it_whatever_is_known_of_their_times(
    session: Session,
    original: Original,
    made: tuple[int | None, ...],
    seen: tuple[int | None, ...],
    released: tuple[int, ...],
) -> None:
    """In days, of which today is the 100th: when its two versions were made there, and the one row of each was written."""
    today = session.execute(text("SELECT now()")).scalar_one()

    def day(number: int | None) -> datetime | None:
        return None if number is None else today + timedelta(days=number - 100)

    original.define(PAY, 10, 10, active=2)
    for version, (made_on, seen_on) in enumerate(zip(made, seen, strict=True), 1):
        change = "UPDATE onboarding_step_definitions SET created_at = %s WHERE version = %s"
        original.connection.execute(change, [day(made_on), version])
        if seen_on:
            original.row(f"user-{version}", PAY, version, "done", 3, day(seen_on))
    adopt(session, original)
    assert [one.released_at for one in history.releases_of(session)[PAY]] == [day(one) for one in released]
    assert broken(session) == []


def test_the_past_of_somebody_adopted_is_told_where_no_definition_has_a_time(
    session: Session, original: Original
) -> None:
    original.define(PAY, 10, 10, active=2)
    original.connection.execute("UPDATE onboarding_step_definitions SET created_at = NULL")
    original.row(ANNA, PAY, 2, "done", 3)
    adopt(session, original)
    then = past.as_of(session, ANNA, WHEN + timedelta(hours=1))
    assert (then.person.progress, [(one.status, one.row_version) for one in then.steps]) == (100, [("done", 3)])


def test_the_activity_of_an_adopted_database_is_paged_through(session: Session, original: Original) -> None:
    original.define(PAY, 10, 10, 10, active=3)
    for number in range(7):
        original.row(f"user-{number}", PAY, 1 + number % 3, "done", 1)
    adopt(session, original)
    assert session.scalar(text("SELECT min(row_version) FROM user_step_events")) == -1
    statuses = ActivityFilter(what="statuses")
    page = activity.page(session, statuses, None, 2)
    told, back = list(page.entries), list(page.entries)
    while page.older:
        page = activity.page(session, statuses, page.older, 2)
        told += page.entries
    assert told == list(activity.stream(session, statuses))
    assert len(told) == 7
    back = list(page.entries)
    while page.newer:
        page = activity.page(session, statuses, page.newer, 2)
        back = [*page.entries, *back]
    assert back == told


def test_whoever_was_to_finish_again_and_does_by_the_adoption_stays_finished(
    session: Session, original: Original
) -> None:
    a_step(session, "of-ours")
    for user_id in (ANNA, BEN):
        a_person(session, user_id)
    a_save(session, step_id="of-ours")
    a_draft(session, "of-ours")
    releases.release(session, MAYA, "of-ours", Policy(done=False), reopens_finished=True)
    a_step(session, "later")
    releases.withdraw(session, MAYA, "of-ours")
    releases.withdraw(session, MAYA, "later")
    original.define(PAY, 10)
    # of whom the last one is new here
    everybody = (ANNA, BEN, CLEO)
    for user_id in everybody:
        original.row(user_id, PAY, 1, "done", 3)
    assert not people.find(session, ANNA).finished
    adopt(session, original)
    a_step(session, "newer")
    found = [people.find(session, user_id) for user_id in everybody]
    assert [(one.progress, one.finished) for one in found] == [(50, True)] * 3
    assert broken(session) == []


def test_extra_columns_are_used_or_passed_over(session: Session, original: Original) -> None:
    alter = "ALTER TABLE onboarding_step_definitions"
    original.connection.execute(f"{alter} ADD action_url text DEFAULT '/pay', ADD position int, ADD icon bytea")
    original.connection.execute("ALTER TABLE user_onboarding ADD created_at timestamptz, ADD id bigserial")
    original.define(PAY, 10)
    original.define("another", 10)
    original.connection.execute("UPDATE onboarding_step_definitions SET position = length(step_id)")
    original.row(ANNA, PAY, 1, "done", 2)
    original.connection.execute("UPDATE user_onboarding SET created_at = updated_at - interval '1 day'")
    adopt(session, original)
    first, second = steps.checklist(session)
    assert (first.step_id, second.step_id, second.latest.fields.action_url) == ("another", PAY, "/pay")
    assert people.find(session, ANNA).created_at == WHEN - timedelta(days=1)


def test_people_and_steps_that_are_here_already_stay(session: Session, original: Original) -> None:
    a_step(session, "of-ours", weight=10)
    a_person(session)
    a_save(session, step_id="of-ours")
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 4)
    original.row(BEN, PAY, 1, "done", 4)
    done = adopt(session, original)
    assert (done.new_people, done.updated_people) == (1, 1)
    anna = people.find(session, ANNA)
    assert (anna.name, anna.progress, anna.finished) == ("Anna", 100, True)
    assert broken(session) == []


@pytest.mark.parametrize("many", [1, 1_000_000])
def test_only_a_large_load_takes_the_keys_off_and_puts_them_back(
    session: Session, original: Original, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(loading, "MANY_ROWS", many)
    monkeypatch.setattr("dashboard.onboarding.adoption_source.BLOCK_BYTES", 100)
    original.define(PAY, 10)
    for number in range(50):
        original.row(f"user-{number}", PAY, 1, "done", 1 + number)
    keys = text("SELECT conname FROM pg_constraint WHERE conrelid = 'user_steps'::regclass ORDER BY 1")
    before = session.scalars(keys).all()
    with sent(session.connection(), "user_steps DROP CONSTRAINT") as taken_off:
        assert adopt(session, original).statuses == 50
    assert bool(taken_off) == (many == 1)
    assert session.scalars(keys).all() == before
    assert broken(session) == []


@pytest.mark.one_server("a cluster counts those who were there already as added, and is stopped by a key")
@pytest.mark.parametrize(("many", "new"), [(1, 1), (1_000_000, None)])
def test_somebody_who_is_added_meanwhile_is_known_to_a_large_load_and_stops_a_small_one(
    session: Session,
    original: Original,
    connect: Callable[[], psycopg.Connection[Any]],
    monkeypatch: pytest.MonkeyPatch,
    many: int,
    new: int | None,
) -> None:
    monkeypatch.setattr(loading, "MANY_ROWS", many)
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 4)
    original.row(BEN, PAY, 1, "done", 4)
    other = connect()
    other.execute("INSERT INTO onboarding_users (user_id, name) VALUES (%s, 'Anna')", [ANNA])
    other.execute(people.index())
    with ThreadPoolExecutor(1) as pool:
        adopting = pool.submit(adopt, session, original)
        wait([adopting], 1)
        assert not adopting.done(), "the adoption must wait for whoever is being added"
        other.commit()
        if new is None:
            with pytest.raises(Refused, match="was just added by someone else"):
                adopting.result(10)
            return
        assert adopting.result(10).new_people == new
    anna = people.find(session, ANNA)
    assert (anna.name, anna.progress, anna.finished) == ("Anna", 100, True)
    assert broken(session) == []


@pytest.mark.one_server("a node of a cluster tells another error")
def test_somebody_who_is_erased_meanwhile_stops_an_adoption(
    session: Session, database: Database, original: Original
) -> None:
    a_person(session)
    session.commit()
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 4)

    def tell(stage: str, _done: int, _total: int | None) -> None:
        if stage == "Adding their steps":
            with database.transaction() as other:
                erasure.erase(other, SAM, ANNA, ANNA)

    with pytest.raises(Refused, match="was just erased by someone else"):
        adoption.adopt(session, IMPORTER, original.url, progress=tell)


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "where", "reason"),
    [
        ((BEN, "unknown", 1, "done", 1), "ben / unknown", "there is no such step"),
        ((BEN, PAY, 9, "done", 1), "ben / setup-payments", "the step has no version 9"),
        ((BEN, PAY, None, "done", 1), "ben / setup-payments", "the step has no version null"),
        (
            (BEN, PAY, 1, "finished", 1),
            "ben / setup-payments",
            "'finished' is not a status; use todo, in_progress, skipped, done",
        ),
        ((BEN, PAY, 1, None, 1), "ben / setup-payments", "null is not a status; use todo, in_progress, skipped, done"),
        (
            (BEN, PAY, 1, "done", 0),
            "ben / setup-payments",
            "row_version is 0, not a whole number from 1 to 2,000,000,000",
        ),
        (
            (BEN, PAY, 1, "done", -3),
            "ben / setup-payments",
            "row_version is -3, not a whole number from 1 to 2,000,000,000",
        ),
        (
            (BEN, PAY, 1, "done", None),
            "ben / setup-payments",
            "row_version is null, not a whole number from 1 to 2,000,000,000",
        ),
        (
            (BEN, PAY, 1, "done", 2_000_000_001),
            "ben / setup-payments",
            "row_version is 2000000001, not a whole number from 1 to 2,000,000,000",
        ),
        (("", PAY, 1, "done", 1), " / setup-payments", "user_id is required"),
        ((None, PAY, 1, "done", 1), "None / setup-payments", "user_id is required"),
        (("\u00a0", PAY, 1, "done", 1), "\u00a0 / setup-payments", "user_id has a blank at its beginning or end"),
        (
            ("x" * 201, PAY, 1, "done", 1),
            f"{'x' * 201} / setup-payments",
            "user_id must be at most 200 characters, not 201",
        ),
        ((BEN, PAY, 1, "done", 1, "infinity"), "ben / setup-payments", "updated_at is not a time"),
        ((BEN, PAY, 1, "done", 1, "20000-01-01"), "ben / setup-payments", "updated_at is not a time"),
        ((BEN, PAY, 1, "done", 1, "0044-03-15 BC"), "ben / setup-payments", "updated_at is not a time"),
        ((ANNA, PAY, 1, "todo", 2), "anna / setup-payments", "has 2 rows"),
    ],
)
def test_a_bad_row_is_named_with_its_reason_and_nothing_comes_in(
    session: Session, original: Original, row: tuple[Any, ...], where: str, reason: str
) -> None:
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 2)
    original.row(*row)
    before = snapshot(session)
    session.commit()
    with pytest.raises(BadRows) as refused:
        adopt(session, original)
    session.rollback()
    assert refused.value.listed == (Problem(where, reason),)
    assert refused.value.total == 1
    assert snapshot(session) == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE user_onboarding", "user_onboarding: is not in that database"),
        ("ALTER TABLE user_onboarding DROP COLUMN row_version", "user_onboarding: has no column row_version"),
        ("DELETE FROM onboarding_step_definitions", "onboarding_step_definitions: is empty"),
        (
            "UPDATE onboarding_step_definitions SET weight = 0",
            "setup-payments version 1: weight: must be a whole number",
        ),
        ("UPDATE onboarding_step_definitions SET title = ''", "setup-payments version 1: title: is required"),
        ("UPDATE onboarding_step_definitions SET version = -1", "setup-payments: must have each version once, from 1"),
        ("UPDATE onboarding_step_definitions SET step_id = 'a/b'", "a/b: is not a step_id"),
        (
            "UPDATE onboarding_step_definitions SET step_id = 'new'",
            "new: is reserved for the page that creates a step",
        ),
        *(
            (
                "ALTER TABLE onboarding_step_definitions DROP CONSTRAINT onboarding_step_definitions_pkey; "
                "ALTER TABLE onboarding_step_definitions ALTER step_id DROP NOT NULL, ALTER version DROP NOT NULL; "
                f"INSERT INTO onboarding_step_definitions VALUES ({broken}, 'x', '', 5, false, now())",
                "onboarding_step_definitions: has a definition without a step_id or without a version",
            )
            for broken in ("NULL, 1", "'setup-payments', NULL", "NULL, NULL")
        ),
        (
            "INSERT INTO onboarding_step_definitions VALUES ('setup-payments', 2, 'x', '', 5, true, now())",
            "setup-payments: has more than one active version",
        ),
    ],
)
def test_a_database_that_cannot_be_adopted_is_refused(
    session: Session, original: Original, sql: str, said: str
) -> None:
    original.define(PAY, 10)
    original.connection.execute(sql)
    before = snapshot(session)
    session.commit()
    with pytest.raises(Invalid) as refused:
        adopt(session, original)
    session.rollback()
    assert said in str(refused.value)
    assert snapshot(session) == before


def test_a_step_that_is_here_already_is_refused(session: Session, original: Original) -> None:
    a_step(session, PAY)
    original.define(PAY, 10)
    with pytest.raises(Invalid, match="setup-payments: already exists"):
        adopt(session, original)


def test_of_two_adoptions_at_once_the_second_finds_the_steps_here(
    session: Session, database: Database, original: Original
) -> None:
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 4)
    with ThreadPoolExecutor(1) as pool:
        adopt(session, original)
        with database.transaction() as other:
            second = pool.submit(adopt, other, original)
            wait([second], 0.5)
            assert not second.done(), "the second must wait for the first"
            session.commit()
            with pytest.raises(Invalid, match="setup-payments: already exists"):
                second.result(10)
            other.rollback()


def test_a_step_that_is_made_here_meanwhile_is_refused(
    session: Session, database: Database, original: Original, monkeypatch: pytest.MonkeyPatch
) -> None:
    original.define(PAY, 10)

    def first_seen(_session: Session) -> dict[tuple[str, int], datetime]:
        with database.transaction() as other:
            drafts.create(other, MAYA, PAY, {"title": "Do it"})
        return {}

    monkeypatch.setattr(adoption, "_first_seen", first_seen)
    original.connection.execute("UPDATE onboarding_step_definitions SET created_at = NULL")
    with pytest.raises(Invalid, match="setup-payments: already exists"):
        adopt(session, original)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("text", "is_active::text"),
        ("text", "CASE WHEN is_active THEN 'T' ELSE 'F' END"),
        ("smallint", "is_active::int"),
    ],
)
def test_what_is_active_may_be_said_as_a_text_or_a_number(
    session: Session, original: Original, kind: str, told: str
) -> None:
    original.define(PAY, 10, 20, active=1)
    original.connection.execute(f"ALTER TABLE onboarding_step_definitions ALTER is_active TYPE {kind} USING {told}")
    adopt(session, original)
    assert [one.live and one.live.version for one in steps.checklist(session)] == [1]


def test_a_weight_may_be_a_number_in_a_text(session: Session, original: Original) -> None:
    original.define(PAY, 10)
    original.connection.execute("ALTER TABLE onboarding_step_definitions ALTER weight TYPE text USING weight || '.0'")
    adopt(session, original)
    assert [one.live and one.live.fields.weight for one in steps.checklist(session)] == [10]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER is_active TYPE text USING 'T'", "setup-payments: has more than one active version"),
        (
            "ALTER is_active TYPE text USING 'maybe'",
            "setup-payments version 1: is_active: 'maybe' is neither true nor false",
        ),
        (
            "ALTER weight TYPE text USING 'ten'",
            "setup-payments version 1: weight: must be a whole number from 1 to 1,000",
        ),
        ("ALTER weight TYPE text USING 'Infinity'", "setup-payments version 1: weight: must be a whole number"),
        ("ALTER created_at TYPE timestamptz USING 'infinity'", "setup-payments version 1: created_at: is not a time"),
        (
            "DROP CONSTRAINT onboarding_step_definitions_pkey, ALTER version TYPE text USING 'one'",
            'onboarding_step_definitions.version: can\'t be adopted: invalid input syntax for type integer: "one"',
        ),
        (
            "ALTER created_at TYPE boolean USING true",
            "onboarding_step_definitions.created_at: can't be adopted: cannot cast type boolean to timestamp",
        ),
    ],
)
def test_a_definition_that_cannot_be_read_is_named(
    session: Session, original: Original, change: str, told: str
) -> None:
    original.define(PAY, 10, 10)
    original.connection.execute(f"ALTER TABLE onboarding_step_definitions {change}")
    with pytest.raises(Invalid) as refused:
        adopt(session, original)
    assert str(refused.value).startswith(told)


def test_a_column_of_rows_that_cannot_be_read_is_named(session: Session, original: Original) -> None:
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 2)
    original.connection.execute("ALTER TABLE user_onboarding ALTER row_version TYPE text USING 'two'")
    with pytest.raises(Invalid) as refused:
        adopt(session, original)
    assert str(refused.value) == (
        'user_onboarding.row_version: can\'t be adopted: invalid input syntax for type bigint: "two"'
    )


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "not an address"])
def test_a_database_that_cannot_be_reached_says_why(session: Session, url: str) -> None:
    with pytest.raises(Unreachable, match="can't be read"):
        adoption.adopt(session, IMPORTER, url)


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ("char(1)", psycopg.errors.StringDataRightTruncation),
        ("text CHECK (pg_sleep(2) IS NOT NULL)", psycopg.errors.QueryCanceled),
    ],
)
def test_what_fails_here_is_not_told_of_the_other_database(
    session: Session, original: Original, monkeypatch: pytest.MonkeyPatch, column: str, fault: type[psycopg.Error]
) -> None:
    stage = adoption_source.stage
    monkeypatch.setattr(
        adoption_source,
        "stage",
        lambda session, table, definition: stage(
            session, table, definition.replace("user_id text", f"user_id {column}")
        ),
    )
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 2)
    session.execute(text("SET LOCAL statement_timeout = '200ms'"))
    with pytest.raises(DBAPIError) as failed:
        adopt(session, original)
    assert isinstance(failed.value.orig, fault)


# The main job on what came in ----------------------------------------------------------------------------------------


@pytest.fixture
def adopted(session: Session, original: Original) -> Original:
    """200 people: 100 done, 50 in progress, 50 not started, as in the original's own example; two versions so far."""
    original.define(PAY, 20, 20, active=2)
    original.define(TEAM, 80)
    for number in range(100):
        original.row(f"done-{number}", PAY, 2, "done", 1 + number % 3)
    for number in range(50):
        original.row(f"busy-{number}", PAY, 2, "in_progress", 2)
        original.row(f"idle-{number}", TEAM, 1, "todo", 1)
    adopt(session, original)
    session.commit()
    return original


@pytest.mark.usefixtures("adopted")
def test_edit_preview_release_fix_and_roll_back(session: Session) -> None:
    a_draft(session, PAY, title="Set up payments and payouts", weight=30)
    with releases.dry_run(session):
        previewed = releases.release(session, MAYA, PAY).impact
    done = releases.release(session, MAYA, PAY).impact
    assert (
        (done.copied, done.reset, done.untouched)
        == (100, 50, 50)
        == (
            previewed.copied,
            previewed.reset,
            previewed.untouched,
        )
    )
    assert broken(session) == []

    fixed = progress.save(session, SAM, "busy-0", PAY, "done", 3, comment="Did it on the phone.")
    assert fixed.row_version == 4
    assert broken(session) == []

    back = releases.roll_back(session, MAYA, PAY).impact
    assert (back.restored, back.kept_later) == (49, 1)
    assert everybody.overview(session).funnel[PAY] == {"done": 101, "skipped": 0, "in_progress": 49, "todo": 50}
    assert user_steps.step_of(session, "busy-1", PAY).row_version == 4
    assert broken(session) == []


@pytest.mark.usefixtures("adopted")
def test_a_page_opened_before_a_release_conflicts_and_says_what_came(session: Session) -> None:
    a_draft(session, PAY, title="New words")
    releases.release(session, MAYA, PAY)
    with pytest.raises(Conflict) as refused:
        progress.save(session, SAM, "busy-0", PAY, "done", 2)
    assert [(change.kind, change.row_version) for change in refused.value.changes] == [("release", 3)]


@pytest.mark.usefixtures("adopted")
def test_a_conflict_on_a_row_that_came_in_low_names_only_what_came_after(session: Session) -> None:
    """done-0 came in at 1 under release 2: releases before it came in are not changes of it."""
    progress.save(session, SAM, "done-0", PAY, "todo", 1)
    with pytest.raises(Conflict) as refused:
        progress.save(session, SAM, "done-0", PAY, "skipped", 1)
    assert [(change.kind, change.row_version) for change in refused.value.changes] == [("event", 2)]


@pytest.mark.parametrize(
    "user_id",
    [
        *("", " ", "\t", "\u00a0", " ada", "ada ", "ada\n", "\u2028ada", "\u3000", " " * 201, "x" * 201, "x" * 1201),
        *("erased-", "erased-0123456789ab"),
    ],
)
def test_nobody_comes_in_by_an_id_that_nobody_can_have(session: Session, original: Original, user_id: str) -> None:
    original.define(PAY, 10)
    original.row(user_id, PAY, 1, "done", 1)
    with pytest.raises(Invalid) as problem:
        people.put(session, MAYA, user_id)
    with pytest.raises(BadRows) as refused:
        adopt(session, original)
    assert refused.value.listed == (Problem(f"{user_id} / {PAY}", f"user_id {problem.value.problems['user_id']}"),)


def test_every_blank_is_known_to_be_one() -> None:
    assert [one for one in map(chr, range(sys.maxunicode + 1)) if one.isspace()] == list(people.BLANKS)


def test_what_is_dated_later_than_now_counts_as_of_now(session: Session, original: Original) -> None:
    original.define(PAY, 10)
    original.connection.execute("ALTER TABLE user_onboarding ADD COLUMN created_at timestamptz")
    original.row(ANNA, PAY, 1, "done", 1, "9000-01-01")
    original.connection.execute("UPDATE user_onboarding SET created_at = updated_at")
    adopt(session, original)
    anna = people.find(session, ANNA)
    now = session.scalar(text("SELECT now()"))
    assert (anna.created_at, anna.last_activity_at, anna.finished_at, anna.finished) == (now, now, now, True)
    assert broken(session) == []
    a_draft(session, PAY, title="Do it again")
    releases.release(session, MAYA, PAY, Policy(done=False), reopens_finished=True)
    assert not people.find(session, ANNA).finished


@pytest.mark.parametrize("moment", ["-infinity", "infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_row_that_was_made_at_no_moment_is_named(session: Session, original: Original, moment: str) -> None:
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 2)
    original.connection.execute("ALTER TABLE user_onboarding ADD COLUMN created_at timestamptz")
    original.connection.execute("UPDATE user_onboarding SET created_at = %s", [moment])
    with pytest.raises(BadRows) as refused:
        adopt(session, original)
    assert refused.value.listed == (Problem("anna / setup-payments", "created_at is not a time"),)


def test_a_conflict_tells_what_became_of_a_row_whose_step_was_withdrawn_there(
    session: Session, original: Original
) -> None:
    original.define(PAY, 10, active=None)
    original.row(ANNA, PAY, 1, "done", 1)
    adopt(session, original)
    releases.restore(session, MAYA, PAY)
    with pytest.raises(Conflict) as stale:
        progress.save(session, SAM, ANNA, PAY, "skipped", 1)
    assert [(one.row_version, one.kind, one.from_status, one.to_status) for one in stale.value.changes] == [
        (2, "release", "done", "done")
    ]
    assert [one.release.kind for one in stale.value.changes if one.release] == ["restore"]


# What is told of the past afterwards -----------------------------------------------------------------------------------


def finished(person: people.Person) -> tuple[int, bool, datetime | None]:
    return person.progress, person.finished, person.finished_at


def seen_now(database: Database, user_id: str = ANNA) -> tuple[datetime, tuple[int, bool, datetime | None]]:
    """A moment that is over when the next transaction begins, and what the page said at it."""
    with database.transaction() as session:
        return session.execute(text("SELECT clock_timestamp()")).scalar_one(), finished(people.find(session, user_id))


def is_still_told(database: Database, *seen: tuple[datetime, tuple[int, bool, datetime | None]]) -> None:
    with database.transaction() as session:
        told = [(moment, finished(past.as_of(session, ANNA, moment).person)) for moment, _ in seen]
        assert told == list(seen)
        assert broken(session) == []


def everybody_is_asked_again(database: Database, step_id: str) -> None:
    with database.transaction() as session:
        a_draft(session, step_id, title="Do it again")
        releases.release(session, MAYA, step_id, reopens_finished=True)


def saves(database: Database, step_id: str, status: str = "done") -> None:
    with database.transaction() as session:
        a_save(session, status, step_id=step_id)


def everything_here_is_done(database: Database) -> None:
    """By Anna: the one step that there is."""
    with database.transaction() as session:
        a_step(session, "of-ours")
        a_person(session)
    saves(database, "of-ours")


def comes_in(database: Database, original: Original) -> None:
    with database.transaction() as session:
        adopt(session, original)


def test_nobody_is_found_to_have_finished_in_the_other_database(database: Database, original: Original) -> None:
    """Anna had done everything that was there when she did it; here that was half of what there was."""
    original.define(PAY, 10)
    original.define(TEAM, 10)
    original.connection.execute(
        "UPDATE onboarding_step_definitions SET created_at = %s WHERE step_id = %s", [WHEN + timedelta(days=9), TEAM]
    )
    original.row(ANNA, PAY, 1, "done", 1)
    comes_in(database, original)
    seen = seen_now(database)
    assert seen[1] == (50, False, None)
    is_still_told(database, seen)
    saves(database, TEAM)
    is_still_told(database, seen)


def test_who_had_finished_before_a_step_was_adopted_is_still_told_to_have(
    database: Database, original: Original
) -> None:
    everything_here_is_done(database)
    before = seen_now(database)
    original.define(TEAM, 10)
    comes_in(database, original)
    after = seen_now(database)
    assert after[1] == (50, True, before[1][2])
    everybody_is_asked_again(database, "of-ours")
    reopened = seen_now(database)
    saves(database, TEAM)
    assert seen_now(database)[1][:2] == (100, True)
    is_still_told(database, after, reopened)
    with database.transaction() as session:
        # her one step of then, and the adopted one as it was dated
        assert finished(past.as_of(session, ANNA, before[0]).person) == (50, True, before[1][2])


@pytest.mark.parametrize("version", [1, 2])
def test_who_finished_by_the_adoption_is_told_to_have_since_what_they_did_last(
    database: Database, original: Original, version: int
) -> None:
    """Of one step there the newer version is taken back, and another one is withdrawn."""
    original.define(PAY, 10, 20, active=1)
    original.define("gone", 10, active=None)
    original.define(TEAM, 10)
    original.row(ANNA, PAY, version, "done", 1, WHEN - timedelta(days=3))
    original.row(ANNA, TEAM, 1, "skipped", 1)
    comes_in(database, original)
    seen = [seen_now(database)]
    assert seen[0][1] == (100, True, WHEN)
    everybody_is_asked_again(database, TEAM)
    saves(database, TEAM, "todo")
    seen.append(seen_now(database))
    saves(database, TEAM)
    is_still_told(database, *seen)
    with database.transaction() as session:
        # between what they did last there and the adoption
        assert past.as_of(session, ANNA, WHEN + timedelta(days=9)).person.finished_at == WHEN


def test_who_was_to_finish_again_and_did_by_the_adoption_is_told_to_have_since_then(
    database: Database, original: Original
) -> None:
    everything_here_is_done(database)
    everybody_is_asked_again(database, "of-ours")
    with database.transaction() as session:
        releases.withdraw(session, MAYA, "of-ours")
    original.define(PAY, 10)
    original.row(ANNA, PAY, 1, "done", 1)
    comes_in(database, original)
    seen = [seen_now(database)]
    everybody_is_asked_again(database, PAY)
    saves(database, PAY, "todo")
    seen.append(seen_now(database))
    saves(database, PAY)
    is_still_told(database, *seen)


def test_when_somebody_was_active_last_is_told_of_a_moment_before_the_adoption(
    database: Database, original: Original
) -> None:
    """Their row is of a version that the adoption went back to."""
    original.define(PAY, 10, 20, active=1)
    original.row(ANNA, PAY, 1, "done", 1)
    comes_in(database, original)

    def told() -> datetime | None:
        with database.transaction() as session:
            return past.as_of(session, ANNA, WHEN + timedelta(days=1)).person.last_activity_at

    assert told() == WHEN
    saves(database, PAY, "todo")
    assert told() == WHEN


def test_adopted_steps_stand_after_those_that_were_here(database: Database, original: Original) -> None:
    ours = ["first", "second"]
    with database.transaction() as session:
        for step_id in ours:
            a_step(session, step_id)
        a_person(session)
    before, _ = seen_now(database)
    with database.transaction() as session:
        steps.reorder(session, MAYA, ours[::-1], ours)
    original.define(PAY, 10)
    original.define(TEAM, 10)
    comes_in(database, original)
    with database.transaction() as session:
        here = ["second", "first", TEAM, PAY]
        steps.reorder(session, MAYA, [PAY, TEAM, "second", "first"], here)
    with database.transaction() as session:
        assert [step.step_id for step in past.as_of(session, ANNA, before).steps] == [*ours, TEAM, PAY]
