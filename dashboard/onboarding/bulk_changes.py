"""Bulk changes: one step set to one status for many people, previewed, carried out in batches, each person accounted for.

The preview remembers each person's row_version. Whoever moved on since is left alone and listed; nobody is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import bulk_write, finding, paging, steps
from dashboard.onboarding.actor import Actor, called
from dashboard.onboarding.carryover import PASSED, STATUSES, Status
from dashboard.onboarding.errors import Invalid, NotFound, Refused
from dashboard.onboarding.filters import Filter
from dashboard.onboarding.history import record
from dashboard.onboarding.limits import MAX_INTEGER, MAX_KEY, text_problem
from dashboard.onboarding.progress import check_status
from dashboard.onboarding.scoring import RECORDED_RELEASES, SUM_OF_POINTS
from dashboard.onboarding.sql import BIND_PEOPLE, clock, run

MOST_PEOPLE = 10_000
BATCH = 2_000
MemberOutcome = Literal["changed", "same", "moved", "gone"]
OUTCOMES: tuple[MemberOutcome, ...] = get_args(MemberOutcome)
"""changed: has the status now; same: had it already; moved: changed since the preview; gone: erased since."""


@dataclass(frozen=True, slots=True)
class BulkChange:
    """A bulk change. `outcomes` counts its people by what came of them (None: not yet).

    `before` counts them by their status, the one that the preview saw.
    """

    id: int
    step_id: str
    status: Status
    comment: str
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    outcomes: Mapping[MemberOutcome | None, int]
    before: Mapping[Status, int]

    @property
    def people(self) -> int:
        """Everybody who was chosen."""
        return sum(self.outcomes.values())

    @property
    def waiting(self) -> int:
        """Those whose turn has not come."""
        return self.outcomes.get(None, 0)

    @property
    def would_change(self) -> int:
        """Those who had another status when it was previewed."""
        return sum(people for status, people in self.before.items() if status != self.status)


@dataclass(frozen=True, slots=True)
class Effect:
    """How many people would come to 100 %, and how many would fall from it."""

    reach_100: int
    fall_from_100: int


@dataclass(frozen=True, slots=True)
class Member:
    """A person of a bulk change: the status that the preview saw, and how it is now (None: no such person any more).

    `moved`: while their turn has not come, that they moved on since the preview, so that they will be left alone.
    """

    user_id: str
    name: str
    email: str
    from_status: Status | None
    status: Status | None
    updated_at: datetime | None
    updated_by: str | None
    outcome: MemberOutcome | None
    moved: bool

    @property
    def label(self) -> str:
        """What to call them: the name, else the email, else the id."""
        return called(self.name, self.email, self.user_id)


CREATE = text("""
INSERT INTO bulk_changes (step_id, status, comment, created_by) VALUES (:step_id, :status, :comment, :actor) RETURNING id
""")
# Until the change with them is there to be found: somebody who is erased before would be named by it for good.
HOLD_PEOPLE = text("""
SELECT user_id FROM onboarding_users WHERE user_id = ANY(:people) ORDER BY user_id FOR KEY SHARE
""").bindparams(BIND_PEOPLE)
CHOOSE = text(f"""
INSERT INTO bulk_change_people (bulk_id, user_id, row_version, from_status)
SELECT :id, v.user_id, v.row_version, v.status
  FROM unnest(:people) AS chosen(user_id)
  JOIN effective_user_steps v ON v.user_id = chosen.user_id AND {bulk_write.here("v")} AND v.step_id = :step_id
