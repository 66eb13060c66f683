"""Saving a person's steps from their page: what was sent for each, and the outcome as its row needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dashboard.database import Session, transaction
from dashboard.onboarding import history, progress
from dashboard.onboarding.carryover import STATUSES
from dashboard.onboarding.errors import Conflict, Invalid, Withdrawn
from dashboard.onboarding.history import Change
from dashboard.onboarding.limits import moment_from
from dashboard.onboarding.progress import Saved, SavedOrRefused, WantedSave
from dashboard.web.access import current_actor
from dashboard.web.formats import STATUS_CHOICES
from dashboard.web.forms import whole
from dashboard.web.wording import sentence

LABELS = {"row_version": "The row version", "status": "The status", "comment": "The comment"}
YOURS = "yours."
UNKNOWN_STATUS = f"The status must be one of {', '.join(label for _, label in STATUS_CHOICES)}."
STATUS = "status."


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was chosen and typed for one row. `row_version` is 0 if it is not a number; `seen` is the status shown.

    `resolve` is the way out of a conflict; `number` counts the conflicts so far.
    """

    status: str
    row_version: int
    comment: str
    resolve: str = ""
    undoes: bool = False
    opened: datetime | None = None
    seen: str = ""
    number: int = 0
    has_row_version: bool = True

    @classmethod
    def read(cls, form: Mapping[str, str], step_id: str = "") -> Attempt:
        """From a request's form, however broken; a form of many rows holds each under its step's id.

        Besides a row's own fields, it holds those of its Undo and those of a panel in the row's place.
        """
        starts = ("undo.", "", YOURS) if "undoes" in form else ("", YOURS)

        def field(name: str) -> str:
            names = [*(f"{start}{name}.{step_id}" for start in starts), name]
            return next((form[one] for one in names if one in form), "")

        return cls(
            status=field("status"),
            row_version=_number(field("row_version")),
            comment=field("comment").strip(),
            resolve=form.get("resolve", ""),
            undoes=form.get("undoes", "") == "1",
            opened=moment(field("opened")),
            seen=field("seen"),
            number=max(0, _number(field("attempt"))),
            has_row_version=bool(field("row_version").strip()),
        )

    def wanted(self, step_id: str) -> WantedSave:
        """The same for the engine."""
        return WantedSave(step_id, self.status, self.row_version, self.seen, self.comment, self.number)

    def once_more(self) -> Attempt:
        """The next attempt, after a conflict."""
        return replace(self, number=self.number + 1)

    def told(self, problems: Mapping[str, str]) -> tuple[str, ...]:
        """Why it was not saved, as sentences."""
        return tuple(self._sentence(member, reason) for member, reason in problems.items())

    def _sentence(self, member: str, reason: str) -> str:
        if member == "status":
            return UNKNOWN_STATUS
        if member == "row_version" and not self.has_row_version:
            return "The row version is missing."
        return sentence(LABELS.get(member, member), reason)


def _number(text: str) -> int:
    found = whole(text)
    return found if isinstance(found, int) else 0


def moment(text: str) -> datetime | None:
    """When the form was opened, as it says; None if that is not a usable time."""
    found = moment_from(text)
    return found if found and found <= datetime.now(UTC) else None


@dataclass(frozen=True, slots=True)
class Undo:
    """The write that undoes a save: the previous status, over the row_version that the save made."""

    status: str
    row_version: int
    undone: bool = False

    @classmethod
    def of(cls, saved: Saved, attempt: Attempt) -> Undo | None:
        """None if the save left the status unchanged."""
        if saved.before == saved.status:
            return None
        return cls(saved.before, saved.row_version, attempt.undoes)


NOTHING_TYPED = Attempt("", 0, "")


@dataclass(frozen=True, slots=True)
class Happened:
    """The outcome of a row's form. `focus`: put the focus on the row or its panel.

    `is_same`: the form said nothing new, and nothing was written. `typed`: the row's own choice and text, beside an Undo.
    """

    step_id: str
    attempt: Attempt = NOTHING_TYPED
    is_saved: bool = False
    is_same: bool = False
    is_stale: bool = False
    undo: Undo | None = None
    problems: tuple[str, ...] = ()
    changes: Sequence[Change] = ()
    focus: bool = False
    typed: Attempt = NOTHING_TYPED

    @property
    def unsaved(self) -> Attempt:
        """What was chosen and typed but not saved."""
        return self.typed if self.is_saved or self.is_same else self.attempt

    @property
    def word(self) -> str:
        """What a save is called: an Undo is one too."""
        return "Undone" if self.undo and self.undo.undone else "Saved"

    def beside(self, typed: Attempt) -> Happened:
        """The outcome of an Undo, with what was chosen and typed in the row since; a conflict's panel has no row."""
        attempt = self.attempt if self.is_saved or self.is_same else replace(self.attempt, comment=typed.comment)
        return replace(self, attempt=attempt, typed=typed)


AT_REST = Happened("")
NOTHING: Mapping[str, Happened] = {}


def rows_of(form: Mapping[str, str], start: str = STATUS) -> dict[str, Attempt]:
    """The rows of a form that holds all of them, by step."""
    step_ids = [name.removeprefix(start) for name in form if name.startswith(start)]
    return {step_id: Attempt.read(form, step_id) for step_id in step_ids}


def typed_since(form: Mapping[str, str], step_id: str) -> Attempt:
    """What was chosen and typed in the row since the save that its Undo takes back."""
    own = rows_of({name: value for name, value in form.items() if name != "undoes"}).get(step_id, NOTHING_TYPED)
    return replace(own, status="" if own.status == own.seen else own.status)


def panels_of(form: Mapping[str, str]) -> dict[str, Attempt]:
    """The same for the panels in rows' places, which are saved only by their own way out."""
    return rows_of(form, YOURS + STATUS)


def save(user_id: str, step_id: str, attempt: Attempt) -> Happened:
    """The one checked write of a row. Raises NotFound."""
    with transaction() as session:
        outcome = progress.save_wanted(session, current_actor(), user_id, attempt.wanted(step_id))
        withdrawn = _since_withdrawn(session, user_id, {step_id: attempt}, [outcome])
    return _happened(attempt, outcome, withdrawn)


def save_all(user_id: str, attempts: Mapping[str, Attempt]) -> list[Happened]:
    """All rows, each a write of its own in one transaction; rows that say nothing new are skipped. Raises NotFound."""
    wanted = [attempt.wanted(step_id) for step_id, attempt in attempts.items()]
    with transaction() as session:
        outcomes = progress.save_many(session, current_actor(), user_id, wanted)
        withdrawn = _since_withdrawn(session, user_id, attempts, outcomes)
    return [_happened(attempts[one.step_id], one, withdrawn) for one in outcomes]


def _since_withdrawn(
    session: Session, user_id: str, attempts: Mapping[str, Attempt], outcomes: Sequence[SavedOrRefused]
) -> dict[str, list[Change]]:
    """The changes to those steps that were withdrawn since they were opened."""
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
    """The current row, without writing, beside any unsaved input."""
    if not attempt.wanted(step_id).says_something or attempt.status not in STATUSES:
        return Happened(step_id, focus=True)
    with transaction() as session:
        changes = history.changes_since(session, user_id, step_id, attempt.row_version)
    return Happened(step_id, attempt, is_stale=bool(changes), changes=changes, focus=True)


def still_chosen(user_id: str, attempts: Mapping[str, Attempt]) -> dict[str, Happened]:
    """The same for each row with unsaved input; none of them takes the focus."""
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
