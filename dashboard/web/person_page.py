"""The content of a person's page: read in one place, for the page and for the parts that htmx swaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast

from dashboard.database import Session, statements, transaction
from dashboard.onboarding import history, past, people, user_steps
from dashboard.onboarding.carryover import PASSED, STATUSES, Release, Status
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.onboarding.history import Change, Timeline, Who
from dashboard.onboarding.people import Person
from dashboard.onboarding.user_steps import UserStep
from dashboard.web.formats import status_label
from dashboard.web.saving import AT_REST, NOTHING, Attempt, Happened
from dashboard.web.wording import Told, called, how_many_changes, receipt_address, tell

HISTORY_LIMIT = 20


def moment_of(text: str) -> datetime:
    """The date and time in an address, in UTC unless it says otherwise. Raises Invalid naming `as_of`."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid({"as_of": "is not a valid date and time"}) from None


@dataclass(frozen=True, slots=True)
class Panel:
    """What replaces a row after a stale save. `offered`: saving mine is preselected; `why`: the reason."""

    kind: Literal["moved", "same", "withdrawn"]
    changes: list[Told]
    attempt: Attempt
    offered: bool = False
    why: str = ""

    @property
    def how_many(self) -> str:
        """One change, Two changes ..."""
        return how_many_changes(self.changes)


@dataclass(frozen=True, slots=True)
class Row:
    """One step of the person; `by` is who or what last set its state.

    For a release, `receipt` is its address, `released_by` a name, and `why` its reason.
    """

    step: UserStep
    at: datetime | None
    by: str
    receipt: str = ""
    released_by: str = ""
    why: str = ""
    happened: Happened = AT_REST
    panel: Panel | None = None

    @property
    def chosen(self) -> str:
        """The selected status: the unsaved choice if there is one, else the current status."""
        status = self.happened.unsaved.status
        return status if status in STATUSES else self.step.status

    @property
    def stands(self) -> bool:
        """Whether the form said nothing new and nobody else has changed the row since it was opened."""
        return self.happened.is_same and self.step.row_version == self.happened.attempt.row_version


@dataclass(frozen=True, slots=True)
class PersonPage:
    """A person, their rows in checklist order, the withdrawn ones apart, and one page of history.

    `as_of` is the past moment that the page shows; None: now.
    """

    person: Person
    rows: list[Row]
    withdrawn: list[Row]
    history: Timeline
    told: list[Told]
    titles: Mapping[str, str]
    opened: datetime
    as_of: datetime | None = None

    def row(self, step_id: str) -> Row:
        """The row of one step. Raises NotFound."""
        return self.rows[self.order(step_id) - 1]

    def order(self, step_id: str) -> int:
        """The place of the step among the rows, from 1. Raises NotFound."""
        for order, row in enumerate(self.rows, 1):
            if row.step.step_id == step_id:
                return order
        raise NotFound("step", step_id)

    @property
    def live(self) -> list[UserStep]:
        """The steps that count."""
        return [row.step for row in self.rows if row.step.version is not None]

    def count(self, status: str) -> int:
        """The number of live steps with the status."""
        return sum(1 for step in self.live if step.status == status)

    @property
    def points_to_go(self) -> int:
        """The total weight of the open live steps."""
        return sum(step.weight for step in self.live if step.status not in PASSED)

    @property
    def first_day(self) -> date:
        """The first day, in UTC, at whose start they already existed."""
        return (self.person.created_at.astimezone(UTC) + timedelta(days=1, microseconds=-1)).date()

    @property
    def last_step(self) -> str:
        """The title of the step of the last activity; empty if a release has moved it since."""
        at = self.person.last_activity_at
        return next((row.step.title for row in self.rows if at and row.step.updated_at == at), "")

    @property
    def newer(self) -> int | None:
        """Where the page of newer history starts; None: there is none."""
        return max(0, self.history.start - HISTORY_LIMIT) if self.history.start else None

    @property
    def older(self) -> int | None:
        """Where the page of older history starts; None: there is none."""
        after = self.history.start + HISTORY_LIMIT
        return after if after < self.history.total else None


