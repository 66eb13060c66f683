"""The history of a step: its versions and its releases, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import BeforeValidator, Field

from dashboard.api.messages import CamelAnswer, Query, Written, digits, reply
from dashboard.api.openapi import NO_STEP, Refusals, wrong
from dashboard.api.progress import StepPath
from dashboard.api.receipts import StoredReceipt
from dashboard.api.releases import TAG
from dashboard.api.routing import endpoint
from dashboard.database import Session
from dashboard.onboarding import releases, steps
from dashboard.onboarding.carryover import Kind
from dashboard.onboarding.limits import MAX_INTEGER
from dashboard.onboarding.steps import Definition
from dashboard.staff.permissions import Scope

blueprint = APIBlueprint("api_history", __name__, url_prefix="/api/admin/onboarding", abp_tags=[TAG])

Item = TypeVar("Item")


class Page(Query):
    limit: Written = Field(50, ge=1, le=200, description="The most to return.")
    before: Annotated[int, Field(ge=1, le=MAX_INTEGER), BeforeValidator(digits)] | None = Field(
        None, description="Continue at `next` of the previous page."
    )


class StepVersion(CamelAnswer):
    """One version of a step. `live` is what people see, `draft` is not released yet, and the rest is `past`."""

    version: int
    state: Literal["live", "draft", "past"]
    title: str
    description: str
    weight: int
    action_url: str
    based_on: int | None
    edited_at: datetime
    edited_by: str


class StepVersions(CamelAnswer):
    """The versions of a step, newest first. `next` is the `before` of the next page; null: this is the last page."""

    id: str
    versions: list[StepVersion]
    next: int | None


class CarriedOver(CamelAnswer):
    """Which statuses the release kept."""

    done: Literal["keep", "redo"]
    skipped: Literal["keep", "reset"]
    in_progress: Literal["reset", "keep"]


class StepRelease(CamelAnswer):
    """One moment at which a version went live; `version` is null where the step was withdrawn.

    `undoneBy` is the id of the release that undid it. `receipt` is what was counted in its own transaction.
    """

    id: int
    number: int
    kind: Kind
    version: int | None
    released_at: datetime
    by: str
    note: str
    policy: CarriedOver
    reopen_finished: bool
    undone: bool
    undone_by: int | None
    receipt: StoredReceipt | None


class StepReleases(CamelAnswer):
    """The releases of a step, newest first. `next` is the `before` of the next page; null: this is the last page."""

    id: str
    releases: list[StepRelease]
    next: int | None


REFUSALS: Refusals = {404: NO_STEP, 422: wrong("limit", "must be at most 200")}


@endpoint(blueprint.get, "/steps/<step_id>/versions", Scope.STEPS_READ, StepVersions, REFUSALS)
def list_versions(session: Session, path: StepPath, query: Page) -> Response:
    """The versions of a step, including its draft, newest first."""
    found, more = _page(steps.versions(session, path.step_id, before=query.before, limit=query.limit + 1), query)
    following = found[-1].version if more else None
    return reply(StepVersions(id=path.step_id, versions=[_version(one) for one in found], next=following))


@endpoint(blueprint.get, "/steps/<step_id>/releases", Scope.STEPS_READ, StepReleases, REFUSALS)
def list_releases(session: Session, path: StepPath, query: Page) -> Response:
    """The releases of a step with their receipts, newest first."""
    found, more = _page(releases.of_step(session, path.step_id, before=query.before, limit=query.limit + 1), query)
    following = found[-1].number if more else None
    return reply(
        StepReleases(id=path.step_id, releases=[StepRelease(**one.as_json()) for one in found], next=following)
    )


def _page(found: Sequence[Item], query: Page) -> tuple[Sequence[Item], bool]:
    return found[: query.limit], len(found) > query.limit


def _version(one: Definition) -> StepVersion:
    return StepVersion(
        version=one.version,
        state="live" if one.is_active else "draft" if one.state == "draft" else "past",
        **asdict(one.fields),
        based_on=one.based_on,
        edited_at=one.edited_at,
        edited_by=one.edited_by,
    )
