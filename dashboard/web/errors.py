"""Every refusal and every fault becomes a page, a notice for htmx, or JSON under /api/: here and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import starmap
from urllib.parse import unquote, urlsplit

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

log = structlog.get_logger("dashboard.fault")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, in words for the person who sees it."""

    status: int
    title: str
    text: str
    kind: str = ""

    @property
    def ours(self) -> bool:
        """True for faults of the server, which carry the request id."""
        return self.status >= 500


Problem = Callable[[Fault, Exception], ResponseReturnValue]
"""How the API answers a fault; it puts its function at app.extensions["problem"]."""

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
    """404, 405, 413 and the like; a redirect that was raised stays one."""
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
    """What was typed is in a form that can be sent again; htmx leaves it on the page, which gets another token.

    The page sends it once more by itself then, unless somebody else has signed in since (static/js/app.js).
    Only where a page of this site sent it: filled in by another one, a press of the button would do what that one wants.
    """
    if not is_from_here():
        return answer(OLD_FORM, error)
    if wants_partial():
        return _with_token(answer(_old_page(), error))
    return to_send_again(OLD_FORM.status, back=back_address())


def to_send_again(status: int, *, back: str = "", sign_in: str = "") -> Response:
    """What a plain form post brought too late, in a form that can be sent again; `sign_in` where one has to do that first."""
    page = render_template(
        "errors/send_again.html",
        fields=refused_form.fields(),
        typed=refused_form.typed(),
        action=this_address(),
        back=back,
        sign_in=sign_in,
        # after a sign-out no token outlives the next sign-in: whoever comes then is asked whether it is theirs to send
        confirms=refused_form.WHO not in browser,
    )
    return make_response(page, status)


def _old_page() -> Fault:
    """What is said where the page does not send it once more by itself: somebody else has signed in, for one."""
    account = g.get("account")
    who = f" as {account.name}" if account else ""
    text = f"Nothing was saved, and what you typed is still here. Send it again{who}: it should work now."
    return Fault(OLD_FORM.status, OLD_FORM.title, text)


def _with_token(response: Response) -> Response:
    """Adds what the page's forms need from now on, and whose it is."""
    account = g.get("account")
    response.headers["X-CSRFToken"] = generate_csrf()
    response.headers["X-Account"] = str(account.id) if account else ""
    return response


def on_onboarding(error: OnboardingError) -> ResponseReturnValue:
    """What the engine refused and the page did not answer itself."""
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
    """429 for whoever tries too often, where the page has no form to say it at."""
    return throttled(answer(FAULTS[429], error), error)


def throttled(response: Response, error: Throttled) -> Response:
    """The answer to whoever has to wait: when to try again is in it for programs, too."""
    response.headers["Retry-After"] = str(error.retry_after)
    return response


def on_many_exports(error: TooManyExports) -> ResponseReturnValue:
    """429 for a file more than there may be at once."""
    response = answer(EXPORTS, error)
    response.headers["Retry-After"] = "5"
    return response


def on_unstorable(error: Exception) -> ResponseReturnValue:
    """A value that slipped through the checks and that PostgreSQL refused."""
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
    """To the sign-in page and back. Where something is typed, htmx gets a notice instead: the page stays as it is."""
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
    """The browser's page; with the search or the filter that htmx has just asked it for, which is not in its address yet."""
    page = urlsplit(back_address())
    # what is no page, such as a row of one, has a path of its own
    if request.method in SAFE_METHODS and not asks_by_itself() and unquote(page.path) == request.path:
        page = page._replace(query=request.query_string.decode(errors="replace"))
    return page.geturl()


def fault_of(error: OnboardingError) -> Fault:
    """The status and the words of an engine error."""
    text = str(error)
    if isinstance(error, NotFound):
        return Fault(404, FAULTS[404].title, text, kind="not-found")
    if isinstance(error, Invalid):
        title = "This cannot be shown" if request.method in SAFE_METHODS else FAULTS[422].title
        return Fault(422, title, " ".join(starmap(_sentence, error.problems.items())), kind="invalid")
    if isinstance(error, Conflict | StaleDraft | StalePlan):
        return Fault(409, FAULTS[409].title, f"{text.rstrip('.')}. Nothing was saved.", kind="stale")
    if isinstance(error, Refused):
        return Fault(409, "This is not possible now", text, kind="refused")
    if isinstance(error, BrokenInvariant):
        return Fault(500, "The release was undone", f"{text} Nothing was changed.", kind="broken-invariant")
    return FAULTS[500]


def _sentence(member: str, reason: str) -> str:
    """What is wrong, in a sentence; the engine's reasons begin with their verb."""
    return f"“{member}” {reason.rstrip('.')}." if reason[:1].islower() else reason


def answer(fault: Fault, error: Exception) -> Response:
    """The fault as this caller can use it."""
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
    """What the error would be answered with, for a door that has more to say: it is logged and written down as ever."""
    current_app.handle_user_exception(error)
    fault: Fault = g.fault
    return fault


def page_of(fault: Fault) -> str:
    """Inside the shell for people who are signed in; faults of the server stand alone and need nothing."""
    return "errors/plain.html" if fault.ours or g.get("account") is None else "errors/page.html"


def notice(fault: Fault) -> Response:
    """A notice beside the page: the form that was sent stays as it is."""
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
