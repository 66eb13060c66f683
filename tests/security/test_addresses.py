"""Addresses that lead elsewhere: to another site, to files, to another host, into headers and into the log.

What is tried: `next` with the hosts of others in each spelling that browsers follow; a Host, a forwarded Host and an
address with a host in it, well formed or not; paths out of the static folder, escaped once and twice; line ends in all
that reaches a header or the log.
"""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, urlsplit

import pytest
import structlog
from flask import Flask, url_for
from flask.testing import FlaskClient

from dashboard import create_app
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.staff.permissions import Role
from dashboard.web import requestlog
from tests.conftest import csrf_token
from tests.factories import a_person
from tests.security.conftest import signed_in, unsound
from tests.security.world import World
from tests.serving import served
from tests.staff.signed_in import PASSWORD, email_of
from tests.web.desk import HTMX

ELSEWHERE = (
    "//evil.example",
    "///evil.example",
    "////evil.example/x",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "HtTpS://evil.example",
    "http:///evil.example",
    "http://localhost@evil.example/",
    "http://localhost:x@evil.example/",
    "//localhost@evil.example/",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "//evil.example/%2e%2e",
    "//[::1",
    "http://[",
    "\u2028//evil.example",
    "//evil\u3002example",
)
OF_NO_PAGE = (
    "",
    " /steps",
    "/a\\b",
    "/\r\nSet-Cookie: a=b",
    "/sign-in",
    "/sign-in?next=/sign-in",
    "/sign-out",
)
STAYS = (
    "/people?q=a",
    "/steps",
    "/%2f%2fevil.example",
    "/.//evil.example",
    "/@evil.example",
    "/people?next=//evil.example",
)


def host_of(location: str) -> str:
    """The host at which a browser would be that is told to go there from this site, as the URL standard has it."""
    cleaned = "".join(letter for letter in location.strip("".join(map(chr, range(33)))) if letter not in "\t\r\n")
    cleaned = cleaned.replace("\\", "/")
    if cleaned.startswith("//") or ":" in cleaned.partition("/")[0]:
        return urlsplit(cleaned).netloc or "elsewhere"
    return "localhost"


# Other sites ---------------------------------------------------------------------------------------------------------


def test_signing_in_leads_to_no_other_site(app: Flask, world: World) -> None:
    for wanted in (*ELSEWHERE, *OF_NO_PAGE, *STAYS):
        client = app.test_client()
        page = client.get("/sign-in", query_string={"next": wanted})
        assert "evil.example" not in page.text or wanted in STAYS
        given = {"email": email_of(Role.ADMIN), "password": PASSWORD, "next": wanted}
        answer = client.post("/sign-in", data=given | {"csrf_token": csrf_token(page.text)})
        assert (answer.status_code, host_of(answer.location)) == (303, "localhost"), wanted
        assert answer.location == (wanted if wanted in STAYS else "/")
        # whoever is signed in already goes on at once
        at_once = client.get("/sign-in", query_string={"next": wanted})
        assert (at_once.status_code, at_once.location) == (303, answer.location)


def test_no_other_form_leads_to_another_site(admin: FlaskClient) -> None:
    token = csrf_token(admin.get("/settings/account").text)
    for wanted in ELSEWHERE:
        answer = admin.post("/theme", data={"theme": "dark", "next": wanted, "csrf_token": token})
        assert host_of(answer.location) == "localhost", wanted


def test_where_somebody_came_from_leads_to_no_other_site(app: Flask, faults: list[BaseException]) -> None:
    for came_from in (
        *filter(str.isprintable, ELSEWHERE),
        "http://localhost//evil.example",
        "http://localhost/\\evil.example",
    ):
        for header in ("Referer", "HX-Current-URL"):
            given = HTMX | {header: came_from.encode().decode("latin-1")}
            answer = app.test_client().get("/people/anna", headers=given)
            assert not unsound(answer), (came_from, faults)
            assert answer.headers["HX-Redirect"] == "/sign-in?next=/", came_from


# Hosts ---------------------------------------------------------------------------------------------------------------

FOREIGN = ("evil.example", "evil.example:8000", "[::1]", "xn--80ak6aa92e.example")
BROKEN = (
    "a b",
    "[",
    "<script>alert(1)</script>",
    "evil.example/..",
    "é",
    "x@evil.example",
    "a,b",
    "a" * 64,
    "x" * 5_000,
    "a..b",
    ":80",
    "a:99999",
)
ASKED = (
    "/",
    "/people?q=",
    "/settings",
    "/settings/staff/invite",
    "/people//anna",
    "/static//css/app.css",
    "/nowhere",
    "/sign-in",
)


