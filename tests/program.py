"""Runs `dashboard` commands as their user would, but in this process: a new one for each would cost a second or two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from dashboard.cli import dashboard


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


class Program:
    """The `dashboard` command in an environment of its own, without what is None there; `given` is its standard input."""

    def __init__(self, environment: Mapping[str, str | None], *command: str) -> None:
        self.environment, self.command = dict(environment), command

    def __call__(self, *arguments: str, given: str | bytes = b"") -> Ended:
        done = CliRunner(env=self.environment).invoke(
            dashboard, [*self.command, *arguments], input=given, prog_name="dashboard"
        )
        # A command that ends by an unexpected error would show its user a traceback.
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.exit_code, done.stdout.strip(), done.stderr.strip())
