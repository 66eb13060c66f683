"""Who is affected by a release: the people behind the counts of its report, listed and exported.

A release is counted in groups of people whose rows hold the same (impact.py), so a list needs no rule of its own: choose
the groups, then page through the people who are in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ARRAY, Row, Text, bindparam, text
from sqlalchemy.orm import Session

from dashboard.onboarding import paging
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.impact import Contents, Counted, Group, Move
from dashboard.onboarding.paging import BY_NAME
from dashboard.onboarding.people import called

Which = Literal["all", "reset", "copied", "restored", "kept", "down", "fall"]
WHICH: tuple[Which, ...] = get_args(Which)


@dataclass(frozen=True, slots=True)
class Affected:
    """One person: the status of the step and the progress in percent, before and after."""

    user_id: str
    name: str
    email: str
    before: Status
    after: Status
    percent_before: int
    percent_after: int

    @property
    def label(self) -> str:
        """What to call them: the name, else the email, else the id."""
        return called(self.name, self.email, self.user_id)

    @property
    def points(self) -> int:
        """By how many points of a hundred they move."""
        return self.percent_after - self.percent_before


@dataclass(frozen=True, slots=True)
class AffectedPage:
    """One page of them by name, `total` of all pages, and the cursors of the pages around it."""

    people: Sequence[Affected]
    total: int
    previous: str | None
    next: str | None


SELECT = """
SELECT u.user_id, u.name, u.email, u.done_releases::text AS done, u.skipped_releases::text AS skipped,
       u.in_progress_releases::text AS in_progress"""
IN_GROUPS = """
    (u.done_releases, u.skipped_releases, u.in_progress_releases)
    IN (SELECT d::int[], s::int[], p::int[] FROM unnest(:done, :skipped, :in_progress) AS g(d, s, p))
"""
TYPES = tuple(bindparam(name, type_=ARRAY(Text)) for name in ("done", "skipped", "in_progress"))

BELONGS: dict[Which, Callable[[Move], bool]] = {
    "all": lambda move: (move.before, move.after) != ("todo", "todo"),
    "reset": lambda move: move.before != "todo" and move.after == "todo",
    "copied": lambda move: move.before == move.after != "todo",
    "restored": lambda move: move.before == "todo" != move.after,
    "kept": lambda move: move.keeps_later_work,
    "down": lambda move: move.percent_after < move.percent_before,
    "fall": lambda move: move.percent_before == 100 > move.percent_after,
}


def check_which(which: str) -> Which:
    """The filter of that name. Raises Invalid."""
    for one in WHICH:
        if one == which:
            return one
    raise Invalid({"who": f"must be one of {', '.join(WHICH)}"})


def page(
    session: Session, counted: Counted, which: Which = "all", *, cursor: str | None = None, limit: int = 50
) -> AffectedPage:
    """One page of those whom the counted release affects in this way. Raises Invalid: a broken cursor."""
    groups = _groups(counted, which)
    if not groups:
        return AffectedPage([], 0, None, None)
    rows, previous, following = paging.page(
        session, f"{SELECT} FROM onboarding_users u", [IN_GROUPS], _values(groups), BY_NAME, cursor, limit, *TYPES
    )
    total = sum(group.people for group in groups)
    content = Contents()
    return AffectedPage([_affected(row, counted, content) for row in rows], total, previous, following)


def stream(session: Session, counted: Counted, which: Which = "all") -> Iterator[Affected]:
    """All of them by name, a few at a time, whatever their number; the transaction stays open until the last."""
    groups = _groups(counted, which)
    if not groups:
        return
    statement = text(
        f"{SELECT} FROM onboarding_users u WHERE {IN_GROUPS} ORDER BY lower(u.name), u.user_id"
    ).bindparams(*TYPES)
    options = {"stream_results": True, "yield_per": 1000}
    content = Contents()
    for row in session.execute(statement, _values(groups), execution_options=options):
        yield _affected(row, counted, content)


def _groups(counted: Counted, which: Which) -> list[Group]:
    belongs = BELONGS[which]
    return [group for group in counted.groups if belongs(counted.move(group))]


def _values(groups: Sequence[Group]) -> dict[str, list[str]]:
    return {
        status: ["{" + ",".join(map(str, group.held[status].releases)) + "}" for group in groups]
        for status in ("done", "skipped", "in_progress")
    }


def _affected(row: Row[Any], counted: Counted, content: Contents) -> Affected:
    held = content.of(row.done, row.skipped, row.in_progress)
    move = counted.move(Group(held, people=1, finished_once=0, finished=(0, 0)))
    return Affected(row.user_id, row.name, row.email, move.before, move.after, move.percent_before, move.percent_after)
