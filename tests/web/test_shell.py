"""The shell around the pages: headers, static files, faults, request ids, the theme."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from sqlalchemy import text
from structlog.testing import capture_logs

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import transaction
from dashboard.onboarding import errors as refusals
from dashboard.web import access, rendering
from tests.conftest import lent

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
FORM = "application/x-www-form-urlencoded"


def with_faults(settings: Settings) -> Flask:
    """An app whose faults become pages, as in production, with routes that fail."""
    made = create_app(settings)
    made.config["PROPAGATE_EXCEPTIONS"] = False
    raised = {
        "not-found": refusals.NotFound("step", "<b>x</b>"),
        "invalid": refusals.Invalid({"title": "Enter a title."}),
        "stale": refusals.StalePlan(["Version 4 was released."]),
        "refused": refusals.Refused("There is nothing to roll back."),
        "withdrawn": refusals.Withdrawn("setup-payments"),
        "fault": RuntimeError("secret of the house"),
    }

    @made.route("/raise/<name>", methods=["GET", "POST"])
    @access.public("for tests")
    def fail(name: str) -> str:
        raise raised[name]

    @made.get("/api/raise/<name>")
    @access.public("for tests")
    def fail_api(name: str) -> str:
        raise raised[name]

    return made


_apps: dict[Settings, Flask] = {}


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """Such an app on this test's database."""
    with lent(_apps, settings, with_faults) as made:
        yield made


