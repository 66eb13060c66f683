"""What the engine's statements have in common, whatever they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Text, bindparam, func, select, text
from sqlalchemy.orm import Session

BIND_PEOPLE = bindparam("people", type_=ARRAY(Text))
FEW_AT_A_TIME = {"stream_results": True, "yield_per": 1000}
"""Execution options: the rows come a few at a time, whatever their number, while the transaction stays open."""


def filtered(conditions: Sequence[str]) -> str:
    """The conditions as a WHERE; nothing without any."""
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def clock(session: Session) -> datetime:
    """Now, and not when the transaction began. It is asked for by itself: a cluster lets no UPDATE look at the clock."""
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now


def run(session: Session, sql: str, values: Mapping[str, Any] | None = None) -> int:
    """Runs one statement; how many rows it wrote."""
    result: Any = session.execute(text(sql), values or {})
    return max(0, int(result.rowcount))
