"""Scenarios of releases: what a manager waits for, and what everybody else does meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle

from sqlalchemy import text

from dashboard.onboarding import cutover, drafts, everybody, progress, releases, steps, user_steps
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.cutover import Terms
from dashboard.onboarding.errors import Conflict
from dashboard.onboarding.history import releases_of_step
from tests.benchmarks import data
from tests.benchmarks.scenario import Scenario, Side, Sides
from tests.benchmarks.world import AGENT, World

STEP = "step-5"
SAVES_AT_LEAST = 20


@contextmanager
def previewing(world: World) -> Iterator[Sides]:
    def ours() -> None:
        with world.database.transaction() as session, releases.dry_run(session):
            releases.release(session, data.MANAGER, STEP)

    _need_draft(world)
    yield Sides(Side(ours), _where_plain(world, _would_migrate, _count))


@contextmanager
def looking_over(world: World) -> Iterator[Sides]:
    def ours() -> None:
        with world.database.transaction() as session:
            everybody.overview(session)

    def count_statuses() -> None:
        with world.database.statements() as session:
            session.execute(text("SELECT step_id, status, count(*) FROM user_steps GROUP BY 1, 2")).all()

    yield Sides(Side(ours), {"a count of all rows by step and status": Side(count_statuses)})


@contextmanager
def releasing(world: World) -> Iterator[Sides]:
    def ours() -> None:
        with world.database.transaction() as session:
            releases.release(session, data.MANAGER, STEP)

    yield Sides(Side(ours, lambda: _need_draft(world)), _where_plain(world, _migrate))


@contextmanager
def cutting_over(world: World) -> Iterator[Sides]:
    yield Sides(Side(lambda: _cut_over(world), lambda: _need_draft(world)), _where_plain(world, _migrate))


@contextmanager
def rolling_back(world: World) -> Iterator[Sides]:
    def ours() -> None:
        with world.database.transaction() as session:
            step = releases._locked(session, STEP, None, None)
            undone, target = releases.rollback_target(releases_of_step(session, STEP))
            terms = Terms("rollback", target.version, KEEP_ALL, False, "", None, undone)
            cutover.cut_over(session, data.MANAGER, step, terms)

    def before() -> None:
        _need_draft(world)
        _cut_over(world)

    yield Sides(Side(ours, before), _where_plain(world, _roll_back))


@contextmanager
def saving_meanwhile(world: World) -> Iterator[Sides]:
    """The slowest save of the step beside a whole release and its rollback, and beside the eager one."""
    with world.database.transaction() as session:
        people = [row[0] for row in data.some_rows(session, 4_000, STEP)]
    ours, other = cycle(people), cycle(people)

    def save() -> None:
        user_id = next(ours)
        with world.database.transaction() as session:
            seen = user_steps.step_of(session, user_id, STEP).row_version
        try:
            with world.database.transaction() as session:
                progress.save(session, AGENT, user_id, STEP, "done", seen)
        except Conflict:
            return

    def release_and_back() -> None:
        with world.database.transaction() as session:
            releases.release(session, data.MANAGER, STEP)
        with world.database.transaction() as session:
            releases.roll_back(session, data.MANAGER, STEP)

    plain = world.plain
    yield Sides(
        Side(lambda: _slowest(save, release_and_back), lambda: _need_draft(world)),
        {
            "beside the eager migration and back": Side(
                lambda: _slowest(
                    lambda: plain.save_checked(next(other), STEP, "done"),
                    lambda: (plain.migrate(STEP), plain.roll_back(STEP)),
                ),
                plain.vacuum,
            )
        },
    )


def _slowest(save: Callable[[], None], job: Callable[[], object]) -> float:
    """The longest that any save waited while the job ran, in ms."""
    waits: list[float] = []
    failures: list[Exception] = []
    over = threading.Event()

    def save_on() -> None:
        try:
            while not over.is_set() or len(waits) < SAVES_AT_LEAST:
                started = time.perf_counter()
                save()
                waits.append((time.perf_counter() - started) * 1000)
        except Exception as failure:
            failures.append(failure)

    saver = threading.Thread(target=save_on)
    saver.start()
    try:
        job()
    finally:
        over.set()
        saver.join()
    if failures:
        raise failures[0]
    return max(waits)


def _need_draft(world: World) -> None:
    with world.database.transaction() as session:
        if steps.get(session, STEP).draft is None:
            drafts.start(session, data.MANAGER, STEP)


def _cut_over(world: World) -> None:
    """The release without its counting: what everybody's next read waits for."""
    with world.database.transaction() as session:
        step = releases._locked(session, STEP, None, None)
        terms = Terms("migrate", step.draft.version if step.draft else 0, Policy(), False, "", None)
        cutover.cut_over(session, data.MANAGER, step, terms)


# The references rewrite rows one by one, whatever the shape: they are measured in one of them. ------------------------


def _where_plain(world: World, *makers: Callable[[World], tuple[str, Side]]) -> Mapping[str, Side]:
    return dict(make(world) for make in makers) if world.shape == "funnel" else {}


def _migrate(world: World) -> tuple[str, Side]:
    return "the eager migration", Side(lambda: world.plain.migrate(STEP), world.plain.vacuum)


def _would_migrate(world: World) -> tuple[str, Side]:
    return "the eager migration, taken back", Side(lambda: world.plain.would_migrate(STEP), world.plain.vacuum)


def _count(world: World) -> tuple[str, Side]:
    return "a count by status, and nothing else", Side(lambda: world.plain.count(STEP))


def _roll_back(world: World) -> tuple[str, Side]:
    def before() -> None:
        world.plain.migrate(STEP)
        world.plain.vacuum()

    return "the eager rollback", Side(lambda: world.plain.roll_back(STEP), before)


BOTH: tuple[data.Shape, ...] = ("funnel", "random")
SCENARIOS = (
    Scenario(
        "preview",
        "Releases",
        "Preview",
        "the full report: the release carried out, counted and taken back",
        previewing,
        growth=1,
        aim=400,
        shapes=BOTH,
    ),
    Scenario(
        "funnel",
        "Releases",
        "Overview figures",
        "funnel, progress and who is stuck, for everybody",
        looking_over,
        growth=1,
        shapes=BOTH,
    ),
    Scenario(
        "release",
        "Releases",
        "Release",
        "the whole of it, counted, checked and with its receipt",
        releasing,
        growth=1,
        runs=10,
    ),
    Scenario(
        "cut-over",
        "Releases",
        "Cut-over",
        "the release without its counting: what the next read waits for",
        cutting_over,
        growth=0,
        aim=10,
        shapes=BOTH,
        runs=15,
    ),
    Scenario(
        "rollback",
        "Releases",
        "Rollback",
        "the same back to the version before",
        rolling_back,
        growth=0,
        aim=10,
        shapes=BOTH,
        runs=15,
    ),
    Scenario(
        "save-during-release",
        "Releases",
        "Slowest save during a release",
        "of the same step, beside a release and its rollback",
        saving_meanwhile,
        growth=0,
        aim=50,
        aim_of="most",
        runs=7,
    ),
)
