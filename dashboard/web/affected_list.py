"""The people behind the counts of a preview: the tabs over their list, one page of it, and all of them as a file."""

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
from dashboard.onboarding.impact import Impact
from dashboard.web.export import Row
from dashboard.web.wording import COPIED

# so that Confirm stays within reach below the list
PAGE = 10
NOBODY = AffectedPage([], 0, None, None)
HEADER = ("user_id", "name", "email", "before", "after", "percent_before", "percent_after", "points")
LABELS: dict[Which, str] = {
    "all": "Affected",
    "reset": "Reset",
    "copied": "Copied",
    "restored": "Given back",
    "kept": "Keep later work",
    "down": "Go down",
    "fall": "Fall below 100\N{NARROW NO-BREAK SPACE}%",
}


@dataclass(frozen=True, slots=True)
class AffectedList:
    """One page of one tab's people. `path` and `query` lead to the preview with its policy; `broken`: the cursor was."""

    kind: Kind
    which: Which
    counts: dict[Which, int]
    page: AffectedPage
    path: str
    query: dict[str, str]
    broken: bool

    @property
    def tabs(self) -> list[tuple[str, int, str, bool]]:
        """Label, count, address and whether it is the chosen one, for each list that has anybody in it."""
        return [
            (label_of(which, self.kind), count, self.address(which), which == self.which)
            for which, count in self.counts.items()
            if count
        ]

    @property
    def total(self) -> int:
        """How many people the chosen tab has, on all its pages."""
        return self.counts[self.which]

    @property
    def file(self) -> str:
        """Where the chosen tab's people are to be had as CSV."""
        return _address(f"{self.path}/people.csv", self.query | {"who": self.which})

    def address(self, which: Which, cursor: str | None = None) -> str:
        """The preview with a tab, and a page of it, chosen."""
        return _address(self.path, self.query | {"who": which} | ({"cursor": cursor} if cursor else {}))


def _address(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}"


def label_of(which: Which, kind: Kind) -> str:
    """The tab's name: that of the figure with the same people."""
    return COPIED[kind][0] if which == "copied" and kind in COPIED else LABELS[which]


def counts_of(report: Impact) -> dict[Which, int]:
    """How many people each tab has, without asking the database again."""
    return {
        "all": report.affected,
        "reset": report.reset,
        "copied": report.copied,
        "restored": report.restored,
        "kept": report.kept_later,
        "down": report.moves.down,
        "fall": report.moves.fall_from_100,
    }


def read(
    session: Session, outcome: Outcome, path: str, query: dict[str, str], asked: Which | None, cursor: str | None
) -> AffectedList:
    """The page that was asked for; of the first tab that has anybody, where the one asked for has nobody (any more)."""
    counts = counts_of(outcome.impact)
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
    """Each person as a line of the file."""
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
