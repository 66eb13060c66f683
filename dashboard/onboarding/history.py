"""What happened, in one timeline of events and releases that explains every row_version; and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache, partial
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding.actor import Actor, called
from dashboard.onboarding.carryover import Kind, Policy, Release, Status, reset_by, status_at

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""A moment before all others."""


@dataclass(frozen=True, slots=True)
class Event:
    """One acknowledged write of one person's step; `row_version` is the one it made."""

    step_id: str
    at: datetime
    actor: str
    source: str
    from_status: Status
    to_status: Status
    row_version: int
    release_id: int
    comment: str


EVENT = [getattr(models.UserStepEvent, field.name) for field in fields(Event)]
RELEASE = [column for column in models.Release.__table__.columns if column.name != "receipt"]


@dataclass(frozen=True, slots=True)
class Change:
    """One increment of one row_version: a write (`event`) or a release of the step. `comment` is its reason."""

    step_id: str
    row_version: int
    at: datetime
    by: str
    kind: Literal["event", "release"]
    source: str
    from_status: Status
    to_status: Status
    comment: str
    release: Release | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """How a person, a colleague or a program is called on the pages: `detail` is the role or the way it came."""

    name: str
    detail: str = ""


def record(
    session: Session,
    actor: Actor,
    action: str,
    *,
    step_id: str | None = None,
    user_id: str | None = None,
    subject: str = "",
    changes: Mapping[str, Any] | None = None,
    note: str = "",
) -> None:
    """Append to the audit log; `changes` maps a member to `[before, after]`, and `note` is the reason that was given.

    It is dated now: the transaction may have waited for what came before.
    """
    session.add(
        models.AuditEntry(
            at=func.clock_timestamp(),
            actor=actor.key,
            action=action,
            step_id=step_id,
            user_id=user_id,
            subject=subject,
            changes=dict(changes or {}),
            note=note,
        )
    )
    session.flush()


def releases_of(session: Session, step_ids: Iterable[str] | None = None) -> dict[str, list[Release]]:
    """The releases of the given steps (None: of all), oldest first, without their receipts."""
    r = models.Release
    query = select(*RELEASE).order_by(r.step_id, r.number)
    if step_ids is not None:
        query = query.where(r.step_id.in_(list(step_ids)))
    found: dict[str, list[Release]] = {}
    for row in session.execute(query):
        found.setdefault(row.step_id, []).append(release_from(row))
    return found


def releases_of_step(session: Session, step_id: str) -> list[Release]:
    """The same of one step; none where it was never released or is not there."""
    return releases_of(session, [step_id]).get(step_id, [])


def release_from(row: Any, receipt: dict[str, Any] | None = None) -> Release:
    """A Release from a row that has the columns of step_releases."""
    kind: Kind = row.kind
    policy = Policy(row.carry_done, row.carry_skipped, row.carry_in_progress)
    return Release(
        row.id,
        row.step_id,
        row.number,
        row.version,
        kind,
        policy,
        row.undone_by,
        row.reopens_finished,
        row.note,
        row.released_at,
        row.released_by,
        receipt,
    )


def events_of(session: Session, user_id: str) -> list[Event]:
    """All events of the person, oldest first within a step."""
    e = models.UserStepEvent
    query = select(*EVENT).where(e.user_id == user_id).order_by(e.step_id, e.row_version)
    return [Event(**row._mapping) for row in session.execute(query)]


def events_by_step(session: Session, user_id: str) -> dict[str, list[Event]]:
    """The same, those of each step by themselves."""
    return {step_id: list(events) for step_id, events in groupby(events_of(session, user_id), attrgetter("step_id"))}


def in_order(moments: Iterable[datetime]) -> Iterator[datetime]:
    """The moments of a step's events and releases, in the order of its row_versions, each not before the one before it.

    Within a step row_version decides, for a write that a release overtook may carry the later time.
    """
    return accumulate(moments, max)


CountsAs = Callable[[Status, int, int], Status]
"""What a status that was recorded at one release number counted as at another one."""


def counts_as_under(releases: Sequence[Release]) -> CountsAs:
    """`status_at` under these releases of a step, for many people: most of them recorded the same at the same time."""
    return cache(partial(status_at, releases=releases))


def explain(events: Sequence[Event], releases: Sequence[Release], counts_as: CountsAs | None = None) -> list[Change]:
    """Every row_version that one person's step went through, oldest first: each is one event or one release.

    `events` and `releases` are all those of the step. The first row_version, 1, is the step's first release. Whoever
    asks for several people has one `counts_as` for all of them.
    """
    counts_as = counts_as or counts_as_under(releases)
    by_id = {release.id: release for release in releases}
    # Before the first event the row counts as recorded To do under release 1 with row_version 1 (model.md, rule 3).
    recorded: list[tuple[Status, int, int]] = [("todo", 1, 1)]
    recorded += [(event.to_status, by_id[event.release_id].number, event.row_version) for event in events]
    changes: list[Change] = []
    for index, (status, number, row_version) in enumerate(recorded):
        if index:
            changes.append(_written(events[index - 1]))
        until = recorded[index + 1][1] if index + 1 < len(recorded) else releases[-1].number
        for before, release in pairwise(releases[number - 1 : until]):
            changes.append(
                Change(
                    step_id=release.step_id,
                    row_version=row_version + release.number - number,
                    at=release.released_at,
                    by=release.released_by,
                    kind="release",
                    source="",
                    from_status=counts_as(status, number, before.number),
                    to_status=counts_as(status, number, release.number),
                    comment=release.note,
                    release=release,
                )
            )
    return changes[_before_import(recorded) :]


