"""`dashboard db`: the database's address and schema."""

from __future__ import annotations

import os

import click

from dashboard.cli.context import connected, json_option, open_server, show
from dashboard.words import plural


@click.group()
def db() -> None:
    """The database: its address and its schema."""


@db.command()
@json_option
def url(as_json: bool) -> None:
    """Print the database address for psql or a BI tool.

    \b
    Example:
      psql "$(dashboard db url)" -c 'TABLE user_onboarding LIMIT 5'

    The embedded database is reachable there while `dashboard run` (or another command) is running.
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
    """Migrate the database to the newest schema; safe to run at any time, even several at once.

    \b
    Example:
      DATABASE_URL=postgresql://me@localhost/onboarding dashboard db migrate

    `dashboard run` also migrates the schema before it serves. Other commands do not: they refuse a schema of another
    version. This command also repairs the search index: people who were added or renamed by a process of an older
    version, still running beside the newer schema, may be missing from it.
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
            told += f" Search index repaired for {plural(mended, 'person', 'people')}."
        show({"revision": head_revision(), "found_again": mended}, as_json, told)