""").bindparams(BIND_PEOPLE)
FORGET = "DELETE FROM bulk_changes WHERE started_at IS NULL AND created_at < now() - interval '1 day'"


def create(
    session: Session, actor: Actor, chosen: Filter | Sequence[str], step_id: str, status: str, comment: str = ""
) -> int:
    """Prepare a change for those who match a filter, or for those of these ids who are there; returns its id.

    Nothing is changed yet. Raises Invalid (nobody, too many, a wrong status, comment or id), NotFound (the step), Withdrawn.
    """
    wanted = check_status(status, 1, comment)
    steps.get_live(session, step_id)
    # What is forgotten before the people, as an erasure locks them: the other way round the two would deadlock.
    run(session, FORGET)
    people = _chosen(session, chosen)
    values = {"step_id": step_id, "status": wanted, "comment": comment.strip(), "actor": actor.key}
    made = int(session.execute(CREATE, values).scalar_one())
    session.execute(CHOOSE, {"id": made, "people": people, "step_id": step_id})
    return made


def _chosen(session: Session, chosen: Filter | Sequence[str]) -> list[str]:
    """The ids of those who are there. They are held: nobody of them is erased before the transaction ends."""
    people = finding.ids(session, chosen, MOST_PEOPLE + 1) if isinstance(chosen, Filter) else sorted(set(chosen))
    if not people:
        raise Invalid({"people": "are required: select at least one"})
    if len(people) > MOST_PEOPLE:
        raise Invalid({"people": f"are limited to {MOST_PEOPLE:,} at once; choose a narrower filter"})
    if any(text_problem(user_id, MAX_KEY) for user_id in people):
        raise Invalid({"people": "include an id that is not valid"})
    there = [
        one for group in bulk_write.groups(session, people) for one in session.scalars(HOLD_PEOPLE, {"people": group})
    ]
    if not there:
        raise Invalid({"people": "are no longer here"})
    return there


STILL_HERE = """
SELECT user_id FROM bulk_change_people p JOIN onboarding_users u USING (user_id) WHERE p.bulk_id = :id
"""
MOVED = text(f"{STILL_HERE} AND p.outcome = 'moved'")


def again(session: Session, actor: Actor, bulk_id: int) -> int:
    """Prepare the same change for those who had moved and were not erased since, as they are now; returns its id.

    Raises NotFound (the change), Refused (nobody had moved), and what `create` does.
    """
    earlier = get(session, bulk_id)
    moved = list(session.scalars(MOVED, {"id": bulk_id}))
    if not moved:
        raise Refused("No one in this bulk change had changed in the meantime.")
    return create(session, actor, moved, earlier.step_id, earlier.status, earlier.comment)


def instead(session: Session, actor: Actor, bulk_id: int, status: str, comment: str) -> int:
    """Prepare another status or comment for the same people, as far as they are still here; returns its id.

    Raises NotFound (the change), and what `create` does.
    """
    step_id = get(session, bulk_id).step_id
    return create(session, actor, list(session.scalars(text(STILL_HERE), {"id": bulk_id})), step_id, status, comment)


# By name: a newer version of the program may have added a column while this one still runs.
ONE_BULK_CHANGE = text("""
SELECT id, step_id, status, comment, created_at, created_by, started_at, finished_at FROM bulk_changes WHERE id = :id
""")


def get(session: Session, bulk_id: int) -> BulkChange:
    """One bulk change as it stands. Raises NotFound."""
    row = None
    if 0 < bulk_id <= MAX_INTEGER:
        row = session.execute(ONE_BULK_CHANGE, {"id": bulk_id}).one_or_none()
    if row is None:
        raise NotFound("bulk change", bulk_id)
    counts = text(
        "SELECT outcome, from_status, count(*) AS people FROM bulk_change_people WHERE bulk_id = :id GROUP BY 1, 2"
    )
    outcomes: dict[MemberOutcome | None, int] = {}
    before = dict.fromkeys(STATUSES, 0)
    for found in session.execute(counts, {"id": bulk_id}):
        outcomes[found.outcome] = outcomes.get(found.outcome, 0) + found.people
        if found.from_status:
            before[found.from_status] += found.people
    return BulkChange(**row._mapping, outcomes=outcomes, before=before)


# In points, of which everybody can have the `whole`; of those whose turn has not come and who stand as they were previewed.
EFFECT = text(f"""
SELECT count(*) FILTER (WHERE points < whole AND points + part >= whole) AS reach,
       count(*) FILTER (WHERE points = whole AND points + part < whole) AS fall
  FROM (SELECT coalesce((SELECT {SUM_OF_POINTS} FROM {RECORDED_RELEASES}), 0) AS points,
               (SELECT sum(weight) FROM steps) AS whole,
               (SELECT weight FROM steps WHERE step_id = :step_id)
               * ((:status IN {PASSED})::int - (p.from_status IN {PASSED})::int) AS part
          FROM bulk_change_people p
          JOIN onboarding_users u ON u.user_id = p.user_id
          JOIN effective_user_steps v ON v.user_id = p.user_id AND v.step_id = :step_id
         WHERE p.bulk_id = :id AND p.outcome IS NULL AND v.row_version = p.row_version) moved
