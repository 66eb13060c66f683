"""The people who go through the checklist: find, create, update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.onboarding.history import record
from dashboard.onboarding.paging import by_name
from dashboard.onboarding.progress import FINISHED, PERCENT
from dashboard.onboarding.steps import check_key, text_problem


@dataclass(frozen=True, slots=True)
class Person:
    """A person and where they stand: `progress` in percent; `next_step` is the title of the first step still open."""

    user_id: str
    name: str
    email: str
    created_at: datetime
    progress: int
    finished: bool
    finished_at: datetime | None
    last_activity_at: datetime | None
    next_step: str | None

    @property
    def label(self) -> str:
        """What to call them: the name, else the email, else the id."""
        return self.name or self.email or self.user_id


@dataclass(frozen=True, slots=True)
class Page:
    """One page of people by name. `previous` and `next` are opaque cursors, None at either end."""

    people: Sequence[Person]
    previous: str | None
    next: str | None


# One row a person, from their own row and the few rows of the checklist; nothing here grows with the number of people.
PEOPLE = f"""
SELECT u.user_id, u.name, u.email, u.created_at, now.progress, {FINISHED.format(progress="now.progress")} AS finished,
       u.finished_at, u.last_activity_at,
       (SELECT d.title
          FROM steps s
          JOIN step_releases c ON c.id = s.current_release_id
          JOIN onboarding_step_definitions d ON d.step_id = c.step_id AND d.version = c.version
         WHERE NOT EXISTS (SELECT FROM step_releases r WHERE r.step_id = s.step_id
                              AND (r.id = ANY(u.done_releases) AND r.done_points > 0
                                OR r.id = ANY(u.skipped_releases) AND r.skipped_points > 0))
         ORDER BY s.position, s.step_id LIMIT 1) AS next_step
  FROM onboarding_users u CROSS JOIN LATERAL (SELECT {PERCENT} AS progress) now
"""

# One or two letters are looked for where a word begins, for an index finds nothing shorter inside one.
SEARCHED = r"""u.user_id IN (
    SELECT user_id FROM user_search
     WHERE words LIKE CASE WHEN char_length(search_words(:q)) < 3 THEN '% ' ELSE '%' END
                      || regexp_replace(search_words(:q), '[\\%_]', '\\\&', 'g') || '%')"""


def find(session: Session, user_id: str) -> Person:
    """One person. Raises NotFound."""
    check_key("person", user_id)
    row = session.execute(text(PEOPLE + "WHERE u.user_id = :user_id"), {"user_id": user_id}).one_or_none()
    if row is None:
        raise NotFound("person", user_id)
    return _person(row)


def _person(row: Row[Any]) -> Person:
    return Person(**row._mapping)


def search(session: Session, q: str = "", *, cursor: str | None = None, limit: int = 50) -> Page:
    """People whose name, email or id contains `q` (case ignored), by name. Raises Invalid: broken cursor or search."""
    if reason := text_problem(q, 200):
        raise Invalid({"q": reason})
    where: list[str] = []
    values: dict[str, str] = {}
    if q.strip():
        where.append(SEARCHED)
        values["q"] = q.strip()
    rows, previous, following = by_name(session, PEOPLE, where, values, cursor, limit)
    return Page([_person(row) for row in rows], previous, following)


def put(session: Session, actor: Actor, user_id: str, *, name: str = "", email: str = "") -> tuple[Person, bool]:
    """Create or update a person; the second value tells whether they are new. Raises Invalid."""
    _check(user_id, name, email)
    u = models.User
    made = upsert(u).values(user_id=user_id, name=name.strip(), email=email.strip())
    is_new = bool(
        session.scalar(
            made.on_conflict_do_update(
                index_elements=[u.user_id], set_={"name": made.excluded.name, "email": made.excluded.email}
            ).returning(text("xmax = 0"))
        )
    )
    record(session, actor, "person.create" if is_new else "person.update", user_id=user_id)
    return find(session, user_id), is_new


def ensure(session: Session, actor: Actor, user_id: str) -> bool:
    """Create a person of whom only the id is known; one who is there stays as they are. True: new. Raises Invalid."""
    _check(user_id)
    made = upsert(models.User).values(user_id=user_id).on_conflict_do_nothing().returning(models.User.user_id)
    is_new = session.scalar(made) is not None
    if is_new:
        record(session, actor, "person.create", user_id=user_id)
    return is_new


def _check(user_id: str, name: str = "", email: str = "") -> None:
    problems = {
        member: reason
        for member, value, most in (("user_id", user_id, 200), ("name", name, 200), ("email", email, 320))
        if (reason := text_problem(value, most))
    }
    if not user_id.strip():
        problems["user_id"] = "is needed"
    if problems:
        raise Invalid(problems)
