"""Signing in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import structlog
from flask import Blueprint, Flask, Response, current_app, redirect, request, url_for
from flask import session as browser
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from wtforms import EmailField, Form, PasswordField, ValidationError
from wtforms.validators import InputRequired

from dashboard.config import Settings
from dashboard.database import DATABASE_FAULTS, reason_of, transaction
from dashboard.staff import demo_accounts, sessions
from dashboard.staff import sign_in as signing_in
from dashboard.staff.accounts import Account, email_problem, normalise_email
from dashboard.staff.demo_accounts import DemoAccount
from dashboard.staff.passwords import MAX_PASSWORD, dummy_hash
from dashboard.staff.permissions import Role
from dashboard.staff.sessions import SignedIn
from dashboard.web import access
from dashboard.web.errors import throttled
from dashboard.web.refused_form import WHO
from dashboard.web.rendering import local_address, render

if TYPE_CHECKING:
    from dashboard.staff.oidc import OpenIdClient
    from dashboard.staff.provider import Provider

blueprint = Blueprint("session", __name__)
log = structlog.get_logger("dashboard.session")

WRONG = "The email or password is not correct."
OIDC = "oidc"
NEXT_EMAIL = "next_email"
"""The session key that keeps, for one use, the email about to sign in: in an address it would be logged."""


@blueprint.record_once
def install(state: BlueprintSetupState) -> None:
    """Only an app with a sign-in page looks up the account of every request."""
    app = cast(Flask, state.app)
    access.init_app(app)
    dummy_hash()
    if provider := cast(Settings, app.extensions["settings"]).sign_in_provider():
        from dashboard.staff.oidc import OpenIdClient

        app.extensions[OIDC] = OpenIdClient(provider)


class SignInForm(Form):
    """Email and password; problems are reported at the field."""

    email = EmailField("Email", [InputRequired("Enter your email.")])
    password = PasswordField("Password", [InputRequired("Enter your password.")])

    def validate_email(self, field: EmailField) -> None:
        """Normalises the address."""
        if problem := email_problem(normalise_email(field.data or "")):
            raise ValidationError(problem)


@blueprint.get("/sign-in")
@access.public("one signs in here")
def sign_in() -> ResponseReturnValue:
    """The form; if already signed in, redirects to where the user wanted to go."""
    email = browser.pop(NEXT_EMAIL, "")
    if access.staff_or_none():
        return redirect(next_address(), 303)
    return page(SignInForm(data={"email": email}))


@blueprint.post("/sign-in")
@access.public("one signs in here; slowed down by account and by address")
def sign_in_post() -> ResponseReturnValue:
    """Starts a session and redirects; else the form again, with the address as typed."""
    form = SignInForm(request.form)
    if not form.validate():
        return page(form, 422)
    email, password = form.email.data or "", (form.password.data or "")[: MAX_PASSWORD + 1]
    try:
        with transaction() as session:
            attempt = signing_in.admit(session, email, request.remote_addr or "")
    except signing_in.Throttled as error:
        _say(form, str(error))
        return throttled(page(form, 429), error)
    with transaction() as session:
        signed_in = signing_in.complete(
            session,
            attempt,
            password,
            user_agent=request.user_agent.string,
            replaces=access.session_secret(),
            demo=access.settings().demo,
        )
    if signed_in is None:
        _say(form, WRONG)
        return page(form, 422)
    return go_on(signed_in, next_address())


@blueprint.post("/sign-out")
@access.public("ends the session of the browser it comes from")
def sign_out() -> ResponseReturnValue:
    """Ends the session here and in the database; if that is unavailable, only here."""
    try:
        access.find_staff()
        if access.staff_or_none():
            with transaction() as session:
                sessions.sign_out(session, access.current_actor(), access.session_secret())
    except DATABASE_FAULTS as error:
        # people who hand the browser on to others must not stay signed in
        log.error("signed out in the browser alone", reason=reason_of(error))
    access.keep_secret("")
    browser.clear()
    return redirect(url_for("session.sign_in"), 303)


def next_address() -> str:
    """Where to go after signing in: a path of this site, or the overview."""
    wanted = request.values.get("next", "")
    path = wanted.partition("?")[0].rstrip("/")
    if "\\" in wanted or path in {"/sign-in", "/sign-out"} or path.startswith("/sign-in/"):
        return "/"
    return local_address(wanted)


def open_id() -> OpenIdClient | None:
    """The sign-in provider, if one is set up."""
    return cast("OpenIdClient | None", current_app.extensions.get(OIDC))


def provider_called(staff: Account) -> str:
    """The name of the account's sign-in provider; empty if it is not the one that is set up, or there is none."""
    provider = _provider_of(staff)
    return provider.called if provider else ""


def roles_by_group(staff: Account) -> Sequence[tuple[str, Role]]:
    """The roles of the groups at the account's provider, in order of precedence."""
    provider = _provider_of(staff)
    return provider.roles if provider else ()


def _provider_of(staff: Account) -> Provider | None:
    client = open_id()
    return client.provider if client and client.provider.issuer == staff.issuer else None


def page(
    form: SignInForm | None = None, status: int = 200, *, problem: str = "", wanted: str | None = None
) -> Response:
    """The sign-in page; `problem` belongs to no field, `wanted` is where to go next if the address does not say."""
    client = open_id()
    return render(
        "session/sign_in.html",
        status=status,
        form=form or SignInForm(),
        next=next_address() if wanted is None else wanted,
        provider=client.provider if client else None,
        problem=problem,
        demo_accounts=_demo_accounts(),
    )


def _demo_accounts() -> Sequence[DemoAccount]:
    if not access.settings().demo:
        return ()
    with transaction() as session:
        return demo_accounts.as_shown(session)


def _say(form: SignInForm, message: str) -> None:
    form.password.errors = [message]


def go_on(signed_in: SignedIn, wanted: str) -> ResponseReturnValue:
    """Gives the browser the new session, and redirects to where the user wanted to go."""
    # The same account signing in again keeps the CSRF secret, so that a page still open can be saved; no other does.
    if browser.get(WHO) != signed_in.account.email:
        browser.clear()
        browser[WHO] = signed_in.account.email
    access.keep_secret(signed_in.secret)
    return redirect(wanted, 303)
