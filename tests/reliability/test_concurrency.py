"""Many at once, over real connections: no write is lost, nothing is half done, nobody waits who need not."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding import (
    activity,
    batch,
    bulk_changes,
    definitions,
    drafts,
    everybody,
    history,
    past,
    people,
    progress,
    releases,
    steps,
    user_steps,
)
from dashboard.onboarding.activity_filter import ActivityFilter
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.batch import Update
from dashboard.onboarding.carryover import Policy, Release
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.definitions import Brought
from dashboard.onboarding.errors import (
    Conflict,
    Invalid,
    NotFound,
    OnboardingError,
    Refused,
    StaleDraft,
    StalePlan,
    Withdrawn,
)
from dashboard.onboarding.plans import Planned
from tests import factories
from tests.databases import wait_until_blocked
from tests.engine.oracle import Oracle
from tests.factories import (
    ANNA,
    HOST,
    MAYA,
    NOOR,
    OTHER,
    SAM,
    STATUSES,
    STEP,
    a_draft,
    a_person,
    a_release,
    a_save,
    a_step,
)
from tests.program import Program

T = TypeVar("T")
SECONDS = 2.0

ONE_AT_A_TIME = pytest.mark.one_server("on a cluster one transaction at a time changes a table of the checklist")


@pytest.fixture
def wide(settings: Settings) -> Iterator[Database]:
    """This test's database with a connection for each thread, and little patience with locks."""
    opened = Database(replace(settings, pool_size=16, lock_timeout_ms=4_000))
    yield opened
    opened.dispose()


@pytest.fixture
def impatient(settings: Settings) -> Iterator[Database]:
    """This test's database, for whoever must not wait for a lock at all."""
    opened = Database(replace(settings, lock_timeout_ms=300))
    yield opened
    opened.dispose()


def at_once(database: Database, *work: Callable[[Session], T]) -> list[T | OnboardingError]:
    """What each of the pieces of work came to, all begun at the same moment, each in a transaction of its own."""
    start = Barrier(len(work))

    def one(piece: Callable[[Session], T]) -> T | OnboardingError:
        try:
            with database.transaction() as session:
                session.execute(text("SELECT 1"))
                start.wait(60)
                return piece(session)
        except OnboardingError as refused:
            return refused

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


def of_kind(kind: type[T], results: Iterable[object]) -> list[T]:
    return [result for result in results if isinstance(result, kind)]


def a_plan(session: Session, step_id: str = STEP) -> Planned:
    step = steps.get(session, step_id)
    return Planned(step.release_id or 0, step.draft.row_version if step.draft else None)


def another_step(session: Session) -> None:
    a_step(session, OTHER)


def a_release_and_a_save(session: Session) -> None:
    a_release(session)
    a_save(session, "done")


@pytest.mark.parametrize("meanwhile", [another_step, a_release_and_a_save])
def test_a_check_beside_a_running_server_is_of_one_moment(
    wide: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Session], object]
) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_person(session)
        a_save(session, "in_progress")

    def and_then(session: Session) -> dict[str, list[Release]]:
        found = history.releases_of(session)
        with wide.transaction() as other:
            meanwhile(other)
        return found

    monkeypatch.setattr("dashboard.onboarding.invariants.releases_of", and_then)
    checked = Program({"DATABASE_URL": database_url})("check")
    assert (checked.code, "BROKEN" in checked.out) == (0, False)


# Writers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_is_there", [True, False])
def test_of_ten_writers_of_one_row_version_one_succeeds_and_nine_conflict(wide: Database, row_is_there: bool) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_person(session)
        if row_is_there:
            a_save(session, "todo")
        seen = factories.row_version_of(session)
    results = at_once(
        wide,
        *(
            lambda session, status=status: progress.save(session, SAM, ANNA, STEP, status, seen)
            for status in (STATUSES * 3)[:10]
        ),
    )
    (saved,) = of_kind(progress.Saved, results)
    conflicts = of_kind(Conflict, results)
    assert len(conflicts) == 9
    for conflict in conflicts:
        assert conflict.current.row_version == seen + 1
        assert [(one.row_version, one.to_status) for one in conflict.changes] == [(seen + 1, saved.status)]
    with wide.transaction() as session:
        step = user_steps.step_of(session, ANNA, STEP)
        assert (step.status, step.row_version) == (saved.status, seen + 1)
        assert factories.people_with_wrong_arrays(session) == []
        kept = session.scalars(text("SELECT row_version || ' to ' || current_row_version FROM write_conflicts")).all()
        assert kept == [f"{seen} to {seen + 1}"] * 9


