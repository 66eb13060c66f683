"""Finding, creating and updating people."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from dashboard.onboarding import people
from dashboard.onboarding.errors import Invalid
from tests.factories import ANNA, HOST, a_person, snapshot

# Creating and updating ------------------------------------------------------------------------------------------------


def test_a_person_is_created_once_and_updated_after_that(session: Session) -> None:
    made, is_new = people.put(session, HOST, ANNA, name=" Anna ", email=" anna@example.com ")
    assert (made.name, made.email, made.progress, made.finished, is_new) == ("Anna", "anna@example.com", 0, False, True)
    changed, is_new = people.put(session, HOST, ANNA, name="Anna B.")
    assert (changed.name, changed.email, changed.created_at, is_new) == ("Anna B.", "", made.created_at, False)


def test_a_person_who_is_put_as_they_are_leaves_no_trace(session: Session) -> None:
    made, _ = people.put(session, HOST, ANNA, name="Anna", email="anna@example.com")
    before = snapshot(session)
    assert people.put(session, HOST, ANNA, name="Anna ", email="anna@example.com") == (made, False)
    assert snapshot(session) == before
    people.put(session, HOST, ANNA, name="Anna", email="")
    assert snapshot(session) != before


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("user_id", bad) for bad in ("", "   ", "x" * 201, "a\0b", "\ud800", " anna", "anna\t", "\u00a0anna")),
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
