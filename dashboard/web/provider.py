"""Signing in with the sign-in provider: the way there, the way back, and the password that is requested once.

What a browser has to bring back is kept in its signed session cookie for a few minutes, and removed by the first answer
that names it. The way there is a link: `form-action` would stop a form's redirect to another site.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import structlog
from flask import Blueprint, Response, flash, redirect, request, url_for
from flask import session as browser
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound
from wtforms import Form, PasswordField
from wtforms.validators import InputRequired

from dashboard.database import transaction
from dashboard.staff import provided
from dashboard.staff import sign_in as signing_in
from dashboard.staff.passwords import MAX_PASSWORD
from dashboard.staff.permissions import Role
from dashboard.staff.provided import Refusal
from dashboard.staff.provider import Identity, NotProven, Pending, Unreachable
from dashboard.staff.sessions import SignedIn
from dashboard.web import access
from dashboard.web.errors import throttled
from dashboard.web.rendering import render
from dashboard.web.session import go_on, next_address, open_id
from dashboard.web.session import page as sign_in_page

if TYPE_CHECKING:
    from dashboard.staff.oidc import OpenIdClient

blueprint = Blueprint("provider", __name__, url_prefix="/sign-in/provider")
log = structlog.get_logger("dashboard.provider")

PENDING, CONNECTING = "provider", "connecting"
GOOD_S = 600
AT_ONCE = 3
"""Sign-ins that may be under way at once, in as many tabs; a cookie holds 4 kB."""
LONGEST_NEXT = 500

WRONG = "This is not the password for that account."
CONNECTED = "You now sign in with {called}. Your password no longer works."
NOT_HERE = "This sign-in was not started in this browser, or it took too long. Start again."
NOT_PROVEN = (
    "The answer from {called} could not be verified. Try again; if it keeps happening, the server log says why."
)
DOWN = "{called} cannot be reached right now. Try again in a moment, or sign in with a password if you have one."
DENIED = "{called} did not let you in, or you cancelled there."
DID_NOT = "{called} did not sign you in. Try again; if it keeps happening, the server log says why."
THEIR_FAULTS = frozenset({"server_error", "temporarily_unavailable"})
WHY = {
    Refusal.NO_ROLE: "You are signed in to {called}, but none of your groups there has a role here. "
    "Ask whoever runs this dashboard.",
    Refusal.UNVERIFIED: "{called} has not confirmed that your email address is verified, so you cannot have an account here.",
    Refusal.DISABLED: "Your account here is disabled. An administrator can enable it again.",
    Refusal.TAKEN: "An account with your email address already exists, but it signs in another way. "
    "Ask an administrator.",
    Refusal.LAST_ADMIN: "Your groups at {called} no longer make you an administrator, but you are the last one here. "
    "Someone else must become an administrator first.",
}


class PasswordForm(Form):
    """The password of the account that is being connected to the provider."""

    password = PasswordField("Password", [InputRequired("Enter your password here.")])


@blueprint.get("")
@access.public("leads to the sign-in provider, where one is set up")
def begin() -> ResponseReturnValue:
    """Redirects to the provider; if already signed in, to where the user wanted to go."""
    client, wanted = _client(), next_address()
    if access.staff_or_none():
        return redirect(wanted, 303)
    try:
        address, pending = client.begin(_redirect_uri())
    except Unreachable as error:
        return _down(client, error, wanted)
    kept = asdict(pending) | {"next": wanted if len(wanted) <= LONGEST_NEXT else "/", "at": _now()}
    browser[PENDING] = [*_pending()[1 - AT_ONCE :], kept]
    return redirect(address, 303)


@blueprint.get("/callback")
@access.public("the sign-in provider sends people back here; slowed down by address")
def callback() -> ResponseReturnValue:
    """Starts a session for the identity that the provider confirms; else says why not."""
    client, address = _client(), request.remote_addr or ""
    try:
        with transaction() as session:
            provided.admit(session, address)
    except signing_in.Throttled as error:
        return throttled(sign_in_page(status=429, problem=str(error)), error)
    kept = _taken(request.args.get("state", ""))
    if kept is None:
        log.warning("an answer of the sign-in provider that nobody waits for")
        return sign_in_page(status=400, problem=NOT_HERE)
    if declined := request.args.get("error"):
        return _declined(client, declined, kept["next"])
    pending = Pending(kept["state"], kept["nonce"], kept["verifier"])
    try:
        identity = client.finish(pending, request.args.get("code", ""), _redirect_uri(), request.args.get("iss"))
    except Unreachable as unreachable:
        return _down(client, unreachable, kept["next"])
    except NotProven as not_proven:
        log.warning("sign-in not proven", reason=str(not_proven))
        with transaction() as session:
            provided.refuse(session, Refusal.NOT_PROVEN, address)
        return sign_in_page(status=400, problem=_naming(NOT_PROVEN, client), wanted=kept["next"])
    return _signed_in(client, identity, kept["next"])


@blueprint.get("/connect")
@access.public("whoever comes from the sign-in provider gives the password of their account here once")
def connect() -> ResponseReturnValue:
    """The form: an account with the visitor's address has a password."""
    client, kept = _client(), _connecting()
    return _connect_page(client, kept, PasswordForm()) if kept else redirect(url_for("session.sign_in"), 303)


