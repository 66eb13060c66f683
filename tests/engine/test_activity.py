"""The activity: two tables as one list, its filters, its pages, and all of it as a stream."""

from __future__ import annotations

import base64
import json
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import activity, activity_filter, releases, steps, user_steps
from dashboard.onboarding.activity import Entry
from dashboard.onboarding.activity_filter import ACTIONS, SYSTEM, WHAT, ActivityFilter
from dashboard.onboarding.actor import PEOPLE
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.history import Who
from tests.databases import sent
from tests.engine.conftest import rows_read
from tests.factories import ANNA, BEN, CLEO, HOST, MAYA, OTHER, SAM, STEP, a_person, a_release, a_save, a_step, people

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


def noted(session: Session, action: str = "draft.save", at: datetime = NOON, actor: str = MAYA.key, **more: Any) -> int:
    """An entry of the audit log as of that moment; its id."""
    entry = models.AuditEntry(action=action, at=at, actor=actor, **more)
    session.add(entry)
    session.flush()
    return entry.id


def written(
    session: Session,
    user_id: str = ANNA,
    at: datetime = NOON,
    actor: str = HOST.key,
    step_id: str = STEP,
    number: int = 2,
) -> None:
    """A change of a person's step as of that moment."""
    session.add(
        models.UserStepEvent(
            user_id=user_id,
            step_id=step_id,
            row_version=number,
            at=at,
            actor=actor,
            source="api",
            from_status="todo",
            to_status="done",
            release_id=1,
        )
    )
    session.flush()


def told(entries: Any) -> list[str]:
    """Each entry in short: its action, or whose step it was."""
    return [entry.action if entry.id else f"{entry.user_id}: {entry.step_id} {entry.row_version}" for entry in entries]


def listed(session: Session, asked: ActivityFilter = ActivityFilter()) -> list[str]:  # noqa: B008
    return told(activity.page(session, asked).entries)


def walked(session: Session, asked: ActivityFilter = ActivityFilter(), limit: int = 2) -> list[Entry]:  # noqa: B008
    """Every entry of every page to the last one, having walked back over the same pages to the first."""
    page = activity.page(session, asked, limit=limit)
    assert page.newer is None
    pages = [list(page.entries)]
    while page.older:
        page = activity.page(session, asked, page.older, limit)
        pages.append(list(page.entries))
        assert len(pages) < 100
    back = [pages[-1]]
    while page.newer:
        page = activity.page(session, asked, page.newer, limit)
        back.append(list(page.entries))
        assert len(back) < 100
    assert back[::-1] == pages
    return [entry for one in pages for entry in one]


# The list -------------------------------------------------------------------------------------------------------------


def test_what_staff_did_and_what_people_did_are_one_list(session: Session) -> None:
    a_step(session, title="Set up payments")
    a_person(session)
    a_save(session, "in_progress", comment="On the phone.", actor=SAM)
    a_release(session, title="Get paid")
    assert sorted(listed(session)) == sorted(
        [
            *("step.create", "release.publish", "person.create", "draft.start", "draft.save", "release.migrate"),
            f"{ANNA}: {STEP} 2",
        ]
    )


def test_the_newest_comes_first_whichever_table_it_is_in(session: Session) -> None:
    noted(session, "draft.start", NOON)
    written(session, at=NOON + MICROSECOND)
    noted(session, "draft.save", NOON + 2 * MICROSECOND)
    written(session, BEN, at=NOON - DAY)
    assert listed(session) == ["draft.save", f"{ANNA}: {STEP} 2", "draft.start", f"{BEN}: {STEP} 2"]


