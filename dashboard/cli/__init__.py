"""Door 3: the command line. Exit codes: 0 done, 1 refused by a rule, 2 bad usage or input, 3 a fault."""

from __future__ import annotations

import signal
import sys
import traceback
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from dashboard.cli.context import BadInput, CommandError, Fault, Refusal

COMMANDS = {
    "run": "dashboard.cli.run:run",
    "check": "dashboard.cli.check:check",
    "db": "dashboard.cli.db:db",
    "demo": "dashboard.cli.demo:demo",
    "distribute": "dashboard.cli.distribute:distribute",
    "people": "dashboard.cli.people:people",
    "step": "dashboard.cli.steps:step",
    "token": "dashboard.cli.tokens:token",
    "user": "dashboard.cli.users:user",
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command is used, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; every expected error is one plain line on stderr, never a traceback."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if known := _explained(error):
                raise known from error
            raise


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onboarding-dashboard")
def dashboard() -> None:
    """Change an onboarding checklist, preview the change, release it, roll it back.

    The database is DATABASE_URL, or an embedded PostgreSQL with its data in DATA_DIR (default: var, in the current
    folder). Only `dashboard run` creates that database if there is none.
    """


def main() -> NoReturn:
    """The console script: runs one command."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` makes a command ignore the closing of its terminal
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        dashboard(prog_name="dashboard")
    except Exception:
        # a bug is not a refusal, which scripts recognise by its exit code
        traceback.print_exc()
        sys.exit(Fault.exit_code)
    sys.exit(0)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    # an exception unwinds the open blocks, so the embedded server and temporary files are cleaned up
    sys.exit(128 + number)


def _explained(error: Exception) -> CommandError | None:
    """The error line with its exit code, or None for a bug."""
    from dashboard.config import SettingsError
    from dashboard.database import why_unusable
    from dashboard.embedded import AlreadyRunningError, EmbeddedError
    from dashboard.onboarding.errors import Invalid, NotFound, OnboardingError
    from dashboard.schema import SchemaError
    from dashboard.serving import PortTaken, WorkersFail

    match error:
        case SettingsError() | Invalid() | NotFound():
            return BadInput(str(error))
        case OnboardingError() | AlreadyRunningError() | PortTaken():
            return Refusal(str(error))
        case EmbeddedError() | SchemaError() | WorkersFail():
            return Fault(str(error))
        case BrokenPipeError():
            # whoever read the output has seen enough
            return None
        case OSError(strerror=str(said)):
            return Fault(f"{error.filename}: {said}" if error.filename else said)
    reason = why_unusable(error)
    return Fault(reason) if reason else None
