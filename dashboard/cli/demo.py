"""`dashboard demo`: the made-up product for trying things out."""

from __future__ import annotations

import click

from dashboard.cli.context import json_option, show, with_database
from dashboard.database import Database


@click.group()
def demo() -> None:
    """Demo data: a made-up product and its people."""


@demo.command()
@json_option
@with_database
def reset(database: Database, as_json: bool) -> None:
    """Reset the demo to its initial state, even while the server runs; everyone is signed out.

    \b
    Example:
      dashboard demo reset

    Accounts that were added and API tokens are deleted too: create new tokens with `dashboard token create`.

    Only a database that `dashboard run` filled with the demo is touched; any other is refused with exit code 1.
    """
    from dashboard import demo as data

    with database.transaction() as session:
        data.reset(session)
    shown = {"people": data.PEOPLE, "accounts": [account.email for account in data.ACCOUNTS]}
    show(
        shown,
        as_json,
        f"The demo was reset: {data.PEOPLE:,} people, 8 steps. Sign in again; API tokens were deleted.",
    )
