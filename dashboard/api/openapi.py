"""The description of the API, OpenAPI 3.1, assembled from the endpoints themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

from flask import Flask, Response, jsonify
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models import OPENAPI3_REF_PREFIX, OPENAPI3_REF_TEMPLATE
from flask_openapi.models.info import Info
from flask_openapi.models.schema import Schema
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.models.server import Server
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from dashboard.api.examples import Composer, of_problem, refusal
from dashboard.api.problems import REPEAT, Fault, MemberProblem, NotAllowedProblem, Problem, Unprocessable, tell
from dashboard.api.reading import MAX_BODY_BYTES
from dashboard.api.vocabulary import REQUEST_ID, known
from dashboard.onboarding import errors
from dashboard.staff.permissions import OF_A_USER, Public, Scope, declare

Document = dict[str, Any]

ADDRESS, PAGE = "/api/openapi.json", "/api/docs"
JSON, PROBLEM = "application/json", "application/problem+json"
TOKEN, USER_TOKEN = "token", "userToken"
ABOUT = """\
Progress of the people on an onboarding checklist, and releases of its steps.

Every refusal is a problem document (RFC 9457) that also has the members `error` and `message`, even that of an unknown \
address (404) or method (405, with `Allow`).
A save names the `row_version` it was based on, in the body or as `If-Match`; a stale one is refused with what changed since."""

SCHEMES: dict[str, SecurityScheme | dict[str, Any]] = {
    TOKEN: SecurityScheme(
        type="http",
        scheme="bearer",
        bearerFormat="obd_...",
        description="An API token of the host product's backend, which begins with `obd_`. It has scopes, and names the "
        "user with `user_id`. Create one in the settings, or with `dashboard token create`.",
    ),
    USER_TOKEN: SecurityScheme(
        type="http",
        scheme="bearer",
        bearerFormat="JWT",
        description="A JSON Web Token that the host product has signed for one of its users: `sub` is their id, and `exp` "
        "is required. It can read and save the progress of that user only, and works only where a key is "
        "configured (USER_TOKEN_KEY).",
    ),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal of an endpoint where the words, or the example, of its status do not fit."""

    model: type[Problem]
    means: str = ""
    example: Exception | Problem | None = None


Refusals = Mapping[int, type[Problem] | Refused]

EVERY_ENDPOINT: Refusals = {
    400: Refused(
        Problem,
        "The request cannot be read: broken UTF-8, a repeated parameter.",
        BadRequest("The request is not valid UTF-8."),
    ),
    401: Problem,
    403: NotAllowedProblem,
    429: Problem,
    500: Fault,
    503: Fault,
}
WITH_A_BODY: Refusals = {400: Problem, 415: Problem}
MEANS: Mapping[int, str] = {
    400: "The request cannot be read: broken JSON, a repeated parameter, two users named at once.",
    401: "The token is missing, unknown, expired or revoked.",
    403: "The token does not allow this: it lacks the scope, or is another user's.",
    404: "There is no such address, or the id in it cannot be decoded.",
    409: "It changed since it was read: nothing was done, and the answer says what changed.",
    410: "The step was withdrawn.",
    412: "As 409, if the row_version was sent as `If-Match`.",
    413: "The body is too large.",
    415: "The body is not `application/json`.",
    422: "The request can be read, but some of its members break a rule; `errors` names each.",
    428: "Neither `row_version` nor `If-Match` says what the save is based on.",
    429: "The rate limit is used up.",
    500: "Our fault. Nothing was partly done; `request_id` finds it in the log.",
    503: f"The database cannot be reached, is read-only or too busy, or the connection was lost. {REPEAT}",
}
"""The meaning of the refusals, by status."""
NO_STEP = Refused(Problem, "There is no such step.")
NO_PERSON = Refused(Problem, "There is no such person.", errors.NotFound("person", "usr_7f3k2"))
NO_STEP_OR_PERSON = Refused(Problem, "There is no such step or person.")


def wrong(member: str, reason: str) -> Refused:
    """422, with a member of this endpoint as the example."""
    return Refused(Unprocessable, example=errors.Invalid({member: reason}))


