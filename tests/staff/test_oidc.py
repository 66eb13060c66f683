"""Signing in with a real OpenID Connect provider, through the pages: the way there and back, and all that can go wrong."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from dashboard.config import Settings
from dashboard.models import AuditEntry, RateLimit, StaffAccount
from dashboard.staff import oidc
from dashboard.staff import provider as provider_module
from dashboard.staff.oidc import OpenIdClient
from dashboard.staff.permissions import Role
from dashboard.staff.provided import Refusal
from dashboard.web import provider as pages
from tests.conftest import csrf_token
from tests.provider import (
    CLIENT,
    DISCOVERY,
    KEYS,
    LABEL,
    SECRET,
    TOKEN,
    USERINFO,
    Claims,
    Forged,
    Provider,
    query_of,
    with_provider,
)
from tests.serving import served
from tests.staff.signed_in import PASSWORD, make_account
from tests.staff.signing_in import USED_UP_S, use_up

BEGIN, CALLBACK = "/sign-in/provider", "/sign-in/provider/callback"
HERE = "http://localhost"


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def settings(settings: Settings, provider: Provider) -> Settings:
    """One signs in with the provider, at which Noor is a support agent."""
    provider.register(HERE)
    provider.person("noor", "support", "everybody")
    return with_provider(settings, provider)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(app: Flask, settings: Settings, clock: Clock) -> Flask:
    """The app, to which nothing is known yet of what the provider publishes."""
    use(app, settings, clock)
    return app


def use(app: Flask, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
    """Has the app sign in as these settings say."""
    provider = settings.sign_in_provider()
    assert provider is not None
    app.extensions.update(settings=settings, oidc=OpenIdClient(provider, clock))


def begin(client: FlaskClient, wanted: str = "") -> str:
    """Where the button leads."""
    answer = client.get(BEGIN, query_string={"next": wanted} if wanted else {})
    assert answer.status_code == 303, answer.text
    return answer.location


def come_back(client: FlaskClient, address: str) -> TestResponse:
    assert address.startswith(HERE + CALLBACK)
    return client.get(address.removeprefix(HERE))


def sign_in(client: FlaskClient, provider: Provider, name: str = "noor", wanted: str = "") -> TestResponse:
    """The whole of it."""
    return come_back(client, provider.sign_in(begin(client, wanted), name))


def is_in(client: FlaskClient) -> bool:
    return client.get("/people").status_code == 200


def people(session: Session) -> dict[str, str]:
    """Everybody's role."""
    session.rollback()
    return {row.email: row.role for row in session.scalars(select(StaffAccount))}


def refusals(session: Session) -> list[str]:
    """Why somebody was refused, oldest first."""
    session.rollback()
    entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "sign_in.refused").order_by(AuditEntry.id))
    return [entry.changes["reason"][1] for entry in entries if "reason" in entry.changes]


def see_problem(answer: TestResponse, status: int, words: str) -> None:
    """The sign-in page, with these words above it."""
    assert answer.status_code == status
    found = re.search(r'data-testid="form-problem">.*?</div></div>', answer.text, re.DOTALL)
    assert found, answer.text
    assert escape(words) in found[0]
    assert 'data-testid="sign-in-form"' in answer.text


# There and back ------------------------------------------------------------------------------------------------------


def test_somebody_signs_in_and_goes_on_to_where_they_wanted(
    client: FlaskClient, provider: Provider, session: Session
) -> None:
    answer = sign_in(client, provider, wanted="/people?q=amara")
    assert (answer.status_code, answer.location) == (303, "/people?q=amara")
    assert is_in(client)
    assert people(session) == {"noor@example.com": "support"}
    page = client.get("/settings/account").text
    assert "Noor of the provider" in page
    assert f"You sign in with {LABEL}" in page


def test_the_button_is_on_the_page_and_takes_the_way_on_along(client: FlaskClient) -> None:
    page = client.get("/sign-in?next=/people?q=a").text
    assert f"Sign in with {LABEL}</a>" in page
    assert 'href="/sign-in/provider?next=/people?q%3Da"' in page
    assert 'data-testid="sign-in-form"' in page