def test_an_entry_tells_all_that_was_recorded(session: Session) -> None:
    number = noted(
        session,
        "draft.save",
        step_id=STEP,
        user_id=BEN,
        subject="version 2",
        changes={"weight": [1, 2]},
        note="Why not",
    )
    a_step(session, OTHER)
    a_person(session)
    a_save(session, "skipped", step_id=OTHER, actor=SAM, comment="They pay by invoice.")
    entries = {entry.action: entry for entry in activity.page(session, ActivityFilter()).entries}
    assert entries["draft.save"] == Entry(
        *(NOON, number, MAYA.key, "draft.save", STEP, BEN, None, None, None, "version 2", {"weight": [1, 2]}),
        *("Why not", ""),
    )
    saved = entries["status.change"]
    assert saved == replace(
        entries["draft.save"],
        at=saved.at,
        id=None,
        actor=SAM.key,
        action="status.change",
        step_id=OTHER,
        user_id=ANNA,
        from_status="todo",
        to_status="skipped",
        row_version=2,
        subject="",
        changes={},
        comment="They pay by invoice.",
        source="web",
    )


def test_people_and_actors_are_called_by_name(session: Session) -> None:
    a_person(session, name="Anna Berg")
    session.add(models.StaffAccount(email="maya@example.com", name="Maya L.", role="manager", password_hash=""))
    noted(session)
    written(session)
    written(session, "erased-1", actor="user:erased-1")
    page = activity.page(session, ActivityFilter())
    assert page.people == {ANNA: "Anna Berg"}
    assert page.names[MAYA.key] == Who("Maya L.", "manager")
    assert page.names[HOST.key] == Who("host", "API")


def test_the_person_who_is_asked_for_has_a_name_without_any_entry(session: Session) -> None:
    people(session, 1)
    page = activity.page(session, ActivityFilter(user_id="user-0000"))
    assert (page.entries, page.people) == ([], {"user-0000": "user-0000"})


def test_with_nothing_done_the_list_is_empty(session: Session) -> None:
    page = activity.page(session, ActivityFilter())
    assert (page.entries, page.newer, page.older, page.people, page.names) == ([], None, None, {}, {})


# Filters --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def month(session: Session) -> Session:
    """Something of each kind, a day apart: the first on 10 March, noon."""
    days = (NOON + number * DAY for number in range(20))
    noted(session, "step.create", next(days), step_id=STEP)
    noted(session, "release.publish", next(days), step_id=STEP)
    noted(session, "person.create", next(days), HOST.key, user_id=ANNA)
    noted(session, "people.import", next(days), "system:import")
    noted(session, "sign_in.refused", next(days), "system:sign-in")
    noted(session, "token.created", next(days), "system:command-line", subject="host")
    noted(session, "plugin.did_something", next(days), MAYA.key)
    written(session, at=next(days), actor=f"user:{ANNA}")
    written(session, BEN, next(days), SAM.key, OTHER)
    written(session, CLEO, next(days), "system:import")
    noted(session, "steps.reorder", next(days), SAM.key)
    return session


ANNAS, BENS, CLEOS = f"{ANNA}: {STEP} 2", f"{BEN}: {OTHER} 2", f"{CLEO}: {STEP} 2"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (ActivityFilter(what="statuses"), [CLEOS, BENS, ANNAS]),
        (ActivityFilter(what="releases"), ["release.publish"]),
        (ActivityFilter(what="drafts"), ["steps.reorder", "step.create"]),
        (ActivityFilter(what="people"), ["person.create"]),
        (ActivityFilter(what="imports"), ["people.import"]),
        (ActivityFilter(what="staff"), ["sign_in.refused"]),
        (ActivityFilter(what="tokens"), ["token.created"]),
        (ActivityFilter(who=SAM.key), ["steps.reorder", BENS]),
        (ActivityFilter(who=MAYA.key), ["plugin.did_something", "release.publish", "step.create"]),
        (ActivityFilter(who=PEOPLE), [ANNAS]),
        (ActivityFilter(who=SYSTEM), [CLEOS, "token.created", "sign_in.refused", "people.import"]),
        (ActivityFilter(who=SYSTEM, what="statuses"), [CLEOS]),
        (ActivityFilter(who=SYSTEM, what="imports"), ["people.import"]),
        (ActivityFilter(who=SAM.key, what="statuses"), [BENS]),
        (ActivityFilter(who=SAM.key, what="releases"), []),
        (ActivityFilter(step_id=STEP), [CLEOS, ANNAS, "release.publish", "step.create"]),
        (ActivityFilter(step_id=OTHER, who=SAM.key), [BENS]),
        (ActivityFilter(user_id=ANNA), [ANNAS, "person.create"]),
        (ActivityFilter(user_id=ANNA, what="people"), ["person.create"]),
        (ActivityFilter(since=date(2026, 3, 18)), ["steps.reorder", CLEOS, BENS]),
        (ActivityFilter(until=date(2026, 3, 11)), ["release.publish", "step.create"]),
        (ActivityFilter(since=date(2026, 3, 17), until=date(2026, 3, 17)), [ANNAS]),
        (ActivityFilter(until=date.max, since=date(2026, 3, 20)), ["steps.reorder"]),
        (ActivityFilter(since=date.min, until=date(2026, 3, 10)), ["step.create"]),
        (ActivityFilter(since=date(2027, 1, 1)), []),
    ],
    ids=str,
)
def test_a_filter_lets_through_what_it_names(month: Session, asked: ActivityFilter, expected: list[str]) -> None:
    assert listed(month, asked) == expected
    assert told(walked(month, asked, limit=1)) == expected
    assert told(activity.stream(month, asked)) == expected


