"""Who is calling: a bearer token, and whether its scopes allow this."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import Forbidden, Unauthorized

from dashboard.database import transaction
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from dashboard.staff.tokens import Token

BEARER = 'Bearer realm="onboarding"'


class TokenNeeded(Unauthorized):
    """No token came, or none that holds. `challenge` is for the header WWW-Authenticate (RFC 6750, 3)."""

    def __init__(self, description: str, challenge: str) -> None:
        self.challenge = challenge
        super().__init__(description)


class ScopeMissing(Forbidden):
    """The token holds, but was not made for this."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.challenge = f'{BEARER}, error="insufficient_scope", scope="{scope}"'
        super().__init__(f"This takes a token with the scope {scope}.")


def authorise(scope: Scope) -> Token:
    """The caller's token. Raises TokenNeeded, ScopeMissing when it lacks `scope`."""
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise TokenNeeded("Send a token: Authorization: Bearer <token>.", BEARER)
    with transaction() as session:
        token = tokens.authenticate(session, given.token)
    if token is None:
        raise TokenNeeded("This token is unknown, expired or revoked.", f'{BEARER}, error="invalid_token"')
    if scope not in token.scopes:
        raise ScopeMissing(scope)
    return token
