"""The three-way merge of a draft: each field by itself, nothing lost, nothing decided that people differ on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.onboarding.merge import MergedField, Origin, merge, merge_field, merged, origin_of
from dashboard.onboarding.steps import MEMBERS, Fields

BASE = Fields("Set up payments", "Connect a bank account.", 20, "/settings/payments")
WORDS = st.sampled_from(["", "a", "b", "c"])
FIELDS = st.builds(Fields, title=WORDS, description=WORDS, weight=st.sampled_from([1, 2, 3]), action_url=WORDS)


@pytest.mark.parametrize(
    ("theirs", "mine", "origin", "value"),
    [
        ("a", "a", "unchanged", "a"),
        ("b", "a", "theirs", "b"),
        ("a", "b", "mine", "b"),
        ("b", "b", "both-same", "b"),
        ("b", "c", "conflict", "b"),
        ("", "a", "theirs", ""),
        ("a", "", "mine", ""),
        ("", "c", "conflict", ""),
    ],
)
def test_whoever_alone_changed_a_field_wins(theirs: str, mine: str, origin: Origin, value: str) -> None:
    assert merge_field("title", "a", theirs, mine) == MergedField("title", "a", theirs, mine, value, origin)


def test_each_field_is_merged_by_itself() -> None:
    theirs = Fields(BASE.title, "Connect a bank account, and choose when.", 30, BASE.action_url)
    mine = Fields(BASE.title, "Connect a bank account or a card.", 20, "/settings/payments/start")
    fields = merge(BASE, theirs, mine)
    assert [field.member for field in fields] == list(MEMBERS)
    assert [field.origin for field in fields] == ["unchanged", "conflict", "theirs", "mine"]
    assert merged(fields) == Fields(BASE.title, theirs.description, 30, "/settings/payments/start")


@given(FIELDS, FIELDS)
def test_when_only_one_of_them_wrote_the_result_is_what_they_wrote(base: Fields, written: Fields) -> None:
    assert merged(merge(base, written, base)) == written
    assert merged(merge(base, base, written)) == written
    assert merged(merge(base, written, written)) == written


@given(FIELDS, FIELDS, FIELDS)
def test_a_conflict_is_the_same_from_both_sides(base: Fields, theirs: Fields, mine: Fields) -> None:
    here, there = merge(base, theirs, mine), merge(base, mine, theirs)
    mirrored = {"theirs": "mine", "mine": "theirs"}
    assert [mirrored.get(field.origin, field.origin) for field in here] == [field.origin for field in there]


@given(FIELDS, FIELDS, FIELDS)
def test_every_value_was_written_by_somebody_and_all_three_are_kept(base: Fields, theirs: Fields, mine: Fields) -> None:
    for field in merge(base, theirs, mine):
        sides = tuple(getattr(one, field.member) for one in (base, theirs, mine))
        assert (field.base, field.theirs, field.mine) == sides
        assert field.value in sides
        assert (field.origin == "conflict") == (len(set(sides)) == 3)
        assert origin_of(*sides) == field.origin