def test_an_action_that_nobody_knows_is_under_everything_only(month: Session) -> None:
    assert "plugin.did_something" in listed(month)
    assert not [what for what in WHAT[1:] if "plugin.did_something" in listed(month, ActivityFilter(what=what))]


@pytest.mark.parametrize(
    ("at", "is_in"),
    [
        (datetime(2026, 3, 9, 23, 59, 59, 999_999, UTC), False),
        (datetime(2026, 3, 10, tzinfo=UTC), True),
        (datetime(2026, 3, 10, 23, 59, 59, 999_999, UTC), True),
        (datetime(2026, 3, 11, tzinfo=UTC), False),
    ],
)
def test_days_are_whole_and_in_utc(session: Session, at: datetime, is_in: bool) -> None:
    noted(session, at=at)
    written(session, at=at)
    session.execute(text("SET LOCAL TimeZone = 'Asia/Tokyo'"))
    assert len(listed(session, ActivityFilter(since=date(2026, 3, 10), until=date(2026, 3, 10)))) == (2 if is_in else 0)


# A step's events, sought where they can be ----------------------------------------------------------------------------


def aged(session: Session, created: datetime, released: datetime, step_id: str = STEP) -> None:
    """The step, made and first released at these moments."""
    session.execute(text("UPDATE steps SET created_at = :at WHERE step_id = :id"), {"at": created, "id": step_id})
    session.execute(
        text("UPDATE step_releases SET released_at = :at WHERE step_id = :id AND number = 1"),
        {"at": released, "id": step_id},
    )


def test_the_events_of_a_step_are_sought_since_it_was_made(session: Session) -> None:
    a_step(session)
    aged(session, NOON, NOON + DAY)
    written(session, at=NOON + 2 * DAY)
    with statements(session) as seen:
        assert f"{ANNA}: {STEP} 2" in listed(session, ActivityFilter(step_id=STEP))
    assert "e.at >= " in seen[-1][0]
    assert "e.at < " not in seen[-1][0]


def test_the_events_of_a_step_that_was_withdrawn_are_sought_before_that(session: Session) -> None:
    a_step(session)
    a_person(session)
    aged(session, NOON, NOON + DAY)
    a_save(session)
    releases.withdraw(session, MAYA, STEP)
    with statements(session) as seen:
        assert f"{ANNA}: {STEP} 2" in listed(session, ActivityFilter(step_id=STEP))
    assert "e.at < " in seen[-1][0]
    releases.restore(session, MAYA, STEP)
    with statements(session) as seen:
        listed(session, ActivityFilter(step_id=STEP))
    assert "e.at < " not in seen[-1][0]


def test_a_step_that_was_taken_over_keeps_its_oldest_events(session: Session) -> None:
    a_step(session)
    aged(session, NOON, NOON - 30 * DAY)
    written(session, at=NOON - 300 * DAY)
    assert f"{ANNA}: {STEP} 2" in listed(session, ActivityFilter(step_id=STEP))


