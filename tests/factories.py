"""The cast of the tests, and builders for what they need. Nothing here commits.

Staff     MAYA changes steps and releases them (manager), NOOR is another manager, SAM helps people (support).
Programs  HOST is the product that has the checklist; it reads and writes progress through the API.
People    ANNA, BEN and CLEO go through the checklist; `people(session, n)` makes a crowd.
Steps     STEP is the usual one, OTHER a second one beside it.

Every builder goes through the engine, as the pages do, except `people` (a crowd in one statement).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.models import Base
from dashboard.onboarding import drafts, erasure, progress, releases, steps, user_steps
from dashboard.onboarding import people as everybody
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.history import Event, events_of
from dashboard.onboarding.people import Person
from dashboard.onboarding.progress import Saved
from dashboard.onboarding.steps import Definition, Step

MAYA = Actor("staff:maya@example.com")
NOOR = Actor("staff:noor@example.com")
SAM = Actor("staff:sam@example.com")
HOST = Actor("token:host", "api")

ANNA, BEN, CLEO = "anna", "ben", "cleo"
STEP, OTHER = "set-up-payments", "invite-team"
STATUSES = ("done", "skipped", "in_progress", "todo")

Snapshot = dict[str, list[str]]
EVERY_ROW = text(
    " UNION ALL ".join(f"SELECT '{name}', row_to_json(t)::text FROM {name} t" for name in Base.metadata.tables)
    + " ORDER BY 1, 2"
)


def a_step(session: Session, step_id: str = STEP, *, released: bool = True, **fields: Any) -> Step:
    """A step that is live in version 1, or with `released=False` still a draft."""
    drafts.create(session, MAYA, step_id, {"title": step_id.replace("-", " ").capitalize()} | fields)
    if released:
        releases.release(session, MAYA, step_id)
    return steps.get(session, step_id)


def a_draft(session: Session, step_id: str = STEP, **fields: Any) -> Definition:
    """A draft of the next version that says what the live one says, changed by `fields`."""
    draft = drafts.start(session, MAYA, step_id)
    return drafts.save(session, MAYA, step_id, asdict(draft.fields) | fields, draft.row_version)


def a_release(session: Session, step_id: str = STEP, policy: Policy = Policy(), **fields: Any) -> Outcome:  # noqa: B008
    """The next version, changed by `fields` (its title, if by nothing), live under `policy`."""
    number = len(steps.versions(session, step_id)) + 1
    a_draft(session, step_id, **(fields or {"title": f"In words of version {number}"}))
    return releases.release(session, MAYA, step_id, policy)


def a_person(session: Session, user_id: str = ANNA, name: str | None = None) -> Person:
    """One person, called after the id unless told otherwise."""
    name = user_id.capitalize() if name is None else name
    return everybody.put(session, HOST, user_id, name=name, email=f"{user_id}@example.com")[0]


def people(session: Session, count: int, prefix: str = "user") -> list[str]:
    """The ids of `count` new people: user-0000, user-0001 ..."""
    ids = [f"{prefix}-{number:04}" for number in range(count)]
    session.execute(
        text("INSERT INTO onboarding_users (user_id, name, email) SELECT id, id, id FROM unnest(:ids ::text[]) AS id"),
        {"ids": ids},
    )
    session.execute(everybody.INDEX, {"people": ids})
    return ids


def an_erasure(session: Session, user_id: str = ANNA) -> str:
    """Somebody is erased; the name that was made up for them."""
    erasure.erase(session, MAYA, user_id, user_id)
    return erased_as(session)


def erased_as(session: Session) -> str:
    """The name that was made up for whoever was erased last."""
    newest = text("SELECT user_id FROM audit_log WHERE action = 'person.erase' ORDER BY id DESC LIMIT 1")
    return str(session.scalars(newest).one())


def row_version_of(session: Session, user_id: str = ANNA, step_id: str = STEP) -> int:
    """What a page opened now would save over."""
    return user_steps.step_of(session, user_id, step_id).row_version


def a_save(
    session: Session, status: str = "done", user_id: str = ANNA, step_id: str = STEP, actor: Actor = HOST, **more: Any
) -> Saved:
    """A status saved over whatever the row is at now."""
    return progress.save(session, actor, user_id, step_id, status, row_version_of(session, user_id, step_id), **more)


def status_of(session: Session, user_id: str = ANNA, step_id: str = STEP) -> str:
    """What a person's step counts as now."""
    return user_steps.step_of(session, user_id, step_id).status


def events_of_step(session: Session, user_id: str, step_id: str = STEP) -> list[Event]:
    """What was written of one step of somebody, oldest first."""
    return [event for event in events_of(session, user_id) if event.step_id == step_id]


def snapshot(session: Session) -> Snapshot:
    """Every row of every table as text, to tell whether anything at all was changed; not how often somebody asked."""
    found: Snapshot = {name: [] for name in Base.metadata.tables}
    for name, row in session.execute(EVERY_ROW):
        found[name].append(row)
    del found["rate_limits"]
    return found


ARRAYS = text("""
SELECT u.user_id
  FROM onboarding_users u LEFT JOIN user_steps us ON us.user_id = u.user_id
 GROUP BY u.user_id
HAVING (u.done_releases, u.skipped_releases, u.in_progress_releases) IS DISTINCT FROM (
       coalesce(array_agg(release_id ORDER BY release_id) FILTER (WHERE status = 'done'), '{}'),
       coalesce(array_agg(release_id ORDER BY release_id) FILTER (WHERE status = 'skipped'), '{}'),
       coalesce(array_agg(release_id ORDER BY release_id) FILTER (WHERE status = 'in_progress'), '{}'))
""")


def people_with_wrong_arrays(session: Session) -> list[str]:
    """People whose arrays don't hold exactly, and sorted, what their rows say."""
    return list(session.scalars(ARRAYS))
