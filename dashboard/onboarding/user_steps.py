"""What counts of a person's steps now, and how far each has moved on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session
from sqlalchemy.types import Integer

from dashboard import models
from dashboard.onboarding.actor import IF_TOKEN_HOLDS
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.errors import NotFound
from dashboard.onboarding.limits import MAX_KEY, check_key, text_problem
from dashboard.onboarding.scoring import FINISHED_NOW, PERCENT
from dashboard.onboarding.sql import BIND_PEOPLE
from dashboard.onboarding.straight import Alone, Straight


@dataclass(frozen=True, slots=True)
class UserStep:
    """One step of one person as it counts now. `version` is None while the step is withdrawn.

    `updated_at` and `updated_by` say when and by whom it was last saved or reset; both None: never.
    `reset_by_release_id` names the release that put it back to To do.
    """

    step_id: str
    position: int
    title: str
    description: str
    weight: int
    action_url: str
    version: int | None
    status: Status
    row_version: int
    updated_at: datetime | None
    updated_by: str | None
    reset_by_release_id: int | None


@dataclass(frozen=True, slots=True)
class Checklist:
    """A person's live steps in checklist order, and how far they are: percent (0 to 100), and whether they finished."""

    progress: int
    finished: bool
    steps: Sequence[UserStep]


@dataclass(frozen=True, slots=True)
class StepVersion:
    """How far a person's step has moved on, and whether it is live."""

    row_version: int
    is_live: bool


STEPS_OF = """
SELECT v.step_id, s.position, d.title, d.description, d.weight, d.action_url, v.step_version AS version,
       v.status, v.row_version, v.updated_at, v.updated_by, v.reset_by_release_id{more}
  FROM effective_user_steps v
  JOIN steps s ON s.step_id = v.step_id
  JOIN onboarding_step_definitions d ON d.step_id = v.step_id AND d.version = coalesce(v.step_version, (
       SELECT r.version FROM step_releases r
        WHERE r.step_id = v.step_id AND r.version IS NOT NULL ORDER BY r.number DESC LIMIT 1))
"""
OF_PERSON = STEPS_OF.format(more="") + "WHERE v.user_id = :user_id"
ALL_STEPS = text(f"{OF_PERSON} ORDER BY s.position, s.step_id")
ONE_STEP = text(f"{OF_PERSON} AND v.step_id = :step_id")
STEP_OF_PEOPLE = text(
    STEPS_OF.format(more=", v.user_id") + "WHERE v.user_id = ANY(:people) AND v.step_id = :step_id"
).bindparams(BIND_PEOPLE)
CHECKLIST_OF = Straight(
    text(f"""
SELECT now.progress, {FINISHED_NOW} AS finished, of_person.*
  FROM onboarding_users u
 CROSS JOIN LATERAL {PERCENT} AS now (progress)
  LEFT JOIN LATERAL ({OF_PERSON} AND v.step_version IS NOT NULL) of_person ON true
 WHERE u.user_id = :user_id AND {IF_TOKEN_HOLDS}
 ORDER BY of_person.position, of_person.step_id
""").bindparams(bindparam("token_id", type_=Integer()))
)


def steps_of(session: Session, user_id: str) -> list[UserStep]:
    """The person's steps in checklist order, withdrawn ones too (version None). Empty: no such person."""
    if text_problem(user_id, MAX_KEY):
        return []
    return [UserStep(*row) for row in session.execute(ALL_STEPS, {"user_id": user_id})]


def checklist_of(asked: Session | Alone, user_id: str, *, token_id: int | None = None) -> Checklist:
    """All that the host's front end shows of a person, in one query. Raises NotFound.

    `token_id`: the API token that has to be valid, or nobody is found.
    """
    check_key("person", user_id)
    rows = CHECKLIST_OF.rows(asked, {"user_id": user_id, "token_id": token_id})
    if not rows:
        raise NotFound("person", user_id)
    progress, finished, *_ = rows[0]
    # someone has a row of their own even where no step is live
    return Checklist(progress, finished, [UserStep(*step) for _, _, *step in rows if step[0] is not None])


def step_of(session: Session, user_id: str, step_id: str) -> UserStep:
    """One step of one person. Raises NotFound naming the step or the person; a step not yet released is not found."""
    check_key("person", user_id)
    check_key("step", step_id)
    row = session.execute(ONE_STEP, {"user_id": user_id, "step_id": step_id}).one_or_none()
    if row is not None:
        return UserStep(*row)
    if session.scalar(select(models.User.user_id).where(models.User.user_id == user_id)) is None:
        raise NotFound("person", user_id)
    raise NotFound("step", step_id)


def step_of_people(session: Session, step_id: str, people: Sequence[str]) -> dict[str, UserStep]:
    """One step of each of these people; who is not there is left out."""
    rows = session.execute(STEP_OF_PEOPLE, {"people": people, "step_id": step_id})
    return {row.user_id: UserStep(*row[:-1]) for row in rows}


# What an open page asks for every few seconds: one look-up by key in each of a few small tables.
VERSIONS = text("""
SELECT v.step_id, v.row_version, v.step_version IS NOT NULL AS is_live
  FROM onboarding_users u LEFT JOIN effective_user_steps v ON v.user_id = u.user_id
 WHERE u.user_id = :user_id
""")


def versions_of(session: Session, user_id: str) -> dict[str, StepVersion]:
    """How far each of the person's steps has moved on, in one query. Raises NotFound."""
    check_key("person", user_id)
    rows = session.execute(VERSIONS, {"user_id": user_id}).all()
    if not rows:
        raise NotFound("person", user_id)
    return {row.step_id: StepVersion(row.row_version, row.is_live) for row in rows if row.step_id is not None}