@dataclass(frozen=True, slots=True)
class Header:
    """A header of answers. Those that are not `always` sent are sent where they mean something."""

    description: str
    example: str | int
    pattern: str = ""
    always: bool = False

    def described(self) -> Document:
        """The header object of OpenAPI."""
        kind: Document = {"type": "integer", "minimum": 0} if isinstance(self.example, int) else {"type": "string"}
        schema = kind | ({"pattern": self.pattern} if self.pattern else {})
        return {"description": self.description, "required": self.always, "schema": schema, "example": self.example}


HEADERS: Mapping[str, Header] = {
    "X-Request-ID": Header(
        "The id of the request, as in the log. One sent with the request (8 to 64 letters, digits, `.`, `_`, `-`) "
        "is kept.",
        REQUEST_ID,
        "^[A-Za-z0-9._-]{8,64}$",
        always=True,
    ),
    "RateLimit-Limit": Header(
        "Requests a minute allowed for this token or user; a batch is one. This and the next two are absent without a "
        "limit, and if a request is refused before its token is checked.",
        6000,
    ),
    "RateLimit-Remaining": Header("How many requests are left now.", 5999),
    "RateLimit-Reset": Header("Seconds until all of them are available again.", 1),
    "Retry-After": Header("Seconds to wait before sending the request again.", 2),
    "ETag": Header("The row_version in quotes, for `If-Match`.", '"6"', '^"[0-9]+"$'),
    "WWW-Authenticate": Header("How to authenticate, and the missing scope.", 'Bearer realm="onboarding"'),
}
COUNTED = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
OF_A_STATUS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    403: (*COUNTED, "WWW-Authenticate"),
    429: (*COUNTED, "Retry-After"),
    503: ("Retry-After",),
}

_schemas: dict[str, Schema] = {}


# The description of an endpoint --------------------------------------------------------------------------------------


def security(scope: Scope, *, backend_only: bool) -> list[dict[str, list[str]]]:
    """The tokens that the endpoint takes: one of these."""
    for_a_backend = {TOKEN: [scope.value]}
    return [for_a_backend] if backend_only or scope not in OF_A_USER else [for_a_backend, {USER_TOKEN: []}]


def takes(scope: Scope, *, backend_only: bool) -> str:
    """The same in a sentence."""
    is_for_users = len(security(scope, backend_only=backend_only)) > 1
    return f"Takes an API token with the scope `{scope}`{', or a user token' if is_for_users else ''}."


def responses(
    answer: type[BaseModel],
    refusals: Refusals,
    *,
    wanted: Mapping[str, type[BaseModel]],
    tagged: bool,
    creates: bool,
) -> dict[int, dict[str, Any]]:
    """Every answer that the endpoint may give, by status; `wanted` are the parts that it reads of its request."""
    etag = ("ETag",) if tagged else ()
    good = {
        status: _response(status, JSON, answer, (*COUNTED, *etag)) for status in ((200, 201) if creates else (200,))
    }
    problems = {
        **EVERY_ENDPOINT,
        **({422: Unprocessable} if wanted else {}),
        **_of_a_body(wanted.get("body")),
        **refusals,
    }
    return good | {status: _refusal(status, one) for status, one in sorted(problems.items())}


def _of_a_body(model: type[BaseModel] | None) -> Refusals:
    if model is None:
        return {}
    most = getattr(model, "max_bytes", MAX_BODY_BYTES)
    means = f"The body is larger than {most // 1024} KiB."
    return {
        **WITH_A_BODY,
        413: Refused(Problem, means, RequestEntityTooLarge(f"The body is limited to {most:,} bytes.")),
    }


def _refusal(status: int, refused: type[Problem] | Refused) -> dict[str, Any]:
    one = refused if isinstance(refused, Refused) else Refused(refused)
    response = _response(status, PROBLEM, one.model, OF_A_STATUS.get(status, COUNTED))
    if one.means:
        response["description"] = one.means
    told = tell(one.example) if isinstance(one.example, Exception) else one.example
    if told:
        response["content"][PROBLEM]["example"] = told.model_dump(mode="json")
    return response


