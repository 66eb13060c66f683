"""Signing in and out."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Flask, Response, redirect, request, session, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from wtforms import EmailField, Form, PasswordField, ValidationError
from wtforms.validators import InputRequired

from dashboard.database import transaction
from dashboard.staff import sessions
from dashboard.staff import sign_in as signing_in
from dashboard.staff.accounts import email_problem, normalise_email
from dashboard.staff.demo_accounts import DEMO_ACCOUNTS
from dashboard.staff.passwords import MAX_PASSWORD, dummy_hash
from dashboard.staff.sessions import SignedIn
from dashboard.web import access
from dashboard.web.rendering import local_address, render

blueprint = Blueprint("session", __name__)

WRONG = "This email and password do not go together."


@blueprint.record_once
def install(state: BlueprintSetupState) -> None:
    """Where one can sign in, every request is asked who signed in."""
    access.init_app(cast(Flask, state.app))
    dummy_hash()


class SignInForm(Form):
    """Email and password; what is wrong is said at the field."""

    email = EmailField("Email", [InputRequired("Enter your email.")])
    password = PasswordField("Password", [InputRequired("Enter your password.")])

    def validate_email(self, field: EmailField) -> None:
        """The address in its kept spelling."""
        if problem := email_problem(normalise_email(field.data or "")):
            raise ValidationError(problem)


@blueprint.get("/sign-in")
@access.public("one signs in here")
def sign_in() -> ResponseReturnValue:
    """The form; whoever is signed in goes on to where they wanted."""
    if access.staff_or_none():
        return redirect(next_address(), 303)
    return _page(SignInForm())


@blueprint.post("/sign-in")
@access.public("one signs in here; slowed down by account and by address")
def sign_in_post() -> ResponseReturnValue:
    """Starts a session and goes on; else the form again, with the address as typed."""
    form = SignInForm(request.form)
    if not form.validate():
        return _page(form, 422)
    email, password = form.email.data or "", (form.password.data or "")[: MAX_PASSWORD + 1]
    try:
        with transaction() as database:
            attempt = signing_in.admit(database, email, request.remote_addr or "")
    except signing_in.Throttled as error:
        _say(form, str(error))
        response = _page(form, 429)
        response.headers["Retry-After"] = str(error.retry_after)
        return response
    with transaction() as database:
        signed_in = signing_in.complete(
            database,
            attempt,
            password,
            user_agent=request.user_agent.string,
            replaces=access.session_secret(),
            demo=access.settings().demo,
        )
    if signed_in is None:
        _say(form, WRONG)
        return _page(form, 422)
    return _started(signed_in)


@blueprint.post("/sign-out")
@access.public("ends the session of the browser it comes from")
def sign_out() -> ResponseReturnValue:
    """Ends the session here and in the database."""
    if secret := access.session_secret():
        with transaction() as database:
            sessions.end(database, secret)
    access.keep_secret("")
    session.clear()
    return redirect(url_for("session.sign_in"), 303)


def next_address() -> str:
    """Where to go after signing in: a path of this site, or the overview."""
    wanted = request.values.get("next", "")
    path = wanted.partition("?")[0].rstrip("/")
    if "\\" in wanted or path in {"/sign-in", "/sign-out"}:
        return "/"
    return local_address(wanted)


def _page(form: SignInForm, status: int = 200) -> Response:
    demo_accounts = DEMO_ACCOUNTS if access.settings().demo else ()
    return render("session/sign_in.html", status=status, form=form, next=next_address(), demo_accounts=demo_accounts)


def _say(form: SignInForm, message: str) -> None:
    form.password.errors = [message]


def _started(signed_in: SignedIn) -> ResponseReturnValue:
    # The same person signing in again keeps the CSRF secret, so that a page still open can be saved; nobody else does.
    if session.get("who") != signed_in.account.email:
        session.clear()
        session["who"] = signed_in.account.email
    access.keep_secret(signed_in.secret)
    return redirect(next_address(), 303)
