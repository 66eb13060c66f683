"""`dashboard run`: the web server, with the embedded database unless there is another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from dashboard.cli.context import address_at, json_option, opened, refuse, show
from dashboard.config import Settings


@click.command()
@json_option
def run(as_json: bool) -> None:
    """Serve the dashboard until Ctrl-C.

    \b
    Examples:
      dashboard run
      dashboard run --json
      PORT=8080 DATA_DIR=/var/lib/dashboard dashboard run
      DATABASE_URL=postgresql://me@db/onboarding SECRET_KEY=... dashboard run

    With --json, the first line has the address and, in the demo, the accounts to sign in with.
    """
    from dashboard.schema import migrate
    from dashboard.serving import reserved, serve

    settings = Settings.from_environment()
    settings.refuse_unsafe()
    _check_assets()
    with _database_of(settings) as running:
        # after the data folder: for two starts in one folder, that gives the clearer error
        with reserved(running.host, running.port):
            migrate(running.database_url)
            with_accounts = running.demo and _prepare_demo(running)
        serve(running, lambda: _say_where(running, as_json, with_accounts=with_accounts))


@contextmanager
def _database_of(settings: Settings) -> Iterator[Settings]:
    if settings.database_url:
        yield settings
        return
    from dashboard.embedded import own

    site = settings.base_url or address_at(settings.host, settings.port)
    with own(settings.data_dir, site=site) as url:
        yield replace(settings, database_url=url)


def _check_assets() -> None:
    from dashboard.paths import missing_assets

    if missing := missing_assets():
        refuse(f"Front-end files are missing ({', '.join(missing)}): run `python build_assets.py` in the source folder")


def _prepare_demo(settings: Settings) -> bool:
    """Fills an empty database with the demo; True if the database holds it."""
    from dashboard import demo

    with opened(settings) as database, database.transaction() as session:
        return demo.fill(session) or demo.is_demo(session)


def _say_where(settings: Settings, as_json: bool, *, with_accounts: bool) -> None:
    from dashboard.staff.demo_accounts import DEMO_ACCOUNTS

    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    listening = address_at(shown, settings.port)
    # with BASE_URL, pages answer under its host name only
    address = settings.base_url or listening
    accounts = DEMO_ACCOUNTS if with_accounts else ()
    aside = f" (listening at {listening})" if address != listening else ""
    lines = [f"The onboarding dashboard is at {address}{aside}"]
    if accounts:
        lines.append("It contains demo data. Sign in as:")
        lines += [f"  {one.role.value:<8} {one.email:<22} password {one.password}" for one in accounts]
    lines.append("Press Ctrl-C to stop it.")
    said = [{"role": one.role.value, "email": one.email, "password": one.password} for one in accounts]
    show({"url": address, "accounts": said}, as_json, "\n".join(lines))
