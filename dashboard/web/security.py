"""What every request must be, and what every response must carry."""

from urllib.parse import unquote_to_bytes, urlsplit

import structlog
from flask import Flask, Response, current_app, request
from flask_wtf import CSRFProtect
from flask_wtf.csrf import CSRFError, validate_csrf
from werkzeug.exceptions import BadHost, BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from wtforms import ValidationError

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # the same origin must still see it: CSRF protection compares it under HTTPS
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # other sites request what is meant for them with CORS, to which this does not apply
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
VARIES_BY = ("HX-Request", "HX-Request-Type", "HX-History-Restore-Request", "Cookie")
"""One address answers with a page or a part of it, and according to what the user may see."""

FORM_TYPES = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data"})
API_PREFIX, PAGE_OF_THE_API = "/api/", "/api/docs"
FOR_MACHINES = ("/healthz", "/readyz", "/metrics", "/static/", API_PREFIX)
"""Paths served under any host name: a probe may know only an address, and a backend may run beside this one."""

log = structlog.get_logger("dashboard.security")

csrf = CSRFProtect()


def install(app: Flask) -> None:
    """Checks the raw request first, then CSRF, and adds the headers on the way out."""
    app.before_request(refuse_bad_host)
    app.before_request(refuse_other_names)
    app.before_request(refuse_unusable)
    # a page may stay open for a day: a token lives as long as the browser's session
    app.config.update(WTF_CSRF_TIME_LIMIT=None)
    csrf.init_app(app)
    app.after_request(add_headers)


def refuse_bad_host() -> Response | None:
    """400 for an impossible Host, in plain text: without a host no page can build its addresses."""
    is_broken = isinstance(request.routing_exception, BadHost) or bool(request.headers.get("Host") and not request.host)
    if not is_broken:
        return None
    if request.path.startswith(API_PREFIX):
        raise BadRequest("The Host header is not a valid host name.")
    return Response("The Host header is not a valid host name.\n", 400, mimetype="text/plain")


def refuse_other_names() -> Response | None:
    """400 for pages under a host name other than BASE_URL's, which may be a stranger's. Without BASE_URL, any will do."""
    known = urlsplit(current_app.config["PAGES_AT"])
    is_page = request.path == PAGE_OF_THE_API or not request.path.startswith(FOR_MACHINES)
    if not known.hostname or not is_page or urlsplit(f"//{request.host}").hostname == known.hostname:
        return None
    log.warning("asked for under another name", host=request.host)
    return Response(f"The dashboard is not at this name. Its address is {known.geturl()}\n", 400, mimetype="text/plain")


def refuse_unusable() -> None:
    """413 for a body over the limit, 415 for a body that is not a form, 400 for NUL bytes and broken UTF-8."""
    _require_text(request.environ.get("PATH_INFO", "").encode("latin-1"))
    _require_text(unquote_to_bytes(request.query_string))
    if request.path.startswith(API_PREFIX) or request.method in {"GET", "HEAD", "OPTIONS"}:
        # API endpoints have limits of their own
        return
    limit = request.max_content_length
    if limit is not None and (request.content_length or 0) > limit:
        raise RequestEntityTooLarge(f"The body is limited to {limit:,} bytes.")
    if request.mimetype not in FORM_TYPES:
        raise UnsupportedMediaType(f"This address takes a form, not {request.mimetype}.")
    if request.mimetype == "application/x-www-form-urlencoded":
        _require_text(unquote_to_bytes(_body(limit).replace(b"+", b" ")))
    elif any("\0" in value for _, value in request.form.items(multi=True)):
        raise BadRequest("The form holds a NUL byte.")


def _body(limit: int | None) -> bytes:
    # werkzeug silently cuts a chunked body off at its limit
    request.max_content_length = None if limit is None else limit + 1
    body = request.get_data(cache=True)
    if limit is not None and len(body) > limit:
        raise RequestEntityTooLarge
    return body


def is_from_here() -> bool:
    """Whether the browser says that a page of this site sent the request; False if it says nothing."""
    site = request.headers.get("Sec-Fetch-Site")
    return site == "same-origin" if site else request.origin == request.host_url.rstrip("/")


def require_token() -> None:
    """The CSRF check of a form whose page sends no referrer, which the usual check always refuses under HTTPS.

    Its view is exempt from the usual check. Raises CSRFError.
    """
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError as error:
        raise CSRFError(error.args[0]) from error


def _require_text(raw: bytes) -> None:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The request is not valid UTF-8.") from error
    if "\0" in text:
        raise BadRequest("The request holds a NUL byte.")


def add_headers(response: Response) -> Response:
    """Security headers everywhere; pages are never stored, static files set their own caching."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        # 0 makes browsers forget it
        response.headers["Strict-Transport-Security"] = f"max-age={current_app.config['HSTS_SECONDS']}"
    if response.mimetype == "text/html":
        response.vary.update(VARIES_BY)
    elif not request.path.startswith(FOR_MACHINES):
        response.vary.add("Cookie")
    return response
