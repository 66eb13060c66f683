"""The overview: how onboarding goes, for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint
from flask.typing import ResponseReturnValue

from dashboard.database import transaction
from dashboard.onboarding import history, impact, releases, steps
from dashboard.onboarding.carryover import UNDOES, Release
from dashboard.staff.permissions import Permission
from dashboard.web.access import require
from dashboard.web.rendering import render
from dashboard.web.told import receipt_address, released

blueprint = Blueprint("overview", __name__)

BANDS = (*(f"{start}–{start + 9}" for start in range(0, 100, 10)), "100")
NEWEST = 4
IDLE = timedelta(days=14)
TAKES_BACK = (("restored", "given back"), ("keptLater", "kept later work"))
COUNTED = (("copied", "copied"), ("reset", "reset"))


@dataclass(frozen=True, slots=True)
class Item:
    """One release of the feed; `counts` are those of its receipt that are not 0, each with its word."""

    title: str
    href: str
    release: Release
    what: str
    by: str
    counts: list[tuple[int, str]]


@blueprint.get("/")
@require(Permission.VIEW)
def show() -> ResponseReturnValue:
    """Key figures, the funnel, how far people are, the newest releases."""
    with transaction() as session:
        checklist = steps.checklist(session)
        seen = impact.overview(session)
        newest = releases.newest_first(session, limit=NEWEST)
        names = history.who(session, [release.released_by for release in newest])
    titles = {step.step_id: step.latest.fields.title for step in checklist}
    live = [step.live for step in checklist if step.live]
    return render(
        "overview/show.html",
        draft_count=sum(1 for step in checklist if step.draft),
        seen=seen,
        live=live,
        points=sum(definition.fields.weight for definition in live),
        bands=list(zip(BANDS, seen.spread.bands, strict=True)),
        feed=[item(release, titles[release.step_id], names[release.released_by].name) for release in newest],
        has_steps=bool(checklist),
        idle_since=datetime.now(UTC) - IDLE,
    )


def item(release: Release, title: str, by: str) -> Item:
    """The release with what its receipt counted."""
    counted = (release.receipt or {}).get("impact", {})
    told = TAKES_BACK if release.kind in UNDOES else COUNTED
    counts = [(counted[name], word) for name, word in told if counted.get(name)]
    return Item(title, receipt_address(release), release, released(release), by, counts)
