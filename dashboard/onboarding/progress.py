"""The one checked write that every save of a status goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import ARRAY, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, Integer, Text

from dashboard.onboarding import counters
from dashboard.onboarding.actor import IF_TOKEN_HOLDS, Actor
from dashboard.onboarding.carryover import PASSED, STATUSES, WORKED, Status
from dashboard.onboarding.errors import Conflict, Invalid, Withdrawn
from dashboard.onboarding.history import Change, changes_since
from dashboard.onboarding.limits import MAX_COMMENT, MAX_INTEGER, check_key, is_whole, text_problem
from dashboard.onboarding.scoring import FINISHED, PERCENT, REMEMBERED_FROM, REOPENED_AT, TO_REMEMBER
from dashboard.onboarding.straight import Alone, Straight
from dashboard.onboarding.user_steps import UserStep, step_of, steps_of

log = structlog.get_logger("dashboard.progress")

STATUS_NAMES = ", ".join(reversed(STATUSES))
NOT_A_STATUS = f"must be one of {STATUS_NAMES}"
NEWEST_TO_SAVE_OVER = 2_100_000_000
"""The greatest row_version that a save moves on by one: there has to be room left for releases, which do so too."""


@dataclass(frozen=True, slots=True)
class Saved:
    """An acknowledged write: the row as it is now, what it was before, and the person's percent after it (0 to 100)."""

    user_id: str
    step_id: str
    status: Status
    before: Status
    row_version: int
    updated_at: datetime
    progress: int
    finished: bool


@dataclass(frozen=True, slots=True)
class WantedSave:
    """A status chosen for one step, by somebody who saw the status `seen` at `row_version`."""

    step_id: str
    status: str
    row_version: int
    seen: str
    comment: str = ""
    attempt: int = 0

    @property
    def says_something(self) -> bool:
        """False where nothing was chosen or typed: a row that was only there, of which nothing is written or refused."""
        return self.status != self.seen or self.status not in STATUSES or bool(self.comment.strip())


@dataclass(frozen=True, slots=True)
class SavedOrRefused:
    """What came of one of several saves: it was `saved`, or refused, or (neither) there was nothing to write."""

    step_id: str
    saved: Saved | None = None
    refusal: Conflict | Invalid | Withdrawn | None = None


# The columns that each write of a status fills, in a person's row and in its event.
INSERT_STATUS = "INSERT INTO user_steps (user_id, step_id, status, release_id, row_version, updated_at, updated_by)"
INSERT_EVENT = """
    INSERT INTO user_step_events
           (user_id, step_id, at, actor, source, attempt, from_status, to_status, row_version, release_id, comment)
"""


def _moved(status: Status) -> str:
    """The person's array of `status` after the write: the step's old release goes out, the new one in if it belongs."""
    column = f"{status}_releases"
    return f"""CASE WHEN w.status = '{status}' OR b.recorded_status = '{status}' THEN ARRAY(
        SELECT unnest(array_remove(p.{column}, b.recorded_release_id)
                      || CASE WHEN w.status = '{status}' THEN ARRAY[b.current_release_id] END) ORDER BY 1)
        ELSE p.{column} END AS {column}"""


def _once(asked: str) -> str:
    """For a statement with `reopened`: the newest reopening is said once, and looked up once at most.

    That keeps WRITE below the length up to which psycopg keeps it, taken apart (straight.py).
    """
    return asked.replace(REOPENED_AT, "(TABLE reopened)")


