"""Release, roll back, withdraw, restore: a handful of rows, whatever the number of people (docs/model.md).

Every one of them is `cutover.carry_out`, after it was decided here whether it is possible and still what was planned. A
dry run is the same call inside `dry_run`, which takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import counters, drafts, limits, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import FORWARD, KEEP_ALL, Kind, Policy, Release
from dashboard.onboarding.cutover import Outcome, Terms, carry_out
from dashboard.onboarding.errors import AlreadyReleased, DraftOpen, Invalid, NotFound, Refused, StalePlan, Withdrawn
from dashboard.onboarding.history import name_of, release_from, releases_of_step
from dashboard.onboarding.plans import Planned
from dashboard.onboarding.steps import Fields, Step


def newest_first(session: Session, limit: int) -> list[Release]:
    """The `limit` newest releases of all steps, with their receipts."""
    r = models.Release
    query = select(r.__table__).order_by(r.released_at.desc(), r.id.desc()).limit(limit)
    return [release_from(row, row.receipt) for row in session.execute(query)]


def of_step(session: Session, step_id: str, *, before: int | None = None, limit: int) -> list[Release]:
    """Up to `limit` releases of the step, newest first, before the one of that number. Raises NotFound (the step)."""
    limits.check_key("step", step_id)
    r = models.Release
    query = select(r.__table__).where(r.step_id == step_id).order_by(r.number.desc()).limit(limit)
    if before is not None:
        query = query.where(r.number < before)
    found = [release_from(row, row.receipt) for row in session.execute(query)]
    if not found:
        steps.get(session, step_id)
    return found


def get(session: Session, step_id: str, number: int) -> Release:
    """One release of the step with its receipt, by its number. Raises NotFound."""
    limits.check_key("step", step_id)
    r = models.Release
    row = None
    if 0 < number <= limits.MAX_INTEGER:
        query = select(r.__table__).where(r.step_id == step_id, r.number == number)
        row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound("release", f"{step_id} {number}")
    return release_from(row, row.receipt)


@contextmanager
def dry_run(session: Session) -> Iterator[None]:
    """Whatever the engine does inside is done for real, and then undone, locks included."""
    nested, noted = session.begin_nested(), counters.so_far(session)
    try:
        yield
    finally:
        nested.rollback()
        counters.put_back(session, noted)


class Suggested(NamedTuple):
    """What to preset, and why: a first version, the same as before, only new words, or another weight."""

    policy: Policy
    why: Literal["first", "same", "words", "weight"]


def suggested_policy(before: Fields | None, after: Fields) -> Suggested:
    """New words leave the task the same, so work in progress is kept; a new weight makes it another task."""
    if before is None:
        return Suggested(KEEP_ALL, "first")
    if before.weight != after.weight:
        return Suggested(Policy(), "weight")
    return Suggested(KEEP_ALL, "same" if before == after else "words")


def reason(note: str, *, required: bool = False) -> str:
    """The reason of a release as it is kept. Raises Invalid naming `note`; doors say whether one is `required`."""
    if problem := limits.text_problem(note, limits.MAX_COMMENT):
        raise Invalid({"note": problem})
    if required and not note.strip():
        raise Invalid({"note": "is required"})
    return note.strip()


def release(
    session: Session,
    actor: Actor,
    step_id: str,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    *,
    reopens_finished: bool = False,
    note: str = "",
    planned: Planned | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Make the step's draft its live version, for everybody at once. `at` is when it was released, where it is not now.

    Raises NotFound, Withdrawn, Refused (no draft), StalePlan, Invalid (the note), BrokenInvariant. All or nothing.
    """
    step = _locked(session, step_id, planned, Repeat(actor.key, FORWARD, policy, reopens_finished))
    if step.withdrawn:
        raise Withdrawn(step_id)
    draft = step.draft
    if draft is None:
        raise Refused("The step has no draft to release.")
    if planned and planned.draft_row_version not in (None, draft.row_version):
        raise StalePlan([f"The draft was saved again since you previewed it, by {name_of(session, draft.edited_by)}."])
    kind: Kind = "migrate" if step.release_id else "publish"
    terms = Terms(kind, draft.version, policy if kind == "migrate" else KEEP_ALL, reopens_finished, reason(note), at)
    return carry_out(session, actor, step, terms, planned)


