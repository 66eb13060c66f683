"""The page of a one-time link, whose holder chooses a password. No other site learns that it was opened."""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, request, url_for
from flask import session as browser
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.staff import links
from dashboard.staff.accounts import Account
from dashboard.web import access
from dashboard.web.rendering import render
from dashboard.web.security import csrf, require_token
from dashboard.web.session import NEXT_EMAIL
from dashboard.web.settings_forms import NewPasswordForm

blueprint = Blueprint("password_links", __name__)


@blueprint.get(links.PATH)
@access.public("whoever holds a link chooses a password; slowed down by address")
def show() -> ResponseReturnValue:
    """The form. Opening it does not use up the link: link previews would."""
    _admit()
    secret = request.args.get("link", "")
    return _page(secret, _opened(secret), NewPasswordForm())


@blueprint.post(links.PATH)
@access.public("whoever holds a link chooses a password; slowed down by address")
def choose() -> ResponseReturnValue:
    """Sets the password, uses up the link, and redirects to the sign-in page."""
    require_token()
    _admit()
    secret, form = request.form.get("link", ""), NewPasswordForm(request.form)
    form.owner = _opened(secret)
    if form.owner and not form.validate():
        return _page(secret, form.owner, form, 422)
    password, address = form.password.data or "", request.remote_addr or ""
    with transaction() as session:
        account = links.use(session, secret, password, address=address, demo=access.settings().demo)
    if account is None:
        return _page(secret, None, form)
    flash(f"Your password is set. Sign in as {account.email}.")
    browser[NEXT_EMAIL] = account.email
    return redirect(url_for("session.sign_in"), 303)


csrf.exempt(choose)


@blueprint.after_request
def send_no_referrer(response: Response) -> Response:
    """The address holds the secret: no other page may learn it."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _admit() -> None:
    with transaction() as session:
        links.admit(session, request.remote_addr or "")


def _opened(secret: str) -> Account | None:
    with transaction() as session:
        return links.opened(session, secret, demo=access.settings().demo)


def _page(secret: str, account: Account | None, form: NewPasswordForm, status: int = 200) -> ResponseReturnValue:
    if account is None:
        return render("session/dead_link.html", status=404)
    return render("session/set_password.html", status=status, form=form, secret=secret, owner=account)
