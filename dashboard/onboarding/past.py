"""A person as they stood at a moment of the past, worked out from their events and the releases until then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import people
from dashboard.onboarding.carryover import PASSED, Release, Status, reset_by
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.history import NEVER, Event, events_by_step, in_order, releases_of
from dashboard.onboarding.people import Person
from dashboard.onboarding.scoring import finished_of, percent_of
from dashboard.onboarding.user_steps import UserStep


@dataclass(frozen=True, slots=True)
class Past:
    """The person and their steps in checklist order, as both stood then; `withdrawn` then: a step's version is None.

    Name and email are today's: no history is kept of them.
    """

    person: Person
    steps: list[UserStep]


def as_of(session: Session, user_id: str, moment: datetime) -> Past:
    """How the person stood at `moment`. Raises NotFound, and Invalid for a time before they joined or yet to come."""
    person = people.find(session, user_id)
    if moment < person.created_at:
        raise Invalid({"as_of": "is before they joined"})
    if moment > (session.scalar(select(func.now())) or moment):
        raise Invalid({"as_of": "is in the future"})
    return stood(session, person, moment)


def stood(session: Session, person: Person, moment: datetime) -> Past:
    """The same, whatever the moment."""
    diaries = _diaries(session, person.user_id)
    definitions = _definitions(session, moment)
    steps = _steps(diaries, definitions, moment)
    progress = _percent(steps)
    reopenings = _reopenings(diaries)
    finished_at = _finished_at(person, diaries, definitions, reopenings, moment)
    is_remembered = finished_at is not None and finished_at > _reopened_at(reopenings, moment)
    written = [line.event.at for diary in diaries.values() for line in diary.lines if line.event]
    return Past(
        replace(
            person,
            progress=progress,
            finished=finished_of(progress, finished_at is not None, is_remembered),
            finished_at=finished_at,
            last_activity_at=max((at for at in written if at <= moment), default=None),
            next_step=next((step.title for step in steps if step.version is not None and not _counts(step)), None),
        ),
        steps,
    )


# One step ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One release of the step, or one event of the person under it; `at`: not before what comes before it."""

    at: datetime
    release: Release
    event: Event | None


@dataclass(frozen=True, slots=True)
class Diary:
    """Everything that happened to a person's step, in the order of its row_versions.

    What is older than the step is here, since `here_from`, was adopted: it came all at once.
    """

    here_from: datetime
    releases: Sequence[Release]
    lines: Sequence[Line]

    def until(self, moment: datetime) -> list[Line]:
        """What had happened by then."""
        return [line for line in self.lines if line.at <= moment]


@dataclass(frozen=True, slots=True)
class Said:
    """What a step said in one version, and its place in the checklist."""

    position: int
    title: str
    description: str
    weight: int
    action_url: str


Definitions = Mapping[tuple[str, int], Said]


def _diaries(session: Session, user_id: str) -> dict[str, Diary]:
    events, releases = events_by_step(session, user_id), releases_of(session)
    s = models.Step
    # after the releases: of a step that comes in between, no release was seen
    here_from = dict(session.execute(select(s.step_id, s.created_at)).all())
    return {
        step_id: Diary(here_from[step_id], of_step, list(_lines(of_step, events.get(step_id, []))))
        for step_id, of_step in releases.items()
    }


def _lines(releases: Sequence[Release], events: Sequence[Event]) -> Iterator[Line]:
    told: list[tuple[datetime, Release, Event | None]] = []
    for release in releases:
        told.append((release.released_at, release, None))
        told += [(event.at, release, event) for event in events if event.release_id == release.id]
    moments = in_order(at for at, _, _ in told)
    return (Line(at, release, event) for at, (_, release, event) in zip(moments, told, strict=True))


def _definitions(session: Session, moment: datetime) -> Definitions:
    """What every version says, at the place that its step had then."""
    d, s = models.Definition, models.Step
    query = (
        select(d.step_id, d.version, s.position, d.title, d.description, d.weight, d.action_url)
        .join(s, s.step_id == d.step_id)
        .where(d.state == "released")
    )
    places = _places(session, moment)
    return {
        # what was adopted since then stands after what was here
        (row.step_id, row.version): Said(places.get(row.step_id, len(places) + row.position), *row[3:])
        for row in session.execute(query)
    }


def _places(session: Session, moment: datetime) -> dict[str, int]:
    """The places that the next change of the order found, and after them those of steps that only a later one did."""
    a = models.AuditEntry
    changes = select(a.changes).where(a.action == "steps.reorder", a.at > moment).order_by(a.at, a.id)
    places: dict[str, int] = {}
    for found in session.scalars(changes):
        for step_id in found["order"][0]:
            places.setdefault(step_id, len(places) + 1)
    return places