def test_a_step_that_is_still_a_draft_has_no_events(session: Session) -> None:
    a_step(session, released=False)
    assert listed(session, ActivityFilter(step_id=STEP)) == ["step.create"]
    assert told(activity.stream(session, ActivityFilter(step_id=STEP))) == ["step.create"]


# Pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_hold_everything_once_in_both_directions(month: Session, limit: int) -> None:
    assert told(walked(month, limit=limit)) == listed(month)


ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.sampled_from([ANNA, BEN, "Z", "é"])), max_size=14)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, limit=st.integers(1, 4))
def test_what_happened_at_the_same_microsecond_is_neither_lost_nor_doubled(
    session: Session, rows: list[tuple[bool, int, str]], limit: int
) -> None:
    point = session.begin_nested()
    for number, (is_audit, moment, user_id) in enumerate(rows, start=2):
        at = NOON + moment * MICROSECOND
        if is_audit:
            noted(session, at=at, user_id=user_id)
        else:
            written(session, user_id, at, number=number)
    found = walked(session, limit=limit)
    assert len(found) == len(rows)
    assert len({(entry.id, entry.user_id, entry.row_version) for entry in found}) == len(rows)
    order = [(entry.at, entry.id is not None) for entry in found]
    assert order == sorted(order, reverse=True)
    assert list(activity.stream(session, ActivityFilter())) == found
    point.rollback()


def test_what_happens_meanwhile_does_not_move_the_next_page(month: Session) -> None:
    first = activity.page(month, ActivityFilter(), limit=4)
    before = activity.page(month, ActivityFilter(), first.older, limit=4)
    noted(month, at=NOON + 100 * DAY)
    written(month, BEN, NOON + 100 * DAY, number=9)
    assert activity.page(month, ActivityFilter(), first.older, limit=4).entries == before.entries
    assert len(activity.page(month, ActivityFilter(), first.older, limit=4).entries) == 4


def test_the_first_page_is_found_again_from_the_second(month: Session) -> None:
    first = activity.page(month, ActivityFilter(), limit=3)
    second = activity.page(month, ActivityFilter(), first.older, limit=3)
    again = activity.page(month, ActivityFilter(), second.newer, limit=3)
    assert (again.entries, again.newer) == (first.entries, None)


def packed(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


NOW = NOON.isoformat()


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "%25", "é", "bnVsbA", "W10", "e30", "a" * 500, "\0", "[" * 5000),
        packed("after"),
        packed("after", NOW),
        packed("sideways", NOW, 1),
        packed("after", "2026-03-10T12:00:00", 1),
        packed("after", "yesterday", 1),
        packed("after", "0001-01-01T00:00:00+14:00", 1),
        packed("before", "9999-12-31T23:59:59.999999-12:00", 1),
        packed("after", 5, 1),
        *(packed("after", NOW, number) for number in (0, -1, 2**63, True, "1", 1.5, None, [1])),
        packed("after", NOW, "anna", STEP),
        packed("after", NOW, "an\0na", STEP, 1),
        packed("after", NOW, "anna", STEP, 2**31),
        packed("after", NOW, "\ud800", STEP, 1),
        packed("after", NOW, None, STEP, 1),
        packed("after", NOW, "anna", STEP, 1, 2),
    ],
)
def test_a_broken_cursor_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        activity.page(session, ActivityFilter(), cursor)
    assert list(refused.value.problems) == ["cursor"]


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "2026-03-10T21:00:00+09:00"]
)
@pytest.mark.parametrize("direction", ["after", "before"])
@pytest.mark.parametrize("key", [[1], ["anna", STEP, 1]], ids=["audit", "event"])
def test_a_cursor_of_any_moment_is_taken(month: Session, direction: str, at: str, key: list[Any]) -> None:
    activity.page(month, ActivityFilter(), packed(direction, at, *key))


# What was asked for ---------------------------------------------------------------------------------------------------


def read(session: Session, **values: str) -> ActivityFilter:
    named = {name.rstrip("_"): value for name, value in values.items()}
    return activity_filter.read(session, named, activity_filter.choices(session))


