"""The people who go through the checklist: one person, created and updated. Lists of them are in finding.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, or_, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import counters
from dashboard.onboarding.activity_filter import ERASED
from dashboard.onboarding.actor import Actor, called
from dashboard.onboarding.errors import Conflict, Invalid, NotFound
from dashboard.onboarding.history import record
from dashboard.onboarding.limits import MAX_KEY, check_key, text_problem
from dashboard.onboarding.progress import Saved, save
from dashboard.onboarding.scoring import FINISHED_NOW, PERCENT
from dashboard.onboarding.sql import BIND_PEOPLE

BLANKS = "".join(one for one in map(chr, range(0x3001)) if one.isspace())
"""Every blank there is, as str.strip takes them off, for the database to take off too."""
NO_ID, BLANK_AT_END = "is required", "has a blank at its beginning or end"
KEPT_FOR_ERASED = f"must not begin with “{ERASED}”: that is kept for people who were erased"
LONGEST = {"user_id": MAX_KEY, "name": 200, "email": 320}
"""How many characters each member of a person may have."""


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
        return called(self.name, self.email, self.user_id)


# The title of the first live step that is still open for the person `u`.
NEXT_STEP = """
       (SELECT d.title
          FROM steps s
          JOIN step_releases c ON c.id = s.current_release_id
          JOIN onboarding_step_definitions d ON d.step_id = c.step_id AND d.version = c.version
         WHERE NOT EXISTS (SELECT FROM step_releases r WHERE r.step_id = s.step_id
                              AND (r.id = ANY(u.done_releases) AND r.done_reset_by IS NULL
                                OR r.id = ANY(u.skipped_releases) AND r.skipped_reset_by IS NULL))
         ORDER BY s.position, s.step_id LIMIT 1)"""


def details(source: str = "onboarding_users", more: str = "") -> str:
    """SQL that selects each person of `source`, with the columns of Person and `more`.

    It reads a person's own row and the few rows of the checklist; nothing here grows with the number of people.
    """
    return f"""
SELECT u.user_id, u.name, u.email, u.created_at, now.progress, {FINISHED_NOW} AS finished,
       u.finished_at, u.last_activity_at,{NEXT_STEP} AS next_step{more}
  FROM {source} u CROSS JOIN LATERAL {PERCENT} AS now (progress)
"""


# The space in front makes the beginning of a word findable by ' wo', which an index can look up however short it is.
WORDS = "' ' || search_words(name) || ' ' || search_words(email) || ' ' || search_words(user_id)"


def index(source: str = "onboarding_users", where: str = "") -> str:
    """SQL that writes what new people, those of `source`, are found by; it comes after each statement that makes some."""
    return f"INSERT INTO user_search (user_id, words) SELECT user_id, {WORDS} FROM {source} {where}"


# For people who may be renamed.
INDEX = text(f"""
{index(where="WHERE user_id = ANY(:people)")}
    ON CONFLICT (user_id) DO UPDATE SET words = excluded.words WHERE user_search.words <> excluded.words
""").bindparams(BIND_PEOPLE)
# Repairs entries that are missing or outdated: a process of an older version may have left them so.
INDEX_ANEW = text(f"""
{index(where=f"WHERE NOT EXISTS (SELECT FROM user_search s WHERE s.user_id = onboarding_users.user_id AND s.words = {WORDS})")}
    ON CONFLICT (user_id) DO UPDATE SET words = excluded.words
""")
ONE_PERSON = text(details() + "WHERE u.user_id = :user_id")


def find(session: Session, user_id: str) -> Person:
    """One person. Raises NotFound."""
    check_key("person", user_id)
    row = session.execute(ONE_PERSON, {"user_id": user_id}).one_or_none()
    if row is None:
        raise NotFound("person", user_id)
    return Person(**row._mapping)


def index_anew(session: Session) -> int:
    """Writes what people are found by where it is lacking or is not what they are called; how many were put right."""
    return cast("CursorResult[Any]", session.execute(INDEX_ANEW)).rowcount


def put(session: Session, actor: Actor, user_id: str, *, name: str = "", email: str = "") -> tuple[Person, bool]:
    """Create or update a person; the second value is whether they are new. What changes nothing leaves no trace.

    Raises Invalid naming what breaks a rule.
    """
    _check(user_id, name, email)
    u = models.User
    made = upsert(u).values(user_id=user_id, name=name.strip(), email=email.strip())
    is_new = session.scalar(
        made.on_conflict_do_update(
            index_elements=[u.user_id],
            set_={"name": made.excluded.name, "email": made.excluded.email},
            where=or_(u.name != made.excluded.name, u.email != made.excluded.email),
        ).returning(text("xmax = 0"))
    )
    if is_new is not None:
        session.execute(INDEX, {"people": [user_id]})
        record(session, actor, "person.create" if is_new else "person.update", user_id=user_id)
    return find(session, user_id), bool(is_new)


def ensure(session: Session, actor: Actor, user_id: str) -> bool:
    """Create a person of whom only the id is known; one who is there stays as they are. True: new. Raises Invalid."""
    _check(user_id)
    made = upsert(models.User).values(user_id=user_id).on_conflict_do_nothing().returning(models.User.user_id)
    is_new = session.scalar(made) is not None
    if is_new:
        session.execute(INDEX, {"people": [user_id]})
        record(session, actor, "person.create", user_id=user_id)
    return is_new


def save_of_anybody(
    session: Session, actor: Actor, user_id: str, step_id: str, status: str, row_version: int, *, attempt: int = 0
) -> Saved:
    """`progress.save` of a person who is created for it if need be. Raises as it does.

    Whoever was created is not kept without the save, and nor is a conflict: nobody else has saved a step of theirs.
    """
    before, noted = session.begin_nested(), counters.so_far(session)
    if not ensure(session, actor, user_id):
        # nothing was done since
        before.rollback()
        return save(session, actor, user_id, step_id, status, row_version, attempt=attempt)
    try:
        return save(session, actor, user_id, step_id, status, row_version, attempt=attempt)
    except Conflict:
        before.rollback()
        counters.put_back(session, noted)
        raise


def id_problem(user_id: str) -> str | None:
    """Why nobody can have this id, however they come in; None when somebody can.

    An id is not trimmed, for another one would be somebody else. An adoption asks the same in SQL, see ID_PROBLEM.
    """
    if not user_id:
        return NO_ID
    if user_id.strip() != user_id:
        return BLANK_AT_END
    return KEPT_FOR_ERASED if user_id.startswith(ERASED) else text_problem(user_id, MAX_KEY)


# Of `o`, null where there is none: one look at each id that is as it should be. The database keeps no text that may not be.
ID_PROBLEM = f"""
    CASE WHEN (o.user_id <> '' AND btrim(o.user_id, :blanks) = o.user_id) IS NOT TRUE
         THEN CASE WHEN o.user_id <> '' THEN '{BLANK_AT_END}' ELSE '{NO_ID}' END
         WHEN starts_with(o.user_id, '{ERASED}') THEN '{KEPT_FOR_ERASED}'
         WHEN char_length(o.user_id) > {MAX_KEY}
         THEN 'must be at most {MAX_KEY} characters, not ' || to_char(char_length(o.user_id), 'FM999,999,999,999') END
"""


def _check(user_id: str, name: str = "", email: str = "") -> None:
    problems = {
        member: reason
        for member, value in (("name", name), ("email", email))
        if (reason := text_problem(value, LONGEST[member]))
    }
    if reason := id_problem(user_id):
        problems["user_id"] = reason
    if problems:
        raise Invalid(problems)
