"""Who else has a draft open: a form says every few seconds that it is still there, and is forgotten when it stops."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from dashboard.models import DraftEditor, Step
from dashboard.onboarding.actor import Actor

FORGOTTEN_AFTER = timedelta(seconds=45)


@dataclass(frozen=True, slots=True)
class Editor:
    """Somebody with the draft open in a form, as it was at `row_version`."""

    actor: str
    row_version: int


def beat(session: Session, actor: Actor, step_id: str, row_version: int) -> None:
    """The actor has the step's draft open, if there is such a step. Whoever was not heard of for 45 seconds is forgotten."""
    e = DraftEditor
    # a first draft that is discarded goes with its step
    there = select(Step.step_id).where(Step.step_id == step_id).with_for_update(read=True, key_share=True)
    if session.scalar(there) is None:
        return
    session.execute(delete(e).where(e.step_id == step_id, e.seen_at < func.now() - FORGOTTEN_AFTER))
    heard = upsert(e).values(step_id=step_id, actor=actor.key, row_version=row_version, seen_at=func.now())
    session.execute(
        heard.on_conflict_do_update(
            index_elements=[e.step_id, e.actor],
            set_={"row_version": heard.excluded.row_version, "seen_at": heard.excluded.seen_at},
        )
    )


def leave(session: Session, actor: Actor, step_id: str) -> None:
    """The actor has left the form, or saved it."""
    session.execute(delete(DraftEditor).where(DraftEditor.step_id == step_id, DraftEditor.actor == actor.key))


def editors(session: Session, step_id: str) -> list[Editor]:
    """Everybody who has the step's draft open now, in the order of their keys."""
    e = DraftEditor
    query = select(e.actor, e.row_version).where(e.step_id == step_id, e.seen_at >= func.now() - FORGOTTEN_AFTER)
    return [Editor(**row._mapping) for row in session.execute(query.order_by(e.actor))]