def _response(status: int, media: str, model: type[BaseModel], headers: Sequence[str]) -> dict[str, Any]:
    return {
        "description": MEANS.get(status) or _meaning(model) or HTTPStatus(status).phrase,
        "content": {media: {"schema": {"$ref": _reference(model)}}},
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *headers)},
    }


def _meaning(model: type[BaseModel]) -> str:
    return " ".join(cleandoc(model.__doc__ or "").partition("\n\n")[0].split())


def _reference(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization", ref_template=OPENAPI3_REF_TEMPLATE)
    for name, nested in schema.pop("$defs", {}).items():
        _schemas[name] = Schema(**nested)
    _schemas[model.__name__] = Schema(**schema)
    return f"{OPENAPI3_REF_PREFIX}/{model.__name__}"


# The document --------------------------------------------------------------------------------------------------------


def serve_description(app: Flask, blueprints: Sequence[APIBlueprint]) -> None:
    """Serves the description of the blueprints."""

    def openapi() -> Response:
        return jsonify(describe(tuple(blueprints)))

    declare(openapi, Public("describes the API, and holds no data"))
    app.add_url_rule(ADDRESS, view_func=openapi)


@cache
def describe(blueprints: tuple[APIBlueprint, ...]) -> Document:
    """The whole document. Takes a tenth of a second once, so it is not built at start-up."""
    # a separate app that serves nobody: ours is a plain Flask app, and pages do not belong in this document
    collector = OpenAPI(
        __name__,
        info=Info(title="The onboarding dashboard", version="1.0.0", description=ABOUT),
        servers=[Server(url="/", description="This installation")],
        external_docs={"url": PAGE, "description": "The same as a web page"},
        security_schemes=SCHEMES,
        validation_error_model=MemberProblem,
        # one that every endpoint has: the library would add its own 422 where ours has none
        validation_error_status=500,
        doc_ui=False,
    )
    collector.openapi_version = "3.1.0"
    for blueprint in blueprints:
        collector.register_api(blueprint)
    collector.components_schemas.update(_schemas)
    document: Document = _tidy(collector.api_doc)
    document["components"]["headers"] = {name: header.described() for name, header in HEADERS.items()}
    composer = Composer(document["components"]["schemas"])
    for name, schema in document["components"]["schemas"].items():
        _put_in_words(name, schema)
    # its own, so that no example depends on who requests the description first
    with collector.app_context():
        for name, schema in document["components"]["schemas"].items():
            if told := of_problem(name):
                schema["examples"] = [told]
        for _, _, operation in operations(document):
            _exemplify(operation, composer)
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method and operation, in the order of the document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _put_in_words(owner: str, schema: Document) -> None:
    for name, member in schema.get("properties", {}).items():
        if "description" not in member and (told := known(owner, name)) and told.means:
            member["description"] = told.means


def _exemplify(operation: Document, composer: Composer) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
        if told := known("", parameter["name"]):
            parameter.setdefault("description", told.means)
        parameter["example"] = composer.of(parameter["schema"], name=parameter["name"])
    for media in operation.get("requestBody", {}).get("content", {}).values():
        media["example"] = composer.of(media["schema"])
    scope = Scope(operation["security"][0][TOKEN][0])
    for status, response in operation["responses"].items():
        for media in response["content"].values():
            name = media["schema"]["$ref"].rpartition("/")[2]
            told = media.get("example") or refusal(name, int(status), scope)
            media["example"] = composer.of(media["schema"]) if told is None else told


def _without_null(schema: Document) -> Document:
    """The schema of a parameter, which is text if it is present at all."""
    told = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return schema if len(told) != 1 else {name: one for name, one in schema.items() if name != "anyOf"} | told[0]


def _tidy(node: Any, *, is_schema: bool = True) -> Any:
    """Schemas without titles that only repeat a member's name, and with integers where the library made floats."""
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if isinstance(node, list):
        return [_tidy(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: one if name in ("example", "examples", "default", "info") else _tidy(one, is_schema=name != "properties")
        for name, one in node.items()
        if not (is_schema and name == "title")
    }
