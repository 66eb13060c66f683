"""The release desk at a million people and ten steps, beside the eager way of doing the same. It prints; it judges nothing.

Building the data takes minutes, so it runs only when it is asked for: `BENCH_PEOPLE=1000000 make bench`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from dashboard.database import Database
from dashboard.onboarding import affected, cutover, progress, releases, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.cutover import Terms
from dashboard.onboarding.errors import Conflict
from tests.benchmarks import data
from tests.benchmarks.measure import Timing, ratio, say, timed

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "0"))
STEP = "step-5"
AGENT = Actor("staff:agent@example.com", "web")

pytestmark = pytest.mark.skipif(not PEOPLE, reason="set BENCH_PEOPLE=1000000 to build a million people first")


def test_report(database: Database) -> None:
    """The whole report, again under another policy, a page of its people, and a count by status alone."""

    def preview(policy: Policy) -> Callable[[], None]:
        def job() -> None:
            with database.transaction() as session, releases.dry_run(session):
                releases.release(session, data.MANAGER, STEP, policy)

        return job

    def people() -> None:
        with database.transaction() as session:
            with releases.dry_run(session):
                counted = releases.release(session, data.MANAGER, STEP).counted
            affected.page(session, counted, "reset")

    def count_statuses() -> None:
        with database.transaction() as session:
            session.execute(
                text("SELECT status, count(*) FROM user_steps WHERE step_id = :step GROUP BY 1"), {"step": STEP}
            ).all()

    first, again, listed, plain = timed(
        preview(Policy()), preview(Policy(skipped=False)), people, count_statuses, runs=7, warm_up=1
    )
    print()
    say(f"full report, {PEOPLE:,} people (aim: under 600 ms)", first)
    say("again after a policy choice (aim: the same)", again)
    say("report and its first page of people", listed)
    say("SELECT status, count(*) of that step alone", plain)
    ratio("report against it", first, plain, 8)


def test_cut_over_and_rollback(database: Database) -> None:
    """The two transactions without their counting: what everybody's next read waits for."""

    def forth() -> None:
        with database.transaction() as session:
            step = releases._locked(session, STEP, None, None)
            terms = Terms("migrate", step.draft.version if step.draft else 0, Policy(), False, "", None)
            cutover.cut_over(session, data.MANAGER, step, terms)

    def back() -> None:
        with database.transaction() as session:
            step = releases._locked(session, STEP, None, None)
            undone, target = releases.rollback_target(session, STEP)
            terms = Terms("rollback", target.version, KEEP_ALL, False, "", None, undone)
            cutover.cut_over(session, data.MANAGER, step, terms)

    def draft() -> None:
        with database.transaction() as session:
            steps.start_draft(session, data.MANAGER, STEP)

    there, back_again, _ = timed(forth, back, draft, runs=15)
    print()
    say("cut-over (aim: under 10 ms)", there)
    say("cut-over of a rollback (aim: under 10 ms)", back_again)


def test_saves_while_a_release_runs(database: Database) -> None:
    """The slowest save of the step beside a release and a rollback, and beside the eager UPDATE of every row."""
    release_waits, release_took = _beside(database, lambda: _release_and_back(database))
    eager_waits, eager_took = _beside(database, lambda: _eagerly(database))
    print()
    say("release and rollback, counted, with receipts", release_took)
    say("slowest save meanwhile (aim: under 50 ms)", f"{max(release_waits.runs):9.1f} ms")
    say("eager UPDATE of the step's rows, one transaction", eager_took)
    say("slowest save meanwhile", f"{max(eager_waits.runs):9.1f} ms")


def _release_and_back(database: Database) -> None:
    with database.transaction() as session:
        releases.release(session, data.MANAGER, STEP)
    with database.transaction() as session:
        releases.roll_back(session, data.MANAGER, STEP)
    with database.transaction() as session:
        steps.start_draft(session, data.MANAGER, STEP)


EAGER = text("""
UPDATE user_steps SET status = CASE status WHEN 'in_progress' THEN 'todo' ELSE status END,
       row_version = row_version + 1, updated_at = now()
 WHERE step_id = :step
""")


def _eagerly(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.execute(EAGER, {"step": STEP})
        connection.rollback()


def _beside(database: Database, job: Callable[[], None]) -> tuple[Timing, Timing]:
    """How long each save of the step waited while the job ran, and how long the job took."""
    with database.transaction() as session:
        people = [row[0] for row in data.some_rows(session, 4000) if row[1] == STEP]
    waits: list[float] = []
    over = threading.Event()

    def save_on() -> None:
        for user_id in people * 100:
            if over.is_set():
                return
            with database.transaction() as session:
                seen = progress.step_of(session, user_id, STEP).row_version
            started = time.perf_counter()
            try:
                with database.transaction() as session:
                    progress.save(session, AGENT, user_id, STEP, "done", seen)
            except Conflict:
                continue
            waits.append((time.perf_counter() - started) * 1000)

    saver = threading.Thread(target=save_on)
    saver.start()
    (took,) = timed(job, runs=1, warm_up=0)
    over.set()
    saver.join()
    return Timing(tuple(waits)), took
