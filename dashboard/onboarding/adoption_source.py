"""Reading the database that is adopted, in the original's schema: its definitions, checked, and its rows, staged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import steps
from dashboard.onboarding.errors import Invalid, OnboardingError
from dashboard.onboarding.history import NEVER
from dashboard.onboarding.limits import MAX_INTEGER
from dashboard.onboarding.loading import Progress, copying, stage
from dashboard.onboarding.steps import Fields

DEFINITIONS, ROWS = "onboarding_step_definitions", "user_onboarding"
NEEDED_COLUMNS = {
    DEFINITIONS: ("step_id", "version", "title", "weight", "is_active"),
    ROWS: ("user_id", "step_id", "version", "status", "row_version", "updated_at"),
}
BLOCK_BYTES = 256 * 1024
TELLABLE = "BETWEEN '0001-01-02+00' AND '9999-12-30+00'"
"""Moments that Python can show in any time zone; PostgreSQL has others, and infinity."""
CASTS = {
    DEFINITIONS: {"version": "int", "position": "int", "created_at": "timestamptz"},
    ROWS: dict.fromkeys(("version", "row_version"), "bigint")
    | dict.fromkeys(("updated_at", "created_at"), "timestamptz"),
}
"""What columns are read as, whatever they are there."""
UNCASTABLE = (psycopg.DataError, psycopg.errors.CannotCoerce)
TRUTHS = dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True) | dict.fromkeys(
    ("", "false", "f", "no", "n", "off", "0"), False
)
HERE = (
    "already exists: a database is adopted once, into one that has none of its steps. To bring in what people did since, "
    "use `dashboard people import FILE.csv`"
)


class Unreachable(OnboardingError):
    """The other database can't be reached or read; the message says why."""


@dataclass(frozen=True, slots=True)
class OriginalVersion:
    """One definition of the other database. `released_at` is None where it does not say."""

    step_id: str
    version: int
    fields: Fields
    is_active: bool
    released_at: datetime | None


def read(session: Session, url: str, progress: Progress) -> tuple[list[OriginalVersion], int]:
    """Its definitions, by step in checklist order and by version, and how many rows `import_rows` has of it now.

    All of one snapshot. Raises Unreachable, Invalid (not the original's schema, or steps that are here already).
    """
    with _source(url) as source:
        columns = {table: _columns(source, table) for table in NEEDED_COLUMNS}
        versions = _versions(session, source, columns[DEFINITIONS])
        return versions, _stage(session, source, columns[ROWS], progress)


