"""Examples for the description: composed from the schemas and, for refusals, from the errors themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from werkzeug.exceptions import (
    BadRequest,
    PreconditionRequired,
    TooManyRequests,
    UnsupportedMediaType,
)

from dashboard.api.access import BEARER, NotAllowed, TokenNeeded
from dashboard.api.problems import Fault, NobodyYet, Problem, tell, tell_conflict
from dashboard.api.vocabulary import (
    ACTION_URL,
    DESCRIPTION,
    MOMENT,
    NEWEST,
    OTHER_USER,
    REQUEST_ID,
    STEP,
    TITLE,
    USER,
    Json,
    known,
)
from dashboard.onboarding import errors
from dashboard.onboarding.history import Change
from dashboard.onboarding.progress import NOT_A_STATUS
from dashboard.onboarding.user_steps import UserStep
from dashboard.staff.permissions import Scope
from dashboard.web.errors import FAULTS

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes examples from schemas. `made_up` collects the members for which no example is given anywhere."""

    schemas: Mapping[str, Schema]
    made_up: list[str] = field(default_factory=list)

    def of(self, schema: Schema, owner: str = "", name: str = "") -> Json:
        """An example of the schema, which belongs to the member `name` of `owner`."""
        if schema.get("examples"):
            return schema["examples"][0]
        if "const" in schema:
            return schema["const"]
        told = known(owner, name)
        if told and told.example is not ... and fits(told.example, schema):
            return told.example
        if "default" in schema:
            return schema["default"]
        if "enum" in schema:
            return schema["enum"][0]
        if "$ref" in schema:
            owner = schema["$ref"].rpartition("/")[2]
            return self.of(self.schemas[owner], owner)
        if "anyOf" in schema:
            return self.of(schema["anyOf"][0], owner, name)
        return self._of_type(schema, owner, name)

    def _of_type(self, schema: Schema, owner: str, name: str) -> Json:
        match schema:
            case {"type": "object", "properties": members}:
                return {member: self.of(one, owner, member) for member, one in members.items()}
            case {"type": "array", "items": items}:
                return [self.of(one, owner, name) for one in items.get("anyOf", [items])]
            case {"type": "string", "format": "date-time"}:
                return f"{MOMENT:%Y-%m-%dT%H:%M:%SZ}"
            case {"type": "boolean"}:
                return False
        self.made_up.append(f"{owner}.{name}")
        return {"string": "text", "integer": 1, "number": 1, "object": {}}.get(str(schema.get("type")))


TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict}


def fits(example: Json, schema: Schema) -> bool:
    """Whether the example has the schema's type: a name may mean something else in another place."""
    if "anyOf" in schema:
        return any(fits(example, one) for one in schema["anyOf"])
    if "$ref" in schema:
        return isinstance(example, dict)
    if schema.get("type") == "null":
        return example is None
    kind = TYPES.get(schema.get("type", ""), object)
    return isinstance(example, kind) and isinstance(example, bool) <= (kind in (bool, object))


# Refusals: the errors themselves, as the API renders them ------------------------------------------------------------


def refusal(schema: str, status: int, scope: Scope) -> Json:
    """The answer of an endpoint that takes `scope`, for a problem of this schema with this status; None if unknown."""
    for told in (*_refusals(), tell(NotAllowed(f"This requires a token with the scope {scope}.", scope))):
        if told is not None and (type(told).__name__, told.status) == (schema, status):
            return told.model_dump(mode="json")
    return None


def of_problem(schema: str) -> Json:
    """An example of a problem of this schema; None if it is not a problem."""
    of_many = {
        "UnknownPerson": NobodyYet("person", OTHER_USER),
        "StaleUpdate": _conflict(),
        "NewerThanThereIs": errors.Invalid({"row_version": f"is {NEWEST + 1}, but the newest is {NEWEST}"}),
    }
    if schema in of_many and (told := tell(of_many[schema])):
        return {"user_id": OTHER_USER, **told.model_dump(mode="json")}
    needed = NotAllowed(f"This requires a token with the scope {Scope.PROGRESS_WRITE}.", Scope.PROGRESS_WRITE)
    found = (told for told in (*_refusals(), tell(needed)) if type(told).__name__ == schema)
    return next((told.model_dump(mode="json") for told in found if told), None)


@cache
def _refusals() -> tuple[Problem | None, ...]:
    return (
        tell(BadRequest("The body is not JSON: Expecting value: line 1 column 12 (char 11).")),
        tell(TokenNeeded("This token is unknown, expired or revoked.", BEARER)),
        tell(errors.NotFound("step", "setup-payment")),
        tell_conflict(_conflict()),
        tell(errors.StalePlan(["Version 1 is not live: version 2 is."])),
        tell(errors.Withdrawn(STEP)),
        tell_conflict(_conflict()).model_copy(update={"status": 412}),
        tell(UnsupportedMediaType("Send application/json, not text/plain.")),
        tell(errors.Invalid({"status": NOT_A_STATUS})),
        tell(PreconditionRequired("Send the row_version you read, in the body or as If-Match.")),
        tell(TooManyRequests("This token can make 6,000 requests a minute. Wait 2 s.")),
        *(
            Fault(title=fault.title, status=fault.status, detail=fault.text, request_id=REQUEST_ID)
            for fault in (FAULTS[500], FAULTS[503])
        ),
    )


def _conflict() -> errors.Conflict:
    """A save from a page opened before a release, and before the person's own later save."""
    step = UserStep(STEP, 5, TITLE, DESCRIPTION, 20, ACTION_URL, 3, "in_progress", NEWEST, MOMENT, f"user:{USER}", None)
    released = MOMENT.replace(day=12, hour=9)
    changes = (
        Change(STEP, 5, released, "staff:maya@demo.example", "release", "web", "in_progress", "todo", ""),
        Change(STEP, NEWEST, MOMENT, f"user:{USER}", "event", "api", "todo", "in_progress", ""),
    )
    return errors.Conflict(4, step, changes)
