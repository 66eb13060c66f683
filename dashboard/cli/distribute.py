"""`dashboard distribute`: spreads the people over the nodes of a Citus cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dashboard.cli.context import json_option, open_server, opened, show
from dashboard.words import plural

if TYPE_CHECKING:
    from dashboard.cluster import Plan


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the statements without running them.")
@json_option
def distribute(dry_run: bool, as_json: bool) -> None:
    """Spread the people over the nodes of a Citus cluster, in one transaction.

    \b
    Examples:
      dashboard distribute --dry-run
      DATABASE_URL=postgresql://me@coordinator/onboarding dashboard distribute

    The checklist is copied to every node, each person's data is kept together on one node, and staff, tokens and the
    log stay on the coordinator. Whatever is already in place is left alone. Saves wait while it runs; restart the
    servers afterwards.
    """
    from dashboard import cluster

    with open_server() as settings, opened(settings) as database, database.transaction() as session:
        plan = cluster.plan(session) if dry_run else cluster.distribute(session)
    show(asdict(plan) | {"dry_run": dry_run}, as_json, lambda: _told(plan, dry_run))


def _told(plan: Plan, dry_run: bool) -> str:
    nodes = f"{plural(len(plan.nodes), 'node')} ({', '.join(plan.nodes)})"
    if not plan.statements:
        return f"Nothing to do: everything is already in place, with people on {nodes}."
    if dry_run:
        return "\n".join(["BEGIN;", *(f"{statement};" for statement in plan.statements), "COMMIT;"])
    return (
        f"People are now on {nodes}. Tables copied to every node: {', '.join(plan.copied) or 'none'}. "
        f"Tables spread by person: {', '.join(plan.by_person) or 'none'}. Restart any running servers."
    )