""")


def effect(session: Session, bulk: BulkChange) -> Effect:
    """How many people it would still bring to 100 %, or take from it: those who did not move on since the preview."""
    row = session.execute(EFFECT, {"id": bulk.id, "step_id": bulk.step_id, "status": bulk.status}).one()
    return Effect(row.reach, row.fall)


MEMBERS = """(
SELECT p.user_id, coalesce(u.name, '') AS name, coalesce(u.email, '') AS email, p.from_status, v.status, v.updated_at,
       v.updated_by, p.outcome,
       p.outcome IS NULL AND v.row_version IS DISTINCT FROM p.row_version AS moved
  FROM bulk_change_people p
  JOIN bulk_changes b ON b.id = p.bulk_id
  LEFT JOIN onboarding_users u ON u.user_id = p.user_id
  LEFT JOIN effective_user_steps v ON v.user_id = p.user_id AND v.step_id = b.step_id
 WHERE p.bulk_id = :id
) u"""
BY_ID = paging.Order("id", "u.user_id", ":start", "user_id")


def members(
    session: Session, bulk_id: int, outcome: MemberOutcome | None = None, *, cursor: str | None = None, limit: int = 50
) -> tuple[list[Member], str | None, str | None]:
    """Up to `limit` of its people in the order of their ids, and the cursors of the previous and of the next page.

    `outcome`: only those of whom that came. Raises Invalid: a broken cursor.
    """
    where = ["u.outcome = :outcome"] if outcome else []
    listing = paging.Listing(MEMBERS, where, {"id": bulk_id, "outcome": outcome}, (), "SELECT * FROM page u")
    rows, previous, following = paging.page(session, listing, BY_ID, cursor, limit)
    return [Member(**row._mapping) for row in rows], previous, following


# Carrying it out ------------------------------------------------------------------------------------------------------

TURN = text("""
SELECT user_id FROM bulk_change_people WHERE bulk_id = :id AND outcome IS NULL ORDER BY user_id LIMIT :batch
""")
WRITE_GROUP = bulk_write.write("""(
    SELECT p.user_id, b.step_id, b.status, p.row_version
      FROM bulk_change_people p JOIN bulk_changes b ON b.id = p.bulk_id
     WHERE p.bulk_id = :id AND p.user_id = ANY(:people))""")
MARK_CHANGED = text("""
UPDATE bulk_change_people SET outcome = 'changed' WHERE bulk_id = :id AND user_id = ANY(:people)
""").bindparams(BIND_PEOPLE)
ACCOUNT = text(f"""
UPDATE bulk_change_people p
   SET outcome = coalesce((SELECT CASE WHEN v.status = b.status THEN 'same' ELSE 'moved' END
                             FROM effective_user_steps v
                            WHERE v.user_id = p.user_id AND {bulk_write.here("v")} AND v.step_id = b.step_id), 'gone')
  FROM bulk_changes b
 WHERE b.id = :id AND p.bulk_id = b.id AND p.user_id = ANY(:people)
RETURNING p.user_id, p.row_version, p.outcome
""").bindparams(BIND_PEOPLE)


def carry_on(session: Session, actor: Actor, bulk_id: int) -> BulkChange:
    """Carry out the next batch of a change, in few statements however many people it has, and return how far it is.

    Two at once take turns and do nothing twice. Raises NotFound, and Withdrawn: the step was since the preview.
    """
    bulk = get(session, bulk_id)
    if bulk.finished_at:
        return bulk
    steps.get_live(session, bulk.step_id)
    # whoever does the same at the same time waits here
    run(session, "UPDATE bulk_changes SET started_at = least(started_at, now()) WHERE id = :id", {"id": bulk_id})
    people = list(session.scalars(TURN, {"id": bulk_id, "batch": BATCH}))
    for group in bulk_write.groups(session, people):
        _carry_out(session, actor, bulk, group)
    bulk = get(session, bulk_id)
    return bulk if bulk.waiting else _finished(session, actor, bulk)


def _carry_out(session: Session, actor: Actor, bulk: BulkChange, people: list[str]) -> None:
    said = {"actor": actor.key, "source": "bulk", "comment": bulk.comment}
    bulk_write.lock(session, people)
    written = bulk_write.save(session, WRITE_GROUP, people, {"id": bulk.id, **said})
    session.execute(MARK_CHANGED, {"id": bulk.id, "people": written})
    if rest := sorted(set(people).difference(written)):
        told = session.execute(ACCOUNT, {"id": bulk.id, "people": rest})
        moved = {row.user_id: row.row_version for row in told if row.outcome == "moved"}
        bulk_write.refuse(session, replace(actor, source="bulk"), bulk.step_id, bulk.status, moved)


def _finished(session: Session, actor: Actor, bulk: BulkChange) -> BulkChange:
    ended = text("""
    UPDATE bulk_changes SET finished_at = :now WHERE id = :id AND finished_at IS NULL RETURNING finished_at""")
    if finished_at := session.scalar(ended, {"id": bulk.id, "now": clock(session)}):
        counts = {name: [None, bulk.outcomes[name]] for name in OUTCOMES if bulk.outcomes.get(name)}
        record(
            session,
            actor,
            "people.bulk",
            step_id=bulk.step_id,
            subject=f"bulk change {bulk.id}",
            changes={"status": [None, bulk.status]} | counts,
            note=bulk.comment,
        )
        return replace(bulk, finished_at=finished_at)
    return get(session, bulk.id)
