"""The caller: an API token of the host's backend or a signed token of one user, and what it allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import BadRequest, Forbidden, TooManyRequests, Unauthorized

from dashboard.config import Settings
from dashboard.database import Session, statements
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid
from dashboard.staff import rate_limits, tokens
from dashboard.staff.permissions import OF_A_USER, Scope
from dashboard.staff.rate_limits import Allowance, RateLimit
from dashboard.staff.tokens import Lately, Token
from dashboard.staff.user_tokens import UserTokens, refuse_without_key

BEARER = 'Bearer realm="onboarding"'


class TokenNeeded(Unauthorized):
    """No valid token was sent. `challenge` is for the header WWW-Authenticate (RFC 6750, 3)."""

    def __init__(self, description: str, challenge: str) -> None:
        self.challenge = challenge
        super().__init__(description)


class NotAllowed(Forbidden):
    """The token is valid, but does not allow this; `scope` is the one it lacks, if that is the reason."""

    def __init__(self, description: str, scope: Scope | None = None) -> None:
        self.scope = scope
        self.challenge = f'{BEARER}, error="insufficient_scope"' + (f', scope="{scope}"' if scope else "")
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token as presented: one of ours, to be looked up, or a user's, whose signature is valid."""

    secret: str
    user_id: str | None = None

    @property
    def key(self) -> str:
        """The key of its rate limit, which reveals no id: all tokens of a user share one."""
        return tokens.digest(self.secret if self.user_id is None else f"user:{self.user_id}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller's actor, and what its token allows. `user_id`: the only user it may name.

    `token_id` is an API token's, for statements that check its validity themselves.
    """

    actor: Actor
    scopes: frozenset[Scope]
    user_id: str | None = None
    token_id: int | None = None

    def whom(self, *named: str | None) -> str:
        """The user that the request is about. Raises Invalid: nobody; BadRequest: two people; NotAllowed: another."""
        people = {user_id for user_id in (*named, self.user_id) if user_id is not None}
        if not people:
            raise Invalid({"user_id": "is required"})
        if self.user_id is not None and len(people) > 1:
            raise NotAllowed("A user token is only for its own user.")
        if len(people) > 1:
            raise BadRequest("The user_id in the address and the one in the body differ.")
        return people.pop()


def shown(actor: str) -> str:
    """An actor's key as the caller may see it: to a user, only the kind of any other actor is shown."""
    caller: Caller | None = g.get("caller")
    if caller is None or caller.user_id is None or actor == f"user:{caller.user_id}":
        return actor
    return actor.partition(":")[0]


def install(app: Flask, settings: Settings) -> None:
    """Sets up authentication and rate limits, and reports to each caller what is left of its limit."""
    app.extensions["user_tokens"] = settings.user_tokens()
    app.extensions["tokens_lately"] = tokens.Lately()
    app.extensions["rate_limits"] = {
        is_user: RateLimit(per_minute) if per_minute else None
        for is_user, per_minute in ((False, settings.rate_limit), (True, settings.user_rate_limit))
    }
    app.after_request(tell_allowance)


def admit() -> Bearer:
    """The caller's token, with one permit of its rate limit spent. Raises TokenNeeded, TooManyRequests.

    This runs before the request's transaction: inside it, requests with the same token would wait for its end, and a
    second connection for each request could leave all of them waiting for one.
    """
    bearer = _bearer()
    limit: RateLimit | None = current_app.extensions["rate_limits"][bearer.user_id is not None]
    if limit is not None:
        g.allowance = limit.spend(bearer.key, partial(_draw, bearer))
        if g.allowance.is_spent:
            who = "token" if bearer.user_id is None else "user"
            raise TooManyRequests(
                f"This {who} can make {limit.per_minute:,} requests a minute. Wait {g.allowance.retry_after_s} s.",
                retry_after=g.allowance.retry_after_s,
            )
    return bearer


def _bearer() -> Bearer:
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise TokenNeeded("Send a token: Authorization: Bearer <token>.", BEARER)
    if given.token.startswith(tokens.PREFIX):
        return Bearer(given.token)
    user_tokens: UserTokens | None = current_app.extensions["user_tokens"]
    if user_tokens is None:
        refuse_without_key(given.token)
        raise _worthless()
    user_id = user_tokens.user_of(given.token)
    if user_id is None:
        raise _worthless()
    return Bearer(given.token, user_id)


def _draw(bearer: Bearer, key: str, cost: float) -> tuple[int, float]:
    with statements() as session:
        _caller(session, bearer)
        return rate_limits.draw(session, key, cost)


def authorise(session: Session, bearer: Bearer, scope: Scope, *, backend_only: bool) -> Caller:
    """The caller. Raises TokenNeeded, and NotAllowed if its token does not allow this."""
    return _allowed(_caller(session, bearer), scope, backend_only=backend_only)


def remembered(bearer: Bearer, scope: Scope, *, backend_only: bool) -> Caller | None:
    """The caller, with the token's validity left for the statement to check. None: the token has to be looked up.

    Raises NotAllowed.
    """
    if bearer.user_id is not None:
        return _allowed(_user(bearer.user_id), scope, backend_only=backend_only)
    token = _lately().get(bearer.secret)
    return _allowed(_backend(token), scope, backend_only=backend_only) if token else None


def _allowed(caller: Caller, scope: Scope, *, backend_only: bool) -> Caller:
    g.caller = caller
    if scope not in caller.scopes:
        token = "a token" if caller.user_id is None else "an API token of the host's backend, not a user's,"
        raise NotAllowed(f"This requires {token} with the scope {scope}.", scope)
    if backend_only and caller.user_id is not None:
        raise NotAllowed("This requires an API token of the host's backend, not a user's.")
    return caller


def _caller(session: Session, bearer: Bearer) -> Caller:
    if bearer.user_id is not None:
        return _user(bearer.user_id)
    token = tokens.authenticate(session, bearer.secret)
    if token is None:
        raise _worthless()
    _lately().keep(bearer.secret, token)
    return _backend(token)


def _user(user_id: str) -> Caller:
    return Caller(Actor(f"user:{user_id}", "api"), OF_A_USER, user_id)


def _backend(token: Token) -> Caller:
    return Caller(token.actor, token.scopes, token_id=token.id)


def _lately() -> Lately:
    return cast("Lately", current_app.extensions["tokens_lately"])


def _worthless() -> TokenNeeded:
    return TokenNeeded("This token is unknown, expired or revoked.", f'{BEARER}, error="invalid_token"')


def tell_allowance(response: Response) -> Response:
    """Adds headers with what is left of the rate limit, if one applies."""
    allowance: Allowance | None = g.get("allowance")
    if allowance is not None:
        response.headers["RateLimit-Limit"] = str(allowance.limit)
        response.headers["RateLimit-Remaining"] = str(allowance.remaining)
        response.headers["RateLimit-Reset"] = str(allowance.full_in_s)
    return response