def roll_back(
    session: Session,
    actor: Actor,
    step_id: str,
    from_version: int | None = None,
    *,
    note: str = "",
    planned: Planned | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Undo the newest release that is not undone: go back to the version before it, and give back what it reset.

    Raises NotFound, Withdrawn, Refused (nothing to go back to), Invalid, BrokenInvariant, and StalePlan, also when a
    `from_version` is given that is not live.
    """
    step = _locked(session, step_id, planned, Repeat(actor.key, ("rollback",)))
    if step.withdrawn:
        raise Withdrawn(step_id)
    if from_version is not None:
        _check_live(step, from_version)
    undone, target = rollback_target(releases_of_step(session, step_id))
    terms = Terms("rollback", target.version, KEEP_ALL, False, reason(note), at, undone)
    return carry_out(session, actor, step, terms, planned)


def released_as(of_step: Iterable[Release]) -> dict[int, Release]:
    """The release that made each version live, by version: not those that went back to it."""
    return {one.version: one for one in of_step if one.version is not None and one.kind in FORWARD}


def rollback_target(of_step: Sequence[Release]) -> tuple[Release, Release]:
    """The release that a rollback would undo, and the one it would go back to. Raises Refused.

    `of_step` are all releases of the step, oldest first.
    """
    stack = [one for one in of_step if one.kind in FORWARD and one.undone_by is None]
    if not stack:
        raise Refused("The step was never released: there is nothing to roll back to.")
    if len(stack) == 1:
        raise Refused("The step is at its first version: there is nothing to roll back to.")
    return stack[-1], stack[-2]


def withdraw(
    session: Session,
    actor: Actor,
    step_id: str,
    *,
    note: str = "",
    planned: Planned | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Take the step off everybody's checklist; what they did is kept for a restore. `at` is when, where it is not now.

    Raises NotFound, Refused (never released, or withdrawn already), StalePlan, Invalid, BrokenInvariant.
    """
    step = _locked(session, step_id, planned, Repeat(actor.key, ("withdraw",)))
    if step.withdrawn:
        raise Refused("The step is already withdrawn.")
    if step.live is None:
        raise Refused("The step was never released. Discard its draft instead.")
    return carry_out(session, actor, step, Terms("withdraw", None, KEEP_ALL, False, reason(note), at), planned)


def restore(
    session: Session,
    actor: Actor,
    step_id: str,
    *,
    note: str = "",
    planned: Planned | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Put a withdrawn step back as it was. `at` is for tests alone.

    Raises NotFound, Refused (not withdrawn), StalePlan, Invalid, BrokenInvariant.
    """
    step = _locked(session, step_id, planned, Repeat(actor.key, ("restore",)))
    if not step.withdrawn:
        raise Refused("The step is not withdrawn.")
    undone = releases_of_step(session, step_id)[-1]
    terms = Terms("restore", step.latest.version, KEEP_ALL, False, reason(note), at, undone)
    return carry_out(session, actor, step, terms, planned)


def migrate(
    session: Session,
    actor: Actor,
    step_id: str,
    from_version: int,
    to_version: int,
    data: Mapping[str, Any],
    policy: Policy = Policy(),  # noqa: B008 - frozen
    *,
    reopens_finished: bool = False,
    note: str = "",
    discard_draft: bool = False,
    planned: Planned | None = None,
) -> Outcome:
    """The original's one call: version `to_version` says what the live one says, changed by `data`, and goes live.

    Raises NotFound, Withdrawn, Invalid, StalePlan when `from_version` is not live or `to_version` is not the next, and
    DraftOpen when someone else's draft is in the way (unless `discard_draft`).
    """
    step = _locked(session, step_id, planned, None)
    if step.withdrawn:
        raise Withdrawn(step_id)
    _check_live(step, from_version)
    if step.draft:
        if step.draft.edited_by != actor.key and not discard_draft:
            by = name_of(session, step.draft.edited_by)
            raise DraftOpen([f"A draft of version {step.draft.version} by {by} is open."])
        drafts.discard(session, actor, step_id, step.draft.row_version)
    draft = drafts.start(session, actor, step_id, from_version)
    if draft.version != to_version:
        raise StalePlan([f"Version {to_version} is not the next version: {draft.version} is."])
    if data:
        drafts.save(session, actor, step_id, asdict(draft.fields) | dict(data), draft.row_version)
    return release(session, actor, step_id, policy, reopens_finished=reopens_finished, note=note, planned=planned)


# Whether it still is what was planned --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Repeat:
    """What makes a release a second press of Confirm and not another one: the same actor, kind, policy and reopening."""

    actor: str
    kinds: tuple[Kind, ...]
    policy: Policy | None = None
    reopens_finished: bool = False


def _locked(session: Session, step_id: str, planned: Planned | None, repeat: Repeat | None) -> Step:
    """The step, with every other release of it waiting. Raises NotFound, StalePlan, AlreadyReleased."""
    steps.lock(session, step_id)
    # The draft too: saved after the plan was checked, it would go live without having been previewed.
    d = models.Definition
    session.execute(select(d.version).where(d.step_id == step_id, d.state == "draft").with_for_update(key_share=True))
    step = steps.get(session, step_id)
    if planned and planned.release_id not in (None, step.release_id or 0):
        raise _overtaken(session, step, planned, repeat)
    return step


def _overtaken(session: Session, step: Step, planned: Planned, repeat: Repeat | None) -> StalePlan:
    """Why the plan is stale; AlreadyReleased when the one release since then is the planned one itself."""
    releases = releases_of_step(session, step.step_id)
    if not releases:
        return StalePlan(["This step has not been released yet."])
    newest, previous = releases[-1], releases[-2].id if len(releases) > 1 else 0
    is_repeat = (
        repeat is not None
        and previous == planned.release_id
        and newest.released_by == repeat.actor
        and newest.kind in repeat.kinds
        and newest.reopens_finished == repeat.reopens_finished
        and (repeat.policy is None or newest.kind == "publish" or newest.policy == repeat.policy)
        and (repeat.policy is None or planned.draft_row_version in (None, step.latest.row_version))
    )
    if is_repeat:
        return AlreadyReleased(newest)
    by = name_of(session, newest.released_by)
    return StalePlan([f"Release {newest.number} went live since you previewed this, by {by}."])


def _check_live(step: Step, version: int) -> None:
    if step.live is None or step.live.version != version:
        live = f"version {step.live.version}" if step.live else "no version"
        raise StalePlan([f"Version {version} is not live: {live} is."])
