"""Requests that are to cost more than they should: searches, filters, pages, cursors, addresses, files to import.

What is tried: searches of ten thousand characters and of those that patterns are made of, thousands of filters, pages far
behind the end, cursors that were made up, with wrong types and moments before all time, numbers of thousands of digits in
an address; files to import that are compressed, in another encoding, one endless line, full of quotes or NUL bytes. Each
is refused soon, and with little memory.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from itertools import product
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.onboarding import imports
from dashboard.onboarding.errors import Invalid
from dashboard.staff.permissions import Permission
from tests.factories import HOST, a_step, people, snapshot
from tests.security.conftest import unsound
from tests.security.world import World, queries_of_pages

SOON_S = 20.0
"""More than any of it takes on a busy machine; what grows without bounds takes minutes."""

NOW = "2026-01-01T00:00:00+00:00"


def cursor(*members: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def cursors() -> Iterator[str]:
    """Made up: of each direction and order, with what a key may not be."""
    values = ("a", "\0", "\ud800", NOW, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59")
    odd = ("2026-W01-1T00:00:00+00:00", "x" * 1_001, 1, None, [], {}, 1e308, True)
    for direction, order, value in product(("after", "x"), ("name", "words", "newest"), (*values, *odd)):
        yield cursor(direction, order, value, "anna")
    keys = ([1], [2**63 - 1], [2**63], [-1], [True], ["a", "b", 1], ["a", "b", 2**31], ["\0", "b", 1], [[], {}, 1], [])
    for direction, at, key in product(("after", "before"), (NOW, *values[4:], odd[0], 1, None), keys):
        yield cursor(direction, at, *key)
    yield from (cursor(), cursor(1), "é", "====", "A", "-", "%00", "x" * 7_000)
    for raw in (b"[" * 5_000, b"9" * 5_000, b"\xff\xfe[", b'{"a": 1}', b'["a"' + b',"a"' * 900 + b"]"):
        yield base64.urlsafe_b64encode(raw).decode()


def quickly(client: FlaskClient, address: str, *statuses: int) -> None:
    """Asks, and holds the answer to its statuses and to the time."""
    begun = time.perf_counter()
    answer = client.get(address)
    size = len(answer.get_data())
    assert time.perf_counter() - begun < SOON_S, address[:80]
    assert not unsound(answer), address[:80]
    assert answer.status_code in statuses, address[:80]
    assert size < 2_000_000, address[:80]


LONG = (
    "a" * 10_000,
    "%" * 10_000,
    "\\" * 10_000,
    "(a+)+$" * 1_500,
    ".*" * 5_000,
    " a" * 5_000,
    "ı" * 10_000,
    "\u0300" * 10_000,
)
PATTERNS = (
    "%",
    "_",
    "\\",
    "\\\\",
    "%%%%%%%%",
    "(((((",
    "[a-z",
    "a{1,99999}",
    ".*.*.*.*.*!",
    "'",
    "a' OR '1'='1",
    "\u0300",
    "ﷺ" * 60,
)


def test_a_search_costs_little_whatever_is_searched(admin: FlaskClient, session: Session) -> None:
    people(session, 2_000)
    session.commit()
    for text in LONG:
        quickly(admin, f"/people?q={quote(text)}", 422)
        quickly(admin, f"/people.csv?q={quote(text)}", 422)
    for text in PATTERNS:
        quickly(admin, f"/people?q={quote(text)}", 200)


def test_thousands_of_filters_cost_little(admin: FlaskClient) -> None:
    unknown = urlencode([(f"filter{number}", "x") for number in range(1_000)])
    doubled = urlencode([("q", "a"), ("step", "x"), ("known", "x.1"), ("told", "x")] * 1_000)
    for path in (
        "/people",
        "/people.csv",
        "/activity",
        "/activity.csv",
        "/people/anna",
        "/people/anna/moved",
        "/steps",
    ):
        for query in (unknown, doubled):
            quickly(admin, f"{path}?{query}", 200, 303, 404, 422)


def test_no_part_of_an_address_takes_long_or_fails(
    admin: FlaskClient, world: World, faults: list[BaseException]
) -> None:
    rubbish = (
        "9" * 5_000,
        "-1",
        "99999999999999999999",
        "0001-01-01",
        "9999-12-31",
        "0001-01-01T00:00:00+14:00",
        "２",
        "\x0b",
    )
    asked = queries_of_pages(admin, world)
    for number, (path, name) in enumerate((path, name) for path, names in asked.items() for name in sorted(names)):
        text = rubbish[number % len(rubbish)]
        answer = admin.get(f"{path}?{name}={quote(text)}")
        assert not unsound(answer), (path, name, text[:40], faults)


def test_a_cursor_that_was_made_up_is_told_or_leads_somewhere(
    admin: FlaskClient, world: World, faults: list[BaseException]
) -> None:
    places = (
        "/people",
        "/people?sort=newest",
        "/people?q=a",
        "/activity",
        "/activity?who=people",
    )
    for number, made_up in enumerate(cursors()):
        path = places[number % len(places)]
        answer = admin.get(f"{path}{'&' if '?' in path else '?'}cursor={quote(made_up, errors='replace')}")
        assert not unsound(answer), (path, made_up[:80], faults)
        assert answer.status_code in (200, 400, 422), (path, made_up[:80])


def test_a_page_far_behind_the_end_costs_little(admin: FlaskClient) -> None:
    for path in (
        "/people/anna?history=999999",
        "/people/anna?history=" + "9" * 400,
        "/bulk-changes/1?cursor=" + "z" * 5_000,
    ):
        quickly(admin, path, 200, 422)
    quickly(admin, "/people?cursor=" + cursor("after", "name", "\U0010ffff" * 900, "z"), 200)


def test_numbers_in_an_address_may_have_any_length(app: Flask, admin: FlaskClient, world: World) -> None:
    for route, _ in world.addresses(app, "GET"):
        if "<int:" in route.rule and isinstance(route.need, Permission):
            for number in ("0", "9" * 10, "9" * 20, "9" * 5_000):
                path = route.rule.replace("<step_id>", "set-up-payments")
                quickly(admin, path.partition("<")[0] + number + path.rpartition(">")[2], 400, 404)


# Files to import -----------------------------------------------------------------------------------------------------


def zipped(content: bytes) -> bytes:
    """As a ZIP file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("people.csv", content)
    return made.getvalue()


