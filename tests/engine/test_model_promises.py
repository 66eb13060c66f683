"""The invariants of the model, one test each, named after it.

Two more are tests of their own: that the view equals an eager implementation with before-images is
`test_model_property.py`; that a failure leaves all of a release or none of it is `reliability/test_failures.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from dashboard.onboarding import history, releases
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.errors import Refused
from tests.factories import MAYA, STATUSES, STEP, a_person, a_release, a_save, a_step, row_version_of, status_of

PEOPLE = ("anna", "ben", "cleo")

quickly = settings(
    max_examples=12,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
policies = st.builds(Policy, st.booleans(), st.booleans(), st.booleans())
saves = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(STATUSES))
moves = st.lists(st.one_of(saves, policies, st.just("roll back")), max_size=7)
Move = tuple[str, str] | Policy | str


def play(session: Session, told: list[Move], after_each: Callable[[Outcome | None], None]) -> None:
    """A step, three people, and then the moves, all taken back at the end."""
    with session.begin_nested() as example:
        a_step(session)
        for user_id in PEOPLE:
            a_person(session, user_id)
        for move in told:
            outcome = None
            if isinstance(move, Policy):
                outcome = a_release(session, STEP, move)
            elif isinstance(move, tuple):
                a_save(session, move[1], move[0])
            else:
                try:
                    outcome = releases.roll_back(session, MAYA, STEP)
                except Refused:
                    continue
            after_each(outcome)
        example.rollback()


@quickly
@given(told=moves)
def test_row_versions_of_one_person_and_step_have_no_gap_and_no_repeat(session: Session, told: list[Move]) -> None:
    def check(_: Outcome | None) -> None:
        for user_id in PEOPLE:
            changes = history.changes_since(session, user_id, STEP, 0)
            current = row_version_of(session, user_id)
            assert [change.row_version for change in changes] == list(range(2, current + 1))
            assert [change.kind for change in changes].count("event") == len(history.events_of(session, user_id))

    play(session, told, check)


@quickly
@given(told=moves)
def test_affected_and_untouched_people_are_all_people(session: Session, told: list[Move]) -> None:
    was = dict.fromkeys(PEOPLE, "todo")

    def check(outcome: Outcome | None) -> None:
        now = {user_id: status_of(session, user_id) for user_id in PEOPLE}
        if outcome:
            impact = outcome.impact
            moved = Counter((was[user_id], now[user_id]) for user_id in PEOPLE)
            reset = sum(n for (before, after), n in moved.items() if before != after == "todo")
            restored = sum(n for (before, after), n in moved.items() if before == "todo" != after)
            kept = sum(n for (before, after), n in moved.items() if before == after != "todo")
            assert (impact.copied, impact.reset, impact.restored) == (kept, reset, restored)
            assert impact.affected == kept + reset + restored
            assert impact.affected + impact.untouched == impact.everybody == len(PEOPLE)
        was.update(now)

    play(session, told, check)


@quickly
@given(told=moves, policy=policies)
def test_no_status_is_lost_under_a_policy_that_keeps_it(session: Session, told: list[Move], policy: Policy) -> None:
    was: dict[str, str] = {}

    def check(outcome: Outcome | None) -> None:
        now = {user_id: status_of(session, user_id) for user_id in PEOPLE}
        if outcome and outcome.release.kind == "migrate":
            for user_id, before in was.items():
                kept = before == "todo" or getattr(outcome.release.policy, before)
                assert now[user_id] == (before if kept else "todo")
        was.update(now)

    play(session, [*told, policy], check)
