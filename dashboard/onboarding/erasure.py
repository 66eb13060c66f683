"""What a person may ask for by law: everything that is stored about them, and to be erased.

Nothing that counts is lost with a person: their events stay, under a name made up for them, and so do the receipts of
the releases that moved them. The database lets exactly that be changed, for the one who is named in the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import ARRAY, Integer, Table, Text, TextClause, bindparam, text
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import people, user_steps
from dashboard.onboarding.activity_filter import ERASED
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.onboarding.history import Change, record, timeline
from dashboard.onboarding.limits import check_key


@dataclass(frozen=True, slots=True)
class Stored:
    """How many rows there are about a person, apart from that of their own."""

    steps: int
    events: int
    conflicts: int
    audit: int


def stored(session: Session, user_id: str) -> Stored:
    """How much is stored about the person. Raises NotFound."""
    people.find(session, user_id)
    return _stored(session, user_id)


COUNT_STORED = text("""
SELECT (SELECT count(*) FROM user_steps WHERE user_id = :user_id) AS steps,
       (SELECT count(*) FROM user_step_events WHERE user_id = :user_id) AS events,
       (SELECT count(*) FROM write_conflicts WHERE user_id = :user_id) AS conflicts,
       (SELECT count(*) FROM audit_log WHERE user_id = :user_id) AS audit
""")


def _stored(session: Session, user_id: str) -> Stored:
    return Stored(*session.execute(COUNT_STORED, {"user_id": user_id}).one())


# Exporting -----------------------------------------------------------------------------------------------------------


def export(session: Session, user_id: str) -> dict[str, Any]:
    """Everything stored about the person, ready for JSON. Raises NotFound.

    `stored` has the rows as they are, table by table; `person` and `steps` say what they count as now, `releases` which
    releases touched them.
    """
    person = people.find(session, user_id)
    told = timeline(session, user_id, person.created_at, limit=None)
    return {
        "person": _plain(asdict(person)),
        "steps": [_plain(asdict(step)) for step in user_steps.steps_of(session, user_id)],
        "releases": [_released(change) for change in told.changes if change.release],
        "stored": {table.name: _rows(session, table, user_id) for table in _tables()},
    }


def _tables() -> list[Table]:
    """Every table that has rows of people."""
    return [table for table in models.Base.metadata.sorted_tables if "user_id" in table.columns]


def _rows(session: Session, table: Table, user_id: str) -> list[dict[str, Any]]:
    key = ", ".join(column.name for column in table.primary_key.columns)
    rows = text(f"SELECT to_jsonb(t) FROM {table.name} t WHERE user_id = :user_id ORDER BY {key}")
    return list(session.scalars(rows, {"user_id": user_id}))


def _released(change: Change) -> dict[str, Any]:
    release = change.release
    return _plain(
        {
            "step_id": change.step_id,
            "row_version": change.row_version,
            "number": release and release.number,
            "kind": release and release.kind,
            "version": release and release.version,
            "released_at": change.at,
            "released_by": change.by,
            "note": change.comment,
            "from_status": change.from_status,
            "to_status": change.to_status,
        }
    )


def _plain(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in members.items()}


# Erasing -------------------------------------------------------------------------------------------------------------


# As WRITE in progress.py does, the person first: a save at the same time waits here, and then finds nobody.
LOCK_TO_ERASE = text("SELECT user_id FROM onboarding_users WHERE user_id = :user_id FOR UPDATE")
DELETE = tuple(text(f"DELETE FROM {table} WHERE user_id = :user_id") for table in ("user_steps", "onboarding_users"))

# For the rest of the transaction. The first sets it on the nodes of a cluster too; elsewhere it does nothing.
NAME = (
    text("SET LOCAL citus.propagate_set_commands = 'local'"),
    text("SET LOCAL onboarding.erasing = :user_id").bindparams(
        bindparam("user_id", type_=Text(), literal_execute=True)
    ),
)
ACTOR = "CASE WHEN actor = 'user:' || :user_id THEN 'user:' || :pseudonym ELSE actor END"


def _renamed(table: str, **emptied: str) -> TextClause:
    values = {"user_id": ":pseudonym", "actor": ACTOR} | emptied
    return text(f"UPDATE {table} SET {', '.join(f'{k} = {v}' for k, v in values.items())} WHERE user_id = :user_id")


def _written_anew(table: str, **changed: str) -> tuple[TextClause, TextClause]:
    """A cluster keeps these rows where their user_id says, and lets nobody change it."""
    columns = models.Base.metadata.tables[table].columns.keys()
    values = {name: name for name in columns} | {"user_id": ":pseudonym"} | changed
    listed, told = ", ".join(columns), ", ".join(values.values())
    return (
        text(f"INSERT INTO {table} ({listed}) SELECT {told} FROM {table} WHERE user_id = :user_id"),
        text(f"DELETE FROM {table} WHERE user_id = :user_id"),
    )


# A preview that is forgotten at the same time is gone before its people are written anew, or stays until they are. Bulk
# changes come before people, as where they are made and carried out: the other way round the two would deadlock. Who comes
# into another meanwhile comes into a new one, which nobody forgets yet.
BULK_CHANGES = text("SELECT bulk_id FROM bulk_change_people WHERE user_id = :user_id")
HOLD_BULK_CHANGES = text("SELECT id FROM bulk_changes WHERE id = ANY(:bulk_ids) ORDER BY id FOR KEY SHARE").bindparams(
    bindparam("bulk_ids", type_=ARRAY(Integer))
)

ANONYMISE = (
    *_written_anew("user_step_events", actor=ACTOR, comment="''"),
    *_written_anew("bulk_change_people"),
    _renamed("write_conflicts"),
    _renamed("audit_log", subject="''", note="''", changes="'{}'"),
)


def erase(session: Session, actor: Actor, user_id: str, typed: str) -> Stored:
    """Erase the person, whose id has to be `typed` once more, and return how much there was of them.

    Raises NotFound, and Invalid for another id.

    Their row and their steps go. What was counted stays: events and conflicts, under a made-up name and without words.
    """
    check_key("person", user_id)
    session.execute(HOLD_BULK_CHANGES, {"bulk_ids": list(session.scalars(BULK_CHANGES, {"user_id": user_id}))})
    if session.scalar(LOCK_TO_ERASE, {"user_id": user_id}) is None:
        raise NotFound("person", user_id)
    if not _same(typed, user_id):
        raise Invalid({"typed": "is not this person's id"})
    found = _stored(session, user_id)
    pseudonym = f"{ERASED}{token_hex(6)}"
    for statement in (*NAME, *DELETE, *ANONYMISE):
        session.execute(statement, {"user_id": user_id, "pseudonym": pseudonym})
    gone = {"steps": [found.steps, 0]}
    record(session, actor, "person.erase", user_id=pseudonym, changes=gone)
    return found


def _same(typed: str, user_id: str) -> bool:
    """Spaces aside: a field of one line can hold no line breaks, and a pasted id often has spaces around it."""
    return "".join(typed.split()) == "".join(user_id.split())
