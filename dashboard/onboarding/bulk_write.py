"""The checked write of progress.py for many rows in one statement: what imports, bulk changes and batches share.

The people are locked group by group, each in the order of their ids, so that two at once cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, Integer, Text

from dashboard.onboarding import counters, progress, user_steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.bounds import STEPS_PASSED
from dashboard.onboarding.carryover import WORKED, Status
from dashboard.onboarding.errors import Conflict, Invalid, NotFound
from dashboard.onboarding.history import changes_of_people
from dashboard.onboarding.progress import INSERT_EVENT, INSERT_STATUS
from dashboard.onboarding.scoring import PERCENT, REMEMBERED_FROM, TO_REMEMBER
from dashboard.onboarding.sql import BIND_PEOPLE, clock

BIND_AT = bindparam("at", type_=DateTime(timezone=True))
Refusal = Conflict | Invalid | NotFound


def write(wanted: str, *, also_same: bool = False) -> TextClause:
    """Gives each row of `wanted` (user_id, step_id, status, row_version; null: whichever it is) its status.

    It writes those that are at that row_version and have another status (`also_same`: or that one), with their events,
    and answers with the person of each row that it wrote. Binds :actor, :source, :comment, :attempt (0 unless given), and
    :people, all of whom the rows are: a group of `groups`, for in a cluster the statement goes to one node. :at is when it
    happens.
    """
    another = "" if also_same else "AND v.status <> w.status"
    return text(f"""
WITH before AS MATERIALIZED (
    SELECT v.*, w.status AS wanted
      FROM {wanted} w JOIN effective_user_steps v USING (user_id, step_id)
     WHERE {here("v")} AND v.step_version IS NOT NULL {another}
       AND v.row_version = coalesce(w.row_version, v.row_version)
), updated AS (
    UPDATE user_steps us
       SET status = b.wanted, release_id = b.current_release_id, row_version = b.row_version + 1,
           updated_at = :at, updated_by = :actor
      FROM before b
     WHERE us.user_id = b.user_id AND {here("us")} AND us.step_id = b.step_id
       AND us.row_version = b.recorded_row_version AND us.release_id = b.recorded_release_id
 RETURNING us.user_id, us.step_id, b.status, b.wanted, b.row_version, b.current_release_id, b.recorded_status,
           b.recorded_release_id
), inserted AS (
    {INSERT_STATUS}
    SELECT user_id, step_id, wanted, current_release_id, row_version + 1, :at, :actor
      FROM before WHERE recorded_row_version IS NULL ORDER BY user_id, step_id
        ON CONFLICT (user_id, step_id) DO NOTHING
 RETURNING user_id, step_id, status, row_version, release_id
), written AS MATERIALIZED (
    SELECT * FROM updated
     UNION ALL
    -- without a join to what was before: that is To do, recorded nowhere (docs/model.md, rule 3)
    SELECT user_id, step_id, 'todo', status, row_version - 1, release_id, NULL, NULL FROM inserted
), moved AS (
    SELECT user_id, {", ".join(_moves(status) for status in WORKED)}
      FROM written GROUP BY user_id
), counted AS (
    UPDATE onboarding_users u
       SET {", ".join(_array(status) for status in WORKED)},
           last_activity_at = greatest(u.last_activity_at, :at)
      FROM moved m WHERE u.user_id = m.user_id AND {here("u")}
), event AS (
    {INSERT_EVENT}
    SELECT user_id, step_id, :at, :actor, :source, :attempt, status, wanted, row_version + 1,
           current_release_id, :comment
      FROM written
)
SELECT ARRAY(SELECT user_id FROM written)
""").bindparams(
        *(bindparam(name, type_=Text()) for name in ("actor", "source", "comment")),
        bindparam("attempt", 0, Integer()),
        BIND_AT,
        BIND_PEOPLE,
    )


def here(table: str) -> str:
    """A condition that limits `table` to :people. The joins imply it; a cluster needs it said to know which node to ask.

    An OR, though it adds nobody: no index is asked for it, and else every look-up of one would sort the whole array.
    """
    return f"({table}.user_id = ANY(:people) OR {table}.user_id = (:people)[1])"


def _array(status: str) -> str:
    # most writes take one release out of one list and put one into another: only where one comes in is there to sort
    return f"""{status}_releases = CASE
        WHEN m.{status}_in IS NULL AND cardinality(m.{status}_out) = 1
             THEN array_remove(u.{status}_releases, m.{status}_out[1])
        WHEN m.{status}_in IS NULL AND m.{status}_out IS NULL THEN u.{status}_releases
        ELSE ARRAY(
            SELECT r FROM unnest(u.{status}_releases) r WHERE r <> ALL (coalesce(m.{status}_out, '{{}}'))
             UNION ALL SELECT unnest(m.{status}_in) ORDER BY 1) END"""


def _moves(status: str) -> str:
    return f"""array_agg(recorded_release_id) FILTER (WHERE recorded_status = '{status}') AS {status}_out,
           array_agg(current_release_id) FILTER (WHERE wanted = '{status}') AS {status}_in"""


# Saves of chosen people ----------------------------------------------------------------------------------------------

GROUPS = text("""
SELECT array_agg(user_id ORDER BY user_id) FROM unnest(:people) AS one (user_id)
 GROUP BY shard_of(user_id) ORDER BY shard_of(user_id)
