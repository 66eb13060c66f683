"""`dashboard check`: whether the stored data keeps the promises of the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dashboard.cli.context import REFUSED, json_option, show, with_database
from dashboard.database import Database

if TYPE_CHECKING:
    from dashboard.onboarding.invariants import Check


@click.command()
@json_option
@with_database
def check(database: Database, as_json: bool) -> None:
    """Check every stored row against the promises of docs/model.md; exits with 1 if one is broken.

    \b
    Example:
      dashboard check && echo "nothing is wrong"

    It only reads, so it can run beside a server; a million people take about a minute.
    """
    from dashboard.onboarding import invariants

    with database.snapshot() as session:
        checks = invariants.check(session)
    holds = all(one.holds for one in checks)
    show({"holds": holds, "checks": [asdict(one) for one in checks]}, as_json, lambda: _report(checks))
    if not holds:
        raise click.exceptions.Exit(REFUSED)


def _report(checks: list[Check]) -> str:
    lines = []
    for one in checks:
        lines.append(f"{'holds ' if one.holds else 'BROKEN'}  {one.promise}")
        if not one.holds:
            more = ", ..." if one.broken > len(one.examples) else ""
            lines.append(f"        {one.broken:,}: {', '.join(one.examples)}{more}")
    return "\n".join(lines)