@contextmanager
def _source(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A read-only connection in one snapshot, with UTF-8 text and UTC times. Raises Unreachable."""
    address = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(address, connect_timeout=10, client_encoding="UTF8") as source:
            source.read_only = True
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            source.execute("SET LOCAL TimeZone = 'UTC'")
            yield source
    except psycopg.Error as error:
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        raise Unreachable(f"The other database can't be read: {reason}") from error


def _columns(source: psycopg.Connection[Any], table: str) -> set[str]:
    found = source.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped", [table]
    )
    columns = {name for (name,) in found}
    if not columns:
        raise Invalid({table: "is not in that database"})
    if missing := [name for name in NEEDED_COLUMNS[table] if name not in columns]:
        raise Invalid({table: f"has no column {', '.join(missing)}"})
    return columns


@contextmanager
def _castable(source: psycopg.Connection[Any], table: str, columns: set[str]) -> Iterator[None]:
    """Reads the table inside. Raises Invalid naming the column with a value that is not what it has to be."""
    try:
        yield
    except UNCASTABLE as error:
        wrong, told = table, error
        source.rollback()
        for name in sorted(columns & CASTS[table].keys()):
            query = sql.SQL("SELECT count({}::{}) FROM {}").format(
                sql.Identifier(name), sql.SQL(CASTS[table][name]), sql.Identifier(table)
            )
            try:
                source.execute(query)
            except UNCASTABLE as found:
                wrong, told = f"{table}.{name}", found
                source.rollback()
                break
        raise Invalid({wrong: f"can't be adopted: {str(told).splitlines()[0]}"}) from error


def _versions(session: Session, source: psycopg.Connection[Any], columns: set[str]) -> list[OriginalVersion]:
    """Every definition, by step in checklist order and by version. Raises Invalid naming each that breaks a rule."""
    optional = {"description": "text", "action_url": "text"}
    optional |= {name: CASTS[DEFINITIONS][name] for name in ("position", "created_at")}
    selected = sql.SQL(", ").join(
        sql.SQL("{}::{} AS {}").format(
            sql.Identifier(name) if name in columns else sql.NULL, sql.SQL(kind), sql.Identifier(name)
        )
        for name, kind in optional.items()
    )
    # a weight and is_active are judged here, where the version can be named
    query = sql.SQL(
        f"""SELECT step_id, version, title, weight, is_active, description, action_url, position,
                   CASE WHEN created_at {TELLABLE} THEN created_at END, created_at NOT {TELLABLE}
              FROM (SELECT step_id::text, version::int, title::text, weight::text, is_active::text, {{}} FROM {{}}) read
             ORDER BY step_id, version"""
    ).format(selected, sql.Identifier(DEFINITIONS))
    with _castable(source, DEFINITIONS, columns):
        found = source.execute(query).fetchall()
    if not found:
        raise Invalid({DEFINITIONS: "is empty"})
    problems: dict[str, str] = {}
    if any(row[0] is None or row[1] is None for row in found):
        # a view, say, or a table that lost its key
        problems[DEFINITIONS] = "has a definition without a step_id or without a version"
        found = [row for row in found if row[0] is not None and row[1] is not None]
    versions = []
    for step_id, number, title, weight, is_active, description, action_url, _, at, is_no_time in found:
        fields = {"title": title, "description": description, "weight": _whole(weight), "action_url": action_url}
        try:
            if is_no_time:
                raise Invalid({"created_at": "is not a time"})
            if (active := _truth(is_active)) is None:
                raise Invalid({"is_active": f"{is_active!r} is neither true nor false"})
            versions.append(OriginalVersion(step_id, number, steps.check(fields), active, at))
        except Invalid as invalid:
            problems[f"{step_id} version {number}"] = str(invalid)
    problems |= _step_problems(session, [(row[0], row[1], _truth(row[4]) is True) for row in found])
    if problems:
        raise Invalid(problems)
    order = {row[0]: (MAX_INTEGER if row[7] is None else row[7], row[8] or NEVER) for row in reversed(found)}
    return sorted(versions, key=lambda one: (*order[one.step_id], one.step_id, one.version))


def _whole(weight: str | None) -> int | str | None:
    """A weight without a fraction as the whole number it is; any other as it stands, for `steps.check` to refuse."""
    try:
        return int(number) if (number := Decimal(weight or "")) == number.to_integral_value() else weight
    except ArithmeticError:
        return weight


def _truth(told: str | None) -> bool | None:
    """As PostgreSQL reads a text as one, where nothing is false; None: it is neither."""
    return TRUTHS.get((told or "").strip().lower())


def _step_problems(session: Session, found: Sequence[tuple[str, int, bool]]) -> dict[str, str]:
    here = set(session.scalars(select(models.Step.step_id)))
    problems: dict[str, str] = {}
    for step_id, of_step in groupby(found, key=lambda row: row[0]):
        rows = list(of_step)
        numbers = [number for _, number, _ in rows]
        if step_id in here:
            problems[step_id] = HERE
        elif not steps.is_step_id(step_id, capitals=True):
            problems[step_id] = "is not a step_id: 1 to 64 letters, digits and single hyphens or underscores"
        elif step_id in steps.RESERVED:
            problems[step_id] = steps.RESERVED[step_id]
        elif numbers[0] < 1 or len(set(numbers)) < len(numbers):
            problems[step_id] = "must have each version once, from 1"
        elif sum(is_active for _, _, is_active in rows) > 1:
            problems[step_id] = "has more than one active version"
    return problems


def _stage(session: Session, source: psycopg.Connection[Any], columns: set[str], progress: Progress) -> int:
    """Pipes the rows from there into a table of this transaction, block by block; how many."""
    stage(
        session,
        "import_rows",
        "(user_id text, step_id text, version bigint, status text, row_version bigint, "
        "updated_at timestamptz, created_at timestamptz) ON COMMIT DROP",
    )
    with _castable(source, ROWS, columns):
        return _pipe(session, source, columns, progress)


def _pipe(session: Session, source: psycopg.Connection[Any], columns: set[str], progress: Progress) -> int:
    count = source.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(ROWS))).fetchone()
    total = int(count[0]) if count else 0
    outward = sql.SQL(
        "COPY (SELECT user_id::text, step_id::text, version::bigint, status::text, row_version::bigint, "
        "updated_at::timestamptz, {}::timestamptz FROM {}) TO STDOUT"
    ).format(sql.Identifier("created_at") if "created_at" in columns else sql.NULL, sql.Identifier(ROWS))
    rows, block = 0, bytearray()
    with source.cursor().copy(outward) as read:
        for line in read:
            block += line
            rows += 1
            if len(block) >= BLOCK_BYTES:
                _copy(session, block)
                block.clear()
                progress("Reading", rows, total)
    _copy(session, block)
    return rows


def _copy(session: Session, block: bytearray) -> None:
    # each block by itself: so an error here is never taken for one of the other database
    with copying(session, "import_rows") as write:
        write.write(bytes(block))
