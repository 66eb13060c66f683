"""CORS: pages of the sites in CORS_ORIGINS may use the API in a browser, with a token, and no others.

A page of any other origin gets no CORS headers, so its browser keeps the answers from it.
"""

from __future__ import annotations

from flask import Flask, Response, request

OPEN = "/api/onboarding/"
CLIENT = "/static/onboarding-client.js"
"""Modules are fetched with CORS too."""

PREFLIGHT = {
    # creating and erasing people is for the host's backend
    "Access-Control-Allow-Methods": "GET, PATCH",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, X-Retry-Attempt",
    # seconds; Chromium's maximum
    "Access-Control-Max-Age": "7200",
}
READABLE = "ETag, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-ID"


def install(app: Flask, origins: frozenset[str]) -> None:
    """Answers these origins' preflights, and names the origin on every answer to it. Without any, nothing changes."""
    if not origins:
        return

    @app.before_request
    def answer_preflight() -> Response | None:
        # before the views: a preflight has no token, and only asks what a page may send
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if asks and request.path.startswith(OPEN) and request.origin in origins:
            return Response(status=204, headers=PREFLIGHT, mimetype="text/plain")
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        if request.path.startswith(OPEN) or request.path == CLIENT:
            response.vary.add("Origin")
            if request.origin in origins:
                response.headers["Access-Control-Allow-Origin"] = request.origin
                response.headers["Access-Control-Expose-Headers"] = READABLE
        return response
