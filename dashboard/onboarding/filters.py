"""Which people are asked for: the filters of a list of people, and how they are read from what an address says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, get_args

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.carryover import STATUSES, Status
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.limits import text_problem

Sort = Literal["name", "active", "inactive", "furthest", "least", "newest", "oldest"]
SORTS: tuple[Sort, ...] = get_args(Sort)
MOST_IDLE_DAYS = 3650
MAX_VALUE = 200
"""Characters of what one filter is given."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which people, and in which order. `status` is that of the step `step_id`; a step alone only shows its status.

    `progress` is from and to which percent, both included; `joined_from` and `joined_to` are days in UTC, both included;
    `idle_days`: no activity for so many days. None: it does not matter.
    """

    q: str = ""
    step_id: str | None = None
    status: Status | None = None
    finished: bool | None = None
    progress: tuple[int, int] | None = None
    joined_from: date | None = None
    joined_to: date | None = None
    idle_days: int | None = None
    sort: Sort = "name"

    @property
    def is_everybody(self) -> bool:
        """Whether nobody is left out."""
        return replace(self, step_id=None, sort="name") == Filter()

    @property
    def asks_standings(self) -> bool:
        """Whether anything depends on what a person's rows count as."""
        return bool(self.status or self.asks_percent)

    @property
    def asks_percent(self) -> bool:
        """Whether anything depends on how far a person is."""
        return bool(self.progress or self.finished is not None or self.is_by_progress)

    @property
    def is_by_progress(self) -> bool:
        """Whether those who are furthest, or least far, come first."""
        return self.sort in ("furthest", "least")


FILTERS = ("q", "step", "status", "finished", "progress", "joined_from", "joined_to", "idle", "sort")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
BAND = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?", re.ASCII)
WHOLE = re.compile(r"\d{1,9}", re.ASCII)
YEARS = range(1900, 9001)
"""In which somebody can have joined: the day after one of these is a day as well."""


def read(session: Session, values: Mapping[str, str]) -> Filter:
    """The filter that `values` spell, by the names in FILTERS; an empty value does not matter. Raises Invalid."""
    problems = {name: "is not a known filter" for name in values if name not in FILTERS}
    given = {name: value.strip() for name, value in values.items() if value.strip() and name in FILTERS}
    problems |= {name: reason for name, value in given.items() if (reason := text_problem(value, MAX_VALUE))}
    readable = {name: value for name, value in given.items() if name not in problems}
    found: dict[str, Any] = {}
    for name, value in readable.items():
        try:
            found |= _READ[name](value)
        except ValueError as error:
            problems[name] = str(error)
    if (step_id := found.get("step_id")) and not session.scalar(RELEASED, {"step_id": step_id}):
        problems["step"] = "does not exist"
    if "status" in found and "step" not in given:
        problems["status"] = "needs a step"
    if not problems and (found.get("joined_from") or date.min) > (found.get("joined_to") or date.max):
        problems["joined_to"] = "is before the first day"
    if problems:
        raise Invalid(problems)
    return Filter(**found)


RELEASED = text("SELECT EXISTS (SELECT FROM steps WHERE step_id = :step_id AND current_release_id IS NOT NULL)")


def _one_of(member: str, names: Sequence[str], value: str) -> dict[str, Any]:
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return {member: value}


def _band(value: str) -> dict[str, Any]:
    found = BAND.fullmatch(value)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not least <= most <= 100:
        raise ValueError("must be a percentage or a range such as 40-49, up to 100")
    return {"progress": (least, most)}


def day_from(value: str) -> date | None:
    """The day that is spelt like 2026-02-28; None: there is no such day, or it is spelt otherwise."""
    try:
        return date.fromisoformat(value) if DAY.fullmatch(value) else None
    except ValueError:
        return None


def _joined(member: str, value: str) -> dict[str, Any]:
    day = day_from(value)
    if day is None or day.year not in YEARS:
        raise ValueError("must be a valid date, such as 2026-02-28")
    return {member: day}


def _idle(value: str) -> dict[str, Any]:
    if not WHOLE.fullmatch(value) or not 1 <= int(value) <= MOST_IDLE_DAYS:
        raise ValueError(f"must be a whole number of days from 1 to {MOST_IDLE_DAYS:,}")
    return {"idle_days": int(value)}


_READ: dict[str, Callable[[str], dict[str, Any]]] = {
    "q": lambda value: {"q": value},
    "step": lambda value: {"step_id": value},
    "status": lambda value: _one_of("status", STATUSES, value),
    "finished": lambda value: {"finished": _one_of("finished", ("yes", "no"), value)["finished"] == "yes"},
    "progress": _band,
    "joined_from": lambda value: _joined("joined_from", value),
    "joined_to": lambda value: _joined("joined_to", value),
    "idle": _idle,
    "sort": lambda value: _one_of("sort", SORTS, value),
}