@pytest.fixture
def known(session: Session) -> Session:
    """Maya, a token, a step and Anna."""
    session.add(models.StaffAccount(email="maya@example.com", name="Maya L.", role="manager", password_hash=""))
    session.add(models.ApiToken(name="host", token_hash="x", scopes=[], created_by=MAYA.key))
    a_step(session, title="Set up payments")
    a_step(session, OTHER, released=False, title="Invite your team")
    a_person(session)
    return session


def test_the_choices_are_accounts_tokens_and_steps(known: Session) -> None:
    found = activity_filter.choices(known)
    assert found.actors == {MAYA.key: Who("Maya L.", "manager"), HOST.key: Who("host", "API")}
    assert found.steps == {STEP: "Set up payments", OTHER: "Invite your team"}


def test_nothing_typed_is_everything(known: Session) -> None:
    assert read(known) == read(known, who=" ", what="", step="", person="", from_="", to="") == ActivityFilter()
    assert read(known, what="all") == ActivityFilter()


def test_everything_typed_is_read(known: Session) -> None:
    asked = read(
        known, who=MAYA.key, what="releases", step=STEP, person=f" {ANNA} ", from_="2026-03-10", to="2026-03-10"
    )
    assert asked == ActivityFilter(MAYA.key, "releases", STEP, ANNA, date(2026, 3, 10), date(2026, 3, 10))
    assert read(known, who=PEOPLE).who == PEOPLE
    assert read(known, who=SYSTEM).who == SYSTEM


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        *(
            ("who", bad, "is not known here")
            for bad in ("maya", "staff:x", "user:anna", "%", "x" * 500, "a\0", "system:demo")
        ),
        *(("what", bad, "is not on the list") for bad in ("release", "release.publish", "%", "_", "x" * 500, "a\0")),
        *(("step", bad, "is not on the checklist") for bad in ("nope", "%", "set_up_payments", "x" * 500, "a\0")),
        *(("person", bad, "is not known here") for bad in ("nobody", "%", "ann_", "Anna", "🦊")),
        ("person", "x" * 500, "must be at most 200 characters, not 500"),
        *(("person", bad, "has a character that cannot be stored") for bad in ("a\0b", "\ud800")),
        *(
            (member, bad, "must be a valid date, such as 2026-11-24")
            for member in ("from_", "to")
            for bad in (
                "2026-02-30",
                "2026-13-01",
                "20260310",
                "0000-01-01",
                "10 March",
                "%",
                "x" * 500,
                "a\0",
                "２０２６-03-10",
            )
        ),
    ],
)
def test_what_cannot_be_asked_for_is_named(known: Session, member: str, value: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(known, **{member: value})
    assert refused.value.problems == {member.rstrip("_"): reason}


def test_the_last_day_cannot_be_before_the_first(known: Session) -> None:
    with pytest.raises(Invalid) as refused:
        read(known, from_="2026-03-11", to="2026-03-10")
    assert refused.value.problems == {"to": "is before the first day"}


def test_every_problem_is_told_at_once(known: Session) -> None:
    with pytest.raises(Invalid) as refused:
        read(known, who="x", what="x", step="x", person="x", from_="x", to="x")
    assert list(refused.value.problems) == ["who", "what", "step", "person", "from", "to"]


# What it costs --------------------------------------------------------------------------------------------------------


def statements(session: Session) -> AbstractContextManager[list[tuple[str, Any]]]:
    """The statements that read the two tables meanwhile, with their values."""
    return sent(session.connection(), "audit_log", "user_step_events")


@pytest.mark.parametrize("what", WHAT)
def test_a_page_is_one_statement_in_which_every_part_stops(month: Session, what: Any) -> None:
    with statements(month) as seen:
        activity.page(month, ActivityFilter(what=what))
    (only,) = [statement for statement, _ in seen]
    parts = len(ACTIONS[what]) if what != "all" else 2
    assert only.count("LIMIT") == parts + 1
    assert "OFFSET" not in only
    assert "count(" not in only


MANY = """
INSERT INTO user_step_events (user_id, step_id, row_version, at, actor, source, from_status, to_status, release_id)
SELECT 'usr-' || i % 4000, (ARRAY['set-up-payments', 'invite-team', 'verify-email'])[1 + i % 3], 2 + i / 12000,
       timestamptz '2026-03-01' + i * interval '20 seconds',
       CASE WHEN i % 100 = 0 THEN 'staff:sam@example.com' ELSE 'token:host' END, 'api', 'todo', 'done', 1
  FROM generate_series(0, 59999) i;
INSERT INTO user_step_events (user_id, step_id, row_version, at, actor, source, from_status, to_status, release_id)
SELECT 'imported-' || i, (ARRAY['set-up-payments', 'invite-team'])[1 + i % 2], 2, timestamptz '2026-03-20 12:00',
       'system:import', 'import', 'todo', 'done', 1
  FROM generate_series(0, 19999) i;
INSERT INTO user_step_events (user_id, step_id, row_version, at, actor, source, from_status, to_status, release_id)
SELECT 'own-' || i, 'verify-email', 2, timestamptz '2026-01-01' + i * interval '20 seconds', 'user:own-' || i, 'api', 'todo',
       'done', 1
  FROM generate_series(0, 9999) i;
INSERT INTO audit_log (at, actor, action, user_id)
SELECT timestamptz '2026-01-01' + i * interval '20 seconds', 'user:own-' || i, 'person.create', 'own-' || i
  FROM generate_series(0, 9999) i;
INSERT INTO audit_log (at, actor, action, step_id, user_id)
SELECT timestamptz '2026-03-01' + i * interval '50 seconds',
       CASE WHEN i % 100 = 0 THEN 'staff:sam@example.com' ELSE 'token:host' END,
       CASE WHEN i % 2000 = 0 THEN 'release.migrate' WHEN i % 100 = 0 THEN 'sign_in.accepted' ELSE 'person.update' END,
       CASE WHEN i % 2000 = 0 THEN 'set-up-payments' END, CASE WHEN i % 100 <> 0 THEN 'usr-' || i % 4000 END
  FROM generate_series(0, 39999) i;
"""


@pytest.mark.one_server("a plan shows one shard of many")
def test_no_page_reads_more_than_a_little_of_the_tables(session: Session) -> None:
    a_step(session)
    a_step(session, OTHER)
    aged(session, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    for statement in filter(str.strip, MANY.split(";")):
        session.execute(text(statement))
    session.execute(text("ANALYZE user_step_events, audit_log"))
    sparse = date(2026, 3, 5)
    everything = (
        *(ActivityFilter(what=what) for what in WHAT),
        *(ActivityFilter(who=who) for who in (HOST.key, SAM.key, "staff:nobody", PEOPLE, SYSTEM)),
        *(ActivityFilter(step_id=step_id) for step_id in (STEP, OTHER)),
        *(ActivityFilter(user_id=user_id) for user_id in ("usr-7", "imported-7", "nobody")),
        *(
            ActivityFilter(since=sparse, until=sparse),
            ActivityFilter(since=date(2027, 1, 1)),
            ActivityFilter(until=date(2020, 1, 1)),
        ),
        *(
            ActivityFilter(who=SAM.key, what="staff"),
            ActivityFilter(who=HOST.key, user_id="usr-7"),
            ActivityFilter(who=SYSTEM, what="statuses"),
        ),
    )
    worst = {}
    for asked in everything:
        first = activity.page(session, asked)
        inside = packed("after", "2026-03-20T12:00:00+00:00", "imported-5", STEP, 2)
        for cursor in (None, first.older, inside):
            with statements(session) as seen:
                activity.page(session, asked, cursor)
            for statement, values in seen:
                if "merged" in statement:
                    worst[asked] = max(worst.get(asked, 0), rows_read(session, statement, values))
    assert set(worst) == set(everything)
    assert {asked: rows for asked, rows in worst.items() if rows > 1_500} == {}


def test_saving_and_releasing_are_not_changed_by_looking(session: Session) -> None:
    a_step(session)
    a_person(session)
    before = user_steps.step_of(session, ANNA, STEP)
    listed(session)
    list(activity.stream(session, ActivityFilter()))
    assert (user_steps.step_of(session, ANNA, STEP), steps.get(session, STEP).draft) == (before, None)
