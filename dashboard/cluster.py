"""Spreads the people over the nodes of a Citus cluster: where each table lives, and how it gets there (docs/scale.md).

A person's rows live on that person's node, by `user_id`; the checklist is copied to every node; what belongs to no
single person (staff, the log, the record of refused saves) stays on the coordinator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.exc import InternalError, NotSupportedError, ProgrammingError
from sqlalchemy.orm import Session

from dashboard import locks
from dashboard.onboarding.errors import Refused
from dashboard.schema import schema_is_current

COPIED = ("steps", "onboarding_step_definitions", "step_releases", "bulk_changes", "api_tokens")
"""Small tables that the people's tables refer to or are queried with: every node has a full copy."""

BY_PERSON = ("onboarding_users", "user_search", "user_steps", "user_step_events", "bulk_change_people")
"""Each after the table it refers to. The first decides where the others live."""

# Shard by shard over one connection to each node, because later statements of the transaction have to see the changes.
# The only triggers concerned are those of the events: they refuse, and read nothing. One also refuses truncation.
BEFORE = (
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
    "SET LOCAL citus.enable_unsafe_triggers = on",
    "SET LOCAL onboarding.emptying = 'on'",
)

# The migrations define a query that walks from one to the next, which a cluster refuses: here each node lists its own.
STANDINGS = """CREATE OR REPLACE VIEW standings AS
SELECT DISTINCT ON (standing) standing, done_releases, skipped_releases, in_progress_releases
  FROM onboarding_users ORDER BY standing"""

# The migrations define it as 0 for everyone.
SHARD_OF = """CREATE OR REPLACE FUNCTION shard_of(person text) RETURNS bigint LANGUAGE sql STABLE
RETURN get_shard_id_for_distribution_column('onboarding_users', person)"""


# For all later connections. A transaction that has read people over several connections to a node may not change the
# checklist; and statements are estimated as so expensive that JIT compilation takes 100 ms.
SETTINGS = text("""
SELECT format('ALTER DATABASE %I SET %s', current_database(), setting)
  FROM unnest(ARRAY['citus.multi_shard_modify_mode = sequential', 'jit = off']) AS setting
""")


@dataclass(frozen=True, slots=True)
class Plan:
    """What remains to be done on these `nodes` (`host:port`, holding people): all `statements` in one transaction.

    `copied` and `by_person` are the tables to move; if both are empty, there is nothing to do.
    """

    nodes: tuple[str, ...]
    copied: tuple[str, ...]
    by_person: tuple[str, ...]
    statements: tuple[str, ...]


def plan(session: Session) -> Plan:
    """What remains to be done until every table is in place. Raises Refused if it cannot be done here."""
    nodes = _nodes(session)
    if not schema_is_current(session):
        raise Refused("The schema is not the newest. Run `dashboard db migrate` first.")
    _check_owner(session)
    there = set(session.scalars(text("SELECT logicalrelid::text FROM pg_dist_partition")))
    copied = tuple(table for table in COPIED if table not in there)
    by_person = tuple(table for table in BY_PERSON if table not in there)
    return Plan(nodes, copied, by_person, _statements(session, copied, by_person))


def distribute(session: Session) -> Plan:
    """Carries out the plan and returns it; if two run at once, the second finds nothing to do. Raises Refused."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.SCHEMA})
    planned = plan(session)
    for statement in planned.statements:
        try:
            session.execute(text(statement.replace(":", "\\:")))
        except (InternalError, NotSupportedError, ProgrammingError) as error:
            raise Refused(f"Nothing was changed, for Citus refused `{statement}`: {error.orig}") from error
    return planned


# May it be done here? -------------------------------------------------------------------------------------------------

HAS_CITUS = text("""
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS here,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citus') AS on_server
""")
NODES = text("""
SELECT nodename || ':' || nodeport AS address, groupid = 0 AS is_coordinator, shouldhaveshards AS holds_people
  FROM pg_dist_node WHERE isactive AND noderole = 'primary' ORDER BY groupid
""")


def _nodes(session: Session) -> tuple[str, ...]:
    """The nodes that hold people. Raises Refused with what to do about it."""
    citus = session.execute(HAS_CITUS).one()
    if not citus.on_server:
        raise Refused(
            "This PostgreSQL server has no Citus. `dashboard distribute` is for the coordinator of a cluster."
        )
    if not citus.here:
        raise Refused("Citus is not in this database yet. Run `CREATE EXTENSION citus` in it, on every node.")
    if session.scalar(text("SELECT groupid FROM pg_dist_local_group")) != 0:
        raise Refused("This is a worker of the cluster. DATABASE_URL must point to the coordinator.")
    nodes = session.execute(NODES).all()
    if not any(node.is_coordinator for node in nodes):
        raise Refused(
            "The coordinator is not one of the nodes yet. Run `SELECT citus_set_coordinator_host('its-name')`."
        )
    holding = tuple(node.address for node in nodes if node.holds_people)
    if not holding:
        raise Refused("No node may hold people. Add one: `SELECT citus_add_node('its-name', 5432)`.")
    return holding


OWNERS = text("""
SELECT DISTINCT relowner::regrole::text FROM pg_class
 WHERE oid = ANY(:tables ::regclass[]) AND NOT pg_has_role(relowner, 'USAGE')
""")


def _check_owner(session: Session) -> None:
    others = session.scalars(OWNERS, {"tables": [*COPIED, *BY_PERSON]}).all()
    if others:
        raise Refused(f"The tables belong to {', '.join(others)}. Only their owner can distribute them.")


# The statements -------------------------------------------------------------------------------------------------------

FOREIGN_KEYS = text("""
SELECT conrelid::regclass::text AS on_table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint
 WHERE contype = 'f' AND (conrelid = ANY(:tables ::regclass[]) OR confrelid = ANY(:tables ::regclass[]))
 ORDER BY 1, 2
""").bindparams(bindparam("tables", type_=ARRAY(Text)))


def _statements(session: Session, copied: Sequence[str], by_person: Sequence[str]) -> tuple[str, ...]:
    """Foreign keys are dropped and recreated because they form a cycle: some table would always have to be first."""
    tables = [*copied, *by_person]
    if not tables:
        return ()
    keys: Sequence[Any] = session.execute(FOREIGN_KEYS, {"tables": tables}).all()
    return (
        *BEFORE,
        *(f"ALTER TABLE {key.on_table} DROP CONSTRAINT {key.name}" for key in keys),
        *(f"SELECT create_reference_table('{table}')" for table in copied),
        *(_by_person(table) for table in by_person),
        # otherwise the old rows stay hidden on the coordinator's disk, and the keys would be checked against them
        *(f"SELECT truncate_local_data_after_distributing_table('{table}')" for table in tables),
        *(f"ALTER TABLE {key.on_table} ADD CONSTRAINT {key.name} {key.definition}" for key in keys),
        *((STANDINGS, SHARD_OF, *session.scalars(SETTINGS)) if BY_PERSON[0] in by_person else ()),
    )


def _by_person(table: str) -> str:
    beside = "" if table == BY_PERSON[0] else f", colocate_with => '{BY_PERSON[0]}'"
    return f"SELECT create_distributed_table('{table}', 'user_id'{beside})"
