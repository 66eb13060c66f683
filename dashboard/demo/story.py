"""The people of the demo and what they intend to do, computed from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from dashboard.demo.data import AMARA, COMMENTS, FIRST, LAST, STEPS, WORKPLACES, Chapter, StepPlan
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Status

PEOPLE = 2_000
SEED = 20_260
IDLE_DAYS = 9
"""How long ago, on average, people with the whole checklist to do were last active."""
BUSY_DAYS = 7
"""How far back the product's repeated saves of a step, made when someone returns to it, are simulated."""
LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
SUPPORT = Actor("staff:tomas@demo.example", "web")


@dataclass(slots=True)
class Row:
    """One person's step at the current point of the story."""

    status: Status
    number: int
    release_id: int
    row_version: int
    at: datetime
    by: str


@dataclass(slots=True)
class Someone:
    """One person of the story, and what they have done so far."""

    user_id: str
    name: str
    email: str
    joined: datetime
    rows: dict[str, Row] = field(default_factory=dict)
    finished_at: datetime | None = None

    @property
    def active_at(self) -> datetime | None:
        return max((row.at for row in self.rows.values()), default=None)


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """Something that a person, or support for them, does at a given moment; `again`: it saves the same status again."""

    at: datetime
    person: int
    step_id: str = field(compare=False)
    status: Status = field(compare=False)
    by: Actor = field(compare=False)
    comment: str = field(default="", compare=False)
    again: bool = field(default=False, compare=False)


class Story:
    """The people and their intentions; `acts` are handed out in order, and more may be added meanwhile."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.random = Random(SEED)  # noqa: S311 - the same people each time is the point
        # their own generators, so that they do not affect who does what
        self.visits = Random(SEED + 1)  # noqa: S311
        self.stale = Random(SEED + 2)  # noqa: S311
        self.people: list[Someone] = []
        self.acts: list[Act] = []
        self._used: set[str] = set()
        self._add_amara()
        while len(self.people) < PEOPLE:
            self._add_someone()

    def after(self, days: float) -> datetime:
        """The moment `days` after now (usually negative, as in the data)."""
        return self.now + timedelta(days=days)

    def until(self, moment: datetime) -> list[Act]:
        """Removes and returns the acts before `moment`, in order."""
        due = sorted(act for act in self.acts if act.at < moment)
        self.acts = [act for act in self.acts if act.at >= moment]
        return due

    def _add_amara(self) -> None:
        self.people.append(Someone("usr_7f3k2q", "Amara Okafor", "amara.okafor@tidewater.example", self.after(-29)))
        amara = Actor("user:usr_7f3k2q", "api")
        for days, step_id, status, comment in AMARA:
            by = SUPPORT if comment else amara
            self.acts.append(Act(self.after(days), 0, step_id, status, by, comment))

    def _add_someone(self) -> None:
        random, index = self.random, len(self.people)
        first, last = random.choice(FIRST), random.choice(LAST)
        user_id = self._unused(lambda: "usr_" + "".join(random.choices(LETTERS, k=6)))
        email = self._unused(lambda: f"{_plain(first)}.{_plain(last)}@{random.choice(WORKPLACES)}.example")
        is_recent = random.random() < 0.09
        joined = self.after(-random.uniform(0.1, 30) if is_recent else -random.uniform(30, 150))
        self.people.append(Someone(user_id, f"{first} {last}", email, joined))
        self._plan(index)

    def _unused(self, make: Callable[[], str]) -> str:
        while (made := make()) in self._used:
            pass
        self._used.add(made)
        return made

    def _plan(self, index: int) -> None:
        """How far this person gets: keen people do more of everything, and the newest have had less time."""
        random, person = self.random, self.people[index]
        starts = max(person.joined, self.after(STEPS[0].published + 0.1))
        age = (self.now - starts) / timedelta(days=1)
        keen = random.random() * min(1.0, 0.5 + age / 12)
        reach = [(step, keen + random.gauss(0, 0.13) - (1 - step.reached)) for step in STEPS]
        taken = [(step, by) for step, by in reach if by >= -step.stuck]
        stops = self.after(-min(age, random.expovariate(1 / IDLE_DAYS) + 0.04))
        moments = sorted(starts + (stops - starts) * random.random() ** 0.5 for _ in taken)
        for (step, by), moment in zip(taken, moments, strict=True):
            self._begin(index, step, moment, finishes=by >= 0)

    def _begin(self, index: int, step: StepPlan, moment: datetime, *, finishes: bool) -> None:
        random = self.random
        themselves = self.themselves(index)
        by, comment = (SUPPORT, random.choice(COMMENTS)) if random.random() < 0.03 else (themselves, "")
        skips = finishes and random.random() < step.skipped
        if not skips and (not finishes or random.random() < 0.5):
            self._act(moment, index, step.step_id, "in_progress", themselves)
            moment += timedelta(hours=random.uniform(0.1, 30))
        if finishes:
            self._act(moment, index, step.step_id, "skipped" if skips else "done", by, comment)

    def _act(self, at: datetime, index: int, step_id: str, status: Status, by: Actor, comment: str = "") -> None:
        if self.people[index].joined < at < self.now:
            self.acts.append(Act(at, index, step_id, status, by, comment))
            if status == "in_progress" and at > self.after(-2 * BUSY_DAYS):
                self._come_back(at, index, step_id, by)

    def _come_back(self, since: datetime, index: int, step_id: str, by: Actor) -> None:
        """Most look at the step again, today and perhaps before, and the product saves In progress again."""
        if self.visits.random() < 0.3:
            return
        for day in range(BUSY_DAYS):
            at = self.after(-day - self.visits.uniform(0.01, 1))
            if (day == 0 or self.visits.random() < 0.5) and at > since:
                self.acts.append(Act(at, index, step_id, "in_progress", by, again=True))

    def begin_again(self, chapter: Chapter, reset: Sequence[int]) -> None:
        """After a release, some of the people it reset start the step again."""
        for index in reset:
            if index and self.random.random() < chapter.again:
                at = self.after(chapter.days + self.random.uniform(0.01, 1) * chapter.within)
                self._act(at, index, chapter.step_id, "in_progress", self.themselves(index))

    def themselves(self, index: int) -> Actor:
        """The person as the actor that the product reports."""
        return Actor(f"user:{self.people[index].user_id}", "api")

    def saved_stale(self, chapter: Chapter, reset: Sequence[int]) -> list[Act]:
        """Saves from pages opened before the release, by some of those it reset who do not start again."""
        beginning = {act.person for act in self.acts if act.step_id == chapter.step_id}
        others = [index for index in reset if index and index not in beginning]
        return [
            Act(
                self.after(chapter.days + self.stale.uniform(0.02, 1) * chapter.within),
                *(index, chapter.step_id, "done", self.themselves(index)),
            )
            for index in self.stale.sample(others, chapter.stale)
        ]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower().translate(_ACCENTS) if letter.isascii() and letter.isalpha())


_ACCENTS = str.maketrans("áàâãäåéèêëíìîïóòôõöøúùûüçñńśłšžýığć", "aaaaaaeeeeiiiioooooouuuucnnslszyigc")
