"""Adoption of a database in the original's schema: its definitions become releases, its rows keep their row_version.

Each version becomes a release, in order, under the original's policy; where an older version than the newest is live,
the newer ones are rolled back, and where none is, the step is withdrawn. A row is recorded under the release of its own
version. What came after that counts like any release: it moves the row_version on by one, so what is recorded is as much
lower, and the row_version that everybody sees is the original's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import accumulate, groupby
from typing import Any

import psycopg
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError, InternalError
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import adoption_source, bulk_write, releases, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.adoption_source import HERE, TELLABLE, OriginalVersion
from dashboard.onboarding.carryover import STATUSES, WORKED, Status
from dashboard.onboarding.errors import Invalid, Refused
from dashboard.onboarding.history import record
from dashboard.onboarding.loading import (
    IS_KNOWN,
    LISTED,
    BadRows,
    Imported,
    Problem,
    Progress,
    add_people,
    add_statistics,
    loading,
    prepare,
    quiet,
    stage,
)
from dashboard.onboarding.people import BLANKS, ID_PROBLEM, index
from dashboard.onboarding.progress import INSERT_STATUS, STATUS_NAMES
from dashboard.onboarding.scoring import PERCENT, REMEMBERED_FROM, REOPENED_AT, TO_REMEMBER
from dashboard.onboarding.sql import BIND_PEOPLE, run

NOTE = "Adopted from the database used before."
MAX_ROW_VERSION = 2_000_000_000
"""The greatest that is taken in: releases and saves increase it, and the column ends at 2,147,483,647."""


def adopt(session: Session, actor: Actor, url: str, *, progress: Progress = quiet) -> Imported:
    """Take over steps, releases and everybody's progress from the database at `url`, read in one snapshot.

    Raises Unreachable, Invalid (not the original's schema, or steps that are here already), BadRows, Refused (a race
    with someone). All or nothing.
    """
    prepare(session, progress)
    versions, rows = adoption_source.read(session, url, progress)
    made = _release_all(session, actor, versions)
    progress("Checking", 0, rows)
    _check_rows(session)
    people, new = _write(session, actor, rows, progress)
    adopted = len({version.step_id for version in versions})
    done = Imported(new, people - new, rows, 0, adopted, made)
    counts = {"people": [None, people], "statuses": [None, rows], "steps": [None, adopted]}
    record(session, actor, "people.adopt", subject=f"{people:,} people", changes=counts)
    progress("Done", rows, rows)
    return done


# Its definitions, as releases ----------------------------------------------------------------------------------------


# Each version's newest release (a rollback to it is one), and how many came after that.
NOTE_RELEASES = """
INSERT INTO import_releases
SELECT DISTINCT ON (r.step_id, r.version) r.step_id, r.version, r.id, newest.number - r.number
  FROM step_releases r
  JOIN steps s ON s.step_id = r.step_id
  JOIN step_releases newest ON newest.id = s.current_release_id
 WHERE r.step_id = ANY(:steps) AND r.version IS NOT NULL
 ORDER BY r.step_id, r.version, r.number DESC
"""


def _release_all(session: Session, actor: Actor, versions: Sequence[OriginalVersion]) -> int:
    """Makes the steps with all their releases, and notes which release each version's rows belong to; how many."""
    stage(session, "import_releases", "(step_id text, version bigint, release_id int, behind int) ON COMMIT DROP")
    first_seen = {} if all(one.released_at for one in versions) else _first_seen(session)
    adopted = []
    for step_id, grouped in groupby(versions, key=lambda one: one.step_id):
        if not steps.add(session, step_id):  # made by someone since it was looked for
            raise Invalid({step_id: HERE})
        _release_step(session, actor, list(grouped), first_seen)
        adopted.append(step_id)
    run(session, NOTE_RELEASES, {"steps": adopted})
    return session.scalars(select(func.count()).where(models.Release.step_id.in_(adopted))).one()


def _first_seen(session: Session) -> dict[tuple[str, int], datetime]:
    """When each version was first written under: the best guess at its release where the definition has no time."""
    rows = session.execute(
        text(f"SELECT step_id, version, min(updated_at) FROM import_rows WHERE updated_at {TELLABLE} GROUP BY 1, 2")
    )
    return {(step_id, version): at for step_id, version, at in rows}


def _release_step(
    session: Session, actor: Actor, versions: Sequence[OriginalVersion], first_seen: dict[tuple[str, int], datetime]
) -> None:
    """Releases every version in order, then goes back to the active one, or withdraws the step where none is."""
    step_id, now = versions[0].step_id, session.execute(select(func.now())).scalar_one()
    for one, at in zip(versions, _moments(versions, first_seen, now), strict=True):
        _insert_draft(session, actor, one, at)
        releases.release(session, actor, step_id, note=NOTE, at=at)
    active = next((index for index, one in enumerate(versions) if one.is_active), None)
    if active is None:
        releases.withdraw(session, actor, step_id, note=NOTE, at=now)
        return
    for _ in versions[active + 1 :]:
        releases.roll_back(session, actor, step_id, note=NOTE, at=now)


