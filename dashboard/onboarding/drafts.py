"""Drafts: what a step is to say next, started, saved over what the editor saw, and discarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, Refused, StaleDraft
from dashboard.onboarding.history import record
from dashboard.onboarding.limits import MAX_INTEGER, is_whole
from dashboard.onboarding.people import LONGEST
from dashboard.onboarding.steps import Definition, Fields

RESERVED = {**steps.RESERVED, **dict.fromkeys(LONGEST, "is reserved for a column of the people's CSV: choose another")}
"""Ids that no new step may have, and why. A step may have come in by an adoption with one of the latter."""


def create(session: Session, actor: Actor, step_id: str, fields: Mapping[str, Any]) -> Definition:
    """A new step at the end of the checklist, as a draft of version 1; nobody sees it before its first release.

    Raises Invalid.
    """
    problems: dict[str, str] = {}
    if not steps.is_step_id(step_id):
        problems["step_id"] = f"must be {steps.STEP_ID_FORM}"
    elif step_id in RESERVED:
        problems["step_id"] = RESERVED[step_id]
    try:
        checked = steps.check(fields)
    except Invalid as invalid:
        raise Invalid(problems | invalid.problems) from None
    if problems:
        raise Invalid(problems)
    if not steps.add(session, step_id):
        raise Invalid({"step_id": "is already used by another step"})
    # A step of this id may have been discarded before its first release: the log has a line for each save of its draft,
    # so nothing that was opened then fits this one. Counted when nobody else can make and discard one any more.
    earlier = session.scalar(select(func.count()).where(models.AuditEntry.step_id == step_id))
    session.execute(update(models.Step).where(models.Step.step_id == step_id).values(draft_row_version=earlier))
    draft = _insert(session, actor, step_id, checked, None)
    record(session, actor, "step.create", step_id=step_id, changes=_diff(None, checked))
    return draft


def start(
    session: Session,
    actor: Actor,
    step_id: str,
    from_version: int | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Definition:
    """The next version as a draft that says what `from_version` says (None: the live or latest one), or `fields`.

    Raises NotFound; Invalid; Refused when the step has a draft already.
    """
    steps.lock(session, step_id)
    step = steps.get(session, step_id)
    source = step.latest if from_version is None else steps.version(session, step_id, from_version)
    if step.draft:
        raise Refused("The step already has a draft. Edit or discard that one first.")
    draft = _insert(session, actor, step_id, source.fields, source.version)
    record(session, actor, "draft.start", step_id=step_id, subject=f"version {draft.version}")
    return draft if fields is None else save(session, actor, step_id, fields, draft.row_version)


def _insert(session: Session, actor: Actor, step_id: str, fields: Fields, based_on: int | None) -> Definition:
    """The draft of a step that is locked, or new, and has none."""
    d, s = models.Definition, models.Step
    # Above every version there was, also where the live one is older after a rollback.
    newest = select(func.coalesce(func.max(d.version), 0)).where(d.step_id == step_id)
    before = select(newest.scalar_subquery(), s.draft_row_version).where(s.step_id == step_id)
    version, row_version = session.execute(before).one()
    made = insert(d).values(
        step_id=step_id,
        version=version + 1,
        based_on=based_on,
        row_version=row_version + 1,
        edited_by=actor.key,
        **asdict(fields),
    )
    return steps.definition_from(session.execute(made.returning(d.__table__)).one())


def save(session: Session, actor: Actor, step_id: str, fields: Mapping[str, Any], row_version: int) -> Definition:
    """Save the draft that the caller opened at `row_version`. Raises Invalid, StaleDraft, NotFound.

    Saving what the draft already says changes nothing: it keeps its row_version, and nobody who has it open is overtaken.
    """
    checked = steps.check(fields)
    before = _draft(session, step_id, row_version)
    if checked == before.fields:
        return before
    d = models.Definition
    row = session.execute(
        update(d)
        .where(d.step_id == step_id, d.state == "draft", d.row_version == row_version)
        .values(row_version=row_version + 1, edited_at=func.now(), edited_by=actor.key, **asdict(checked))
        .returning(d.__table__)
    ).one_or_none()
    if row is None:
        raise _stale(session, step_id, row_version)
    record(
        session,
        actor,
        "draft.save",
        step_id=step_id,
        subject=f"version {row.version}",
        changes=_diff(before.fields, checked),
    )
    return steps.definition_from(row)


def discard(session: Session, actor: Actor, step_id: str, row_version: int) -> bool:
    """Throw away the draft that the caller opened at `row_version`. Raises Invalid, StaleDraft, NotFound.

    The first draft of a step that was never released goes with its step: whether it did is returned.
    """
    before = _draft(session, step_id, row_version)
    is_first = before.version == 1
    # The step before its draft, as a release locks them: the other way round the two would deadlock.
    steps.lock(session, step_id, for_delete=is_first)
    d = models.Definition
    gone = session.execute(
        delete(d).where(d.step_id == step_id, d.state == "draft", d.row_version == row_version).returning(d.version)
    ).one_or_none()
    if gone is None:
        raise _stale(session, step_id, row_version)
    s = models.Step
    if is_first:
        session.execute(delete(s).where(s.step_id == step_id))
    else:
        session.execute(update(s).where(s.step_id == step_id).values(draft_row_version=row_version))
    record(session, actor, "draft.discard", step_id=step_id, subject=f"version {gone.version}")
    return is_first


def _draft(session: Session, step_id: str, row_version: int) -> Definition:
    if not is_whole(row_version, 1, MAX_INTEGER - 1):
        raise Invalid({"row_version": "must be a whole number from 1"})
    draft = steps.get(session, step_id).draft
    if draft is None or draft.row_version != row_version:
        raise _stale(session, step_id, row_version)
    return draft


def _stale(session: Session, step_id: str, row_version: int) -> StaleDraft:
    draft = steps.get(session, step_id).draft
    return StaleDraft(row_version, draft.row_version if draft else None, draft.edited_by if draft else None)


def _diff(before: Fields | None, after: Fields) -> dict[str, list[str | int | None]]:
    return {change.member: [change.before, change.after] for change in steps.compare(before, after)}
