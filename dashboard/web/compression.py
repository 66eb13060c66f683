"""Pages are compressed on the way out; nothing else is, so that the tags by which the API tells states apart stay as they are.

What is compressed tells something of itself by its size (BREACH): a site that makes a browser ask for a page many times,
with guesses in its address, could read the page letter by letter from a network on which it listens. So a page that
another site asked for goes out as it is. CSRF tokens are signed anew each second besides, and cookies are SameSite=Lax.
"""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

SMALLEST_BYTES = 1_000
LEVEL = 9
FOREIGN = frozenset({"cross-site", "same-site"})
"""What browsers say in Sec-Fetch-Site of requests that a page of another origin caused."""


def install(app: Flask) -> None:
    """Compresses pages, and the parts of pages that htmx asks for."""
    app.after_request(compress)


def compress(response: Response) -> Response:
    """The same page for gzip, where the browser takes it and nobody else asked."""
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
