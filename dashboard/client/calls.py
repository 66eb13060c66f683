"""The calls of the API, one method each."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, NotRequired, TypedDict, TypeVar

import httpx
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from dashboard.client import answers
from dashboard.client.answers import Checklist, Definition, Person, Release, Released, Status, Step, Version
from dashboard.client.connection import LACKING, Connection, Request
from dashboard.client.errors import Conflict, NotFound, Unreadable
from dashboard.client.retrying import PASSING, Retry, Tries
from dashboard.client.saving import (
    STEPS,
    Intent,
    OneOfMany,
    Saved,
    Saving,
    address,
    one_of_many,
    read_step,
    unless_finished,
)

A = TypeVar("A", bound=BaseModel)
P = TypeVar("P", bound=answers.Page)

USERS, ADMIN = "/api/onboarding/users", "/api/admin/onboarding"
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@+-]*")
DEFINITIONS = f"{ADMIN}/steps"


class StepData(TypedDict, total=False):
    """What changes in a new version; members left out stay the same."""

    title: str
    description: str
    weight: int
    action_url: str


class CarryOver(TypedDict, total=False):
    """Which statuses still count under a new version. By default done and skipped are kept, in progress is reset."""

    done: Literal["keep", "redo"]
    skipped: Literal["keep", "reset"]
    in_progress: Literal["reset", "keep"]


class Expected(TypedDict):
    """What a dry run predicted: a release that would reset another number of people, beyond the tolerance, is refused."""

    progress_reset: int
    tolerance: NotRequired[int]


class Client:
    """The API of one dashboard, with one token. Thread-safe; close it, or use it in a `with` statement.

    Every call raises ClientError: a Refusal, Unreadable, or GaveUp. `timeout_s` is per request, `retry` per call.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        timeout_s: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(base_url, token, timeout_s, transport)
        self._retry = retry

    def close(self) -> None:
        """Closes the connections."""
        self._connection.http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Progress --------------------------------------------------------------------------------------------------------

    def steps(self, user_id: str) -> Checklist:
        """A person's steps in checklist order. Raises NotFound."""
        return self._get(Checklist, STEPS, {"user_id": user_id})

    def step(self, user_id: str, step_id: str) -> Step:
        """One step of a person. Raises NotFound, Withdrawn."""
        return self._retry.run(lambda tries: read_step(self._connection, tries, user_id, step_id))

    def update_step(
        self,
        user_id: str,
        step_id: str,
        status: Status,
        intent: Intent = unless_finished,
        *,
        row_version: int | None = None,
        create: bool = False,
    ) -> Saved:
        """Gives a step a status: over the `row_version` seen, or over the current one. `create` creates the person.

        After a conflict the step is read again and the intent is called: if True, the call is retried. Raises
        NoLongerWanted, GaveUp with the last conflict, NotFound, Withdrawn, Invalid.
        """
        saving = Saving(self._connection, user_id, step_id, status, row_version, intent, create)
        return self._retry.run(saving, (*PASSING, Conflict))

    def save_step(self, user_id: str, step_id: str, status: Status, row_version: int, *, create: bool = False) -> Saved:
        """Saves over `row_version` only. Raises Conflict, NotFound, Withdrawn, Invalid."""
        return self._retry.run(Saving(self._connection, user_id, step_id, status, row_version, None, create))

    def save_many(self, step_id: str, status: Status, updates: Iterable[tuple[str, int]]) -> list[OneOfMany]:
        """Saves one status for up to 1,000 people, each a (user_id, row_version); each is saved or refused separately.

        Conflicts are not retried. Raises NotFound (the step), Withdrawn, Invalid.
        """
        people = [{"user_id": user_id, "row_version": row_version} for user_id, row_version in updates]
        body = {"status": status, "step_id": step_id, "updates": people}

        def once(tries: Tries) -> list[OneOfMany]:
            batch = self._connection.ask(tries, answers.Batch, Request("PATCH", STEPS, body=body))
            try:
                return [one_of_many(one, step_id, status, tries) for one in batch.results]
            except (KeyError, TypeError, ValueError) as error:
                raise Unreadable(LACKING, unsure=True) from error

        return self._retry.run(once)

    # People ----------------------------------------------------------------------------------------------------------

    def put_user(self, user_id: str, *, name: str = "", email: str = "") -> Person:
        """Creates a person, or replaces their details; their progress stays."""
        body = {"name": name, "email": email}
        return self._call(answers.PersonKept, Request("PUT", address(USERS, packed(user_id)), body=body)).user

    def erase_user(self, user_id: str) -> None:
        """Permanently erases everything stored about a person. Raises NotFound."""
        try:
            self._call(answers.Success, Request("DELETE", address(USERS, packed(user_id))))
        except NotFound as error:
            # erased by an earlier try that got no answer
            if not error.unsure:
                raise

    # Releases --------------------------------------------------------------------------------------------------------

    def definitions(self) -> list[Definition]:
        """The checklist as staff see it, including withdrawn and unreleased steps."""
        return self._get(answers.Definitions, DEFINITIONS).steps

    def versions(self, step_id: str) -> Iterator[Version]:
        """Every version of a step, newest first, fetched as needed. Raises NotFound."""
        for page in self._pages(answers.Versions, f"{address(DEFINITIONS, step_id)}/versions"):
            yield from page.versions

    def releases(self, step_id: str) -> Iterator[Release]:
        """Every release of a step, newest first, fetched as needed. Raises NotFound."""
        for page in self._pages(answers.Releases, f"{address(DEFINITIONS, step_id)}/releases"):
            yield from page.releases

    def migrate(
        self,
        step_id: str,
        from_version: int,
        to_version: int,
        data: StepData,
        *,
        dry_run: bool = False,
        policy: CarryOver | None = None,
        reopen_finished: bool = False,
        note: str = "",
        expect: Expected | None = None,
        discard_draft: bool = False,
    ) -> Released:
        """Makes a new version live for everyone at once or, with `dry_run`, reports what that would do.

        Raises ReleaseConflict: if it is `unsure`, check `releases` before anything else. Also NotFound, Withdrawn,
        Invalid.
        """
        body = {
            "stepId": step_id,
            "fromVersion": from_version,
            "toVersion": to_version,
            "newStepData": _camel(data),
            "dryRun": dry_run,
            "reopenFinished": reopen_finished,
            "note": note,
            "discardDraft": discard_draft,
        }
        if policy is not None:
            body["policy"] = _camel(policy)
        if expect is not None:
            body["expect"] = _camel(expect)
        return self._release(f"{ADMIN}/migrate-version", body)

    def rollback(self, step_id: str, from_version: int, *, dry_run: bool = False, note: str = "") -> Released:
        """Undoes the newest release or, with `dry_run`, reports what that would do. Raises as `migrate`."""
        body = {"stepId": step_id, "fromVersion": from_version, "dryRun": dry_run, "note": note}
        return self._release(f"{ADMIN}/rollback-version", body)

    def _release(self, path: str, body: Mapping[str, Any]) -> Released:
        # safe to retry: it names the version that was live, so a second rollback is refused
        return self._call(Released, Request("POST", path, body=body, harmless=body["dryRun"]))

    # -----------------------------------------------------------------------------------------------------------------

    def _get(self, kind: type[A], path: str, params: Mapping[str, str] | None = None) -> A:
        return self._call(kind, Request("GET", path, params, harmless=True))

    def _pages(self, kind: type[P], path: str) -> Iterator[P]:
        page = self._get(kind, path)
        yield page
        while page.next is not None:
            page = self._get(kind, path, {"before": str(page.next)})
            yield page

    def _call(self, kind: type[A], request: Request) -> A:
        return self._retry.run(lambda tries: self._connection.ask(tries, kind, request))


def packed(user_id: str) -> str:
    """The id as written in an address: what may get lost (slashes, dots, line ends) becomes ~ and base64url."""
    if PLAIN.fullmatch(user_id):
        return user_id
    return "~" + urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def _camel(members: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in members.items()}
