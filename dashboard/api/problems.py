"""Every refusal as a problem document (RFC 9457) that also has the original system's members: only here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import singledispatch
from typing import Literal

from flask import Response, request
from pydantic import Field, computed_field
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as NoSuchAddress

from dashboard.api.access import NotAllowed, TokenNeeded, shown
from dashboard.api.messages import Answer, reply
from dashboard.onboarding import errors
from dashboard.onboarding.carryover import Status
from dashboard.web import errors as pages
from dashboard.web.requestlog import request_id

PEOPLE = "/api/onboarding/users"

REPEAT = "A save is safe to send again; check before repeating a release or a rollback."
CUT = f"Your change may or may not have been saved. {REPEAT}"

Kind = Literal["not-found", "invalid", "withdrawn", "step-conflict", "release-conflict"]

KINDS: Mapping[Kind, str] = {
    "not-found": "The step or person named does not exist. Nothing was done.",
    "invalid": "The request can be read, but some of its members break a rule. `errors` names each one by its path in "
    "the body or as a header, with the rule. Rules that depend on stored data are checked once those are "
    "fixed, and so is 428.",
    "withdrawn": "The step was taken off the checklist. There is nothing to read or save until it is restored; "
    "people's work on it is kept.",
    "step-conflict": "The person's step changed since the row_version that was named: someone saved it, or a release "
    "moved every row of the step. Nothing was written. `currentState` is its current state, and `changes` lists "
    "what happened since, oldest first.",
    "release-conflict": "The release is not possible as planned. Nothing was changed; `reasons` says why.",
}
"""Our own problem types, by the last part of their `type`, and what each one means."""


class Problem(Answer):
    """What went wrong. `error` and `message` say the same as `title` and `detail`, for clients of the original system."""

    type: str = Field(default="about:blank", description="The kind of problem; about:blank: see the status.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The status of the answer.")
    detail: str = Field(description="One plain sentence for the log.")

    @computed_field(description="As `title`.")
    def error(self) -> str:
        return self.title

    @computed_field(description="As `detail`.")
    def message(self) -> str:
        return self.detail


class NobodyYet(errors.NotFound):
    """There is no such person, but whoever asks could make them."""


class MemberProblem(Answer):
    """A member of the request, by its path or as a header, and the rule that it breaks."""

    member: str = Field(examples=["newStepData.weight"])
    reason: str = Field(examples=["must be a whole number from 1 to 1,000"])


class Unprocessable(Problem):
    """The request can be read, but some of its members break a rule."""

    errors: list[MemberProblem]


class NotAllowedProblem(Problem):
    """The token does not allow this. `scope` is the one it lacks; null: it has the scope, but is a user's."""

    scope: str | None


class Fault(Problem):
    """Our fault, not the caller's. `request_id` finds it in the log."""

    request_id: str = Field(description="As X-Request-ID.")


class State(Answer):
    """A person's step as it is now."""

    status: Status
    row_version: int


class Change(Answer):
    """What made one row_version: a save, or a release of the step."""

    row_version: int
    at: datetime
    by: str = Field(description="Who. Users see others only as staff, token, user or system.", examples=["token:shop"])
    kind: Literal["event", "release"]
    from_status: Status = Field(serialization_alias="from")
    to_status: Status = Field(serialization_alias="to")


class StepConflict(Problem):
    """A stale save: nothing was written. `changes` lists what happened after `attemptedVersion`, oldest first."""

    attempted: int = Field(
        serialization_alias="attemptedVersion", description="The row_version that the save was based on."
    )
    current: int = Field(serialization_alias="currentVersion", description="The newest row_version.")
    current_state: State = Field(serialization_alias="currentState")
    suggestion: str
    changes: list[Change]


class ReleaseConflict(Problem):
    """The release is not possible as planned: nothing was changed. `reasons` says why, one sentence each."""

    reasons: list[str]


def problem(fault: pages.Fault, error: Exception) -> Response:
    """The error as the API renders it; `fault` is how a page would."""
    told = tell(error) or _as_a_page_would(fault)
    if isinstance(told, StepConflict) and "If-Match" in request.headers:
        # RFC 9110, 13.1.1: a failed condition in a header is answered with 412
        told.status = 412
    response = reply(told, told.status)
    response.mimetype = "application/problem+json"
    if isinstance(error, TokenNeeded | NotAllowed):
        response.headers["WWW-Authenticate"] = error.challenge
    return response