def _steps(diaries: Mapping[str, Diary], definitions: Definitions, moment: datetime) -> list[UserStep]:
    steps = []
    for step_id, diary in diaries.items():
        if lines := diary.until(moment):
            recorded = next((line for line in reversed(lines) if line.event), lines[0])
            steps.append(_step(step_id, diary, recorded, lines[-1].release, definitions))
    return sorted(steps, key=lambda step: (step.position, step.step_id))


def _step(step_id: str, diary: Diary, line: Line, current: Release, definitions: Definitions) -> UserStep:
    """The step as recorded by `line`, the first where no event is, under `current` (docs/model.md, rules 1 to 3)."""
    event = line.event
    status: Status = event.to_status if event else "todo"
    reset = reset_by(status, line.release.number, current.number, diary.releases)
    versions = [release.version for release in diary.releases[: current.number] if release.version is not None]
    said = definitions[step_id, versions[-1]]
    return UserStep(
        step_id=step_id,
        position=said.position,
        title=said.title,
        description=said.description,
        weight=said.weight,
        action_url=said.action_url,
        version=current.version,
        status="todo" if reset else status,
        row_version=(event.row_version if event else 1) + current.number - line.release.number,
        updated_at=reset.released_at if reset else event.at if event else None,
        updated_by=reset.released_by if reset else event.actor if event else None,
        reset_by_release_id=reset.id if reset else None,
    )


# The person ----------------------------------------------------------------------------------------------------------


def _counts(step: UserStep) -> bool:
    return step.status in PASSED


def _percent(steps: Iterable[UserStep]) -> int:
    live = [step for step in steps if step.version is not None]
    return percent_of(sum(step.weight for step in live if _counts(step)), sum(step.weight for step in live))


@dataclass(frozen=True, slots=True)
class Stood:
    """How far they were when they had written something, or had it adopted, `at` that moment.

    `wrote_at`: the newest time that is given for anything they had written.
    """

    at: datetime
    wrote_at: datetime
    percent: int


def _stood_here(diaries: Mapping[str, Diary], definitions: Definitions) -> Iterator[Stood]:
    """What this database came to say of them: one walk, on which a line changes the step that it is of."""
    lines = [
        (max(line.at, diary.here_from), step_id, line) for step_id, diary in diaries.items() for line in diary.lines
    ]
    recorded: dict[str, Line] = {}
    steps: dict[str, UserStep] = {}
    wrote_at = NEVER
    # those of a step stay in their order
    for at, together in groupby(sorted(lines, key=itemgetter(0)), key=itemgetter(0)):
        wrote = False
        for _, step_id, line in together:
            if line.event or step_id not in recorded:
                recorded[step_id] = line
            if line.event:
                wrote, wrote_at = True, max(wrote_at, line.event.at)
            steps[step_id] = _step(step_id, diaries[step_id], recorded[step_id], line.release, definitions)
        if wrote:
            yield Stood(at, wrote_at, _percent(steps.values()))


def _finished_at(
    person: Person,
    diaries: Mapping[str, Diary],
    definitions: Definitions,
    reopenings: Sequence[Reopening],
    moment: datetime,
) -> datetime | None:
    """When they last came to 100 % by then (rule 8). Only the newest time is kept; an earlier one is found again."""
    if person.finished_at is None or person.finished_at <= moment:
        return person.finished_at
    found = None
    for one in _stood_here(diaries, definitions):
        reopened_at = _reopened_at(reopenings, one.at)
        if one.percent < 100 or (found and found > reopened_at):
            continue
        # as it is remembered, see REMEMBERED_FROM, and FINISHED_FROM of an adoption
        is_newer = one.wrote_at > reopened_at
        finished_at = one.wrote_at if is_newer else max(one.at, reopened_at + timedelta(microseconds=1))
        if min(one.at, finished_at) > moment:
            break
        found = finished_at
    return found


@dataclass(frozen=True, slots=True)
class Reopening:
    """A release that asks everybody to finish again, from `at` on; not undone before `undone_at`."""

    release: Release
    at: datetime
    undone_at: datetime | None


def _reopenings(diaries: Mapping[str, Diary]) -> list[Reopening]:
    at = {line.release.id: line.at for diary in diaries.values() for line in diary.lines if line.event is None}
    releases = (release for diary in diaries.values() for release in diary.releases if release.reopens_finished)
    return [Reopening(one, at[one.id], at.get(one.undone_by) if one.undone_by else None) for one in releases]


def _reopened_at(reopenings: Sequence[Reopening], moment: datetime) -> datetime:
    """When finished was reopened last, as it was seen at that moment."""
    in_force = (one for one in reopenings if one.at <= moment and not (one.undone_at and one.undone_at <= moment))
    return max((one.release.released_at for one in in_force), default=NEVER)
