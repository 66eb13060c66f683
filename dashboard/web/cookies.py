"""Cookies: under HTTPS each is sent over HTTPS only, and those that identify somebody can be set by this host only."""

from __future__ import annotations

from flask import Flask, Request, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, URLSafeTimedSerializer

PREFIX = "__Host-"
"""Browsers accept a cookie with this prefix only from this very host, over HTTPS and for all paths."""


def is_secure() -> bool:
    """Whether browsers connect over HTTPS, according to a trusted proxy, SECURE_COOKIES or BASE_URL."""
    return request.is_secure or bool(current_app.config["SESSION_COOKIE_SECURE"])


def name_of(cookie: str) -> str:
    """The cookie's name; under HTTPS one that no other host, and nothing on the way, can plant."""
    return f"{PREFIX}{cookie}" if is_secure() else cookie


class BrowserSession(SecureCookieSessionInterface):
    """Flask's session in a signed cookie: the secret of the CSRF tokens and the messages just flashed."""

    def get_cookie_name(self, app: Flask) -> str:
        """Under HTTPS, a name that only this host can set."""
        return name_of(super().get_cookie_name(app))

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - the request decides, too
        """Whether the cookie is sent over HTTPS only."""
        return is_secure()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The cookie's content. One signed with an old key is signed again, so that the key can be dropped."""
        if app.secret_key and (
            "HTTP_COOKIE" not in request.environ or self.get_cookie_name(app) not in request.cookies
        ):
            # preparing to verify signatures is the slowest part here, and callers of the API have no cookie
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
