"""The basis of all messages of the API: strict requests, and answers with the names that existing clients know."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dashboard.onboarding.carryover import STATUSES
from dashboard.onboarding.limits import MAX_KEY, text_problem
from dashboard.onboarding.progress import NEWEST_TO_SAVE_OVER, NOT_A_STATUS


def kept(value: str) -> str:
    """The text, if the database can store it. Raises ValueError."""
    if reason := text_problem(value, len(value)):
        raise ValueError(reason)
    return value


Id = Annotated[str, Field(min_length=1, max_length=MAX_KEY), AfterValidator(kept)]


def status(value: str) -> str:
    """The status, if it exists. Raises ValueError."""
    if value not in STATUSES:
        raise ValueError(NOT_A_STATUS)
    return value


Wanted = Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)}), AfterValidator(status)]
Seen = Annotated[int, Field(ge=1, le=NEWEST_TO_SAVE_OVER)]
Whole = Annotated[int, Field(ge=1)]


def digits(value: object) -> object:
    """Accepts whole numbers in addresses and headers; int() would take more, such as 1_0. Raises ValueError."""
    if isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdigit()):
        raise ValueError("must be a whole number")
    return value


Written = Annotated[int, BeforeValidator(digits)]


def optional(description: str, **rules: Any) -> Any:
    """A member that may be left out but not null. `rules` are only described here, and enforced elsewhere."""

    def describe(schema: dict[str, Any]) -> None:
        schema.pop("default", None)
        schema.update(rules)

    return Field(default=None, description=description, json_schema_extra=describe)


class Query(BaseModel):
    """Parameters of the address, where everything is text."""


class ExactQuery(Query):
    """The parameters of a write: an unknown one is refused by name, for a `?dryRun=true` would not be heeded."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """A JSON object whose numbers are numbers and whose texts are texts.

    Members that nobody knows are passed over: clients of the original system send some, and none changes a save.
    """

    model_config = ConfigDict(strict=True)


class ExactBody(BaseModel):
    """A JSON object in mixed case in which an unknown member is refused by name: a misspelt `dryRun` would be a release."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)


class Answer(BaseModel):
    """A JSON object that goes out, with the names of the original."""

    # every member is always present
    model_config = ConfigDict(serialize_by_alias=True, json_schema_serialization_defaults_required=True)


class CamelAnswer(BaseModel):
    """The same, in mixed case throughout; made from names in either case."""

    model_config = ConfigDict(
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
        alias_generator=to_camel,
        validate_by_name=True,
    )


def reply(answer: BaseModel, status: int = 200, *, row_version: int | None = None) -> Response:
    """The answer as a response; `row_version` becomes its ETag."""
    response = Response(answer.model_dump_json(), status, mimetype="application/json")
    if row_version is not None:
        response.set_etag(str(row_version))
    return response