""").bindparams(BIND_PEOPLE)
LOCK_PEOPLE = text("""
SELECT user_id FROM onboarding_users WHERE user_id = ANY(:people) ORDER BY user_id FOR NO KEY UPDATE
""").bindparams(BIND_PEOPLE)
# The percent is worked out for those alone who have as many steps behind them as are live, which is quick to find.
FINISH = text(f"""
UPDATE onboarding_users u SET finished_at = {REMEMBERED_FROM.format(moment=":at")}
 WHERE u.user_id = ANY(:people) AND {TO_REMEMBER}
   AND {STEPS_PASSED} >= (SELECT count(*) FROM steps WHERE weight > 0)
   AND {PERCENT} = 100
""").bindparams(BIND_AT, BIND_PEOPLE)


def groups(session: Session, people: Sequence[str]) -> list[list[str]]:
    """The people, those of each shard together, in the one order in which everybody locks many: a single server has one."""
    return list(session.scalars(GROUPS, {"people": people}))


def lock(session: Session, group: Sequence[str]) -> list[str]:
    """Locks these people until the transaction ends, as a save locks its person, and returns those who exist."""
    return list(session.scalars(LOCK_PEOPLE, {"people": group}))


def save(session: Session, statement: TextClause, group: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Carries out a `write` for a group of people who are locked, and returns those whose rows it wrote.

    It happens now: what others did until the people were locked came before it.
    """
    at = clock(session)
    written: list[str] = session.execute(statement, {"people": group, "at": at, **values}).scalar_one()
    counters.note(session, "save", values["source"], len(written))
    if written:
        session.execute(FINISH, {"people": written, "at": at})
    return written


def refuse(
    session: Session, actor: Actor, step_id: str, status: Status, attempted: Mapping[str, int], attempt: int = 0
) -> dict[str, Refusal]:
    """Why each of these people was not written over the row_version `attempted`: conflicts are put on record.

    A person who is not there is NotFound; a row_version that is yet to come is Invalid.
    """
    if not attempted:
        return {}
    now = user_steps.step_of_people(session, step_id, list(attempted))
    changes = changes_of_people(session, step_id, {user_id: attempted[user_id] for user_id in now})
    refused: dict[str, Refusal] = {user_id: NotFound("person", user_id) for user_id in attempted}
    refused |= {user_id: progress.why_not(attempted[user_id], now[user_id], changes[user_id]) for user_id in now}
    conflicts = {user_id: why for user_id, why in refused.items() if isinstance(why, Conflict)}
    progress.put_on_record(session, actor, status, attempt, conflicts)
    return refused
