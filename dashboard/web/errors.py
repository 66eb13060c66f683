"""Turns every refusal and fault into a page, a notice for htmx, or JSON under /api/: here and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlencode, urlsplit

import structlog
from flask import Flask, Response, current_app, g, make_response, redirect, render_template, request, url_for
from flask import session as browser
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, generate_csrf
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError

from dashboard.database import (
    DATABASE_FAULTS,
    DataError,
    TooManyExports,
    only_reads,
    reason_of,
    took_too_long,
    was_cut,
)
from dashboard.onboarding.errors import (
    BrokenInvariant,
    Conflict,
    Invalid,
    NotFound,
    OnboardingError,
    Refused,
    StaleDraft,
    StalePlan,
)
from dashboard.staff.sign_in import Throttled
from dashboard.web import refused_form
from dashboard.web.rendering import asks_by_itself, back_address, has_unsaved, this_address, wants_partial
from dashboard.web.requestlog import request_id
from dashboard.web.security import API_PREFIX, is_from_here
from dashboard.web.wording import sentence

log = structlog.get_logger("dashboard.fault")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, in words for the user."""

    status: int
    title: str
    text: str
    kind: str = ""
    way_on: tuple[str, str] | None = None
    """A link that helps from there: what it says, and its address."""

    @property
    def ours(self) -> bool:
        """Whether it is a fault of the server, which carries the request id."""
        return self.status >= 500


Problem = Callable[[Fault, Exception], ResponseReturnValue]
"""How the API renders a fault; it registers its function at app.extensions["problem"]."""

FAULTS = {
    fault.status: fault
    for fault in (
        Fault(400, "This request cannot be read", "Something in the address or the form is not valid."),
        Fault(403, "You cannot do this", "Your role does not allow it. An administrator can change that."),
        Fault(404, "Not found", "The address may be mistyped, or what it led to no longer exists."),
        Fault(405, "This page cannot be opened that way", "Use the page that links to it."),
        Fault(409, "This changed in the meantime", "Nothing was saved. Open the page again to see how it is now."),
        Fault(410, "This no longer exists", "It has been removed."),
        Fault(413, "This is too large", "The form is larger than this server accepts. Shorten it and send it again."),
        Fault(415, "This kind of content is not accepted", "Use the form on the page."),
        Fault(416, "This part does not exist", "The file is shorter than the part you asked for."),
        Fault(422, "This cannot be saved as it is", "Something in the form breaks a rule. Nothing was saved."),
        Fault(429, "Too many attempts", "Wait a moment, then try again."),
        Fault(500, "Something went wrong", "The fault is ours, not yours. Nothing was partly saved."),
        Fault(503, "The database cannot be reached", "Nothing was saved. Try again once it is back."),
    )
}
OLD_FORM = Fault(400, "This page was open too long", "Nothing was saved. Reload the page and send the form again.")
TOO_LONG = Fault(503, "This took too long", "The database was too busy. Nothing was saved. Try again.")
ONLY_READS = Fault(503, "The database is read-only right now", "Nothing was saved. Try again once it accepts changes.")
CUT = Fault(
    503,
    "The connection to the database was lost",
    "Your change may or may not have been saved: check before sending it again.",
)
EXPORTS = Fault(429, "Too many exports are running", "This server runs only a few at a time. Try again in a moment.")
SIGNED_OUT = Fault(401, "You are signed out", "Nothing was saved, and what you typed is still here.", kind="signed-out")
UNSTORABLE = Fault(400, "This cannot be stored", "The database cannot store one of the values. Nothing was saved.")


def install(app: Flask) -> None:
    """Registers the handlers."""
    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(OnboardingError, on_onboarding)
    app.register_error_handler(Throttled, on_throttled)
    app.register_error_handler(TooManyExports, on_many_exports)
    app.register_error_handler(Exception, on_fault)
    app.register_error_handler(DataError, on_unstorable)
    for error in DATABASE_FAULTS:
        app.register_error_handler(error, on_unreachable)