HEADER = b"user_id,name,email\n"
FILES: dict[str, bytes] = {
    "a ZIP bomb": zipped(b"0" * 50_000_000),
    "a gzip bomb": gzip.compress(b"0" * 50_000_000),
    "UTF-16": (HEADER + b"ann,Ann,a@example.com\n").decode().encode("utf-16"),
    "UTF-32": HEADER.decode().encode("utf-32"),
    "nothing but NUL bytes": b"\0" * 5_000_000,
    "NUL bytes in a line": HEADER + b"ann\0,Ann,\n",
    "a line without an end": HEADER + b"x" * 20_000_000,
    "a header without an end": b"a," * 5_000_000,
    "a quote that is never closed": HEADER + b'"' + b"x\n" * 150_000,
    "nothing but quotes": HEADER + b'"' * 5_000_000,
    "nothing but commas": HEADER + b"," * 5_000_000,
    "nothing but line ends": b"\n" * 5_000_000,
    "broken UTF-8": HEADER + b"\xff\xfe,Ann,\n",
    "half a character": HEADER + b"\xed\xa0\x80,Ann,\n",
    "columns of one name": b"user_id,name,name\nann,a,b\n",
    "columns of names that are none": b"user_id,__class__,../..,'; --\nann,a,b,c\n",
    "very many bad lines": HEADER + b"ann,Ann\n" * 50_000,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_refused_with_little_memory(session: Session, name: str) -> None:
    a_step(session)
    session.commit()
    before = snapshot(session)
    session.rollback()
    file = io.BytesIO(FILES[name])
    tracemalloc.start()
    try:
        with pytest.raises(Invalid) as refused:
            imports.import_csv(session, HOST, file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    session.rollback()
    assert snapshot(session) == before
    assert peak < 40_000_000
    assert len(str(refused.value)) < 10_000
