"""The speed of the main jobs at 1,000 and at 100,000 people. It prints; nothing here fails for being slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle

import pytest
from sqlalchemy import TextClause, text

from dashboard.database import Database
from dashboard.embedded import running
from dashboard.onboarding import cutover, history, people, progress, releases, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.cutover import Terms
from tests.benchmarks import data
from tests.benchmarks.measure import Timing, ratio, say, timed
from tests.benchmarks.servers import databases_of, readable_by_the_server

AGENT = Actor("staff:agent@example.com", "web")
STEP = "step-5"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Database]]:
    """A database of each size on a server of its own that keeps its promises (fsync is on, unlike in the tests)."""
    folder = tmp_path_factory.mktemp("bench")
    readable_by_the_server(folder)
    with running(folder) as url, databases_of(url, {1_000: 8, 100_000: 8}) as databases:
        yield databases


def test_cut_over_does_not_grow(filled: dict[int, Database]) -> None:
    """The release transaction without its counting, at both sizes in turns; a draft is made before each, untimed."""
    runs: dict[int, list[float]] = {size: [] for size in filled}
    for _ in range(30):
        for size, database in filled.items():
            with database.transaction() as session:
                steps.start_draft(session, data.MANAGER, STEP)
            runs[size] += timed(lambda d=database: _cut_over(d), runs=1, warm_up=0)[0].runs
    small, large = (Timing(tuple(of_size)) for of_size in runs.values())
    print()
    say("cut-over, 1,000 people", small)
    say("cut-over, 100,000 people (aim: under 10 ms)", large)
    ratio("100,000 people against 1,000", large, small, 1.5)


def _cut_over(database: Database) -> None:
    with database.transaction() as session:
        step = releases._locked(session, STEP, None, None)
        terms = Terms("migrate", step.draft.version if step.draft else 0, Policy(), False, "", None)
        cutover.cut_over(session, data.MANAGER, step, terms)


def test_preview(filled: dict[int, Database]) -> None:
    """The whole impact report: the release carried out, counted and taken back."""
    database = filled[100_000]
    with database.transaction() as session:
        if steps.get(session, STEP).draft is None:
            steps.start_draft(session, data.MANAGER, STEP)

    def preview() -> None:
        with database.transaction() as session, releases.dry_run(session):
            releases.release(session, data.MANAGER, STEP)

    def count_statuses() -> None:
        with database.transaction() as session:
            session.execute(
                text("SELECT status, count(*) FROM user_steps WHERE step_id = :step GROUP BY 1"), {"step": STEP}
            ).all()

    ours, plain = timed(preview, count_statuses)
    print()
    say("preview, 100,000 people (aim: under 150 ms)", ours)
    say("SELECT status, count(*) of that step alone", plain)
    ratio("preview against it", ours, plain, 8)


def test_checked_write(filled: dict[int, Database]) -> None:
    """A save under the row_version rule against an UPDATE that checks nothing, each in its own transaction."""
    database = filled[100_000]
    with database.transaction() as session:
        some = data.some_rows(session, 800)
    # The unchecked ones leave the people's arrays behind their rows: they have people of their own.
    checked_people = set(sorted({row[0] for row in some})[::2])
    rows = [row for row in some if row[0] in checked_people]
    others = [row for row in some if row[0] not in checked_people]
    statuses, turn, versions = cycle(progress.STATUSES), count(), {row[:2]: row[2] for row in rows}

    def checked() -> None:
        user_id, step_id, _ = rows[next(turn) % len(rows)]
        with database.transaction() as session:
            saved = progress.save(session, AGENT, user_id, step_id, next(statuses), versions[user_id, step_id])
        versions[user_id, step_id] = saved.row_version

    bare = _plain_update(database, others, [])
    logged = _plain_update(database, others, [EVENT])
    ours, unchecked, unchecked_logged = timed(checked, bare, logged, runs=1500, warm_up=50)
    print()
    say("checked write", ours)
    say("unchecked UPDATE of the same row, and nothing else", unchecked)
    say("unchecked UPDATE and an INSERT into the history", unchecked_logged)
    ratio("checked write against the bare UPDATE", ours, unchecked, 1.3)
    ratio("checked write against UPDATE and INSERT", ours, unchecked_logged, 1.3)


UPDATE = text("""
UPDATE user_steps SET status = :status, updated_at = now(), updated_by = :actor
 WHERE user_id = :user_id AND step_id = :step_id
""")
EVENT = text("""
INSERT INTO user_step_events (user_id, step_id, row_version, actor, source, from_status, to_status, release_id)
VALUES (:user_id, :step_id, :number, :actor, 'web', 'todo', :status, 1)
""")


def _plain_update(
    database: Database, rows: list[tuple[str, str, int]], more: Sequence[TextClause]
) -> Callable[[], None]:
    turn, numbers = count(), count(1_000_000)

    def write() -> None:
        user_id, step_id, _ = rows[next(turn) % len(rows)]
        values = {"status": "done", "actor": AGENT.key, "user_id": user_id, "step_id": step_id}
        with database.transaction() as session:
            session.execute(UPDATE, values)
            for statement in more:
                session.execute(statement, values | {"number": next(numbers)})

    return write


def test_reads(filled: dict[int, Database]) -> None:
    """What the person page and the search ask of the database."""
    database = filled[100_000]

    def person() -> None:
        with database.transaction() as session:
            found = people.find(session, "user-500")
            progress.steps_of(session, "user-500")
            history.timeline(session, "user-500", found.created_at)

    def search(q: str) -> Callable[[], None]:
        def job() -> None:
            with database.transaction() as session:
                people.search(session, q)

        return job

    queries = ("", "person 7f3", "person9999@", "no such person", "7")
    timings: list[Timing] = timed(person, *(search(q) for q in queries))
    print()
    say("person page, engine (aim: page under 50 ms)", timings[0])
    for q, timing in zip(queries, timings[1:], strict=True):
        say(f"people search {q!r} (aim: page under 50 ms)", timing)
