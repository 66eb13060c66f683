"""A batch: one status saved for one step of many people, each over the row_version that the caller saw.

It is the same saves one after another (progress.py), in a number of statements that does not grow with the people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, Integer, Text, bindparam, text
from sqlalchemy.orm import Session

from dashboard.onboarding import bulk_write, progress, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.bulk_write import Refusal
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.limits import MAX_KEY, check_key, text_problem
from dashboard.onboarding.progress import Saved
from dashboard.onboarding.scoring import FINISHED_NOW, PERCENT
from dashboard.onboarding.sql import BIND_PEOPLE

MOST_UPDATES = 1_000


@dataclass(frozen=True, slots=True)
class Update:
    """A person whose step is to be saved over the `row_version` that the caller saw."""

    user_id: str
    row_version: int


SEEN = bindparam("row_versions", type_=ARRAY(Integer))
WRITE_UPDATES = bulk_write.write(
    """(
    SELECT seen.user_id, :step_id AS step_id, :status AS status, seen.row_version
      FROM unnest(:people, :row_versions) AS seen (user_id, row_version))""",
    also_same=True,
).bindparams(SEEN, bindparam("step_id", type_=Text()), bindparam("status", type_=Text()))
# The event is the acknowledged write itself; only where the person stands is read after it.
SAVED = text(f"""
SELECT e.user_id, e.from_status, e.row_version, e.at, now.progress, {FINISHED_NOW} AS finished
  FROM unnest(:people, :row_versions) AS seen (user_id, row_version)
  JOIN user_step_events e ON e.user_id = seen.user_id AND e.step_id = :step_id AND e.row_version = seen.row_version + 1
  JOIN onboarding_users u ON u.user_id = e.user_id
 CROSS JOIN LATERAL {PERCENT} AS now (progress)
 WHERE {bulk_write.here("e")} AND {bulk_write.here("u")}
""").bindparams(BIND_PEOPLE, SEEN)


def save(
    session: Session, actor: Actor, step_id: str, status: str, updates: Sequence[Update], *, attempt: int = 0
) -> list[Saved | Refusal]:
    """Save `status` for each person over the row_version given with them; what came of each, in the order of `updates`.

    Whoever is refused holds up nobody else, and a conflict is kept as that of a single save. Raises Invalid (a member
    that breaks a rule, a person twice), NotFound (the step) and Withdrawn: then nothing was written.
    """
    checked = _check(step_id, status, updates)
    attempt = progress.countable(attempt)
    seen = {one.user_id: one.row_version for one in updates}
    values = {"step_id": step_id, "status": checked, "attempt": attempt}
    said = {"actor": actor.key, "source": actor.source, "comment": ""}
    found: dict[str, Saved | Refusal] = {}
    for group in bulk_write.groups(session, list(seen)):
        of_group = {"row_versions": [seen[user_id] for user_id in group]}
        bulk_write.lock(session, group)
        written = bulk_write.save(session, WRITE_UPDATES, group, values | said | of_group)
        found |= _saved(session, step_id, checked, {one: seen[one] for one in written})
    if not found:
        steps.get_live(session, step_id)
    rest = {user_id: row_version for user_id, row_version in seen.items() if user_id not in found}
    found |= bulk_write.refuse(session, actor, step_id, checked, rest, attempt)
    return [found[user_id] for user_id in seen]


def _check(step_id: str, status: str, updates: Sequence[Update]) -> Status:
    checked = progress.check_status(status, 1)
    check_key("step", step_id)
    problems: dict[str, str] = {}
    if not 1 <= len(updates) <= MOST_UPDATES:
        problems["updates"] = f"must be 1 to {MOST_UPDATES:,}, not {len(updates):,}"
    first: dict[str, int] = {}
    for number, one in enumerate(updates):
        if reason := text_problem(one.user_id, MAX_KEY):
            problems[f"updates.{number}.user_id"] = reason
        elif (earlier := first.setdefault(one.user_id, number)) != number:
            problems[f"updates.{number}.user_id"] = f"names “{one.user_id}” again, after updates.{earlier}"
        if reason := progress.version_problem(one.row_version):
            problems[f"updates.{number}.row_version"] = reason
    if problems:
        raise Invalid(problems)
    return checked


def _saved(session: Session, step_id: str, status: Status, seen: dict[str, int]) -> dict[str, Saved]:
    if not seen:
        return {}
    values = {"people": list(seen), "row_versions": list(seen.values()), "step_id": step_id}
    return {
        row.user_id: Saved(
            row.user_id, step_id, status, row.from_status, row.row_version, row.at, row.progress, row.finished
        )
        for row in session.execute(SAVED, values)
    }