def test_whoever_is_signed_in_is_not_sent_away(client: FlaskClient, provider: Provider) -> None:
    sign_in(client, provider)
    asked = len(provider.asked)
    assert client.get(f"{BEGIN}?next=/steps").location == "/steps"
    assert len(provider.asked) == asked


@pytest.mark.parametrize("address", ["https://evil.example", "//evil.example", "/\\evil", "/sign-in", BEGIN, CALLBACK])
def test_no_other_site_is_led_to(client: FlaskClient, provider: Provider, address: str) -> None:
    assert sign_in(client, provider, wanted=address).location == "/"


def test_the_provider_is_told_where_people_come_from_by_the_settings_alone(client: FlaskClient) -> None:
    assert client.get(BEGIN, base_url="http://evil.example").status_code == 400
    answer = client.get(BEGIN, headers={"X-Forwarded-Host": "evil.example"})
    assert query_of(answer.location)["redirect_uri"] == HERE + CALLBACK


def test_a_client_without_a_secret_signs_people_in(
    app: Flask, client: FlaskClient, provider: Provider, settings: Settings
) -> None:
    provider.register(HERE, is_public=True)
    use(app, with_provider(settings, provider, oidc_client_secret=""))
    sign_in(client, provider)
    assert is_in(client)


def test_the_secret_is_sent_as_the_provider_takes_it(client: FlaskClient, provider: Provider) -> None:
    provider.published["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    provider.set_authentication("client_secret_post")
    sign_in(client, provider)
    assert is_in(client)


def test_a_wrong_secret_is_our_fault_and_not_theirs(
    app: Flask, client: FlaskClient, provider: Provider, settings: Settings, session: Session
) -> None:
    use(app, with_provider(settings, provider, oidc_client_secret="wrong"))
    see_problem(sign_in(client, provider), 400, "could not be verified")
    assert people(session) == {}


def test_what_the_token_does_not_say_is_asked_for(
    app: Flask, client: FlaskClient, provider: Provider, session: Session
) -> None:
    def silent(claims: Claims) -> Forged:
        return Forged({name: claims[name] for name in ("iss", "sub", "aud", "exp", "iat", "nonce")})

    provider.tamper = silent
    sign_in(client, provider)
    assert provider.asked_for(USERINFO) == 1
    assert people(session) == {"noor@example.com": "support"}


def test_nothing_more_is_asked_where_the_token_says_all(client: FlaskClient, provider: Provider) -> None:
    sign_in(client, provider)
    assert provider.asked_for(USERINFO) == 0


def test_where_none_is_set_up_there_is_no_way_there(app: Flask, client: FlaskClient) -> None:
    del app.extensions["oidc"]
    assert "sign-in-with-provider" not in client.get("/sign-in").text
    for address in (BEGIN, CALLBACK, f"{BEGIN}/connect"):
        assert client.get(address).status_code == 404


# Roles ---------------------------------------------------------------------------------------------------------------


def test_the_role_is_that_of_the_groups_each_time(
    app: Flask, client: FlaskClient, provider: Provider, session: Session
) -> None:
    sign_in(client, provider)
    provider.put_into("noor", "managers")
    again = app.test_client()
    sign_in(again, provider)
    assert people(session) == {"noor@example.com": "manager"}
    # the browser of before goes on, with the new role and another secret
    old = client.get_cookie("staff_session")
    assert client.get("/steps/new").status_code == 200
    new = client.get_cookie("staff_session")
    assert old is not None
    assert new is not None
    assert old.value != new.value


def test_of_several_groups_the_first_that_is_told_counts(
    client: FlaskClient, provider: Provider, session: Session
) -> None:
    provider.put_into("noor", "support", "onboarding-admins", "managers")
    sign_in(client, provider)
    assert people(session) == {"noor@example.com": "admin"}


def test_without_a_group_that_counts_nobody_comes_in(client: FlaskClient, provider: Provider, session: Session) -> None:
    provider.put_into("noor", "everybody")
    answer = sign_in(client, provider)
    assert answer.status_code == 403
    assert "none of your groups there has a role here" in answer.text
    assert 'data-testid="not-admitted"' in answer.text
    assert not is_in(client)
    assert people(session) == {}
    assert refusals(session) == [Refusal.NO_ROLE.value]


def test_who_is_in_no_group_any_more_is_signed_out(app: Flask, client: FlaskClient, provider: Provider) -> None:
    sign_in(client, provider)
    provider.put_into("noor")
    assert sign_in(app.test_client(), provider).status_code == 403
    assert not is_in(client)


def test_a_disabled_account_is_told_so(client: FlaskClient, provider: Provider, session: Session) -> None:
    sign_in(client, provider)
    account = session.scalars(select(StaffAccount)).one()
    account.disabled_at = account.created_at
    session.commit()
    client.delete_cookie("staff_session")
    answer = sign_in(client, provider)
    assert answer.status_code == 403
    assert "Your account here is disabled" in answer.text


def test_an_address_that_is_not_verified_makes_no_account(
    client: FlaskClient, provider: Provider, session: Session
) -> None:
    provider.person("eve", "onboarding-admins", email="ada@example.com", verified=False)
    answer = sign_in(client, provider, "eve")
    assert answer.status_code == 403
    assert "has not confirmed that your email address is verified" in answer.text
    assert people(session) == {}


# The browser's part: state -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, "", "forged"])
def test_an_answer_without_the_state_is_nobodys(
    client: FlaskClient, provider: Provider, session: Session, state: str | None
) -> None:
    code = query_of(provider.sign_in(begin(client), "noor"))["code"]
    told = {"code": code, "iss": provider.issuer} | ({} if state is None else {"state": state})
    see_problem(client.get(CALLBACK, query_string=told), 400, "not started in this browser")
    assert provider.asked_for(TOKEN) == 0
    assert people(session) == {}


def test_an_answer_counts_in_the_browser_alone_that_asked(app: Flask, client: FlaskClient, provider: Provider) -> None:
    back = provider.sign_in(begin(client), "noor")
    other = app.test_client()
    see_problem(come_back(other, back), 400, "not started in this browser")
    # nor where another sign-in was begun
    begin(other)
    see_problem(come_back(other, back), 400, "not started in this browser")
    assert not is_in(other)
    assert come_back(client, back).status_code == 303


def test_an_answer_counts_once(client: FlaskClient, provider: Provider) -> None:
    # again by the same person: what the browser keeps of them is not thrown away
    for count in (1, 2):
        back = provider.sign_in(begin(client), "noor")
        assert come_back(client, back).status_code == 303
        client.delete_cookie("staff_session")
        see_problem(come_back(client, back), 400, "not started in this browser")
        assert provider.asked_for(TOKEN) == count
        assert not is_in(client)


def test_an_answer_that_was_declined_counts_no_more(client: FlaskClient, provider: Provider) -> None:
    back = provider.sign_in(begin(client), "noor")
    assert client.get(CALLBACK, query_string={"state": query_of(back)["state"], "error": "x"}).status_code == 400
    see_problem(come_back(client, back), 400, "not started in this browser")


def test_an_answer_that_comes_late_does_not_count(
    client: FlaskClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = provider.sign_in(begin(client), "noor")
    monkeypatch.setattr(pages, "GOOD_S", 0)
    see_problem(come_back(client, back), 400, "took too long")


def test_several_tabs_sign_in_and_the_cookie_stays_small(client: FlaskClient, provider: Provider) -> None:
    addresses = [begin(client, f"/people?q={secrets.token_hex(240)}") for _ in range(5)]
    cookie = client.get_cookie("dashboard")
    assert cookie is not None
    assert len(cookie.value) < 3_500
    forgotten = client.get(CALLBACK, query_string={"state": query_of(addresses[1])["state"], "code": "x"})
    see_problem(forgotten, 400, "not started in this browser")
    assert come_back(client, provider.sign_in(addresses[2], "noor")).location.startswith("/people?q=")


def test_an_address_that_is_too_long_is_not_kept(client: FlaskClient, provider: Provider) -> None:
    assert sign_in(client, provider, wanted="/people?q=" + "a" * 500).location == "/"


def test_the_page_has_nothing_of_what_the_browser_keeps(client: FlaskClient) -> None:
    kept = query_of(begin(client))
    page = client.get("/sign-in").text
    assert kept["state"] not in page
    assert kept["nonce"] not in page
    assert "HttpOnly" in client.get(BEGIN).headers["Set-Cookie"]


# PKCE ----------------------------------------------------------------------------------------------------------------


def test_the_verifier_stays_here_until_the_code_is_exchanged(client: FlaskClient) -> None:
    told = query_of(begin(client))
    with client.session_transaction() as kept:
        verifier = kept["provider"][0]["verifier"]
    assert (told["code_challenge_method"], told["code_challenge"]) == ("S256", create_s256_code_challenge(verifier))
    assert len(verifier) >= 43
    assert verifier not in told.values()


@pytest.mark.parametrize("guess", [{}, {"code_verifier": "a" * 43}])
def test_a_stolen_code_is_worth_nothing_without_it(
    client: FlaskClient, provider: Provider, guess: dict[str, str]
) -> None:
    back = provider.sign_in(begin(client), "noor")
    stolen = {"grant_type": "authorization_code", "code": query_of(back)["code"], "redirect_uri": HERE + CALLBACK}
    answer = httpx.post(provider.issuer + TOKEN, data=stolen | guess, auth=(CLIENT, SECRET))
    assert answer.status_code == 400
    assert "id_token" not in answer.text
    # and with it, it is worth something
    assert come_back(client, back).status_code == 303


def test_a_stolen_code_cannot_be_brought_into_a_sign_in_of_ones_own(
    app: Flask, client: FlaskClient, provider: Provider, session: Session
) -> None:
    stolen = query_of(provider.sign_in(begin(client), "noor"))["code"]
    thief = app.test_client()
    told = {"state": query_of(begin(thief))["state"], "code": stolen, "iss": provider.issuer}
    see_problem(thief.get(CALLBACK, query_string=told), 400, "could not be verified")
    assert not is_in(thief)
    assert refusals(session) == [Refusal.NOT_PROVEN.value]


# The token -----------------------------------------------------------------------------------------------------------

FOREIGN = RSAKey.generate_key(2048)
FORGERIES: dict[str, Callable[[Claims], Forged]] = {
    "another nonce": lambda claims: Forged(claims | {"nonce": "of another sign-in"}),
    "no nonce": lambda claims: Forged(without(claims, "nonce")),
    "for another client": lambda claims: Forged(claims | {"aud": ["another"]}),
    "for another client, by way of us": lambda claims: Forged(claims | {"aud": ["another"], "azp": CLIENT}),
    "for nobody": lambda claims: Forged(without(claims, "aud")),
    "for us and others, given to another": lambda claims: Forged(
        claims | {"aud": [CLIENT, "another"], "azp": "another"}
    ),
    "of another issuer": lambda claims: Forged(claims | {"iss": "https://evil.example"}),
    "expired": lambda claims: Forged(claims | {"iat": int(time.time()) - 7_200, "exp": int(time.time()) - 3_600}),
    "never expiring": lambda claims: Forged(without(claims, "exp")),
    "of tomorrow": lambda claims: Forged(claims | {"iat": int(time.time()) + 86_400}),
    "of nobody": lambda claims: Forged(without(claims, "sub")),
    "of an empty subject": lambda claims: Forged(claims | {"sub": ""}),
    "of a subject with a NUL": lambda claims: Forged(claims | {"sub": "noor\0"}),
    "of a subject that is too long": lambda claims: Forged(claims | {"sub": "n" * 256}),
    "for another access token": lambda claims: Forged(claims | {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "signed by somebody else": lambda claims: Forged(claims, FOREIGN),
    "signed by somebody else, who says so": lambda claims: Forged(claims, FOREIGN, {"kid": "foreign"}),
    "signed with our secret": lambda claims: Forged(claims, OctKey.import_key(SECRET), {"alg": "HS256"}),
    "not signed": lambda claims: Forged(claims, OctKey.import_key(SECRET), {"alg": "none"}),
}


def without(claims: Claims, name: str) -> Claims:
    return {key: value for key, value in claims.items() if key != name}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_token_that_does_not_hold_lets_nobody_in(
    client: FlaskClient, provider: Provider, session: Session, forgery: Callable[[Claims], Forged]
) -> None:
    provider.tamper = forgery
    see_problem(sign_in(client, provider), 400, f"The answer from {LABEL} could not be verified")
    assert not is_in(client)
    assert people(session) == {}
    assert refusals(session) == [Refusal.NOT_PROVEN.value]


def test_a_token_that_was_only_signed_again_holds(client: FlaskClient, provider: Provider) -> None:
    provider.tamper = Forged
    sign_in(client, provider)
    assert is_in(client)


def test_the_userinfo_of_somebody_else_is_not_believed(
    client: FlaskClient, provider: Provider, session: Session
) -> None:
    provider.tamper = lambda claims: Forged(without(claims, "groups") | {"sub": "somebody else"})
    see_problem(sign_in(client, provider), 400, "could not be verified")
    assert people(session) == {}


@pytest.mark.parametrize("groups", [None, 7, {"admin": True}, [["onboarding-admins"]], "onboarding-admins,x"])
def test_groups_that_are_none_give_no_role(client: FlaskClient, provider: Provider, groups: object) -> None:
    provider.tamper = lambda claims: Forged(claims | {"groups": groups})
    assert sign_in(client, provider).status_code == 403


def test_one_group_may_be_told_as_a_text(client: FlaskClient, provider: Provider, session: Session) -> None:
    provider.tamper = lambda claims: Forged(claims | {"groups": "managers"})
    sign_in(client, provider)
    assert people(session) == {"noor@example.com": "manager"}


@pytest.mark.parametrize("verified", ["true", 1, None])
def test_an_address_counts_when_it_is_said_to_be_verified_and_not_otherwise(
    client: FlaskClient, provider: Provider, verified: object
) -> None:
    provider.tamper = lambda claims: Forged(claims | {"email_verified": verified})
    assert sign_in(client, provider).status_code == 403


def test_a_name_that_cannot_be_one_is_not_kept(client: FlaskClient, provider: Provider, session: Session) -> None:
    provider.tamper = lambda claims: Forged(claims | {"name": "\0\n" + "<b>x</b>" * 100})
    sign_in(client, provider)
    name = session.scalars(select(StaffAccount.name)).one()
    assert name == ("<b>x</b>" * 100)[:200]
    assert "<b>x</b>" not in client.get("/people").text


# Who answers: issuer and mix-up --------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", [None, "https://evil.example"])
def test_an_answer_that_names_no_issuer_or_another_is_not_taken(
    client: FlaskClient, provider: Provider, session: Session, issuer: str | None
) -> None:
    told = query_of(provider.sign_in(begin(client), "noor")) | {"iss": issuer or ""}
    if issuer is None:
        del told["iss"]
    see_problem(client.get(CALLBACK, query_string=told), 400, "could not be verified")
    assert provider.asked_for(TOKEN) == 0
    assert refusals(session) == [Refusal.NOT_PROVEN.value]


def test_a_provider_that_names_no_issuer_need_not(client: FlaskClient, provider: Provider) -> None:
    provider.published["authorization_response_iss_parameter_supported"] = False
    told = query_of(provider.sign_in(begin(client), "noor"))
    del told["iss"]
    assert client.get(CALLBACK, query_string=told).status_code == 303


@pytest.mark.parametrize(
    "published",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
        {"jwks_uri": "http://evil.example/keys"},
    ],
)
def test_a_provider_that_says_it_is_another_or_leads_where_others_listen_is_not_used(
    client: FlaskClient, provider: Provider, published: Claims
) -> None:
    provider.published.update(published)
    see_problem(client.get(BEGIN), 503, "cannot be reached")


# When the provider says no, or nothing -------------------------------------------------------------------------------


def declined(client: FlaskClient, **told: str) -> TestResponse:
    return client.get(CALLBACK, query_string={"state": query_of(begin(client, "/people"))["state"], **told})


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("access_denied", 403, "did not let you in, or you cancelled there"),
        ("login_required", 400, "did not sign you in"),
        ("temporarily_unavailable", 503, "cannot be reached"),
        ("<b>Call 555-0100 to unlock</b>", 400, "did not sign you in"),
    ],
)
def test_what_the_provider_declines_is_told_in_our_words(
    client: FlaskClient, session: Session, error: str, status: int, words: str
) -> None:
    answer = declined(client, error=error, error_description="<b>Call 555-0100</b>")
    see_problem(answer, status, words)
    assert "555-0100" not in answer.text
    assert error not in answer.text
    assert 'name="next" value="/people"' in answer.text
    assert people(session) == {}


def test_a_no_that_nobody_asked_for_is_nobodys(client: FlaskClient) -> None:
    see_problem(client.get(CALLBACK, query_string={"error": "access_denied"}), 400, "not started in this browser")


def test_an_answer_without_a_code_is_none(client: FlaskClient, provider: Provider) -> None:
    see_problem(declined(client, iss=provider.issuer), 400, "could not be verified")
    assert provider.asked_for(TOKEN) == 0


def test_a_provider_that_is_down_is_said_so_and_logged_and_comes_back(
    client: FlaskClient, provider: Provider, clock: Clock
) -> None:
    provider.is_down = True
    with capture_logs() as lines:
        see_problem(client.get(f"{BEGIN}?next=/steps"), 503, f"{LABEL} cannot be reached right now")
    assert ("sign-in provider unreachable", "error") in [(line["event"], line["log_level"]) for line in lines]
    # nobody waits for the same again at once
    assert client.get(BEGIN).status_code == 503
    assert provider.asked_for(DISCOVERY) == 1
    provider.is_down = False
    clock.pass_(oidc.FAILED_S)
    assert sign_in(client, provider).status_code == 303


def test_a_provider_that_goes_down_on_the_way_back_is_said_so(
    client: FlaskClient, provider: Provider, session: Session
) -> None:
    back = provider.sign_in(begin(client, "/steps"), "noor")
    provider.is_down = True
    answer = come_back(client, back)
    see_problem(answer, 503, "cannot be reached")
    assert 'name="next" value="/steps"' in answer.text
    assert people(session) == {}


@contextmanager
def silent_server() -> Iterator[str]:
    """Something that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def endless(environ: object, start_response: Callable[..., object]) -> Iterator[bytes]:
    """An answer that goes on as long as somebody listens."""
    start_response("200 OK", [("Content-Type", "application/json")])
    for _ in range(2_000):
        time.sleep(0.01)
        yield b" "


def test_nobody_waits_for_a_provider_that_never_answers(
    app: Flask, client: FlaskClient, provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "SILENCE_S", 0.2)
    monkeypatch.setattr(oidc, "WHOLE_S", 60)
    with silent_server() as issuer:
        use(app, with_provider(settings, provider, oidc_issuer=issuer))
        began = time.monotonic()
        see_problem(client.get(BEGIN), 503, "cannot be reached")
        assert time.monotonic() - began < 16


def test_nobody_waits_for_an_answer_that_never_ends(
    app: Flask, client: FlaskClient, provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "WHOLE_S", 0.2)
    with served(endless) as issuer:
        use(app, with_provider(settings, provider, oidc_issuer=issuer))
        began = time.monotonic()
        see_problem(client.get(BEGIN), 503, "cannot be reached")
        assert time.monotonic() - began < 10


def test_an_answer_that_is_too_long_is_not_read(
    client: FlaskClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "LARGEST", 100)
    see_problem(client.get(BEGIN), 503, "cannot be reached")


# What is kept of it --------------------------------------------------------------------------------------------------


def test_what_the_provider_publishes_is_asked_for_once_an_hour(app: Flask, provider: Provider, clock: Clock) -> None:
    for _ in range(2):
        sign_in(app.test_client(), provider)
    assert (provider.asked_for(DISCOVERY), provider.asked_for(KEYS)) == (1, 1)
    clock.pass_(oidc.KEPT_S)
    sign_in(app.test_client(), provider)
    assert (provider.asked_for(DISCOVERY), provider.asked_for(KEYS)) == (2, 2)


def test_new_keys_of_the_provider_are_found(app: Flask, provider: Provider, clock: Clock) -> None:
    sign_in(app.test_client(), provider)
    provider.change_keys()
    # a stranger's key id has them asked for once a minute at most
    assert sign_in(app.test_client(), provider).status_code == 400
    clock.pass_(oidc.RENEWED_S)
    assert sign_in(app.test_client(), provider).status_code == 303
    assert provider.asked_for(KEYS) == 2


# Slowed down ---------------------------------------------------------------------------------------------------------


def test_one_address_comes_back_only_so_often_and_loses_nothing_by_it(
    client: FlaskClient, provider: Provider, session: Session
) -> None:
    back = provider.sign_in(begin(client), "noor")
    use_up(session, "provider 127.0.0.1")
    answer = come_back(client, back)
    see_problem(answer, 429, "Too many attempts")
    assert USED_UP_S / 2 < int(answer.headers["Retry-After"]) <= USED_UP_S + 3
    session.execute(delete(RateLimit))
    session.commit()
    assert come_back(client, back).status_code == 303


# An account with a password ------------------------------------------------------------------------------------------


@pytest.fixture
def account(session: Session) -> StaffAccount:
    """Noor has an account and a password here already, and is the administrator."""
    make_account(session, Role.ADMIN, "ada@example.com")
    made = make_account(session, Role.ADMIN, "noor@example.com")
    session.commit()
    return made


def give(client: FlaskClient, password: str) -> TestResponse:
    """The password, in the form that asks for it."""
    token = csrf_token(client.get(f"{BEGIN}/connect").text)
    return client.post(f"{BEGIN}/connect", data={"csrf_token": token, "password": password})


def test_the_password_is_asked_for_once(
    client: FlaskClient, provider: Provider, session: Session, account: StaffAccount
) -> None:
    answer = sign_in(client, provider, wanted="/steps")
    assert (answer.status_code, answer.location) == (303, f"{BEGIN}/connect")
    assert not is_in(client)
    page = client.get(answer.location).text
    assert "noor@example.com" in page
    assert f"Your groups at {LABEL} give you the role Support agent" in page

    assert give(client, "").status_code == 422
    wrong = give(client, "a wrong password")
    assert wrong.status_code == 422
    assert "This is not the password for that account." in wrong.text
    assert "a wrong password" not in wrong.text
    assert people(session)["noor@example.com"] == "admin"

    right = give(client, PASSWORD)
    assert (right.status_code, right.location) == (303, "/steps")
    assert is_in(client)
    assert people(session)["noor@example.com"] == "support"
    client.delete_cookie("staff_session")
    assert sign_in(client, provider, wanted="/people").location == "/people"


def test_guessing_the_password_is_slowed_down(
    client: FlaskClient, provider: Provider, account: StaffAccount, long_wait: int
) -> None:
    sign_in(client, provider)
    for _ in range(5):
        assert give(client, "a wrong password").status_code == 422
    answer = give(client, PASSWORD)
    assert answer.status_code == 429
    assert "Retry-After" in answer.headers
    assert not is_in(client)


def test_nobody_connects_who_did_not_come_or_came_too_long_ago(
    client: FlaskClient, provider: Provider, account: StaffAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get(f"{BEGIN}/connect").location == "/sign-in"
    token = csrf_token(client.get("/sign-in").text)
    form = {"csrf_token": token, "password": PASSWORD}
    see_problem(client.post(f"{BEGIN}/connect", data=form), 400, "not started in this browser")
    sign_in(client, provider)
    monkeypatch.setattr(pages, "GOOD_S", 0)
    see_problem(client.post(f"{BEGIN}/connect", data=form), 400, "took too long")
    assert not is_in(client)


def test_connecting_needs_the_token_of_the_form(client: FlaskClient, provider: Provider, account: StaffAccount) -> None:
    sign_in(client, provider)
    assert client.post(f"{BEGIN}/connect", data={"password": PASSWORD}).status_code == 400
    assert not is_in(client)


def test_the_last_administrator_is_told_why_nothing_was_connected(
    client: FlaskClient, provider: Provider, session: Session, account: StaffAccount
) -> None:
    session.delete(session.scalars(select(StaffAccount).where(StaffAccount.email == "ada@example.com")).one())
    session.commit()
    sign_in(client, provider)
    answer = give(client, PASSWORD)
    assert answer.status_code == 403
    assert "you are the last one here" in answer.text
    assert people(session) == {"noor@example.com": "admin"}


def test_every_refusal_has_words() -> None:
    assert set(pages.WHY) == set(Refusal) - {Refusal.PASSWORD, Refusal.NOT_PROVEN}


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("https://id.example.com/realms/staff", True),
        ("http://localhost:8080", True),
        ("http://127.0.0.2", True),
        ("http://[::1]:1", True),
        ("http://id.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://me:secret@id.example.com", False),
        ("https://", False),
        ("https://id.example.com:port", False),
        ("ftp://localhost", False),
    ],
)
def test_what_nobody_else_can_read(address: str, safe: bool) -> None:
    assert provider_module.is_safe(address) is safe
