"""Filters and orders of the list of people, on a crowd of all kinds, against what each person's own page says."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding import by_progress, finding, paging, people, releases, standings, user_steps
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.filters import SORTS, STATUSES, Filter
from dashboard.onboarding.people import Person
from tests import factories
from tests.engine.conftest import ONE_SERVER
from tests.engine.test_finding import all_pages
from tests.factories import HOST, MAYA, OTHER, STEP, a_draft, a_release, a_save, a_step

TODAY = datetime.now(UTC).date()
AGED = text("""
UPDATE onboarding_users SET created_at = :joined, last_activity_at = :active, finished_at = coalesce(:finished, finished_at)
 WHERE user_id = :user_id
""")


def every_test_begins_with(session: Session) -> dict[str, Person]:
    """Thirty people of all kinds, after releases that reset and that reopen; by id, as their own pages tell of them."""
    chance = random.Random(4)
    a_step(session, STEP, weight=30)
    a_step(session, OTHER, weight=20)
    for number, user_id in enumerate(factories.people(session, 30)):
        people.put(session, HOST, user_id, name=f"{chance.choice(['Ann', 'Bo', 'Çelik'])} {number % 7}")
        for step_id in (STEP, OTHER):
            for _ in range(chance.randrange(3)):
                a_save(session, chance.choice(STATUSES), user_id, step_id)
        if number == 15:
            a_release(session, STEP, Policy(skipped=False), weight=40)
        if number == 20:
            a_release(session, OTHER, KEEP_ALL)
            releases.roll_back(session, MAYA, OTHER)
        joined = datetime.now(UTC) - timedelta(days=chance.randrange(40), minutes=30)
        active = chance.choice([None, joined + timedelta(hours=chance.randrange(200))])
        session.execute(AGED, {"user_id": user_id, "joined": joined, "active": active, "finished": None})
    # finished once, and not at 100 any more
    session.execute(AGED, {"user_id": "user-0003", "joined": joined, "active": joined, "finished": joined})
    return {
        user_id: people.find(session, user_id)
        for user_id in session.scalars(text("SELECT user_id FROM onboarding_users"))
    }


@pytest.fixture
def crowd(begun: dict[str, Person]) -> dict[str, Person]:
    return begun


def belongs(session: Session, wanted: Filter, person: Person) -> bool:
    """Whether the person matches, by what their own page says."""
    active = person.last_activity_at or person.created_at
    least, most = wanted.progress or (0, 100)
    return (
        wanted.q.lower() in person.name.lower()
        and (
            not wanted.status
            or wanted.status == user_steps.step_of(session, person.user_id, wanted.step_id or "").status
        )
        and wanted.finished in (None, person.finished)
        and least <= person.progress <= most
        and (wanted.joined_from or date.min) <= person.created_at.date() <= (wanted.joined_to or date.max)
        and (wanted.idle_days is None or active < datetime.now(UTC) - timedelta(days=wanted.idle_days))
    )


FILTERS = [
    Filter(),
    Filter(q="ann"),
    Filter(q="bo", finished=False),
    *(Filter(step_id=step, status=status) for step in (STEP, OTHER) for status in STATUSES),
    Filter(finished=True),
    Filter(finished=False),
    Filter(progress=(0, 0)),
    Filter(progress=(30, 70)),
    Filter(progress=(100, 100)),
    Filter(progress=(1, 2)),
    Filter(progress=(50, 100), finished=True, step_id=STEP, status="done"),
    Filter(joined_from=TODAY - timedelta(days=20)),
    Filter(joined_to=TODAY - timedelta(days=20)),
    Filter(joined_from=TODAY - timedelta(days=20), joined_to=TODAY - timedelta(days=10)),
    Filter(idle_days=10),
    Filter(q="ann", step_id=OTHER, status="done", idle_days=1, joined_from=TODAY - timedelta(days=35)),
]


@pytest.mark.usefixtures("few_and_many")
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_a_filter_finds_whom_their_own_pages_say(session: Session, crowd: dict[str, Person], wanted: Filter) -> None:
    expected = {user_id for user_id, person in crowd.items() if belongs(session, wanted, person)}
    statuses = {one: user_steps.step_of(session, one, wanted.step_id).status for one in expected if wanted.step_id}
    for sort in SORTS:
        listed = [one for page in all_pages(session, replace(wanted, sort=sort), 4) for one in page]
        assert sorted(one.person.user_id for one in listed) == sorted(expected)
        assert [one.person for one in listed] == [crowd[one.person.user_id] for one in listed]
        assert list(finding.stream(session, replace(wanted, sort=sort))) == listed
        assert {one.person.user_id: one.status for one in listed if wanted.step_id} == statuses
    assert finding.page(session, wanted).count == finding.Count(len(expected), exact=True)
    assert finding.ids(session, wanted, 1000) == sorted(expected)
    some = finding.ids(session, wanted, 2)
    assert len(some) == min(2, len(expected))
    assert some == sorted(expected.intersection(some))


@pytest.mark.one_server("on a cluster all who match are looked up")
@pytest.mark.parametrize(("walked", "asked"), [(1, [1, None]), (7, [7, 7, 7, None]), (1000, [1000, 1000])])
def test_a_common_word_is_found_on_a_walk_and_where_that_is_not_enough_all_are_looked_up(
    session: Session,
    crowd: dict[str, Person],
    walked: int,
    asked: list[int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    within, rows, rows_within = list[int | None](), paging.rows, paging.rows_within
    others = finding.PARTS["others"]

    def looked_up_rows(session: Session, listing: paging.Listing, *args: Any) -> list[Row[Any]]:
        if others in listing.where:
            within.append(None)
        return rows(session, listing, *args)

    monkeypatch.setattr(paging, "rows", looked_up_rows)
    monkeypatch.setattr(paging, "rows_within", lambda *args: (within.append(args[-1]), rows_within(*args))[1])
    # fewer are expected: nobody is passed here, though a glance is taken
    monkeypatch.setattr(finding, "GLANCED", 0)
    looked_up = all_pages(session, Filter(q="user-000"), 2)
    assert {*within} == {0, None}
    within.clear()
    monkeypatch.setattr(finding, "SOME", 0)
    monkeypatch.setattr(finding, "WALKED", walked)
    assert all_pages(session, Filter(q="user-000"), 2) == looked_up
    assert within[: len(asked)] == asked


@pytest.mark.parametrize("wanted", [one for one in FILTERS if one.status or one.finished is not None or one.idle_days])
@pytest.mark.parametrize("looked_into", [1, 4])
def test_those_who_are_many_are_found_percent_by_percent(
    session: Session,
    crowd: dict[str, Person],
    wanted: Filter,
    looked_into: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # whoever is at 100 still counts as finished; those who were once do not any more
    a_draft(session, STEP, title="To be done again")
    releases.release(session, MAYA, STEP, KEEP_ALL, reopens_finished=True)
    expected = {one for one in crowd if belongs(session, wanted, people.find(session, one))}
    for sort in ("furthest", "least"):
        few = [*chain(*all_pages(session, replace(wanted, sort=sort), 4))]
        with monkeypatch.context() as patch:
            patch.setattr(by_progress, "FEW", 0)
            patch.setattr(by_progress, "LOOKED_INTO", looked_into)
            assert [*chain(*all_pages(session, replace(wanted, sort=sort), 4))] == few
        assert {one.person.user_id for one in few} == expected


def test_each_order_is_what_it_is_called(session: Session, crowd: dict[str, Person]) -> None:
    def listed(sort: Any) -> list[Person]:
        return [one.person for one in finding.page(session, Filter(sort=sort), limit=100).people]

    def is_sorted(values: list[Any]) -> bool:
        return values == sorted(values) and len(set(values)) > 3

    assert is_sorted([one.name.lower() for one in listed("name")])
    assert is_sorted([one.last_activity_at or one.created_at for one in listed("inactive")])
    assert is_sorted([one.last_activity_at or one.created_at for one in listed("active")][::-1])
    assert is_sorted([one.progress for one in listed("least")])
    assert is_sorted([one.progress for one in listed("furthest")][::-1])
    assert is_sorted([one.created_at for one in listed("oldest")])
    assert is_sorted([one.created_at for one in listed("newest")][::-1])


def test_a_page_by_progress_goes_on_where_it_was_though_its_last_person_is_gone(
    session: Session, crowd: dict[str, Person]
) -> None:
    wanted = Filter(sort="furthest")
    everybody = [one.person.user_id for one in finding.page(session, wanted, limit=100).people]
    first = finding.page(session, wanted, limit=10)
    session.execute(text("DELETE FROM user_steps WHERE user_id = :gone"), {"gone": everybody[9]})
    session.execute(text("DELETE FROM onboarding_users WHERE user_id = :gone"), {"gone": everybody[9]})
    following = finding.page(session, wanted, cursor=first.next, limit=10)
    assert [one.person.user_id for one in following.people] == everybody[10:20]


@pytest.mark.parametrize("sort", ["name", "active", "inactive", "newest", "oldest"])
@pytest.mark.parametrize("status", ["done", "skipped", "in_progress", "todo"])
@ONE_SERVER
def test_pages_of_a_status_are_the_same_whether_enough_are_met_soon_or_not(
    session: Session, crowd: dict[str, Person], monkeypatch: pytest.MonkeyPatch, sort: Any, status: Any
) -> None:
    wanted = Filter(step_id=STEP, status=status, sort=sort)
    by_standing = all_pages(session, wanted)
    monkeypatch.setattr(standings, "FEW_TO_LIST", -1)
    assert all_pages(session, wanted) == by_standing
    monkeypatch.setattr(finding, "LOOKED_AT", 4)
    assert all_pages(session, wanted) == by_standing


def test_people_of_one_standing_have_the_same_rows(session: Session, crowd: dict[str, Person]) -> None:
    same = """SELECT count(DISTINCT standing) AS hashes,
                     count(DISTINCT (done_releases, skipped_releases, in_progress_releases)) AS kinds
                FROM onboarding_users"""
    found = session.execute(text(same)).one()
    assert found.hashes == found.kinds > 5
