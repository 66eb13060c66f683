"""Requests that break before any member counts: each is refused with the reason, never with a fault."""

from __future__ import annotations

import gzip
from dataclasses import fields
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.config import Settings
from tests.api.conftest import Caller
from tests.api.test_ladder import ENDPOINTS, Endpoint, unused
from tests.factories import ANNA, STEP, snapshot

WITH_A_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.body is not None]
JSON = "application/json"

BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not JSON"),
    "cut off": (b'{"status": "do', "is not JSON"),
    "two documents": (b"{}{}", "is not JSON"),
    "single quotes": (b"{'a': 1}", "is not JSON"),
    "trailing comma": (b'{"a": 1,}', "is not JSON"),
    "a NUL byte": (b'{"a": "\0"}', "is not JSON"),
    "broken UTF-8": (b'{"a": "\xff"}', "is not valid UTF-8"),
    "half a character": (b'{"a": "\xc3"}', "is not valid UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "is not valid UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "is not JSON"),
    "NaN": (b'{"row_version": NaN}', "“row_version”"),
    "infinity": (b'{"fromVersion": -Infinity}', "“fromVersion”"),
    "a float too large": (b'{"newStepData": {"weight": 1e999}}', "“weight”"),
    "a member twice": (b'{"status": "done", "status": "todo"}', "“status” appears twice"),
    "an inner member twice": (b'{"newStepData": {"title": "a", "title": "b"}}', "“title” appears twice"),
    "half a character in a name": (b'{"\\ud800": 1}', "name of a member has a character that cannot be stored"),
    "a list": (b"[]", "must be a JSON object"),
    "a text": (b'"{}"', "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "deep lists": (b"[" * 30_000, "is nested too deeply"),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "is nested too deeply"),
}

with_a_body = pytest.mark.parametrize("endpoint", WITH_A_BODY, ids=str)


def send(api: Caller, endpoint: Endpoint, data: bytes, content_type: str = JSON, **more: Any) -> TestResponse:
    return api(endpoint.method, endpoint.path, data=data, content_type=content_type, **more)


@with_a_body
def test_a_broken_body_is_400_with_the_reason(endpoint: Endpoint, api: Caller, world: Session) -> None:
    api.secret()
    before = snapshot(world)
    for name, (data, reason) in BROKEN.items():
        answer = send(api, endpoint, data)
        assert answer.status_code == 400, (name, answer.text)
        assert answer.mimetype == "application/problem+json"
        assert reason in answer.json["detail"], name
    world.rollback()
    assert unused(snapshot(world)) == unused(before)


def test_a_whole_number_may_be_written_with_a_point(api: Caller, world: Session) -> None:
    data = f'{{"user_id": "{ANNA}", "status": "done", "row_version": 1.0}}'.encode()
    answer = api("PATCH", f"/api/onboarding/steps/{STEP}", data=data, content_type=JSON)
    assert (answer.status_code, answer.json["step"]["row_version"]) == (200, 2)


@with_a_body
def test_another_content_type_is_415(endpoint: Endpoint, api: Caller, world: Session) -> None:
    for content_type in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"):
        answer = send(api, endpoint, b"{}", content_type)
        assert answer.status_code == 415, content_type
        assert "application/json" in answer.json["detail"]


@with_a_body
def test_only_json_in_utf_8_is_taken(endpoint: Endpoint, api: Caller, world: Session) -> None:
    for charset in ("utf-8", '"UTF-8"', "utf8"):
        content_type = f"Application/JSON; charset={charset}"
        assert send(api, endpoint, b"[]", content_type).status_code == 400
    # a merge patch would keep what it does not name
    for content_type, named in (
        ("application/json; charset=utf-16", "utf-16"),
        ("application/json; charset=unheard-of", "unheard-of"),
        ("application/merge-patch+json", "application/merge-patch+json"),
        ("application/problem+json", "application/problem+json"),
    ):
        answer = send(api, endpoint, b"[]", content_type)
        assert (answer.status_code, named in answer.json["detail"]) == (415, True)


@with_a_body
def test_a_packed_body_is_415(endpoint: Endpoint, api: Caller, world: Session) -> None:
    answer = send(api, endpoint, gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json["detail"]) == (415, "Send the body as it is, not in gzip.")


def test_a_member_without_a_name_is_told(api: Caller, world: Session) -> None:
    answer = api("PUT", f"/api/onboarding/users/{ANNA}", json={"": 1})
    assert answer.json["errors"] == [{"member": '""', "reason": "is unknown"}]


def test_a_number_of_thousands_of_digits_is_too_large(api: Caller, world: Session) -> None:
    body = f'{{"user_id": "{ANNA}", "status": "done", "row_version": {"9" * 5000}}}'
    answer = api("PATCH", f"/api/onboarding/steps/{STEP}", data=body.encode(), content_type=JSON)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["member"] == "row_version"


@with_a_body
def test_a_large_body_is_413(endpoint: Endpoint, api: Caller, world: Session) -> None:
    whole = b'{"a": "' + b"x" * endpoint.max_bytes + b'"}'
    answer = send(api, endpoint, whole)
    assert answer.status_code == 413
    assert answer.json["detail"] == f"The body is limited to {endpoint.max_bytes:,} bytes."
    in_chunks = send(api, endpoint, whole, environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True})
    assert in_chunks.status_code == in_chunks.json["status"] == 413


