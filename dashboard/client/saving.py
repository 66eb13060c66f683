"""Saving a status of one step: what a conflict means for it, and whether it is still wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from dashboard.client.answers import Status, Step, StepSaved
from dashboard.client.connection import Connection, Request
from dashboard.client.errors import Conflict, NoLongerWanted, NotFound, Refusal, refusal
from dashboard.client.retrying import Tries

STEPS = "/api/onboarding/steps"
FINISHED = frozenset({"done", "skipped"})

Intent = Callable[[Conflict, Status], bool]
"""Called after a conflict: is the status still wanted, given what the step is now?"""


def unless_finished(conflict: Conflict, _wanted: Status) -> bool:
    """Still wanted, unless any change since, of any kind, moved the step to done or skipped from another status."""
    if not conflict.changes:
        return conflict.current.status not in FINISHED
    return not any(
        change.to_status in FINISHED and change.to_status != change.from_status for change in conflict.changes
    )


def always(_conflict: Conflict, _wanted: Status) -> bool:
    """Always wanted: it may overwrite what somebody did on purpose."""
    return True


@dataclass(frozen=True, slots=True)
class Saved:
    """The step has the requested status, at `row_version`.

    `already`: the last try did not write because it had been done, by an earlier try whose answer was lost or by
    somebody else. Then `conflict` shows what has happened to the step since (None: a read showed that status), and
    `progress` (percent) and `finished` are None. `retries` counts the tries before the last one.
    """

    user_id: str
    step_id: str
    status: str
    row_version: int
    updated_at: datetime | None = None
    progress: int | None = None
    finished: bool | None = None
    already: bool = False
    retries: int = 0
    conflict: Conflict | None = None


@dataclass(frozen=True, slots=True)
class OneOfMany:
    """One person's outcome in a batch: `saved`, or else the `refusal`."""

    user_id: str
    saved: Saved | None = None
    refusal: Refusal | None = None


@dataclass(slots=True)
class Saving:
    """One call that saves over `row_version`; None: read it first. Without `intent`, a conflict ends the call.

    `sent` counts the saves sent so far: reads that failed are no attempts to save.
    """

    connection: Connection
    user_id: str
    step_id: str
    status: Status
    row_version: int | None
    intent: Intent | None = None
    create: bool = False
    sent: int = 0

    def __call__(self, tries: Tries) -> Saved:
        """One try. Raises Conflict, which may be retried, and NoLongerWanted, which is not."""
        if self.row_version is None and (already := self._look(tries)):
            return already
        try:
            return self._write(tries)
        except Conflict as conflict:
            if done := already_done(conflict, self.user_id, self.step_id, self.status, tries):
                return done
            if self.intent is not None:
                self._ask(self.intent, conflict)
                self.row_version = None
            raise

    def _look(self, tries: Tries) -> Saved | None:
        """Reads the row_version to save over, unless there is nothing to save."""
        try:
            step = read_step(self.connection, tries, self.user_id, self.step_id)
        except NotFound:
            if not self.create:
                raise
            # a refused save does not create them, but shows what to save over
            self.row_version = tries.conflict.current.row_version if tries.conflict else 1
            return None
        if step.status == self.status:
            return Saved(
                self.user_id,
                self.step_id,
                self.status,
                step.row_version,
                step.updated_at,
                already=True,
                retries=tries.count,
            )
        met = tries.conflict
        if met and self.intent and met.current.row_version != step.row_version:
            self._ask(self.intent, met.until(step))
        self.row_version = step.row_version
        return None

    def _ask(self, intent: Intent, conflict: Conflict) -> None:
        if not intent(conflict, self.status):
            raise NoLongerWanted(conflict) from None

    def _write(self, tries: Tries) -> Saved:
        body = {"user_id": self.user_id, "status": self.status, "row_version": self.row_version}
        params = {"create": "true"} if self.create else None
        request = Request("PATCH", address(STEPS, self.step_id), params, body, attempt=self.sent)
        self.sent += 1
        return saved(self.user_id, self.connection.ask(tries, StepSaved, request), tries)


def already_done(conflict: Conflict, user_id: str, step_id: str, status: Status, tries: Tries) -> Saved | None:
    """The save, if the conflict shows that there is nothing left to do.

    A try whose answer was lost can only have made the row_version after the one it was to save over. If that has the
    requested status, the intent was served, whatever happened to the step later: saving again would serve it twice.
    """
    ours = conflict.attempted + 1
    applied = any((one.row_version, one.kind, one.to_status) == (ours, "event", status) for one in conflict.changes)
    if conflict.current.status == status:
        row_version = conflict.current.row_version
    elif tries.unsure and applied:
        row_version = ours
    else:
        return None
    return Saved(user_id, step_id, status, row_version, already=True, retries=tries.count, conflict=conflict)


def saved(user_id: str, answer: StepSaved, tries: Tries) -> Saved:
    """An acknowledged save."""
    step = answer.step
    return Saved(
        user_id,
        step.id,
        step.status,
        step.row_version,
        step.updated_at,
        answer.progress,
        answer.finished,
        retries=tries.count,
    )


def one_of_many(one: Mapping[str, Any], step_id: str, status: Status, tries: Tries) -> OneOfMany:
    """One person's outcome in a batch. Raises KeyError, ValueError if members are missing."""
    user_id = str(one["user_id"])
    if one["status"] == 200:
        return OneOfMany(user_id, saved(user_id, StepSaved.model_validate(one), tries))
    refused = refusal(int(one["status"]), one)
    refused.unsure = tries.unsure
    if isinstance(refused, Conflict) and (done := already_done(refused, user_id, step_id, status, tries)):
        return OneOfMany(user_id, done)
    return OneOfMany(user_id, refusal=refused)


def read_step(connection: Connection, tries: Tries, user_id: str, step_id: str) -> Step:
    """A person's current step. Raises NotFound, Withdrawn."""
    return connection.ask(tries, Step, Request("GET", address(STEPS, step_id), {"user_id": user_id}, harmless=True))


def address(*parts: str) -> str:
    """A path of a fixed beginning and ids, which may contain any character."""
    return "/".join((parts[0], *(quote(part, safe="") for part in parts[1:])))
