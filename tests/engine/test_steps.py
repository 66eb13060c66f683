"""Steps and their drafts: the ladder of every function - works, refused, not found, invalid by member, stale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard.onboarding import drafts, releases, steps
from dashboard.onboarding.errors import Invalid, NotFound, Refused, StaleDraft, StalePlan
from dashboard.onboarding.plans import Planned
from dashboard.onboarding.steps import FieldChange, Fields
from tests.factories import MAYA, NOOR, OTHER, STEP, a_draft, a_release, a_step, snapshot

GOOD: dict[str, Any] = {
    "title": "Set up payments",
    "description": "Take cards",
    "weight": 30,
    "action_url": "/payments",
}

BAD_FIELDS: list[tuple[str, Any]] = [
    ("title", ""),
    ("title", "   "),
    ("title", None),
    ("title", "x" * 201),
    ("title", 5),
    ("title", 0),
    ("title", "a\0b"),
    ("title", "\ud800"),
    *(("title", f"Set up{breaking}payments") for breaking in "\n\r\t\a\x1b\x85\u2028\u2029\u202e\u2066"),
    *(("title", unseen) for unseen in ("\u200b", "\u3164", "\u2800\u200d", "\u0301")),
    ("description", "x" * 5001),
    ("description", ["Take cards"]),
    ("description", False),
    ("description", "\udfff tail"),
    ("weight", 0),
    ("weight", -1),
    ("weight", 1001),
    ("weight", "ten"),
    ("weight", "10"),
    ("weight", 10.0),
    ("weight", True),
    ("weight", None),
    ("action_url", "javascript:alert(1)"),
    ("action_url", "JavaScript:alert(1)"),
    ("action_url", "data:text/html,x"),
    ("action_url", "mailto:x@example.com"),
    ("action_url", "//host/path"),
    ("action_url", "/\\host"),
    ("action_url", "/a path"),
    ("action_url", "/a\tb"),
    ("action_url", "payments"),
    ("action_url", "https://"),
    ("action_url", "https:host"),
    ("action_url", "http://[::1"),
    ("action_url", "/" + "x" * 2000),
    ("action_url", 7),
    ("action_url", {}),
    ("colour", "red"),
]


# What a step may say --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("member", "value"), BAD_FIELDS)
def test_a_member_that_breaks_a_rule_is_named(member: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        steps.check(GOOD | {member: value})
    assert list(refused.value.problems) == [member]


def test_every_broken_member_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        steps.check({"title": "", "weight": 0, "action_url": "//x", "description": 1, "colour": "red"})
    assert set(refused.value.problems) == {"title", "weight", "action_url", "description", "colour"}


@pytest.mark.parametrize(
    "good",
    [
        {"title": "x"},
        {"title": "x" * 200},
        {"title": "\U0001f680" * 200},
        {"title": "👩‍👩‍👧 علی‌رضا"},
        {"description": "One line\nand another"},
        {"weight": 1},
        {"weight": 1000},
        {"description": None},
        {"action_url": None},
        {"action_url": ""},
        {"action_url": "/"},
        {"action_url": "/payments?tab=cards#top"},
        {"action_url": "http://localhost:3000/x"},
        {"action_url": "HTTPS://example.com"},
        {"description": "x" * 5000},
    ],
)
def test_what_keeps_the_rules_is_taken_and_stored(session: Session, good: dict[str, Any]) -> None:
    draft = drafts.create(session, MAYA, STEP, GOOD | good)
    assert draft.fields == steps.check(GOOD | good)


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("One\nTwo", "must be one line, without control characters or marks that change the text direction"),
        ("\u200b", "must have visible characters"),
        (" \n ", "is required"),
    ],
)
def test_why_it_is_no_title_is_told(title: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        steps.check({"title": title})
    assert refused.value.problems == {"title": reason}


def test_text_is_trimmed() -> None:
    assert steps.check({"title": "  Pay ", "action_url": " /pay "}) == Fields("Pay", "", 10, "/pay")


def test_compare_tells_each_member_that_differs_in_the_order_of_the_form() -> None:
    before, after = Fields("A", "same", 10, "/a"), Fields("B", "same", 20, "/a")
    assert steps.compare(before, after) == [FieldChange("title", "A", "B"), FieldChange("weight", 10, 20)]
    assert steps.compare(before, before) == []
    assert [change.before for change in steps.compare(None, after)] == [None] * 4


# Creating -------------------------------------------------------------------------------------------------------------


def test_a_new_step_is_a_draft_of_version_1_that_nobody_sees(session: Session) -> None:
    draft = drafts.create(session, MAYA, STEP, GOOD)
    step = steps.get(session, STEP)
    assert (draft.version, draft.state, draft.row_version, draft.edited_by) == (1, "draft", 1, MAYA.key)
    assert (step.live, step.draft, step.latest, step.release_id) == (None, draft, draft, None)
    assert not step.withdrawn


def test_steps_are_listed_in_the_order_in_which_they_were_made(session: Session) -> None:
    for step_id in ("zebra", "apple", "mango"):
        a_step(session, step_id, released=step_id != "apple")
    assert [step.step_id for step in steps.checklist(session)] == ["zebra", "apple", "mango"]


@pytest.mark.parametrize("step_id", ["a", "0", "set-up_payments-2", "x" * 64])
def test_a_step_id_is_a_slug(session: Session, step_id: str) -> None:
    assert drafts.create(session, MAYA, step_id, GOOD).step_id == step_id


@pytest.mark.parametrize(
    "step_id",
    ["", "x" * 65, "Set-up", "-a", "a-", "a--b", "a b", "a/b", "é", "a\n", "a\0", "..", "a.b", "\ud800"],
)
def test_anything_else_is_not_a_step_id(session: Session, step_id: str) -> None:
    with pytest.raises(Invalid) as refused:
        drafts.create(session, MAYA, step_id, GOOD | {"weight": 0})
    assert set(refused.value.problems) == {"step_id", "weight"}
    assert "single hyphens or underscores" in refused.value.problems["step_id"]
    assert steps.checklist(session) == []


def test_capitals_of_an_adopted_step_are_letters_of_the_same_alphabet() -> None:
    ids = ("SetUp-2", "a", "\N{KELVIN SIGN}ey", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}d", "Set Up", "X" * 65)
    assert [steps.is_step_id(one, capitals=True) for one in ids] == [True, True, False, False, False, False]


def test_no_step_has_the_id_of_the_page_for_a_new_one(session: Session) -> None:
    with pytest.raises(Invalid) as refused:
        drafts.create(session, MAYA, "new", GOOD)
    assert refused.value.problems == {"step_id": "is reserved for the page that creates a step: choose another"}
    assert drafts.create(session, MAYA, "new-one", GOOD).step_id == "new-one"


@pytest.mark.parametrize("step_id", ["user_id", "name", "email"])
def test_no_step_has_the_name_of_a_persons_column_in_a_csv(session: Session, step_id: str) -> None:
    with pytest.raises(Invalid) as refused:
        drafts.create(session, MAYA, step_id, GOOD)
    assert refused.value.problems == {"step_id": "is reserved for a column of the people's CSV: choose another"}


def test_a_step_id_is_taken_once(session: Session) -> None:
    a_step(session)
    with pytest.raises(Invalid, match="is already used by another step") as refused:
        drafts.create(session, NOOR, STEP, GOOD)
    assert list(refused.value.problems) == ["step_id"]


# Reading --------------------------------------------------------------------------------------------------------------


def test_versions_come_newest_first_the_draft_too(session: Session) -> None:
    a_step(session)
    a_release(session)
    a_draft(session)
    assert [(one.version, one.state, one.is_active) for one in steps.versions(session, STEP)] == [
        (3, "draft", False),
        (2, "released", True),
        (1, "released", False),
    ]
    assert steps.version(session, STEP, 1).version == 1


@pytest.mark.parametrize("number", [0, -1, 2, 2**31, 2**63])
def test_a_version_that_is_not_there_is_not_found(session: Session, number: int) -> None:
    a_step(session)
    with pytest.raises(NotFound):
        steps.version(session, STEP, number)


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: steps.get(session, "nowhere"),
        lambda session: steps.versions(session, "nowhere"),
        lambda session: steps.version(session, "nowhere", 1),
        lambda session: drafts.start(session, MAYA, "nowhere"),
        lambda session: drafts.save(session, MAYA, "nowhere", GOOD, 1),
        lambda session: drafts.discard(session, MAYA, "nowhere", 1),
    ],
)
def test_a_step_that_is_not_there_is_not_found(session: Session, ask: Callable[[Session], object]) -> None:
    with pytest.raises(NotFound):
        ask(session)


# Drafts ---------------------------------------------------------------------------------------------------------------


def test_a_draft_starts_as_what_is_live(session: Session) -> None:
    live = a_step(session, **GOOD).live
    draft = drafts.start(session, NOOR, STEP)
    assert live
    assert (draft.fields, draft.version, draft.based_on, draft.row_version) == (live.fields, 2, 1, 2)
    assert draft.edited_by == NOOR.key


def test_a_step_has_one_draft(session: Session) -> None:
    a_step(session)
    drafts.start(session, MAYA, STEP)
    with pytest.raises(Refused, match="already has a draft"):
        drafts.start(session, NOOR, STEP)


def test_a_saved_draft_moves_on_by_one(session: Session) -> None:
    a_step(session, **GOOD)
    draft = drafts.start(session, MAYA, STEP)
    saved = drafts.save(session, NOOR, STEP, GOOD | {"title": "Take payments"}, draft.row_version)
    assert (saved.row_version, saved.fields.title, saved.edited_by) == (3, "Take payments", NOOR.key)


def test_a_save_that_changes_nothing_leaves_no_trace(session: Session) -> None:
    a_step(session, **GOOD)
    draft = drafts.start(session, MAYA, STEP)
    before = snapshot(session)
    assert drafts.save(session, NOOR, STEP, GOOD, draft.row_version) == draft
    assert snapshot(session) == before
    drafts.save(session, MAYA, STEP, GOOD | {"weight": 50}, draft.row_version)
    with pytest.raises(StaleDraft):
        drafts.save(session, NOOR, STEP, GOOD | {"weight": 50}, draft.row_version)


def test_of_two_who_edit_one_draft_the_second_is_told_who_was_first(session: Session) -> None:
    a_step(session)
    opened = drafts.start(session, MAYA, STEP)
    drafts.save(session, NOOR, STEP, GOOD, opened.row_version)
    before = snapshot(session)
    with pytest.raises(StaleDraft) as stale:
        drafts.save(session, MAYA, STEP, GOOD | {"weight": 50}, opened.row_version)
    assert (stale.value.attempted, stale.value.current, stale.value.edited_by) == (2, 3, NOOR.key)
    with pytest.raises(StaleDraft):
        drafts.discard(session, MAYA, STEP, opened.row_version)
    assert snapshot(session) == before


def test_a_draft_that_was_released_meanwhile_is_stale(session: Session) -> None:
    a_step(session)
    opened = a_draft(session)
    releases.release(session, NOOR, STEP)
    with pytest.raises(StaleDraft) as stale:
        drafts.save(session, MAYA, STEP, GOOD, opened.row_version)
    assert stale.value.current is None


@pytest.mark.parametrize("row_version", [0, -1, 2**31, "1", True, None, 1.0])
def test_a_draft_is_saved_over_a_whole_number_only(session: Session, row_version: Any) -> None:
    a_step(session)
    drafts.start(session, MAYA, STEP)
    for change in (
        lambda: drafts.save(session, MAYA, STEP, GOOD, row_version),
        lambda: drafts.discard(session, MAYA, STEP, row_version),
    ):
        with pytest.raises(Invalid) as refused:
            change()
        assert list(refused.value.problems) == ["row_version"]


def test_a_draft_newer_than_there_is_is_stale(session: Session) -> None:
    a_step(session)
    drafts.start(session, MAYA, STEP)
    with pytest.raises(StaleDraft):
        drafts.save(session, MAYA, STEP, GOOD, 7)


@pytest.mark.parametrize(("member", "value"), BAD_FIELDS[::6])
def test_a_draft_keeps_the_same_rules_as_a_new_step(session: Session, member: str, value: Any) -> None:
    a_step(session)
    drafts.start(session, MAYA, STEP)
    with pytest.raises(Invalid) as refused:
        drafts.save(session, MAYA, STEP, GOOD | {member: value}, 1)
    assert list(refused.value.problems) == [member]


def test_discarding_a_draft_leaves_what_is_live(session: Session) -> None:
    live = a_step(session).live
    draft = drafts.start(session, MAYA, STEP)
    assert drafts.discard(session, MAYA, STEP, draft.row_version) is False
    step = steps.get(session, STEP)
    assert (step.live, step.draft) == (live, None)
    assert drafts.start(session, MAYA, STEP).version == 2


def test_discarding_the_first_draft_removes_the_step_that_was_never_released(session: Session) -> None:
    a_step(session, released=False)
    a_step(session, OTHER)
    assert drafts.discard(session, MAYA, STEP, 1) is True
    assert [step.step_id for step in steps.checklist(session)] == [OTHER]
    assert a_step(session, released=False).step_id == STEP


def test_a_draft_starts_from_any_version(session: Session) -> None:
    a_step(session, title="First")
    a_release(session, title="Second")
    draft = drafts.start(session, MAYA, STEP, 1)
    assert (draft.version, draft.based_on, draft.fields.title) == (3, 1, "First")
    drafts.discard(session, MAYA, STEP, draft.row_version)
    with pytest.raises(NotFound):
        drafts.start(session, MAYA, STEP, 9)


def test_a_version_number_is_never_used_again_once_it_was_released(session: Session) -> None:
    a_step(session, title="First")
    a_release(session, title="Second")
    releases.roll_back(session, MAYA, STEP)
    draft = drafts.start(session, MAYA, STEP)
    assert (draft.version, draft.based_on, draft.fields.title) == (3, 1, "First")
    assert releases.release(session, MAYA, STEP).release.version == 3
    releases.roll_back(session, MAYA, STEP)
    assert drafts.start(session, MAYA, STEP, 2).version == 4


def test_a_stale_save_never_fits_another_draft_of_the_step(session: Session) -> None:
    a_step(session)
    first = a_draft(session)
    drafts.discard(session, MAYA, STEP, first.row_version)
    second = a_draft(session)
    assert second.row_version > first.row_version
    with pytest.raises(StaleDraft):
        drafts.save(session, MAYA, STEP, {"title": "From the first draft's form"}, first.row_version)
    releases.release(session, MAYA, STEP)
    assert a_draft(session).row_version > second.row_version


def test_no_form_of_a_discarded_first_draft_fits_the_next_step_of_that_id(session: Session) -> None:
    first = drafts.create(session, MAYA, STEP, GOOD)
    seen = drafts.save(session, MAYA, STEP, GOOD | {"weight": 40}, first.row_version)
    drafts.discard(session, NOOR, STEP, seen.row_version)
    anew = drafts.create(session, NOOR, STEP, GOOD | {"title": "Take money"})
    assert anew.version == 1
    for old in (first, seen):
        with pytest.raises(StaleDraft):
            drafts.save(session, MAYA, STEP, GOOD, old.row_version)
        with pytest.raises(StaleDraft):
            drafts.discard(session, MAYA, STEP, old.row_version)
        with pytest.raises(StalePlan):
            releases.release(session, MAYA, STEP, planned=Planned(0, old.row_version))
    assert steps.get(session, STEP).draft == anew


# What was released ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        *(
            f"UPDATE onboarding_step_definitions SET {says}"
            for says in ("title = 'x'", "description = 'x'", "weight = 9")
        ),
        *(f"UPDATE onboarding_step_definitions SET {says}" for says in ("action_url = '/x'", "version = version + 9")),
        "UPDATE onboarding_step_definitions SET state = 'draft', is_active = false",
        "DELETE FROM onboarding_step_definitions",
    ],
)
def test_the_database_itself_refuses_to_rewrite_what_was_released(session: Session, change: str) -> None:
    a_step(session)
    a_release(session)
    before = snapshot(session)
    with (
        pytest.raises(DBAPIError, match=f"version 1 of {STEP} was released: it is kept as it is"),
        session.begin_nested(),
    ):
        session.execute(text(f"{change} WHERE version = 1"))
    assert snapshot(session) == before
