"""What every command shares: the environment's database, output as text or JSON, exit codes, plain errors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

import click

from dashboard.config import Settings
from dashboard.onboarding.actor import Actor
from dashboard.words import plural

if TYPE_CHECKING:
    from dashboard.database import Database
    from dashboard.onboarding.loading import BadRows

REFUSED = 1
BAD_INPUT = 2
FAULT = 3

COMMAND_LINE = Actor("system:command-line", "cli")
"""The actor of everything that commands do."""

OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters except line ends, and marks that change the direction of text."""

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class CommandError(click.ClickException):
    """Ends the command with one line on stderr and this class's exit code."""

    def show(self, file: Any = None) -> None:
        click.echo(harmless(self.message), file=file or sys.stderr)


class Refusal(CommandError):
    """A rule forbids it: a conflict, already there, not a demo."""

    exit_code = REFUSED


class BadInput(CommandError):
    """The input is unusable."""

    exit_code = BAD_INPUT


class Fault(CommandError):
    """Something required does not work, such as an unreachable database."""

    exit_code = FAULT


def refuse(message: str) -> NoReturn:
    """Ends the command with exit code 1."""
    raise Refusal(message)


def bad_input(message: str) -> NoReturn:
    """Ends the command with exit code 2."""
    raise BadInput(message)


def fault(message: str) -> NoReturn:
    """Ends the command with exit code 3."""
    raise Fault(message)


def address_at(host: str, port: int) -> str:
    """The address of a server listening there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def open_server() -> Iterator[Settings]:
    """The environment's settings with the address of a running database, started while needed but never created.

    Its schema is not checked.
    """
    settings = Settings.from_environment(secret_required=False)
    if settings.database_url:
        yield settings
        return
    from dashboard.embedded import is_made, running

    if not is_made(settings.data_dir):
        fault(
            f"There is no database in {settings.data_dir}, and only `dashboard run` creates one. "
            "Set DATA_DIR to the folder that has it, or set DATABASE_URL."
        )
    with running(settings.data_dir) as url:
        yield replace(settings, database_url=url)


@contextmanager
def open_database() -> Iterator[Database]:
    """The environment's database. Raises SchemaError if its schema is not this version's: see `db migrate`."""
    with open_server() as settings, connected(settings) as database:
        yield database


@contextmanager
def connected(settings: Settings) -> Iterator[Database]:
    """The settings' database. Raises SchemaError if its schema is not this version's."""
    from dashboard.schema import require_current

    with opened(settings) as database:
        with database.transaction() as session:
            require_current(session)
        yield database


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The settings' database, whatever its schema, for long statements."""
    from dashboard.database import Database

    # the web server's time-outs are not meant for imports and distribution
    database = Database(replace(settings, statement_timeout_ms=0, idle_transaction_timeout_ms=0))
    try:
        yield database
    finally:
        database.dispose()


def with_database(command: Callable[Concatenate[Database, P], R]) -> Callable[P, R]:
    """Passes the environment's database to the command as its first argument."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with open_database() as database:
            return command(database, *args, **kwargs)

    return wrapped


def refuse_rows(bad: BadRows, as_json: bool) -> NoReturn:
    """Ends the command with exit code 2 and the problems for which an import was refused."""
    from dashboard.cli.report import printable

    if as_json:
        show({"imported": False, "problems": bad.listed, "total": bad.total}, True, "")
    more = bad.total - len(bad.listed)
    lines = [
        f"Nothing was imported: {plural(bad.total, 'problem')}.",
        *(f"  {printable(f'{one.where}: {one.reason}')}" for one in bad.listed),
        *([f"  and {more:,} more"] if more else []),
    ]
    bad_input("\n".join(lines))


def show(value: Any, as_json: bool, text: str | Callable[[], str]) -> None:
    """Prints the value as JSON, or the text for people."""
    if as_json:
        click.echo(in_json(value))
    else:
        click.echo(harmless(text if isinstance(text, str) else text()))


def in_json(value: Any) -> str:
    """The value as one line of JSON, in which a terminal obeys nothing either."""
    told = json.dumps(value, default=_plain, ensure_ascii=False)
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", told)


def harmless(text: str) -> str:
    """Escapes everything that a terminal would obey, because the lines may contain what others wrote."""
    return OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