def test_of_several_saves_in_one_transaction_the_refused_are_kept_with_the_others(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        for user_id in (ANNA, "ben", "cleo"):
            a_person(session, user_id)
        a_save(session, "in_progress", "ben")
    with wide.transaction() as session:
        for user_id in (ANNA, "ben", "cleo"):
            with suppress(Conflict):
                progress.save(session, SAM, user_id, STEP, "done", 1)
    with wide.transaction() as session:
        told = [factories.status_of(session, user_id) for user_id in (ANNA, "ben", "cleo")]
        assert told == ["done", "in_progress", "done"]
        assert session.scalars(text("SELECT user_id FROM write_conflicts")).all() == ["ben"]


def test_ten_writers_of_ten_steps_of_one_person_all_succeed(wide: Database) -> None:
    step_ids = [f"step-{number}" for number in range(10)]
    with wide.transaction() as session:
        for step_id in step_ids:
            a_step(session, step_id)
        a_person(session)
    results = at_once(
        wide,
        *(lambda session, step_id=step_id: a_save(session, "done", ANNA, step_id) for step_id in step_ids),
    )
    saved = of_kind(progress.Saved, results)
    assert sorted(one.progress for one in saved) == list(range(10, 101, 10))
    assert [one.finished for one in sorted(saved, key=lambda one: one.progress)] == [False] * 9 + [True]
    with wide.transaction() as session:
        assert factories.people_with_wrong_arrays(session) == []
        person = people.find(session, ANNA)
        assert (person.progress, person.finished) == (100, True)


def test_two_who_save_several_steps_of_one_person_in_any_order_do_not_deadlock(wide: Database) -> None:
    step_ids = [f"step-{number}" for number in range(4)]
    with wide.transaction() as session:
        for step_id in step_ids:
            a_step(session, step_id)
        a_person(session)

    def save_all(session: Session, order: list[str]) -> int:
        for step_id in order:
            progress.save(session, SAM, ANNA, step_id, "done", factories.row_version_of(session, ANNA, step_id))
            time.sleep(0.01)
        return len(order)

    for _ in range(3):
        results = at_once(
            wide,
            *(lambda session, order=order: save_all(session, order) for order in (step_ids, step_ids[::-1])),
        )
        assert all(result == 4 or isinstance(result, Conflict) for result in results), results
        assert 4 in results


def test_batches_over_the_same_people_in_any_order_do_not_deadlock_and_write_each_version_once(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        crowd = factories.people(session, 300)
    orders = [crowd, crowd[::-1], crowd[1::2] + crowd[::2], random.Random(7).sample(crowd, 300)]
    for row_version in range(1, 4):
        results = at_once(
            wide,
            *(
                lambda session, order=order, status=status, row_version=row_version: batch.save(
                    session, HOST, STEP, status, [Update(user_id, row_version) for user_id in order]
                )
                for order, status in zip(orders, STATUSES, strict=True)
            ),
        )
        answered = [one for result in results if isinstance(result, list) for one in result]
        assert len(answered) == 4 * len(crowd), results
        assert sorted(saved.user_id for saved in of_kind(progress.Saved, answered)) == crowd
        conflicts = of_kind(Conflict, answered)
        assert len(conflicts) == 3 * len(crowd)
        assert {one.current.row_version for one in conflicts} == {row_version + 1}
        assert {len(one.changes) for one in conflicts} == {1}
    with wide.transaction() as session:
        events = text("SELECT count(*), count(DISTINCT (user_id, row_version)) FROM user_step_events")
        assert session.execute(events).one() == (3 * len(crowd), 3 * len(crowd))
        assert session.scalar(text("SELECT count(*) FROM write_conflicts")) == 9 * len(crowd)
        assert factories.people_with_wrong_arrays(session) == []


def test_two_who_carry_on_with_one_bulk_change_take_turns_and_write_everybody_once(
    wide: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 10)
    with wide.transaction() as session:
        a_step(session)
        crowd = factories.people(session, 40)
        made = bulk_changes.create(session, SAM, crowd, STEP, "done")
    for _ in range(4):
        at_once(wide, *[lambda session: bulk_changes.carry_on(session, SAM, made)] * 3)
    with wide.transaction() as session:
        bulk = bulk_changes.get(session, made)
        assert (bulk.outcomes, bulk.waiting) == ({"changed": 40}, 0)
        assert session.scalar(text("SELECT count(*) FROM user_step_events")) == 40
        assert session.scalar(text("SELECT count(*) FROM write_conflicts")) == 0


def test_a_batch_among_single_saves_and_releases_loses_nothing(wide: Database) -> None:
    with wide.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
        crowd = factories.people(session, 40)

    def singly(session: Session, user_id: str) -> list[progress.Saved]:
        try:
            return [progress.save(session, SAM, user_id, STEP, "skipped", 1)]
        except Conflict:
            return []

    def together(session: Session) -> list[progress.Saved]:
        return of_kind(progress.Saved, batch.save(session, HOST, STEP, "done", [Update(one, 1) for one in crowd[::-1]]))

    def one_release(session: Session) -> list[progress.Saved]:
        a_release(session)
        return []

    # each of the single ones in a transaction of its own, as requests are: nobody holds several people out of order
    single = [lambda session, one=one: singly(session, one) for one in crowd[::5]]
    results = at_once(wide, together, *single, one_release, together)
    saved = [one for result in results if isinstance(result, list) for one in result]
    assert not [result for result in results if not isinstance(result, list)], results
    with wide.transaction() as session:
        written = session.execute(text("SELECT user_id, row_version FROM user_step_events ORDER BY 1, 2")).all()
        assert sorted((one.user_id, one.row_version) for one in saved) == [tuple(row) for row in written]
        for user_id in crowd:
            now = user_steps.step_of(session, user_id, STEP)
            told = history.changes_since(session, user_id, STEP, 1)
            assert [change.row_version for change in told] == list(range(2, now.row_version + 1))
        assert factories.people_with_wrong_arrays(session) == []


def test_one_person_is_created_once(wide: Database) -> None:
    results = at_once(wide, *[lambda session: people.put(session, HOST, ANNA, name="Anna")[1]] * 6)
    assert sorted(map(bool, results)) == [False] * 5 + [True]


# Managers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planned", [True, False])
def test_of_two_releases_of_one_step_one_wins_and_nothing_is_half_done(wide: Database, planned: bool) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_draft(session)
        plan = a_plan(session) if planned else None
    results = at_once(
        wide,
        lambda session: releases.release(session, MAYA, STEP, planned=plan),
        lambda session: releases.release(session, NOOR, STEP, planned=plan),
    )
    (won,) = of_kind(Outcome, results)
    assert [type(lost) for lost in of_kind(OnboardingError, results)] == [StalePlan if planned else Refused]
    with wide.transaction() as session:
        step = steps.get(session, STEP)
        assert (step.release_id, step.release_number, step.draft) == (won.release.id, 2, None)
        assert [one.number for one in releases.of_step(session, STEP, limit=9)] == [2, 1]
        assert [one.is_active for one in steps.versions(session, STEP)] == [True, False]


@pytest.mark.parametrize("move", [releases.roll_back, releases.withdraw])
def test_of_two_who_take_a_release_back_at_once_one_wins(wide: Database, move: Callable[..., Outcome]) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_release(session)
        a_release(session)
        plan = a_plan(session)
    results = at_once(wide, *(lambda session, by=by: move(session, by, STEP, planned=plan) for by in (MAYA, NOOR)))
    (won,) = of_kind(Outcome, results)
    assert [type(lost) for lost in of_kind(OnboardingError, results)] == [StalePlan]
    with wide.transaction() as session:
        assert steps.get(session, STEP).release_id == won.release.id
        assert [one.number for one in releases.of_step(session, STEP, limit=9)] == [4, 3, 2, 1]


def test_of_ten_saves_of_one_draft_one_succeeds(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        opened = drafts.start(session, MAYA, STEP).row_version
    results = at_once(
        wide,
        *(
            lambda session, weight=weight: drafts.save(session, NOOR, STEP, {"title": "X", "weight": weight}, opened)
            for weight in range(1, 11)
        ),
    )
    assert len(of_kind(StaleDraft, results)) == 9
    with wide.transaction() as session:
        assert [steps.get(session, STEP).draft] == of_kind(steps.Definition, results)


def test_of_two_drafts_and_of_two_steps_of_one_name_one_is_made(wide: Database) -> None:
    made = at_once(wide, *[lambda session: drafts.create(session, MAYA, STEP, {"title": "X"})] * 4)
    assert (len(of_kind(steps.Definition, made)), len(of_kind(Invalid, made))) == (1, 3)
    with wide.transaction() as session:
        releases.release(session, MAYA, STEP)
    started = at_once(wide, *[lambda session: drafts.start(session, MAYA, STEP)] * 4)
    assert (len(of_kind(steps.Definition, started)), len(of_kind(Refused, started))) == (1, 3)


@ONE_AT_A_TIME
def test_of_two_who_make_a_step_at_once_the_second_one_s_comes_after_the_first(wide: Database) -> None:
    with Session(wide.engine) as first:
        drafts.create(first, MAYA, "b-step", {"title": "B"})
        assert waits(wide, lambda session: drafts.create(session, NOOR, "a-step", {"title": "A"}), first) is None
    with wide.transaction() as session:
        assert [(step.step_id, step.position) for step in steps.checklist(session)] == [("b-step", 1), ("a-step", 2)]


def test_a_first_draft_is_either_released_or_discarded(wide: Database) -> None:
    for number in range(8):
        step_id = f"step-{number}"
        with wide.transaction() as session:
            a_step(session, step_id, released=False)
        released, discarded = at_once(
            wide,
            lambda session, step_id=step_id: releases.release(session, MAYA, step_id),
            lambda session, step_id=step_id: drafts.discard(session, NOOR, step_id, 1),
        )
        with_step = discarded is True
        assert isinstance(released, NotFound) if with_step else isinstance(discarded, StaleDraft | NotFound)
        with wide.transaction() as session:
            assert (step_id in [step.step_id for step in steps.checklist(session)]) != with_step


@ONE_AT_A_TIME
def test_what_goes_live_is_the_draft_that_was_previewed_whenever_it_is_saved_again(
    wide: Database,
) -> None:
    with wide.transaction() as session:
        a_step(session)
    for n in range(60):
        with wide.transaction() as session:
            draft = a_draft(session, title="Previewed")
            plan = a_plan(session)
        with Session(wide.engine) as session, session.begin():
            reached = at_statement(session, n, lambda row_version=draft.row_version: saved_again(wide, row_version))
            try:
                releases.release(session, MAYA, STEP, planned=plan)
            except StalePlan:
                session.rollback()
        with wide.transaction() as session:
            live = steps.get(session, STEP).live
            assert live
            assert live.fields.title != "Slipped in", f"saved just before statement {n} of the release"
            left = steps.get(session, STEP).draft
            if left:
                drafts.discard(session, MAYA, STEP, left.row_version)
        if not reached:
            return
    pytest.fail("a release has more statements than were tried")


def saved_again(database: Database, row_version: int) -> None:
    """Somebody saves the draft, unless that would have to wait for the release."""
    try:
        with database.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '20ms'"))
            drafts.save(session, NOOR, STEP, {"title": "Slipped in"}, row_version)
    except Exception as error:
        assert "lock timeout" in str(error) or isinstance(error, StaleDraft), error


def at_statement(session: Session, n: int, act: Callable[[], None]) -> list[int]:
    """Has `act` happen just before the session's n-th statement from now; the answer is filled in when it does."""
    connection = session.connection()
    counted = 0
    reached: list[int] = []

    @event.listens_for(connection, "before_cursor_execute")
    def count(*_: object) -> None:
        nonlocal counted
        counted += 1
        if counted == n + 1:
            reached.append(n)
            act()

    return reached


def slipped_into(database: Database, act: Callable[[], None]) -> Iterator[Session]:
    """Sessions for the same work: in each `act` happens one statement later, until it has come before each of them."""
    for n in range(60):
        with Session(database.engine) as session:
            reached = at_statement(session, n, act)
            yield session
        if not reached:
            assert n > 1
            return
    pytest.fail("there are more statements than were tried")


def waits(
    database: Database, work: Callable[[Session], object], held: Session, meanwhile: Callable[[], object] = lambda: None
) -> BaseException | None:
    """What the work fails with that begins while `held` is open, waits for it, and goes on when it is committed.

    What happens `meanwhile`, happens while it waits.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with database.transaction() as session:
                work(session)
        except BaseException as error:
            failed.append(error)

    other = Thread(target=run)
    other.start()
    wait_until_blocked(held)
    meanwhile()
    held.commit()
    other.join(60)
    assert not other.is_alive()
    return failed[0] if failed else None


@ONE_AT_A_TIME
def test_of_two_who_order_the_checklist_at_once_the_second_is_told(wide: Database) -> None:
    names = ["one", "two", "three"]
    with wide.transaction() as session:
        for step_id in names:
            a_step(session, step_id)
    with Session(wide.engine) as first:
        steps.reorder(first, MAYA, ["three", "one", "two"], names)
        refused = waits(wide, lambda session: steps.reorder(session, NOOR, ["two", "one", "three"], names), first)
    assert isinstance(refused, StalePlan)
    with wide.transaction() as session:
        assert [step.step_id for step in steps.checklist(session)] == ["three", "one", "two"]


@ONE_AT_A_TIME
def test_a_draft_is_discarded_in_the_order_in_which_a_release_locks(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
    with wide.transaction() as session:
        locked: list[str] = []
        event.listen(session.connection(), "before_cursor_execute", lambda *args: locked.append(args[2]))
        draft = a_draft(session)
        locked.clear()
        drafts.discard(session, NOOR, STEP, draft.row_version)
        written = next(n for n, statement in enumerate(locked) if statement.startswith("DELETE"))
        assert any("FROM steps" in one and "FOR NO KEY UPDATE" in one for one in locked[:written])


def a_discarded_draft(database: Database, step_id: str) -> int:
    """The row_version at which somebody has a form open of a draft that is discarded again; 0: it could not be made."""
    return meanwhile(database, lambda session: _of_a_discarded(session, drafts.start(session, NOOR, step_id)))


def a_discarded_step(database: Database, step_id: str) -> int:
    title = {"title": "Noor's"}
    return meanwhile(database, lambda session: _of_a_discarded(session, drafts.create(session, NOOR, step_id, title)))


def _of_a_discarded(session: Session, draft: steps.Definition) -> int:
    drafts.discard(session, NOOR, draft.step_id, draft.row_version)
    return draft.row_version


def a_second_release(database: Database, step_id: str) -> int:
    return meanwhile(database, lambda session: a_release(session, step_id).release.number)


def meanwhile(database: Database, work: Callable[[Session], int]) -> int:
    """What the work comes to, unless it would have to wait or is refused: 0."""
    try:
        with database.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '20ms'"))
            return work(session)
    except Refused:
        return 0
    except OperationalError as error:
        assert "lock timeout" in str(error)
        return 0


def before_each_statement(
    database: Database, work: Callable[[Session, str], T], act: Callable[[str], int]
) -> Iterator[tuple[str, T, int]]:
    """The step, what the work with it came to, and what was done just before its first statement, its second one ..."""
    slipped_in = 0
    for n in range(20):
        step_id, came = f"step-{n}", [0]

        def do(step_id: str = step_id, came: list[int] = came) -> None:
            came[0] = act(step_id)

        with Session(database.engine, expire_on_commit=False) as session, session.begin():
            reached = at_statement(session, n, do)
            done = work(session, step_id)
        yield step_id, done, came[0]
        slipped_in += bool(came[0])
        if not reached:
            assert slipped_in, "nobody comes in between"
            return
    pytest.fail("it has more statements than were tried")


@ONE_AT_A_TIME
def test_no_form_of_a_draft_that_was_discarded_meanwhile_fits_the_one_that_is_started(wide: Database) -> None:
    with wide.transaction() as session:
        for n in range(20):
            a_step(session, f"step-{n}")
    for step_id, draft, theirs in before_each_statement(
        wide,
        lambda session, step_id: drafts.start(session, MAYA, step_id),
        lambda step_id: a_discarded_draft(wide, step_id),
    ):
        assert draft.row_version > theirs, step_id


@ONE_AT_A_TIME
def test_no_form_of_a_step_that_was_discarded_meanwhile_fits_the_one_that_is_made(wide: Database) -> None:
    for step_id, draft, theirs in before_each_statement(
        wide,
        lambda session, step_id: drafts.create(session, MAYA, step_id, {"title": "X"}),
        lambda step_id: a_discarded_step(wide, step_id),
    ):
        assert draft.row_version > theirs, step_id


@ONE_AT_A_TIME
def test_a_draft_says_what_is_live_whatever_goes_live_meanwhile(wide: Database) -> None:
    with wide.transaction() as session:
        for n in range(20):
            a_step(session, f"step-{n}")
    for step_id, draft, theirs in before_each_statement(
        wide,
        lambda session, step_id: drafts.start(session, MAYA, step_id),
        lambda step_id: a_second_release(wide, step_id),
    ):
        assert (draft.version, draft.based_on) == ((3, 2) if theirs else (2, 1)), step_id
        with wide.transaction() as session:
            live = steps.get(session, step_id).live
            assert live
            assert draft.fields == live.fields


@ONE_AT_A_TIME
@pytest.mark.parametrize("are_new", [False, True])
def test_two_documents_with_the_same_steps_in_another_order_come_one_after_the_other(
    wide: Database, monkeypatch: pytest.MonkeyPatch, *, are_new: bool
) -> None:
    order = ["one", "two"]
    with wide.transaction() as session:
        a_step(session)
        for step_id in [] if are_new else order:
            a_step(session, step_id)
            a_draft(session, step_id)
    both = Barrier(2)
    for name in ("create", "save"):
        write = getattr(drafts, name)

        def and_wait(*given: object, write: Callable[..., object] = write) -> object:
            written = write(*given)
            with suppress(BrokenBarrierError):
                both.wait(0.3)
            return written

        monkeypatch.setattr(drafts, name, and_wait)

    def bring_in(session: Session, actor: Actor, step_ids: list[str]) -> list[Brought]:
        said = [definitions.WantedStep(step_id, steps.Fields(f"In the words of {actor.key}")) for step_id in step_ids]
        return definitions.bring_in(session, actor, said, discard_drafts=True)

    results = at_once(
        wide,
        lambda session: bring_in(session, MAYA, order),
        lambda session: bring_in(session, NOOR, order[::-1]),
    )
    assert [len(brought) for brought in of_kind(list, results)] == [2, 2]
    with wide.transaction() as session:
        written = [steps.get(session, step_id).draft for step_id in order]
        assert len({draft.edited_by for draft in written if draft}) == 1


@ONE_AT_A_TIME
def test_no_step_comes_or_goes_while_a_document_is_brought_in(wide: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with wide.transaction() as session:
        a_step(session)
    title, save = {"title": "Noor's"}, drafts.save

    def discarded_before(*given: Any) -> steps.Definition:
        meanwhile(wide, lambda session: _of_a_discarded(session, steps.version(session, OTHER, 1)))
        return save(*given)

    monkeypatch.setattr(drafts, "save", discarded_before)
    said = [definitions.WantedStep(OTHER, steps.Fields("Maya's"))]
    with Session(wide.engine) as releasing:
        steps.lock(releasing, STEP)
        failed = waits(
            wide,
            lambda session: definitions.bring_in(session, MAYA, said, discard_drafts=True),
            releasing,
            lambda: meanwhile(wide, lambda session: drafts.create(session, NOOR, OTHER, title).row_version),
        )
    assert failed is None
    with wide.transaction() as session:
        draft = steps.get(session, OTHER).draft
        assert draft
        assert (draft.edited_by, draft.fields.title) == (MAYA.key, "Maya's")


# Releases among writers -----------------------------------------------------------------------------------------------


def test_saves_do_not_wait_for_an_open_release(wide: Database, impatient: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        for user_id in ("anna", "ben"):
            a_person(session, user_id)
        a_save(session, "in_progress", "anna")
        a_draft(session)
    with Session(wide.engine) as releasing:
        releases.release(releasing, MAYA, STEP)
        with impatient.transaction() as session:
            assert progress.save(session, SAM, "anna", STEP, "done", 2).row_version == 3
            assert progress.save(session, SAM, "ben", STEP, "done", 1).row_version == 2
            people.put(session, HOST, "cleo", name="Cleo")
            assert progress.save(session, SAM, "cleo", STEP, "in_progress", 1).row_version == 2
        releasing.commit()
    with wide.transaction() as session:
        told = {user_id: user_steps.step_of(session, user_id, STEP) for user_id in ("anna", "ben", "cleo")}
        assert {user_id: (step.status, step.row_version) for user_id, step in told.items()} == {
            "anna": ("done", 4),
            "ben": ("done", 3),
            "cleo": ("todo", 3),
        }


def test_a_release_does_not_wait_for_open_saves(wide: Database, impatient: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_person(session)
        a_draft(session)
    with Session(wide.engine) as saving:
        progress.save(saving, SAM, ANNA, STEP, "done", 1)
        with impatient.transaction() as session:
            releases.release(session, MAYA, STEP)
        saving.commit()
    with wide.transaction() as session:
        step = user_steps.step_of(session, ANNA, STEP)
        assert (step.status, step.row_version) == ("done", 3)


def in_progress_with_another(database: Database) -> int:
    """Anna has begun one of two steps, as this row_version of it."""
    with database.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
        a_person(session)
        return a_save(session, "in_progress").row_version


def test_a_save_that_waited_is_over_what_is_there_when_it_goes_on(wide: Database) -> None:
    seen = in_progress_with_another(wide)
    saved: list[progress.Saved] = []
    with Session(wide.engine) as held:
        a_save(held, "done", step_id=OTHER)
        failed = waits(wide, lambda session: saved.append(progress.save(session, SAM, ANNA, STEP, "done", seen)), held)
    assert failed is None
    assert [(one.before, one.row_version, one.progress, one.finished) for one in saved] == [
        ("in_progress", seen + 1, 100, True)
    ]


def test_a_save_that_waited_is_refused_when_a_release_came_meanwhile(wide: Database) -> None:
    seen = in_progress_with_another(wide)
    with Session(wide.engine) as held:
        a_save(held, "done", step_id=OTHER)
        failed = waits(
            wide,
            lambda session: progress.save(session, SAM, ANNA, STEP, "done", seen),
            held,
            lambda: save_apart(wide, lambda session: a_release(session, policy=Policy(in_progress=True))),
        )
    # or else its row_version would be the one under which everybody sees what the release left
    assert isinstance(failed, Conflict)
    assert (failed.current.row_version, failed.current.status) == (seen + 1, "in_progress")
    assert [(change.kind, change.row_version) for change in failed.changes] == [("release", seen + 1)]


def test_finished_is_remembered_from_a_save_that_waited_for_several(wide: Database) -> None:
    with wide.transaction() as session:
        for step_id in ("one", "two", STEP, OTHER):
            a_step(session, step_id)
        a_person(session)
    saved: list[progress.Saved] = []
    with Session(wide.engine) as held:
        for step_id in ("one", "two"):
            a_save(held, "done", step_id=step_id)
        failed = waits(
            wide,
            lambda session: saved.append(progress.save(session, SAM, ANNA, STEP, "done", 1)),
            held,
            lambda: save_apart(wide, lambda session: releases.withdraw(session, MAYA, OTHER)),
        )
    assert failed is None
    assert [(one.progress, one.finished) for one in saved] == [(100, True)]
    with wide.transaction() as session:
        person = people.find(session, ANNA)
        assert (person.progress, person.finished) == (100, True)
        assert factories.people_with_wrong_arrays(session) == []


@pytest.mark.one_server("a node of a cluster has a lock_timeout of its own")
def test_who_is_refused_anyway_waits_for_nobody(wide: Database, impatient: Database) -> None:
    in_progress_with_another(wide)
    with Session(wide.engine) as held:
        a_save(held, "done", step_id=OTHER)
        with pytest.raises(Conflict), impatient.transaction() as session:
            progress.save(session, SAM, ANNA, STEP, "done", 1)
        assert waiting_too_long(impatient, lambda session: a_save(session, "done"))


def a_batch(session: Session) -> None:
    batch.save(session, HOST, STEP, "done", [Update(ANNA, 1)])


def a_bulk_change(session: Session) -> None:
    made = bulk_changes.create(session, MAYA, [ANNA], STEP, "done", "")
    assert bulk_changes.carry_on(session, MAYA, made).finished_at


def a_withdrawal(session: Session) -> None:
    releases.withdraw(session, MAYA, STEP)


def another_order(session: Session) -> None:
    steps.reorder(session, MAYA, [OTHER, STEP], [STEP, OTHER])


@ONE_AT_A_TIME
@pytest.mark.parametrize(("work", "entries"), [(a_batch, 1), (a_bulk_change, 2), (a_withdrawal, 1), (another_order, 1)])
def test_what_others_did_since_the_transaction_began_came_first(
    wide: Database, work: Callable[[Session], None], entries: int
) -> None:
    with wide.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
        a_person(session)
    with wide.transaction() as session:
        session.execute(text("SELECT now()"))
        with wide.transaction() as other:
            a_save(other, "done", step_id=OTHER, actor=SAM)
        work(session)
    with wide.transaction() as session:
        actors = [entry.actor for entry in activity.page(session, ActivityFilter()).entries]
        assert actors.index(SAM.key) == entries


@ONE_AT_A_TIME
def test_a_conflict_tells_of_one_moment_though_a_write_comes_that_a_release_overtook(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
    for n, session in enumerate(slipped_into(wide, lambda: writing.commit())):
        with wide.transaction() as other:
            a_person(other, f"p{n}")
            a_save(other, "skipped", f"p{n}")
        with Session(wide.engine) as writing:
            a_save(writing, "in_progress", f"p{n}")
            with wide.transaction() as other:
                a_release(other)
            with pytest.raises(Conflict) as conflict:
                progress.save(session, HOST, f"p{n}", STEP, "done", 1)
            assert conflict.value.changes[-1].row_version == conflict.value.current.row_version
            assert conflict.value.changes[-1].to_status == conflict.value.current.status
    assert n > 2


def waiting_too_long(database: Database, work: Callable[[Session], object]) -> bool:
    """Whether the work is given up because of somebody's lock."""
    with pytest.raises(OperationalError) as given_up, database.transaction() as session:
        work(session)
    return isinstance(given_up.value.orig, psycopg.errors.LockNotAvailable)


@ONE_AT_A_TIME
def test_a_draft_is_started_after_a_withdrawal_that_is_open(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
    with Session(wide.engine) as withdrawing:
        releases.withdraw(withdrawing, MAYA, STEP)
        assert waits(wide, lambda session: drafts.start(session, NOOR, STEP), withdrawing) is None
    with wide.transaction() as session:
        draft = steps.get(session, STEP).draft
        assert draft
        assert draft.version == 2


@ONE_AT_A_TIME
def test_releases_of_two_steps_do_not_wait_for_each_other(wide: Database, impatient: Database) -> None:
    with wide.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
            a_draft(session, step_id)
    with Session(wide.engine) as first:
        releases.release(first, MAYA, STEP)
        with impatient.transaction() as session:
            releases.release(session, NOOR, OTHER)
        first.commit()


def a_stale_save(session: Session) -> None:
    with pytest.raises(Conflict) as conflict:
        progress.save(session, SAM, ANNA, OTHER, "done", 1)
    told = [change.row_version for change in conflict.value.changes]
    assert told == list(range(2, conflict.value.current.row_version + 1))


def what_changed(session: Session) -> None:
    told = [change.row_version for change in history.changes_since(session, ANNA, OTHER, 1)]
    assert told == list(range(2, len(told) + 2))


def a_release_that_moves_nobody(session: Session) -> None:
    told = releases.release(session, MAYA, STEP).impact
    assert (told.moves.same, told.untouched, told.everybody) == (1, 1, 1)


def an_overview(session: Session) -> None:
    assert everybody.overview(session).everybody == 1


def a_timeline(session: Session) -> None:
    told = history.timeline(session, ANNA, people.find(session, ANNA).created_at, limit=100)
    row_versions = [change.row_version for change in told.changes if change.step_id == OTHER]
    assert row_versions == sorted(row_versions, reverse=True)


@ONE_AT_A_TIME
@pytest.mark.parametrize("read", [a_stale_save, what_changed, a_release_that_moves_nobody, an_overview, a_timeline])
def test_a_release_and_a_write_may_slip_in_between_any_two_statements(
    wide: Database, read: Callable[[Session], None]
) -> None:
    with wide.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
        a_person(session)
        a_draft(session)
        a_save(session, "in_progress", ANNA, OTHER)

    def slip_in() -> None:
        with wide.transaction() as other:
            a_release(other, OTHER)
            if read is not a_stale_save:  # which keeps others from the person's rows until it has said why
                a_save(other, "done", ANNA, OTHER)

    for session in slipped_into(wide, slip_in):
        read(session)


@ONE_AT_A_TIME
def test_a_step_may_come_with_its_releases_between_any_two_statements_of_a_look_back(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_person(session)
        a_save(session, "done")
    came = iter(range(60))

    def slip_in() -> None:
        with wide.transaction() as other:
            name = f"step-{next(came)}"
            a_step(other, name)
            a_release(other, name)

    for session in slipped_into(wide, slip_in):
        then = past.as_of(session, ANNA, session.execute(select(func.now())).scalar_one())
        assert STEP in [step.step_id for step in then.steps]


@ONE_AT_A_TIME
def test_every_acknowledged_write_is_there_after_releases_raced_eight_writers(wide: Database) -> None:
    crowd = [f"p{number}" for number in range(6)]
    with wide.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
        for user_id in crowd:
            a_person(session, user_id)
    began = time.monotonic()
    acknowledged: list[progress.Saved] = []
    released: list[str] = []
    conflicts: list[tuple[str, Conflict]] = []
    broken: list[BaseException] = []

    def go_on() -> bool:
        """For a while, and on a slow machine until enough came of it."""
        took, enough = time.monotonic() - began, len(acknowledged) > 50 and len(released) > 3
        return not broken and took < (SECONDS if enough else 60)

    def write(seed: int) -> None:
        chance = random.Random(seed)
        while go_on():
            user_id, step_id, status = chance.choice(crowd), chance.choice((STEP, OTHER)), chance.choice(STATUSES)
            try:
                with wide.transaction() as session:
                    seen = factories.row_version_of(session, user_id, step_id)
                with wide.transaction() as session:
                    saved = progress.save(session, SAM, user_id, step_id, status, seen)
                acknowledged.append(saved)
            except Conflict as conflict:
                conflicts.append((user_id, conflict))
                told = [change.row_version for change in conflict.changes]
                assert told == list(range(conflict.attempted + 1, conflict.current.row_version + 1))
                assert conflict.changes[-1].to_status == conflict.current.status
            except Withdrawn:
                continue

    def rule(seed: int, step_id: str) -> None:
        chance = random.Random(seed)
        while go_on():
            if chance.random() < 0.2:
                for there_and_back in (releases.withdraw, releases.restore):
                    with wide.transaction() as session:
                        there_and_back(session, MAYA, step_id)
            with wide.transaction() as session:
                if chance.random() < 0.3 and steps.get(session, step_id).release_number != 1:
                    undone = [one for one in releases.of_step(session, step_id, limit=100) if one.kind == "migrate"]
                    if any(one.undone_by is None for one in undone):
                        releases.roll_back(session, MAYA, step_id)
                    continue
                policy = Policy(chance.random() < 0.7, chance.random() < 0.7, chance.random() < 0.5)
                a_release(session, step_id, policy, weight=chance.randint(1, 50))
            released.append(step_id)

    def look() -> None:
        while go_on():
            with wide.transaction() as session:
                assert everybody.overview(session).everybody == len(crowd)
                history.timeline(session, crowd[0], since=people.find(session, crowd[0]).created_at)

    def guarded(work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            broken.append(error)

    threads = [Thread(target=guarded, args=(write, seed)) for seed in range(8)]
    threads += [Thread(target=guarded, args=(rule, 100 + n, step_id)) for n, step_id in enumerate((STEP, OTHER))]
    threads.append(Thread(target=guarded, args=(look,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert len(acknowledged) > 50
    assert len(released) > 3
    with wide.transaction() as session:
        is_explained(session, crowd, acknowledged)
        kept = session.execute(text("SELECT user_id, step_id, row_version, current_row_version FROM write_conflicts"))
        assert Counter(map(tuple, kept)) == Counter(
            (whose, conflict.current.step_id, conflict.attempted, conflict.current.row_version)
            for whose, conflict in conflicts
        )


def is_explained(session: Session, crowd: list[str], acknowledged: list[progress.Saved]) -> None:
    """What is there now is what the acknowledged writes and the releases make, played one after the other."""
    of_step = history.releases_of(session)
    events = {user_id: history.events_of(session, user_id) for user_id in crowd}
    assert sorted((one.user_id, one.step_id, one.row_version, one.status) for one in acknowledged) == sorted(
        (user_id, one.step_id, one.row_version, one.to_status) for user_id in crowd for one in events[user_id]
    )
    assert len({(one.user_id, one.step_id, one.row_version) for one in acknowledged}) == len(acknowledged)
    truth = Oracle()
    for user_id in crowd:
        truth.join(user_id)
    for step_id, told in of_step.items():
        under: dict[int, list[tuple[str, history.Event]]] = defaultdict(list)
        for user_id in crowd:
            for one in events[user_id]:
                if one.step_id == step_id:
                    under[one.release_id].append((user_id, one))
        for release in told:
            replay(truth, session, step_id, release)
            for user_id, one in under[release.id]:
                truth.write(step_id, user_id, one.to_status, one.row_version - 1, one.actor, one.at)
    for user_id in crowd:
        for step in user_steps.steps_of(session, user_id):
            row = truth.steps[step.step_id].rows[user_id]
            assert (step.status, step.row_version) == (row.status, row.row_version)
            assert (step.updated_at, step.updated_by) == (row.updated_at, row.updated_by)
            changes = history.changes_since(session, user_id, step.step_id, 1)
            assert [change.row_version for change in changes] == list(range(2, step.row_version + 1))
            assert (changes[-1].to_status if changes else "todo") == step.status
        assert people.find(session, user_id).progress == truth.percent(user_id)
    assert factories.people_with_wrong_arrays(session) == []


def replay(truth: Oracle, session: Session, step_id: str, release: Release) -> None:
    by, at = release.released_by, release.released_at
    without_version = {"rollback": truth.roll_back, "withdraw": truth.withdraw, "restore": truth.restore}
    if go := without_version.get(release.kind):
        go(step_id, by, at)
        return
    weight = steps.version(session, step_id, release.version or 0).fields.weight
    if release.kind == "publish":
        truth.publish(step_id, weight, by, at)
        return
    keeps = tuple(status for status in ("done", "skipped", "in_progress") if getattr(release.policy, status))
    truth.migrate(step_id, weight, keeps, by, at)


@ONE_AT_A_TIME
def test_who_finished_while_a_reopening_release_was_counted_has_to_finish_again(wide: Database) -> None:
    with wide.transaction() as session:
        a_step(session)
        a_person(session)
        a_draft(session)
    with Session(wide.engine) as releasing:
        releasing.execute(text("SELECT now()"))
        counted = at_statement(releasing, 12, lambda: save_apart(wide, progress.save, SAM, ANNA, STEP, "done", 1))
        outcome = releases.release(releasing, MAYA, STEP, Policy(done=False), reopens_finished=True)
        assert counted
        releasing.commit()
    with wide.transaction() as session:
        person = people.find(session, ANNA)
        assert person.finished_at is not None
        assert person.finished_at < outcome.release.released_at
        assert (person.progress, person.finished) == (0, False)


@ONE_AT_A_TIME
def test_a_release_does_not_report_that_another_step_was_reopened_while_people_were_counted(wide: Database) -> None:
    with wide.transaction() as session:
        for step_id in (STEP, OTHER):
            a_step(session, step_id)
        a_person(session)
        for step_id in (STEP, OTHER):
            a_save(session, step_id=step_id)
            a_draft(session, step_id, title="Do it again")
    reopened = []
    with Session(wide.engine) as releasing:

        @event.listens_for(releasing.connection(), "before_cursor_execute")
        def reopen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if "AS finished_before" in statement:
                with wide.transaction() as session:
                    policy = Policy(done=False)
                    reopened.append(releases.release(session, NOOR, OTHER, policy, reopens_finished=True))

        counted = releases.release(releasing, MAYA, STEP).impact
        releasing.commit()
    assert len(reopened) == 1
    assert (reopened[0].impact.before.finished, reopened[0].impact.after.finished) == (1, 0)
    assert (counted.before.finished, counted.after.finished) == (0, 0)


def save_apart(database: Database, save: Callable[..., object], *what: object) -> None:
    with database.transaction() as session:
        save(session, *what)
