"""The checklist as staff see it, and releases: migrate to a new version, roll back, each also as a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import Field, ValidationInfo, field_validator

from dashboard.api.access import Caller
from dashboard.api.impacts import ImpactReport
from dashboard.api.messages import Answer, CamelAnswer, ExactBody, Id, Whole, optional, reply
from dashboard.api.openapi import NO_STEP, Refusals, Refused, wrong
from dashboard.api.problems import Problem, ReleaseConflict
from dashboard.api.receipts import StoredReceipt
from dashboard.api.routing import endpoint
from dashboard.database import Session
from dashboard.onboarding import releases, steps
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.limits import MAX_COMMENT
from dashboard.onboarding.plans import Planned
from dashboard.onboarding.steps import Definition
from dashboard.staff.permissions import Scope
from dashboard.web.access import settings

TAG = Tag(
    name="Releases",
    description="The checklist as staff see it, and new versions of its steps: preview, release, roll back.",
)

blueprint = APIBlueprint("api_releases", __name__, url_prefix="/api/admin/onboarding", abp_tags=[TAG])

REFUSALS: Refusals = {
    404: NO_STEP,
    409: Refused(ReleaseConflict, "Not possible as planned: nothing was done, and `reasons` says why."),
    410: Problem,
}


# What comes in -------------------------------------------------------------------------------------------------------


class NewStepData(ExactBody):
    """What changes in the new version. Members left out stay the same; `{}`: the same task, reset as `policy` says."""

    title: str = optional("The task's name.", minLength=1, maxLength=200)
    description: str = optional("What to do.", maxLength=5_000)
    weight: int = optional("Points.", minimum=1, maximum=1_000)
    action_url: str = optional("A path, or an http or https address; empty: nowhere.", maxLength=2_000)

    @field_validator("title", "description", "weight", "action_url")
    @classmethod
    def _by_the_rules(cls, value: str | int, info: ValidationInfo) -> str | int:
        """Applies the engine's rule for this member, so that it is reported together with the body's other problems."""
        member = str(info.field_name)
        try:
            steps.check({"title": "any"} | {member: value})
        except Invalid as invalid:
            raise ValueError(invalid.problems[member]) from None
        return value


class CarryOver(ExactBody):
    """Which statuses are kept under the new version. The default is the rule of the original system."""

    done: Literal["keep", "redo"] = "keep"
    skipped: Literal["keep", "reset"] = "keep"
    in_progress: Literal["reset", "keep"] = "reset"

    def policy(self) -> Policy:
        return Policy(self.done == "keep", self.skipped == "keep", self.in_progress == "keep")


class Expectation(ExactBody):
    """What a dry run predicted: the release is refused if the number of people it resets differs by more than that."""

    progress_reset: int = Field(ge=0)
    tolerance: int = Field(0, ge=0)

    def planned(self) -> Planned:
        return Planned(predicted={"reset": self.progress_reset}, tolerance=self.tolerance)


NOTE = Field("", max_length=MAX_COMMENT, description="The reason, for the history. Some installations require it.")


DISCARDS = "Discard someone else's draft; only the activity log keeps its content."


class Migration(ExactBody):
    """A new version of a step, and the release that makes it live."""

    step_id: Id
    from_version: Whole = Field(description="The live version.")
    to_version: Whole = Field(description="The version after the newest one.")
    new_step_data: NewStepData
    dry_run: bool = Field(False, description="Show what it would do, without doing it.")
    policy: CarryOver = CarryOver()
    reopen_finished: bool = Field(False, description="People who fall below 100 percent lose their finished state.")
    note: str = NOTE
    expect: Expectation = optional("Refuse the release if its effect is not what a dry run predicted.")
    discard_draft: bool = Field(False, description=DISCARDS)


class Rollback(ExactBody):
    """Rolls back the newest release of a step that was not rolled back yet."""

    step_id: Id
    from_version: Whole = Field(description="The live version.")
    dry_run: bool = Field(False, description="Show what it would do, without doing it.")
    note: str = NOTE


# What goes out -------------------------------------------------------------------------------------------------------


class Migrated(CamelAnswer):
    """What the release did; after a dry run what it would do, and `releaseId` is null."""

    success: Literal[True] = True
    dry_run: bool
    users_affected: int = Field(description="People who had started the step: progressCopied + progressReset.")
    progress_copied: int
    progress_reset: int
    untouched: int
    impact: ImpactReport
    release_id: int | None
    receipt: StoredReceipt | None


class RolledBack(Migrated):
    """The same for a rollback. `restored` get back what the release reset, `keptLater` keep what they did since."""

    users_affected: int = Field(description="People affected: progressCopied + progressReset + restored.")
    restored: int
    kept_later: int


class Draft(Answer):
    """The unreleased next version of a step."""

    version: int
    row_version: int
    title: str
    description: str
    weight: int
    action_url: str = Field(serialization_alias="actionUrl")
    based_on: int | None = Field(serialization_alias="basedOn")
    edited_at: datetime = Field(serialization_alias="editedAt")
    edited_by: str = Field(serialization_alias="editedBy")


class StepOverview(CamelAnswer):
    """A step of the checklist. `version` is the live one, `release` the number of the one that made it so."""

    id: str
    title: str
    description: str
    weight: int
    action_url: str
    position: int
    version: int | None
    release: int | None
    withdrawn: bool
    draft: Draft | None


class StepsOverview(Answer):
    """The checklist in order, withdrawn and unreleased steps too."""

    steps: list[StepOverview]


# The endpoints -------------------------------------------------------------------------------------------------------


@endpoint(blueprint.get, "/steps", Scope.STEPS_READ, StepsOverview, {})
def list_definitions(session: Session) -> Response:
    """The checklist: what is live, and what is a draft."""
    return reply(StepsOverview(steps=[_overview(step) for step in steps.checklist(session)]))


@endpoint(
    blueprint.post,
    "/migrate-version",
    Scope.STEPS_RELEASE,
    Migrated,
    {**REFUSALS, 422: wrong("newStepData.weight", "must be a whole number from 1 to 1,000")},
)
def migrate_version(session: Session, caller: Caller, body: Migration) -> Response:
    """Release a new version of a step to everyone at once, or preview it.

    All or nothing. Refused if fromVersion is not live, toVersion is not the next, someone else's draft is open, or
    the effect is not what was expected.
    """
    with _named_as_here(), releases.dry_run(session) if body.dry_run else nullcontext():
        outcome = releases.migrate(
            session,
            caller.actor,
            body.step_id,
            body.from_version,
            body.to_version,
            body.new_step_data.model_dump(exclude_unset=True),
            body.policy.policy(),
            reopens_finished=body.reopen_finished,
            note=_reason(body),
            discard_draft=body.discard_draft,
            planned=body.expect.planned() if body.expect else None,
        )
    return reply(Migrated(**outcome.as_json(dry_run=body.dry_run)))


@endpoint(
    blueprint.post,
    "/rollback-version",
    Scope.STEPS_RELEASE,
    RolledBack,
    {**REFUSALS, 422: wrong("fromVersion", "must be a whole number")},
)
def rollback_version(session: Session, caller: Caller, body: Rollback) -> Response:
    """Roll back the newest release: people get back what it reset, unless they did something since.

    All or nothing. Refused if fromVersion is not live, or there is nothing to roll back to.
    """
    with _named_as_here(), releases.dry_run(session) if body.dry_run else nullcontext():
        outcome = releases.roll_back(session, caller.actor, body.step_id, body.from_version, note=_reason(body))
    return reply(RolledBack(**outcome.as_json(dry_run=body.dry_run)))


def _reason(body: Migration | Rollback) -> str:
    """The reason to store. Raises Invalid; a dry run needs none."""
    return releases.reason(body.note, required=settings().reason_required and not body.dry_run)


@contextmanager
def _named_as_here() -> Iterator[None]:
    """Renames the members in the engine's errors to ours."""
    try:
        yield
    except Invalid as invalid:
        ours = {name: f"newStepData.{member}" for name, member in steps.IN_JSON.items()}
        raise Invalid({ours.get(name, name): reason for name, reason in invalid.problems.items()}) from None


def _overview(step: steps.Step) -> StepOverview:
    says = step.latest.fields
    return StepOverview(
        id=step.step_id,
        **asdict(says),
        position=step.position,
        version=step.live.version if step.live else None,
        release=step.release_number,
        withdrawn=step.withdrawn,
        draft=_draft(step.draft) if step.draft else None,
    )


def _draft(draft: Definition) -> Draft:
    return Draft(
        version=draft.version,
        row_version=draft.row_version,
        **asdict(draft.fields),
        based_on=draft.based_on,
        edited_at=draft.edited_at,
        edited_by=draft.edited_by,
    )
