"""What is believed of proxies: as many of them as TRUSTED_PROXIES says, and nothing that callers make up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.config import Settings
from dashboard.models import AuditEntry, SignInFailure, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.staff import sign_in as signing_in
from dashboard.staff import tokens
from dashboard.staff.permissions import Role, Scope
from tests.conftest import csrf_token
from tests.staff.signed_in import PASSWORD, email_of, make_account

PEER = "10.0.0.1"
"""Whoever opened the connection: a proxy, where there is one."""

# the caller made one up, then came the address that the outer proxy saw, then the one that the inner one saw
FORWARDED = {
    "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.0.0.2",
    "X-Forwarded-Proto": "gopher, https, http",
    "X-Forwarded-Host": "evil.example, onboarding.example.com, inner.example",
    # not looked at, whoever sets them
    "X-Forwarded-Port": "1, 2, 3",
    "X-Forwarded-Prefix": "/evil, /evil, /evil",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;host=evil.example;proto=https",
}
SEEN = {
    0: (PEER, "http", "localhost"),
    1: ("10.0.0.2", "http", "inner.example"),
    2: ("203.0.113.9", "https", "onboarding.example.com"),
}
every_number = pytest.mark.parametrize("proxies", SEEN)
Behind = Callable[..., FlaskClient]


@pytest.fixture
def behind(settings: Settings, session: Session) -> Iterator[Behind]:
    """A browser of a dashboard behind so many proxies; the administrator has an account."""
    make_account(session, Role.ADMIN)
    session.commit()
    made = []

    def opened(proxies: int, forwarded: dict[str, str] = FORWARDED, **more: object) -> FlaskClient:
        app = create_app(replace(settings, trusted_proxies=proxies, **more))  # type: ignore[arg-type]
        made.append(app)
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = PEER
        for name, value in forwarded.items():
            client.environ_base[f"HTTP_{name.upper().replace('-', '_')}"] = value
        return client

    yield opened
    for app in made:
        app.extensions["database"].dispose()


def browse(client: FlaskClient, proxies: int, path: str, **form: str) -> TestResponse:
    """A form sent as the browser would that sees the outer address; its cookies are put back by hand."""
    _, scheme, host = SEEN[proxies]
    opened = client.get("/sign-in")
    return client.post(
        path,
        data={"csrf_token": csrf_token(opened.text) if path == "/sign-in" else "", **form},
        headers={"Referer": f"{scheme}://{host}/sign-in", "Cookie": cookies_of(opened)},
    )


def cookies_of(*answers: TestResponse) -> str:
    """What a browser would send after these, over https as over http."""
    lines = [line for answer in answers for line in answer.headers.getlist("Set-Cookie")]
    return "; ".join(line.partition(";")[0] for line in lines)


def sign_in(client: FlaskClient, proxies: int, password: str = PASSWORD) -> TestResponse:
    return browse(client, proxies, "/sign-in", email=email_of(Role.ADMIN), password=password)


@every_number
def test_the_address_that_counts_is_that_of_the_outermost_trusted_one(
    behind: Behind, session: Session, proxies: int
) -> None:
    client = behind(proxies)
    assert sign_in(client, proxies, "wrong password").status_code == 422
    assert session.scalars(select(SignInFailure.address)).all() == [SEEN[proxies][0]]
    assert sign_in(client, proxies).status_code == 303
    assert session.scalars(select(StaffSession.address)).all() == [SEEN[proxies][0]]
    noted = session.scalars(select(AuditEntry.changes).where(AuditEntry.action.startswith("sign_in."))).all()
    assert noted == [{"address": [None, SEEN[proxies][0]]}] * 2


@every_number
def test_whoever_makes_up_addresses_is_slowed_down_all_the_same(
    behind: Behind, session: Session, proxies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_in, "FIRST_DELAY", signing_in.LONGEST_DELAY)
    client, statuses = behind(proxies), []
    for number in range(7):
        made_up = ", ".join(FORWARDED["X-Forwarded-For"].replace("6.6.6.6", f"6.6.6.{number}").split(", "))
        client.environ_base["HTTP_X_FORWARDED_FOR"] = made_up
        statuses.append(sign_in(client, proxies, "wrong password").status_code)
    assert statuses == [422] * 5 + [429] * 2
    session.rollback()
    assert len(set(session.scalars(select(SignInFailure.address)))) == 1


@every_number
def test_cookies_and_the_promise_of_https_follow_what_the_outermost_one_says(behind: Behind, proxies: int) -> None:
    client, is_https = behind(proxies), SEEN[proxies][1] == "https"
    opened = client.get("/sign-in")
    for answer in (opened, sign_in(client, proxies)):
        cookies = answer.headers.getlist("Set-Cookie")
        assert cookies
        assert {("; Secure" in cookie, cookie.startswith("__Host-")) for cookie in cookies} == {(is_https, is_https)}
        assert ("Strict-Transport-Security" in answer.headers) is is_https


@every_number
def test_links_lead_to_the_name_that_the_outermost_one_was_asked_for(behind: Behind, proxies: int) -> None:
    client, (_, scheme, host) = behind(proxies), SEEN[proxies]
    signed_in = sign_in(client, proxies)
    page = client.get("/settings/staff/invite", headers={"Cookie": cookies_of(signed_in)})
    cookie = cookies_of(signed_in, page)
    form = {"csrf_token": csrf_token(page.text), "name": "Noor", "email": "noor@example.com", "role": "viewer"}
    headers = {"Referer": f"{scheme}://{host}/settings/staff/invite", "Cookie": cookie}
    answer = client.post("/settings/staff/invite", data=form, headers=headers)
    assert f'value="{scheme}://{host}/set-password?link=' in answer.text
    assert "evil" not in answer.text


@pytest.mark.parametrize("few", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"])
def test_fewer_proxies_than_were_told_of_are_not_believed(behind: Behind, session: Session, few: str) -> None:
    """A value that fewer have written than there should be may be the caller's own."""
    client = behind(2, {few: FORWARDED[few].split(", ")[1]})
    answer = client.get("/sign-in")
    assert "; Secure" not in answer.headers["Set-Cookie"]
    token = csrf_token(answer.text)
    form = {"csrf_token": token, "email": email_of(Role.ADMIN), "password": "wrong password"}
    client.post("/sign-in", data=form)
    assert session.scalars(select(SignInFailure.address)).all() == [PEER]


