"""The overview: how onboarding is going for everyone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import Session, transaction
from dashboard.onboarding import cached_figures, everybody, history, releases, steps
from dashboard.onboarding.carryover import STATUSES, Release
from dashboard.onboarding.impact import BANDS
from dashboard.onboarding.steps import Definition, Step
from dashboard.staff.permissions import Permission
from dashboard.web.access import require
from dashboard.web.checklist import title_of
from dashboard.web.export import Rows, csv_file
from dashboard.web.formats import BAND_LABELS
from dashboard.web.rendering import render, wants_partial
from dashboard.web.wording import receipt_address, released
from dashboard.web.writes import Writes, card, period_from

blueprint = Blueprint("overview", __name__)

NEWEST = 4


@dataclass(frozen=True, slots=True)
class Item:
    """One release in the feed."""

    title: str
    href: str
    release: Release
    what: str
    by: str


@dataclass(frozen=True, slots=True)
class StuckAt:
    """A live step in the table of stuck people; `people`: how many are in progress there."""

    definition: Definition
    people: int
    stuck: everybody.Stuck

    @property
    def href(self) -> str:
        """The list of all of them, longest waiting first."""
        return url_for("finding.index", step=self.definition.step_id, status="in_progress", sort="inactive")


@blueprint.get("/")
@require(Permission.VIEW)
def show() -> ResponseReturnValue:
    """Key figures, the funnel, progress, newest releases, saves and conflicts; htmx gets only the last."""
    with transaction() as session:
        checklist = steps.checklist(session)
        titles = {step.step_id: title_of(step) for step in checklist}
        writes = _writes(session, titles)
        rest = {} if wants_partial() else _rest(session, checklist, titles)
    return render("overview/show.html", "overview/_writes.html", writes=writes, **rest)


def _rest(session: Session, checklist: list[Step], titles: dict[str, str]) -> dict[str, Any]:
    """The page's content apart from the saves and conflicts."""
    seen = cached_figures.overview(session)
    newest = releases.newest_first(session, NEWEST)
    names = history.who(session, [release.released_by for release in newest])
    live = [step.live for step in checklist if step.live]
    return {
        "draft_count": sum(1 for step in checklist if step.draft),
        "seen": seen,
        "live": live,
        "points": steps.total_of(checklist),
        "idle_days": everybody.IDLE_DAYS,
        "bands": _bands(seen.spread.bands),
        "feed": [
            item(release, titles.get(release.step_id, release.step_id), names[release.released_by].name)
            for release in newest
        ],
        "has_steps": bool(checklist),
        "places": [_place(definition, seen) for definition in live],
    }


def _writes(session: Session, titles: dict[str, str]) -> Writes:
    period = period_from(request.args.get("period"))
    return card(period, cached_figures.traffic(session, period), titles)


def _bands(counts: list[int]) -> list[tuple[str, int, str]]:
    """Label, number of people, and the address that lists them."""
    return [
        (label, count, url_for("finding.index", progress=band))
        for band, label, count in zip(BANDS, BAND_LABELS, counts, strict=True)
    ]


def _place(definition: Definition, seen: everybody.Overview) -> StuckAt:
    step_id = definition.step_id
    return StuckAt(definition, seen.funnel[step_id]["in_progress"], seen.stuck.get(step_id) or everybody.Stuck())


def item(release: Release, title: str, by: str) -> Item:
    """A release as the feed shows it."""
    return Item(title, receipt_address(release), release, released(release), by)


@blueprint.get("/overview.csv")
@require(Permission.EXPORT)
def as_csv() -> ResponseReturnValue:
    """The live steps in checklist order, with the number of people by status."""
    return csv_file("overview.csv", _rows())


def _rows() -> Rows:
    with transaction() as session:
        checklist = steps.checklist(session)
        seen = cached_figures.overview(session)
    yield ("step_id", "title", "version", "weight", *STATUSES, f"in_progress_idle_{everybody.IDLE_DAYS}_days")
    for definition in (step.live for step in checklist if step.live):
        place = _place(definition, seen)
        counts = [seen.funnel[definition.step_id][status] for status in STATUSES]
        fields = definition.fields
        yield (definition.step_id, fields.title, definition.version, fields.weight, *counts, place.stuck.idle)