def load(user_id: str, *, start: int = 0, happened: Mapping[str, Happened] = NOTHING) -> PersonPage:
    """The page, with `happened` put into the rows it concerns. Raises NotFound."""
    with statements() as session:
        person = people.find(session, user_id)
        steps = user_steps.steps_of(session, user_id)
        timeline = history.timeline(session, user_id, person.created_at, start, HISTORY_LIMIT)
        changes = [change for one in happened.values() for change in one.changes]
        releases, names = _explained(session, steps, [*timeline.changes, *changes])
    return _page(person, steps, timeline, releases, names, happened)


def load_as_of(user_id: str, moment: datetime, *, start: int = 0) -> PersonPage:
    """The read-only page as it was at `moment`. Raises NotFound, Invalid naming `as_of`."""
    with transaction() as session:
        then = past.as_of(session, user_id, moment)
        timeline = history.timeline(session, user_id, then.person.created_at, start, HISTORY_LIMIT, until=moment)
        releases, names = _explained(session, then.steps, timeline.changes)
    known = {step_id: [one for one in every if one.released_at <= moment] for step_id, every in releases.items()}
    return replace(_page(then.person, then.steps, timeline, known, names), as_of=moment)


def _explained(
    session: Session, steps: Sequence[UserStep], changes: Iterable[Change]
) -> tuple[dict[str, list[Release]], dict[str, Who]]:
    """The releases that account for the steps' states, and the names of everyone who did anything here."""
    moved = [step.step_id for step in steps if step.reset_by_release_id or step.version is None]
    releases = history.releases_of(session, moved) if moved else {}
    keys = {step.updated_by for step in steps if step.updated_by}
    keys |= {change.by for change in changes}
    keys |= {release.released_by for of_step in releases.values() for release in of_step}
    return releases, history.who(session, keys)


def _page(
    person: Person,
    steps: Sequence[UserStep],
    timeline: Timeline,
    releases: Mapping[str, Sequence[Release]],
    names: Mapping[str, Who],
    happened: Mapping[str, Happened] = NOTHING,
) -> PersonPage:
    # a step withdrawn while it was being edited keeps its place, to say so
    here = [step for step in steps if step.version is not None or step.step_id in happened]
    rows = [_row(step, releases, names) for step in steps]
    return PersonPage(
        person=person,
        rows=[_with(row, happened.get(row.step.step_id, AT_REST), names) for row in rows if row.step in here],
        withdrawn=[row for row in rows if row.step not in here],
        history=timeline,
        told=[tell(change, names) for change in timeline.changes],
        titles={step.step_id: step.title for step in steps},
        opened=datetime.now(UTC),
    )


def _row(step: UserStep, releases: Mapping[str, Sequence[Release]], names: Mapping[str, Who]) -> Row:
    """The row at rest: since when it is in this state, and because of whom or which release."""
    of_step = releases.get(step.step_id, [])
    if step.version is None:
        last = of_step[-1]
        return _released(step, last, f"Withdrawn by {names[last.released_by].name}")
    for release in of_step:
        if release.id == step.reset_by_release_id:
            return _released(step, release, f"Reset by {called(release)}", names[release.released_by].name)
    return Row(step, step.updated_at, names[step.updated_by].name if step.updated_by else "")


def _released(step: UserStep, release: Release, by: str, released_by: str = "") -> Row:
    return Row(step, release.released_at, by, receipt_address(release), released_by, release.note)


def _with(row: Row, happened: Happened, names: Mapping[str, Who]) -> Row:
    """The row with the outcome of its form."""
    if happened is AT_REST:
        return row
    return replace(row, happened=happened, panel=_panel(row.step, happened, names))


def _panel(step: UserStep, happened: Happened, names: Mapping[str, Who]) -> Panel | None:
    attempt, changes = happened.unsaved, happened.changes
    told = [tell(change, names) for change in changes]
    if step.version is None:
        return Panel("withdrawn", told, attempt)
    if not happened.is_stale:
        return None
    if step.status == attempt.status:
        return Panel("same", told, attempt)
    status = cast(Status, attempt.status)
    offered = history.still_holds(status, changes)
    return Panel("moved", told, attempt, offered, _why(status, changes) if offered else "")


def _why(status: Status, changes: Sequence[Change]) -> str:
    """Why saving mine is preselected."""
    passed = [change.release for change in changes if change.release]
    if len(passed) == 1:
        only, keeps = f"change since is {called(passed[0])}", "which keeps"
    else:
        only, keeps = "changes since are releases", "which keep"
    kept = "" if status == "todo" else f", {keeps} {status_label(status)}"
    return f"The only {only}{kept}. Your choice still makes sense."
