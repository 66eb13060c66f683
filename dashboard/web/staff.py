"""Staff: the list, an invitation, and one account with what administrators may do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import Session, transaction
from dashboard.onboarding.errors import Invalid, NotFound, Refused
from dashboard.onboarding.history import who
from dashboard.staff import accounts, links, roster, sessions, tokens
from dashboard.staff.accounts import Account, AccountChange, StaleAccount, actor_key
from dashboard.staff.demo_accounts import as_shown, is_demo_account
from dashboard.staff.links import Link
from dashboard.staff.permissions import Permission, Role
from dashboard.web import access
from dashboard.web.access import current_actor, current_staff, require
from dashboard.web.activity_wording import name_of
from dashboard.web.browsers import browser_called
from dashboard.web.forms import row_version_of
from dashboard.web.rendering import render, wants_partial
from dashboard.web.session import provider_called, roles_by_group
from dashboard.web.settings import GONE
from dashboard.web.settings_forms import InviteForm, role_from, say
from dashboard.words import plural

blueprint = Blueprint("staff", __name__, url_prefix="/settings/staff")

AccountAction = Callable[[Session, str, int], str | Link]
"""Acts on the account with this email, at the row_version seen; returns a message, or a link to show."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A save of an account that has changed since: what others did, and what was `wanted`, to be sent again."""

    changes: list[tuple[AccountChange, str]]
    wanted: str
    action: str
    fields: list[tuple[str, str]]


@blueprint.get("")
@require(Permission.MANAGE_STAFF)
def index() -> ResponseReturnValue:
    """Everyone who can sign in, or could."""
    with transaction() as session:
        members = roster.everyone(session)
    return render(
        "settings/staff.html", members=members, is_demo_account=is_demo_account, provider_called=provider_called
    )


@blueprint.get("/invite")
@require(Permission.MANAGE_STAFF)
def invite() -> ResponseReturnValue:
    """The form for an invitation."""
    return _invite_page(InviteForm())


@blueprint.post("/invite")
@require(Permission.MANAGE_STAFF)
def invite_post() -> ResponseReturnValue:
    """Makes the account and shows its link once: it is stored nowhere, so a redirect could not show it."""
    form = InviteForm(request.form)
    if not form.validate():
        return _invite_page(form, 422)
    email, name, role = form.email.data or "", form.name.data or "", role_from(form.role.data)
    try:
        with transaction() as session:
            made = links.invite(session, current_actor(), email=email, name=name, role=role)
    except Invalid as invalid:
        say(form, invalid.problems)
        with transaction() as session:
            known = accounts.find(session, email)
        return _invite_page(form, 422, known=known)
    return _invite_page(form, link=made)


def _invite_page(
    form: InviteForm, status: int = 200, *, link: Link | None = None, known: Account | None = None
) -> ResponseReturnValue:
    """`known`: the account that already has the address."""
    address = link.address(access.base_url()) if link else ""
    return render("settings/invite.html", status=status, form=form, roles=Role, link=link, address=address, known=known)


@blueprint.get("/<int:account_id>")
@require(Permission.MANAGE_STAFF)
def show(account_id: int) -> ResponseReturnValue:
    """One account."""
    return _page(account_id)


@blueprint.post("/<int:account_id>/role")
@require(Permission.MANAGE_STAFF)
def change_role(account_id: int) -> ResponseReturnValue:
    """Changes the role; revokes the account's API tokens if it may no longer manage them, like disable."""
    role, keep_tokens = role_from(request.form.get("role")), _keeps_tokens()

    def change(session: Session, email: str, seen: int) -> str:
        changed, revoked = accounts.change_role(
            session, current_actor(), email, role, seen, keep_tokens=keep_tokens, demo=access.settings().demo
        )
        return f"{changed.name}'s role is now {role.title}, from their next click.{_told(revoked)}"

    return _do(account_id, f"Change the role to {role.title}", change)


@blueprint.post("/<int:account_id>/disable")
@require(Permission.MANAGE_STAFF)
def disable(account_id: int) -> ResponseReturnValue:
    """Signs the account out and blocks it; revokes the API tokens that it made, unless asked to keep them."""
    keep_tokens = _keeps_tokens()

    def change(session: Session, email: str, seen: int) -> str:
        revoked = accounts.disable(
            session, current_actor(), email, keep_tokens=keep_tokens, seen=seen, demo=access.settings().demo
        )
        return f"{email} can no longer sign in.{_told(revoked)}"

    return _do(account_id, "Disable the account", change)


@blueprint.post("/<int:account_id>/enable")
@require(Permission.MANAGE_STAFF)
def enable(account_id: int) -> ResponseReturnValue:
    """Lets a disabled account sign in again."""

    def change(session: Session, email: str, seen: int) -> str:
        return f"{accounts.enable(session, current_actor(), email, seen).email} can sign in again."

    return _do(account_id, "Enable the account", change)


