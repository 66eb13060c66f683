"""Where a step stands in the checklist: what every page about one step says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dashboard.database import Session
from dashboard.onboarding import history, steps
from dashboard.onboarding.carryover import Release
from dashboard.onboarding.errors import NotFound
from dashboard.onboarding.history import Who
from dashboard.onboarding.steps import FieldChange, Fields, Step
from dashboard.web.formats import apart


@dataclass(frozen=True, slots=True)
class Place:
    """A step, its number among `count` steps, and the points that all live steps together are worth."""

    step: Step
    number: int
    count: int
    total: int
    drafts: int

    @property
    def title(self) -> str:
        return title_of(self.step)

    def total_with(self, fields: Fields | None) -> int:
        """All points, when the step says `fields` instead of what is live; None: when it is not there."""
        live = self.step.live
        return self.total - (live.fields.weight if live else 0) + (fields.weight if fields else 0)


def title_of(step: Step) -> str:
    """What a step is called: its title now, or the one it had last."""
    return apart((step.live or step.latest).fields.title)


def total_of(checklist: list[Step]) -> int:
    """The points of all live steps."""
    return sum(step.live.fields.weight for step in checklist if step.live)


def find(session: Session, step_id: str) -> Place:
    """The step's place, from one reading of the checklist. Raises NotFound."""
    checklist = steps.checklist(session)
    for number, step in enumerate(checklist, start=1):
        if step.step_id == step_id:
            drafts = sum(1 for one in checklist if one.draft)
            return Place(step, number, len(checklist), total_of(checklist), drafts)
    raise NotFound("step", step_id)


def names_of(session: Session, step: Step, timeline: Iterable[Release] = ()) -> dict[str, Who]:
    """Who wrote what is live and the draft, and who made the releases of the `timeline`."""
    editors = [one.edited_by for one in (step.live, step.draft) if one]
    return history.who(session, {*editors, *(release.released_by for release in timeline)})


def draft_changes(step: Step) -> list[FieldChange]:
    """What the draft changes in what is live, or was last; nothing for the first draft of a step."""
    if step.draft is None or step.draft.version == step.latest.version:
        return []
    return steps.compare((step.live or step.latest).fields, step.draft.fields)
