"""A step's place in the checklist: what every page about one step shows of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Response

from dashboard.database import Session
from dashboard.onboarding import history, steps
from dashboard.onboarding.carryover import Release
from dashboard.onboarding.errors import NotFound
from dashboard.onboarding.history import Who
from dashboard.onboarding.steps import FieldChange, Fields, Step
from dashboard.web.formats import apart
from dashboard.web.rendering import render


@dataclass(frozen=True, slots=True)
class Place:
    """A step, its number among the `count` live steps (None: it is not live), and the total points of these."""

    step: Step
    number: int | None
    count: int
    total: int
    drafts: int

    @property
    def title(self) -> str:
        return title_of(self.step)

    def total_with(self, fields: Fields | None) -> int:
        """The total points if the step had `fields` instead of its live version; None: if it were not there."""
        live = self.step.live
        return self.total - (live.fields.weight if live else 0) + (fields.weight if fields else 0)


def title_of(step: Step) -> str:
    """The step's current title, or its last one."""
    return apart(step.latest.fields.title)


def find(session: Session, step_id: str) -> Place:
    """The step's place, from one read of the checklist. Raises NotFound."""
    checklist = steps.checklist(session)
    live = [step.step_id for step in checklist if step.live]
    for step in checklist:
        if step.step_id == step_id:
            number = live.index(step_id) + 1 if step.live else None
            drafts = sum(1 for one in checklist if one.draft)
            return Place(step, number, len(live), steps.total_of(checklist), drafts)
    raise NotFound("step", step_id)


def render_step(place: Place, page: str, partial: str | None = None, *, status: int = 200, **context: Any) -> Response:
    """The page about the step at `place`, which its templates know as `place` and `step`; see `render`."""
    return render(page, partial, status=status, place=place, step=place.step, draft_count=place.drafts, **context)


def names_of(session: Session, step: Step, timeline: Iterable[Release] = ()) -> dict[str, Who]:
    """The authors of the live version and the draft, and of the releases in the `timeline`."""
    editors = [one.edited_by for one in (step.live, step.draft) if one]
    return history.who(session, {*editors, *(release.released_by for release in timeline)})


def draft_changes(step: Step) -> list[FieldChange]:
    """What the draft changes compared with the live or last version; nothing for a step's first draft."""
    if step.draft is None or step.draft.version == step.latest.version:
        return []
    return steps.compare(step.latest.fields, step.draft.fields)
