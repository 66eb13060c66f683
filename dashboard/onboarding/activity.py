"""Who did what: the audit log and what happened to people's steps as one list, newest first.

The two tables are paged by keyset and merged: each part of the one query is an index scan that stops after a page, so
that page 1,000 costs what page 1 does. At one moment the audit log comes first, for it is written last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import paging
from dashboard.onboarding.activity_filter import ACTIONS, STATUS_CHANGE, SYSTEM, SYSTEM_ACTORS, ActivityFilter
from dashboard.onboarding.actor import BY, called
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.history import Who, who
from dashboard.onboarding.limits import MAX_INTEGER, is_whole, moment_from, text_problem
from dashboard.onboarding.sql import FEW_AT_A_TIME, filtered

MAX_BIG_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done. `id` is that of the audit log; None: a person's step was written (action STATUS_CHANGE).

    `changes` maps a member to `[before, after]`; `comment` is the reason that was given.
    """

    at: datetime
    id: int | None
    actor: str
    action: str
    step_id: str | None
    user_id: str | None
    from_status: Status | None
    to_status: Status | None
    row_version: int | None
    subject: str
    changes: Mapping[str, Any]
    comment: str
    source: str


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """One page of entries, newest first. `newer` and `older` are opaque cursors, None at either end.

    `people` has what to call each person of the page who is still there, by id, and `names` each actor, by key.
    """

    entries: Sequence[Entry] = ()
    newer: str | None = None
    older: str | None = None
    people: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Who] = field(default_factory=dict)


# Reading both tables --------------------------------------------------------------------------------------------------

AUDIT = """
SELECT a.at, 0 AS place, a.id, a.actor, a.action, a.step_id, a.user_id, NULL AS from_status, NULL AS to_status,
       NULL::int AS row_version, a.subject, a.changes, a.note AS comment, '' AS source
  FROM audit_log a"""
EVENTS = f"""
SELECT e.at, 1 AS place, NULL::bigint AS id, e.actor, '{STATUS_CHANGE}' AS action, e.step_id, e.user_id, e.from_status,
       e.to_status, e.row_version, '' AS subject, '{{}}'::jsonb AS changes, e.comment, e.source
  FROM user_step_events e"""
AUDIT_KEY = ("at", "id")
EVENT_KEY = ("at", "user_id", "step_id", "row_version")
MERGED = "ORDER BY at {down}, place {up}, id {down}, user_id {down}, step_id {down}, row_version {down}"

Conditions = list[str]
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a page begins: an entry (its `key` is that of its table; None: the newest), and which way to go from there."""

    direction: paging.Direction = "after"
    key: tuple[Any, ...] | None = None


def page(session: Session, asked: ActivityFilter, cursor: str | None = None, limit: int = 50) -> ActivityPage:
    """Up to `limit` entries, newest first, in five queries at most: where `cursor` leads, or the newest of all.

    Raises Invalid: a broken cursor.
    """
    position = _position(cursor) if cursor else _Position()
    found = [_entry(row) for row in _rows(session, asked, position, limit + 1)]
    entries, newer, older = paging.around(found, limit, (position.direction, position.key), _cursor)
    return ActivityPage(
        entries,
        newer,
        older,
        _people(session, {asked.user_id, *(entry.user_id or "" for entry in entries)} - {""}),
        who(session, {entry.actor for entry in entries}),
    )


def _rows(session: Session, asked: ActivityFilter, position: _Position, limit: int) -> list[Row[Any]]:
    """The next `limit` rows from the position on, in the direction of it: each part stops after as many by itself."""
    down, up = ("DESC", "ASC") if position.direction == "after" else ("ASC", "DESC")
    shared, values = _shared(session, asked)
    values |= {"limit": limit}
    parts = []
    for table, alias, key, narrowed in _parts(asked, values):
        where = [*shared[alias], *narrowed, *_keyset(alias, key, position, values)]
        order = ", ".join(f"{alias}.{column} {down}" for column in key)
        parts.append(f"({table} {filtered(where)} ORDER BY {order} LIMIT :limit)")
    statement = f"SELECT * FROM ({' UNION ALL '.join(parts)}) merged {MERGED.format(down=down, up=up)} LIMIT :limit"
    return list(session.execute(text(statement), values))


def _parts(asked: ActivityFilter, values: Values) -> Iterator[tuple[str, str, tuple[str, ...], Conditions]]:
    """The parts of the union: one for each actor and each action that was asked for, so that an index has its order."""
    actors: Sequence[str | None] = SYSTEM_ACTORS if asked.who == SYSTEM else [None]
    actions: Sequence[str | None] = [None] if asked.what == "all" else ACTIONS[asked.what]
    for number, (actor, action) in enumerate(product(actors, actions)):
        values |= {f"actor_{number}": actor} if actor else {}
        values |= {f"action_{number}": action} if action not in (None, STATUS_CHANGE) else {}
        by = [f"{BY} = :actor_{number}"] if actor else []
        if action != STATUS_CHANGE:
            of = [f"a.action = :action_{number}"] if action else []
            yield AUDIT, "a", AUDIT_KEY, [*by, *of]
        if action in (None, STATUS_CHANGE):
            yield EVENTS, "e", EVENT_KEY, by


def _shared(session: Session, asked: ActivityFilter) -> tuple[dict[str, Conditions], Values]:
    """The conditions of either table, by its alias, that do not divide the query into parts."""
    conditions: Conditions = []
    values: Values = {}
    if asked.who and asked.who != SYSTEM:
        conditions.append(f"{BY} = :actor")
        values["actor"] = asked.who
    for member in ("step_id", "user_id"):
        if value := getattr(asked, member):
            conditions.append(f"{{0}}.{member} = :{member}")
            values[member] = value
    if asked.since:
        conditions.append("{0}.at >= :since")
        values["since"] = datetime.combine(asked.since, time(), UTC)
    if asked.until and asked.until < date.max:
        conditions.append("{0}.at < :until")
        values["until"] = datetime.combine(asked.until + timedelta(days=1), time(), UTC)
    shared = {alias: [condition.format(alias) for condition in conditions] for alias in ("a", "e")}
    if asked.step_id:
        shared["e"] += _lifetime(session, asked.step_id, values)
    return shared, values


# No index leads from a step to its events, for every save would have to write it. A step that was made here has none
# before that, and none while it was withdrawn. One that was taken over from another database was released before it was
# made here, and may have events from any time. The day is for transactions that are slow to end.
LIFETIME = text("""
SELECT s.created_at - interval '1 day' AS made,
       CASE WHEN count(r.id) = 0 THEN s.created_at
            ELSE max(r.released_at) FILTER (WHERE r.id = s.current_release_id AND r.kind = 'withdraw') END
       + interval '1 day' AS gone
  FROM steps s LEFT JOIN step_releases r USING (step_id)
 WHERE s.step_id = :step_id
 GROUP BY s.step_id HAVING count(r.id) = 0 OR min(r.released_at) > s.created_at