def of_host(client: FlaskClient, path: str, host: str, **headers: str) -> tuple[int, str, str]:
    """Status, Location and text of what is asked of the host, by whoever is signed in."""
    answer = client.get(path, environ_overrides={"HTTP_HOST": host}, headers=headers)
    assert not unsound(answer), (path, host)
    return answer.status_code, answer.headers.get("Location", ""), answer.text


def test_no_redirect_follows_a_foreign_host(admin: FlaskClient) -> None:
    for host in FOREIGN:
        for path in ASKED:
            _, location, _ = of_host(admin, path, host)
            assert location.startswith("/") or not location, (path, host)
            assert host_of(location) == "localhost", (path, host)


def test_a_host_that_is_none_is_400(admin: FlaskClient, faults: list[BaseException]) -> None:
    for host in BROKEN:
        for path in (*ASKED, "/api/docs", "/api/onboarding/steps"):
            status, location, text = of_host(admin, path, host)
            assert (status, location) == (400, ""), (path, host, faults)
            assert host not in text


def test_without_a_host_there_is_an_answer(admin: FlaskClient) -> None:
    assert of_host(admin, "/sign-in", "")[0] in (200, 303)


def invited(client: FlaskClient, **headers: str) -> str:
    """The page that shows the link of an invitation."""
    page = client.get("/settings/staff/invite", headers=headers)
    given = {"name": "Noor", "email": "noor@staff.example", "role": "viewer", "csrf_token": csrf_token(page.text)}
    return client.post("/settings/staff/invite", data=given, headers=headers).text


@pytest.fixture
def settled(settings: Settings) -> Iterator[Flask]:
    """An installation that knows its address, behind a proxy."""
    made = create_app(replace(settings, base_url="http://onboarding.example.com", trusted_proxies=1))
    yield made
    made.extensions["database"].dispose()


def test_links_are_those_of_the_settings_and_no_other_host_has_pages(
    settled: Flask, database: Database, world: World
) -> None:
    client = signed_in(settled, database, Role.ADMIN)
    known, foreign = ({"X-Forwarded-Host": host} for host in ("onboarding.example.com", "evil.example"))
    assert "http://onboarding.example.com/set-password?link=" in invited(client, **known)
    assert "export ONBOARDING=http://onboarding.example.com" in client.get("/api/docs", headers=known).text
    for path in ("/settings/staff/invite", "/api/docs", "/sign-in"):
        answer = client.get(path, headers=foreign)
        assert (answer.status_code, "evil.example" in answer.text) == (400, False), path


def test_a_forwarded_host_counts_where_proxies_are_trusted_and_nowhere_else(app: Flask, settled: Flask) -> None:
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    assert "evil.example" not in app.test_client().get("/api/docs", headers=forwarded).text
    for broken in ("a b", "<script>", "a" * 64):
        assert settled.test_client().get("/sign-in", headers={"X-Forwarded-Host": broken}).status_code == 400


def test_an_address_with_a_host_in_it_is_that_path(app: Flask) -> None:
    with served(app) as address:
        port = urlsplit(address).port
        for target, status in (
            ("http://evil.example/sign-in", b"200"),
            ("http://evil.example//people//anna", b"404"),
            ("//evil.example/sign-in", b"404"),
        ):
            with socket.create_connection(("127.0.0.1", port)) as wire:
                wire.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: wire.recv(65_536), b""))
            assert answer.split(b" ", 2)[1] == status, target
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert b"location: http" not in head
            assert b"location: //" not in head


# Files ---------------------------------------------------------------------------------------------------------------

OUT = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%252f",
    "%252e%252e%252f",
    "..\\",
    "..%5c",
    "..%255c",
    "....//",
    "..;/",
    ".%00./",
    "%c0%ae%c0%ae/",
    "..%c0%af",
)
WANTED = ("pyproject.toml", "dashboard/config.py", "etc/passwd")


NO_FILES = (
    "/etc/passwd",
    "//etc/passwd",
    "C:\\Windows\\win.ini",
    "C:/Windows",
    "nul",
    "css",
    "css/",
    ".",
    "",
    "x" * 5_000,
    "~root",
    "css/app.css%00.png",
)


def test_nothing_beside_the_static_files_is_served(app: Flask) -> None:
    client = app.test_client()
    for out in OUT:
        for wanted in WANTED:
            for folder in ("", "css/", "0123456789abcdef/css/"):
                for depth in (1, 2, 4):
                    path = f"/static/{folder}{out * depth}{wanted}"
                    answer = client.get("/", environ_overrides={"PATH_INFO": path})
                    assert answer.status_code in (308, 400, 404), path
                    assert client.get(path).status_code in (308, 400, 404), path


def test_a_file_that_is_none_is_not_found(app: Flask) -> None:
    for path in NO_FILES:
        for prefix in ("/static/", "/static/0123456789abcdef/"):
            answer = app.test_client().get(prefix + path)
            assert answer.status_code in (308, 400, 404), path
            assert not unsound(answer), path