@with_a_body
def test_a_body_over_every_limit_is_told_its_own(endpoint: Endpoint, app: Flask, api: Caller, world: Session) -> None:
    answer = send(api, endpoint, b" " * (app.config["MAX_CONTENT_LENGTH"] + 1))
    assert (answer.status_code, answer.json["detail"]) == (
        413,
        f"The body is limited to {endpoint.max_bytes:,} bytes.",
    )


@with_a_body
def test_a_large_body_is_413_also_where_forms_may_be_larger(
    endpoint: Endpoint, app: Flask, api: Caller, world: Session
) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10 * endpoint.max_bytes
    assert send(api, endpoint, b" " * (endpoint.max_bytes + 1)).status_code == 413
    assert send(api, endpoint, b" " * endpoint.max_bytes).status_code == 400


@with_a_body
def test_no_installation_takes_less(endpoint: Endpoint) -> None:
    (limit,) = [setting for setting in fields(Settings) if setting.name == "max_body_bytes"]
    assert endpoint.max_bytes <= limit.metadata["low"]


@with_a_body
def test_a_body_of_no_length_is_empty(endpoint: Endpoint, api: Caller, world: Session) -> None:
    answer = send(api, endpoint, b"{}", environ_overrides={"CONTENT_LENGTH": ""})
    assert answer.status_code == 400


def test_a_broken_path_is_400(api: Caller, world: Session) -> None:
    # the test client would mend the path, so it is put where a server puts it
    for path in (b"/api/onboarding/steps/\xff", b"/api/onboarding/steps/a\0"):
        answer = api("GET", f"/?user_id={ANNA}", environ_overrides={"PATH_INFO": path.decode("latin-1")})
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


@pytest.mark.parametrize(
    "path",
    [
        f"/api/onboarding/steps/{STEP}%00?user_id={ANNA}",
        "/api/onboarding/steps?user_id=%00",
        "/api/onboarding/steps?user_id=%ff",
        "/api/onboarding/steps?user_id=%ed%a0%80",
        f"/api/onboarding/steps?user_id={ANNA}&user_id=ben",
    ],
)
def test_a_broken_address_is_400(api: Caller, world: Session, path: str) -> None:
    answer = api("GET", path)
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("number", ["1_0", "+1", "1.0", " 1", "٣", ""])
def test_a_whole_number_of_an_address_or_a_header_is_digits(api: Caller, world: Session, number: str) -> None:
    of_address = api("GET", f"/api/admin/onboarding/steps/{STEP}/releases", query_string={"limit": number})
    of_header = api(
        "PATCH",
        f"/api/onboarding/steps/{STEP}",
        json={"user_id": ANNA, "status": "done", "row_version": 1},
        headers={"X-Retry-Attempt": quote(number, safe=" +")},
    )
    for answer, member in ((of_address, "limit"), (of_header, "X-Retry-Attempt")):
        assert (answer.status_code, answer.json["errors"]) == (
            422,
            [{"member": member, "reason": "must be a whole number"}],
        )


@pytest.mark.parametrize("path", ["/api//onboarding/steps", "/api/onboarding//steps", "/api/onboarding/steps/"])
def test_an_address_with_a_slash_too_many_is_not_known(api: Caller, world: Session, path: str) -> None:
    answer = api("GET", path, query_string={"user_id": ANNA})
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
