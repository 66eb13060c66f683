"""`dashboard token`: keys to the JSON API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from dashboard.cli.context import COMMAND_LINE, json_option, show, with_database
from dashboard.database import Database

if TYPE_CHECKING:
    from dashboard.staff.tokens import TokenEntry


@click.group()
def token() -> None:
    """API tokens: keys that let the host product use the JSON API."""


@token.command()
@click.option("--name", required=True, help="Recorded with every change made with the token; cannot be reused.")
@click.option("--scopes", required=True, help="One or more of progress:read,progress:write,steps:read,steps:release.")
@click.option("--days", type=click.IntRange(1, 3650), help="Days until it expires.  [default: never]")
@json_option
@with_database
def create(database: Database, name: str, scopes: str, days: int | None, as_json: bool) -> None:
    """Create a token and print only its secret, which is not shown again.

    \b
    Examples:
      dashboard token create --name shop --scopes progress:read,progress:write
      TOKEN=$(dashboard token create --name release-job --scopes steps:read,steps:release --days 90)
    """
    from dashboard.staff import tokens

    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with database.transaction() as session:
        made = tokens.create(
            session, COMMAND_LINE, name=name, scopes=tokens.parse_scopes(scopes), expires_at=expires_at
        )
    show({"token": made.secret} | _plain(made.entry), as_json, made.secret)


@token.command("list")
@json_option
@with_database
def list_(database: Database, as_json: bool) -> None:
    """List the tokens, without their secrets.

    \b
    Example:
      dashboard token list
    """
    from dashboard.staff import tokens

    with database.transaction() as session:
        found = tokens.everything(session)
    show([_plain(entry) for entry in found], as_json, lambda: _table(found))


@token.command()
@click.argument("name")
@json_option
@with_database
def revoke(database: Database, name: str, as_json: bool) -> None:
    """Revoke a token at once; this cannot be undone.

    \b
    Example:
      dashboard token revoke shop
    """
    from dashboard.staff import tokens

    with database.transaction() as session:
        entry = tokens.revoke(session, COMMAND_LINE, name)
    show(_plain(entry), as_json, f"The token {entry.name} was revoked.")


def _plain(entry: TokenEntry) -> dict[str, object]:
    return asdict(entry) | {"state": entry.state}


def _table(found: list[TokenEntry]) -> str:
    if not found:
        return "There are no tokens yet. Create one with `dashboard token create`."
    width = max(len(entry.name) for entry in found)
    return "\n".join(
        f"{entry.name:{width}}  {entry.state:7}  used {_day(entry.last_used_at)}  expires {_day(entry.expires_at)}  "
        f"{','.join(entry.scopes)}"
        for entry in found
    )


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never     "
