"""Finding, creating and updating people."""

from __future__ import annotations

import base64
import json
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import people
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.paging import write_cursor
from dashboard.onboarding.people import Person
from tests import factories
from tests.factories import ANNA, BEN, CLEO, HOST, SAM, a_person, snapshot


@pytest.fixture
def session(undone_session: Session) -> Session:
    return undone_session


def names(found: people.Page) -> list[str]:
    return [person.name for person in found.people]


def all_pages(session: Session, q: str = "", limit: int = 2) -> list[list[Person]]:
    """Every page from the first to the last, having walked back from the last to the first over the same ones."""
    page = people.search(session, q, limit=limit)
    assert page.previous is None
    forward = [list(page.people)]
    while page.next:
        page = people.search(session, q, cursor=page.next, limit=limit)
        if page.people:
            forward.append(list(page.people))
        assert len(forward) < 100
    backward = [forward[-1]]
    last = (
        people.search(
            session, q, cursor=write_cursor("before", forward[-1][0].name, forward[-1][0].user_id), limit=limit
        )
        if len(forward) > 1
        else None
    )
    while last:
        backward.append(list(last.people))
        last = people.search(session, q, cursor=last.previous, limit=limit) if last.previous else None
        assert len(backward) < 100
    assert [*chain(*reversed(backward))] == [*chain(*forward)]
    return forward


# Creating and updating ------------------------------------------------------------------------------------------------


def test_a_person_is_created_once_and_updated_after_that(session: Session) -> None:
    made, is_new = people.put(session, HOST, ANNA, name=" Anna ", email=" anna@example.com ")
    assert (made.name, made.email, made.progress, made.finished, is_new) == ("Anna", "anna@example.com", 0, False, True)
    changed, is_new = people.put(session, HOST, ANNA, name="Anna B.")
    assert (changed.name, changed.email, changed.created_at, is_new) == ("Anna B.", "", made.created_at, False)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("user_id", bad) for bad in ("", "   ", "x" * 201, "a\0b", "\ud800")),
        *(("name", bad) for bad in ("x" * 201, "a\0b", "\udfff", None, 5)),
        *(("email", bad) for bad in ("x" * 321, "a\0b", "\ud800", None)),
    ],
)
def test_a_member_that_breaks_a_rule_is_named(session: Session, member: str, value: Any) -> None:
    before = snapshot(session)
    with pytest.raises(Invalid) as refused:
        people.put(session, HOST, **{"user_id": ANNA, "name": "Anna", "email": ""} | {member: value})
    assert list(refused.value.problems) == [member]
    assert snapshot(session) == before


def test_a_person_is_called_by_name_else_by_email_else_by_id(session: Session) -> None:
    assert a_person(session).label == "Anna"
    assert people.put(session, HOST, ANNA, email="anna@example.com")[0].label == "anna@example.com"
    assert people.put(session, HOST, ANNA)[0].label == ANNA


# Searching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("", ["Anna", "Ben", "Cleo"]),
        ("  ", ["Anna", "Ben", "Cleo"]),
        ("ANNA", ["Anna"]),
        (" B", ["Ben"]),
        ("e", []),
        ("exa", ["Anna", "Ben", "Cleo"]),
        ("leo", ["Cleo"]),
        ("ben@example", ["Ben"]),
        ("nobody", []),
        ("%", []),
        ("_", []),
        ("\\", []),
        ("' OR 1=1 --", []),
    ],
)
def test_people_are_found_by_a_part_of_name_email_or_id(session: Session, q: str, found: list[str]) -> None:
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    assert names(people.search(session, q)) == found


@pytest.mark.parametrize("name", ["100 % Bob", "snake_case", "back\\slash", "Ärzte", "İpek", "ΝΙΚΟΣ", "Straße", "ǅ"])
@pytest.mark.parametrize("spelled", [str, str.lower])
def test_a_name_is_found_as_it_is_written_whatever_is_in_it(session: Session, name: str, spelled: Any) -> None:
    a_person(session, BEN, "Somebody else, abc")
    a_person(session, ANNA, name)
    if spelled is str or name not in ("İpek", "ΝΙΚΟΣ"):  # these two have more than one lower case
        assert names(people.search(session, spelled(name))) == [name]


@pytest.mark.parametrize("q", ["x" * 201, "a\0b", "\ud800", None, 5])
def test_a_search_that_cannot_be_made_is_named(session: Session, q: Any) -> None:
    with pytest.raises(Invalid) as refused:
        people.search(session, q)
    assert list(refused.value.problems) == ["q"]


@pytest.mark.parametrize("q", ["anna", "an", "a"])
def test_search_is_used_with_the_index(session: Session, q: str) -> None:
    session.execute(text("SET LOCAL enable_seqscan = off"))
    plan = session.scalars(text("EXPLAIN " + people.PEOPLE + "WHERE " + people.SEARCHED), {"q": q}).all()
    assert any("ix_user_search_words" in line for line in plan)


# Pages ----------------------------------------------------------------------------------------------------------------


def test_pages_lead_forward_and_back_over_equal_names(session: Session) -> None:
    for number in range(5):
        a_person(session, f"p{number}", "Same")
    pages = all_pages(session)
    assert [[person.user_id for person in page] for page in pages] == [["p0", "p1"], ["p2", "p3"], ["p4"]]


def test_the_only_page_leads_nowhere(session: Session) -> None:
    assert people.search(session) == people.Page([], None, None)
    a_person(session)
    page = people.search(session)
    assert (page.previous, page.next) == (None, None)


def test_a_page_after_the_last_person_is_empty(session: Session) -> None:
    a_person(session, ANNA)
    a_person(session, BEN)
    page = people.search(session, limit=1)
    session.execute(text("DELETE FROM onboarding_users WHERE user_id = :gone"), {"gone": BEN})
    assert people.search(session, cursor=page.next, limit=1).people == []


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "\ud800",
        "!!!!",
        "a" * 10_000,
        packed(5),
        packed("abc"),
        packed({}),
        packed(["after", "a"]),
        packed(["after", "a", "b", "c"]),
        packed(["sideways", "a", "b"]),
        packed([["after"], "a", "b"]),
        packed(["after", 1, "b"]),
        packed(["after", "a", None]),
        packed(["after", "a\0", "b"]),
        packed(["after", "a", "\ud800"]),
        packed(["after", "a" * 1001, "b"]),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_a_broken_cursor_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        people.search(session, cursor=cursor)
    assert list(refused.value.problems) == ["cursor"]


SOME_NAMES = st.one_of(
    st.sampled_from(["", "Same", "same", "SAME", "%", "_", "\\", "İpek", "ipek", "ΝΙΚΟΣ", "νικοσ", "νικος", "ß", "ẞ"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(given_names=st.lists(SOME_NAMES, max_size=9), limit=st.integers(1, 4))
def test_paging_visits_everybody_exactly_once(session: Session, given_names: list[str], limit: int) -> None:
    with session.begin_nested() as example:
        for number, name in enumerate(given_names):
            people.put(session, SAM, f"p{number}", name=name)
        visited = [person.user_id for page in all_pages(session, limit=limit) for person in page]
        assert sorted(visited) == sorted(f"p{number}" for number in range(len(given_names)))
        example.rollback()


def test_a_crowd_is_made_in_one_statement(session: Session) -> None:
    assert factories.people(session, 3) == ["user-0000", "user-0001", "user-0002"]
    assert len(people.search(session).people) == 3
