"""`dashboard db`: the database's address and schema."""

from __future__ import annotations

import os

import click

from dashboard.cli.context import json_option, open_server, show


@click.group()
def db() -> None:
    """The database: its address and its schema."""


@db.command()
@json_option
def url(as_json: bool) -> None:
    """Print the address for psql or a BI tool.

    \b
    Example:
      psql "$(dashboard db url)" -c 'TABLE user_onboarding LIMIT 5'

    The embedded database answers there while `dashboard run` (or another command) has it running.
    """
    from dashboard.config import database_url_from, libpq_url

    given = database_url_from(os.environ)
    if given:
        address = libpq_url(given)
    else:
        with open_server() as settings:
            address = libpq_url(settings.database_url)
    show({"url": address}, as_json, address)


@db.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the schema to the newest version; safe to run at any time, by several at once.

    \b
    Example:
      DATABASE_URL=postgresql://me@localhost/onboarding dashboard db migrate

    `dashboard run` does the same before it serves. No other command does: they refuse a schema of another version.
    """
    from dashboard.schema import head_revision
    from dashboard.schema import migrate as bring_up

    with open_server() as settings:
        bring_up(settings.database_url)
        show({"revision": head_revision()}, as_json, f"The schema is at {head_revision()}.")
