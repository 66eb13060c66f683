"""Which answers are compressed on the way out, and which must not be."""

from __future__ import annotations

import gzip
from http import HTTPStatus

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.staff.permissions import Role
from dashboard.web import access
from tests.conftest import csrf_token
from tests.factories import ANNA, STEP, a_person, a_step
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX

GZIP = {"Accept-Encoding": "gzip, deflate, br"}
PAGE = "/sign-in"


@pytest.fixture
def viewer(client: FlaskClient, database: Database, session: Session) -> FlaskClient:
    """A browser in which a viewer is signed in, where Anna has one step."""
    a_step(session, STEP)
    a_person(session, ANNA)
    session.commit()
    sign_in_as(client, database, Role.VIEWER)
    return client


def test_a_page_is_compressed_for_who_takes_it(viewer: FlaskClient) -> None:
    packed, plain = (viewer.get("/people", headers=headers) for headers in (GZIP, {}))
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content_length == len(packed.data) < len(plain.data) / 3
    page = gzip.decompress(packed.data).decode()
    assert page.replace(csrf_token(page), "") == plain.text.replace(csrf_token(plain.text), "")
    for answer in (packed, plain):
        assert set(answer.vary) >= {"HX-Request", "Cookie", "Accept-Encoding"}
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip;q=0.2, identity"])
def test_a_page_goes_out_as_it_is_to_who_does_not(client: FlaskClient, accepted: str) -> None:
    answer = client.get(PAGE, headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert "</html>" in answer.text


@pytest.mark.parametrize(
    ("site", "packed"), [("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False)]
)
def test_a_page_that_another_site_asked_for_tells_nothing_by_its_size(
    client: FlaskClient, site: str, packed: bool
) -> None:
    answer = client.get(PAGE, headers=GZIP | {"Sec-Fetch-Site": site})
    assert ("Content-Encoding" in answer.headers) is packed
    assert "Accept-Encoding" in answer.vary


def test_a_token_against_forged_posts_is_another_each_second(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for second in (1_800_000_000, 1_800_000_001, 1_800_000_002):
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _, second=second: second)
        seen.add(csrf_token(client.get(PAGE).text).rpartition(".")[2])
    assert len(seen) == 3


def test_a_part_of_a_page_is_compressed_too(viewer: FlaskClient) -> None:
    answer = viewer.get("/people", headers=GZIP | HTMX)
    assert gzip.decompress(answer.data).lstrip().startswith(b'<div id="people-list"')


def test_head_tells_the_same_length(viewer: FlaskClient) -> None:
    told, sent = viewer.head("/people", headers=GZIP), viewer.get("/people", headers=GZIP)
    assert told.data == b""
    assert told.headers["Content-Encoding"] == "gzip"
    assert abs((told.content_length or 0) - len(sent.data)) < 20


def test_a_fault_is_a_page_too(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers=GZIP)
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (HTTPStatus.NOT_FOUND, "gzip")


def test_what_is_very_short_or_has_a_tag_stays_as_it_is(new_app: Flask) -> None:
    @new_app.get("/as-it-is/<what>")
    @access.public("for tests")
    def as_it_is(what: str) -> Response:
        response = Response("<p>short</p>" if what == "short" else "<p>long</p>" * 1_000, mimetype="text/html")
        if what == "tagged":
            response.set_etag("one")
        return response

    for what in ("short", "tagged"):
        assert "Content-Encoding" not in new_app.test_client().get(f"/as-it-is/{what}", headers=GZIP).headers
    assert "Content-Encoding" in new_app.test_client().get("/as-it-is/long", headers=GZIP).headers


@pytest.mark.parametrize("path", ["/people.csv", "/healthz", "/api/openapi.json", "/api/nowhere"])
def test_nothing_but_pages_is(viewer: FlaskClient, path: str) -> None:
    answer = viewer.get(path, headers=GZIP)
    assert answer.mimetype != "text/html"
    assert "Content-Encoding" not in answer.headers


def test_what_the_build_compressed_is_not_compressed_again(client: FlaskClient) -> None:
    answer = client.get("/static/example/checklist.html", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(answer.data).startswith(b"<!doctype html>")