@pytest.fixture
def dead(settings: Settings) -> Iterator[Flask]:
    """An app whose database does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql+psycopg://nobody@127.0.0.1:{port}/none"
    made = create_app(dataclasses.replace(settings, database_url=url))
    yield made
    made.extensions["database"].dispose()


def token(client: FlaskClient) -> str:
    page = client.get("/sign-in").get_data(as_text=True)
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_pages_carry_a_strict_policy_and_are_not_stored(client: FlaskClient) -> None:
    response = client.get("/sign-in")
    policy = response.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "no-store"
    assert "HX-Request" in response.headers["Vary"]


def test_faults_carry_the_same_headers(client: FlaskClient) -> None:
    response = client.get("/nowhere")
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


def test_templates_are_compiled_once_and_read_no_more(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = client.application.jinja_env
    assert environment.auto_reload is False
    first = client.get("/sign-in")
    assert environment.loader is not None
    monkeypatch.setattr(environment.loader, "get_source", lambda *_: pytest.fail("a template is read again"))
    assert client.get("/sign-in").status_code == first.status_code == HTTPStatus.OK


def test_healthz_answers_without_a_database(dead: Flask) -> None:
    response = dead.test_client().get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("not-found", 404, "There is no step “&lt;b&gt;x&lt;/b&gt;”."),
        ("invalid", 422, "Enter a title."),
        ("stale", 409, "Version 4 was released. Nothing was saved."),
        ("refused", 409, "There is nothing to roll back."),
        ("withdrawn", 409, "was withdrawn. Restore it first."),
    ],
)
def test_what_the_engine_refuses_becomes_a_page(client: FlaskClient, name: str, status: int, text: str) -> None:
    response = client.get(f"/raise/{name}")
    assert response.status_code == status
    page = response.get_data(as_text=True)
    assert text in page
    assert page.startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["not-found", "invalid", "stale", "fault"])
def test_htmx_gets_a_notice_that_leaves_the_form_alone(client: FlaskClient, name: str) -> None:
    response = client.get(f"/raise/{name}", headers=HTMX)
    assert response.headers["HX-Retarget"] == "#notices"
    assert response.headers["HX-Reswap"] == "innerHTML"
    assert response.headers["HX-Push-Url"] == "false"
    assert response.get_data(as_text=True).lstrip().startswith('<div class="notice-bar" id="notice"')


def test_a_fault_shows_its_request_id_and_nothing_of_the_inside(client: FlaskClient) -> None:
    response = client.get("/raise/fault", headers={"X-Request-ID": "trace-me-0001"})
    page = response.get_data(as_text=True)
    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert response.headers["X-Request-ID"] == "trace-me-0001"
    assert "trace-me-0001" in page
    assert "secret of the house" not in page
    assert "Traceback" not in page


@pytest.mark.parametrize("given", ["short", "x" * 65, "<script>alert(1)</script>", "with space 123", ""])
def test_an_unsuitable_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    answered = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


def test_under_api_faults_are_problem_json(client: FlaskClient) -> None:
    response = client.get("/api/raise/not-found")
    assert response.status_code == HTTPStatus.NOT_FOUND
    assert response.mimetype == "application/problem+json"
    assert response.json
    assert response.json["detail"] == "There is no step “<b>x</b>”."


def test_the_api_may_answer_faults_itself(app: Flask) -> None:
    app.extensions["problem"] = lambda fault, error: ({"mine": fault.status, "error": type(error).__name__}, 404)
    assert app.test_client().get("/api/raise/not-found").json == {"mine": 404, "error": "NotFound"}


@pytest.mark.parametrize("address", ["/%00", "/steps/a%00b", "/people?q=a%00b", "/sign-in?next=%FF"])
def test_nul_bytes_and_broken_utf8_in_an_address_are_400(client: FlaskClient, address: str) -> None:
    response = client.get(address)
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert "Traceback" not in response.get_data(as_text=True)


@pytest.mark.parametrize("raw", [{"PATH_INFO": "/\xc3("}, {"QUERY_STRING": "q=\xff"}])
def test_broken_utf8_in_an_address_that_is_not_quoted_is_400(client: FlaskClient, raw: dict[str, str]) -> None:
    # the test client would mend the address: this is what a server hands over
    response = client.get("/", environ_overrides=raw)
    assert response.status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("body", [b"email=a%00b", b"email=%FF", b"email=\xff", b"email=a\x00b"])
def test_nul_bytes_and_broken_utf8_in_a_form_are_400(client: FlaskClient, body: bytes) -> None:
    assert client.post("/sign-in", data=body, content_type=FORM).status_code == HTTPStatus.BAD_REQUEST


def test_nul_bytes_in_a_multipart_form_are_400(client: FlaskClient) -> None:
    response = client.post("/sign-in", data={"email": "a\0b"}, content_type="multipart/form-data")
    assert response.status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("kind", [FORM, "multipart/form-data", "application/json", "text/plain"])
@pytest.mark.parametrize("path", ["/sign-in", "/nowhere"])
def test_a_body_of_ten_megabytes_is_413(client: FlaskClient, path: str, kind: str) -> None:
    # as a browser says where the form is from, and as others don't
    for headers in {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, {}:
        response = client.post(path, data=b"x" * 10_000_000, content_type=kind, headers=headers)
        assert response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert response.headers["X-Request-ID"]
        assert "Content-Security-Policy" in response.headers


def test_a_body_that_is_no_form_is_415(client: FlaskClient) -> None:
    response = client.post("/sign-in", data="{}", content_type="application/json")
    assert response.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_a_wrong_method_is_405_and_names_the_right_ones(client: FlaskClient) -> None:
    response = client.put("/healthz", data={})
    assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert "GET" in response.headers["Allow"]


def test_a_form_without_its_token_is_400_and_says_to_reload(client: FlaskClient) -> None:
    response = client.post("/theme", data={"theme": "dark"})
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert "Reload the page" in response.get_data(as_text=True)


def test_the_token_is_taken_from_the_header_of_htmx_too(client: FlaskClient) -> None:
    response = client.post("/theme", data={"theme": "dark"}, headers={"X-CSRFToken": token(client)})
    assert response.status_code == HTTPStatus.SEE_OTHER


def test_a_dead_database_is_a_503_page_that_needs_no_query(dead: Flask) -> None:
    client = dead.test_client()
    client.set_cookie("staff_session", "anything")
    response = client.get("/people")
    page = response.get_data(as_text=True)
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.headers["X-Request-ID"] in page
    assert response.headers["Retry-After"] == "5"
    assert "Traceback" not in page
    assert "psycopg" not in page


@pytest.mark.parametrize(("path", "view"), [("/raise/late", "fail"), ("/api/raise/late", "fail_api")])
def test_what_takes_too_long_is_not_told_as_an_unreachable_database(
    app: Flask, client: FlaskClient, path: str, view: str
) -> None:
    def slow(name: str) -> None:
        with transaction() as session:
            session.execute(text("SET LOCAL statement_timeout = 1"))
            session.execute(text("SELECT pg_sleep(1)"), {"name": name})

    app.view_functions[view] = access.public("for tests")(slow)
    response = client.get(path)
    told = response.get_data(as_text=True)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "This took too long" in told
    assert "Nothing was saved. Try again." in told


@pytest.mark.parametrize("path", ["/raise/standby", "/api/raise/standby"])
def test_a_database_that_only_takes_reads_is_told_as_that(app: Flask, client: FlaskClient, path: str) -> None:
    def refused(name: str) -> None:
        with transaction() as session:
            session.execute(text("SET TRANSACTION READ ONLY"))
            session.execute(text("INSERT INTO onboarding_users (user_id) VALUES (:name)"), {"name": name})

    for view in ("fail", "fail_api"):
        app.view_functions[view] = access.public("for tests")(refused)
    app.config["WTF_CSRF_ENABLED"] = False
    with capture_logs() as lines:
        response = client.post(path) if path.startswith("/raise") else client.get(path)
    told = response.get_data(as_text=True)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "The database is read-only right now" in told
    assert "Nothing was saved." in told
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("database only takes reads", "cannot execute INSERT in a read-only transaction"),
        ("request", None),
    ]


def test_the_log_says_why_a_database_cannot_be_used(dead: Flask) -> None:
    client = dead.test_client()
    client.set_cookie("staff_session", "anything")
    with capture_logs() as lines:
        client.get("/people")
    told = next(line for line in lines if line["event"] == "database unreachable")
    assert told["error"] == "OperationalError"
    assert "connection refused" in told["reason"].lower()
    assert "\n" not in told["reason"]


@pytest.mark.parametrize(("method", "said"), [("GET", "Nothing was saved"), ("POST", "check before sending it again")])
def test_a_connection_that_was_lost_in_the_middle_may_have_saved_it(
    app: Flask, client: FlaskClient, method: str, said: str
) -> None:
    def cut(name: str) -> None:
        with transaction() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"), {"name": name})

    app.config["WTF_CSRF_ENABLED"] = False
    app.view_functions["fail"] = access.public("for tests")(cut)
    response = client.open("/raise/cut", method=method)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert said in response.get_data(as_text=True)


def test_what_is_logged_of_a_fault_holds_no_values(app: Flask, client: FlaskClient) -> None:
    def broken(name: str) -> None:
        with transaction() as session:
            session.execute(
                text("SELECT no_such_column WHERE :email <> :name"), {"email": "anna@example.com", "name": name}
            )

    app.view_functions["fail"] = access.public("for tests")(broken)
    with capture_logs() as lines:
        assert client.get("/raise/secret").status_code == 500
    told = str(next(line["exc_info"] for line in lines if line["event"] == "fault"))
    assert "no_such_column" in told
    assert "anna@example.com" not in told


def test_it_works_again_as_soon_as_the_database_is_back(dead: Flask, app: Flask) -> None:
    client = dead.test_client()
    client.set_cookie("staff_session", "anything")
    assert client.get("/nowhere").status_code == HTTPStatus.SERVICE_UNAVAILABLE
    dead.extensions["database"] = app.extensions["database"]
    assert client.get("/nowhere").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_remembered_and_leads_back(client: FlaskClient, theme: str) -> None:
    data = {"theme": theme, "next": "/people?q=a", "csrf_token": token(client)}
    response = client.post("/theme", data=data)
    assert (response.status_code, response.location) == (303, "/people?q=a")
    assert f'<html lang="en" data-bs-theme="{theme}">' in client.get("/sign-in").get_data(as_text=True)


def test_the_system_theme_leaves_the_choice_to_the_browser(client: FlaskClient) -> None:
    client.post("/theme", data={"theme": "system", "csrf_token": token(client)})
    assert '<html lang="en">' in client.get("/sign-in").get_data(as_text=True)


def test_an_unknown_theme_is_422(client: FlaskClient) -> None:
    response = client.post("/theme", data={"theme": "<b>", "csrf_token": token(client)})
    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil", "javascript:x", "/\t/evil", ""],
)
def test_no_form_leads_to_another_site(address: str) -> None:
    assert rendering.local_address(address) == "/"


@pytest.mark.parametrize(
    ("headers", "partial"),
    [
        ({}, False),
        ({"HX-Request": "true"}, True),
        (HTMX, True),
        ({"HX-Request": "true", "HX-Request-Type": "full"}, False),
        ({"HX-Request": "true", "HX-History-Restore-Request": "true"}, False),
    ],
)
def test_who_gets_a_part_of_a_page(app: Flask, headers: dict[str, str], partial: bool) -> None:
    with app.test_request_context("/", headers=headers):
        assert rendering.wants_partial() is partial


def test_someone_signed_out_is_sent_to_sign_in_and_back(new_app: Flask) -> None:
    @new_app.get("/private")
    @access.require(access.Permission.VIEW)
    def private() -> str:
        return "in"

    response = new_app.test_client().get("/private?q=1")
    assert (response.status_code, response.location) == (303, "/sign-in?next=/private?q%3D1")
    redirected = new_app.test_client().get("/private", headers=HTMX | {"HX-Current-URL": "http://localhost/people?q=1"})
    assert redirected.headers["HX-Redirect"] == "/sign-in?next=/people?q%3D1"


@pytest.mark.parametrize(
    ("page", "asked", "back"),
    [
        ("/people", "/people?q=okafor%20%26", "/people?q=okafor%20%26"),
        ("/people?q=oka", "/people?q=okafor", "/people?q=okafor"),
        ("/people/a%3Fb%20c", "/people/a%3Fb%20c?history=2", "/people/a%3Fb%20c?history=2"),
        ("/people/anna", "/people/anna/steps/one", "/people/anna"),
        ("/activity?who=x", "/people?q=okafor", "/activity?who=x"),
        ("//evil.example", "/people?q=%C3%A9", "/"),
    ],
)
def test_what_a_page_was_just_asked_for_is_where_signing_in_leads(
    client: FlaskClient, page: str, asked: str, back: str
) -> None:
    """A search that was typed after the session had ended is in no address yet."""
    answer = client.get(asked, headers=HTMX | {"HX-Current-URL": f"http://localhost{page}"})
    (wanted,) = parse_qs(urlsplit(answer.headers["HX-Redirect"]).query)["next"]
    assert wanted == back
    quiet = client.get(asked, headers=HTMX | {"HX-Current-URL": f"http://localhost{page}", "X-Quiet": "1"})
    assert quiet.status_code == 401
    assert "okafor" not in quiet.text


def test_a_fault_page_keeps_the_shell_for_people_who_are_signed_in(app: Flask) -> None:
    with app.test_request_context("/nowhere"):
        from dashboard.web.errors import FAULTS, page_of

        g.account = object()
        assert page_of(FAULTS[404]) == "errors/page.html"
        assert page_of(FAULTS[503]) == "errors/plain.html"
        g.account = None
        assert page_of(FAULTS[404]) == "errors/plain.html"
