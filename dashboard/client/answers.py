"""The answers of the API. Unknown members are ignored, so that a newer server can be used too."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Status = Literal["done", "skipped", "in_progress", "todo"]
"""What may be saved. In answers, a status is any text: a newer server may have more of them."""


def _either(name: str) -> AliasChoices:
    return AliasChoices(name, to_camel(name))


class Answer(BaseModel):
    """A received JSON object; the API writes some members in camel case and some not."""

    model_config = ConfigDict(frozen=True, alias_generator=AliasGenerator(validation_alias=_either))


class Step(Answer):
    """A person's step. `updated_at` is when it was last saved or reset; None: never."""

    id: str
    title: str
    description: str
    weight: int
    action_url: str
    version: int
    status: str
    row_version: int
    updated_at: datetime | None

    @property
    def etag(self) -> str:
        """The row_version in the form for If-Match, to pass on to a browser."""
        return f'"{self.row_version}"'


class Checklist(Answer):
    """A person's steps in checklist order, and their progress in percent."""

    user_id: str
    progress: int
    finished: bool
    steps: list[Step]


class StepSaved(Answer):
    """The answer to a save."""

    step: SavedStep
    progress: int
    finished: bool | None = None


class SavedStep(Answer):
    """The row as it is now."""

    id: str
    status: str
    row_version: int
    updated_at: datetime


class Batch(Answer):
    """The answer to a save for many. Each result is the answer that a save of its own would get, with its status."""

    results: list[dict[str, Any]]


class State(Answer):
    """The state of a person's step."""

    status: str
    row_version: int


class Change(Answer):
    """The origin of one row_version: `kind` is event (a save) or release.

    Or `unseen`: the step had moved on when it was read again after a conflict; shows from where to where, without an
    actor.
    """

    row_version: int
    at: datetime | None
    by: str
    kind: str
    from_status: str = Field(alias="from")
    to_status: str = Field(alias="to")


class Person(Answer):
    """A person going through the checklist, and their progress in percent."""

    user_id: str
    name: str
    email: str
    created_at: datetime
    progress: int
    finished: bool


class PersonKept(Answer):
    """The answer to creating or replacing a person."""

    user: Person


class Success(Answer):
    """Done; nothing more to report."""

    success: bool


class Says(Answer):
    """The content of a version of a step; `action_url` may be empty."""

    title: str
    description: str
    weight: int
    action_url: str


class Draft(Says):
    """The unreleased next version of a step."""

    version: int
    row_version: int
    based_on: int | None = None
    edited_at: datetime | None = None
    edited_by: str | None = None


class Definition(Says):
    """A step of the checklist as staff see it. `version` is the live one, `release` the number of its release."""

    id: str
    position: int
    version: int | None
    release: int | None
    withdrawn: bool
    draft: Draft | None


class Definitions(Answer):
    """The checklist in order."""

    steps: list[Definition]


class Page(Answer):
    """Part of a list; `next` is where to continue, None at the end."""

    next: int | None


class Version(Says):
    """One version of a step; `state` is live, draft or past."""

    version: int
    state: str
    based_on: int | None
    edited_at: datetime
    edited_by: str


class Versions(Page):
    """Newest first."""

    versions: list[Version]


class Release(Answer):
    """The moment at which a version of a step went live or (`version` None) the step was withdrawn.

    `policy` says for each status whether it was kept; `undone_by` is the id of the release that undid this one.
    """

    id: int
    number: int
    kind: str
    version: int | None
    released_at: datetime
    by: str
    note: str
    policy: dict[str, str]
    reopen_finished: bool
    undone_by: int | None
    receipt: dict[str, Any] | None


class Releases(Page):
    """Newest first."""

    releases: list[Release]


class Released(Answer):
    """What a release or a rollback did, in people; after a dry run, what it would do, with `release_id` None.

    `restored` and `kept_later` are a rollback's. `impact` and `receipt` are as the API describes them.
    """

    dry_run: bool
    users_affected: int
    progress_copied: int
    progress_reset: int
    untouched: int
    restored: int | None = None
    kept_later: int | None = None
    release_id: int | None
    impact: dict[str, Any]
    receipt: dict[str, Any] | None