def _as_a_page_would(fault: pages.Fault) -> Problem:
    if fault.ours:
        text = CUT if fault is pages.CUT else fault.text
        return Fault(title=fault.title, status=fault.status, detail=text, request_id=request_id())
    return Problem(title=fault.title, status=fault.status, detail=fault.text)


def no_address(path: str) -> Problem:
    """An unknown address, or one with an id that cannot be decoded."""
    told = ": encode an id that begins with ~ or that an address cannot hold as ~ and its base64url, without ="
    packed = told if path.startswith(f"{PEOPLE}/") else ""
    return Problem(title="Not Found", status=404, detail=f"There is no {path}{packed}; see /api/openapi.json.")


@singledispatch
def tell(_: Exception) -> Problem | None:
    """The problem for the error. None: an unforeseen one, about which no more is revealed than on a page."""
    return None


@tell.register
def _(error: HTTPException) -> Problem | None:
    status = error.code or 500
    return Problem(title=error.name, status=status, detail=error.description or error.name) if status < 500 else None


@tell.register
def _(_: NoSuchAddress) -> Problem:
    return no_address(request.path)


@tell.register
def _(error: MethodNotAllowed) -> Problem:
    return Problem(title=error.name, status=405, detail=f"{request.path} does not support {request.method}.")


@tell.register
def _(error: NotAllowed) -> Problem:
    return NotAllowedProblem(title=error.name, status=403, detail=error.description or "", scope=error.scope)


@tell.register
def tell_missing(error: errors.NotFound) -> Problem:
    """Something named in the request does not exist."""
    return Problem(type=_type("not-found"), title="Not Found", status=404, detail=str(error))


@tell.register(NobodyYet)
def tell_nobody(error: errors.NotFound) -> Problem:
    """A person who does not exist, and how to create them."""
    told = tell_missing(error)
    return told.model_copy(update={"detail": f"{told.detail} Create them with PUT, or save with ?create=true."})


@tell.register
def tell_invalid(error: errors.Invalid) -> Unprocessable:
    """Members that break a rule."""
    members = [MemberProblem(member=name, reason=reason) for name, reason in error.problems.items()]
    return Unprocessable(
        type=_type("invalid"), title="Unprocessable Content", status=422, detail=f"{error}.", errors=members
    )


@tell.register
def _(_: errors.Withdrawn) -> Problem:
    # the engine's own sentence is for staff, who can
    detail = "The step was withdrawn. Staff can restore it, on its page or with `dashboard step restore`."
    return Problem(type=_type("withdrawn"), title="Gone", status=410, detail=detail)


@tell.register
def tell_conflict(error: errors.Conflict) -> StepConflict:
    """A stale save, with what has changed since."""
    return StepConflict(
        type=_type("step-conflict"),
        title="Conflict",
        status=409,
        detail=str(error),
        attempted=error.attempted,
        current=error.current.row_version,
        current_state=State(status=error.current.status, row_version=error.current.row_version),
        suggestion="Fetch the latest state and retry",
        changes=[
            Change(
                row_version=change.row_version,
                at=change.at,
                by=shown(change.by),
                kind=change.kind,
                from_status=change.from_status,
                to_status=change.to_status,
            )
            for change in error.changes
        ],
    )


@tell.register
def _(error: errors.StalePlan) -> Problem:
    return _release_conflict(str(error), list(error.reasons))


@tell.register
def _(error: errors.DraftOpen) -> Problem:
    # the way out has another name in each door, so the engine does not name it
    return _release_conflict(f"{error} Release it first, or discard it with discardDraft.", list(error.reasons))


@tell.register(errors.Refused)
@tell.register(errors.StaleDraft)
def _(error: errors.OnboardingError) -> Problem:
    return _release_conflict(str(error), [str(error)])


def _release_conflict(detail: str, reasons: list[str]) -> Problem:
    return ReleaseConflict(type=_type("release-conflict"), title="Conflict", status=409, detail=detail, reasons=reasons)


def _type(kind: Kind) -> str:
    return f"/api/docs#{kind}"
