"""A real OpenID Connect provider for tests of signing in with one: Canaille, with its people in memory.

`Provider.tamper` puts another ID token into its answers, for what no provider in its right mind would sign. A code that it
gave out is to be exchanged before the next one is: in memory it looks codes up by their client too.
"""

from __future__ import annotations

import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import Key, RSAKey
from werkzeug.wrappers import Response

from dashboard.config import Settings
from tests.serving import served

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

CLIENT, SECRET, PASSWORD = "dashboard", "the secret of the dashboard", "a password at the provider"
ROLES = "onboarding-admins=admin, managers=manager, support=support"
LABEL = "Example ID"
TOKEN, USERINFO, KEYS, DISCOVERY = (
    "/oauth/token",
    "/oauth/userinfo",
    "/oauth/jwks.json",
    "/.well-known/openid-configuration",
)

Claims = dict[str, Any]


@dataclass
class Forged:
    """An ID token to be sent in the place of the real one; no `key`: signed with the provider's own."""

    claims: Claims
    key: Key | None = None
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Provider:
    """The provider as a test sees it; `asked` are the paths that were asked for."""

    issuer: str
    app: Flask | None = None
    asked: list[str] = field(default_factory=list)
    is_down: bool = False
    tamper: Callable[[Claims], Forged] | None = None
    unverified: set[str] = field(default_factory=set)
    published: Claims = field(default_factory=dict)
    browsers: dict[str, httpx.Client] = field(default_factory=dict)

    def reset(self) -> None:
        """As if it had just been set up, except that whoever signed in there still is, in no group."""
        self.asked.clear()
        self.is_down, self.tamper = False, None
        self.unverified.clear()
        self.published.clear()
        self.must_agree(False)
        with self._backend() as (backend, models):
            for kind in (
                models.Token,
                models.AuthorizationCode,
                models.Consent,
                models.Client,
                models.Group,
                models.User,
            ):
                for one in backend.query(kind):
                    backend.delete(one)

    def register(self, base_url: str, *, is_public: bool = False) -> None:
        """Knows the dashboard at this address as a client."""
        with self._backend() as (backend, models):
            for known in backend.query(models.Client):
                backend.delete(known)
            client = models.Client(
                client_id=CLIENT,
                client_name="The dashboard",
                client_secret=None if is_public else SECRET,
                client_uri=base_url,
                redirect_uris=[f"{base_url}/sign-in/provider/callback"],
                scope=["openid", "profile", "email", "groups"],
                grant_types=["authorization_code"],
                response_types=["code"],
                token_endpoint_auth_method="none" if is_public else "client_secret_basic",
            )
            backend.save(client)
            client.audience = [client]
            backend.save(client)

    def person(self, name: str, *groups: str, email: str = "", verified: bool = True) -> None:
        """Somebody who signs in there with this name and PASSWORD."""
        (self.unverified.discard if verified else self.unverified.add)(name)
        with self._backend() as (backend, models):
            user = backend.get(models.User, user_name=name) or models.User(user_name=name, password=PASSWORD)
            user.family_name, user.formatted_name = name.title(), f"{name.title()} of the provider"
            user.emails = [email or f"{name}@example.com"]
            backend.save(user)
        self.put_into(name, *groups)

    def put_into(self, name: str, *groups: str) -> None:
        """From now on, these are the person's groups."""
        with self._backend() as (backend, models):
            user = backend.get(models.User, user_name=name)
            for group in backend.query(models.Group):
                if user in group.members:
                    group.members = [member for member in group.members if member != user]
                    backend.save(group) if group.members else backend.delete(group)
            for group_name in groups:
                group = backend.get(models.Group, display_name=group_name) or models.Group(
                    display_name=group_name, members=[]
                )
                group.members = [*group.members, user]
                backend.save(group)

    def set_authentication(self, method: str) -> None:
        """How the dashboard has to prove that it is the client."""
        with self._backend() as (backend, models):
            client = backend.get(models.Client, client_id=CLIENT)
            client.token_endpoint_auth_method = method
            backend.save(client)

    def change_keys(self) -> None:
        """Signs with a new key from now on."""
        assert self.app is not None
        self.app.config["CANAILLE_OIDC"]["ACTIVE_JWKS"] = [_new_key()]

    def must_agree(self, asks: bool = True) -> None:
        """Whether people are asked if the dashboard may know who they are."""
        assert self.app is not None
        self.app.config["CANAILLE_OIDC"]["TRUSTED_DOMAINS"] = [] if asks else ["127.0.0.1", "localhost"]

    def sign_in(self, address: str, name: str) -> str:
        """What somebody does there whom the dashboard sent: signs in, if they have not yet. Where they are sent back to."""
        browser = self.browsers.setdefault(name, httpx.Client())
        answer = browser.get(address)
        if answer.next_request and answer.next_request.url.path == "/login":
            for typed in ({"login": name}, {"password": PASSWORD}):
                page = browser.send(answer.next_request)
                answer = browser.post(page.url, data={"csrf_token": _csrf(page.text), "answer": "", **typed})
                assert answer.next_request, answer.text
            answer = browser.send(answer.next_request)
        assert answer.next_request, answer.text
        return str(answer.next_request.url)

    def asked_for(self, path: str) -> int:
        """How often."""
        return self.asked.count(path)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if self.is_down:
            return Response("<p>Down for maintenance", 503, content_type="text/html")(environ, start_response)
        assert self.app is not None
        answer = Response.from_app(self.app.wsgi_app, environ)
        if path == DISCOVERY and self.published:
            answer.data = json.dumps(json.loads(answer.data) | self.published)
        if path == TOKEN and self.tamper and answer.status_code == 200:
            tokens = json.loads(answer.data)
            answer.data = json.dumps(tokens | {"id_token": self._forged(tokens["id_token"])})
        return answer(environ, start_response)

    def _forged(self, id_token: str) -> str:
        from canaille.oidc.jose import server_jwks

        assert self.app is not None
        assert self.tamper is not None
        with self.app.app_context():
            own = next(key for key in server_jwks(include_inactive=False).keys if key.key_type == "RSA")
        header, claims = (json.loads(urlsafe_b64decode(part + "==")) for part in id_token.split(".")[:2])
        forged = self.tamper(claims)
        header |= forged.header
        return jwt.encode(header, forged.claims, forged.key or own, algorithms=[header["alg"]])

    @contextmanager
    def _backend(self) -> Iterator[tuple[Any, Any]]:
        from canaille.app import models
        from canaille.backends import Backend

        assert self.app is not None
        with self.app.app_context(), Backend.instance.session():
            yield Backend.instance, models


