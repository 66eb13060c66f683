"""The people behind a preview's counts: the tabs above the list, one page of it, and the whole list as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from dashboard.database import Session
from dashboard.onboarding import affected
from dashboard.onboarding.affected import WHICH, Affected, AffectedPage, Which
from dashboard.onboarding.carryover import Kind
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.errors import Invalid
from dashboard.web.export import Row
from dashboard.web.wording import COPIED

# keeps Confirm within reach below the list
PAGE = 10
NOBODY = AffectedPage([], None, None)
HEADER = ("user_id", "name", "email", "before", "after", "percent_before", "percent_after", "points")
LABELS: dict[Which, str] = {
    "all": "Affected",
    "reset": "Reset",
    "copied": "Copied",
    "restored": "Given back",
    "kept": "Keep later work",
    "up": "Go up",
    "down": "Go down",
    "fall": "Fall below 100\N{NARROW NO-BREAK SPACE}%",
}


@dataclass(frozen=True, slots=True)
class AffectedList:
    """One page of one tab. `path` and `query` lead to the preview with its policy; `broken`: the cursor was invalid."""

    kind: Kind
    which: Which
    counts: dict[Which, int]
    page: AffectedPage
    path: str
    query: dict[str, str]
    broken: bool

    @property
    def tabs(self) -> list[tuple[str, int, str, bool]]:
        """Label, count, address and whether it is selected, for each list that is not empty."""
        return [
            (label_of(which, self.kind), count, self.address(which), which == self.which)
            for which, count in self.counts.items()
            if count
        ]

    @property
    def total(self) -> int:
        """The number of people in the selected tab, over all pages."""
        return self.counts[self.which]

    @property
    def file(self) -> str:
        """The address of the selected tab's people as CSV."""
        return _address(f"{self.path}/people.csv", self.query | {"who": self.which})

    def address(self, which: Which, cursor: str | None = None) -> str:
        """The preview with this tab, and a page of it, selected."""
        return _address(self.path, self.query | {"who": which} | ({"cursor": cursor} if cursor else {}))


def _address(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}"


def label_of(which: Which, kind: Kind) -> str:
    """The tab's label, shared with the figure that counts the same people."""
    return COPIED[kind][0] if which == "copied" and kind in COPIED else LABELS[which]


def read(
    session: Session, outcome: Outcome, path: str, query: dict[str, str], asked: Which | None, cursor: str | None
) -> AffectedList:
    """The requested page, or the first page of the first non-empty tab if nobody is in the requested one (any more)."""
    counts = affected.counts(outcome.counted)
    which = asked if asked and counts[asked] else next((one for one in counts if counts[one]), WHICH[0])
    if asked not in (None, which):
        cursor = None
    found, broken = NOBODY, False
    try:
        found = affected.page(session, outcome.counted, which, cursor=cursor, limit=PAGE)
    except Invalid:
        broken = True
    return AffectedList(outcome.release.kind, which, counts, found, path, query, broken)


def rows(people: Iterator[Affected]) -> Iterator[Row]:
    """One row of the file for each person."""
    for one in people:
        yield (
            one.user_id,
            one.name,
            one.email,
            one.before,
            one.after,
            one.percent_before,
            one.percent_after,
            one.points,
        )
