"""`dashboard step`: the checklist, definitions as YAML, and the commands that release."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from dashboard.cli import releases
from dashboard.cli.context import (
    COMMAND_LINE,
    bad_input,
    in_json,
    json_option,
    refuse,
    refuse_rows,
    show,
    with_database,
)
from dashboard.database import Database

if TYPE_CHECKING:
    from dashboard.onboarding.definitions import Brought
    from dashboard.onboarding.loading import Problem
    from dashboard.onboarding.steps import Step

HEADER = "# The live steps. `dashboard step import` creates drafts from changes made here.\n"


@click.group()
def step() -> None:
    """The steps of the checklist: their definitions and releases."""


for command in (releases.preview, releases.release, releases.rollback, releases.withdraw, releases.restore):
    step.add_command(command)


@step.command("list")
@json_option
@with_database
def list_(database: Database, as_json: bool) -> None:
    """List the checklist in order, with drafts, unreleased and withdrawn steps.

    \b
    Example:
      dashboard step list
    """
    from dashboard.onboarding import steps

    with database.transaction() as session:
        found = steps.checklist(session)
    show([asdict(one) | {"withdrawn": one.withdrawn} for one in found], as_json, lambda: _table(found))


def _table(found: Sequence[Step]) -> str:
    from dashboard.cli.report import printable, table

    if not found:
        return "There are no steps yet. Create them on the Steps page, or with `dashboard step import`."
    rows = [
        (one.step_id, printable(one.latest.fields.title), _state(one), f"{one.latest.fields.weight}") for one in found
    ]
    return table([("Step", "Title", "State", "Weight"), *rows], left=3)


def _state(one: Step) -> str:
    state = f"version {one.live.version}" if one.live else "withdrawn" if one.withdrawn else "never released"
    return f"{state}, draft of version {one.draft.version}" if one.draft else state


# Definitions as YAML -------------------------------------------------------------------------------------------------


@step.command()
@click.argument("step_ids", nargs=-1, metavar="[STEP_ID]...")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@json_option
@with_database
def export(database: Database, step_ids: tuple[str, ...], path: Path | None, as_json: bool) -> None:
    """Export all live steps, or the named ones, as YAML in checklist order.

    \b
    Examples:
      dashboard step export --file steps.yaml
      dashboard step export setup-payments | less

    Drafts, unreleased and withdrawn steps are left out. `dashboard step import` reads the file back without loss.
    """
    from dashboard.cli import yaml_text
    from dashboard.onboarding import definitions

    with database.transaction() as session:
        document = definitions.document(definitions.live(session, step_ids))
    text = in_json(document) + "\n" if as_json else HEADER + yaml_text.write(document)
    _put(text.encode(), path)


def _put(raw: bytes, path: Path | None) -> None:
    if path is None:
        # as bytes, because the terminal's encoding may lack some characters
        click.echo(raw, nl=False)
        return
    try:
        path.write_bytes(raw)
    except OSError as error:
        bad_input(f"{path} can't be written: {error.strerror}")


@step.command("import")
@click.argument("file", type=click.File("rb"), metavar="FILE.yaml")
@click.option("--discard-drafts", is_flag=True, help="Replace drafts that someone else has open.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, without doing it.")
@json_option
@with_database
def import_(database: Database, file: BinaryIO, discard_drafts: bool, dry_run: bool, as_json: bool) -> None:
    """Create drafts from a YAML file ("-": standard input); nothing is released.

    \b
    Examples:
      dashboard step import steps.yaml --dry-run
      git show main:steps.yaml | dashboard step import -

    \b
    The format is what `dashboard step export` writes:
      steps:
        setup-payments:
          position: 2
          title: Set up payments
          weight: 20
          action_url: /settings/payments
          description: |-
            Take cards from the first day.
    Title and weight are required; a description or action_url that is left out is empty.

    A step that differs from its live version gets a draft. A step that does not exist yet is created, with its first
    draft, at the end of the checklist. A step that is identical is left alone, including its draft, and so is every
    step that the file does not name. A withdrawn step that the file changes is refused.

    Positions in the file do not change the order: reorder on the Steps page.

    Either everything is imported or nothing. A draft made by an earlier import is replaced. If someone else has a draft
    open, the import is refused unless you add --discard-drafts; the discarded draft stays in the audit log.
    """
    brought, same_order = _brought_in(database, file, discard_drafts, dry_run, as_json)
    told = {"dry_run": dry_run, "same_order": same_order, "steps": [asdict(one) for one in brought]}
    show(told, as_json, lambda: _told(brought, dry_run, same_order))


def _brought_in(
    database: Database, file: BinaryIO, discard_drafts: bool, dry_run: bool, as_json: bool
) -> tuple[list[Brought], bool]:
    """The outcome for each step of the file, and whether the file's order is the checklist's. Exits if refused."""
    from dashboard.cli import yaml_text
    from dashboard.onboarding import definitions, releases, steps
    from dashboard.onboarding.errors import Invalid
    from dashboard.onboarding.loading import LISTED, BadRows

    lines: dict[str, int] = {}
    try:
        given = yaml_text.read(file.read(yaml_text.MAX_BYTES + 1))
        lines |= given.lines
        wanted = definitions.read(given.document)
        with database.transaction() as session, releases.dry_run(session) if dry_run else nullcontext():
            same_order = definitions.same_order(wanted, steps.checklist(session))
            brought = definitions.bring_in(session, COMMAND_LINE, wanted, discard_drafts=discard_drafts)
    except yaml_text.BadFile as bad:
        refuse_rows(bad, as_json)
    except Invalid as invalid:
        placed = [_placed(name, reason, lines) for name, reason in invalid.problems.items()]
        refuse_rows(BadRows(placed[:LISTED], len(placed)), as_json)
    except definitions.DraftsOpen as drafts:
        refuse(f"{drafts} Nothing was imported. To replace other people's drafts, add --discard-drafts.")
    return brought, same_order


def _placed(name: str, reason: str, lines: dict[str, int]) -> Problem:
    """The problem at the line of the member, or of the nearest enclosing one."""
    from dashboard.onboarding.loading import Problem

    around = name
    while around and around not in lines:
        around = around.rpartition(".")[0]
    return Problem(f"line {lines[around]}" if around else "the file", f"{name}: {reason}")


def _told(brought: Sequence[Brought], dry_run: bool, same_order: bool) -> str:
    from dashboard.cli.report import table

    if not brought:
        return "The file has no steps, so there was nothing to import."
    lines = [table(((one.step_id, _became(one)) for one in brought), left=2)]
    if not same_order:
        lines.append("The file's order differs and was not applied: reorder on the Steps page.")
    lines.append("Nothing was changed: this was a dry run." if dry_run else "Nothing was released: these are drafts.")
    return "\n".join(lines)


def _became(one: Brought) -> str:
    match one.outcome:
        case "created":
            told = f"created, with a draft of version {one.version}"
        case "draft":
            told = f"draft of version {one.version} (changed: {', '.join(one.changed)})"
        case _:
            told = "unchanged"
    return f"{told}; {one.note}" if one.note else told
