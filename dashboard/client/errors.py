"""The errors of a call: no answer, a refusal with its problem document, or the end of retrying."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from dashboard.client.answers import Change, State, Step


class ClientError(Exception):
    """The base class. `unsure`: the request may have been carried out nevertheless."""

    retry_after_s: float = 0.0
    settles: ClassVar[bool] = False
    """Whether it proves that no earlier try was carried out."""

    def __init__(self, message: str, *, unsure: bool = False) -> None:
        self.unsure = unsure
        super().__init__(message)


class Unanswered(ClientError):
    """No complete answer: the connection failed or was cut, or the time ran out."""


class Unreadable(ClientError):
    """The answer lacks something that this version of the client needs."""


class Refusal(ClientError):
    """The API refused. `problem` is its problem document, empty if the answer had none (from a proxy, say)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.detail = str(problem.get("detail") or problem.get("message") or _phrase(status))
        super().__init__(f"{status}: {self.detail}")

    @property
    def request_id(self) -> str | None:
        """The id that finds a fault in the server's log."""
        return self.problem.get("request_id")


class Unauthorized(Refusal):
    """The token is unknown, expired or revoked."""


class Forbidden(Refusal):
    """The token does not allow this; `scope` is the one it lacks."""

    @property
    def scope(self) -> str | None:
        """For instance progress:write."""
        return self.problem.get("scope")


class NotFound(Refusal):
    """There is no such person or step."""


class Withdrawn(Refusal):
    """The step was withdrawn: it cannot be saved."""


class Invalid(Refusal):
    """Something breaks a rule; `members` gives the reason for each."""

    @property
    def members(self) -> dict[str, str]:
        """The reasons by member, as the API names it."""
        return {one["member"]: one["reason"] for one in self.problem.get("errors", [])}


class Conflict(Refusal):
    """A stale save: nothing was written. `changes` lead from `attempted` to `current`, oldest first."""

    settles = True

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(status, problem)
        self.attempted = int(problem["attemptedVersion"])
        self.current = State.model_validate(problem["currentState"])
        self.changes = tuple(Change.model_validate(one) for one in problem.get("changes", ()))

    def until(self, step: Step) -> Conflict:
        """The same conflict with `step`, read later, as the current state."""
        if step.row_version == self.current.row_version:
            return self
        unseen = {
            "row_version": step.row_version,
            "at": step.updated_at,
            "by": "",
            "kind": "unseen",
            "from": self.current.status,
            "to": step.status,
        }
        state = {"status": step.status, "row_version": step.row_version}
        changes = [*self.problem.get("changes", ()), unseen]
        more = {"currentVersion": step.row_version, "currentState": state, "changes": changes}
        return Conflict(self.status, {**self.problem, **more})


class ReleaseConflict(Refusal):
    """The release is not possible as planned: nothing was changed; `reasons` say why, one sentence each.

    If it is `unsure`, an earlier try of the same call got no answer, and may be the very release that is mentioned.
    """

    @property
    def reasons(self) -> list[str]:
        """For instance: Version 1 is not live: version 2 is."""
        return list(self.problem["reasons"])


class RateLimited(Refusal):
    """Too many requests; `retry_after_s` is how long to wait."""


class Fault(Refusal):
    """A fault of the server that retrying would not fix."""


class Unavailable(Refusal):
    """The server or its database is currently unreachable, or the request took too long to arrive."""


class NoLongerWanted(ClientError):
    """The step had moved on and the intent declined to save over it; nothing was saved. `conflict` says what moved."""

    settles = True

    def __init__(self, conflict: Conflict) -> None:
        self.conflict = conflict
        super().__init__(f"Not saved: the step is now {conflict.current.status}")


class GaveUp(ClientError):
    """Retried as often or as long as allowed. `last` is the last error, `conflict` the last conflict (or None)."""

    def __init__(self, attempts: int, last: ClientError, conflict: Conflict | None) -> None:
        self.attempts = attempts
        self.last = last
        self.conflict = conflict
        super().__init__(f"Gave up after {attempts} {'try' if attempts == 1 else 'tries'}: {last}", unsure=last.unsure)


KINDS: Mapping[int, type[Refusal]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    410: Withdrawn,
    422: Invalid,
    429: RateLimited,
    500: Fault,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, problem: Mapping[str, Any]) -> Refusal:
    """The typed refusal of a problem document. Raises KeyError or ValueError if a conflict lacks its members."""
    if status in (409, 412) and "attemptedVersion" in problem:
        return Conflict(status, problem)
    if status == 409 and "reasons" in problem:
        return ReleaseConflict(status, problem)
    return KINDS.get(status, Refusal)(status, problem)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"
