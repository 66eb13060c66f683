"""`dashboard step`: definitions as YAML, and releases as on the pages: previewed before they are made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Concatenate, ParamSpec, TypeVar

import click

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
from dashboard.config import Settings
from dashboard.database import Database, Session
from dashboard.onboarding.carryover import Policy

if TYPE_CHECKING:
    from dashboard.onboarding.cutover import Outcome
    from dashboard.onboarding.definitions import Brought
    from dashboard.onboarding.loading import Problem
    from dashboard.onboarding.plans import Planned
    from dashboard.onboarding.steps import Step

P = ParamSpec("P")
R = TypeVar("R")
Run = Callable[[Session, "Planned"], "Outcome"]

HEADER = "# The live steps. `dashboard step import` creates drafts from changes made here.\n"


@click.group()
def step() -> None:
    """The steps of the checklist: their definitions and releases."""


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


# Releases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """The policy in the options; `given`: any of them was set."""

    policy: Policy
    reopens_finished: bool
    given: bool


def with_choice(command: Callable[Concatenate[Choice, P], R]) -> Callable[P, R]:
    """Passes the policy options to the command as its first argument."""

    @click.option("--done", type=click.Choice(["keep", "redo"]), help="People who are done.  [default: keep]")
    @click.option("--skipped", type=click.Choice(["keep", "reset"]), help="People who skipped it.  [default: keep]")
    @click.option("--in-progress", type=click.Choice(["keep", "reset"]), help="People in progress.  [default: reset]")
    @click.option("--reopen-finished", is_flag=True, help="People who fall below 100 % no longer count as finished.")
    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        done, skipped, in_progress = (kwargs.pop(name) for name in ("done", "skipped", "in_progress"))
        reopen = bool(kwargs.pop("reopen_finished"))
        policy = Policy(done != "redo", skipped != "reset", in_progress == "keep")
        given = reopen or any((done, skipped, in_progress))
        return command(Choice(policy, reopen, given), *args, **kwargs)

    return wrapped


def _may_ask(_context: click.Context, _parameter: click.Parameter, yes: bool) -> bool:
    if not yes and not sys.stdin.isatty():
        bad_input("There is no terminal to confirm on. Check `dashboard step preview`, then add --yes.")
    return yes


def _reason(_context: click.Context, _parameter: click.Parameter, note: str) -> str:
    """Refuses an unusable reason before anything is shown or asked; a blank one counts as none."""
    from dashboard.onboarding import releases

    return releases.reason(note, required=True)


yes_option = click.option("--yes", is_flag=True, callback=_may_ask, help="Do not ask for confirmation.")
note_option = click.option("--note", required=True, callback=_reason, metavar="TEXT", help="Why, for the history.")


@step.command()
@click.argument("step_id")
@with_choice
@click.option("--rollback", "deed", flag_value="rollback", help="Preview a rollback, not the release of the draft.")
@click.option("--withdraw", "deed", flag_value="withdrawal", help="Preview a withdrawal.")
@click.option("--restore", "deed", flag_value="restore", help="Preview a restore.")
@json_option
@with_database
def preview(database: Database, choice: Choice, step_id: str, deed: str | None, as_json: bool) -> None:
    """Show what releasing the draft (or another action) would do to everyone; changes nothing.

    \b
    Examples:
      dashboard step preview setup-payments --in-progress keep
      dashboard step preview setup-payments --rollback
      dashboard step preview setup-payments --json | jq .impact.moves

    The default carry-over is the original system's: Done and Skipped are kept, In progress becomes To do. The pages
    preset the same, except that they also keep In progress when the weight does not change.
    """
    from dashboard.cli import report
    from dashboard.onboarding import releases

    if deed and choice.given:
        bad_input(f"A {deed} keeps everything: leave out --done, --skipped, --in-progress and --reopen-finished.")
    moves = {"rollback": releases.roll_back, "withdrawal": releases.withdraw, "restore": releases.restore}
    run = _run(moves[deed], step_id) if deed else _release(step_id, choice)
    outcome, _ = _foreseen(database, step_id, run)
    show(outcome.as_json(dry_run=True), as_json, lambda: report.preview(outcome))


@step.command()
@click.argument("step_id")
@note_option
@with_choice
@click.option("--expect-reset", type=click.IntRange(0), metavar="N", help="Refuse unless N people are reset.")
@click.option("--tolerance", type=click.IntRange(0), metavar="N", help="Allow that number to differ by up to N people.")
@yes_option
@json_option
@with_database
def release(
    database: Database,
    choice: Choice,
    step_id: str,
    note: str,
    expect_reset: int | None,
    tolerance: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Release the draft to everyone: shows the preview, asks, releases, prints the receipt.

    \b
    Examples:
      dashboard step release setup-payments --note "New payment providers"
      dashboard step release setup-payments --note "From CI" --expect-reset 200 --tolerance 10 --yes

    Only what was shown is released: it is refused if there was another release or another save of the draft since, or
    if the number of people reset differs by more than --tolerance (default: 0 with --expect-reset, else DRIFT_PEOPLE or
    DRIFT_PERCENT, as on the pages).

    The default carry-over is the original system's: Done and Skipped are kept, In progress becomes To do.
    """
    run = _release(step_id, choice, note)
    _carry_out(database, step_id, run, yes=yes, as_json=as_json, reset=expect_reset, tolerance=tolerance)


