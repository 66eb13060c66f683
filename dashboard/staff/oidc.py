"""OpenID Connect with the sign-in provider: the authorization code flow with PKCE and a verified ID token.

Needs the extra `oidc`: nothing imports this unless a provider is set up. The provider's metadata and keys are cached
for a while, and every call has a time limit.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

from dashboard.staff import names
from dashboard.staff.accounts import MAX_NAME, email_problem, normalise_email
from dashboard.staff.passwords import CONTROL
from dashboard.staff.provider import Identity, NotProven, Pending, Provider, Unreachable, is_safe

KEPT_S = 3_600
RENEWED_S = 60
"""The minimum age of the keys before a token that names an unknown key has them fetched again."""
FAILED_S = 5
"""How long a failure is repeated instead of making every request wait for the same."""

CONNECT_S, SILENCE_S, WHOLE_S = 3.0, 5.0, 10.0
LARGEST = 1024 * 1024
LEEWAY_S = 60
LONGEST_SUBJECT = 255
"""OpenID Connect Core 1.0, section 2: the length of a subject."""

ALGORITHMS = tuple(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512))
"""Signatures with the provider's own key, whatever else it offers: a shared secret or `none` would prove nothing."""

KINDS = frozenset({"RSA", "EC"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The provider's metadata. `userinfo` is empty if it has none; `names_issuer`: RFC 9207."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    authentication: str
    names_issuer: bool


class OpenIdClient:
    """This dashboard as a client of the provider; one instance serves all threads of a process."""

    def __init__(self, provider: Provider, clock: Callable[[], float] = time.monotonic) -> None:
        self.provider = provider
        self._clock = clock
        self._http = httpx.Client(
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S), headers={"Accept": "application/json"}
        )
        self._endpoints = _Kept(self._discovered, clock)
        self._keys = _Kept(self._published, clock)

    def begin(self, redirect_uri: str) -> tuple[str, Pending]:
        """The provider's sign-in address, and what the browser has to keep until it returns. Raises Unreachable."""
        pending = Pending(*(secrets.token_urlsafe(32) for _ in range(3)))
        address: str = prepare_grant_uri(
            self._endpoints.get().authorization,
            self.provider.client_id,
            "code",
            redirect_uri,
            " ".join(self.provider.scopes),
            pending.state,
            nonce=pending.nonce,
            code_challenge=create_s256_code_challenge(pending.verifier),
            code_challenge_method="S256",
        )
        return address, pending

    def finish(self, pending: Pending, code: str, redirect_uri: str, named_issuer: str | None) -> Identity:
        """The identity that returned with the code. `named_issuer` is the issuer that the address claims.

        Raises Unreachable or NotProven.
        """
        if not code:
            raise NotProven("the answer has no code")
        endpoints = self._endpoints.get()
        if named_issuer != self.provider.issuer and (named_issuer is not None or endpoints.names_issuer):
            raise NotProven("the answer does not name the issuer, or another one")
        tokens = self._exchanged(endpoints, pending, code, redirect_uri)
        claims = self._verified(tokens, pending.nonce)
        wanted = {"email", "email_verified", self.provider.groups_claim}
        if endpoints.userinfo and not wanted <= claims.keys():
            claims = {**self._userinfo(endpoints, tokens, claims["sub"]), **claims}
        return self._identity(claims)

    def _exchanged(self, endpoints: Endpoints, pending: Pending, code: str, redirect_uri: str) -> dict[str, Any]:
        body = prepare_token_request("authorization_code", "", redirect_uri, code=code, code_verifier=pending.verifier)
        client = ClientAuth(self.provider.client_id, self.provider.client_secret, endpoints.authentication)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        address, headers, body = client.prepare("POST", endpoints.token, headers, body)
        status, tokens = self._ask("POST", address, headers=headers, content=body)
        if status != 200:
            raise NotProven(f"the code was not taken: {status} {str(tokens.get('error'))[:100]}")
        return tokens

    def _verified(self, tokens: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the ID token: signed by the provider, for this client, now, and for this sign-in."""
        try:
            token = self._decoded(str(tokens.get("id_token", "")))
            # tokens for other clients of the same provider are not for us
            options = {name: {"essential": True, "values": [value]} for name, value in self._expected.items()}
            parameters = {"nonce": nonce, "client_id": self.provider.client_id}
            parameters |= {"access_token": tokens["access_token"]} if "access_token" in tokens else {}
            CodeIDToken(token.claims, token.header, options, parameters).validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            raise NotProven(f"the ID token does not hold: {type(error).__name__} {str(error)[:200]}") from error
        return dict(token.claims)

    @property
    def _expected(self) -> dict[str, str]:
        return {"iss": self.provider.issuer, "aud": self.provider.client_id}

    def _decoded(self, id_token: str) -> jwt.Token:
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        try:
            return jwt.decode(id_token, self._keys.get(), registry=registry)
        except InvalidKeyIdError:
            # the provider may have changed its keys since
            return jwt.decode(id_token, self._keys.get(RENEWED_S), registry=registry)

    def _userinfo(self, endpoints: Endpoints, tokens: Mapping[str, Any], subject: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
        status, claims = self._ask("GET", endpoints.userinfo, headers=headers)
        if status != 200 or claims.get("sub") != subject:
            raise NotProven(f"the userinfo is of nobody, or of somebody else: {status}")
        return claims

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims["sub"]
        if not 1 <= len(subject) <= LONGEST_SUBJECT or CONTROL.search(subject):
            raise NotProven("the subject is none")
        email = _verified_email(claims)
        groups = claims.get(self.provider.groups_claim)
        listed = groups if isinstance(groups, list) else [groups]
        return Identity(
            self.provider.issuer,
            subject,
            email,
            _name(claims.get("name")) or email.partition("@")[0][:MAX_NAME],
            frozenset(group for group in listed if isinstance(group, str)),
        )

    def _discovered(self) -> Endpoints:
        address = f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, said = self._ask("GET", address)
        if status != 200 or said.get("issuer") != self.provider.issuer:
            raise Unreachable(f"{address} answered {status}, of the issuer {str(said.get('issuer'))[:200]!r}")
        addresses = [said.get(f"{name}_endpoint", "") for name in ("authorization", "token", "userinfo")]
        authorization, token, userinfo = addresses
        keys = said.get("jwks_uri")
        if not all(isinstance(one, str) and is_safe(one) for one in (authorization, token, keys)):
            raise Unreachable(f"{address} names an address that cannot be used")
        return Endpoints(
            authorization,
            token,
            str(keys),
            userinfo if isinstance(userinfo, str) and is_safe(userinfo) else "",
            self._authentication(said.get("token_endpoint_auth_methods_supported")),
            said.get("authorization_response_iss_parameter_supported") is True,
        )

    def _authentication(self, offered: object) -> str:
        if not self.provider.client_secret:
            return "none"
        methods = offered if isinstance(offered, list) else []
        only_post = "client_secret_post" in methods and "client_secret_basic" not in methods
        return "client_secret_post" if only_post else "client_secret_basic"

    def _published(self) -> KeySet:
        address = self._endpoints.get().keys
        status, said = self._ask("GET", address)
        keys = said.get("keys")
        usable = [key for one in keys if (key := _key(one))] if isinstance(keys, list) else []
        if status != 200 or not usable:
            raise Unreachable(f"{address} answered {status}, with no key that can be used")
        return KeySet(usable)

    def _ask(self, method: str, address: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """The status and the JSON object in the answer. Raises Unreachable: a fault, no object, or endless."""
        try:
            status, body = self._answer(method, address, request)
            said = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{address}: {type(error).__name__} {str(error)[:200]}") from error
        if status >= 500 or not isinstance(said, dict):
            raise Unreachable(f"{address} answered {status}")
        return status, said

    def _answer(self, method: str, address: str, request: Mapping[str, Any]) -> tuple[int, bytes]:
        body, until = b"", self._clock() + WHOLE_S
        with self._http.stream(method, address, **request) as response:
            for part in response.iter_bytes():
                body += part
                if len(body) > LARGEST or self._clock() > until:
                    raise ValueError("too long")
        return response.status_code, body


class _Kept(Generic[T]):
    """Something fetched from the provider, and fetched again when it is too old."""

    def __init__(self, fetch: Callable[[], T], clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._held: tuple[T, float] | None = None
        self._failed: tuple[str, float] | None = None

    def get(self, oldest_s: float = KEPT_S) -> T:
        """The value, no older than `oldest_s`. Raises Unreachable."""
        now, held, failed = self._clock(), self._held, self._failed
        if held and now - held[1] < oldest_s:
            return held[0]
        if failed and now - failed[1] < FAILED_S:
            raise Unreachable(failed[0])
        try:
            found = self._fetch()
        except Unreachable as error:
            self._failed = (str(error), self._clock())
            raise
        self._held = (found, now)
        return found


def _verified_email(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return ""
    email = normalise_email(email)
    return "" if email_problem(email) else email


def _name(given: object) -> str:
    return names.steadied(given, MAX_NAME) if isinstance(given, str) else ""


def _key(published: object) -> Key | None:
    """The key, if it can verify a signature; a provider may publish others too."""
    if not isinstance(published, dict) or published.get("kty") not in KINDS or published.get("use", "sig") != "sig":
        return None
    try:
        return JWKRegistry.import_key(published)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
