"""`dashboard people`: imports people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO

import click

from dashboard.cli.context import bad_input, fault, json_option, refuse_rows, show, with_database
from dashboard.database import Database
from dashboard.onboarding.actor import Actor
from dashboard.words import plural

if TYPE_CHECKING:
    from dashboard.onboarding.loading import Imported, Progress

IMPORTER = Actor("system:import", "import")


@click.group()
def people() -> None:
    """The people on the checklist."""


@people.command("import")
@click.argument("file", type=click.File("rb"), required=False, metavar="FILE.csv")
@click.option("--from-database", "url", metavar="URL", help="Adopt a database in the original schema.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, without doing it.")
@json_option
@with_database
def import_(database: Database, file: BinaryIO | None, url: str | None, dry_run: bool, as_json: bool) -> None:
    """Import people from a CSV file ("-": standard input), or a whole database in the original schema.

    \b
    Examples:
      dashboard people import people.csv --dry-run
      dashboard people import people.csv
      gzip -dc people.csv.gz | dashboard people import - --json
      dashboard people import --from-database postgresql://me@old-host/onboarding

    \b
    The file's columns are user_id, name, email, and one for each step, named by its step_id:
      user_id,name,email,verify-email,setup-payments
      ada,Ada Moreau,ada@example.com,done,in_progress
    An empty cell changes nothing: a new person has not started that step, and an existing one keeps what they have. A
    status that differs replaces the current one and is recorded in the person's history. A user_id is taken exactly as
    written, so one that begins or ends with a space is refused, and so is one that begins with erased-.

    Either everything is imported or, if any line or row is wrong, nothing; the problems are listed with their reasons.
    An import that is interrupted has changed nothing either: run it again.
    """
    if (file is None) == (url is None):
        bad_input("Give either a CSV file (- for standard input) or --from-database URL.")
    from dashboard.onboarding.adoption_source import Unreachable
    from dashboard.onboarding.loading import BadRows

    try:
        with shown_progress() as progress:
            done = _imported(database, file, url or "", dry_run, progress)
    except BadRows as bad:
        refuse_rows(bad, as_json)
    except Unreachable as error:
        fault(str(error))
    show(asdict(done) | {"dry_run": dry_run}, as_json, lambda: _told(done, dry_run))


def _imported(database: Database, file: BinaryIO | None, url: str, dry_run: bool, progress: Progress) -> Imported:
    """Imports the file, or else the database at `url`; a dry run is the same import, rolled back."""
    from dashboard.onboarding import adoption, imports

    lines = _lines(file) if file and file.seekable() else None
    with database.transaction() as session:
        if file:
            done = imports.import_csv(session, IMPORTER, file, total=lines, progress=progress)
        else:
            done = adoption.adopt(session, IMPORTER, url, progress=progress)
        if dry_run:
            session.rollback()
    return done


def _lines(file: BinaryIO) -> int:
    lines = 0
    while block := file.read(2**20):
        lines += block.count(b"\n")
    file.seek(0)
    return lines


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A progress bar on standard error if that is a terminal; otherwise nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def tell(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield tell


def _told(done: Imported, dry_run: bool) -> str:
    parts: list[tuple[int, Callable[[int], str]]] = [
        (done.steps, lambda n: f"{plural(n, 'step')} with {done.releases:,} releases"),
        (done.new_people, lambda n: plural(n, "new person", "new people")),
        (done.updated_people, lambda n: f"{plural(n, 'person', 'people')} updated"),
        (done.statuses, lambda n: f"{plural(n, 'status', 'statuses')} written"),
        (done.unchanged, lambda n: f"{n:,} unchanged"),
    ]
    said = [tell(number) for number, tell in parts if number]
    if not said:
        return "There was nothing to import."
    if dry_run:
        return f"Would import: {', '.join(said)}.\nNothing was changed: this was a dry run."
    return f"Imported: {', '.join(said)}."
