"""Definitions as a document, for review beside the code, and drafts made from it; a door decides how it is written.

{"steps": {"set-up-payments": {"position": 1, "title": ..., "weight": ..., "action_url": ..., "description": ...}}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from dashboard.onboarding import drafts, limits, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, Refused
from dashboard.onboarding.history import name_of
from dashboard.onboarding.steps import Definition, Fields, Step

NEEDED_MEMBERS = ("title", "weight")
FORM = f"is not a step_id: {steps.STEP_ID_FORM}"


@dataclass(frozen=True, slots=True)
class WantedStep:
    """What a document wants one step to say; `position` is None where it names none."""

    step_id: str
    fields: Fields
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of one step of a document: `version` is its draft's, if it has one, `changed` what differs from the
    live version, and `note` what else there is to know.
    """

    step_id: str
    outcome: Literal["created", "draft", "unchanged"]
    version: int | None
    changed: list[str] = field(default_factory=list)
    note: str = ""


class DraftsOpen(Refused):
    """Somebody else has drafts open of steps that the document changes."""


def document(checklist: Iterable[Step]) -> dict[str, Any]:
    """What the live steps say, in the order given; steps that are not live are left out."""
    return {"steps": {step.step_id: _entry(step.position, step.live.fields) for step in checklist if step.live}}


def _entry(position: int, says: Fields) -> dict[str, Any]:
    return {
        "position": position,
        "title": says.title,
        "weight": says.weight,
        "action_url": says.action_url,
        "description": says.description,
    }


def live(session: Session, step_ids: Sequence[str]) -> list[Step]:
    """The live steps in checklist order: all where none is named. Raises NotFound, Refused (one that is not live)."""
    for step_id in step_ids:
        if steps.get(session, step_id).live is None:
            raise Refused(f"“{step_id}” is not live.")
    found = [step for step in steps.checklist(session) if step.live]
    return [step for step in found if step.step_id in step_ids] if step_ids else found


# Reading a document --------------------------------------------------------------------------------------------------


def read(given: object) -> list[WantedStep]:
    """What the document wants, in its order. Raises Invalid with every problem, named like `steps.<step_id>.<member>`."""
    if not isinstance(given, Mapping):
        raise Invalid({"the document": "must be a mapping with the member steps"})
    problems = {str(member): "is not known here" for member in given if member != "steps"}
    listed = given.get("steps")
    if not isinstance(listed, Mapping):
        reason = "must be a mapping from each step_id to the step's members" if "steps" in given else "is required"
        raise Invalid(problems | {"steps": reason})
    wanted = [one for step_id, says in listed.items() if (one := _wanted(step_id, says, problems))]
    if problems:
        raise Invalid(problems)
    return wanted


def _wanted(step_id: object, says: object, problems: dict[str, str]) -> WantedStep | None:
    name = f"steps.{step_id}"
    if not isinstance(step_id, str) or not steps.is_step_id(step_id, capitals=True):
        problems[name] = FORM
        return None
    if not isinstance(says, Mapping):
        problems[name] = "must be a mapping with at least a title and a weight"
        return None
    found = {member: "is required" for member in NEEDED_MEMBERS if member not in says}
    position = says.get("position")
    if position is not None and not limits.is_whole(position, 1, limits.MAX_INTEGER):
        found["position"] = "must be a whole number from 1"
    try:
        fields = steps.check({member: value for member, value in says.items() if member != "position"})
    except Invalid as invalid:
        found = invalid.problems | found
    if found:
        problems.update({f"{name}.{member}": reason for member, reason in found.items()})
        return None
    return WantedStep(step_id, fields, position)


def same_order(wanted: Iterable[WantedStep], checklist: Iterable[Step]) -> bool:
    """Whether the steps that both have stand in one order; the numbers themselves need not agree."""
    positions = {one.step_id: one.position for one in wanted if one.position is not None}
    as_here = [positions[step.step_id] for step in checklist if step.step_id in positions]
    return as_here == sorted(as_here)


# Drafts from a document ----------------------------------------------------------------------------------------------


def bring_in(session: Session, actor: Actor, wanted: Sequence[WantedStep], *, discard_drafts: bool) -> list[Brought]:
    """Make drafts of what differs from what is live, and never a release. All or nothing is the caller's transaction.

    Raises Refused (a withdrawn step), DraftsOpen unless `discard_drafts`, Invalid (a new step_id), StaleDraft.
    """
    # All of them, for a document may have new ones too: of two documents the second begins when the first is in, and no
    # step comes or goes meanwhile.
    steps.lock_list(session)
    steps.lock(session)
    here = {step.step_id: step for step in steps.checklist(session)}
    touched = [(one, step) for one in wanted if (step := here.get(one.step_id)) and _differs(one, step)]
    _check_withdrawn(step for _, step in touched)
    theirs = [step.draft for _, step in touched if step.draft and step.draft.edited_by != actor.key]
    if theirs and not discard_drafts:
        raise DraftsOpen(" ".join(_open(session, draft) for draft in theirs))
    return [_bring(session, actor, one, here.get(one.step_id)) for one in wanted]


def _differs(one: WantedStep, step: Step) -> bool:
    return one.fields != step.latest.fields and (step.draft is None or one.fields != step.draft.fields)


def _check_withdrawn(touched: Iterable[Step]) -> None:
    withdrawn = [f"“{step.step_id}”" for step in touched if step.withdrawn]
    if withdrawn:
        raise Refused(f"Withdrawn: {', '.join(withdrawn)}. Restore the steps you want to change, or leave them out.")


def _open(session: Session, draft: Definition) -> str:
    return f"“{draft.step_id}” has an open draft of version {draft.version} by {name_of(session, draft.edited_by)}."


def _bring(session: Session, actor: Actor, one: WantedStep, step: Step | None) -> Brought:
    if step is None:
        return _created(session, actor, one)
    if not _differs(one, step):
        return _unchanged(session, one, step)
    # Saved over rather than thrown away: the audit log keeps what it said, and its editor gets the merge panel.
    before = step.draft or drafts.start(session, actor, one.step_id)
    draft = drafts.save(session, actor, one.step_id, asdict(one.fields), before.row_version)
    changed = [change.member for change in steps.compare(step.latest.fields, one.fields)]
    replaced = step.draft is not None and step.draft.edited_by != actor.key
    note = f"replaces the draft by {name_of(session, before.edited_by)}" if replaced else ""
    return Brought(one.step_id, "draft", draft.version, changed, note)


def _created(session: Session, actor: Actor, one: WantedStep) -> Brought:
    try:
        draft = drafts.create(session, actor, one.step_id, asdict(one.fields))
    except Invalid as invalid:
        raise Invalid({f"steps.{one.step_id}": "; ".join(invalid.problems.values())}) from None
    return Brought(one.step_id, "created", draft.version)


def _unchanged(session: Session, one: WantedStep, step: Step) -> Brought:
    if step.draft is None:
        return Brought(one.step_id, "unchanged", None, note="is withdrawn" if step.withdrawn else "")
    if step.draft.fields == one.fields:
        note = f"the draft of version {step.draft.version} says this already"
    else:
        note = f"the draft of version {step.draft.version} by {name_of(session, step.draft.edited_by)} was left alone"
    return Brought(one.step_id, "unchanged", step.draft.version, note=note)