@step.command()
@click.argument("step_id")
@note_option
@click.option("--from-version", type=click.IntRange(1), metavar="N", help="Refuse unless version N is live.")
@yes_option
@json_option
@with_database
def rollback(database: Database, step_id: str, note: str, from_version: int | None, yes: bool, as_json: bool) -> None:
    """Roll back the newest release: shows the preview, asks, rolls back, prints the receipt.

    \b
    Examples:
      dashboard step rollback setup-payments --note "Broke sign-up"
      dashboard step rollback setup-payments --note "From CI" --from-version 4 --yes

    People get back what the release reset; what they did since is kept.

    With --yes, the live version must be named, so that a second run is refused instead of rolling back one more
    release.
    """
    from dashboard.onboarding import releases

    if yes and from_version is None:
        bad_input(
            "With --yes, add --from-version N (the live version): otherwise a repeat rolls back one more release."
        )
    run = _run(releases.roll_back, step_id, from_version=from_version, note=note)
    _carry_out(database, step_id, run, yes=yes, as_json=as_json)


@step.command()
@click.argument("step_id")
@note_option
@yes_option
@json_option
@with_database
def withdraw(database: Database, step_id: str, note: str, yes: bool, as_json: bool) -> None:
    """Take the step off everyone's checklist: shows the preview, asks, withdraws, prints the receipt.

    \b
    Example:
      dashboard step withdraw setup-payments --note "Payments moved elsewhere"

    People's work on it is kept for `dashboard step restore`.
    """
    from dashboard.onboarding import releases

    _carry_out(database, step_id, _run(releases.withdraw, step_id, note=note), yes=yes, as_json=as_json)


@step.command()
@click.argument("step_id")
@note_option
@yes_option
@json_option
@with_database
def restore(database: Database, step_id: str, note: str, yes: bool, as_json: bool) -> None:
    """Restore a withdrawn step as it was: shows the preview, asks, restores, prints the receipt.

    \b
    Example:
      dashboard step restore setup-payments --note "Payments are back"
    """
    from dashboard.onboarding import releases

    _carry_out(database, step_id, _run(releases.restore, step_id, note=note), yes=yes, as_json=as_json)


def _run(move: Callable[..., Outcome], step_id: str, **said: object) -> Run:
    """The engine's operation on the step, to be held to a plan."""

    def run(session: Session, planned: Planned) -> Outcome:
        return move(session, COMMAND_LINE, step_id, planned=planned, **said)

    return run


def _release(step_id: str, choice: Choice, note: str = "") -> Run:
    from dashboard.onboarding import releases

    said = {"policy": choice.policy, "reopens_finished": choice.reopens_finished, "note": note}
    return _run(releases.release, step_id, **said)


def _foreseen(
    database: Database, step_id: str, run: Run, reset: int | None = None, tolerance: int | None = None
) -> tuple[Outcome, Planned]:
    """The dry run, and the plan that ties the release to it. Raises StalePlan unless `reset` people are reset."""
    from dashboard.onboarding import plans, releases, steps

    with database.transaction() as session:
        now = steps.get(session, step_id)
        seen = plans.Planned(now.release_id or 0, now.draft.row_version if now.draft else None)
        with releases.dry_run(session):
            outcome = run(session, seen)
    impact = outcome.impact
    if tolerance is None:
        tolerance = _usual_tolerance(impact.everybody) if reset is None else 0
    predicted = plans.foretold(impact) | ({} if reset is None else {"reset": reset})
    planned = replace(seen, predicted=predicted, tolerance=tolerance)
    plans.check_drift(plans.drift(planned, impact), tolerance)
    return outcome, planned


def _usual_tolerance(everybody: int) -> int:
    from dashboard.onboarding import plans

    settings = Settings.from_environment(secret_required=False)
    return plans.tolerance(everybody, settings.drift_percent, settings.drift_people)


def _carry_out(
    database: Database,
    step_id: str,
    run: Run,
    *,
    yes: bool,
    as_json: bool,
    reset: int | None = None,
    tolerance: int | None = None,
) -> None:
    from dashboard.cli import report

    foreseen, planned = _foreseen(database, step_id, run, reset, tolerance)
    if not yes:
        _ask(report.preview(foreseen))
    elif not as_json:
        click.echo(report.preview(foreseen) + "\n")
    with database.transaction() as session:
        outcome = run(session, planned)
    show(outcome.as_json(dry_run=False), as_json, lambda: report.receipt(outcome))


def _ask(shown: str) -> None:
    # not on standard output, which may go to a file or a program
    click.echo(shown + "\n", err=True)
    if not click.confirm("Continue?", err=True):
        refuse("Nothing was changed.")
