"""A limit counts for all processes together, to the request; a process seldom has to ask for it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.staff import rate_limits
from dashboard.staff.rate_limits import WINDOW_S, Allowance, RateLimit

CALLER = "token of the shop"
Spend = Callable[[], Allowance]


class Clock:
    """A clock that stands until it is told to go, for the database too."""

    def __init__(self) -> None:
        self.now = 2_000_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds

    def tell(self, session: Session) -> None:
        session.execute(text("SELECT set_config('test.now', :now, true)"), {"now": str(self.now)})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the database does by its own clock it does by this one."""
    for name in ("TAKE", "FORGET"):
        told = getattr(rate_limits, name).text.replace(
            "clock_timestamp()", "to_timestamp(current_setting('test.now')::float)"
        )
        monkeypatch.setattr(rate_limits, name, text(told))
    return Clock()


class Process:
    """A process with its own memory of the limit; `draws` counts how often it had to ask the database."""

    def __init__(self, database: Database, per_minute: int, clock: Clock | None = None) -> None:
        self.database, self.clock, self.draws = database, clock, 0
        self.limit = RateLimit(per_minute, clock or time.monotonic)

    def __call__(self, key: str = CALLER) -> Allowance:
        return self.limit.spend(key, self._draw)

    def _draw(self, key: str, cost: float) -> tuple[int, float]:
        self.draws += 1
        with self.database.transaction() as session:
            if self.clock:
                self.clock.tell(session)
            return rate_limits.draw(session, key, cost)


def granted(spend: Spend, asks: int) -> int:
    return sum(not spend().is_spent for _ in range(asks))


def test_ten_a_minute_are_ten(database: Database, clock: Clock) -> None:
    process = Process(database, 10, clock)
    told = [process() for _ in range(12)]
    assert [one.remaining for one in told] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    assert [one.is_spent for one in told] == [False] * 10 + [True] * 2
    assert {one.limit for one in told} == {10}
    assert told[0].full_in_s == 6
    assert told[-1].retry_after_s == 6


def test_what_was_spent_comes_back_bit_by_bit(database: Database, clock: Clock) -> None:
    process = Process(database, 10, clock)
    granted(process, 10)
    clock.pass_(5)
    assert process().retry_after_s == 1
    clock.pass_(1.1)
    assert granted(process, 3) == 1
    clock.pass_(WINDOW_S)
    assert granted(process, 15) == 10


def test_who_is_refused_does_not_ask_the_database_again(database: Database, clock: Clock) -> None:
    process = Process(database, 10, clock)
    granted(process, 11)
    before = process.draws
    assert granted(process, 100) == 0
    assert process.draws == before


def test_callers_have_a_bucket_each(database: Database, clock: Clock) -> None:
    process = Process(database, 3, clock)
    assert granted(process, 5) == 3
    assert granted(lambda: process("another"), 5) == 3


def test_processes_share_a_bucket(database: Database, clock: Clock) -> None:
    processes = [Process(database, 20, clock) for _ in range(4)]
    assert sum(not processes[turn % 4]().is_spent for turn in range(60)) == 20


def test_many_are_given_with_few_statements(database: Database, clock: Clock) -> None:
    process = Process(database, 6_000, clock)
    assert granted(process, 6_300) == 6_000
    # 64 at a time while it is full, fewer and fewer near the end
    assert process.draws < 6_000 / 30


def test_permits_that_lay_about_for_a_minute_are_worth_nothing(database: Database, clock: Clock) -> None:
    idle, busy = Process(database, 640, clock), Process(database, 640, clock)
    idle()
    clock.pass_(WINDOW_S + 1)
    granted(busy, 1_000)
    # of the 39 that it had left, none
    assert granted(idle, 1_000) == 0


def test_a_clock_that_goes_on_gives_what_the_rate_says(database: Database, clock: Clock) -> None:
    process = Process(database, 60, clock)
    granted(process, 60)
    for _ in range(30):
        clock.pass_(1)
        assert granted(process, 3) == 1


def test_a_clock_that_was_set_back_keeps_nobody_out_for_as_long(database: Database, clock: Clock) -> None:
    granted(Process(database, 10, clock), 10)
    clock.pass_(-3_600)
    process = Process(database, 10, clock)
    assert process().retry_after_s == WINDOW_S + 6
    clock.pass_(WINDOW_S + 6.1)
    assert granted(process, 3) == 1


def test_threads_at_once_take_no_permit_twice(database: Database) -> None:
    process = Process(database, 100)
    start, began = threading.Barrier(8), time.monotonic()

    def ask(_: int) -> int:
        start.wait()
        return granted(process, 30)

    with ThreadPoolExecutor(8) as pool:
        given = sum(pool.map(ask, range(8)))
    # at most what the bucket held and what came back meanwhile; at least what it held
    assert 100 <= given <= 100 + (time.monotonic() - began) * 100 / WINDOW_S


def ask_from_a_process(settings: Settings, asks: int) -> int:
    """Runs in a process of its own."""
    database = Database(settings)
    try:
        return granted(Process(database, 40), asks)
    finally:
        database.dispose()


def test_real_processes_share_a_bucket(settings: Settings) -> None:
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        given = sum(pool.starmap(ask_from_a_process, [(settings, 40)] * 2))
    assert 40 <= given <= 40 + (time.monotonic() - began) * 40 / WINDOW_S


def test_full_buckets_are_forgotten(database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "FORGET_ONE_IN", 1)
    process = Process(database, 10, clock)
    process("early")
    clock.pass_(WINDOW_S)
    process("late")
    with database.transaction() as session:
        assert session.scalars(text("SELECT key FROM rate_limits")).all() == ["late"]


def test_a_process_remembers_only_so_many(database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "REMEMBERED", 3)
    process = Process(database, 10, clock)
    for number in range(5):
        process(f"caller {number}")
    assert len(process.limit._held) == 3
    assert process("caller 0").remaining == 8


def test_callers_that_there_are_not_take_nobodys_place(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "REMEMBERED", 3)
    process = Process(database, 640, clock)
    granted(process, 2)
    before = process.draws

    def refuse(_: str, __: float) -> tuple[int, float]:
        raise LookupError

    for number in range(5):
        with pytest.raises(LookupError):
            process.limit.spend(f"made up {number}", refuse)
    assert list(process.limit._held) == [CALLER]
    assert granted(process, 10) == 10
    assert process.draws == before
