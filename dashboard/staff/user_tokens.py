"""User tokens: JSON Web Tokens with which the host product states that the bearer is one of its users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
import structlog
from jwt import exceptions
from jwt.exceptions import InvalidKeyError, InvalidSignatureError, InvalidTokenError, MissingRequiredClaimError

from dashboard.onboarding.limits import MAX_KEY, text_problem

log = structlog.get_logger("dashboard.user_tokens")

SHARED = ("HS256", "HS384", "HS512")
PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 10
LONGEST = 8_192
DOTS = 2
"""The number of dots in a signed JSON Web Token, between its three parts."""
AS_PEM = (
    r": it takes a public key of its kind in PEM, with its line breaks or \n in their place, not the name of a file"
)

REASONS: dict[type[Exception], str] = {
    exceptions.ExpiredSignatureError: "expired: exp is in the past",
    exceptions.ImmatureSignatureError: "not valid yet: nbf is in the future",
    exceptions.InvalidAlgorithmError: "alg is not one of USER_TOKEN_ALGORITHMS",
    exceptions.InvalidSignatureError: "the signature is not one by USER_TOKEN_KEY",
    exceptions.InvalidAudienceError: "aud is not USER_TOKEN_AUDIENCE",
    exceptions.InvalidIssuerError: "iss is not USER_TOKEN_ISSUER",
    exceptions.InvalidSubjectError: "sub is not text",
}
"""Why a token was refused, for the log, in our own words: a library's message may quote the token."""


class BadKey(ValueError):
    """The key and the algorithms don't match; the message says why, and `setting` names the key."""

    def __init__(self, reason: str, setting: str = "USER_TOKEN_KEY") -> None:
        self.setting = setting
        super().__init__(reason)


class _Refused(Exception):
    """The token is not valid; the message says why, in our own words."""


@dataclass(frozen=True, slots=True)
class UserTokens:
    """How user tokens are verified: with this key and only these algorithms; `audience` and `issuer` if set.

    `old_key`, if set, is as good as `key`: it signed tokens before it was replaced.
    """

    key: str
    algorithms: tuple[str, ...]
    audience: str = ""
    issuer: str = ""
    old_key: str = ""

    def __post_init__(self) -> None:
        """Raises BadKey. A public key mistaken for a shared secret would let anybody sign."""
        _check("USER_TOKEN_KEY", self.key, self.algorithms)
        if self.old_key:
            _check("OLD_USER_TOKEN_KEY", self.old_key, self.algorithms)

    def user_of(self, token: str) -> str | None:
        """The user's id, the claim `sub`; None: not signed with the key, expired, never expiring, or not for here.

        The reason goes to the log: the bearer of an invalid token is not told.
        """
        try:
            return self._subject(token)
        except _Refused as refused:
            log.warning("user token refused", reason=str(refused))
            return None

    def _subject(self, token: str) -> str:
        if len(token) > LONGEST:
            raise _Refused(f"longer than {LONGEST:,} characters")
        try:
            claims = self._claims(token)
        except MissingRequiredClaimError as error:
            raise _Refused(f"{error.claim} is missing") from error
        except (InvalidTokenError, ValueError) as error:
            raise _Refused(REASONS.get(type(error), "no JSON Web Token, or a claim of the wrong kind")) from error
        user_id: str = claims["sub"]
        if not user_id.strip() or text_problem(user_id, MAX_KEY):
            raise _Refused("sub is not the id of a user")
        return user_id

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            return self._signed_with(self.key, token)
        except InvalidSignatureError:
            if not self.old_key:
                raise
            return self._signed_with(self.old_key, token)

    def _signed_with(self, key: str, token: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=list(self.algorithms),
            audience=self.audience or None,
            issuer=self.issuer or None,
            leeway=LEEWAY_S,
            # RFC 7519, 4.1.6: iat says when it was issued, not from when it is valid
            options={"require": ["exp", "sub"], "verify_aud": bool(self.audience), "verify_iat": False},
        )


def refuse_without_key(token: str) -> None:
    """Without a key, logs the reason, as `user_of` does, if the token looks like a user token."""
    if token.count(".") == DOTS:
        log.warning("user token refused", reason="USER_TOKEN_KEY is not set")


def pem(given: str) -> str:
    r"""The key as given; a PEM on one line with \n for its line breaks, as in environment files, is restored."""
    return given.replace("\\n", "\n") if given.startswith("-----BEGIN") else given


def _check(setting: str, key: str, algorithms: Sequence[str]) -> None:
    from jwt.algorithms import get_default_algorithms

    known = (*SHARED, *PUBLIC)
    if unknown := [name for name in algorithms if name not in known]:
        raise BadKey(f"there is no algorithm {', '.join(unknown)}; there are {', '.join(known)}")
    shared = [name for name in algorithms if name in SHARED]
    if not algorithms or (shared and len(shared) < len(algorithms)):
        raise BadKey("name either algorithms with a shared secret (HS...) or ones with a public key, not both")
    if "PRIVATE KEY" in key:
        raise BadKey("give the public key: the private one stays with whoever signs", setting)
    for name in algorithms:
        algorithm = get_default_algorithms()[name]
        try:
            prepared = algorithm.prepare_key(key)
        except (InvalidKeyError, ValueError, TypeError) as error:
            raise BadKey(f"the key does not fit {name}{'' if name in SHARED else AS_PEM}", setting) from error
        if reason := algorithm.check_key_length(prepared):
            raise BadKey(f"the key does not fit {name}: {reason}", setting)
