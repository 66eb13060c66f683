"""Random histories: the engine, which rewrites nobody's rows, has to equal the naive one that rewrites everybody's.

`Histories` plays the same moves on both and compares all that can be seen after each. It runs in one transaction, taken
back after every example; the clock is its own, since within a transaction PostgreSQL's stands still.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import everybody, history, impact, past, people, progress, releases, steps, user_steps
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.errors import Conflict, Invalid, Refused, StalePlan, Withdrawn
from dashboard.onboarding.plans import Planned
from tests import factories
from tests.engine import oracle
from tests.factories import MAYA, SAM, STATUSES

EXAMPLES = int(os.environ.get("HISTORIES", "16"))

which = st.integers(0, 7)
weights = st.integers(1, 12)
policies = st.builds(Policy, st.booleans(), st.booleans(), st.booleans())

VIEW = text("SELECT user_id, step_id, step_version, status, row_version, updated_at, updated_by FROM user_onboarding")
RECEIPT = text("SELECT receipt FROM step_releases WHERE id = :id")


class Histories(RuleBasedStateMachine):
    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.transaction = connection.begin()
        self.session = Session(connection, join_transaction_mode="create_savepoint")
        self.truth = oracle.Oracle()
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.told: dict[tuple[datetime, str], tuple[object, ...]] = {}

    def teardown(self) -> None:
        try:
            self.everybody_is_looked_back_at()
        finally:
            self.session.close()
            self.transaction.rollback()

    # The moves ---------------------------------------------------------------------------------------------------

    @initialize(crowd=st.integers(1, 4), weight=weights)
    def begin(self, crowd: int, weight: int) -> None:
        for _ in range(crowd):
            self.someone_joins()
        self.a_step_is_published(weight, False)

    @precondition(lambda self: len(self.truth.finished_at) < 6)
    @rule()
    def someone_joins(self) -> None:
        person = f"p{len(self.truth.finished_at)}"
        factories.a_person(self.session, person)
        self.truth.join(person)

    @precondition(lambda self: len(self.truth.steps) < 3)
    @rule(weight=weights, reopens=st.booleans())
    def a_step_is_published(self, weight: int, reopens: bool) -> None:
        step_id = f"step-{len(self.truth.steps)}"
        at = self.tick()
        factories.a_step(self.session, step_id, weight=weight, released=False)
        self.session.execute(text("UPDATE steps SET created_at = :at WHERE step_id = :id"), {"at": at, "id": step_id})
        outcome = self.previewed(
            lambda planned: releases.release(
                self.session, MAYA, step_id, reopens_finished=reopens, planned=planned, at=at
            )
        )
        self.same_report(outcome, self.truth.publish(step_id, weight, MAYA.key, at, reopens))

    @rule(step=which, person=which, status=st.sampled_from(STATUSES), behind=st.sampled_from((0, 0, 0, 0, 1, 2, -1)))
    def someone_saves(self, step: int, person: int, status: str, behind: int) -> None:
        step_id, person_id = self.step(step), self.person(person)
        seen = self.truth.steps[step_id].rows[person_id].row_version - behind
        at = self.tick()
        try:
            self.truth.write(step_id, person_id, status, seen, SAM.key, at)
        except oracle.Refused:
            self.is_refused_with_the_reason(step_id, person_id, status, seen)
            return
        saved = progress.save(self.session, SAM, person_id, step_id, status, seen, at=at)
        row = self.truth.steps[step_id].rows[person_id]
        assert (saved.status, saved.before, saved.row_version, saved.updated_at) == (
            status,
            row.diary[-1].before,
            row.row_version,
            at,
        )
        assert saved.progress == self.truth.percent(person_id)
        assert saved.finished == self.truth.finished(person_id)

    @rule(step=which, statuses=st.lists(st.sampled_from(STATUSES), min_size=6, max_size=6))
    def everybody_saves(self, step: int, statuses: list[str]) -> None:
        for person, status in enumerate(statuses[: len(self.truth.finished_at)]):
            self.someone_saves(step, person, status, 0)

    @rule(step=which, weight=weights, policy=policies, reopens=st.booleans())
    def a_version_is_released(self, step: int, weight: int, policy: Policy, reopens: bool) -> None:
        step_id, at = self.step(step), self.tick()
        if self.truth.steps[step_id].live is None:
            with self.refusal(Withdrawn):
                releases.release(self.session, MAYA, step_id)
            return
        factories.a_draft(self.session, step_id, weight=weight)
        outcome = self.previewed(
            lambda planned: releases.release(
                self.session, MAYA, step_id, policy, reopens_finished=reopens, planned=planned, at=at
            )
        )
        keeps = tuple(status for status in ("done", "skipped", "in_progress") if getattr(policy, status))
        self.same_report(outcome, self.truth.migrate(step_id, weight, keeps, MAYA.key, at, reopens))

    @rule(step=which, times=st.integers(1, 3))
    def it_is_rolled_back(self, step: int, times: int) -> None:
        step_id = self.step(step)
        for _ in range(times):
            at = self.tick()
            try:
                report = self.truth.roll_back(step_id, MAYA.key, at)
            except oracle.Refused:
                with self.refusal(Refused):
                    releases.roll_back(self.session, MAYA, step_id)
                return
            outcome = self.previewed(
                lambda planned, at=at: releases.roll_back(self.session, MAYA, step_id, planned=planned, at=at)
            )
            self.same_report(outcome, report)

    @rule(step=which)
    def it_is_withdrawn_or_restored(self, step: int) -> None:
        step_id, at = self.step(step), self.tick()
        move = releases.withdraw if self.truth.steps[step_id].live else releases.restore
        back = releases.restore if move is releases.withdraw else releases.withdraw
        with self.refusal(Refused):
            back(self.session, MAYA, step_id)
        outcome = self.previewed(lambda planned: move(self.session, MAYA, step_id, planned=planned, at=at))
        told = self.truth.withdraw if move is releases.withdraw else self.truth.restore
        self.same_report(outcome, told(step_id, MAYA.key, at))

    def everybody_is_looked_back_at(self) -> None:
        """What was seen at each moment is what is worked out for it now."""
        for moment, person in self.told:
            assert self.standing_at(moment, person) == self.told[moment, person]

    def standing_at(self, moment: datetime, person: str) -> tuple[object, ...]:
        then = past.stood(self.session, people.find(self.session, person), moment)
        return (then.steps, *standing(then.person))

    # What is compared --------------------------------------------------------------------------------------------

    @invariant()
    def the_view_is_the_truth(self) -> None:
        seen = {(row.user_id, row.step_id): tuple(row)[2:] for row in self.session.execute(VIEW)}
        assert seen == {
            (person, step_id): (step.live, row.status, row.row_version, row.updated_at, row.updated_by)
            for step_id, step in self.truth.steps.items()
            for person, row in step.rows.items()
        }

    @invariant()
    def what_is_seen_is_kept_to_be_looked_back_at(self) -> None:
        for person in self.truth.finished_at:
            seen = user_steps.steps_of(self.session, person)
            self.told[self.now, person] = (seen, *standing(people.find(self.session, person)))

    @invariant()
    def every_row_version_is_one_event_or_one_release(self) -> None:
        of_step = history.releases_of(self.session)
        for person in self.truth.finished_at:
            events = history.events_of(self.session, person)
            for step_id, step in self.truth.steps.items():
                told = history.explain([event for event in events if event.step_id == step_id], of_step[step_id])
                row = step.rows[person]
                assert [change.row_version for change in told] == list(range(2, row.row_version + 1))
                joined = len(told) - len(row.diary)
                assert all(change.kind == "release" and change.to_status == "todo" for change in told[:joined])
                assert [
                    oracle.Entry(one.row_version, one.kind, one.by, one.from_status, one.to_status)
                    for one in told[joined:]
                ] == row.diary
                assert (told[-1].to_status if told else "todo") == row.status

    @invariant()
    def arrays_hold_what_the_rows_say(self) -> None:
        assert factories.people_with_wrong_arrays(self.session) == []

    @invariant()
    def progress_is_the_same_wherever_it_is_read(self) -> None:
        percents: Counter[int] = Counter()
        finished = 0
        for person in self.truth.finished_at:
            found = people.find(self.session, person)
            assert (found.progress, found.finished) == (self.truth.percent(person), self.truth.finished(person))
            percents[found.progress] += 1
            finished += found.finished
        overview = everybody.overview(self.session)
        assert (overview.spread.people, overview.spread.finished) == (percents, finished)
        for step_id, step in self.truth.steps.items():
            counts = Counter(row.status for row in step.rows.values())
            assert Counter(overview.funnel[step_id]) == counts
            if step_id in overview.stuck:
                assert len(overview.stuck[step_id].longest) == min(3, counts["in_progress"])

    def same_report(self, outcome: Outcome, told: oracle.Report) -> None:
        report = outcome.impact
        for name in ("matrix", "copied", "reset", "restored", "untouched", "kept_later", "everybody"):
            assert getattr(report, name) == getattr(told, name), name
        assert report.affected == told.copied + told.reset + told.restored
        assert sorted(report.before.people.elements()) == sorted(told.before.values())
        assert sorted(report.after.people.elements()) == sorted(told.after.values())
        assert (report.before.finished, report.after.finished) == (told.finished_before, told.finished_after)
        moved = [(told.before[person], told.after[person]) for person in told.after]
        assert report.moves == impact.Moves(
            up=sum(old < new for old, new in moved),
            down=sum(old > new for old, new in moved),
            same=sum(old == new for old, new in moved),
            largest_drop=max([0, *(old - new for old, new in moved)]),
            fall_from_100=sum(old == 100 > new for old, new in moved),
        )

    def previewed(self, move: Callable[[Planned | None], Outcome]) -> Outcome:
        """The move made for real after a dry run, which must foretell the receipt and change nothing; only once."""
        before = factories.snapshot(self.session)
        with releases.dry_run(self.session):
            foreseen = move(None)
            expected = self.receipt(foreseen)
        assert factories.snapshot(self.session) == before
        plan = steps.get(self.session, foreseen.release.step_id)
        planned = Planned(
            plan.release_id or 0,
            plan.draft.row_version if plan.draft else None,
            {"reset": foreseen.impact.reset, "restored": foreseen.impact.restored},
        )
        outcome = move(planned)
        assert outcome.impact == foreseen.impact
        assert outcome.changes == foreseen.changes
        receipt = self.receipt(outcome)
        assert receipt.pop("predicted") == {"reset": outcome.impact.reset, "restored": outcome.impact.restored}
        assert receipt.pop("drift") == {"reset": 0, "restored": 0}
        assert expected.pop("predicted") is expected.pop("drift") is None
        assert receipt == expected
        with self.refusal(StalePlan):
            move(planned)
        return outcome

    def receipt(self, outcome: Outcome) -> dict[str, Any]:
        receipt: dict[str, Any] = self.session.scalar(RECEIPT, {"id": outcome.release.id})
        assert receipt.pop("milliseconds") >= 0
        assert receipt["impact"] == outcome.impact.as_json()
        return receipt

    def is_refused_with_the_reason(self, step_id: str, person: str, status: str, seen: int) -> None:
        step = self.truth.steps[step_id]
        row = step.rows[person]
        why: type[Exception] = Invalid if seen < 1 or (step.live and seen > row.row_version) else Conflict
        with self.refusal(why if step.live or seen < 1 else Withdrawn) as refused:
            progress.save(self.session, SAM, person, step_id, status, seen)
        if isinstance(refused.value, Conflict):
            conflict = refused.value
            assert (conflict.attempted, conflict.current.row_version) == (seen, row.row_version)
            assert conflict.current.status == row.status
            assert [change.row_version for change in conflict.changes] == list(range(seen + 1, row.row_version + 1))

    @contextmanager
    def refusal(self, why: type[Exception]) -> Iterator[pytest.ExceptionInfo[Exception]]:
        """What is done inside is refused, and leaves everything as it was; a conflict is put on record."""
        before = factories.snapshot(self.session)
        with pytest.raises(why) as refused:
            yield refused
        after = factories.snapshot(self.session)
        assert len(after.pop("write_conflicts")) - len(before.pop("write_conflicts")) == (why is Conflict)
        assert after == before

    # Small helpers -----------------------------------------------------------------------------------------------

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def step(self, number: int) -> str:
        return f"step-{number % len(self.truth.steps)}"

    def person(self, number: int) -> str:
        return f"p{number % len(self.truth.finished_at)}"


def standing(person: people.Person) -> tuple[object, ...]:
    return person.progress, person.finished, person.finished_at, person.last_activity_at, person.next_step


def test_the_engine_equals_the_naive_eager_one_over_any_history(database: Database) -> None:
    with database.engine.connect() as connection:
        run_state_machine_as_test(
            lambda: Histories(connection),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=25,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
