"""The description of the API: valid, whole, and true of what the endpoints really answer."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from schemathesis.specs.openapi.definitions import OPENAPI_31
from sqlalchemy.orm import Session

from dashboard.api.openapi import ADDRESS
from dashboard.staff.permissions import Scope, declared
from tests.api.conftest import Caller
from tests.api.test_ladder import ENDPOINTS, Endpoint, every_endpoint

Document = dict[str, Any]


@pytest.fixture
def document(app: Flask) -> Document:
    answer = app.test_client().get(ADDRESS)
    assert answer.status_code == 200
    found: Document = answer.json
    return found


def described_as(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def operation(document: Document, endpoint: Endpoint) -> Document:
    found: Document = document["paths"][described_as(endpoint.rule)][endpoint.method.lower()]
    return found


def test_it_is_valid(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    jsonschema_rs.validate(OPENAPI_31, document)


def test_every_reference_leads_somewhere(document: Document) -> None:
    names = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))
    assert names <= set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_it_has_every_route_with_its_scope(app: Flask, document: Document) -> None:
    served = {
        (described_as(rule.rule), method.lower(), str(declared(app.view_functions[rule.endpoint])))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and isinstance(declared(app.view_functions[rule.endpoint]), Scope)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method, operation["security"][0]["token"][0])
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert described == served


def test_every_api_route_declares_a_need(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/")]
    assert rules
    assert [rule.rule for rule in rules if declared(app.view_functions[rule.endpoint]) is None] == []


@every_endpoint
def test_answers_are_as_described(endpoint: Endpoint, api: Caller, world: Session, document: Document) -> None:
    requests = [(endpoint.path, endpoint.body), *endpoint.missing, *((path, body) for path, body, _ in endpoint.wrong)]
    for path, body in requests:
        answer = api(endpoint.method, path, body)
        described = operation(document, endpoint)["responses"][str(answer.status_code)]
        schema = described["content"][answer.mimetype]["schema"]
        jsonschema_rs.validate({**schema, "components": document["components"]}, answer.json)


def test_every_endpoint_says_what_it_does(document: Document) -> None:
    for endpoint in ENDPOINTS:
        found = operation(document, endpoint)
        assert found["summary"].endswith(".")
        assert "<br" not in found.get("description", "")