# The row_version rule (docs/model.md, rule 4), as one statement. It writes nothing where somebody else has the person
# locked: whoever waits in a statement goes on with what was there when it began, and a release that came meanwhile would
# get its row_version from the write. The person is locked before the row, always, so that two who save several steps of
# one person cannot deadlock.
WRITE = Straight(
    text(f"""
WITH reopened AS (
    SELECT {REOPENED_AT} AS at
), person AS MATERIALIZED (
    SELECT user_id, done_releases, skipped_releases, in_progress_releases
      FROM onboarding_users WHERE user_id = :user_id FOR NO KEY UPDATE SKIP LOCKED
), before AS MATERIALIZED (
    SELECT v.*, coalesce(:at, now()) AS at FROM person JOIN effective_user_steps v ON v.user_id = :user_id
     WHERE v.step_id = :step_id AND v.step_version IS NOT NULL AND v.row_version = :row_version AND {IF_TOKEN_HOLDS}
), updated AS (
    UPDATE user_steps us
       SET status = :status, release_id = b.current_release_id, row_version = b.row_version + 1,
           updated_at = b.at, updated_by = :actor
      FROM before b
     WHERE us.user_id = :user_id AND us.step_id = :step_id
       AND us.row_version = b.recorded_row_version AND us.release_id = b.recorded_release_id
 RETURNING us.status, us.row_version, us.updated_at
), inserted AS (
    {INSERT_STATUS}
    SELECT :user_id, :step_id, :status, b.current_release_id, b.row_version + 1, b.at, :actor
      FROM before b WHERE b.recorded_row_version IS NULL
        ON CONFLICT (user_id, step_id) DO NOTHING
 RETURNING status, row_version, updated_at
), written AS (
    SELECT * FROM updated UNION ALL SELECT * FROM inserted
), moved AS MATERIALIZED (
    SELECT {", ".join(_moved(status) for status in WORKED)},
           w.updated_at
      FROM person p CROSS JOIN before b CROSS JOIN written w
), reached AS MATERIALIZED (
    SELECT u.*, {PERCENT} AS progress FROM moved u
), counted AS (
    UPDATE onboarding_users u
       SET {", ".join(f"{status}_releases = n.{status}_releases" for status in WORKED)},
           last_activity_at = greatest(u.last_activity_at, n.updated_at),
           finished_at = CASE WHEN n.progress = 100 AND {_once(TO_REMEMBER)}
                              THEN {_once(REMEMBERED_FROM.format(moment="n.updated_at"))} ELSE u.finished_at END
      FROM reached n
     WHERE u.user_id = :user_id
 RETURNING n.progress, {_once(FINISHED.format(at_100="n.progress = 100"))} AS finished
), event AS (
    {INSERT_EVENT}
    SELECT :user_id, :step_id, w.updated_at, :actor, :source, :attempt, b.status, w.status, w.row_version,
           b.current_release_id, :comment
      FROM before b CROSS JOIN written w
)
SELECT b.status AS before, w.row_version, w.updated_at, c.progress, c.finished
  FROM before b CROSS JOIN written w CROSS JOIN counted c
""").bindparams(
        *(bindparam(name, type_=Text()) for name in ("user_id", "step_id", "status", "actor", "source", "comment")),
        *(bindparam(name, type_=Integer()) for name in ("row_version", "attempt", "token_id")),
        bindparam("at", type_=DateTime(timezone=True)),
    )
)


# Until the refusal is kept: somebody who is erased meanwhile would be named by it.
HOLD_PERSON = text("SELECT user_id FROM onboarding_users WHERE user_id = :user_id FOR KEY SHARE")
# As WRITE does, but for as long as it takes.
LOCK_PERSON = text("SELECT user_id FROM onboarding_users WHERE user_id = :user_id FOR NO KEY UPDATE")


def save(
    session: Session,
    actor: Actor,
    user_id: str,
    step_id: str,
    status: str,
    row_version: int,
    *,
    comment: str = "",
    attempt: int = 0,
    at: datetime | None = None,
) -> Saved:
    """Save a status over the `row_version` that the caller saw; `attempt` counts the caller's retries.

    `at` is when that happened, where it is not now: for tests alone.

    Raises Invalid, NotFound (step or person), Withdrawn, and Conflict with the exact changes since `row_version`. A conflict
    is kept in write_conflicts, for which its transaction is committed: see errors.Recorded.
    """
    once = partial(
        save_at_once, session, actor, user_id, step_id, status, row_version, comment=comment, attempt=attempt, at=at
    )
    if saved := once():
        return saved
    session.execute(HOLD_PERSON, {"user_id": user_id})
    step = step_of(session, user_id, step_id)
    if step.version is not None and step.row_version == row_version:
        # nothing changed: somebody has the person locked
        session.execute(LOCK_PERSON, {"user_id": user_id})
        if saved := once():
            return saved
        step = step_of(session, user_id, step_id)
    # Read again until both are of one moment: a write that a release overtook, and that is there only now, comes before it.
    while (changes := changes_since(session, user_id, step_id, row_version)) and changes[
        -1
    ].row_version != step.row_version:
        step = step_of(session, user_id, step_id)
    if step.version is None:
        raise Withdrawn(step_id)
    refusal = why_not(row_version, step, changes)
    if isinstance(refusal, Conflict):
        put_on_record(session, actor, check_status(status, row_version), countable(attempt), {user_id: refusal})
    raise refusal


def save_at_once(
    asked: Session | Alone,
    actor: Actor,
    user_id: str,
    step_id: str,
    status: str,
    row_version: int,
    *,
    comment: str = "",
    attempt: int = 0,
    at: datetime | None = None,
    token_id: int | None = None,
) -> Saved | None:
    """The write of `save` in one statement, which needs no transaction around it and waits for nobody.

    None: nothing is done. Then it is for `save` to wait for whoever has the person locked, or to find out why it is refused
    and record that. Raises Invalid. `token_id`: the API token that has to be valid.
    """
    checked = check_status(status, row_version, comment)
    check_key("person", user_id)
    check_key("step", step_id)
    written = WRITE.rows(
        asked,
        {
            "user_id": user_id,
            "step_id": step_id,
            "status": checked,
            "row_version": row_version,
            "actor": actor.key,
            "source": actor.source,
            "attempt": countable(attempt),
            "comment": comment.strip(),
            "at": at,
            "token_id": token_id,
        },
    )
    for saved in written:
        counters.note(asked, "save", actor.source)
        return Saved(user_id, step_id, checked, *saved)
    return None


