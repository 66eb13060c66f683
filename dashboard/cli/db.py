"""`dashboard db`: the database's address and schema."""

from __future__ import annotations

import os

import click

from dashboard.cli.context import connected, json_option, open_server, show


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
    """Bring the database to the newest version; safe to run at any time, by several at once.

    \b
    Example:
      DATABASE_URL=postgresql://me@localhost/onboarding dashboard db migrate

    `dashboard run` brings up the schema, too, before it serves. No other command does: they refuse one of another version.
    This one also looks whether everybody is found by their name: who was made or renamed by a process of an older version
    that went on beside the newer schema may not be.
    """
    from dashboard.onboarding import people
    from dashboard.schema import head_revision
    from dashboard.schema import migrate as bring_up

    with open_server() as settings:
        bring_up(settings.database_url)
        with connected(settings) as database, database.transaction() as session:
            mended = people.index_anew(session)
        told = f"The schema is at {head_revision()}."
        if mended:
            told += f" Found by what they are called, and were not: {mended:,}."
        show({"revision": head_revision(), "found_again": mended}, as_json, told)
