"""One status saved for one step of many people, in one request."""

from __future__ import annotations

from typing import ClassVar, Literal

from flask import Response, request
from pydantic import ConfigDict, Field

from dashboard.api.access import Caller
from dashboard.api.messages import Answer, Body, Id, Seen, Wanted, reply
from dashboard.api.openapi import NO_STEP
from dashboard.api.problems import Problem, StepConflict, Unprocessable, tell_conflict, tell_invalid, tell_nobody
from dashboard.api.progress import RetryHeader, SavedStep, blueprint, saved_step
from dashboard.api.routing import endpoint
from dashboard.config import LARGEST_API_BODY
from dashboard.database import Session
from dashboard.onboarding import batch
from dashboard.onboarding.batch import MOST_UPDATES, Update
from dashboard.onboarding.bulk_write import Refusal
from dashboard.onboarding.errors import Conflict, Invalid, NotFound
from dashboard.onboarding.progress import Saved
from dashboard.staff.permissions import Scope

__all__ = ["blueprint"]


class OneUpdate(Body):
    """A person, and the row_version of their step that was read."""

    # a status of their own would be ignored
    model_config = ConfigDict(extra="forbid")

    user_id: Id
    row_version: Seen


class Batch(Body):
    """One status for one step of many people, each saved over the row_version that was read."""

    model_config = ConfigDict(extra="forbid")
    max_bytes: ClassVar[int] = LARGEST_API_BODY

    step_id: Id
    status: Wanted
    updates: list[OneUpdate] = Field(min_length=1, max_length=MOST_UPDATES, description="Each person once.")


OF_ONE_SAVE = "The HTTP status of this one save."
IT_IS_KEPT = f"{OF_ONE_SAVE} A refused one has 404, 409 or 422 here, and the members of that problem."


class SavedUpdate(Answer):
    """One person's step was saved; `step` is its current state."""

    user_id: str
    status: Literal[200] = Field(default=200, description=IT_IS_KEPT)
    step: SavedStep
    progress: int
    finished: bool


class UnknownPerson(Problem):
    """There is no such person."""

    user_id: str
    status: Literal[404] = Field(default=404, description=OF_ONE_SAVE)


class StaleUpdate(StepConflict):
    """This person's step changed since its row_version was read."""

    user_id: str
    status: Literal[409] = Field(default=409, description=OF_ONE_SAVE)


class NewerThanThereIs(Unprocessable):
    """This person's row_version is higher than the newest."""

    user_id: str
    status: Literal[422] = Field(default=422, description=OF_ONE_SAVE)


Result = SavedUpdate | StaleUpdate | NewerThanThereIs | UnknownPerson


class BatchSaved(Answer):
    """The result for each person, in the order of `updates`: what a single save would have returned.

    `status` of the whole is the requested one; in each result it is 200, 404, 409 or 422.
    """

    step_id: str
    status: str
    results: list[Result]


@endpoint(
    blueprint.patch,
    "/steps",
    Scope.PROGRESS_WRITE,
    BatchSaved,
    {404: NO_STEP, 410: Problem},
    backend_only=True,
)
def save_batch(session: Session, caller: Caller, header: RetryHeader, body: Batch) -> Response:
    """Save one status for one step of up to 1,000 people, each over the row_version that was read.

    A refused person does not hold up the others. If the request as a whole is refused (an unknown or withdrawn step, a
    member that breaks a rule, a person twice), nothing is saved. It is as safe to send again as a single save.
    """
    if "If-Match" in request.headers:
        raise Invalid({"If-Match": "is for a single step: here each update has a row_version"})
    updates = [Update(one.user_id, one.row_version) for one in body.updates]
    found = batch.save(session, caller.actor, body.step_id, body.status, updates, attempt=header.attempt)
    results = [_result(update.user_id, one) for update, one in zip(updates, found, strict=True)]
    return reply(BatchSaved(step_id=body.step_id, status=body.status, results=results))


def _result(user_id: str, one: Saved | Refusal) -> Result:
    match one:
        case Saved():
            return SavedUpdate(user_id=user_id, step=saved_step(one), progress=one.progress, finished=one.finished)
        case Conflict():
            return StaleUpdate(user_id=user_id, **dict(tell_conflict(one)))
        case Invalid():
            return NewerThanThereIs(user_id=user_id, **dict(tell_invalid(one)))
        case NotFound():
            return UnknownPerson(user_id=user_id, **dict(tell_nobody(one)))