def _before_import(recorded: Sequence[tuple[Status, int, int]]) -> int:
    """How many changes to leave out: a row that came in with a row_version of its own begins with that event."""
    if len(recorded) == 1:
        return 0
    _, number, row_version = recorded[1]
    return 0 if row_version == number + 1 else number - 1


def _written(event: Event) -> Change:
    return Change(
        step_id=event.step_id,
        row_version=event.row_version,
        at=event.at,
        by=event.actor,
        kind="event",
        source=event.source,
        from_status=event.from_status,
        to_status=event.to_status,
        comment=event.comment,
    )


def changes_since(session: Session, user_id: str, step_id: str, row_version: int) -> list[Change]:
    """Everything that changed the person's step since `row_version`, oldest first: the body of every conflict."""
    return changes_of_people(session, step_id, {user_id: row_version})[user_id]


def changes_of(session: Session, user_id: str, seen: Mapping[str, int]) -> dict[str, list[Change]]:
    """The same for several steps, in two queries; `seen` maps each to the row_version to begin after."""
    events = events_by_step(session, user_id)
    releases = releases_of(session, seen)
    return {
        step_id: [
            change for change in explain(events.get(step_id, []), releases[step_id]) if change.row_version > row_version
        ]
        for step_id, row_version in seen.items()
        if step_id in releases
    }


def changes_of_people(session: Session, step_id: str, seen: Mapping[str, int]) -> dict[str, list[Change]]:
    """The same for one step of several people, in two queries; `seen` maps each to the row_version to begin after.

    Nothing changed a step that was never released, or is not there.
    """
    events: dict[str, list[Event]] = {user_id: [] for user_id in seen}
    rows = select(models.UserStepEvent.user_id, *EVENT).where(
        models.UserStepEvent.step_id == step_id, models.UserStepEvent.user_id.in_(seen)
    )
    for user_id, *event in session.execute(rows.order_by(models.UserStepEvent.row_version)):
        events[user_id].append(Event(*event))
    # Releases after events, never before: then every release that an event names is there.
    releases = releases_of_step(session, step_id)
    if not releases:
        return {user_id: [] for user_id in seen}
    counts_as = counts_as_under(releases)
    return {
        user_id: [
            change for change in explain(events[user_id], releases, counts_as) if change.row_version > row_version
        ]
        for user_id, row_version in seen.items()
    }


def still_holds(status: Status, changes: Sequence[Change]) -> bool:
    """Whether a status chosen before `changes`, which are all since then, makes sense after them.

    So it does where nobody else wrote, only releases came, and where it would count now had it been saved in time.
    """
    passed = [change.release for change in changes if change.release]
    if not passed or len(passed) < len(changes):
        return False
    return reset_by(status, 0, passed[-1].number, passed) is None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One page of a person's history, newest first; `total` counts all of it."""

    changes: list[Change]
    start: int
    total: int


def timeline(
    session: Session,
    user_id: str,
    since: datetime,
    start: int = 0,
    limit: int | None = 20,
    *,
    until: datetime | None = None,
) -> Timeline:
    """Every event and every release that touched this person after `since` (when they joined), newest first.

    Of these up to `limit` (None: all), after the first `start`. `until`: only what had happened by then.
    """
    events = events_by_step(session, user_id)
    releases = releases_of(session)
    told: list[tuple[datetime, int, Change]] = []
    for step_id, of_step in releases.items():
        explained = explain(events.get(step_id, []), of_step)
        moments = in_order(change.at for change in explained)
        told += [
            (moment, order, change)
            for order, (moment, change) in enumerate(zip(moments, explained, strict=True))
            if (change.kind == "event" or change.at >= since) and (until is None or moment <= until)
        ]
    told.sort(key=lambda item: item[:2], reverse=True)
    changes = [change for _, _, change in told]
    return Timeline(changes[start:][:limit], start, len(changes))


def who(session: Session, keys: Iterable[str]) -> dict[str, Who]:
    """Names for actor keys, in at most two queries; an account or a person that is gone keeps its id."""
    wanted = set(keys)
    staff = {key.removeprefix("staff:") for key in wanted if key.startswith("staff:")}
    people = {key.removeprefix("user:") for key in wanted if key.startswith("user:")}
    names: dict[str, Who] = {key: _unnamed(key) for key in wanted}
    if staff:
        a = models.StaffAccount
        for email, name, role in session.execute(select(a.email, a.name, a.role).where(a.email.in_(staff))):
            names[f"staff:{email}"] = Who(name, role)
    if people:
        u = models.User
        for user_id, name, email in session.execute(select(u.user_id, u.name, u.email).where(u.user_id.in_(people))):
            names[f"user:{user_id}"] = Who(called(name, email, user_id))
    return names


def name_of(session: Session, key: str) -> str:
    """The name for one actor key."""
    return who(session, [key])[key].name


def _unnamed(key: str) -> Who:
    kind, _, rest = key.partition(":")
    return Who(rest or key, {"token": "API", "system": "system"}.get(kind, ""))
