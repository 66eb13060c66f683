"""API tokens: the list, a new one, whose secret is shown once, and revoking one."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.history import who
from dashboard.staff import tokens
from dashboard.staff.permissions import Permission, Scope
from dashboard.staff.tokens import NewToken
from dashboard.web.access import current_actor, require
from dashboard.web.activity_wording import name_of
from dashboard.web.rendering import render
from dashboard.web.settings_forms import EXPIRY, TokenForm, say

blueprint = Blueprint("tokens", __name__, url_prefix="/settings/tokens")


@blueprint.get("")
@require(Permission.MANAGE_TOKENS)
def index() -> ResponseReturnValue:
    """All tokens: those that work, then those that no longer do."""
    with transaction() as session:
        found = tokens.everything(session)
        names = who(session, {token.created_by for token in found})
    called = {key: name_of(key, name) for key, name in names.items()}
    working = [token for token in found if token.state == "active"]
    over = [token for token in found if token.state != "active"]
    return render("settings/tokens.html", working=working, over=over, called=called)


@blueprint.get("/new")
@require(Permission.MANAGE_TOKENS)
def new() -> ResponseReturnValue:
    """The form for a new token."""
    return _new_page(TokenForm())


@blueprint.post("/new")
@require(Permission.MANAGE_TOKENS)
def create() -> ResponseReturnValue:
    """Makes the token and shows its secret once: it is stored nowhere, so a redirect could not show it."""
    form = TokenForm(request.form)
    try:
        with transaction() as session:
            scopes, expires_at = form.chosen_scopes(), form.expires_at()
            made = tokens.create(
                session, current_actor(), name=form.name.data or "", scopes=scopes, expires_at=expires_at
            )
    except Invalid as invalid:
        say(form, {"expires" if name == "expires_at" else name: text for name, text in invalid.problems.items()})
        return _new_page(form, 422)
    return _new_page(form, made=made)


@blueprint.get("/<int:token_id>/revoke")
@require(Permission.MANAGE_TOKENS)
def confirm(token_id: int) -> ResponseReturnValue:
    """Explains what revoking the token means."""
    with transaction() as session:
        token = tokens.one(session, token_id)
        names = who(session, {token.created_by})
    return render("settings/revoke.html", token=token, by=name_of(token.created_by, names[token.created_by]))


@blueprint.post("/<int:token_id>/revoke")
@require(Permission.MANAGE_TOKENS)
def revoke(token_id: int) -> ResponseReturnValue:
    """Revokes the token at once."""
    with transaction() as session:
        token = tokens.revoke(session, current_actor(), tokens.one(session, token_id).name)
    flash(f"The token {token.name} was revoked.")
    return redirect(url_for("tokens.index"), 303)


def _new_page(form: TokenForm, status: int = 200, made: NewToken | None = None) -> ResponseReturnValue:
    return render("settings/new_token.html", status=status, form=form, scopes=Scope, expiry=EXPIRY, made=made)
