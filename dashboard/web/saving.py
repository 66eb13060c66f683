"""Saving steps of a person from their page: what came of each, in the words that its row needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.database import Session, transaction
from dashboard.onboarding import history, progress
from dashboard.onboarding.carryover import STATUSES
from dashboard.onboarding.errors import Conflict, Invalid, Withdrawn
from dashboard.onboarding.history import Change
from dashboard.onboarding.progress import SavedOrRefused
from dashboard.web.access import current_actor
from dashboard.web.person_page import YOURS, Attempt, Happened, Undo

STATUS = "status."


def rows_of(form: Mapping[str, str], start: str = STATUS) -> dict[str, Attempt]:
    """The rows of a form that holds all of them, by step."""
    step_ids = [name.removeprefix(start) for name in form if name.startswith(start)]
    return {step_id: Attempt.read(form, step_id) for step_id in step_ids}


def panels_of(form: Mapping[str, str]) -> dict[str, Attempt]:
    """The same of the panels that stand in rows' places: what is saved only by a way out of them."""
    return rows_of(form, YOURS + STATUS)


def save(user_id: str, step_id: str, attempt: Attempt) -> Happened:
    """The one checked write of a row. Raises NotFound."""
    with transaction() as session:
        outcome = progress.save_wanted(session, current_actor(), user_id, attempt.wanted(step_id))
        withdrawn = _since_withdrawn(session, user_id, {step_id: attempt}, [outcome])
    return _happened(attempt, outcome, withdrawn)


def save_all(user_id: str, attempts: Mapping[str, Attempt]) -> list[Happened]:
    """All rows, each a write of its own in one transaction; one that says nothing new is left alone. Raises NotFound."""
    wanted = [attempt.wanted(step_id) for step_id, attempt in attempts.items()]
    with transaction() as session:
        outcomes = progress.save_many(session, current_actor(), user_id, wanted)
        withdrawn = _since_withdrawn(session, user_id, attempts, outcomes)
    return [_happened(attempts[one.step_id], one, withdrawn) for one in outcomes]


def _since_withdrawn(
    session: Session, user_id: str, attempts: Mapping[str, Attempt], outcomes: Sequence[SavedOrRefused]
) -> dict[str, list[Change]]:
    """What moved the steps that were withdrawn since they were opened."""
    gone = [one.step_id for one in outcomes if isinstance(one.refusal, Withdrawn)]
    since = {step_id: attempts[step_id].row_version for step_id in gone}
    return history.changes_of(session, user_id, since) if since else {}


def _happened(attempt: Attempt, outcome: SavedOrRefused, withdrawn: Mapping[str, Sequence[Change]]) -> Happened:
    step_id, saved = outcome.step_id, outcome.saved
    match outcome.refusal:
        case Invalid() as invalid:
            return Happened(step_id, attempt, problems=attempt.told(invalid.problems))
        case Conflict() as conflict:
            return _stale(step_id, attempt, conflict.changes)
        case Withdrawn():
            return _stale(step_id, attempt, withdrawn[step_id])
    if saved is None:
        return Happened(step_id, attempt, is_same=True)
    return Happened(step_id, attempt, is_saved=True, undo=Undo.of(saved, attempt))


def look(user_id: str, step_id: str, attempt: Attempt) -> Happened:
    """The row as it is now, without writing: beside what was chosen and typed, where anything was."""
    if not attempt.wanted(step_id).says_something or attempt.status not in STATUSES:
        return Happened(step_id, focus=True)
    with transaction() as session:
        changes = history.changes_since(session, user_id, step_id, attempt.row_version)
    return Happened(step_id, attempt, is_stale=bool(changes), changes=changes, focus=True)


def still_chosen(user_id: str, attempts: Mapping[str, Attempt]) -> dict[str, Happened]:
    """The same of each row in which something was chosen or typed; none of them asks for the focus."""
    wanted = {step_id: one for step_id, one in attempts.items() if one.wanted(step_id).says_something}
    wanted = {step_id: one for step_id, one in wanted.items() if one.status in STATUSES}
    if not wanted:
        return {}
    with transaction() as session:
        since = history.changes_of(session, user_id, {step_id: one.row_version for step_id, one in wanted.items()})
    return {
        step_id: Happened(step_id, wanted[step_id], is_stale=bool(changes), changes=changes)
        for step_id, changes in since.items()
    }


def _stale(step_id: str, attempt: Attempt, changes: Sequence[Change]) -> Happened:
    return Happened(step_id, attempt.once_more(), is_stale=True, changes=changes, focus=True)
