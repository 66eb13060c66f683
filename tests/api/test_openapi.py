"""The description of the API: valid, whole, and true of what the endpoints really answer."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any

import jsonschema_rs
import jwt
import pytest
from flask import Flask
from schemathesis.specs.openapi.definitions import OPENAPI_31
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.api.examples import Composer
from dashboard.api.openapi import ADDRESS, HEADERS, JSON, PROBLEM, USER_TOKEN, operations
from dashboard.api.vocabulary import MEMBERS, RELEASED, STEP, USER
from dashboard.config import Settings
from dashboard.staff.permissions import ByToken, Scope, declared
from tests import factories
from tests.api.conftest import Caller
from tests.api.test_ladder import ADMIN, MIGRATE, PROGRESS, Endpoint, every_endpoint

Document = dict[str, Any]

KEY = "the host's key, which only tests know"


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
        (described_as(rule.rule), method.lower(), need)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and isinstance(need := declared(app.view_functions[rule.endpoint]), ByToken)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method, ByToken(Scope(operation["security"][0]["token"][0]), len(operation["security"]) > 1))
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


@every_endpoint
def test_its_refusals_are_its_own(endpoint: Endpoint, api: Caller, world: Session, document: Document) -> None:
    told = operation(document, endpoint)
    refusals = {
        int(status): (one["description"], one["content"][PROBLEM]["example"])
        for status, one in told["responses"].items()
        if PROBLEM in one["content"]
    }
    body = told["requestBody"]["content"][JSON]["schema"]["$ref"].rpartition("/")[2] if endpoint.body else ""
    taken = {one["name"] for one in told.get("parameters", ())}
    if body:
        taken |= set(document["components"]["schemas"][body]["properties"])
        assert f"{endpoint.max_bytes:,} bytes" in refusals[413][1]["detail"]
    else:
        assert "JSON" not in refusals[400][0] + refusals[400][1]["detail"]
    assert (422 in refusals) == bool(taken)
    if taken:
        assert {one["member"].partition(".")[0] for one in refusals[422][1]["errors"]} <= taken
    for path, missing in endpoint.missing:
        (what,) = re.findall(r"^There is no (\w+)", api(endpoint.method, path, missing).json["detail"])
        assert what in refusals[404][0]
        assert what != "version"
    if endpoint.missing:
        assert re.findall(r"^There is no (\w+)", refusals[404][1]["detail"])[0] in refusals[404][0]
    elif 404 in refusals:
        assert api(endpoint.method, f"{PROGRESS}/users/~bWVs=", {}).json == refusals[404][1]


TRIED: dict[str, list[Any]] = {
    "integer": [-1, 0, 1, 200, 201, 2**31 - 1, 2**31, 10**30],
    "boolean": [True, False, "perhaps"],
    "string": ["", "x", "x" * 200, "x" * 201, '"1"', '"0"', '"01"', "1", "*", 'W/"1"', '"1", "2"'],
}


@every_endpoint
def test_a_parameter_is_refused_just_where_its_schema_says_so(
    endpoint: Endpoint, api: Caller, world: Session, document: Document
) -> None:
    for one in operation(document, endpoint).get("parameters", ()):
        for value in TRIED[one["schema"]["type"]] if one["in"] != "path" else []:
            sent = json.dumps(value) if isinstance(value, bool) else str(value)
            given = {"headers" if one["in"] == "header" else "query_string": {one["name"]: sent}}
            answer = api(endpoint.method, endpoint.path.partition("?")[0], endpoint.body, **given)
            # 400: it is not what the body says
            if answer.status_code != 400:
                refused = {error["member"] for error in answer.json.get("errors", [])}
                assert (one["name"] in refused) != holds(document, one["schema"], value), (one["name"], value)


def test_the_results_of_a_batch_are_told_apart_by_their_status(document: Document) -> None:
    schemas = document["components"]["schemas"]
    results = schemas["BatchSaved"]["properties"]["results"]["items"]["anyOf"]
    variants = [schemas[one["$ref"].rpartition("/")[2]] for one in results]
    assert sorted(one["properties"]["status"]["const"] for one in variants) == [200, 404, 409, 422]
    for one in variants:
        assert {"user_id", "status"} <= set(one["required"])
        assert one["properties"]["status"]["description"].startswith("The HTTP status of this one save.")


@pytest.mark.parametrize("name", ["Migrated", "RolledBack"])
def test_those_affected_are_the_sum_that_is_told(name: str, document: Document) -> None:
    members = document["components"]["schemas"][name]["properties"]
    told = members["usersAffected"]["description"].rstrip(".").partition(": ")[2].split(" + ")
    example = Composer(document["components"]["schemas"]).of({"$ref": f"#/components/schemas/{name}"})
    assert ("restored" in told) == ("restored" in members)
    assert example["usersAffected"] == sum(example[one] for one in told)


def test_what_is_said_of_a_body_is_the_rule(document: Document, api: Caller, world: Session) -> None:
    schemas = document["components"]["schemas"]
    said = schemas["NewStepData"]["properties"]
    assert [said[name]["maxLength"] for name in ("title", "description", "actionUrl")] == [200, 5_000, 2_000]
    assert (said["weight"]["minimum"], said["weight"]["maximum"]) == (1, 1_000)
    assert schemas["Migration"]["properties"]["note"]["maxLength"] == 2_000
    assert schemas["StatusChange"]["properties"]["row_version"]["maximum"] == 2_100_000_000
    assert schemas["OneUpdate"]["properties"]["row_version"]["maximum"] == 2_100_000_000
    most = {
        "newStepData": {
            "title": "x" * 200,
            "description": "x" * 5_000,
            "weight": 1_000,
            "actionUrl": "/" + "x" * 1_999,
        },
        "note": "x" * 2_000,
    }
    answer = api("POST", f"{ADMIN}/migrate-version", {**MIGRATE, **most, "dryRun": True})
    assert answer.status_code == 200, answer.text


def test_that_unknown_members_of_a_save_are_ignored_is_said(document: Document) -> None:
    assert "Unknown members are ignored" in document["components"]["schemas"]["StatusChange"]["description"]
    save = document["paths"]["/api/onboarding/steps/{step_id}"]["patch"]
    assert "Unknown members of the body are ignored" in save["description"]


def test_headers_that_are_not_always_there_are_not_promised(document: Document, api: Caller) -> None:
    broken = api("GET", f"{PROGRESS}/steps?user_id=%00")
    assert broken.status_code == 400
    assert not [name for name, _ in broken.headers if name.startswith("RateLimit")]
    told = document["components"]["headers"]["RateLimit-Limit"]
    assert not told["required"]
    assert "refused before its token is checked" in told["description"]


# Words and examples --------------------------------------------------------------------------------------------------


def holds(document: Document, schema: Document, value: Any) -> bool:
    validator = jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)
    return bool(validator.is_valid(value))


def test_every_operation_says_what_it_does(document: Document) -> None:
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"].endswith("."), where
        assert operation["description"].endswith("."), where
        assert "<br" not in operation["description"], where
        for response in operation["responses"].values():
            assert response["description"].endswith("."), where
            assert "X-Request-ID" in response["headers"], where
            assert {one["$ref"].rpartition("/")[2] for one in response["headers"].values()} <= set(HEADERS)
        assert {tag["name"] for tag in document["tags"] if tag["description"].endswith(".")} >= set(operation["tags"])


def test_every_member_and_parameter_says_what_it_is(document: Document) -> None:
    silent = [
        f"{owner}.{name}"
        for owner, schema in document["components"]["schemas"].items()
        for name, member in schema.get("properties", {}).items()
        if not (member.get("description") or "$ref" in member or "const" in member)
    ]
    silent += [
        f"{method} {path} {parameter['name']}"
        for path, method, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert not silent, f"Describe these in their model, or by their name in dashboard/api/vocabulary.py: {silent}"


def test_a_member_says_when_it_is_null_if_it_can_be(document: Document) -> None:
    wrong = [
        f"{owner}.{name}"
        for owner, schema in document["components"]["schemas"].items()
        for name, member in schema.get("properties", {}).items()
        if ({"type": "null"} in member.get("anyOf", ())) != ("null" in member.get("description", ""))
    ]
    assert wrong == []


def test_every_example_is_one_that_somebody_gave(document: Document) -> None:
    composer = Composer(document["components"]["schemas"])
    for name in document["components"]["schemas"]:
        composer.of({"$ref": f"#/components/schemas/{name}"})
    made_up = sorted(set(composer.made_up))
    assert not made_up, f"Give an example in their model, or by their name in dashboard/api/vocabulary.py: {made_up}"


def test_every_example_is_as_its_schema_says(document: Document) -> None:
    given: list[tuple[str, Document, Any]] = []
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        for parameter in operation.get("parameters", ()):
            given.append((f"{where} {parameter['name']}", parameter["schema"], parameter["example"]))
        for media in operation.get("requestBody", {}).get("content", {}).values():
            given.append((f"{where} body", media["schema"], media["example"]))
        for status, response in operation["responses"].items():
            for name, media in response["content"].items():
                given.append((f"{where} {status}", media["schema"], media["example"]))
                assert name != PROBLEM or media["example"]["status"] == int(status), where
    for name, header in document["components"]["headers"].items():
        given.append((name, header["schema"], header["example"]))
    assert [where for where, schema, example in given if not holds(document, schema, example)] == []


def test_each_kind_of_problem_has_an_example_of_its_own(document: Document) -> None:
    schemas = document["components"]["schemas"]
    problems = {name: one for name, one in schemas.items() if "detail" in one.get("properties", {})}
    statuses = {}
    for name, schema in problems.items():
        (told,) = schema["examples"]
        assert holds(document, schema, told), name
        assert schema["properties"].keys() == told.keys(), name
        assert [member for member, one in schema["properties"].items() if "examples" in one] == [], name
        statuses[name] = told["status"]
    assert statuses == {
        "Problem": 400,
        "NotAllowedProblem": 403,
        "Unprocessable": 422,
        "StepConflict": 409,
        "ReleaseConflict": 409,
        "Fault": 500,
        "UnknownPerson": 404,
        "StaleUpdate": 409,
        "NewerThanThereIs": 422,
    }


def test_the_vocabulary_has_no_words_that_nobody_uses(document: Document) -> None:
    schemas = document["components"]["schemas"].items()
    used = {
        name for owner, schema in schemas for one in schema.get("properties", {}) for name in (one, f"{owner}.{one}")
    }
    parameters = [one["name"] for _, _, operation in operations(document) for one in operation.get("parameters", ())]
    used |= {name for one in parameters for name in (one, f".{one}")}
    assert set(MEMBERS) - used == set()


# Receipts --------------------------------------------------------------------------------------------------------------


@pytest.mark.on_the_demo
def test_every_receipt_has_the_members_that_are_described(document: Document, api: Caller) -> None:
    described = document["components"]["schemas"]["Receipt"]
    kept = [
        one["receipt"]
        for step_id in (STEP, RELEASED)
        for one in api("GET", f"{ADMIN}/steps/{step_id}/releases").json["releases"]
    ]
    assert {one["kind"] for one in kept} >= {"publish", "migrate", "rollback"}
    for receipt in (*kept, *described["examples"]):
        assert list(receipt.keys() ^ described["properties"].keys()) == []
        assert holds(document, described, receipt)


def test_a_receipt_goes_out_as_it_was_stored(document: Document, api: Caller, world: Session) -> None:
    stored = {"kind": "migrate", "of_an_older_version": True}
    world.execute(text("UPDATE step_releases SET receipt = :receipt").bindparams(bindparam("receipt", stored, JSONB)))
    world.commit()
    assert api("GET", f"{ADMIN}/steps/{factories.STEP}/releases").json["releases"][0]["receipt"] == stored


# What is told, done ---------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, user_token_key=KEY, user_token_algorithms="HS256")


def ask(api: Caller, path: str, method: str, operation: Document, token: str | None = None) -> TestResponse:
    """The request of the examples, as the page shows it; a user token says whose progress it is about."""
    given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for one in operation.get("parameters", ()):
        given[one["in"]][one["name"]] = json.dumps(one["example"]).strip('"')
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("example")
    return api(method.upper(), path.format_map(given["path"]), body, query_string=given["query"], token=token)


@pytest.mark.on_the_demo
def test_every_example_of_a_request_works_on_the_demo(document: Document, api: Caller) -> None:
    for path, method, operation in operations(document):
        answer = ask(api, path, method, operation)
        assert answer.status_code in (200, 201), (method, path, answer.text)
        told = operation["responses"][str(answer.status_code)]["content"][JSON]["example"]
        assert shape(answer.json, told) == set(), (method, path)


@pytest.mark.on_the_demo
def test_a_user_token_is_good_for_what_the_description_says(document: Document, api: Caller) -> None:
    token = jwt.encode({"sub": USER, "exp": int(time.time()) + 60}, KEY, "HS256")
    good = {False: 0, True: 0}
    for path, method, operation in operations(document):
        told = {USER_TOKEN: []} in operation["security"]
        assert told == ("user token" in operation["description"])
        answer = ask(api, path, method, operation, token)
        assert (answer.status_code < 300) == told, (method, path, answer.text)
        assert told or answer.status_code == 403, (method, path, answer.text)
        good[told] += 1
    assert all(good.values())


def shape(answer: Any, example: Any, at: str = "") -> set[str]:
    """Where the example has members that the answer has not."""
    if isinstance(example, dict) and isinstance(answer, dict):
        lacking = {f"{at}.{name}" for name in example.keys() - answer.keys()}
        return lacking.union(*(shape(answer[name], example[name], f"{at}.{name}") for name in example.keys() & answer))
    if isinstance(example, list) and example and isinstance(answer, list):
        return shape(answer[0], example[0], f"{at}[]") if answer else {f"{at}[]"}
    return set()
