"""Who is affected by a release: the people behind the counts of its report, listed and exported.

A release is counted in groups of people for whom it does the same (impact.py), so a list needs no rule of its own: choose
the groups, then page through the people who are in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sqlalchemy import ARRAY, BigInteger, BindParameter, Integer, Row, bindparam, text
from sqlalchemy.orm import Session

from dashboard.onboarding import paging, standings
from dashboard.onboarding.actor import called
from dashboard.onboarding.carryover import WORKED, Status
from dashboard.onboarding.impact import GROUP_KEYS, HELD, Counted, Move, recorded_in
from dashboard.onboarding.paging import BY_NAME, Listing
from dashboard.onboarding.sql import FEW_AT_A_TIME

Which = Literal["all", "reset", "copied", "restored", "kept", "up", "down", "fall"]
WHICH: tuple[Which, ...] = get_args(Which)
GroupKey = tuple[int, Status, int | None]


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
        """By how many points of a hundred they move; negative: back."""
        return self.percent_after - self.percent_before


@dataclass(frozen=True, slots=True)
class AffectedPage:
    """One page of them by name, and the cursors of the pages around it."""

    people: Sequence[Affected]
    previous: str | None
    next: str | None


# What a person's group is found by.
GROUP_KEY = ("points", *WORKED)
GROUP_OF = f"{GROUP_KEYS[0]}, {', '.join(f'coalesce({key}, 0)' for key in GROUP_KEYS[1:])}"
IN_GROUPS = f"({GROUP_OF}) IN (SELECT * FROM unnest({', '.join(f':{name}' for name in GROUP_KEY)}))"
RECORDED_UNDER_ANY = " OR ".join(f"u.{status}_releases && :of_{status}" for status in WORKED)
TYPES = (
    bindparam("standings", type_=ARRAY(BigInteger)),
    *(bindparam(name, type_=ARRAY(Integer)) for name in (*GROUP_KEY, *(f"of_{status}" for status in WORKED))),
)
TELL_AFFECTED = f"""
SELECT u.user_id, u.name, u.email, {GROUP_KEYS[0]} AS points, {", ".join(GROUP_KEYS[1:])} FROM {{source}} u {HELD}
"""

BELONGS: dict[Which, Callable[[Move], bool]] = {
    "all": lambda move: (move.before, move.after) != ("todo", "todo"),
    "reset": lambda move: move.before != "todo" and move.after == "todo",
    "copied": lambda move: move.before == move.after != "todo",
    "restored": lambda move: move.before == "todo" != move.after,
    "kept": lambda move: move.keeps_later_work,
    "up": lambda move: move.percent_after > move.percent_before,
    "down": lambda move: move.percent_after < move.percent_before,
    "fall": lambda move: move.percent_before == 100 > move.percent_after,
}


@dataclass(frozen=True, slots=True)
class AffectedGroups:
    """The groups that are affected in one way, by what distinguishes them, and who is in them as SQL on people `u`."""

    moves: Mapping[GroupKey, Move]
    source: str
    where: list[str]
    values: Mapping[str, Any]

    @property
    def types(self) -> list[BindParameter[Any]]:
        """The bind parameters that need their types said."""
        return [one for one in TYPES if one.key in self.values]

    def affected(self, row: Row[Any]) -> Affected | None:
        """The person of a row; None: they moved on to another group while the list was read."""
        move = self.moves.get((row.points, *recorded_in(*row[4:])))
        if move is None:
            return None
        return Affected(
            row.user_id, row.name, row.email, move.before, move.after, move.percent_before, move.percent_after
        )


def counts(counted: Counted) -> dict[Which, int]:
    """How many people the counted release affects in each way, without a query."""
    return {
        which: sum(group.people for group, move in counted.moves if belongs(move)) for which, belongs in BELONGS.items()
    }


def page(
    session: Session, counted: Counted, which: Which = "all", *, cursor: str | None = None, limit: int = 50
) -> AffectedPage:
    """Up to `limit` of those whom the counted release affects in this way, by name. Raises Invalid: a broken cursor."""
    chosen = _choose(session, counted, which)
    if not chosen.moves:
        return AffectedPage([], None, None)
    details = TELL_AFFECTED.format(source="page")
    listing = Listing(f"onboarding_users u {chosen.source}", chosen.where, chosen.values, chosen.types, details)
    rows, previous, following = paging.page(session, listing, BY_NAME, cursor, limit)
    return AffectedPage([one for row in rows if (one := chosen.affected(row))], previous, following)


def stream(session: Session, counted: Counted, which: Which = "all") -> Iterator[Affected]:
    """All of them by name, a few at a time, whatever their number; the transaction stays open until the last."""
    chosen = _choose(session, counted, which)
    if not chosen.moves:
        return
    told = TELL_AFFECTED.format(source="onboarding_users")
    statement = text(f"{told} WHERE {' AND '.join(chosen.where)} ORDER BY lower(u.name), u.user_id")
    for row in session.execute(statement.bindparams(*chosen.types), chosen.values, execution_options=FEW_AT_A_TIME):
        if one := chosen.affected(row):
            yield one


def _choose(session: Session, counted: Counted, which: Which) -> AffectedGroups:
    belongs = BELONGS[which]
    moves = [(group, move) for group, move in counted.moves if belongs(move)]
    groups = [group for group, _ in moves]
    values: dict[str, Any] = {"step_id": counted.step_id, "points": [group.points for group in groups]}
    for status in WORKED:
        values[status] = [group.release_id if group.status == status else 0 for group in groups]
    where = [IN_GROUPS]
    if all(group.release_id for group in groups):
        # cheaper than to work out the group of everybody
        values |= {f"of_{status}": sorted({*values[status]} - {0}) for status in WORKED}
        where = [f"({RECORDED_UNDER_ANY})", IN_GROUPS]
    chosen = AffectedGroups(
        {(one.points, one.status, one.release_id): move for one, move in moves},
        HELD,
        where,
        values,
    )
    # most lists are long, and begin soon on a walk by name; not so where few are in these groups
    session.execute(standings.PLAN_EACH_TIME)
    if not moves or not standings.are_few(session):
        return chosen
    statement = text(f"{standings.EACH} SELECT u.standing FROM found u {HELD} WHERE {' AND '.join(where)}")
    found = list(session.scalars(statement.bindparams(*chosen.types), values))
    return replace(
        chosen, source="", where=[standings.IN_STANDINGS], values={"step_id": counted.step_id, "standings": found}
    )
