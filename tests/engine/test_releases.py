"""Release, roll back, withdraw, restore, migrate: what each does, what it refuses, and when a plan is stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import batch, bulk_changes, cutover, drafts, imports, plans, progress, releases, steps
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.errors import (
    AlreadyReleased,
    BrokenInvariant,
    Invalid,
    NotFound,
    Refused,
    StalePlan,
    Withdrawn,
)
from dashboard.onboarding.history import releases_of_step
from dashboard.onboarding.people import find
from dashboard.onboarding.plans import Planned
from dashboard.onboarding.steps import Fields
from tests.factories import (
    ANNA,
    BEN,
    HOST,
    MAYA,
    NOOR,
    OTHER,
    SAM,
    STEP,
    a_draft,
    a_person,
    a_release,
    a_save,
    a_step,
    people,
    row_version_of,
    snapshot,
    status_of,
)

MOVES: list[Callable[..., Outcome]] = [releases.release, releases.roll_back, releases.withdraw, releases.restore]


def seen(session: Session, **more: Any) -> Planned:
    """What a preview opened now would be confirmed with."""
    step = steps.get(session, STEP)
    return Planned(step.release_id or 0, step.draft.row_version if step.draft else None, **more)


# The original's own figures -------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(session: Session) -> list[str]:
    """200 people: 100 have done the step, 50 are in progress, 50 have not started."""
    a_step(session)
    crowd = people(session, 200)
    for user_id in crowd[:100]:
        a_save(session, "done", user_id)
    for user_id in crowd[100:150]:
        a_save(session, "in_progress", user_id)
    return crowd


def test_100_done_50_in_progress_50_not_started_are_copied_reset_untouched(session: Session, crowd: list[str]) -> None:
    impact = a_release(session).impact
    assert (impact.copied, impact.reset, impact.untouched) == (100, 50, 50)
    assert (impact.affected, impact.restored, impact.everybody) == (150, 0, 200)
    assert {status_of(session, user_id) for user_id in crowd[:100]} == {"done"}
    assert {status_of(session, user_id) for user_id in crowd[100:]} == {"todo"}


def test_a_rollback_gives_the_50_back_and_keeps_what_one_of_them_finished(session: Session, crowd: list[str]) -> None:
    a_release(session)
    a_save(session, "done", crowd[100])
    impact = releases.roll_back(session, MAYA, STEP).impact
    assert (impact.restored, impact.kept_later, impact.copied, impact.reset) == (49, 1, 101, 0)
    assert {status_of(session, user_id) for user_id in crowd[101:150]} == {"in_progress"}
    assert status_of(session, crowd[100]) == "done"
    assert {status_of(session, user_id) for user_id in crowd[150:]} == {"todo"}


# Releasing ------------------------------------------------------------------------------------------------------------


def test_the_first_release_is_called_publish_and_later_ones_migrate(session: Session) -> None:
    a_step(session, released=False)
    first = releases.release(session, MAYA, STEP, Policy(False, False, False), note="  Hello ")
    assert (first.release.kind, first.release.number, first.release.version) == ("publish", 1, 1)
    assert (first.release.note, first.release.released_by, first.release.policy) == ("Hello", MAYA.key, KEEP_ALL)
    second = a_release(session, title="Again")
    assert (second.release.kind, second.release.number, second.release.version) == ("migrate", 2, 2)
    assert [change.member for change in second.changes] == ["title"]
    assert second.after == steps.get(session, STEP).live


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Policy(), {"done", "skipped"}),
        (Policy(done=False), {"skipped"}),
        (Policy(skipped=False), {"done"}),
        (KEEP_ALL, {"done", "skipped", "in_progress"}),
        (Policy(False, False, False), set()),
    ],
)
def test_a_policy_decides_for_each_status_whether_it_is_kept(session: Session, policy: Policy, kept: set[str]) -> None:
    a_step(session)
    for status in ("done", "skipped", "in_progress"):
        a_person(session, status)
        a_save(session, status, status)
    a_release(session, STEP, policy)
    assert {status for status in ("done", "skipped", "in_progress") if status_of(session, status) == status} == kept


def test_new_words_keep_work_in_progress_and_a_new_weight_does_not() -> None:
    before = Fields("Pay", "", 10, "")
    assert releases.suggested_policy(before, Fields("Pay us", "Please", 10, "/pay")) == (KEEP_ALL, "words")
    assert releases.suggested_policy(before, Fields("Pay us", "", 11, "")) == (Policy(), "weight")
    assert releases.suggested_policy(before, before) == (KEEP_ALL, "same")
    assert releases.suggested_policy(None, before) == (KEEP_ALL, "first")


def test_without_a_draft_there_is_nothing_to_release(session: Session) -> None:
    a_step(session)
    with pytest.raises(Refused, match="no draft"):
        releases.release(session, MAYA, STEP)


@pytest.mark.parametrize("move", MOVES)
def test_a_step_that_is_not_there_is_not_found(session: Session, move: Callable[..., Outcome]) -> None:
    with pytest.raises(NotFound):
        move(session, MAYA, "nowhere")


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("note", ["x" * 2001, "a\0b", "\ud800"])
def test_a_note_that_cannot_be_kept_is_named(session: Session, move: Callable[..., Outcome], note: str) -> None:
    a_step(session)
    a_release(session)
    if move is releases.restore:
        releases.withdraw(session, MAYA, STEP)
    elif move is releases.release:
        a_draft(session)
    before = snapshot(session)
    with pytest.raises(Invalid) as refused:
        move(session, MAYA, STEP, note=note)
    assert list(refused.value.problems) == ["note"]
    assert snapshot(session) == before


def test_a_reason_is_kept_trimmed_and_needed_only_where_it_is_required() -> None:
    assert (releases.reason("  Because. \n"), releases.reason(" "), releases.reason("x", required=True)) == (
        "Because.",
        "",
        "x",
    )
    for nothing in ("", " \n"):
        with pytest.raises(Invalid) as refused:
            releases.reason(nothing, required=True)
        assert refused.value.problems == {"note": "is required"}


def test_a_release_is_found_by_its_number_with_its_receipt(session: Session) -> None:
    a_step(session)
    outcome = a_release(session)
    found = releases.get(session, STEP, 2)
    assert found.receipt
    assert found.receipt["impact"] == outcome.impact.as_json()
    assert [one.number for one in releases.of_step(session, STEP, limit=9)] == [2, 1]


@pytest.mark.parametrize("number", [0, -1, 2, 2**31, 2**70])
def test_a_release_that_is_not_there_is_not_found(session: Session, number: int) -> None:
    a_step(session)
    with pytest.raises(NotFound):
        releases.get(session, STEP, number)


# Rolling back ---------------------------------------------------------------------------------------------------------


def test_rolling_back_again_and_again_ends_at_the_first_version(session: Session) -> None:
    a_step(session)
    a_release(session)
    a_release(session)
    assert [releases.roll_back(session, MAYA, STEP).release.version for _ in range(2)] == [2, 1]
    with pytest.raises(Refused, match="first version"):
        releases.roll_back(session, MAYA, STEP)


def test_each_rollback_of_a_stack_gives_back_what_its_release_took(session: Session) -> None:
    a_step(session)
    for user_id in (ANNA, BEN):
        a_person(session, user_id)
    a_save(session, "in_progress", ANNA)
    a_release(session)
    a_save(session, "in_progress", BEN)
    a_release(session, STEP, Policy(False, False, False))
    seen_after = []
    for _ in range(2):
        releases.roll_back(session, MAYA, STEP)
        seen_after.append((status_of(session, ANNA), status_of(session, BEN)))
    assert seen_after == [("todo", "in_progress"), ("in_progress", "in_progress")]


def test_a_release_after_a_rollback_is_undone_before_the_one_under_it(session: Session) -> None:
    a_step(session)
    a_release(session)
    a_release(session)
    releases.roll_back(session, MAYA, STEP)
    a_release(session)
    undone, target = releases.rollback_target(releases_of_step(session, STEP))
    assert (undone.number, undone.version, target.number, target.version) == (5, 4, 2, 2)


def test_a_step_that_was_never_released_cannot_be_rolled_back(session: Session) -> None:
    a_step(session, released=False)
    with pytest.raises(Refused):
        releases.roll_back(session, MAYA, STEP)


# Withdrawing and restoring --------------------------------------------------------------------------------------------


def test_a_withdrawn_step_takes_nothing_and_a_restore_gives_everything_back(session: Session) -> None:
    a_step(session)
    a_person(session)
    a_save(session, "in_progress")
    a_draft(session)
    releases.withdraw(session, MAYA, STEP)
    assert steps.get(session, STEP).withdrawn
    for refused in (
        lambda: progress.save(session, HOST, ANNA, STEP, "done", row_version_of(session)),
        lambda: releases.release(session, MAYA, STEP),
        lambda: releases.roll_back(session, MAYA, STEP),
    ):
        with pytest.raises(Withdrawn):
            refused()
    with pytest.raises(Refused, match=r"^The step is already withdrawn\.$"):
        releases.withdraw(session, MAYA, STEP)
    releases.restore(session, MAYA, STEP)
    assert status_of(session) == "in_progress"
    assert releases.release(session, MAYA, STEP, KEEP_ALL).release.kind == "migrate"


def test_withdrawn_after_a_rollback_a_step_comes_back_in_the_version_that_was_live(session: Session) -> None:
    a_step(session)
    a_release(session)
    a_release(session)
    releases.roll_back(session, MAYA, STEP)
    releases.withdraw(session, MAYA, STEP)
    assert releases.restore(session, MAYA, STEP).release.version == 2
    assert releases.roll_back(session, MAYA, STEP).release.version == 1


def test_only_what_is_live_is_withdrawn_and_only_what_is_withdrawn_is_restored(session: Session) -> None:
    a_step(session, released=False)
    with pytest.raises(Refused, match="never released"):
        releases.withdraw(session, MAYA, STEP)
    with pytest.raises(Refused, match="not withdrawn"):
        releases.restore(session, MAYA, STEP)
    a_step(session, OTHER)
    with pytest.raises(Refused, match="not withdrawn"):
        releases.restore(session, MAYA, OTHER)


# Plans ----------------------------------------------------------------------------------------------------------------


def test_what_was_previewed_goes_live(session: Session) -> None:
    a_step(session)
    a_draft(session)
    assert releases.release(session, MAYA, STEP, planned=seen(session)).release.number == 2


@pytest.mark.parametrize("move", MOVES)
def test_a_plan_is_stale_after_another_release(session: Session, move: Callable[..., Outcome]) -> None:
    a_step(session)
    a_release(session)
    plan = seen(session)
    releases.withdraw(session, NOOR, STEP)
    if move is not releases.restore:
        releases.restore(session, NOOR, STEP)
    before = snapshot(session)
    with pytest.raises(StalePlan, match="went live since") as stale:
        move(session, MAYA, STEP, planned=plan)
    assert not isinstance(stale.value, AlreadyReleased)
    assert snapshot(session) == before


def test_a_plan_for_a_step_that_has_no_release_is_stale(session: Session) -> None:
    a_step(session, released=False)
    with pytest.raises(StalePlan):
        releases.release(session, MAYA, STEP, planned=Planned(99))


def test_a_plan_is_stale_when_the_draft_was_saved_again(session: Session) -> None:
    a_step(session)
    draft = a_draft(session)
    plan = seen(session)
    drafts.save(session, NOOR, STEP, {"title": "Something else"}, draft.row_version)
    with pytest.raises(StalePlan, match="draft was saved again"):
        releases.release(session, MAYA, STEP, planned=plan)


def test_a_second_press_is_told_that_it_was_done_and_by_which_release(session: Session) -> None:
    a_step(session)
    a_draft(session)
    plan = seen(session)
    first = releases.release(session, MAYA, STEP, planned=plan)
    with pytest.raises(AlreadyReleased) as again:
        releases.release(session, MAYA, STEP, planned=plan)
    assert again.value.release.id == first.release.id
    with pytest.raises(StalePlan) as other:
        releases.release(session, NOOR, STEP, planned=plan)
    assert not isinstance(other.value, AlreadyReleased)


def test_a_release_that_asked_nobody_to_finish_again_is_not_the_one_that_was_to(session: Session) -> None:
    a_step(session)
    a_draft(session)
    plan = seen(session)
    releases.release(session, MAYA, STEP, planned=plan)
    with pytest.raises(StalePlan) as stale:
        releases.release(session, MAYA, STEP, planned=plan, reopens_finished=True)
    assert not isinstance(stale.value, AlreadyReleased)


def test_a_release_of_another_draft_is_not_the_one_that_was_planned(session: Session) -> None:
    a_step(session)
    draft = a_draft(session)
    plan = seen(session)
    drafts.save(session, MAYA, STEP, {"title": "Something else"}, draft.row_version)
    releases.release(session, MAYA, STEP, planned=seen(session))
    with pytest.raises(StalePlan) as stale:
        releases.release(session, MAYA, STEP, planned=plan)
    assert not isinstance(stale.value, AlreadyReleased)


@pytest.mark.parametrize(("predicted", "goes_through"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_people_may_drift_within_the_tolerance_both_ways(session: Session, predicted: int, goes_through: bool) -> None:
    a_step(session)
    for user_id in people(session, 2):
        a_save(session, "in_progress", user_id)
    a_draft(session)
    plan = seen(session, predicted={"reset": predicted}, tolerance=1)
    before = snapshot(session)
    if goes_through:
        assert releases.release(session, MAYA, STEP, planned=plan).impact.reset == 2
        return
    with releases.dry_run(session), pytest.raises(StalePlan, match=rf"Reset: {predicted} people .*, 2 now"):
        releases.release(session, MAYA, STEP, planned=plan)
    assert snapshot(session) == before


def test_a_rollback_may_drift_in_what_it_gives_back(session: Session) -> None:
    a_step(session)
    a_person(session)
    a_save(session, "in_progress")
    a_release(session)
    with pytest.raises(StalePlan, match="Given back: 3 people"):
        releases.roll_back(session, MAYA, STEP, planned=seen(session, predicted={"restored": 3}, tolerance=1))


def test_the_tolerance_is_a_share_of_everybody_but_never_under_a_few_people() -> None:
    assert [plans.tolerance(everybody, 1.0, 10) for everybody in (0, 999, 1_100, 1_000_000)] == [10, 10, 11, 10_000]


def test_a_dry_run_changes_nothing_even_when_what_it_tries_is_refused(session: Session) -> None:
    a_step(session)
    before = snapshot(session)
    went_through = []
    with pytest.raises(Refused, match="no draft to release"), releases.dry_run(session):
        a_draft(session)
        went_through.append(releases.release(session, MAYA, STEP).release.number)
        releases.release(session, MAYA, STEP)
    assert went_through == [2]
    assert snapshot(session) == before


# What a release is held to --------------------------------------------------------------------------------------------

COUNTS = "every status counts as the policies of the releases since then say"
LOST = "no status is lost under a policy that keeps it"
GIVEN_BACK = "nobody is given back anything but by a rollback or a restore"
CURRENT = "this release is the step's current one"
LIVE = "exactly the released version is live"


@pytest.mark.parametrize(
    ("policy", "damage", "told"),
    [
        (Policy(), ("NOT m.carry_in_progress", "false"), [COUNTS, GIVEN_BACK]),
        (KEEP_ALL, ("NOT m.carry_done", "m.carry_done"), [COUNTS, LOST]),
    ],
)
def test_a_release_that_derives_wrongly_is_taken_back(
    session: Session, monkeypatch: pytest.MonkeyPatch, policy: Policy, damage: tuple[str, str], told: list[str]
) -> None:
    a_step(session)
    for user_id, status in ((ANNA, "in_progress"), (BEN, "done")):
        a_person(session, user_id)
        a_save(session, status, user_id)
    a_release(session)
    derived = str(cutover.DERIVE).replace(*damage)
    monkeypatch.setattr(cutover, "DERIVE", text(derived))
    with pytest.raises(BrokenInvariant) as broken, session.begin_nested():
        a_release(session, STEP, policy)
    assert str(broken.value) == f"It would have broken a rule that must always hold: {'; '.join(told)}."


@pytest.mark.parametrize(("wrong", "told"), [({"release_id": 1}, CURRENT), ({"live": None}, LIVE)])
def test_a_release_that_does_not_go_live_is_taken_back(
    session: Session, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], told: str
) -> None:
    a_step(session)
    a_draft(session)
    read = steps.get
    monkeypatch.setattr(
        cutover, "steps", SimpleNamespace(**vars(steps) | {"get": lambda *which: replace(read(*which), **wrong)})
    )
    with pytest.raises(BrokenInvariant, match=told):
        releases.release(session, MAYA, STEP)


def test_a_receipt_lists_what_its_release_was_held_to(session: Session) -> None:
    a_step(session)
    a_release(session)
    receipt = releases.roll_back(session, MAYA, STEP).release.receipt
    assert receipt
    assert receipt["invariants"] == [COUNTS, LOST, GIVEN_BACK, CURRENT, LIVE]


# Finished (rule 8) ----------------------------------------------------------------------------------------------------


def test_finished_is_remembered_when_a_release_takes_people_below_100(session: Session) -> None:
    a_step(session)
    a_person(session)
    assert a_save(session, "done").finished
    impact = a_release(session, STEP, Policy(done=False)).impact
    assert (impact.before.finished, impact.after.finished, impact.moves.fall_from_100) == (1, 1, 1)


@pytest.mark.one_server("each node of a cluster has a clock of its own")
def test_a_release_that_reopens_ends_it_and_its_rollback_gives_it_back(session: Session) -> None:
    a_step(session)
    a_person(session)
    a_save(session, "done")
    a_draft(session)
    reopened = releases.release(session, MAYA, STEP, Policy(done=False), reopens_finished=True).impact
    assert (reopened.before.finished, reopened.after.finished) == (1, 0)
    back = releases.roll_back(session, MAYA, STEP).impact
    assert (back.before.finished, back.after.finished) == (0, 1)


def test_who_still_is_at_100_stays_finished_when_a_release_reopens(session: Session) -> None:
    a_step(session)
    a_person(session)
    a_save(session, "done")
    a_draft(session)
    assert releases.release(session, MAYA, STEP, reopens_finished=True).impact.after.finished == 1


def by_a_save(session: Session) -> None:
    a_save(session, "done")


def by_a_batch(session: Session) -> None:
    batch.save(session, HOST, STEP, "done", [batch.Update(ANNA, row_version_of(session))])


def by_a_bulk_change(session: Session) -> None:
    bulk_changes.carry_on(session, SAM, bulk_changes.create(session, SAM, [ANNA], STEP, "done"))


def by_an_import(session: Session) -> None:
    imports.import_csv(session, SAM, BytesIO(f"user_id,{STEP}\n{ANNA},done\n".encode()))


def by_an_import_that_brings_them(session: Session) -> None:
    session.execute(text("DELETE FROM user_search"))
    session.execute(text("DELETE FROM onboarding_users"))
    by_an_import(session)


@pytest.mark.parametrize(
    "finish", [by_a_save, by_a_batch, by_a_bulk_change, by_an_import, by_an_import_that_brings_them]
)
def test_who_comes_to_100_after_a_release_that_reopens_has_finished_whenever_the_transaction_began(
    session: Session, finish: Callable[[Session], None]
) -> None:
    """The transaction's moment is before that of the release, as where somebody else's was committed in between."""
    a_step(session)
    a_person(session)
    a_draft(session)
    reopened_at = releases.release(session, MAYA, STEP, reopens_finished=True).release.released_at
    assert session.scalar(text("SELECT now()")) < reopened_at
    finish(session)
    a_step(session, OTHER)
    person = find(session, ANNA)
    assert (person.progress, person.finished) == (50, True)


# The original's one call ----------------------------------------------------------------------------------------------


def test_migrate_makes_the_next_version_from_the_live_one(session: Session) -> None:
    a_step(session, title="Pay", weight=30)
    outcome = releases.migrate(session, HOST, STEP, 1, 2, {"title": "Pay us"})
    assert (outcome.release.version, outcome.release.policy) == (2, Policy())
    assert steps.get(session, STEP).live == outcome.after
    assert outcome.after
    assert outcome.after.fields == Fields("Pay us", "", 30, "")


@pytest.mark.parametrize(("from_version", "to_version"), [(2, 3), (0, 2), (1, 1), (1, 3), (1, 2**40)])
def test_migrate_is_stale_unless_it_goes_from_the_live_version_to_the_next(
    session: Session, from_version: int, to_version: int
) -> None:
    a_step(session)
    with pytest.raises(StalePlan), releases.dry_run(session):
        releases.migrate(session, HOST, STEP, from_version, to_version, {})
    assert len(steps.versions(session, STEP)) == 1


def test_migrate_throws_away_somebody_elses_draft_only_when_told_to(session: Session) -> None:
    a_step(session)
    a_draft(session)
    with pytest.raises(StalePlan, match="draft of version 2"):
        releases.migrate(session, HOST, STEP, 1, 2, {})
    assert releases.migrate(session, HOST, STEP, 1, 2, {"title": "Mine"}, discard_draft=True).release.version == 2


def test_migrate_names_bad_members_and_refuses_what_is_not_live(session: Session) -> None:
    a_step(session)
    with pytest.raises(Invalid) as refused, releases.dry_run(session):
        releases.migrate(session, HOST, STEP, 1, 2, {"weight": "ten", "colour": "red"})
    assert set(refused.value.problems) == {"weight", "colour"}
    releases.withdraw(session, MAYA, STEP)
    with pytest.raises(Withdrawn):
        releases.migrate(session, HOST, STEP, 1, 2, {})
    with pytest.raises(NotFound):
        releases.migrate(session, HOST, "nowhere", 1, 2, {})
