"""Plays the story: real releases, and between them people's acts, loaded as the engine would have stored them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.demo.data import DRAFT, HISTORY, STEPS, Chapter
from dashboard.demo.story import Act, Row, Someone, Story
from dashboard.onboarding import drafts, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import PASSED, WORKED, Release, Status, status_at
from dashboard.onboarding.history import releases_of
from dashboard.onboarding.loading import copying, empty
from dashboard.onboarding.people import INDEX
from dashboard.onboarding.sql import run


def tell(session: Session, story: Story) -> None:
    """Fills an empty database with the story, as of its `now`."""
    teller = Teller(session, story)
    teller.go_on(story.after(STEPS[0].published))
    for step in STEPS:
        with teller.at(step.published) as moment:
            drafts.create(session, Actor(step.by), step.step_id, asdict(step.fields))
            releases.release(session, Actor(step.by), step.step_id, at=moment)
    for chapter in HISTORY:
        teller.go_on(story.after(chapter.days))
        before = teller.in_progress(chapter.step_id)
        with teller.at(chapter.days) as moment:
            _release(session, chapter, moment)
        teller.learn()
        reset_now = sorted(set(before) - set(teller.in_progress(chapter.step_id)))
        story.begin_again(chapter, reset_now)
        teller.save_stale(chapter, reset_now)
    teller.go_on(story.now)
    with teller.at(DRAFT.days):
        _draft(session, DRAFT)
    teller.date_everything()
    teller.store_conflicts()


def _release(session: Session, chapter: Chapter, moment: datetime) -> None:
    actor = Actor(chapter.by)
    if chapter.fields is None:
        releases.roll_back(session, actor, chapter.step_id, note=chapter.note, at=moment)
        return
    _draft(session, chapter)
    releases.release(session, actor, chapter.step_id, note=chapter.note, at=moment)


def _draft(session: Session, chapter: Chapter) -> None:
    if chapter.fields:
        draft = drafts.start(session, Actor(chapter.by), chapter.step_id)
        drafts.save(session, Actor(chapter.by), chapter.step_id, asdict(chapter.fields), draft.row_version)


class Teller:
    """Keeps the database as it was at each moment, so that every release counts the people of its time."""

    def __init__(self, session: Session, story: Story) -> None:
        self.session = session
        self.story = story
        self.releases: dict[str, list[Release]] = {}
        self.stored: set[int] = set()
        self.logged: list[tuple[int, datetime]] = [(self._last_entry(), story.after(STEPS[0].published - 1))]
        self.events: list[tuple[Any, ...]] = []
        self.conflicts: list[tuple[Any, ...]] = []

    @contextmanager
    def at(self, days: float) -> Iterator[datetime]:
        """Dates what staff do inside the block to that moment."""
        moment = self.story.after(days)
        yield moment
        self.logged.append((self._last_entry(), moment))

    def _last_entry(self) -> int:
        return self.session.scalar(select(models.AuditEntry.id).order_by(models.AuditEntry.id.desc()).limit(1)) or 0

    def learn(self) -> None:
        """Reads the releases made so far."""
        self.releases = releases_of(self.session)

    def in_progress(self, step_id: str) -> list[int]:
        """The people whose step currently counts as In progress."""
        return [
            index
            for index, person in enumerate(self.story.people)
            if step_id in person.rows and self._counts(person, step_id) == "in_progress"
        ]

    def _counts(self, person: Someone, step_id: str) -> Status:
        row, of_step = person.rows.get(step_id), self.releases[step_id]
        if row is None or row.number == of_step[-1].number:
            return row.status if row else "todo"
        return status_at(row.status, row.number, of_step[-1].number, of_step)

    def go_on(self, moment: datetime) -> None:
        """Stores everyone who joins and everything people do until `moment`, as the engine would have."""
        self.learn()
        people = {index for index, one in enumerate(self.story.people) if one.joined < moment} - self.stored
        self.stored |= people
        written = {(act.person, act.step_id) for act in self.story.until(moment) if self._do(act)}
        people |= {index for index, _ in written}
        self._store(sorted(people), sorted(written))

    def _do(self, act: Act) -> bool:
        person, of_step = self.story.people[act.person], self.releases[act.step_id]
        current, row = of_step[-1], person.rows.get(act.step_id)
        before = self._counts(person, act.step_id)
        is_step_back = act.status == "in_progress" and before == "done"
        if (before == act.status) != act.again or is_step_back:
            return False
        row_version = 1 + (row.row_version + current.number - row.number if row else current.number)
        attempt = self._refused_before(act, row, current, row_version) if row else 0
        person.rows[act.step_id] = Row(act.status, current.number, current.id, row_version, act.at, act.by.key)
        self.events.append(
            (
                *(person.user_id, act.step_id, row_version, act.at, act.by.key, act.by.source, before, act.status),
                *(current.id, act.comment, attempt),
            )
        )
        if act.status in PASSED and person.finished_at is None and self._is_through(person):
            person.finished_at = act.at
        return True

    def _refused_before(self, act: Act, row: Row, current: Release, row_version: int) -> int:
        """How often the act was refused as stale before it succeeded: the page was from before a release of today,
        or the step was open in two places.
        """
        if act.by.source != "api":
            return 0
        chance, release = self.story.stale, None
        if current.number > row.number and current.released_at > self.story.after(-1):
            release = current
        elif not (act.again and chance.random() < 0.025):
            return 0
        since = release.released_at if release else row.at
        attempts = 2 if chance.random() < 0.15 else 1
        for attempt in range(attempts):
            earlier = min((act.at - since) / 2, timedelta(seconds=3 * (attempts - attempt)))
            self._refuse(replace(act, at=act.at - earlier), row_version - 1, release, attempt)
        return attempts

    def save_stale(self, chapter: Chapter, reset: Sequence[int]) -> None:
        """Some of those whom the release reset were about to finish, and are refused because it came in between."""
        current = self.releases[chapter.step_id][-1]
        for act in self.story.saved_stale(chapter, reset):
            row = self.story.people[act.person].rows[chapter.step_id]
            self._refuse(act, row.row_version + current.number - row.number, current)

    def _refuse(self, act: Act, current: int, release: Release | None, attempt: int = 0) -> None:
        """Records that the act used the row_version before `current`."""
        self.conflicts.append(
            (
                *(act.at, self.story.people[act.person].user_id, act.step_id, act.by.key, act.by.source, attempt),
                *(act.status, current - 1, current, release.id if release else None),
            )
        )

    def store_conflicts(self) -> None:
        """Stores all conflicts in chronological order."""
        self._append("write_conflicts", CONFLICT_COLUMNS, sorted(self.conflicts, key=lambda conflict: conflict[:2]))

    def _append(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        with copying(self.session, f"{table} ({', '.join(columns)})") as copy:
            for row in rows:
                copy.write_row(row)

    def _is_through(self, person: Someone) -> bool:
        return all(self._counts(person, step.step_id) in PASSED for step in STEPS)

    def _store(self, people: Sequence[int], written: Sequence[tuple[int, str]]) -> None:
        everybody = self.story.people
        self._copy("onboarding_users", USER_COLUMNS, 1, [_user_row(everybody[index]) for index in people])
        self.session.execute(INDEX, {"people": [everybody[index].user_id for index in people]})
        self._copy("user_steps", STEP_COLUMNS, 2, [_step_row(everybody[index], step_id) for index, step_id in written])
        self._append("user_step_events", EVENT_COLUMNS, self.events)
        self.events.clear()

    def _copy(self, table: str, columns: Sequence[str], keys: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Copies the rows over existing ones; the first `keys` columns identify them."""
        listed, key = ", ".join(columns), ", ".join(columns[:keys])
        run(
            self.session,
            f"CREATE TEMP TABLE demo_rows (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED) ON COMMIT DROP",
        )
        self._append("demo_rows", columns, rows)
        news = ", ".join(f"{column} = excluded.{column}" for column in columns[keys:])
        insert = f"INSERT INTO {table} ({listed}) SELECT {listed} FROM demo_rows"
        run(self.session, f"{insert} ON CONFLICT ({key}) DO UPDATE SET {news}")
        run(self.session, "DROP TABLE demo_rows")

    def date_everything(self) -> None:
        """Dates definitions and the log to the story; the log is append-only, so it is rewritten."""
        for step_id, of_step in releases_of(self.session).items():
            for release in reversed(of_step):
                if release.version:
                    self._date(step_id, release.version, release.released_at)
        self._date(DRAFT.step_id, None, self.story.after(DRAFT.days))
        entries = self.session.execute(select(models.AuditEntry.__table__).order_by(models.AuditEntry.id)).all()
        empty(self.session, ["audit_log"])
        with copying(self.session, f"audit_log ({', '.join(LOG_COLUMNS)})") as copy:
            for entry in sorted(entries, key=lambda entry: (self._moment(entry.id), entry.id)):
                kept = [getattr(entry, name) for name in LOG_COLUMNS[2:]]
                copy.write_row([self._moment(entry.id), Jsonb(entry.changes), *kept])
        run(self.session, "UPDATE steps SET created_at = :at", {"at": self.story.after(STEPS[0].published - 1)})
        run(
            self.session, "UPDATE staff_accounts SET created_at = :at", {"at": self.story.after(STEPS[0].published - 1)}
        )

    def _moment(self, entry: int) -> datetime:
        return next(moment for last, moment in self.logged if entry <= last)

    def _date(self, step_id: str, version: int | None, at: datetime) -> None:
        d = models.Definition
        which = d.state == "draft" if version is None else d.version == version
        self.session.execute(update(d).where(d.step_id == step_id, which).values(edited_at=at))


