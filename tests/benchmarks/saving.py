"""Scenarios of saves: one, many, and as many a second as the API takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle

from sqlalchemy import ARRAY, Text, bindparam, text

from dashboard.onboarding import bulk_changes, progress, releases
from tests.benchmarks import data
from tests.benchmarks.callers import STATUSES, ApiCaller, Row, at_once, round_of
from tests.benchmarks.scenario import RATE, Scenario, Side, Sides
from tests.benchmarks.world import AGENT, World

CALLERS = 8
ROWS_OF = 2_000
"""People whose rows are saved."""
BULK = 5_000
BULK_STEP = "step-1"
"""Everybody has a row of it."""


@contextmanager
def saving(world: World) -> Iterator[Sides]:
    with world.database.transaction() as session:
        rows = data.some_rows(session, ROWS_OF)
    versions = {row[:2]: row[2] for row in rows}
    turns, statuses = cycle(list(versions)), cycle(STATUSES)

    def ours() -> None:
        row = next(turns)
        with world.database.transaction() as session:
            saved = progress.save(session, AGENT, *row, next(statuses), versions[row])
        versions[row] = saved.row_version

    def other(save: Callable[[str, str, str], None]) -> Side:
        turns, statuses = cycle(list(versions)), cycle(STATUSES)
        return Side(lambda: save(*next(turns), next(statuses)))

    plain = world.plain
    yield Sides(
        Side(ours),
        {
            "an unchecked UPDATE": other(plain.save),
            "the same and a line of history": other(lambda *row: plain.save(*row, told=True)),
            "an ORM with version_id_col": other(plain.save_by_orm),
        },
    )


@contextmanager
def changing_many(world: World) -> Iterator[Sides]:
    """People a second, from the first batch to the account; the preview before is not counted."""
    size = min(BULK, world.people // 2)
    with world.database.transaction() as session:
        people = [row[0] for row in data.some_rows(session, size, BULK_STEP)]
    previewed: list[float] = []
    waiting: list[int] = []
    statuses = cycle(STATUSES)

    def preview() -> None:
        started = time.perf_counter()
        with world.database.transaction() as session:
            waiting[:] = [bulk_changes.create(session, AGENT, people, BULK_STEP, next(statuses))]
        previewed.append((time.perf_counter() - started) * 1000)

    def carry_out() -> None:
        finished = False
        while not finished:
            with world.database.transaction() as session:
                finished = bulk_changes.carry_on(session, AGENT, waiting[0]).finished_at is not None

    def other(save: Callable[[Sequence[str], str, str], None]) -> Side:
        statuses = cycle(STATUSES)
        return Side(lambda: _rate(len(people), lambda: save(people, BULK_STEP, next(statuses))))

    plain = world.plain
    yield Sides(
        Side(lambda: _rate(len(people), carry_out), preview),
        {
            "one statement by hand": other(lambda *rest: _by_hand(world, *rest)),
            "an ORM with version_id_col": other(plain.save_many_by_orm),
            "an unchecked UPDATE": other(plain.save_many),
        },
        lambda: {f"preview of {len(people):,} people": f"{statistics.median(previewed):.0f} ms"},
    )


# The same rows as a bulk change writes, with their history and the people's lists; but nothing is checked. It is taken back,
# for it leaves the history with gaps.
BY_HAND = text("""
WITH written AS (
    UPDATE user_steps SET status = :status, row_version = row_version + 1, updated_at = now(), updated_by = 'by hand'
     WHERE user_id = ANY(:people) AND step_id = :step_id
 RETURNING user_id, release_id, row_version
), told AS (
    INSERT INTO user_step_events (user_id, step_id, row_version, actor, source, from_status, to_status, release_id)
    SELECT user_id, :step_id, row_version + 1000000, 'by hand', 'bulk', 'todo', :status, release_id FROM written
)
UPDATE onboarding_users u
   SET done_releases = array_remove(u.done_releases, w.release_id)
                       || CASE WHEN :status = 'done' THEN ARRAY[w.release_id] END,
       skipped_releases = array_remove(u.skipped_releases, w.release_id)
                          || CASE WHEN :status = 'skipped' THEN ARRAY[w.release_id] END,
       in_progress_releases = array_remove(u.in_progress_releases, w.release_id)
                              || CASE WHEN :status = 'in_progress' THEN ARRAY[w.release_id] END,
       last_activity_at = now()
  FROM written w WHERE w.user_id = u.user_id
