"""`dashboard user`: staff accounts."""

from __future__ import annotations

import secrets
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from dashboard.cli.context import COMMAND_LINE, address_at, bad_input, json_option, show, with_database
from dashboard.config import Settings, base_url_from
from dashboard.database import Database
from dashboard.staff.permissions import Role

if TYPE_CHECKING:
    from dashboard.staff.accounts import Account
    from dashboard.staff.links import Link

ROLES = [role.value for role in Role]
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - no address to listen on, but ones that lead nowhere


@click.group()
def user() -> None:
    """Staff accounts: who can sign in to the dashboard."""


@user.command()
@click.argument("email")
@click.option("--name", required=True, help="Display name.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they can do.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@json_option
@with_database
def add(database: Database, email: str, name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Create an account; without --password-stdin a password is generated and printed once.

    \b
    Examples:
      dashboard user add maya@example.com --name "Maya Lindqvist" --role manager
      pass show dashboard | dashboard user add ada@example.com --name Ada --role admin --password-stdin
    """
    from dashboard.staff import accounts

    password = _from_stdin() if password_stdin else secrets.token_urlsafe(15)
    with database.transaction() as session:
        made = accounts.create(session, COMMAND_LINE, email=email, name=name, role=Role(role), password=password)
    shown = {} if password_stdin else {"password": password}
    text = f"{made.email} can sign in as {made.role.title}."
    show(_plain(made) | shown, as_json, text if password_stdin else f"{text}\nPassword: {password}")


base_url_option = click.option(
    "--base-url", default="", help="The dashboard's address.  [default: BASE_URL, or the local server]"
)


@user.command()
@click.argument("email")
@click.option("--name", required=True, help="Display name.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they can do.")
@base_url_option
@json_option
@with_database
def invite(database: Database, email: str, name: str, role: str, base_url: str, as_json: bool) -> None:
    """Create an account and print a one-time link to pass on, with which its owner sets a password.

    \b
    Example:
      dashboard user invite maya@example.com --name "Maya Lindqvist" --role manager --base-url https://onboarding.example.com
    """
    from dashboard.staff import links

    base = _base_url(base_url)
    with database.transaction() as session:
        made = links.invite(session, COMMAND_LINE, email=email, name=name, role=Role(role))
    _show_link(made, base, as_json)


@user.command("reset-link")
@click.argument("email")
@base_url_option
@json_option
@with_database
def reset_link(database: Database, email: str, base_url: str, as_json: bool) -> None:
    """Print a one-time link with which the account's owner sets a new password; earlier links stop working.

    \b
    Example:
      dashboard user reset-link maya@example.com --base-url https://onboarding.example.com
    """
    from dashboard.staff import links

    base = _base_url(base_url)
    with database.transaction() as session:
        made = links.make(session, COMMAND_LINE, email, demo=_is_demo())
    _show_link(made, base, as_json)


@user.command("list")
@json_option
@with_database
def list_(database: Database, as_json: bool) -> None:
    """List the accounts by name, disabled ones last.

    \b
    Example:
      dashboard user list --json
    """
    from dashboard.staff import roster

    with database.transaction() as session:
        found = [one.account for one in roster.everyone(session)]
    show([_plain(account) for account in found], as_json, lambda: _table(found))


keep_tokens_option = click.option("--keep-tokens", is_flag=True, help="Keep the API tokens they created working.")


@user.command()
@click.argument("email")
@keep_tokens_option
@json_option
@with_database
def disable(database: Database, email: str, keep_tokens: bool, as_json: bool) -> None:
    """Sign the account out everywhere, block its sign-in, and revoke the API tokens and one-time links it created.

    \b
    Example:
      dashboard user disable maya@example.com
    """
    from dashboard.staff import accounts

    with database.transaction() as session:
        revoked = accounts.disable(session, COMMAND_LINE, email, keep_tokens=keep_tokens, demo=_is_demo())
    text = f"{email} can no longer sign in.{_told(revoked)}"
    show({"email": email, "disabled": True, "revoked_tokens": revoked}, as_json, text)


@user.command()
@click.argument("email")
@json_option
@with_database
def enable(database: Database, email: str, as_json: bool) -> None:
    """Let a disabled account sign in again.

    \b
    Example:
      dashboard user enable maya@example.com
    """
    from dashboard.staff import accounts

    with database.transaction() as session:
        account = accounts.enable(session, COMMAND_LINE, email)
    show(_plain(account), as_json, f"{account.email} can sign in again.")


@user.command()
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
@keep_tokens_option
@json_option
@with_database
def role(database: Database, email: str, role: str, keep_tokens: bool, as_json: bool) -> None:
    """Change the account's role; takes effect at once, even where it is signed in.

    Where an administrator becomes something else, the API tokens and one-time links that they made are revoked.

    \b
    Example:
      dashboard user role maya@example.com admin
    """
    from dashboard.staff import accounts

    with database.transaction() as session:
        account, revoked = accounts.change_role(
            session, COMMAND_LINE, email, Role(role), keep_tokens=keep_tokens, demo=_is_demo()
        )
    text = f"{account.email} is {account.role.title} now.{_told(revoked)}"
    show(_plain(account) | {"revoked_tokens": revoked}, as_json, text)


@user.command()
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@json_option
@with_database
def password(database: Database, email: str, password_stdin: bool, as_json: bool) -> None:
    """Replace the password and sign the account out everywhere.

    An account that signs in with the provider uses this password from then on instead, and its role no longer follows
    the groups there.

    \b
    Example:
      dashboard user password maya@example.com
    """
    from dashboard.staff import accounts

    new = _from_stdin() if password_stdin else secrets.token_urlsafe(15)
    with database.transaction() as session:
        before = accounts.find(session, email)
        account = accounts.set_password(session, COMMAND_LINE, email, new)
    text = f"The password of {account.email} was replaced."
    if before and before.issuer:
        text = (
            f"{account.email} now signs in with this password, and no longer with the provider {before.issuer}; "
            "the role stays as it is, whatever the groups there."
        )
    shown = {} if password_stdin else {"password": new}
    show(_plain(account) | shown, as_json, text if password_stdin else f"{text}\nPassword: {new}")


def _told(revoked: list[str]) -> str:
    """The names of revoked API tokens, as a line after the message about an account."""
    return f"\nRevoked tokens: {', '.join(revoked)}" if revoked else ""


def _is_demo() -> bool:
    return Settings.from_environment(secret_required=False).demo


def _base_url(given: str) -> str:
    """The link's base address: as given, else that of the `dashboard run` using this database. Exits with 2 if unknown.

    If none runs, it is where one would listen in this environment; standard error then says that this is a guess.
    """
    from dashboard.embedded import site_of

    settings = Settings.from_environment(secret_required=False)
    if base := base_url_from(given, "--base-url") or settings.base_url:
        return base
    site = "" if settings.database_url else site_of(settings.data_dir)
    if site and urlsplit(site).hostname not in EVERYWHERE:
        return site
    if settings.database_url or site or settings.host in EVERYWHERE:
        bad_input("The link needs the dashboard's address: set --base-url or BASE_URL.")
    click.echo("BASE_URL is not set and no server is running here, so the address in the link is a guess.", err=True)
    return address_at(settings.host, settings.port)


def _show_link(made: Link, base_url: str, as_json: bool) -> None:
    address = made.address(base_url)
    until = f"{made.expires_at:%Y-%m-%d %H:%M} UTC"
    text = f"One-time link for {made.account.email} to set a password, valid until {until}:\n{address}"
    show(_plain(made.account) | {"link": address, "link_expires_at": made.expires_at}, as_json, text)


def _from_stdin() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        bad_input("No password was given on standard input.")
    return line


def _plain(account: Account) -> dict[str, object]:
    return asdict(account) | {"role": account.role.value}


def _table(found: list[Account]) -> str:
    if not found:
        return "There are no accounts yet. Create one with `dashboard user add`."
    width = max(len(account.email) for account in found)
    return "\n".join(
        f"{account.email:{width}}  {account.role.value:7}  {account.state:8}  {account.name}{_by_provider(account)}"
        for account in found
    )


def _by_provider(account: Account) -> str:
    return f"  (signs in with {account.issuer})" if account.issuer else ""