def on_http(error: HTTPException) -> ResponseReturnValue:
    """404, 405, 413 and the like; a raised redirect stays one."""
    if error.code is None or error.code < 400:
        return error
    if error.code == 401:
        return on_signed_out(error)
    fault = FAULTS.get(error.code) or FAULTS[400 if error.code < 500 else 500]
    response = answer(fault, error)
    for name in ("Allow", "Content-Range", "Retry-After"):
        value = dict(error.get_headers()).get(name)
        if value:
            response.headers[name] = value
    return response


def on_old_form(error: CSRFError) -> ResponseReturnValue:
    """Offers what was typed in a form that can be sent again; htmx leaves it on the page, which gets a new token.

    The page then sends it again by itself, unless somebody else has signed in since (static/js/app.js).
    Only if a page of this site sent it: pressing the button would otherwise submit what another site filled in.
    """
    if not is_from_here():
        return answer(OLD_FORM, error)
    if wants_partial():
        return _with_token(answer(_old_page(), error))
    return to_send_again(OLD_FORM.status, back=back_address())


def to_send_again(status: int, *, back: str = "", sign_in: str = "") -> Response:
    """A form post that came too late, as a form that can be sent again; `sign_in`: where to sign in first."""
    page = render_template(
        "errors/send_again.html",
        fields=refused_form.fields(),
        typed=refused_form.typed(),
        action=this_address(),
        back=back,
        sign_in=sign_in,
        # no token outlives a sign-out and the next sign-in: the next user has to confirm that it is theirs to send
        confirms=refused_form.WHO not in browser,
    )
    return make_response(page, status)


def _old_page() -> Fault:
    """The message if the page does not send it again by itself, for instance because somebody else has signed in."""
    account = g.get("account")
    who = f" as {account.name}" if account else ""
    text = f"Nothing was saved, and what you typed is still here. Send it again{who}: it should work now."
    return Fault(OLD_FORM.status, OLD_FORM.title, text)


def _with_token(response: Response) -> Response:
    """Adds the new token for the page's forms, and the account it belongs to."""
    account = g.get("account")
    response.headers["X-CSRFToken"] = generate_csrf()
    response.headers["X-Account"] = str(account.id) if account else ""
    return response


def on_onboarding(error: OnboardingError) -> ResponseReturnValue:
    """What the engine refused and the page did not handle itself."""
    if isinstance(error, BrokenInvariant):
        log.error("broken invariant", path=request.path, error=str(error))
    return answer(fault_of(error), error)


def on_unreachable(error: Exception) -> ResponseReturnValue:
    """503 without touching the database; the next request tries it again."""
    fault, told = FAULTS[503], "database unreachable"
    if took_too_long(error):
        fault, told = TOO_LONG, "database took too long"
    elif only_reads(error):
        fault, told = ONLY_READS, "database only takes reads"
    elif was_cut(error) and request.method not in SAFE_METHODS:
        fault = CUT
    kind = type(getattr(error, "orig", None) or error).__name__
    log.error(told, path=request.path, error=kind, reason=reason_of(error))
    response = answer(fault, error)
    response.headers["Retry-After"] = "5"
    return response


def on_throttled(error: Throttled) -> ResponseReturnValue:
    """429 for too many attempts, where the page has no form to report it at."""
    return throttled(answer(FAULTS[429], error), error)


def throttled(response: Response, error: Throttled) -> Response:
    """The response with the time to wait, for programs too."""
    response.headers["Retry-After"] = str(error.retry_after)
    return response


def on_many_exports(error: TooManyExports) -> ResponseReturnValue:
    """429 for more exports than may run at once."""
    response = answer(EXPORTS, error)
    response.headers["Retry-After"] = "5"
    return response


def on_unstorable(error: Exception) -> ResponseReturnValue:
    """A value that passed the checks and that PostgreSQL refused."""
    log.warning("value refused by the database", path=request.path, error=str(error).splitlines()[0])
    return answer(UNSTORABLE, error)