""").bindparams(
    bindparam("people", type_=ARRAY(Text)), bindparam("status", type_=Text()), bindparam("step_id", type_=Text())
)


def _by_hand(world: World, people: Sequence[str], step_id: str, status: str) -> None:
    with world.database.transaction() as session, releases.dry_run(session):
        session.execute(BY_HAND, {"people": list(people), "step_id": step_id, "status": status})


def _rate(people: int, job: Callable[[], None]) -> float:
    started = time.perf_counter()
    job()
    return people / (time.perf_counter() - started)


@contextmanager
def _asked(world: World, ask: Callable[[ApiCaller], None]) -> Iterator[Sides]:
    with world.database.transaction() as session:
        rows = data.some_rows(session, ROWS_OF)
    assert world.plain
    with (
        world.programs.dashboard(world.url, 1) as dashboard,
        world.programs.bare(world.url) as bare,
        at_once(_callers(dashboard.port, world.token, rows)) as ours,
        at_once(_callers(bare.port, {}, rows)) as others,
    ):
        seconds = world.effort.round_s
        our_waits, other_waits = list[float](), list[float]()
        our_start, other_start = dashboard.processor_s(), bare.processor_s()

        def per_second(callers: list[ApiCaller], waits: list[float]) -> float:
            taken = round_of(callers, ask, seconds)
            waits.extend(taken.values())
            return len(taken) / seconds

        def details() -> dict[str, str]:
            spent = (dashboard.processor_s() - our_start) * 1000 / len(our_waits)
            other = (bare.processor_s() - other_start) * 1000 / len(other_waits)
            per_cent = statistics.quantiles(our_waits, n=100, method="inclusive")
            return {
                "an answer": f"p50 {per_cent[49]:.1f} ms, p99 {per_cent[98]:.1f} ms",
                "of a processor, without the database": f"{spent:.2f} ms an answer, the bare view {other:.2f} ms",
            }

        yield Sides(
            Side(lambda: per_second(ours, our_waits)),
            {"a bare Flask view": Side(lambda: per_second(others, other_waits))},
            details,
        )


def _callers(port: int, headers: Mapping[str, str], rows: Sequence[Row]) -> list[ApiCaller]:
    """Each with rows to itself."""
    return [ApiCaller(port, headers, f"caller-{n}", rows[n::CALLERS]) for n in range(CALLERS)]


def patching(world: World) -> AbstractContextManager[Sides]:
    return _asked(world, ApiCaller.save)


def getting(world: World) -> AbstractContextManager[Sides]:
    return _asked(world, ApiCaller.read)


SCENARIOS = (
    Scenario(
        "save",
        "Saves",
        "Checked save",
        "one status under the row_version rule, with its history and the person's progress, in a transaction",
        saving,
        growth=0,
        advantage=0.77,
        runs=1_500,
    ),
    Scenario(
        "bulk",
        "Saves",
        "Bulk change",
        "people a second whose step is set, each over the row_version that was previewed, in batches",
        changing_many,
        growth=0,
        unit=RATE,
        advantage=0.67,
        runs=8,
        patience=2,
    ),
    Scenario(
        "patch",
        "Saves",
        "API PATCH",
        "saves a second by 8 callers, served by one process of four threads",
        patching,
        growth=0,
        unit=RATE,
        advantage=0.9,
        patience=3,
    ),
    Scenario(
        "get",
        "Saves",
        "API GET steps",
        "answers a second with all steps of a person, by 8 callers",
        getting,
        growth=0,
        unit=RATE,
        advantage=0.85,
        patience=3,
    ),
)