def test_an_export_leads_to_no_file(admin: FlaskClient) -> None:
    for path in (
        "/steps/{0}/release/people.csv",
        "/steps/set-up-payments/{0}/people.csv",
        "/people/{0}/export.json",
        "/steps/{0}/releases/1/receipt.json",
    ):
        for out in OUT:
            answer = admin.get(path.format(quote(out * 3 + "etc/passwd")))
            assert answer.status_code in (308, 400, 404), (path, out)


# Headers and the log -------------------------------------------------------------------------------------------------

SPLITTING = (
    "a\r\nSet-Cookie: evil=1",
    "a\nSet-Cookie: evil=1",
    "a\rSet-Cookie: evil=1",
    "a\u0085Set-Cookie: evil=1",
    "a\u2028b",
    'a"; filename="evil.html',
    "a\x1b[2Jb",
)


@pytest.mark.parametrize("text", SPLITTING)
def test_nothing_that_is_asked_for_splits_a_header(app: Flask, database: Database, text: str) -> None:
    admin, escaped = signed_in(app, database, Role.ADMIN), quote(text)
    asked = [
        f"/sign-in?next=/{escaped}",
        f"/people?q={escaped}&step=",
        f"/people/{escaped}",
        f"/people/{escaped}/steps",
        f"/people/{escaped}/export.json",
        f"/steps/{escaped}/release/people.csv",
        f"/steps/set-up-payments/{escaped}/people.csv",
        f"/steps/set-up-payments/release/people.csv?who={escaped}",
        f"/steps/{escaped}/releases/1/receipt.json",
        f"/static/{escaped}",
        f"/people//{escaped}",
        f"/activity?who={escaped}",
    ]
    for path in asked:
        for client in (admin, admin.application.test_client()):
            for headers in ({}, HTMX):
                answer = client.get(path, headers=headers)
                assert not unsound(answer), path
                assert "evil" not in answer.headers.get("Set-Cookie", "")
                for name, value in answer.headers:
                    assert value.isprintable(), (path, name, value)
                    assert name != "Content-Disposition" or value.count('"') == 2, (path, value)


def test_nothing_that_is_stored_splits_a_header(app: Flask, database: Database, world: World) -> None:
    with database.transaction() as session:
        for text in SPLITTING:
            a_person(session, text)
    client = signed_in(app, database, Role.ADMIN)
    token = csrf_token(client.get("/settings/account").text)
    for text in SPLITTING:
        with app.test_request_context():
            path = url_for("people.show", user_id=text)
        save = {"row_version": "2", "status": "done", "csrf_token": token}
        answers = [
            client.get(f"{path}/{below}") for below in ("export.json", "steps", "steps/set-up-payments", "moved")
        ]
        answers.append(client.post(f"{path}/steps/set-up-payments", data=save))
        for answer in answers:
            assert answer.status_code in (200, 303), (text, answer.request.path)
            assert "evil" not in answer.headers.get("Set-Cookie", "")
            for name, value in answer.headers:
                assert value.isprintable(), (text, name, value)
                assert name != "Content-Disposition" or value.count('"') == 2, (text, value)


NO_IDS = (
    "a\tbcdefgh",
    "é" * 8,
    "a b c d e",
    "x" * 65,
    "<script>alert(1)",
    'abcdefgh"',
    "abcdefgh,abcdefgh",
    "../../etc/passwd",
)


def test_a_request_id_of_other_letters_is_not_kept(app: Flask) -> None:
    for given in NO_IDS:
        answer = app.test_client().get("/nowhere", headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"].isalnum(), given


@pytest.mark.parametrize("form", [requestlog.for_machines, requestlog.for_terminal])
def test_a_request_is_one_line_of_the_log(app: Flask, form: object, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    lines = structlog.wrap_logger(
        structlog.PrintLogger(written), processors=[structlog.processors.add_log_level, *form()]
    )
    monkeypatch.setattr(requestlog, "log", lines)
    for text in SPLITTING:
        for path in (f"/people/{quote(text)}", f"/api/{quote(text)}", f"/static/{quote(text)}"):
            app.test_client().get(path, headers={"X-Request-ID": "x" * 8, "User-Agent": "a\tb", "Referer": "c"})
    told = written.getvalue().removesuffix("\n").split("\n")
    assert len(told) == 3 * len(SPLITTING)
    for line in told:
        # its own colours, and nothing else that a terminal obeys
        plain = re.sub(r"\x1b\[[\d;]*m", "", line) if form is requestlog.for_terminal else line
        assert "\x1b" not in plain
        assert not {"\r", "\x85", "\u2028"} & set(line)
    if form is requestlog.for_machines:
        assert all(json.loads(line)["event"] == "request" for line in told)
