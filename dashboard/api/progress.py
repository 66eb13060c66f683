"""A person's steps: reading them, and saving the status of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import Field, field_validator
from werkzeug.exceptions import BadRequest, PreconditionRequired

from dashboard.api.access import Caller
from dashboard.api.messages import Answer, Body, ExactQuery, Id, Query, Seen, Wanted, Written, optional, reply
from dashboard.api.openapi import NO_PERSON, NO_STEP_OR_PERSON, wrong
from dashboard.api.problems import NobodyYet, Problem, StepConflict
from dashboard.api.routing import endpoint
from dashboard.database import Alone, Session
from dashboard.onboarding import people, progress, user_steps
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.errors import Invalid, NotFound, Withdrawn
from dashboard.onboarding.progress import Saved
from dashboard.onboarding.user_steps import UserStep
from dashboard.staff.permissions import Scope

TAG = Tag(name="Progress", description="A person's steps: read them, and save the status of one over what was read.")

blueprint = APIBlueprint("api_progress", __name__, url_prefix="/api/onboarding", abp_tags=[TAG])

ETAG = re.compile(r'"([1-9][0-9]{0,9}|0)"')


class StepPath(Query):
    step_id: str


class OfUser(Query):
    user_id: Id | None = Field(None, description="Whose steps; not needed with a user token.")


MAKES = "Create the person if they do not exist yet; their row_version is the number of the step's newest release."


class Saving(ExactQuery):
    user_id: Id | None = Field(None, description="Whose step, unless the body or a user token says so.")
    create: bool = Field(False, description=MAKES)


class RetryHeader(Query):
    attempt: Written = Field(0, alias="X-Retry-Attempt", ge=0, description="How often this was tried before.")


class Condition(RetryHeader):
    if_match: str | None = Field(
        None,
        alias="If-Match",
        description="The one ETag that was read, in place of row_version.",
        json_schema_extra={"pattern": '^"[1-9][0-9]{0,9}"$'},
    )

    @field_validator("if_match")
    @classmethod
    def _one_etag(cls, value: str) -> str:
        tag = ETAG.fullmatch(value.strip())
        if tag is None:
            raise ValueError('must be the one ETag that was read, like "3": not *, not W/"3", not several')
        if progress.version_problem(int(tag[1])):
            raise ValueError(f'must be from "1" to "{progress.NEWEST_TO_SAVE_OVER}"')
        return tag[0]


class StatusChange(Body):
    """A status, saved over the row_version that the caller read. Unknown members are ignored."""

    user_id: Id = optional("Whose step, unless the address or a user token says so.")
    status: Wanted
    row_version: Seen = optional("The row_version that was read. Can be sent as If-Match instead.")


class Step(Answer):
    """A step of one person."""

    id: str
    title: str
    description: str
    weight: int
    action_url: str = Field(serialization_alias="actionUrl")
    version: int
    status: Status
    row_version: int
    updated_at: datetime | None = Field(serialization_alias="updatedAt")


class Checklist(Answer):
    """A person's steps in checklist order, and their progress in percent."""

    user_id: str
    progress: int
    finished: bool
    steps: list[Step]


class SavedStep(Answer):
    """The row as it is now."""

    id: str
    status: Status
    row_version: int
    updated_at: datetime = Field(serialization_alias="updatedAt")


class StepSaved(Answer):
    """The step was saved. `progress` is the person's percentage after it."""

    success: Literal[True] = True
    step: SavedStep
    progress: int
    finished: bool


OF_NOBODY = wrong("user_id", "is required")


@endpoint(blueprint.get, "/steps", Scope.PROGRESS_READ, Checklist, {404: NO_PERSON, 422: OF_NOBODY}, looks=True)
def list_steps(session: Session | Alone, caller: Caller, query: OfUser) -> Response:
    """The steps of a person, in checklist order."""
    user_id = caller.whom(query.user_id)
    found = user_steps.checklist_of(session, user_id, token_id=caller.token_id)
    steps = [_step(step, step.version) for step in found.steps if step.version is not None]
    return reply(Checklist(user_id=user_id, progress=found.progress, finished=found.finished, steps=steps))