""")


def _lifetime(session: Session, step_id: str, values: Values) -> Conditions:
    """Between which moments the step can have events, where that is known."""
    row = session.execute(LIFETIME, {"step_id": step_id}).one_or_none()
    known = {name: moment for name, moment in row._mapping.items() if moment} if row else {}
    values |= known
    return [{"made": "e.at >= :made", "gone": "e.at < :gone"}[name] for name in known]


def _keyset(alias: str, key: tuple[str, ...], position: _Position, values: Values) -> Conditions:
    """What lies beyond the position. Of the other table that is decided by the moment, and by which comes first.

    Which table the position is in can be told by the length of its key.
    """
    if position.key is None:
        return []
    values |= {f"at_{number}": value for number, value in enumerate(position.key)}
    beyond = "<" if position.direction == "after" else ">"
    if len(key) == len(position.key):
        columns = ", ".join(f"{alias}.{column}" for column in key)
        return [f"({columns}) {beyond} ({', '.join(f':at_{number}' for number in range(len(key)))})"]
    comes_later = alias == ("e" if position.direction == "after" else "a")
    return [f"{alias}.at {beyond}{'=' if comes_later else ''} :at_0"]


def _entry(row: Row[Any]) -> Entry:
    members = dict(row._mapping)
    del members["place"]
    return Entry(**members)


def _people(session: Session, user_ids: set[str]) -> dict[str, str]:
    """What to call them: the name, else the email, else the id; who is not there any more is left out."""
    if not user_ids:
        return {}
    u = models.User
    found = session.execute(select(u.user_id, u.name, u.email).where(u.user_id.in_(user_ids)))
    return {user_id: called(name, email, user_id) for user_id, name, email in found}


def stream(session: Session, asked: ActivityFilter) -> Iterator[Entry]:
    """All of it, newest first, a few at a time, whatever the number; the transaction stays open until the last."""
    shared, values = _shared(session, asked)
    tables: list[Iterator[Entry]] = []
    if asked.who == SYSTEM:
        shared = {alias: [*where, f"{BY} = ANY(:actors)"] for alias, where in shared.items()}
        values["actors"] = list(SYSTEM_ACTORS)
    if asked.what != "statuses":
        of = [] if asked.what == "all" else ["a.action = ANY(:actions)"]
        actions = {} if asked.what == "all" else {"actions": list(ACTIONS[asked.what])}
        tables.append(_streamed(session, AUDIT, [*shared["a"], *of], "a", AUDIT_KEY, values | actions))
    if asked.what in ("all", "statuses"):
        tables.append(_streamed(session, EVENTS, shared["e"], "e", EVENT_KEY, values))
    yield from heapq.merge(*tables, key=_moment, reverse=True)


def _streamed(
    session: Session, table: str, where: Conditions, alias: str, key: tuple[str, ...], values: Values
) -> Iterator[Entry]:
    order = ", ".join(f"{alias}.{column} DESC" for column in key)
    statement = text(f"{table} {filtered(where)} ORDER BY {order}")
    for row in session.execute(statement, values, execution_options=FEW_AT_A_TIME):
        yield _entry(row)


def _moment(entry: Entry) -> tuple[datetime, bool]:
    return entry.at, entry.id is not None


# Cursors --------------------------------------------------------------------------------------------------------------


def _cursor(entry: Entry, direction: paging.Direction) -> str:
    key = [entry.id] if entry.id is not None else [entry.user_id, entry.step_id, entry.row_version]
    return paging.pack(direction, entry.at.isoformat(), *key)


def _position(cursor: str) -> _Position:
    try:
        direction, at, *key = paging.unpack(cursor)
    except ValueError:
        raise paging.broken() from None
    moment = moment_from(at)
    if direction not in ("after", "before") or moment is None or not _is_key(key):
        raise paging.broken()
    return _Position(direction, (moment, *key))


def _is_key(key: Sequence[object]) -> bool:
    match key:
        case [number]:
            return is_whole(number, 1, MAX_BIG_INTEGER)
        case [user_id, step_id, row_version]:
            texts = not text_problem(user_id, 1000) and not text_problem(step_id, 1000)
            # one of an adopted row may be below 1, see adoption
            return texts and is_whole(row_version, -MAX_INTEGER, MAX_INTEGER)
    return False