def on_fault(error: Exception) -> ResponseReturnValue:
    """500 with the request id; the traceback goes to the log only."""
    propagate = current_app.config["PROPAGATE_EXCEPTIONS"]
    if current_app.testing or current_app.debug if propagate is None else propagate:
        raise error
    log.exception("fault", path=request.path, method=request.method, exc_info=error)
    return answer(FAULTS[500], error)


def on_signed_out(error: HTTPException) -> ResponseReturnValue:
    """Redirects to the sign-in page and back. If something is typed, htmx gets a notice and the page stays."""
    if request.path.startswith(API_PREFIX):
        return answer(SIGNED_OUT, error)
    address = sign_in_address()
    if not wants_partial():
        return redirect(address, 303)
    if request.method in SAFE_METHODS and not (asks_by_itself() or has_unsaved()):
        return Response(status=204, headers={"HX-Redirect": address})
    return answer(SIGNED_OUT, error)


def sign_in_address() -> str:
    """The sign-in page, with the way back."""
    here = this_address() if request.method in SAFE_METHODS and not wants_partial() else _page_address()
    try:
        return url_for("session.sign_in", next=here)
    except BuildError:
        return url_for("overview.show")


def _page_address() -> str:
    """The browser's page, with a search or filter that htmx has just requested and its address does not show yet."""
    page = urlsplit(back_address())
    # parts of a page, such as a row, have a path of their own
    if request.method in SAFE_METHODS and not asks_by_itself() and unquote(page.path) == request.path:
        return this_address()
    return page.geturl()


def fault_of(error: OnboardingError) -> Fault:
    """The status and wording of an engine error."""
    text = str(error)
    if isinstance(error, NotFound):
        return Fault(404, FAULTS[404].title, text, kind="not-found", way_on=_way_on(error))
    if isinstance(error, Invalid):
        title = "This cannot be shown" if request.method in SAFE_METHODS else FAULTS[422].title
        said = [sentence(f"“{member}”", reason) for member, reason in error.problems.items()]
        return Fault(422, title, " ".join(said), kind="invalid")
    if isinstance(error, Conflict | StaleDraft | StalePlan):
        return Fault(409, FAULTS[409].title, f"{text.rstrip('.')}. Nothing was saved.", kind="stale")
    if isinstance(error, Refused):
        return Fault(409, "This is not possible now", text, kind="refused")
    if isinstance(error, BrokenInvariant):
        return Fault(500, "The release was undone", f"{text} Nothing was changed.", kind="broken-invariant")
    return FAULTS[500]


def _way_on(error: NotFound) -> tuple[str, str] | None:
    if error.what == "person":
        return "Search people", f"/people?{urlencode({'q': error.key})}"
    return ("Go to steps", "/steps") if error.what == "step" else None


def answer(fault: Fault, error: Exception) -> Response:
    """The fault in the form that this caller can use."""
    g.fault = fault
    if f"{request.path}/".startswith(API_PREFIX):
        problem: Problem = current_app.extensions["problem"]
        return make_response(problem(fault, error))
    if wants_partial():
        return notice(fault)
    typed, again = refused_form.typed(titled=not fault.ours), refused_form.fields() if fault.ours else []
    page = render_template(page_of(fault), fault=fault, request_id=request_id(), typed=typed, again=again)
    return make_response(page, fault.status)


def dealt_with(error: Exception) -> Fault:
    """How the error would be answered, for a view that adds to it; it is logged and recorded as usual."""
    current_app.handle_user_exception(error)
    fault: Fault = g.fault
    return fault


def page_of(fault: Fault) -> str:
    """Inside the shell for signed-in users; server faults stand alone and need nothing."""
    return "errors/plain.html" if fault.ours or g.get("account") is None else "errors/page.html"


def notice(fault: Fault) -> Response:
    """A notice beside the form, which stays as it was sent."""
    html = render_template(
        "errors/_notice.html",
        fault=fault,
        request_id=request_id(),
        sign_in=sign_in_address() if fault.status == 401 else "",
    )
    response = make_response(html, fault.status)
    # set by hand: htmx-flask's own helper refuses modifiers
    response.headers.update({"HX-Retarget": "#notices", "HX-Reswap": "innerHTML", "HX-Push-Url": "false"})
    return response