@endpoint(
    blueprint.get,
    "/steps/<step_id>",
    Scope.PROGRESS_READ,
    Step,
    {404: NO_STEP_OR_PERSON, 410: Problem, 422: OF_NOBODY},
    tagged=True,
)
def get_step(session: Session, caller: Caller, path: StepPath, query: OfUser) -> Response:
    """One step of a person, with its row_version as ETag."""
    step = user_steps.step_of(session, caller.whom(query.user_id), path.step_id)
    if step.version is None:
        raise Withdrawn(step.step_id)
    return reply(_step(step, step.version), row_version=step.row_version)


def save_at_once(
    session: Session | Alone, caller: Caller, path: StepPath, query: Saving, header: Condition, body: StatusChange
) -> Response | None:
    """The common save in one statement: the person exists and the row_version is the newest. None: anything else."""
    user_id, row_version = caller.whom(query.user_id, body.user_id), _one_version(header, body)
    saved = progress.save_at_once(
        session,
        caller.actor,
        user_id,
        path.step_id,
        body.status,
        row_version,
        attempt=header.attempt,
        token_id=caller.token_id,
    )
    return None if saved is None else _kept(saved)


@endpoint(
    blueprint.patch,
    "/steps/<step_id>",
    Scope.PROGRESS_WRITE,
    StepSaved,
    {404: NO_STEP_OR_PERSON, 409: StepConflict, 410: Problem, 412: StepConflict, 428: Problem},
    tagged=True,
    first=save_at_once,
    looks=True,
)
def save_step(
    session: Session, caller: Caller, path: StepPath, query: Saving, header: Condition, body: StatusChange
) -> Response:
    """Save the status of a person's step over the row_version that was read; a stale save is refused.

    Unknown members of the body are ignored, because clients of the original system send some.
    A save cut off before its answer is safe to send again: it applies once, or is answered by a conflict whose
    currentState already is what was asked for, or whose changes include it at attemptedVersion + 1.
    """
    user_id, row_version = caller.whom(query.user_id, body.user_id), _one_version(header, body)
    save = people.save_of_anybody if query.create else progress.save
    with _named_as_sent(header):
        saved = save(session, caller.actor, user_id, path.step_id, body.status, row_version, attempt=header.attempt)
    return _kept(saved)


@contextmanager
def _named_as_sent(header: Condition) -> Iterator[None]:
    """Calls row_version If-Match in the engine's errors if it was sent as that; a missing person becomes NobodyYet."""
    try:
        yield
    except NotFound as missing:
        if missing.what != "person":
            raise
        raise NobodyYet(missing.what, missing.key) from None
    except Invalid as invalid:
        name = "row_version" if header.if_match is None else "If-Match"
        raise Invalid({name if one == "row_version" else one: why for one, why in invalid.problems.items()}) from None


def _kept(saved: Saved) -> Response:
    answer = StepSaved(step=saved_step(saved), progress=saved.progress, finished=saved.finished)
    return reply(answer, row_version=saved.row_version)


def _one_version(header: Condition, body: StatusChange) -> int:
    """The row_version to save over. Raises PreconditionRequired, BadRequest if there are two."""
    if header.if_match is None:
        if body.row_version is None:
            raise PreconditionRequired("Send the row_version you read, in the body or as If-Match.")
        return body.row_version
    row_version = int(header.if_match.strip('"'))
    if body.row_version not in (None, row_version):
        raise BadRequest(f"row_version is {body.row_version}, but If-Match is {header.if_match}.")
    return row_version


def _step(step: UserStep, version: int) -> Step:
    return Step(
        id=step.step_id,
        title=step.title,
        description=step.description,
        weight=step.weight,
        action_url=step.action_url,
        version=version,
        status=step.status,
        row_version=step.row_version,
        updated_at=step.updated_at,
    )


def saved_step(saved: Saved) -> SavedStep:
    """The row of an acknowledged save."""
    return SavedStep(id=saved.step_id, status=saved.status, row_version=saved.row_version, updated_at=saved.updated_at)
