"""Templates: what they may use, and the one call that renders a page or a part of it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, Response, current_app, g, make_response, render_template, request
from htmx_flask.extension import Htmx
from jinja2 import StrictUndefined

from dashboard.database import statements
from dashboard.onboarding import filters, limits, plans, steps
from dashboard.onboarding.carryover import STATUSES, WORKED
from dashboard.staff import links, sessions
from dashboard.web import formats, text_diff, wording
from dashboard.words import plural

FILTERS: tuple[Callable[..., object], ...] = (
    formats.number,
    formats.signed,
    formats.compact,
    formats.percent,
    formats.share,
    plural,
    formats.lasting,
    formats.initials,
    formats.status_label,
    formats.apart,
    formats.listing,
    formats.paragraphs,
)

LIMITS = {
    "key": limits.MAX_KEY,
    "filter": filters.MAX_VALUE,
    "comment": limits.MAX_COMMENT,
    "idle": sessions.IDLE,
    "session": sessions.ABSOLUTE,
    "link": links.VALID,
}
"""Numbers from the rules that pages mention."""

IN_PATHS = "/:@!$&'()*+,;="
IN_QUERIES = IN_PATHS + "?%"
"""What stands in an address as it is, beside letters, digits and -._~; a query comes quoted."""


def install(app: Flask) -> None:
    """The filters and globals of every template."""
    Htmx(app)
    environment = app.jinja_env
    # a misspelt name is a bug: it must not become an empty place on a page
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update({function.__name__: function for function in FILTERS})
    environment.filters.update(released=wording.released, release_icon=lambda release: wording.ICONS[release.kind])
    environment.globals.update(
        when=formats.when,
        wants_partial=wants_partial,
        marked=text_diff.marked,
        counted=wording.counted,
        counts=plans.counts,
        checked=wording.checked,
        sizes=formats.sizes,
        column_size=formats.column_size,
        status_counts=formats.status_counts,
        DEEDS=wording.DEEDS,
        LIMITS=LIMITS,
        NUMBERS=wording.NUMBERS,
        STATUSES=STATUSES,
        WORKED=WORKED,
        STATUS_CHOICES=formats.STATUS_CHOICES,
        BAND_LABELS=formats.BAND_LABELS,
        STEP_LABELS=formats.STEP_LABELS,
    )
    app.context_processor(shell)


def shell() -> dict[str, object]:
    """What the layouts need on every page. Queries no database: error pages use it too."""
    from dashboard.web.theme import chosen

    return {
        "theme": chosen(),
        "demo": current_app.config["DEMO"],
        "here": this_address(),
        "way_back": _way_back(),
        "account": g.get("account"),
        "draft_count": 0,
    }


def _way_back() -> str:
    """This page's address; the previous page's if this one answers a form and cannot be requested again."""
    adapter = current_app.create_url_adapter(request)
    if request.method == "POST" and adapter and not adapter.test(method="GET"):
        return back_address()
    return this_address()


def drafts_waiting() -> int:
    """The number of steps with a draft, for the navigation; 0 if nobody is signed in."""
    if g.get("account") is None:
        return 0
    with statements() as session:
        return steps.drafts_waiting(session)


def wants_partial() -> bool:
    """Whether htmx asks for a part of a page. It wants whole pages when it restores history or targets the body."""
    if not request.htmx:  # type: ignore[attr-defined]
        return False
    headers = request.headers
    return headers.get("HX-Request-Type") != "full" and "HX-History-Restore-Request" not in headers


def asks_by_itself() -> bool:
    """Whether a page sent this request by itself, as it does every few seconds (static/js/app.js)."""
    return "X-Quiet" in request.headers


def has_unsaved() -> bool:
    """Whether the requesting page has unsaved input (static/js/app.js)."""
    return "X-Unsaved" in request.headers


def has_empty_fields() -> bool:
    """Whether a browser sent a form's empty fields too: a page redirects it to the address without them."""
    return not wants_partial() and not all(request.args.values())


def render(
    page: str, partial: str | None = None, *, status: int = 200, push: str | None = None, **context: Any
) -> Response:
    """The page; for htmx only its partial, if one is named, with the address to `push` where it is another one."""
    if partial and wants_partial():
        return make_response(render_template(partial, **context), status, {"HX-Push-Url": push} if push else {})
    if "draft_count" not in context:
        context["draft_count"] = drafts_waiting()
    return make_response(render_template(page, **context), status)


def local_address(address: str | None) -> str:
    """The address if it stays on this site, else the overview: none of our forms sends people elsewhere."""
    if not address or not address.startswith("/") or address.startswith(("//", "/\\")):
        return "/"
    if any(ord(letter) < 32 for letter in address):
        return "/"
    parts = urlsplit(address)
    return "/" if parts.scheme or parts.netloc else address


def back_address() -> str:
    """The page that a form post came from, for a redirect after a fault; the overview if it is not ours."""
    try:
        referrer = urlsplit(request.headers.get("HX-Current-URL") or request.referrer or "")
    except ValueError:
        return "/"
    if referrer.netloc != request.host:
        return "/"
    return local_address(referrer._replace(scheme="", netloc="", fragment="").geturl())


def this_address() -> str:
    """The path and the query of this request, quoted: ids may contain ?, # and %."""
    path, query = quote(request.path, safe=IN_PATHS), quote(request.query_string, safe=IN_QUERIES)
    return f"{path}?{query}" if query else path