def _moments(
    versions: Sequence[OriginalVersion], first_seen: dict[tuple[str, int], datetime], now: datetime
) -> Iterator[datetime]:
    """When each version of a step was released: not before the one before it, and none after `now`, when rollbacks come.

    Guesses are made from the newest on: a version was out before anybody wrote under it or under a later one.
    """
    later, told = now, []
    for one in reversed(versions):
        later = one.released_at or min(later, first_seen.get((one.step_id, one.version), now))
        told.append(min(later, now))
    return accumulate(reversed(told), max)


def _insert_draft(session: Session, actor: Actor, one: OriginalVersion, at: datetime) -> None:
    values = asdict(one.fields) | {"edited_at": at}
    session.execute(
        insert(models.Definition).values(step_id=one.step_id, version=one.version, edited_by=actor.key, **values)
    )


# Its rows ------------------------------------------------------------------------------------------------------------


STATUS_LIST = ", ".join(f"'{status}'" for status in STATUSES)

BAD_ROWS = text(f"""
WITH judged AS (
    SELECT o.user_id, o.step_id,
           CASE WHEN problem IS NOT NULL THEN 'user_id ' || problem
                WHEN m.release_id IS NULL AND o.step_id IN (SELECT step_id FROM import_releases)
                     THEN 'the step has no version ' || coalesce(o.version::text, 'null')
                WHEN m.release_id IS NULL THEN 'there is no such step'
                WHEN coalesce(o.status, '') NOT IN ({STATUS_LIST})
                     THEN coalesce(quote_literal(left(o.status, 40)), 'null') || ' is not a status; use {STATUS_NAMES}'
                WHEN coalesce(o.row_version, 0) NOT BETWEEN 1 AND {MAX_ROW_VERSION}
                     THEN 'row_version is ' || coalesce(o.row_version::text, 'null')
                          || ', not a whole number from 1 to {MAX_ROW_VERSION:,}'
                WHEN coalesce(o.updated_at, now()) NOT {TELLABLE} THEN 'updated_at is not a time'
                WHEN coalesce(o.created_at, now()) NOT {TELLABLE} THEN 'created_at is not a time'
           END AS reason
      FROM import_rows o
      LEFT JOIN import_releases m ON m.step_id = o.step_id AND m.version = o.version
     CROSS JOIN LATERAL (SELECT {ID_PROBLEM} AS problem) AS asked
)
SELECT user_id, step_id, reason, count(*) OVER () AS total
  FROM judged WHERE reason IS NOT NULL ORDER BY 1, 2 LIMIT :listed
""")

REPEATED_ROWS = text("""
SELECT user_id, step_id, 'has ' || count(*) || ' rows' AS reason, count(*) OVER () AS total
  FROM import_rows GROUP BY user_id, step_id HAVING count(*) > 1 ORDER BY 1, 2 LIMIT :listed
""")


def _check_rows(session: Session) -> None:
    run(session, "ANALYZE import_rows, import_releases")
    bad = session.execute(BAD_ROWS, {"listed": LISTED, "blanks": BLANKS}).all()
    if bad:
        _refuse(bad)


def _refuse(bad: Sequence[Any]) -> None:
    raise BadRows([Problem(f"{row.user_id} / {row.step_id}", row.reason) for row in bad], bad[0].total)


# What is dated later than now, or not at all, counts as of now, as versions do (_moments): least() passes over null.
# A bit for each thing that a row can say; what all rows of somebody say is then one bit string, worked out without a sort.
CODES_OF_ROWS = """
ON COMMIT DROP AS
SELECT m.*, status,
       CASE WHEN status = 'todo' THEN nothing ELSE set_bit(nothing, (row_number() OVER ())::int - 1, 1) END AS code
  FROM import_releases m
 CROSS JOIN unnest(ARRAY['done', 'skipped', 'in_progress', 'todo']) AS status
 CROSS JOIN (SELECT repeat('0', 4 * count(*)::int)::varbit AS nothing FROM import_releases) AS none
"""
PEOPLE_OF_ROWS = """
ON COMMIT DROP AS
SELECT user_id, bit_or(code) AS code, min(least(coalesce(created_at, updated_at), now())) AS created_at,
       max(least(updated_at, now())) AS last_activity_at
  FROM import_rows JOIN import_codes USING (step_id, version, status)
 GROUP BY user_id
"""


def _of(status: Status) -> str:
    return f"""ARRAY(SELECT release_id FROM import_codes c WHERE status = '{status}' AND c.code & occurring.code = c.code
                  ORDER BY 1) AS {status}_releases"""


