"""A data set of any size and of two shapes: generated from a seed, loaded by COPY, and as the engine would have left it."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import drafts, releases, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.loading import driver_connection, loading, prepare
from dashboard.onboarding.people import index
from dashboard.onboarding.sql import run
from dashboard.onboarding.straight import EACH_ALONE

Shape = Literal["funnel", "random"]
"""funnel: everybody has got as far as some step; random: each step of each person is whatever it is."""

MANAGER = Actor("system:benchmark", "cli")
STEPS = 10
SEED = 5
DAYS = 365
MINUTES = 1440
BLOCK = 2_000

# Names repeat, as names do.
FIRST = (
    *("Amara", "Ben", "Chiara", "Daniel", "Elif", "Farid", "Grace", "Hana", "Ines", "Jonas", "Kofi", "Łucja", "Maya"),
    *("Noor", "Olga", "Pedro", "Quinn", "Rosa", "Søren", "Tomas", "Uma", "Víctor", "Wen", "Xenia", "Yusuf", "Zoë"),
)
LAST = (
    *("Adeyemi", "Berg", "Carter", "Diaz", "Eriksen", "Fontaine", "Garcia", "Haddad", "Ivanov", "Jensen"),
    *("Kowalczyk", "Lindqvist", "Mensah", "Nakamura", "Okafor", "Papadopoulos", "Quist", "Romano", "Sato"),
    *("Tanaka", "Usman", "Vargas", "Weber", "Xu", "Yilmaz", "Zhang"),
)
ENDINGS = ("", "", "", "son", "-Ortiz", "ova")
WORKPLACES = 500

STATUSES = {"d": "done", "s": "skipped", "i": "in_progress"}
NOTHING = "."


class Crowd:
    """People who joined over a year until now. `codes` has a letter a step for each of them: d, s, i or nothing at all.

    `joined` and `latest` are in minutes since `start`; what somebody did lies evenly between the two.
    """

    def __init__(self, people: int, shape: Shape, seed: int = SEED) -> None:
        until = datetime.now(UTC)
        self.start = datetime.combine(until.date() - timedelta(days=DAYS), time(), UTC)
        self.seed, draw = seed, random.Random(seed).random
        self.codes = [(_funnel if shape == "funnel" else _anything)(draw) for _ in range(people)]
        minutes = int((until - self.start).total_seconds()) // 60
        self.joined, self.latest = array("i"), array("i")
        for _ in range(people):
            joined = int(draw() * minutes)
            self.joined.append(joined)
            self.latest.append(joined + int(draw() * (minutes - joined)))
        self._days = [(self.start + timedelta(days=day)).date().isoformat() for day in range(DAYS + 1)]
        self._clock = [f"{minute // 60:02}:{minute % 60:02}+00" for minute in range(MINUTES)]

    @property
    def rows(self) -> int:
        """How many steps of people are recorded."""
        return sum(len(code) - code.count(NOTHING) for code in self.codes)

    def at(self, minute: int) -> str:
        """That minute, as PostgreSQL reads it."""
        return f"{self._days[minute // MINUTES]} {self._clock[minute % MINUTES]}"

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Id, name and email of each, the same from call to call."""
        draw = random.Random(f"names {self.seed}").random
        for number in range(1, len(self.codes) + 1):
            first, last = FIRST[int(draw() * len(FIRST))], LAST[int(draw() * len(LAST))]
            last += ENDINGS[int(draw() * len(ENDINGS))]
            email = f"{first.lower()}.{last.lower()}{number}@company{int(draw() * WORKPLACES)}.example"
            yield f"user-{number}", f"{first} {last}", email

    def people(self, release_ids: Sequence[int]) -> Iterator[str]:
        """Lines of onboarding_users, for COPY."""
        for place, (user_id, name, email) in enumerate(self.names()):
            code = self.codes[place]
            done, skipped, working = (
                ",".join([str(release_ids[at]) for at, letter in enumerate(code) if letter == wanted])
                for wanted in STATUSES
            )
            latest = r"\N" if code.count(NOTHING) == len(code) else self.at(self.latest[place])
            finished = latest if code.count("d") + code.count("s") == len(code) else r"\N"
            yield (
                f"{user_id}\t{name}\t{email}\t{self.at(self.joined[place])}\t"
                f"{{{done}}}\t{{{skipped}}}\t{{{working}}}\t{finished}\t{latest}\n"
            )

    def recorded(self, told: Callable[[int, str, str], str]) -> Iterator[str]:
        """A line for each recorded step: the person's id, then what `told` makes of the step's place, letter and time."""
        for place, code in enumerate(self.codes):
            did = [(at, letter) for at, letter in enumerate(code) if letter != NOTHING]
            joined, spent = self.joined[place], self.latest[place] - self.joined[place]
            for number, (at, letter) in enumerate(did, 1):
                yield f"user-{place + 1}{told(at, letter, self.at(joined + spent * number // len(did)))}"

    def csv(self) -> Iterator[str]:
        """Lines of the file that `people import` reads, the header first."""
        yield ",".join(["user_id", "name", "email", *(step_id(at) for at in range(STEPS))]) + "\n"
        for code, who in zip(self.codes, self.names(), strict=True):
            yield ",".join([*who, *(STATUSES.get(letter, "") for letter in code)]) + "\n"


