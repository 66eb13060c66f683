"""Authentication and authorisation: each route declares what it needs; one that declares nothing is refused."""

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
from dashboard.onboarding.actor import Actor
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

COOKIE = "staff_session"

ASK_THEMSELVES = frozenset({"theme.choose", "session.sign_out"})
"""Public routes that also work without the database; they call `find_staff` themselves where they need it."""


def require(permission: Permission) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, ResponseReturnValue]]:
    """Lets only roles with `permission` into the view; others get 401 (or the sign-in page) or 403."""

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
    """What the route declares; None if nothing."""
    return declared(app.view_functions[endpoint])


def staff_or_none() -> Account | None:
    """The signed-in account, if there is one."""
    return cast("Account | None", g.get("account"))


def current_staff() -> Account:
    """The signed-in account. Raises RuntimeError in a view that requires no permission."""
    staff = staff_or_none()
    if staff is None:
        raise RuntimeError("nobody is signed in: the view must require a permission")
    return staff


def current_actor() -> Actor:
    """The actor recorded for what this request does."""
    return Actor(actor_key(current_staff().email), "web")


def can(permission: Permission | str) -> bool:
    """Whether the signed-in account may do this; in templates: can("release"). Raises ValueError on a typo."""
    staff = staff_or_none()
    return staff is not None and Permission(permission) in staff.permissions


def init_app(app: Flask) -> None:
    """Loads the signed-in account before every request; gives templates `can`."""
    app.before_request(load_staff)
    app.before_request(refuse_undeclared)
    app.after_request(tell_browser)
    app.context_processor(lambda: {"can": can})
    app.register_error_handler(NoLongerAllowed, _no_longer)
    app.register_error_handler(CSRFError, _old_form)


def load_staff() -> None:
    """Sets g.account, without querying the database for machine endpoints and ASK_THEMSELVES, which don't need it."""
    g.account = None
    if request.endpoint not in ASK_THEMSELVES and not request.path.startswith(FOR_MACHINES):
        find_staff()


def find_staff() -> None:
    """Looks up the signed-in account if the browser sent a session secret."""
    secret = session_secret()
    if not secret:
        return
    with statements() as session:
        # requests that a page makes by itself do not keep the session alive
        found = sessions.load(session, secret, demo=settings().demo, visit=not asks_by_itself())
    if found is not None:
        g.account = found.account
        keep_secret(found.secret)


def keep_secret(secret: str) -> None:
    """Makes `secret` the secret of the browser's session from this request on; empty: no session."""
    if secret != session_secret():
        g.session_secret = secret


def tell_browser(response: Response) -> Response:
    """Sets or deletes the session cookie if the secret has changed; scripts and other sites cannot use it."""
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
    """The address at which people reach the dashboard: from the settings, else from this request; no trailing slash."""
    return settings().base_url or request.url_root.rstrip("/")


def session_cookie() -> str:
    """The cookie's name."""
    return cookies.name_of(COOKIE)


def session_secret() -> str:
    """The secret of the browser's session; empty if there is none."""
    return cast(str, g.session_secret) if "session_secret" in g else request.cookies.get(session_cookie(), "")


def _signed_out() -> ResponseReturnValue:
    if request.method in SAFE_METHODS or wants_partial():
        raise Unauthorized
    # a plain form post: what was typed goes into a form that can be sent again after signing in
    return to_send_again(401, sign_in=sign_in_address())


def _old_form(error: CSRFError) -> ResponseReturnValue:
    """401 if the session ended, and the CSRF token with it: sending the form again would only lead to this answer."""
    g.account = None
    try:
        find_staff()  # CSRF tokens are checked before the account is loaded
    except DATABASE_FAULTS as fault:
        return on_unreachable(fault)
    need = need_of(current_app, request.endpoint or "")
    if staff_or_none() or not isinstance(need, Permission) or not is_from_here():
        return on_old_form(error)
    return on_signed_out(Unauthorized()) if wants_partial() else _signed_out()


def _no_longer(error: NoLongerAllowed) -> ResponseReturnValue:
    """403 for an account that was changed after its request was let in and before it was carried out."""
    return _forbidden(error.permission, error.role)


def _forbidden(permission: Permission, role: Role | None) -> ResponseReturnValue:
    """403, and a record of the refusal. `role` is the account's; None: it was disabled just now."""
    with transaction() as session:
        standing.note_refusal(session, current_actor(), permission, f"{request.method} {request.url_rule}")
    titles = [role.title for role in roles_with(permission)]
    who = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} or {titles[-1]}"
    you = f"You are signed in as {role.title}." if role else "Your account was disabled."
    nothing = "" if request.method in SAFE_METHODS else " Nothing was saved."
    text = f"To {permission.does}, you need the role {who}. {you}{nothing}"
    return answer(Fault(403, FAULTS[403].title, text, kind="forbidden"), Forbidden(text))