@blueprint.post("/connect")
@access.public("the same; slowed down by account and by address")
def connect_post() -> ResponseReturnValue:
    """Connects the account to the provider if the password is right, and signs in."""
    client, kept = _client(), _connecting()
    if kept is None:
        return sign_in_page(status=400, problem=NOT_HERE)
    form, identity = PasswordForm(request.form), _identity_of(kept)
    if not form.validate():
        return _connect_page(client, kept, form, 422)
    try:
        with transaction() as session:
            attempt = signing_in.admit(session, identity.email, request.remote_addr or "")
    except signing_in.Throttled as error:
        form.password.errors = [str(error)]
        return throttled(_connect_page(client, kept, form, 429), error)
    with transaction() as session:
        outcome = provided.connect(
            session,
            attempt,
            (form.password.data or "")[: MAX_PASSWORD + 1],
            identity,
            Role(kept["role"]),
            user_agent=request.user_agent.string,
            replaces=access.session_secret(),
        )
    if outcome is None:
        form.password.errors = [WRONG]
        return _connect_page(client, kept, form, 422)
    browser.pop(CONNECTING)
    if not isinstance(outcome, SignedIn):
        return _refused(client, outcome)
    response = go_on(outcome, kept["next"])
    flash(_naming(CONNECTED, client))
    return response


def _signed_in(client: OpenIdClient, identity: Identity, wanted: str) -> ResponseReturnValue:
    role = client.provider.role_of(identity.groups)
    with transaction() as session:
        outcome = provided.sign_in(
            session,
            identity,
            role,
            address=request.remote_addr or "",
            user_agent=request.user_agent.string,
            replaces=access.session_secret(),
        )
    if isinstance(outcome, SignedIn):
        return go_on(outcome, wanted)
    if outcome is not Refusal.PASSWORD or role is None:
        return _refused(client, outcome)
    # there may be very many groups, and only the role counts
    known = asdict(identity) | {"groups": [], "role": role.value}
    browser[CONNECTING] = known | {"next": wanted, "at": _now()}
    return redirect(url_for("provider.connect"), 303)


def _client() -> OpenIdClient:
    client = open_id()
    if client is None:
        raise NotFound
    return client


def _redirect_uri() -> str:
    """The return address registered with the provider: never the host name that the request claims."""
    return access.settings().base_url + url_for("provider.callback")


def _pending() -> list[dict[str, Any]]:
    return [kept for kept in browser.get(PENDING, []) if _now() - kept["at"] < GOOD_S]


def _taken(state: str) -> dict[str, Any] | None:
    """Takes out and returns what this browser keeps for the answer with this state."""
    pending = _pending()
    browser[PENDING] = [kept for kept in pending if kept["state"] != state]
    return next((kept for kept in pending if kept["state"] == state), None)


def _connecting() -> dict[str, Any] | None:
    kept: dict[str, Any] | None = browser.get(CONNECTING)
    return kept if kept and _now() - kept["at"] < GOOD_S else None


def _identity_of(kept: dict[str, Any]) -> Identity:
    return Identity(kept["issuer"], kept["subject"], kept["email"], kept["name"])


def _now() -> int:
    return int(time.time())


def _naming(sentence: str, client: OpenIdClient) -> str:
    return sentence.format(called=client.provider.called)


def _down(client: OpenIdClient, error: Unreachable, wanted: str) -> ResponseReturnValue:
    log.error("sign-in provider unreachable", reason=str(error))
    return sign_in_page(status=503, problem=_naming(DOWN, client), wanted=wanted)


def _declined(client: OpenIdClient, error: str, wanted: str) -> ResponseReturnValue:
    """Anyone can write the error in the address: it is logged, and shown in our own words."""
    log.warning("the sign-in provider declined", error=error[:100])
    if error in THEIR_FAULTS:
        return sign_in_page(status=503, problem=_naming(DOWN, client), wanted=wanted)
    denied = error == "access_denied"
    return sign_in_page(
        status=403 if denied else 400, problem=_naming(DENIED if denied else DID_NOT, client), wanted=wanted
    )


def _refused(client: OpenIdClient, why: Refusal) -> ResponseReturnValue:
    return render("session/not_admitted.html", status=403, reason=_naming(WHY[why], client))


def _connect_page(client: OpenIdClient, kept: dict[str, Any], form: PasswordForm, status: int = 200) -> Response:
    return render(
        "session/connect.html",
        status=status,
        form=form,
        email=kept["email"],
        role=Role(kept["role"]),
        provider=client.provider,
    )
