"""Bodies of the API that no client would send: raw bytes, on each route that takes one, with and without a token.

What is tried beside tests/api/test_bad_requests.py: numbers and texts of each spelling in each member, halves of
characters, names of members that are none, objects and lists in the place of each member and ever deeper, compressed
bodies, other charsets, chunks, and bytes put in at random, the same in each run. Each is answered by a problem document,
never by a fault, and what is refused writes nothing.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.api.conftest import Caller
from tests.api.test_ladder import ENDPOINTS, Endpoint, unused
from tests.factories import snapshot
from tests.security.conftest import unsound
from tests.security.world import World

WITH_A_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.body is not None]
with_a_body = pytest.mark.parametrize("endpoint", WITH_A_BODY, ids=str)

VALUES = (
    b"-0",
    b"-0.0",
    b"1e400",
    b"1E-400",
    b"9007199254740993",
    b"9" * 19,
    b"-" + b"9" * 19,
    b"9" * 4_301,
    b"1." + b"9" * 4_301,
    b"0x10",
    b"01",
    b"+1",
    b".5",
    b"1.",
    b"NaN",
    b"-Infinity",
    b"nul",
    b"True",
    b"null",
    b"[]",
    b"{}",
    b'[{"a":[{}]}]',
    b"[" * 20_000 + b"]" * 20_000,
    b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    rb'"\ud800"',
    rb'"\udc00\ud800"',
    rb'"\u0000"',
    b'"\\x00"',
    b'"a\nb"',
    b'"a\tb"',
    b'"\xf4\x90\x80\x80"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b'"\xe2\x80\xae"',
    b'"' + b"x" * 60_000 + b'"',
)
PACKED = {
    "gzip": gzip.compress(b'{"a": 1}'),
    "deflate": zlib.compress(b'{"a": 1}'),
    "br": b"\x0b\x04\x80{}\x03",
    "identity": b"",
    "gzip, gzip": gzip.compress(gzip.compress(b"{}")),
    "gzip;bomb": gzip.compress(b" " * 10_000_000),
}


@pytest.fixture
def api(app: Flask, world: World) -> Caller:
    """Asks the API of this test's app with a token of each scope."""
    made = Caller(app)
    made.secret()
    return made


def members(body: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each member of an object, inner ones too."""
    for name, value in body.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from members(value, (*path, name))


def put(body: Any, path: tuple[str, ...], value: bytes) -> bytes:
    """The body as JSON, with the bytes in the place of one member's value."""
    holder = json.loads(json.dumps(body))
    inner = holder
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "PLACE"
    return json.dumps(holder).encode().replace(b'"PLACE"', value)


def send(api: Caller, endpoint: Endpoint, body: bytes, **more: Any) -> TestResponse:
    return api(endpoint.method, endpoint.path, data=body, content_type="application/json", **more)


def check(answer: TestResponse, what: object, faults: list[BaseException]) -> None:
    assert not unsound(answer), (what, faults)
    if answer.status_code >= 400:
        assert answer.mimetype == "application/problem+json", what
        assert answer.json["status"] == answer.status_code, what


@with_a_body
def test_no_value_of_a_member_is_a_fault(
    endpoint: Endpoint, api: Caller, session: Session, faults: list[BaseException]
) -> None:
    before = unused(snapshot(session))
    session.rollback()
    for path in members(endpoint.body):
        for value in VALUES:
            answer = send(api, endpoint, put(endpoint.body, path, value))
            check(answer, (path, value[:40]), faults)
            after = unused(snapshot(session))
            session.rollback()
            # a conflict is put on record
            assert answer.status_code in (200, 409) or after == before, (path, value[:40])
            before = after


@with_a_body
def test_no_name_of_a_member_is_a_fault(endpoint: Endpoint, api: Caller, faults: list[BaseException]) -> None:
    whole = json.dumps(endpoint.body).encode()
    for name in (rb'"\ud800"', rb'"\u0000"', b'""', b'"__class__"', b'"' + b"x" * 10_000 + b'"', b"1", b"null", b"{}"):
        check(send(api, endpoint, whole[:-1] + b", " + name + b": 1}"), name[:40], faults)


@with_a_body
def test_a_packed_body_is_not_unpacked(endpoint: Endpoint, api: Caller, faults: list[BaseException]) -> None:
    for coding, body in PACKED.items():
        answer = send(api, endpoint, body, headers={"Content-Encoding": coding.partition(";")[0]})
        check(answer, coding, faults)
        assert answer.status_code == (400 if coding == "identity" else 415), coding


@with_a_body
@tries(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bytes_put_in_anywhere_are_no_fault(
    endpoint: Endpoint, api: Caller, faults: list[BaseException], data: st.DataObject
) -> None:
    whole = json.dumps(endpoint.body).encode()
    place = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 4))
    more = data.draw(st.binary(max_size=6) | st.sampled_from([b'"', b"\\", b"{", b"[", b"\0", b",", b'":', b"\\u"]))
    body = whole[:place] + more + whole[place + length :]
    check(send(api, endpoint, body), body, faults)


def test_whatever_is_sent_without_a_token_is_401(app: Flask, world: World, faults: list[BaseException]) -> None:
    for endpoint in WITH_A_BODY:
        for body in (b"", b"{" * 10_000, b"\xff\xfe", *PACKED.values()):
            for token in ("", "obd_x", "\x7f", "é" * 40, "x" * 8_000):
                bearer = {"Authorization": f"Bearer {token}"} if token else {}
                answer = app.test_client().open(endpoint.path, method=endpoint.method, data=body, headers=bearer)
                check(answer, (str(endpoint), token), faults)
                assert answer.status_code in (401, 413), (str(endpoint), token)
