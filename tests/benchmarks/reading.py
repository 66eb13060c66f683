"""Scenarios of pages: each alone, and the most used ones under 16 people at once."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, cycle

from flask.testing import FlaskClient
from sqlalchemy import text

from dashboard.onboarding.paging import BY_NAME, write_cursor
from tests.benchmarks.callers import Caller, at_once, round_of
from tests.benchmarks.scenario import Scenario, Side, Sides
from tests.benchmarks.world import World

AIM_MS = 60
PAGE = 25
DEEPEST = 1_000
USERS = 16
WORKERS = 2

SEARCHES = ("amara", "zo", "z", "okafor", "amara okafor", "user-77", "company42", "ova", "example", "xq")
FILTERS = (
    *("sort=active", "sort=inactive", "sort=furthest", "sort=least", "sort=newest", "sort=oldest"),
    *(f"step=step-5&status={status}" for status in ("done", "skipped", "in_progress", "todo")),
    *(f"step=step-9&status={status}&sort=furthest" for status in ("done", "todo")),
    *("finished=yes", "finished=no&sort=furthest", "progress=100", "progress=40-49&sort=inactive", "progress=97"),
    *("idle=14", "idle=300&sort=inactive", "idle=300&finished=no&sort=furthest"),
    *("q=amara&step=step-5&status=done&sort=inactive", "q=zhang&sort=furthest", "q=berg&finished=yes&sort=newest"),
)


class Asked:
    """A browser that asks for one address after the other; it knows how long each has taken."""

    def __init__(self, client: FlaskClient, addresses: Sequence[str]) -> None:
        self.client, self.turns = client, cycle(addresses)
        self.waits: dict[str, list[float]] = defaultdict(list)

    def __call__(self) -> None:
        address = next(self.turns)
        started = time.perf_counter()
        answer = self.client.get(address)
        self.waits[address].append((time.perf_counter() - started) * 1000)
        if answer.status_code != 200:
            raise AssertionError(f"{address}: {answer.status}")

    def slowest(self) -> dict[str, str]:
        """The slowest of the addresses."""
        medians = {address: statistics.median(waits) for address, waits in self.waits.items()}
        address = max(medians, key=lambda one: medians[one])
        return {"slowest": f"{address}, {medians[address]:.0f} ms"}


@contextmanager
def first_page(world: World) -> Iterator[Sides]:
    admin = Asked(world.admin, ["/admin/people/"])
    yield Sides(Side(Asked(world.agent, ["/people"])), {"Flask-Admin's list": Side(admin)})


@contextmanager
def deep_page(world: World) -> Iterator[Sides]:
    page = min(DEEPEST, world.people // PAGE)
    query = text("SELECT name, user_id FROM onboarding_users ORDER BY lower(name), user_id OFFSET :skip LIMIT 1")
    with world.database.transaction() as session:
        before = session.execute(query, {"skip": max(0, (page - 1) * PAGE - 1)}).one()
    ours = Asked(world.agent, [f"/people?cursor={write_cursor('after', BY_NAME, before)}"])
    admin = Asked(world.admin, [f"/admin/people/?page={page - 1}"])
    yield Sides(Side(ours), {"Flask-Admin's": Side(admin)}, lambda: {"page": f"{page:,}"})


@contextmanager
def searching(world: World) -> Iterator[Sides]:
    words = [word.replace(" ", "+") for word in SEARCHES]
    ours = Asked(world.agent, [f"/people?q={word}" for word in words])
    admin = Asked(world.admin, [f"/admin/people/?search={word}" for word in words])
    yield Sides(Side(ours), {"Flask-Admin's search": Side(admin)}, ours.slowest)


@contextmanager
def filtering(world: World) -> Iterator[Sides]:
    day = (datetime.now(UTC) - timedelta(days=100)).date()
    joined = f"joined_from={day}&joined_to={day + timedelta(days=1)}"
    ours = Asked(world.agent, [f"/people?{query}" for query in (*FILTERS, joined)])
    yield Sides(Side(ours), details=ours.slowest)


@contextmanager
def one_person(world: World) -> Iterator[Sides]:
    yield Sides(Side(Asked(world.agent, [f"/people/{user_id}" for user_id in _some_people(world)])))


@contextmanager
def the_overview(world: World) -> Iterator[Sides]:
    yield Sides(Side(Asked(world.agent, ["/"])))


def _some_people(world: World) -> list[str]:
    query = text("SELECT user_id FROM onboarding_users ORDER BY md5(user_id) LIMIT 200")
    with world.database.transaction() as session:
        return list(session.scalars(query))


# Many at once ---------------------------------------------------------------------------------------------------------


@contextmanager
def many_at_once(world: World) -> Iterator[Sides]:
    """The p95 of the slowest of five pages, as the server's own log tells it, with everybody clicking without a pause."""
    people, words = cycle(_some_people(world)), cycle(SEARCHES[:5])
    # as often as a support desk opens them
    mix = ("person", "search", "person", "people", "person", "search", "person", "people", "steps", "overview")
    addresses: dict[str, Callable[[], str]] = {
        "person": lambda: f"/people/{next(people)}",
        "search": lambda: f"/people?q={next(words).replace(' ', '+')}",
        "people": lambda: "/people",
        "steps": lambda: "/steps",
        "overview": lambda: "/",
    }
    with (
        world.programs.dashboard(world.url, WORKERS) as served,
        at_once([Caller(served.port, world.cookie, f"user-{n}") for n in range(USERS)]) as users,
    ):
        turns = count()
        told: dict[str, list[float]] = defaultdict(list)
        waited: list[float] = []

        def click(user: Caller) -> None:
            page = mix[next(turns) % len(mix)]
            user.ask("GET", addresses[page](), told=page)

        def everybody_clicks() -> float:
            waits = round_of(users, click, world.effort.round_s)
            logged = served.server_ms()
            of_round: dict[str, list[float]] = defaultdict(list)
            for request_id, ms in waits.items():
                of_round[request_id.partition(".")[0]].append(logged.get(request_id, ms))
            for page, taken in of_round.items():
                told[page] += taken
            waited.extend(waits.values())
            return max(_per_cent(taken, 95) for taken in of_round.values())

        yield Sides(
            Side(everybody_clicks),
            details=lambda: {
                **{
                    page: f"p50 {_per_cent(of, 50):.0f} ms, p95 {_per_cent(of, 95):.0f} ms" for page, of in told.items()
                },
                "as the browser waits": f"p50 {_per_cent(waited, 50):.0f} ms, p95 {_per_cent(waited, 95):.0f} ms",
            },
        )


def _per_cent(values: Sequence[float], share: int) -> float:
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def _page(key: str, name: str, what: str, sides: Callable[..., object], growth: float = 0, **more: object) -> Scenario:
    return Scenario(key, "Pages", name, what, sides, growth=growth, aim=AIM_MS, aim_of="p95", **more)  # type: ignore[arg-type]


SCENARIOS = (
    _page("people", "People", "the first page of everybody by name", first_page),
    _page("search", "Search", "the first page, for ten different words in turns", searching, runs=100),
    _page(
        "filter",
        "Filter",
        "the first page, for two dozen filters and orders",
        filtering,
        runs=100,
        shapes=("funnel", "random"),
    ),
    _page("deep-page", "Page 1,000", "of everybody by name, or the last page where there are fewer", deep_page),
    _page("person", "A person", "steps and history, another person each time", one_person, runs=100),
    _page("overview", "Overview", "the page of everybody's figures", the_overview, growth=1),
    Scenario(
        "pages",
        "Pages",
        "Five pages, 16 people at once",
        "p95 of the slowest of the five most used pages, server time, two workers",
        many_at_once,
        growth=1,
        aim=AIM_MS,
        patience=3,
    ),
)
