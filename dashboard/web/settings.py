"""Settings: their first page, and everyone's own account with its sessions and password."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.staff import accounts, roster, sessions
from dashboard.staff import sign_in as signing_in
from dashboard.staff.passwords import MAX_PASSWORD
from dashboard.staff.permissions import Permission
from dashboard.web import access
from dashboard.web.access import can, current_actor, current_staff, require
from dashboard.web.browsers import browser_called
from dashboard.web.errors import throttled
from dashboard.web.rendering import render, wants_partial
from dashboard.web.session import provider_called
from dashboard.web.settings_forms import ChangePasswordForm, NameForm, say
from dashboard.words import plural

blueprint = Blueprint("settings", __name__, url_prefix="/settings")

WRONG = "This is not your current password."
GONE = "That session has already ended. These are the open ones."


@blueprint.get("")
@require(Permission.VIEW)
def index() -> ResponseReturnValue:
    """Redirects to the first settings page that the account may use."""
    if can(Permission.MANAGE_STAFF):
        return redirect(url_for("staff.index"), 303)
    return redirect(url_for("tokens.index" if can(Permission.MANAGE_TOKENS) else "settings.account"), 303)


@blueprint.get("/account")
@require(Permission.VIEW)
def account() -> ResponseReturnValue:
    """The user's own account: name, password, and sessions."""
    return _page()


@blueprint.post("/account/name")
@require(Permission.VIEW)
def rename() -> ResponseReturnValue:
    """Changes the user's own name."""
    form = NameForm(request.form)
    try:
        with transaction() as session:
            changed = accounts.rename(session, current_actor(), current_staff().email, form.name.data or "")
    except Invalid as invalid:
        say(form, invalid.problems)
        return _page(422, naming=form)
    flash(f"Your name is now {changed.name}.")
    return redirect(url_for("settings.account"), 303)


@blueprint.post("/account/password")
@require(Permission.VIEW)
def change_password() -> ResponseReturnValue:
    """Changes the user's own password, given the old one; ends all other sessions."""
    form = ChangePasswordForm(request.form)
    form.owner = current_staff()
    if not form.validate():
        return _page(422, password=form)
    try:
        with transaction() as session:
            attempt = signing_in.admit(session, current_staff().email, request.remote_addr or "")
    except signing_in.Throttled as error:
        say(form, {"old_password": str(error)})
        return throttled(_page(429, password=form), error)
    old, new = (form.old_password.data or "")[: MAX_PASSWORD + 1], form.password.data or ""
    with transaction() as session:
        secret = signing_in.change_password(session, attempt, old, new, secret=access.session_secret())
    if secret is None:
        say(form, {"old_password": WRONG})
        return _page(422, password=form)
    access.keep_secret(secret)
    flash("Your password was changed. You are signed out everywhere else.")
    return redirect(url_for("settings.account"), 303)


@blueprint.post("/account/sessions/end")
@require(Permission.VIEW)
def end_session() -> ResponseReturnValue:
    """Ends one of the user's own sessions."""
    try:
        with transaction() as session:
            sessions.end_one(session, current_actor(), current_staff().email, request.form.get("session", ""))
    except NotFound:
        return _ended(GONE)
    return _ended("Session ended.")


@blueprint.post("/account/sessions/end-others")
@require(Permission.VIEW)
def end_other_sessions() -> ResponseReturnValue:
    """Ends all of the user's own sessions but this one."""
    with transaction() as session:
        count = sessions.end_all(session, current_actor(), current_staff().email, but=access.session_secret())
    return _ended(f"{plural(count, 'session')} ended." if count else GONE)


def _ended(said: str) -> ResponseReturnValue:
    if wants_partial():
        return _page(said=said)
    flash(said)
    return redirect(url_for("settings.account", _anchor="sessions"), 303)


def _page(status: int = 200, *, said: str = "", **forms: Any) -> Response:
    with transaction() as session:
        opened = sessions.sessions_of(session, current_staff().email, access.session_secret())
        count = roster.one(session, current_staff().id).sessions
    given = {"naming": NameForm(data={"name": current_staff().name}), "password": ChangePasswordForm()} | forms
    return render(
        "settings/account.html",
        "settings/_sessions.html",
        status=status,
        sessions=opened,
        session_count=count,
        called=browser_called,
        said=said,
        provider=provider_called(current_staff()),
        **given,
    )