def _funnel(draw: Callable[[], float]) -> str:
    """Those before the step that was reached are done (one in ten skipped), that one is in progress."""
    reached = int(draw() * (STEPS + 1))
    passed = "".join(["s" if draw() < 0.1 else "d" for _ in range(reached)])
    return (passed + "i" + NOTHING * STEPS)[:STEPS]


def _anything(draw: Callable[[], float]) -> str:
    return "".join([("dsi" + NOTHING)[int(draw() * 4)] for _ in range(STEPS)])


def step_id(place: int) -> str:
    """The id of the step at that place, counted from 0."""
    return f"step-{place + 1}"


def checklist(session: Session, at: datetime | None = None) -> list[int]:
    """Makes ten steps and publishes them, at that time; the ids of their releases."""
    for place in range(STEPS):
        drafts.create(session, MANAGER, step_id(place), {"title": f"Step {place + 1}", "weight": 11 + place})
        releases.release(session, MANAGER, step_id(place), at=at)
    return [steps.get(session, step_id(place)).release_id or 0 for place in range(STEPS)]


def build(database: Database, crowd: Crowd) -> None:
    """Fills an empty database with the checklist and the crowd, what they did and its history; then it is vacuumed."""
    with database.transaction() as session:
        release_ids = checklist(session, crowd.start)
        prepare(session)
        with loading(session, crowd.rows):
            copy(session, f"onboarding_users ({PERSON})", crowd.people(release_ids))
            run(session, index())
            copy(session, f"user_steps ({ROW})", crowd.recorded(_row(release_ids)))
            copy(session, f"user_step_events ({EVENT})", crowd.recorded(_event(release_ids)))
    with database.engine.connect().execution_options(**EACH_ALONE) as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))


PERSON = "user_id, name, email, created_at, done_releases, skipped_releases, in_progress_releases, finished_at, last_activity_at"
ROW = "user_id, step_id, status, release_id, row_version, updated_by, updated_at"
EVENT = "user_id, step_id, to_status, release_id, row_version, actor, at, from_status, source"


def _row(release_ids: Sequence[int], more: str = "") -> Callable[[int, str, str], str]:
    """The rest of a line of user_steps: the first write of somebody who was To do at row_version 1."""
    made = {
        (place, letter): f"\t{step_id(place)}\t{status}\t{release}\t2\t{MANAGER.key}\t"
        for place, release in enumerate(release_ids)
        for letter, status in STATUSES.items()
    }
    return lambda place, letter, at: f"{made[place, letter]}{at}{more}\n"


def _event(release_ids: Sequence[int]) -> Callable[[int, str, str], str]:
    return _row(release_ids, "\ttodo\tapi")


def copy(session: Session, into: str, lines: Iterable[str]) -> None:
    """Loads the lines into a table by COPY, some thousands of them at a time."""
    waiting = iter(lines)
    with driver_connection(session).cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as out:
        while block := "".join(islice(waiting, BLOCK)):
            out.write(block)


def some_rows(session: Session, people: int, of_step: str | None = None) -> list[tuple[str, str, int]]:
    """(user_id, step_id, row_version) of recorded steps of some people, chosen evenly; `of_step`: of that step alone."""
    rows = session.execute(
        text("""
        SELECT v.user_id, v.step_id, v.row_version FROM user_onboarding v JOIN user_steps USING (user_id, step_id)
         WHERE v.user_id IN (SELECT user_id FROM onboarding_users ORDER BY md5(user_id) LIMIT :people)
           AND v.step_id = coalesce(:of_step, v.step_id)
         ORDER BY md5(v.user_id), v.step_id
        """),
        {"people": people, "of_step": of_step},
    )
    return [(row.user_id, row.step_id, row.row_version) for row in rows]
