"""The people behind the counts of a release."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from dashboard.onboarding import affected, progress, releases, steps
from dashboard.onboarding.affected import WHICH, Which
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.errors import Invalid
from tests.factories import MAYA, OTHER, SAM, STEP, a_draft, a_person, a_step

pytestmark = pytest.mark.usefixtures("few_and_many")

ASK_AGAIN = Policy(skipped=False)
CAST = {"anna": "done", "ben": "skipped", "cleo": "in_progress", "dora": "todo"}


def every_test_begins_with(session: Session) -> None:
    a_step(session)
    for name, status in CAST.items():
        a_person(session, name, name=name.title())
        progress.save(session, SAM, name, STEP, status, 1)
    a_person(session, "eve", name="Eve")


def previewed(session: Session, policy: Policy = ASK_AGAIN) -> Outcome:
    if steps.get(session, STEP).draft is None:
        a_draft(session)
    with releases.dry_run(session):
        return releases.release(session, MAYA, STEP, policy)


def names(session: Session, outcome: Outcome, which: Which) -> list[str]:
    return [person.user_id for person in affected.page(session, outcome.counted, which).people]


def test_each_filter_lists_those_whom_it_counts(session: Session) -> None:
    outcome = previewed(session)
    assert names(session, outcome, "all") == ["anna", "ben", "cleo"]
    assert names(session, outcome, "reset") == ["ben", "cleo"]
    assert names(session, outcome, "copied") == ["anna"]
    assert names(session, outcome, "down") == ["ben"]
    assert names(session, outcome, "fall") == ["ben"]
    assert names(session, outcome, "restored") == []


def test_the_list_agrees_with_the_report(session: Session) -> None:
    outcome = previewed(session)
    counts = affected.counts(outcome.counted)
    assert counts == {which: len(names(session, outcome, which)) for which in WHICH}
    report = outcome.impact
    assert counts == {
        "all": report.affected,
        "reset": report.reset,
        "copied": report.copied,
        "restored": report.restored,
        "kept": report.kept_later,
        "up": report.moves.up,
        "down": report.moves.down,
        "fall": report.moves.fall_from_100,
    }


def test_who_goes_up_is_listed_where_nobody_has_done_the_step(session: Session) -> None:
    a_step(session, OTHER, weight=50)
    for user_id in ("anna", "cleo", "eve"):
        progress.save(session, SAM, user_id, OTHER, "done", 1)
    with releases.dry_run(session):
        outcome = releases.withdraw(session, MAYA, STEP)
    # Anna stays at 100, Ben's work on it goes with it
    assert names(session, outcome, "up") == ["cleo", "eve"]
    assert [person.points for person in affected.stream(session, outcome.counted, "up")] == [17, 17]
    assert (outcome.impact.moves.up, names(session, outcome, "down")) == (2, ["ben"])


def test_each_line_shows_before_and_after(session: Session) -> None:
    (ben,) = affected.page(session, previewed(session).counted, "fall").people
    assert (ben.before, ben.after, ben.percent_before, ben.percent_after, ben.points) == (
        "skipped",
        "todo",
        100,
        0,
        -100,
    )


def test_who_has_not_begun_it_falls_behind_by_a_step_that_weighs_more(session: Session) -> None:
    a_step(session, OTHER, weight=50)
    for user_id in ("anna", "dora"):
        progress.save(session, SAM, user_id, OTHER, "done", 1)
    a_draft(session, weight=100)
    outcome = previewed(session, KEEP_ALL)
    (dora,) = affected.page(session, outcome.counted, "down").people
    assert (dora.user_id, dora.before, dora.percent_after) == ("dora", "todo", 33)


def test_a_rollback_lists_who_gets_back_and_who_keeps_later_work(session: Session) -> None:
    a_draft(session)
    releases.release(session, MAYA, STEP, Policy(skipped=False))
    progress.save(session, SAM, "cleo", STEP, "done", 3)
    with releases.dry_run(session):
        outcome = releases.roll_back(session, MAYA, STEP)
    assert names(session, outcome, "restored") == ["ben"]
    assert names(session, outcome, "kept") == ["cleo"]


def test_pages_visit_everybody_once_and_lead_back(session: Session) -> None:
    counted = previewed(session).counted
    first = affected.page(session, counted, limit=2)
    second = affected.page(session, counted, cursor=first.next, limit=2)
    back = affected.page(session, counted, cursor=second.previous, limit=2)
    assert [person.user_id for person in (*first.people, *second.people)] == ["anna", "ben", "cleo"]
    assert (second.next, list(back.people)) == (None, list(first.people))


def test_the_stream_is_the_list_whole(session: Session) -> None:
    counted = previewed(session).counted
    assert list(affected.stream(session, counted)) == list(affected.page(session, counted).people)


def test_a_broken_cursor_is_named(session: Session) -> None:
    with pytest.raises(Invalid) as broken:
        affected.page(session, previewed(session).counted, cursor="%%%")
    assert list(broken.value.problems) == ["cursor"]
