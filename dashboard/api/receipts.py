"""The receipts stored by a release's own transaction: described here, and returned as they were stored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dashboard.api.impacts import Changed, Impact, TotalWeight
from dashboard.api.messages import Answer, CamelAnswer, optional
from dashboard.api.vocabulary import RECEIPT
from dashboard.onboarding.carryover import Kind


class KeptStatuses(Answer):
    """Whether each status was kept: true is the `keep` of a release's `policy`, false its `redo` or `reset`."""

    done: bool = Field(description="Whether steps that were done stayed done.")
    skipped: bool = Field(description="Whether skipped steps stayed skipped.")
    in_progress: bool = Field(description="Whether those in progress continued; `inProgress` in `policy`.")


class KeptChange(Changed):
    """A member of the step that the release changed."""

    member: str = Field(description="Which member: title, description, weight, or action_url for `actionUrl`.")


class KeptImpact(Impact):
    """What a release did to everyone."""

    total_weight: TotalWeight = optional("The points of all live steps, before and after; not in older receipts.")


class Counts(CamelAnswer):
    """People, as `impact` and its `moves` have them: affected = copied + reset + restored."""

    affected: int
    copied: int
    reset: int
    restored: int
    kept_later: int
    untouched: int
    up: int = optional("How many go up; not in older receipts, nor are the next three.")
    down: int = optional("How many go down.")
    same: int = optional("How many stay the same.")
    fall_from_100: int = optional("How many fall below 100 percent.")


class Receipt(CamelAnswer):
    """The record of a release: its settings, what was predicted, and what it did."""

    model_config = ConfigDict(json_schema_extra={"examples": [RECEIPT]})

    kind: Kind = Field(description="The kind of release.")
    version: int | None = Field(description="The version that went live; null: the step was withdrawn.")
    from_version: int | None = Field(description="The version that was live before; null: none.")
    policy: KeptStatuses = Field(description="What people keep: the `policy` of the release, as true and false.")
    reopens_finished: bool = Field(description="The `reopenFinished` of the release.")
    changes: list[KeptChange] = Field(description="What changed in the step.")
    predicted: dict[str, int] | None = Field(
        description="The members of `actual` that a preview or `expect` predicted; null: none."
    )
    actual: Counts = Field(description="How many people it affected.")
    drift: dict[str, int] | None = Field(description="`actual` minus `predicted`; null: nothing was predicted.")
    impact: KeptImpact = Field(description="What it did to everyone.")
    invariants: list[str] = Field(description="What was checked before committing, in words; all of it held.")
    milliseconds: float = Field(description="How long releasing and counting took.")


class _DescribedAsReceipt:
    """A stored object passes unchanged, even an older one."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(Receipt).core_schema)


StoredReceipt = Annotated[dict[str, Any], _DescribedAsReceipt()]
