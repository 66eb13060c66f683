"""The checked write of progress.py for many rows in one statement: what imports and bulk changes share.

Whoever calls it has locked the people (or the rows) in the order of their ids, so that two at once cannot deadlock.
"""

from __future__ import annotations

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.types import Text

from dashboard.onboarding.progress import PERCENT, REOPENED_AT

ARRAYS = ("done", "skipped", "in_progress")


def write(wanted: str) -> TextClause:
    """Gives each row of `wanted` (user_id, step_id, status, row_version; null: whichever it is) its status.

    It writes those that are at that row_version and have another status, with their events, and answers with how many
    these are (`differed`) and how many of them were written: fewer, where somebody else wrote since it began. Binds
    :actor, :source and :comment.
    """
    return text(f"""
WITH before AS MATERIALIZED (
    SELECT v.*, w.status AS wanted
      FROM {wanted} w JOIN effective_user_steps v USING (user_id, step_id)
     WHERE v.step_version IS NOT NULL AND v.status <> w.status
       AND v.row_version = coalesce(w.row_version, v.row_version)
), updated AS (
    UPDATE user_steps us
       SET status = b.wanted, release_id = b.current_release_id, row_version = b.row_version + 1,
           updated_at = now(), updated_by = :actor
      FROM before b
     WHERE us.user_id = b.user_id AND us.step_id = b.step_id
       AND us.row_version = b.recorded_row_version AND us.release_id = b.recorded_release_id
 RETURNING us.user_id, us.step_id, b.status, b.wanted, b.row_version, b.current_release_id, b.recorded_status,
           b.recorded_release_id
), inserted AS (
    INSERT INTO user_steps (user_id, step_id, status, release_id, row_version, updated_at, updated_by)
    SELECT user_id, step_id, wanted, current_release_id, row_version + 1, now(), :actor
      FROM before WHERE recorded_row_version IS NULL ORDER BY user_id, step_id
        ON CONFLICT (user_id, step_id) DO NOTHING
 RETURNING user_id, step_id, status, row_version, release_id
), written AS MATERIALIZED (
    SELECT * FROM updated
     UNION ALL
    -- without a join to what was before: that is To do, recorded nowhere (docs/model.md, rule 3)
    SELECT user_id, step_id, 'todo', status, row_version - 1, release_id, NULL, NULL FROM inserted
), moved AS (
    SELECT user_id, {", ".join(_moves(status) for status in ARRAYS)}
      FROM written GROUP BY user_id
), counted AS (
    UPDATE onboarding_users u
       SET {", ".join(_array(status) for status in ARRAYS)},
           last_activity_at = greatest(u.last_activity_at, now())
      FROM moved m WHERE u.user_id = m.user_id
), event AS (
    INSERT INTO user_step_events
           (user_id, step_id, at, actor, source, from_status, to_status, row_version, release_id, comment)
    SELECT user_id, step_id, now(), :actor, :source, status, wanted, row_version + 1, current_release_id, :comment
      FROM written
)
SELECT (SELECT count(*) FROM before) AS differed, (SELECT count(*) FROM written) AS written,
       ARRAY(SELECT user_id FROM written) AS people
""").bindparams(*(bindparam(name, type_=Text()) for name in ("actor", "source", "comment")))


def _array(status: str) -> str:
    return f"""{status}_releases = ARRAY(
        SELECT r FROM unnest(u.{status}_releases) r WHERE r <> ALL (coalesce(m.{status}_out, '{{}}'))
         UNION ALL SELECT unnest(m.{status}_in) ORDER BY 1)"""


def _moves(status: str) -> str:
    return f"""array_agg(recorded_release_id) FILTER (WHERE recorded_status = '{status}') AS {status}_out,
           array_agg(current_release_id) FILTER (WHERE wanted = '{status}') AS {status}_in"""


def finish(people: str) -> str:
    """SQL that remembers who of `people` (user_id) has come to 100 %, and does not count as finished (rule 8)."""
    return f"""
UPDATE onboarding_users u SET finished_at = now()
  FROM {people} k
 WHERE u.user_id = k.user_id AND coalesce(u.finished_at <= {REOPENED_AT}, true) AND {PERCENT} = 100
"""
