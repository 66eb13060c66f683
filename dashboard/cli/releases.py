"""`dashboard step preview`, `release` and so on: previewed as on the pages before they are made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from dashboard.cli.context import COMMAND_LINE, bad_input, json_option, refuse, show, with_database
from dashboard.config import Settings
from dashboard.database import Database, Session
from dashboard.onboarding.carryover import Policy

if TYPE_CHECKING:
    from dashboard.onboarding.cutover import Outcome
    from dashboard.onboarding.plans import Planned

P = ParamSpec("P")
R = TypeVar("R")
Run = Callable[[Session, "Planned"], "Outcome"]


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


@click.command()
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


@click.command()
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


@click.command()
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


@click.command()
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


@click.command()
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
