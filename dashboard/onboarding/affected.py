"""Who is affected by a release: the people behind the counts of its report, listed and exported.

A release is counted in groups of people whose rows hold the same (impact.py), so a list needs no rule of its own: choose
the groups, then page through the people who are in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ARRAY, BigInteger, Row, bindparam, text
from sqlalchemy.orm import Session

from dashboard.onboarding import paging
from dashboard.onboarding.carryover import Status
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.impact import Counted, Move
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


SELECT = "SELECT u.user_id, u.name, u.email, u.standing"
IN_GROUPS = "u.standing = ANY(:standings)"
STANDINGS = bindparam("standings", type_=ARRAY(BigInteger))

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
    moves, total = _moves(counted, which)
    if not moves:
        return AffectedPage([], 0, None, None)
    rows, previous, following = paging.page(
        session, f"{SELECT} FROM onboarding_users u", [IN_GROUPS], _values(moves), BY_NAME, cursor, limit, STANDINGS
    )
    return AffectedPage([_affected(row, moves) for row in rows], total, previous, following)


def stream(session: Session, counted: Counted, which: Which = "all") -> Iterator[Affected]:
    """All of them by name, a few at a time, whatever their number; the transaction stays open until the last."""
    moves, _ = _moves(counted, which)
    if not moves:
        return
    statement = text(f"{SELECT} FROM onboarding_users u WHERE {IN_GROUPS} ORDER BY lower(u.name), u.user_id")
    options = {"stream_results": True, "yield_per": 1000}
    for row in session.execute(statement.bindparams(STANDINGS), _values(moves), execution_options=options):
        yield _affected(row, moves)


def _moves(counted: Counted, which: Which) -> tuple[dict[int, Move], int]:
    """What the release does to each group that it affects in this way, by its standing; and how many people they are."""
    belongs = BELONGS[which]
    moves = [(group, move) for group in counted.groups if belongs(move := counted.move(group))]
    return {group.standing: move for group, move in moves}, sum(group.people for group, _ in moves)


def _values(moves: Mapping[int, Move]) -> dict[str, list[int]]:
    return {"standings": list(moves)}


def _affected(row: Row[Any], moves: Mapping[int, Move]) -> Affected:
    move = moves[row.standing]
    return Affected(row.user_id, row.name, row.email, move.before, move.after, move.percent_before, move.percent_after)