@blueprint.post("/<int:account_id>/link")
@require(Permission.MANAGE_STAFF)
def make_link(account_id: int) -> ResponseReturnValue:
    """Makes a link with which the owner chooses a password, and shows it once."""

    def change(session: Session, email: str, seen: int) -> Link:
        return links.make(session, current_actor(), email, seen=seen, demo=access.settings().demo)

    return _do(account_id, "Create a new link", change)


@blueprint.post("/<int:account_id>/withdraw")
@require(Permission.MANAGE_STAFF)
def withdraw(account_id: int) -> ResponseReturnValue:
    """Takes back an invitation that was not accepted."""
    try:
        with transaction() as session:
            email = roster.one(session, account_id).account.email
            links.withdraw(session, current_actor(), email)
    except Refused as refused:
        return _page(account_id, 409, problem=str(refused))
    flash(f"The invitation for {email} was withdrawn. Its link no longer works.")
    return redirect(url_for("staff.index"), 303)


@blueprint.post("/<int:account_id>/sessions/end")
@require(Permission.MANAGE_STAFF)
def end_session(account_id: int) -> ResponseReturnValue:
    """Ends one session of the account."""
    try:
        with transaction() as session:
            email = roster.one(session, account_id).account.email
            sessions.end_one(session, current_actor(), email, request.form.get("session", ""))
    except NotFound as missing:
        if missing.what != "open session":
            raise
        return _done(account_id, GONE)
    return _done(account_id, "Session ended.")


@blueprint.post("/<int:account_id>/sessions/end-all")
@require(Permission.MANAGE_STAFF)
def end_sessions(account_id: int) -> ResponseReturnValue:
    """Signs the account out everywhere; one's own, everywhere else."""
    with transaction() as session:
        email = roster.one(session, account_id).account.email
        count = sessions.end_all(session, current_actor(), email, but=access.session_secret())
    return _done(account_id, f"{plural(count, 'session')} ended." if count else GONE)


def _keeps_tokens() -> bool:
    return request.form.get("keep_tokens") == "1"


def _told(revoked: list[str]) -> str:
    """The names of revoked API tokens, as the end of a message about an account."""
    return f" Revoked: {', '.join(revoked)}." if revoked else ""


def _do(account_id: int, wanted: str, action: AccountAction) -> ResponseReturnValue:
    """Acts over the form's row_version; else shows what others did in between, or why it can't be done."""
    seen = row_version_of(request.form)
    try:
        with transaction() as session:
            outcome = action(session, roster.one(session, account_id).account.email, seen)
    except StaleAccount as error:
        return _page(account_id, 409, stale=_stale(error, wanted))
    except Refused as refused:
        return _page(account_id, 409, problem=str(refused))
    return _done(account_id, outcome) if isinstance(outcome, str) else _page(account_id, link=outcome)


def _stale(error: StaleAccount, wanted: str) -> Stale:
    with transaction() as session:
        names = who(session, {change.by for change in error.changes})
    told = [(change, name_of(change.by, names[change.by])) for change in error.changes]
    sent = [
        (name, value) for name, value in request.form.items(multi=True) if name not in ("csrf_token", "row_version")
    ]
    return Stale(told, wanted, request.path, sent)


def _done(account_id: int, said: str) -> ResponseReturnValue:
    if wants_partial():
        return _page(account_id, said=said)
    flash(said)
    return redirect(url_for("staff.show", account_id=account_id), 303)


def _page(
    account_id: int,
    status: int = 200,
    *,
    said: str = "",
    problem: str = "",
    stale: Stale | None = None,
    link: Link | None = None,
) -> ResponseReturnValue:
    with transaction() as session:
        member = roster.one(session, account_id)
        email = member.account.email
        is_own = email == current_staff().email
        is_only = is_own and not accounts.has_other_admin(session, account_id, demo=access.settings().demo)
        opened = sessions.sessions_of(session, email, access.session_secret())
        made = tokens.working_of(session, actor_key(email))
        names = who(session, {member.link_by} - {""})
        is_open = is_demo_account(email) and any(one.email == email for one in as_shown(session))
    return render(
        "settings/staff_account.html",
        "settings/_staff_account.html",
        status=status,
        member=member,
        staff=member.account,
        is_own=is_own,
        is_only=is_only,
        is_demo=is_demo_account(email),
        is_open=is_open,
        link_by=name_of(member.link_by, names[member.link_by]) if member.link_by else "",
        sessions=opened,
        session_count=member.sessions,
        called=browser_called,
        tokens=made,
        roles=Role,
        said=said,
        problem=problem,
        stale=stale,
        link=link,
        address=link.address(access.base_url()) if link else "",
        provider=provider_called(member.account),
        roles_by_group=roles_by_group(member.account),
    )