def save_many(session: Session, actor: Actor, user_id: str, wanted: Sequence[WantedSave]) -> list[SavedOrRefused]:
    """Save several steps of one person: each a checked write, whatever comes of the others. Answers in checklist order.

    Raises NotFound (step or person): then nothing is to be kept.
    """
    order = {step.step_id: number for number, step in enumerate(steps_of(session, user_id))}
    for one in wanted:
        if one.step_id not in order:
            step_of(session, user_id, one.step_id)

    def place(one: WantedSave | SavedOrRefused) -> int:
        return order.get(one.step_id, len(order))

    # What takes away is written first: so nobody is at 100, and remembered as finished, who is not so in the end.
    in_turn = sorted(wanted, key=lambda one: (one.status in PASSED, place(one)))
    return sorted((save_wanted(session, actor, user_id, one) for one in in_turn), key=place)


def save_wanted(session: Session, actor: Actor, user_id: str, wanted: WantedSave) -> SavedOrRefused:
    """One checked write, its refusal returned. A row that says nothing new is not written, and is never a conflict.

    Raises NotFound (step or person) where there is something to write.
    """
    if not wanted.says_something:
        return SavedOrRefused(wanted.step_id)
    try:
        saved = save(
            session,
            actor,
            user_id,
            wanted.step_id,
            wanted.status,
            wanted.row_version,
            comment=wanted.comment,
            attempt=wanted.attempt,
        )
    except (Conflict, Invalid, Withdrawn) as refusal:
        return SavedOrRefused(wanted.step_id, refusal=refusal)
    return SavedOrRefused(wanted.step_id, saved)


def check_status(status: object, row_version: object, comment: object = "") -> Status:
    """The status, if it and its companions may be saved. Raises Invalid naming each member that may not."""
    problems: dict[str, str] = {}
    known = next((one for one in STATUSES if one == status), None)
    if known is None:
        problems["status"] = NOT_A_STATUS
    if reason := version_problem(row_version):
        problems["row_version"] = reason
    if reason := text_problem(comment, MAX_COMMENT):
        problems["comment"] = reason
    if problems or known is None:
        raise Invalid(problems)
    return known


def version_problem(row_version: object) -> str | None:
    """Why nothing can be saved over this row_version, whatever there is; None: it may be one."""
    return None if is_whole(row_version, 1, NEWEST_TO_SAVE_OVER) else "must be a whole number from 1"


def countable(attempt: int) -> int:
    """How often the caller tried before, as it can be kept."""
    return max(0, min(attempt, MAX_INTEGER))


def why_not(attempted: int, now: UserStep, changes: Sequence[Change]) -> Conflict | Invalid:
    """Why nothing was written over the row_version `attempted` of a step that is as `now`; `changes`: all since then."""
    if attempted > now.row_version:
        return Invalid({"row_version": f"is {attempted}, but the newest is {now.row_version}"})
    # What moved on after `now` was read is left out, so that the last change is what made it what it is.
    return Conflict(attempted, now, [change for change in changes if change.row_version <= now.row_version])


RECORD = text("""
INSERT INTO write_conflicts
       (user_id, step_id, actor, source, attempt, to_status, row_version, current_row_version, release_id)
SELECT c.user_id, c.step_id, :actor, :source, :attempt, :to_status, c.row_version, c.current, c.release_id
  FROM unnest(:people, :steps, :row_versions, :currents, :releases)
       AS c (user_id, step_id, row_version, current, release_id)
""").bindparams(
    *(bindparam(name, type_=ARRAY(Text)) for name in ("people", "steps")),
    *(bindparam(name, type_=ARRAY(Integer)) for name in ("row_versions", "currents", "releases")),
)


def put_on_record(
    session: Session, actor: Actor, to_status: Status, attempt: int, conflicts: Mapping[str, Conflict]
) -> None:
    """Keep refusals of people's saves, to be counted. Where just that fails, the refusal still is the answer."""
    if not conflicts:
        return
    counters.note(session, "conflict", actor.source, len(conflicts))
    refused = conflicts.values()
    values = {
        "actor": actor.key,
        "source": actor.source,
        "attempt": attempt,
        "to_status": to_status,
        "people": list(conflicts),
        "steps": [one.current.step_id for one in refused],
        "row_versions": [one.attempted for one in refused],
        "currents": [one.current.row_version for one in refused],
        "releases": [
            max((change.release.id for change in one.changes if change.release), default=None) for one in refused
        ],
    }
    try:
        with session.begin_nested():
            session.execute(RECORD, values)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        log.warning("conflict not kept", error=str(error.orig))
