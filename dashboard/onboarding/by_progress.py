"""Pages of people by how far they are: from percent to percent, or the furthest of everybody where standings are many."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from dashboard.onboarding import paging
from dashboard.onboarding.bounds import bounds
from dashboard.onboarding.choosing import FEW, Chosen, place
from dashboard.onboarding.filters import Filter, Sort
from dashboard.onboarding.paging import Rows, broken
from dashboard.onboarding.sql import filtered

PLACE = {"furthest": "-u.percent", "least": "u.percent"}
"""What people with a percent are ordered by."""


def page(session: Session, wanted: Filter, chosen: Chosen, telling: str, cursor: str | None, limit: int) -> Rows:
    """Up to `limit` of them; `telling` selects what is shown of each. Raises Invalid: a broken cursor or another order's."""
    one_by_one = chosen.standings is None
    return (_of_each if one_by_one else _of_standings)(session, wanted, chosen, telling, cursor, limit)


# People of one percent are in the order of their standings, then of their ids: as the index of standings has them.
BY_PROGRESS = """
WITH page AS MATERIALIZED (SELECT * FROM ({matching}) u ORDER BY place, standing {down}, user_id {down} LIMIT :limit)
"""
OF_PERCENT = """
(SELECT {place} AS place, u.* FROM {source} u
  WHERE u.standing = ANY(:standings_of_{place}) {also} ORDER BY u.standing {down}, u.user_id {down} LIMIT :limit)
"""
FEW_MATCH = """
SELECT g.place, u.*
  FROM {source} u JOIN unnest(:order) WITH ORDINALITY AS g (standing, place) ON g.standing = u.standing
 WHERE true {also}
"""
LOOKED_INTO = 4
"""So many percents are looked into for a page at first, and then each time four times as many as so far."""

OfPercent = tuple[int, list[int]]
"""A percent, and the standings that come to it, in the order of the page."""


def _of_standings(
    session: Session, wanted: Filter, chosen: Chosen, telling: str, cursor: str | None, limit: int
) -> Rows:
    direction, start = paging.read_cursor(wanted.sort, cursor)
    down = "DESC" if direction == "before" else ""
    start_percent, start_standing = _progress_key(start[0]) if start else (None, None)
    known = chosen.standings or []
    turned = known[::-1] if down else known
    if start_percent is not None:
        starts = place(wanted.sort, start_percent, start_standing or 0)
        turned = [one for one in turned if (its := place(wanted.sort, *one)) == starts or (its < starts) == bool(down)]
    ordered = [(percent, [one for _, one in group]) for percent, group in groupby(turned, key=itemgetter(0))]
    # where nobody is at the percent any more at which the page was to begin, it begins with all of the next one
    is_there = bool(start and ordered and ordered[0][0] == start_percent)
    begins = f"(u.standing, u.user_id) {'<' if down else '>'} (:start_standing, :start_id)" if is_there else ""
    rows: list[Row[Any]] = []
    for matching in _looked_into(session, chosen, ordered, begins, down):
        statement = text(
            BY_PROGRESS.format(matching=matching.source, down=down)
            + f"{telling} ORDER BY u.place, u.standing {down}, u.user_id {down}"
        ).bindparams(*matching.types)
        some = {"start_standing": start_standing, "start_id": start and start[1], "limit": limit + 1 - len(rows)}
        rows += session.execute(statement, matching.values | some)
        if len(rows) > limit:
            break
    percents = {standing: percent for percent, standing in known}
    return paging.around(
        rows, limit, (direction, start), lambda row, to: _progress_cursor(to, wanted.sort, percents[row.standing], row)
    )


OF_EACH = """
WITH page AS MATERIALIZED (
    SELECT u.*, {place} AS place FROM {source} u {filtered}
     ORDER BY place {down}, u.standing {down}, u.user_id {down} LIMIT :limit
) {telling} ORDER BY u.place {down}, u.standing {down}, u.user_id {down}
"""


def _of_each(session: Session, wanted: Filter, chosen: Chosen, telling: str, cursor: str | None, limit: int) -> Rows:
    direction, start = paging.read_cursor(wanted.sort, cursor)
    down = "DESC" if direction == "before" else ""
    ascending = (wanted.sort == "least") != bool(down)
    by = PLACE[wanted.sort]
    values: dict[str, Any] = chosen.values | {"limit": limit + 1}
    least, most = wanted.progress or (0, 100)
    if start:
        percent, standing = _progress_key(start[0])
        least, most = (max(least, percent), most) if ascending else (least, min(most, percent))
        begins = f"({by}, u.standing, u.user_id) {'<' if down else '>'} (:start_place, :start_standing, :start_id)"
        chosen = replace(chosen, by_percent=[*chosen.by_percent, begins])
        values |= {"start_place": place(wanted.sort, percent, standing)[0], "start_standing": standing}
        values["start_id"] = start[1]
    rows: list[Row[Any]] = []
    # who was searched for is looked up by the words, over again for each stage
    for stage in ["true"] if wanted.q else bounds(session).stages(least, most, ascending=ascending):
        where = filtered([*chosen.conditions, stage])
        statement = text(OF_EACH.format(place=by, source=chosen.source, filtered=where, down=down, telling=telling))
        rows = list(session.execute(statement.bindparams(*chosen.types), values))
        if len(rows) > limit:
            break
    return paging.around(
        rows, limit, (direction, start), lambda row, to: _progress_cursor(to, wanted.sort, row.progress, row)
    )


def _looked_into(
    session: Session, chosen: Chosen, ordered: Sequence[OfPercent], begins: str, down: str
) -> Iterator[Chosen]:
    """Sources of those who match: where they are few one of all of them, else of some percents after the other.

    `begins` is a condition on the people of the first percent.
    """
    if chosen.in_any_standing and chosen.estimate(session).people < FEW:
        order = [standing for _, standings in ordered for standing in standings]
        also = [*chosen.where, *([f"(u.standing <> :start_standing OR {begins})"] if begins else [])]
        few = FEW_MATCH.format(source=chosen.source, also=_and(also))
        yield replace(chosen, people=few, values=chosen.values | {"order": order})
        return
    values = {name: value for name, value in chosen.values.items() if name not in ("standings", "full")}
    first, past = 0, LOOKED_INTO
    while first < len(ordered):
        some = dict(enumerate(ordered[first:past], first))
        parts = [
            OF_PERCENT.format(
                place=number,
                source=chosen.source,
                also=_and([*chosen.of_percent(percent), *([begins] if begins and number == 0 else [])]),
                down=down,
            )
            for number, (percent, _) in some.items()
        ]
        of_some = {f"standings_of_{number}": standings for number, (_, standings) in some.items()}
        yield replace(chosen, people=" UNION ALL ".join(parts), values=values | of_some)
        first, past = past, 5 * past


def _and(conditions: Sequence[str]) -> str:
    return " ".join(f"AND {condition}" for condition in conditions)


def _progress_cursor(to: str, sort: Sort, percent: int, row: Row[Any]) -> str:
    return paging.pack(to, sort, f"{percent} {row.standing}", row.user_id)


def _progress_key(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3}) (-?\d{1,19})", value, re.ASCII)
    if not found or not -(2**63) <= int(found[2]) < 2**63:
        raise broken()
    return int(found[1]), int(found[2])
