"""Cookies: under https each goes over https alone, and what tells who somebody is can be set by this host only."""

from __future__ import annotations

from flask import Flask, Request, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, URLSafeTimedSerializer

PREFIX = "__Host-"
"""Browsers take a cookie of such a name from this very host, over https and for all of its paths, or not at all."""


def is_secure() -> bool:
    """Whether browsers come over https: a proxy that is trusted says so, or SECURE_COOKIES or BASE_URL does."""
    return request.is_secure or bool(current_app.config["SESSION_COOKIE_SECURE"])


def name_of(cookie: str) -> str:
    """What the cookie is called: under https so that no other host, and nothing on the way, can plant one."""
    return f"{PREFIX}{cookie}" if is_secure() else cookie


class BrowserSession(SecureCookieSessionInterface):
    """Flask's session in a signed cookie, which holds the secret of the CSRF tokens and what was just said."""

    def get_cookie_name(self, app: Flask) -> str:
        """Under https one that only this host can set."""
        return name_of(super().get_cookie_name(app))

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - the request decides, too
        """Whether it goes over https alone."""
        return is_secure()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """What the cookie holds. One that an old key has signed is signed anew, so that the key can be dropped."""
        if app.secret_key and (
            "HTTP_COOKIE" not in request.environ or self.get_cookie_name(app) not in request.cookies
        ):
            # to make ready for reading signatures takes longer than anything else here, and the API's callers have none
            return self.session_class()
        opened = super().open_session(app, request)
        if opened and app.config["SECRET_KEY_FALLBACKS"] and not self._is_signed_by_the_key(app, request):
            opened.modified = True
        return opened

    def _is_signed_by_the_key(self, app: Flask, request: Request) -> bool:
        signer = URLSafeTimedSerializer(
            app.secret_key or "",
            salt=self.salt,
            serializer=self.serializer,
            signer_kwargs={"key_derivation": self.key_derivation, "digest_method": self.digest_method},
        )
        try:
            signer.loads(request.cookies[self.get_cookie_name(app)])
        except BadSignature:
            return False
        return True
