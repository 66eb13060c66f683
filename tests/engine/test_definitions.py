"""Definitions as a document: what it holds, what it may not hold, and the drafts that are made from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import definitions, drafts, releases, steps
from dashboard.onboarding.definitions import Brought, DraftsOpen, WantedStep
from dashboard.onboarding.errors import Invalid, NotFound, Refused, StaleDraft
from dashboard.onboarding.steps import Fields
from tests.factories import MAYA, NOOR, OTHER, STEP, a_draft, a_release, a_step, snapshot

GOOD = {"title": "Set up payments", "weight": 30}


def said(session: Session) -> dict[str, Any]:
    return definitions.document(definitions.live(session, []))


def bring(session: Session, actor: Any = MAYA, *, discard_drafts: bool = False, **documents: Any) -> list[Brought]:
    """Brings in the steps named as in Python: set_up_payments is set-up-payments."""
    wanted = definitions.read({"steps": {name.replace("_", "-"): says for name, says in documents.items()}})
    return definitions.bring_in(session, actor, wanted, discard_drafts=discard_drafts)


def draft_of(session: Session, step_id: str = STEP) -> steps.Definition:
    draft = steps.get(session, step_id).draft
    assert draft
    return draft


# The document ---------------------------------------------------------------------------------------------------------


def test_it_has_the_live_steps_in_checklist_order(session: Session) -> None:
    a_step(session, OTHER)
    a_step(session, description="Take cards", weight=30, action_url="/payments")
    a_step(session, "draft-only", released=False)
    a_step(session, "gone")
    releases.withdraw(session, MAYA, "gone")
    a_draft(session, title="Not live yet")
    document = said(session)
    assert list(document["steps"]) == [OTHER, STEP]
    assert document["steps"][STEP] == {
        "position": steps.get(session, STEP).position,
        "title": "Set up payments",
        "weight": 30,
        "action_url": "/payments",
        "description": "Take cards",
    }


def test_it_is_read_back_as_it_is(session: Session) -> None:
    a_step(session, description="Take\n  cards\n\nfrom: 'day one'", action_url="https://example.com/a?b=c#d")
    step = steps.get(session, STEP)
    assert step.live
    assert definitions.read(said(session)) == [WantedStep(STEP, step.live.fields, step.position)]
    brought = definitions.bring_in(session, NOOR, definitions.read(said(session)), discard_drafts=False)
    assert brought == [Brought(STEP, "unchanged", None)]


def test_steps_can_be_picked_and_stay_in_checklist_order(session: Session) -> None:
    for step_id in ("one", "two", "three"):
        a_step(session, step_id)
    assert [step.step_id for step in definitions.live(session, ["three", "one", "one"])] == ["one", "three"]


def test_a_step_that_is_not_there_or_not_live_cannot_be_picked(session: Session) -> None:
    a_step(session, "draft-only", released=False)
    with pytest.raises(NotFound):
        definitions.live(session, ["nothing"])
    with pytest.raises(Refused, match="“draft-only” is not live"):
        definitions.live(session, ["draft-only"])


# What it may not hold -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        (None, {"the document"}),
        ([], {"the document"}),
        ("text", {"the document"}),
        ({}, {"steps"}),
        ({"steps": None}, {"steps"}),
        ({"steps": [GOOD]}, {"steps"}),
        ({"steps": {}, "colour": 1, "stpes": {}}, {"colour", "stpes"}),
        ({"steps": {STEP: None}}, {f"steps.{STEP}"}),
        ({"steps": {STEP: "text"}}, {f"steps.{STEP}"}),
        ({"steps": {STEP: {}}}, {f"steps.{STEP}.title", f"steps.{STEP}.weight"}),
        ({"steps": {STEP: {"title": "A"}}}, {f"steps.{STEP}.weight"}),
        ({"steps": {STEP: GOOD | {"title": None}}}, {f"steps.{STEP}.title"}),
        ({"steps": {STEP: GOOD | {"weight": "ten"}}}, {f"steps.{STEP}.weight"}),
        ({"steps": {STEP: GOOD | {"colour": "red"}}}, {f"steps.{STEP}.colour"}),
        ({"steps": {STEP: GOOD | {"action_url": "javascript:x"}}}, {f"steps.{STEP}.action_url"}),
        ({"steps": {STEP: GOOD | {"position": 0}}}, {f"steps.{STEP}.position"}),
        ({"steps": {STEP: GOOD | {"position": True}}}, {f"steps.{STEP}.position"}),
        ({"steps": {STEP: GOOD | {"position": "first"}}}, {f"steps.{STEP}.position"}),
        ({"steps": {"Set up": GOOD}}, {"steps.Set up"}),
        ({"steps": {"": GOOD}}, {"steps."}),
        ({"steps": {7: GOOD}}, {"steps.7"}),
        ({"steps": {"a" * 65: GOOD}}, {f"steps.{'a' * 65}"}),
        ({"steps": {"a--b": GOOD, STEP: GOOD | {"weight": 0}}}, {"steps.a--b", f"steps.{STEP}.weight"}),
    ],
)
def test_each_problem_is_named_by_step_and_member(given: object, problems: set[str]) -> None:
    with pytest.raises(Invalid) as refused:
        definitions.read(given)
    assert set(refused.value.problems) == problems


def test_what_is_left_out_is_empty() -> None:
    assert definitions.read({"steps": {STEP: GOOD | {"description": None}}}) == [
        WantedStep(STEP, Fields("Set up payments", "", 30, ""), None)
    ]


def test_the_order_is_compared_and_not_the_numbers(session: Session) -> None:
    for step_id in ("one", "two"):
        a_step(session, step_id)
    here = steps.checklist(session)

    def same(one: int | None, two: int | None) -> bool:
        return definitions.same_order([WantedStep("two", Fields("2"), two), WantedStep("one", Fields("1"), one)], here)

    assert same(5, 90)
    assert same(7, 7)
    assert same(None, 1)
    assert not same(2, 1)


# Drafts ---------------------------------------------------------------------------------------------------------------


def test_a_step_that_differs_gets_a_draft_and_goes_on_living(session: Session) -> None:
    before = a_step(session, weight=10).live
    assert bring(session, set_up_payments=GOOD | {"title": "Set up payouts"}) == [
        Brought(STEP, "draft", 2, ["title", "weight"])
    ]
    step = steps.get(session, STEP)
    assert step.live == before
    assert draft_of(session).fields == Fields("Set up payouts", "", 30, "")
    assert draft_of(session).based_on == 1


def test_a_step_that_says_the_same_is_left_alone(session: Session) -> None:
    a_step(session, **GOOD)
    before = snapshot(session)
    assert bring(session, set_up_payments=GOOD) == [Brought(STEP, "unchanged", None)]
    assert bring(session, set_up_payments=GOOD | {"title": " Set up payments\n"}) == [Brought(STEP, "unchanged", None)]
    assert snapshot(session) == before


def test_a_new_step_is_made_with_a_first_draft(session: Session) -> None:
    a_step(session, OTHER)
    assert bring(session, b=GOOD, a=GOOD) == [Brought("b", "created", 1), Brought("a", "created", 1)]
    assert [step.step_id for step in steps.checklist(session)] == [OTHER, "b", "a"]
    assert steps.get(session, "b").live is None


def test_a_second_import_saves_the_same_draft_again(session: Session) -> None:
    a_step(session)
    bring(session, set_up_payments=GOOD)
    before = draft_of(session).row_version
    again = bring(session, set_up_payments=GOOD)
    assert again == [Brought(STEP, "unchanged", 2, note="the draft of version 2 says this already")]
    assert draft_of(session).row_version == before
    assert bring(session, set_up_payments=GOOD | {"weight": 31})[0].outcome == "draft"
    assert draft_of(session).row_version == before + 1


def test_a_draft_of_a_step_never_released_is_saved_too(session: Session) -> None:
    a_step(session, released=False)
    assert bring(session, set_up_payments=GOOD) == [Brought(STEP, "draft", 1, ["weight"])]


def test_after_a_rollback_the_draft_is_above_every_version(session: Session) -> None:
    a_step(session)
    a_release(session)
    releases.roll_back(session, MAYA, STEP)
    assert bring(session, set_up_payments=GOOD) == [Brought(STEP, "draft", 3, ["weight"])]


def test_somebody_elses_draft_is_refused_and_nothing_is_changed(session: Session) -> None:
    a_step(session)
    a_step(session, OTHER)
    a_draft(session, title="Maya's words")
    before = snapshot(session)
    with pytest.raises(DraftsOpen, match="“set-up-payments” has an open draft of version 2 by maya@"):
        bring(session, NOOR, invite_team=GOOD, set_up_payments=GOOD)
    assert snapshot(session) == before


def test_somebody_elses_draft_is_replaced_when_asked_and_its_words_are_kept_in_the_audit_log(session: Session) -> None:
    a_step(session)
    theirs = a_draft(session, title="Maya's words")
    brought = bring(session, NOOR, discard_drafts=True, set_up_payments=GOOD)
    assert brought == [Brought(STEP, "draft", 2, ["weight"], "replaces the draft by maya@example.com")]
    assert (draft_of(session).edited_by, draft_of(session).fields.title) == (NOOR.key, "Set up payments")
    with pytest.raises(StaleDraft):
        drafts.save(session, MAYA, STEP, asdict(theirs.fields), theirs.row_version)
    last = session.execute(text("SELECT changes FROM audit_log ORDER BY id DESC LIMIT 1")).scalar_one()
    assert last["title"] == ["Maya's words", "Set up payments"]


@pytest.mark.parametrize("discard_drafts", [False, True])
def test_somebody_elses_draft_is_left_alone_where_the_live_version_is_wanted(
    session: Session, discard_drafts: bool
) -> None:
    a_step(session, **GOOD)
    a_draft(session, title="Maya's words")
    before = snapshot(session)
    assert bring(session, NOOR, discard_drafts=discard_drafts, set_up_payments=GOOD) == [
        Brought(STEP, "unchanged", 2, note="the draft of version 2 by maya@example.com was left alone")
    ]
    assert snapshot(session) == before


def test_a_withdrawn_step_is_refused_where_it_would_change(session: Session) -> None:
    a_step(session, **GOOD)
    releases.withdraw(session, MAYA, STEP)
    before = snapshot(session)
    assert bring(session, set_up_payments=GOOD) == [Brought(STEP, "unchanged", None, note="is withdrawn")]
    with pytest.raises(Refused, match="Withdrawn: “set-up-payments”"):
        bring(session, new_one=GOOD, set_up_payments=GOOD | {"weight": 1})
    assert snapshot(session) == before


def test_only_a_step_adopted_with_capitals_may_have_them(session: Session) -> None:
    a_step(session, "gone", released=False)
    session.execute(text("INSERT INTO steps (step_id, position) VALUES ('Old', 9)"))
    session.execute(text("UPDATE onboarding_step_definitions SET step_id = 'Old' WHERE step_id = 'gone'"))
    assert bring(session, Old=GOOD)[0].outcome == "draft"
    with pytest.raises(Invalid) as refused:
        bring(session, New=GOOD)
    assert list(refused.value.problems) == ["steps.New"]
