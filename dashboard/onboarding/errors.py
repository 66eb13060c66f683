"""What the engine refuses, and why. Doors turn these into pages, partials, JSON or exit codes in one place each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.onboarding.carryover import Release
    from dashboard.onboarding.history import Change
    from dashboard.onboarding.user_steps import UserStep


class OnboardingError(Exception):
    """Base of everything the engine refuses. `str(error)` is one plain sentence for the person who asked."""


class Recorded(OnboardingError):
    """The refusal has just been recorded: the transaction is committed, then the error is raised on.

    Whatever else that transaction did is committed with it. So who saves several things in one catches it for each.
    """


class NotFound(OnboardingError):
    """There is nothing with this key: `what` says in words what it would be, such as “step” or “staff account”."""

    def __init__(self, what: str, key: object) -> None:
        self.what = what
        # A lone surrogate could not be sent in an answer.
        self.key = str(key).encode(errors="replace").decode()
        super().__init__(f"There is no {what} “{self.key}”.")


class Invalid(OnboardingError):
    """The input breaks a rule; `problems` maps each member's name to the reason.

    A reason goes on after the name, in lower case (“must be a date”), or else is a whole sentence, as of staff and doors.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{member}: {reason}" for member, reason in self.problems.items()))


class Refused(OnboardingError):
    """The request is well formed, but the present state does not allow it; the message says why."""


class Withdrawn(Refused):
    """The step was withdrawn: there is nothing to save or release until it is restored."""

    def __init__(self, step_id: str) -> None:
        self.step_id = step_id
        super().__init__("The step was withdrawn. Restore it first.")


class Conflict(Recorded):
    """A stale save of one person's step. `changes` are the exact changes after `attempted`, oldest first."""

    def __init__(self, attempted: int, current: UserStep, changes: Sequence[Change]) -> None:
        self.attempted = attempted
        self.current = current
        self.changes = tuple(changes)
        super().__init__("Step was modified by another request")


class StaleDraft(OnboardingError):
    """A stale save of a draft: it is at `current` (None: released or discarded meanwhile), not at `attempted`."""

    def __init__(self, attempted: int, current: int | None, edited_by: str | None) -> None:
        self.attempted = attempted
        self.current = current
        self.edited_by = edited_by
        super().__init__("The draft was saved by someone else since you opened it.")


class StalePlan(OnboardingError):
    """A release was confirmed, but no longer is what was previewed; `reasons` say what moved, a sentence each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(" ".join(self.reasons))


class DraftOpen(StalePlan):
    """Somebody else has a draft of the step open, which the release would throw away."""


class AlreadyReleased(StalePlan):
    """The same person confirmed the same plan before: a second press or a re-sent form. `release` is what came of it."""

    def __init__(self, release: Release) -> None:
        self.release = release
        super().__init__([f"You already did this: it is release {release.number}."])


class BrokenInvariant(OnboardingError):
    """A release was aborted because the outcome broke an invariant of the model; nothing was changed."""