def _joined(status: Status) -> str:
    """Both lists of a person who has steps of their own here already, and of the adopted ones."""
    return f"{status}_releases = ARRAY(SELECT unnest(u.{status}_releases || excluded.{status}_releases) ORDER BY 1)"


# Since what they did last, unless everybody was asked here to finish again after that: then since now.
FINISHED_FROM = f"CASE WHEN {{at}} > {REOPENED_AT} THEN {{at}} ELSE {REMEMBERED_FROM.format(moment='{now}')} END"

# What rows say together is worked out once for each that occurs, not once for each person.
ADOPT_PEOPLE = f"""
WITH meant AS MATERIALIZED (
    SELECT code, {", ".join(_of(status) for status in WORKED)}
      FROM (SELECT DISTINCT code FROM import_people) occurring
), counted AS MATERIALIZED (
    SELECT u.*, {PERCENT} AS progress FROM meant u
)
INSERT INTO onboarding_users AS u
       (user_id, created_at, done_releases, skipped_releases, in_progress_releases, finished_at, last_activity_at)
SELECT p.user_id, p.created_at, c.done_releases, c.skipped_releases, c.in_progress_releases,
       CASE WHEN c.progress = 100 THEN {FINISHED_FROM.format(at="p.last_activity_at", now="now()")} END, p.last_activity_at
  FROM import_people p JOIN counted c USING (code)
"""
ADOPT_NEW_PEOPLE = f"{ADOPT_PEOPLE} WHERE NOT {IS_KNOWN} ORDER BY p.user_id ON CONFLICT DO NOTHING"
ADOPT_KNOWN_PEOPLE = f"""
{ADOPT_PEOPLE} WHERE {IS_KNOWN} ORDER BY p.user_id
    ON CONFLICT (user_id) DO UPDATE
   SET {", ".join(_joined(status) for status in WORKED)},
       last_activity_at = greatest(u.last_activity_at, excluded.last_activity_at)
"""

INDEX_ADOPTED = index(
    "(SELECT user_id, '' AS name, '' AS email FROM import_people) p", f"WHERE NOT {IS_KNOWN} ORDER BY user_id"
)

# A cluster asks for no moment in a CASE of an UPDATE.
FINISH_KNOWN = text(f"""
UPDATE onboarding_users u SET finished_at = {FINISHED_FROM.format(at="u.last_activity_at", now=":now")}
 WHERE u.user_id = ANY(:people) AND {TO_REMEMBER} AND {PERCENT} = 100
""").bindparams(BIND_PEOPLE)

ADD_STEPS = f"""
{INSERT_STATUS}
SELECT o.user_id, o.step_id, o.status, m.release_id, o.row_version - m.behind, least(o.updated_at, now()), :actor
  FROM import_rows o JOIN import_releases m USING (step_id, version)
 ORDER BY o.user_id, o.step_id
"""

ADD_EVENTS = """
INSERT INTO user_step_events (user_id, step_id, at, actor, source, from_status, to_status, row_version, release_id)
SELECT user_id, step_id, updated_at, updated_by, 'import', 'todo', status, row_version, release_id
  FROM user_steps WHERE step_id IN (SELECT step_id FROM import_releases)
"""


def _write(session: Session, actor: Actor, rows: int, progress: Progress) -> tuple[int, int]:
    """The people and how many of them are new."""
    stage(session, "import_codes", CODES_OF_ROWS)
    run(session, "ANALYZE import_codes")
    people = stage(session, "import_people", PEOPLE_OF_ROWS)
    run(session, "ANALYZE import_people")
    try:
        with session.begin_nested(), loading(session, rows):
            progress("Adding people", 0, rows)
            known = add_people(session, ADOPT_NEW_PEOPLE, people)
            run(session, INDEX_ADOPTED)
            progress("Adding their steps", rows // 4, rows)
            run(session, ADD_STEPS, {"actor": actor.key})
            progress("Adding their history", rows // 2, rows)
            run(session, ADD_EVENTS)
            progress("Checking keys", rows * 3 // 4, rows)
    except (IntegrityError, DataError, InternalError) as error:  # the last from the nodes of a cluster
        if isinstance(error.orig, psycopg.errors.ForeignKeyViolation):
            raise Refused("Someone in this import was just erased by someone else. Run the import again.") from error
        # The primary key found a repeated row; looking for them beforehand would cost every import another sort.
        if repeated := session.execute(REPEATED_ROWS, {"listed": LISTED}).all():
            _refuse(repeated)
        raise
    if known:
        run(session, ADOPT_KNOWN_PEOPLE)
        now = session.execute(select(func.now())).scalar_one()
        for group in bulk_write.groups(session, session.scalars(text("SELECT user_id FROM import_known")).all()):
            session.execute(FINISH_KNOWN, {"people": group, "now": now})
    if people - known > known:
        add_statistics(session, "onboarding_users", "user_steps", "user_step_events")
    return people, people - known
