"""The description of the API, OpenAPI 3.1, put together from the endpoints themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models import OPENAPI3_REF_PREFIX, OPENAPI3_REF_TEMPLATE
from flask_openapi.models.info import Info
from flask_openapi.models.schema import Schema
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel

from dashboard.api.problems import Fault, MemberProblem, NotAllowedProblem, Problem, Unprocessable
from dashboard.staff.permissions import Public, Scope, declare

ADDRESS = "/api/openapi.json"
JSON, PROBLEM = "application/json", "application/problem+json"
TOKEN = "token"  # noqa: S105 - the name of the scheme
ABOUT = """\
Progress of the people who go through an onboarding checklist, and releases of its steps.

Every refusal is a problem document (RFC 9457) that also has the members `error` and `message`.
A save names the `row_version` it was based on, in the body or as `If-Match`; a stale one is refused with what changed since."""

EVERY_ENDPOINT: dict[int, type[Problem]] = {
    400: Problem,
    401: Problem,
    403: NotAllowedProblem,
    422: Unprocessable,
    429: Problem,
    500: Fault,
    503: Fault,
}
WITH_A_BODY: dict[int, type[Problem]] = {413: Problem, 415: Problem}
RETRY_AFTER = {"Retry-After": "Seconds to wait."}
HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "How to authenticate."},
    403: {"WWW-Authenticate": "The scope that is needed."},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}

_schemas: dict[str, Schema] = {}


def security(scope: Scope) -> list[dict[str, list[str]]]:
    """What the endpoint asks of a token."""
    return [{TOKEN: [scope.value]}]


def responses(
    answer: type[BaseModel], refusals: Mapping[int, type[Problem]], *, has_body: bool, tagged: bool, creates: bool
) -> dict[int, dict[str, Any]]:
    """Every answer that the endpoint may give, by status."""
    etag = {"ETag": "The row_version, as If-Match takes it."} if tagged else {}
    good = {status: _response(status, JSON, answer, etag) for status in ((200, 201) if creates else (200,))}
    problems = sorted((EVERY_ENDPOINT | (WITH_A_BODY if has_body else {}) | dict(refusals)).items())
    return good | {status: _response(status, PROBLEM, model, HEADERS.get(status, {})) for status, model in problems}


def _response(status: int, media: str, model: type[BaseModel], headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {media: {"schema": {"$ref": _reference(model)}}},
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
        or None,
    }


def _reference(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization", ref_template=OPENAPI3_REF_TEMPLATE)
    for name, nested in schema.pop("$defs", {}).items():
        _schemas[name] = Schema(**nested)
    _schemas[model.__name__] = Schema(**schema)
    return f"{OPENAPI3_REF_PREFIX}/{model.__name__}"


def serve_description(app: Flask, blueprints: Sequence[APIBlueprint]) -> None:
    """Serves the description of the blueprints."""

    def openapi() -> Response:
        return jsonify(describe(tuple(blueprints)))

    declare(openapi, Public("describes the API, and holds no data"))
    app.add_url_rule(ADDRESS, view_func=openapi)


@cache
def describe(blueprints: tuple[APIBlueprint, ...]) -> dict[str, Any]:
    """The whole document. Costs a tenth of a second once, so nobody waits for it at start-up."""
    # an app of its own, which serves nobody: ours is a plain Flask app, and pages are no business of this document
    collector = OpenAPI(
        __name__,
        info=Info(title="The onboarding dashboard", version="1.0.0", description=ABOUT),
        security_schemes={TOKEN: SecurityScheme(type="http", scheme="bearer", description="An API token.")},
        validation_error_model=MemberProblem,
        doc_ui=False,
    )
    collector.openapi_version = "3.1.0"
    for blueprint in blueprints:
        collector.register_api(blueprint)
    collector.components_schemas.update(_schemas)
    document: dict[str, Any] = collector.api_doc
    return document
