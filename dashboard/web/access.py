"""Who is asking, and may they: every route declares what it needs, and one that declares nothing is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, cast

from flask import Flask, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import Forbidden, Unauthorized

from dashboard.config import Settings
from dashboard.database import DATABASE_FAULTS, statements, transaction
from dashboard.onboarding.actor import Actor, Source
from dashboard.staff import sessions, standing
from dashboard.staff.accounts import Account, actor_key
from dashboard.staff.permissions import Need, Permission, Public, Role, declare, declared, roles_with
from dashboard.staff.standing import NoLongerAllowed
from dashboard.web import cookies
from dashboard.web.errors import (
    FAULTS,
    SAFE_METHODS,
    Fault,
    answer,
    on_old_form,
    on_signed_out,
    on_unreachable,
    sign_in_address,
    to_send_again,
)
from dashboard.web.rendering import asks_by_itself, wants_partial
from dashboard.web.security import API_PREFIX, FOR_MACHINES, is_from_here

P = ParamSpec("P")

Staff = Account
"""Who is signed in: name, email, role, permissions."""

COOKIE = "staff_session"

ASK_THEMSELVES = frozenset({"theme.choose", "session.sign_out"})
"""Routes that are for anybody and do their work without the database too; they call `find_staff` where it matters."""


def require(permission: Permission) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, ResponseReturnValue]]:
    """Lets the view run for those whose role has `permission`; others get 401 (or are sent to sign in), or 403."""

    def decorate(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            staff = staff_or_none()
            if staff is None:
                return _signed_out()
            if permission not in staff.permissions:
                return _forbidden(permission, staff.role)
            return view(*args, **kwargs)

        declare(guarded, permission)
        return guarded

    return decorate


def public(why: str) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, ResponseReturnValue]]:
    """Declares that anyone may use the view; `why` goes into docs/permissions.md."""

    def decorate(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
        declare(view, Public(why))
        return view

    return decorate


def need_of(app: Flask, endpoint: str) -> Need | None:
    """What the route declares; None when it declares nothing."""
    return declared(app.view_functions[endpoint])


def staff_or_none() -> Staff | None:
    """Who is signed in, if anyone is."""
    return cast("Staff | None", g.get("account"))


def current_staff() -> Staff:
    """Who is signed in. Raises RuntimeError in a view that requires no permission."""
    staff = staff_or_none()
    if staff is None:
        raise RuntimeError("nobody is signed in: the view must require a permission")
    return staff


def current_actor(source: Source = "web") -> Actor:
    """The name under which what this request does is kept."""
    return Actor(actor_key(current_staff().email), source)


def can(permission: Permission | str) -> bool:
    """True when whoever is signed in may do this; templates name it: can("release"). Raises ValueError on a typo."""
    staff = staff_or_none()
    return staff is not None and Permission(permission) in staff.permissions


def init_app(app: Flask) -> None:
    """Loads who is signed in before every request; templates get `can` and `current_staff`."""
    app.before_request(load_staff)
    app.before_request(refuse_undeclared)
    app.after_request(tell_browser)
    app.context_processor(_for_templates)
    app.register_error_handler(NoLongerAllowed, _no_longer)
    app.register_error_handler(CSRFError, _old_form)


def load_staff() -> None:
    """Sets g.account. Where that is of no use the database is not asked: what is for machines, and ASK_THEMSELVES."""
    g.account = None
    if request.endpoint not in ASK_THEMSELVES and not request.path.startswith(FOR_MACHINES):
        find_staff()


def find_staff() -> None:
    """Looks up who is signed in, where the browser has a session's secret."""
    secret = session_secret()
    if not secret:
        return
    with statements() as session:
        # what a page asks by itself keeps no session open
        found = sessions.load(session, secret, demo=settings().demo, visit=not asks_by_itself())
    if found is not None:
        g.account = found.account
        keep_secret(found.secret)


def keep_secret(secret: str) -> None:
    """From this request on, the browser's session is the one with this secret; empty: it has none."""
    if secret != session_secret():
        g.session_secret = secret


def tell_browser(response: Response) -> Response:
    """Puts another secret into the browser's cookie, out of reach of scripts and of other sites, or takes it away."""
    if "session_secret" not in g:
        return response
    secret = session_secret()
    response.set_cookie(
        session_cookie(),
        secret,
        max_age=int(sessions.ABSOLUTE.total_seconds()) if secret else 0,
        secure=cookies.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return response


def refuse_undeclared() -> None:
    """Raises RuntimeError for a view that declares no permission: forgotten means closed, not open."""
    if request.endpoint is None or request.path.startswith(API_PREFIX):
        return
    if need_of(current_app, request.endpoint) is None:
        raise RuntimeError(f"the view of {request.endpoint!r} declares no permission")


def settings() -> Settings:
    """The settings of the running app."""
    return cast(Settings, current_app.extensions["settings"])


def base_url() -> str:
    """Where people reach the dashboard: as the settings say, else as this request did; without a slash at its end."""
    return settings().base_url or request.url_root.rstrip("/")


def session_cookie() -> str:
    """The cookie's name."""
    return cookies.name_of(COOKIE)


def session_secret() -> str:
    """The secret of the browser's session; empty without one."""
    return cast(str, g.session_secret) if "session_secret" in g else request.cookies.get(session_cookie(), "")


def _signed_out() -> ResponseReturnValue:
    if request.method in SAFE_METHODS or wants_partial():
        raise Unauthorized
    # a plain form post: what was typed goes into a form that can be sent again after signing in
    return to_send_again(401, sign_in=sign_in_address())


def _old_form(error: CSRFError) -> ResponseReturnValue:
    """401 where nobody is signed in any more, whose token went with the session: sent again, it would say so only then."""
    g.account = None
    try:
        find_staff()  # tokens are looked at before
    except DATABASE_FAULTS as fault:
        return on_unreachable(fault)
    need = need_of(current_app, request.endpoint or "")
    if staff_or_none() or not isinstance(need, Permission) or not is_from_here():
        return on_old_form(error)
    return on_signed_out(Unauthorized()) if wants_partial() else _signed_out()


def _no_longer(error: NoLongerAllowed) -> ResponseReturnValue:
    """403 for a request that was let in, and whose account was changed before it was carried out."""
    return _forbidden(error.permission, error.role)


def _forbidden(permission: Permission, role: Role | None) -> ResponseReturnValue:
    """403, which is written down. `role` is what whoever asks has; None: their account was disabled just now."""
    with transaction() as session:
        standing.note_refusal(session, current_actor(), permission, f"{request.method} {request.url_rule}")
    titles = [role.title for role in roles_with(permission)]
    who = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} or {titles[-1]}"
    you = f"You are signed in as {role.title}." if role else "Your account was disabled."
    nothing = "" if request.method in SAFE_METHODS else " Nothing was saved."
    text = f"To {permission.does}, you need the role {who}. {you}{nothing}"
    return answer(Fault(403, FAULTS[403].title, text, kind="forbidden"), Forbidden(text))


def _for_templates() -> dict[str, object]:
    return {"can": can, "current_staff": staff_or_none()}