USER_COLUMNS = (
    *("user_id", "name", "email", "created_at", "finished_at", "last_activity_at"),
    *("done_releases", "skipped_releases", "in_progress_releases"),
)
STEP_COLUMNS = ("user_id", "step_id", "status", "release_id", "row_version", "updated_at", "updated_by")
EVENT_COLUMNS = (
    *("user_id", "step_id", "row_version", "at", "actor", "source", "from_status", "to_status"),
    *("release_id", "comment", "attempt"),
)
CONFLICT_COLUMNS = (
    *("at", "user_id", "step_id", "actor", "source", "attempt", "to_status"),
    *("row_version", "current_row_version", "release_id"),
)
LOG_COLUMNS = ("at", "changes", "actor", "action", "step_id", "user_id", "subject", "note")


def _user_row(person: Someone) -> tuple[Any, ...]:
    recorded = [sorted(row.release_id for row in person.rows.values() if row.status == status) for status in WORKED]
    return (
        *(person.user_id, person.name, person.email, person.joined, person.finished_at, person.active_at),
        *recorded,
    )


def _step_row(person: Someone, step_id: str) -> tuple[Any, ...]:
    row = person.rows[step_id]
    return (person.user_id, step_id, row.status, row.release_id, row.row_version, row.at, row.by)
