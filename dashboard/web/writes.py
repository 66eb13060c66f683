"""The overview's card of saves and conflicts: the content of its chart and sentence. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dashboard.onboarding.carryover import Release
from dashboard.onboarding.traffic import SPANS, Period, Traffic
from dashboard.web.wording import came_about, receipt_address
from dashboard.words import plural

TITLES: Mapping[Period, str] = {"24h": "24 hours", "7d": "7 days"}


@dataclass(frozen=True, slots=True)
class Column:
    """One hour or day of the chart. `hot`: since the release that most conflicts followed; `shown`: with its number."""

    label: str
    count: int
    title: str
    hot: bool
    labelled: bool
    shown: bool


@dataclass(frozen=True, slots=True)
class Because:
    """What a release did, to be followed by a time: version 2 of Connect a data source went live."""

    conflicts: int
    text: str
    href: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Writes:
    """The card for one period."""

    period: Period
    traffic: Traffic
    columns: list[Column]
    because: Because | None

    @property
    def title(self) -> str:
        return f"Writes, last {TITLES[self.period]}"

    @property
    def caption(self) -> str:
        return f"Conflicts by {SPANS[self.period].unit}, UTC"

    @property
    def tabs(self) -> list[tuple[str, None, str, bool]]:
        """The periods to choose from, in the form ui.tabs takes; the first is that of the plain address."""
        return [
            (title, None, "/" if period == "24h" else f"/?period={period}", period == self.period)
            for period, title in TITLES.items()
        ]


def period_from(given: str | None) -> Period:
    """The period in the address; the last 24 hours if it names none of them."""
    return next((period for period in TITLES if period == given), "24h")


def card(period: Period, traffic: Traffic, titles: Mapping[str, str]) -> Writes:
    """The card for what was counted; `titles` are the steps'."""
    cause = traffic.cause
    because = _because(cause.release, cause.conflicts, titles) if cause else None
    return Writes(period, traffic, _columns(period, traffic), because)


def _because(release: Release, conflicts: int, titles: Mapping[str, str]) -> Because:
    text = came_about(release, titles.get(release.step_id, release.step_id))
    return Because(conflicts, text, receipt_address(release), release.released_at)


def _columns(period: Period, traffic: Traffic) -> list[Column]:
    span = SPANS[period]
    largest = max(count for _, count in traffic.conflicts)
    since = traffic.cause.release.released_at - span.one if traffic.cause else None
    columns = []
    for number, (begins, count) in enumerate(traffic.conflicts, 1):
        label = f"{begins:%H:%M}" if span.unit == "hour" else f"{begins.day} {begins:%b}"
        hot = since is not None and begins > since and count > 0
        # the first and last label would be cut off
        labelled = span.unit == "day" or (begins.hour % 6 == 0 and 1 < number < span.length)
        shown = hot or span.unit == "day" or count == largest
        columns.append(Column(label, count, f"{label}: {plural(count, 'conflict')}", hot, labelled, shown))
    return columns