@contextmanager
def running() -> Iterator[Provider]:
    """The provider, served on a port of its own."""
    # it speaks http here, to nobody but this machine
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    provider = Provider("")
    with served(provider) as provider.issuer:
        provider.app = _canaille(provider)
        yield provider


def _canaille(provider: Provider) -> Flask:
    from canaille import create_app
    from canaille.oidc import provider as inside

    real = inside.generate_user_claims

    def claims(user: Any) -> Claims:
        """What it says of somebody; that it has verified an address is nothing that its settings could say."""
        return real(user) | {"email_verified": user.user_name not in provider.unverified}

    inside.generate_user_claims = claims
    made: Flask = create_app(
        {
            "SECRET_KEY": "only for tests of the provider",
            "SERVER_NAME": urlsplit(provider.issuer).netloc,
            "PREFERRED_URL_SCHEME": "http",
            # its pages work without scripts, and theirs are no matter of ours
            "CANAILLE": {
                "DATABASE": "memory",
                "JAVASCRIPT": False,
                "LOGGING": {"version": 1, "disable_existing_loggers": False},
            },
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [_new_key()]},
        }
    )
    return made


def _new_key() -> Claims:
    return RSAKey.generate_key(2048).as_dict(private=True)


def with_provider(
    settings: Settings, provider: Provider, base_url: str = "http://localhost", **changes: Any
) -> Settings:
    """The settings of a dashboard at which one signs in with the provider."""
    told = {
        "base_url": base_url,
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "oidc_scopes": "openid email profile groups",
        "oidc_roles": ROLES,
        "oidc_label": LABEL,
    }
    return replace(settings, **(told | changes))


def query_of(address: str) -> dict[str, str]:
    """The members of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page
    return unescape(found[1])
