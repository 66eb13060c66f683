"""Compresses pages, and nothing else: the ETags by which API clients tell states apart must stay as they are.

The size of a compressed page reveals something of its content (BREACH): a site that makes a browser request a page many
times, with guesses in the address, could read the page letter by letter from a network it can listen to. So a page that
another site requested is not compressed. Besides, CSRF tokens are signed anew each second; cookies are SameSite=Lax.
"""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

SMALLEST_BYTES = 1_000
LEVEL = 9
FOREIGN = frozenset({"cross-site", "same-site"})
"""The Sec-Fetch-Site values of requests that a page of another origin caused."""


def install(app: Flask) -> None:
    """Compresses pages, and the parts of pages that htmx requests."""
    app.after_request(compress)


def compress(response: Response) -> Response:
    """The page gzipped, if the browser accepts that and no other site requested it."""
    if response.mimetype != "text/html" or response.is_streamed or "ETag" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    foreign = request.headers.get("Sec-Fetch-Site") in FOREIGN
    if foreign or request.accept_encodings.best_match(("gzip", "identity")) != "gzip":
        return response
    page = response.get_data()
    if len(page) >= SMALLEST_BYTES:
        response.set_data(gzip.compress(page, LEVEL, mtime=0))
        response.content_encoding = "gzip"
    return response