# The name ------------------------------------------------------------------------------------------------------------

OWN = "https://onboarding.example.com"
NAMES = [
    ("onboarding.example.com", True),
    ("onboarding.example.com:8443", True),
    ("ONBOARDING.example.COM", True),
    ("evil.example", False),
    ("onboarding.example.com.evil.example", False),
    ("evil-onboarding.example.com", False),
    ("localhost", False),
    ("10.0.0.1:8000", False),
    ("[::1]:8000", False),
]
PAGES = ["/sign-in", "/", "/people", "/set-password?link=x", "/api/docs", "/nowhere", "/activity.csv"]
FOR_MACHINES = ["/healthz", "/readyz", "/metrics", "/api/openapi.json", "/static/css/app.css", "/api/onboarding/steps"]


@pytest.mark.parametrize(("host", "known"), NAMES)
def test_pages_are_there_under_the_name_of_the_base_url_alone(behind: Behind, host: str, known: bool) -> None:
    client = behind(0, {}, base_url=OWN)
    for path in PAGES:
        with capture_logs() as log:
            answer = client.get(path, headers={"Host": host})
        if known:
            assert answer.status_code in (200, 303, 404)
            continue
        assert (answer.status_code, answer.mimetype) == (400, "text/plain")
        assert answer.text == f"The dashboard is not at this name. Its address is {OWN}\n"
        assert not answer.headers.getlist("Set-Cookie")
        assert (log[0]["event"], log[0]["host"]) == ("asked for under another name", host)


@pytest.mark.parametrize("path", FOR_MACHINES)
def test_probes_and_backends_may_use_another_name(behind: Behind, session: Session, path: str) -> None:
    made = tokens.create(session, Actor("system:test"), name="shop", scopes=[Scope.PROGRESS_READ])
    session.commit()
    client = behind(0, {}, base_url=OWN)
    client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    bearer = {"Authorization": f"Bearer {made.secret}"} if "onboarding" in path else {}
    with client.get(path, headers={"Host": "10.0.0.7:8000", **bearer}) as answer:
        assert answer.status_code == (422 if bearer else 200)


@pytest.mark.parametrize(("proxies", "status"), [(0, 400), (1, 200)])
def test_a_trusted_proxy_tells_the_name(behind: Behind, proxies: int, status: int) -> None:
    told = {"X-Forwarded-Host": "onboarding.example.com"}
    client = behind(proxies, told, base_url=OWN)
    assert client.get("/sign-in", headers={"Host": "127.0.0.1:8000"}).status_code == status


def test_without_a_base_url_any_name_will_do(behind: Behind) -> None:
    client = behind(0, {})
    assert client.get("/sign-in", headers={"Host": "whatever.example"}).status_code == 200


def test_a_post_under_another_name_does_nothing(behind: Behind, session: Session) -> None:
    client = behind(0, {}, base_url=OWN)
    form = {"email": email_of(Role.ADMIN), "password": PASSWORD}
    assert client.post("/sign-in", data=form, headers={"Host": "evil.example"}).status_code == 400
    assert session.scalars(select(SignInFailure)).all() == []
