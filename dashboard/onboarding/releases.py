"""Release, roll back, withdraw, restore: a handful of rows, whatever the number of people (docs/model.md).

Every one of them is `_cut_over`, the flip of one pointer, followed by the count of what it did. A dry run is the same
call inside `dry_run`, which takes it back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import impact as impacts
from dashboard.onboarding import steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import KEEP_ALL, Kind, Policy, Release, Status
from dashboard.onboarding.errors import (
    AlreadyReleased,
    BrokenInvariant,
    Invalid,
    NotFound,
    Refused,
    StalePlan,
    Withdrawn,
)
from dashboard.onboarding.history import record, release_from, releases_of, who
from dashboard.onboarding.impact import Counted, Impact
from dashboard.onboarding.steps import Definition, FieldChange, Fields, Step

PREDICTED = {
    "affected": "affected",
    "copied": "copied",
    "reset": "reset",
    "restored": "restored",
    "kept_later": "keptLater",
    "untouched": "untouched",
}
"""The counts that a preview predicts, by their name in Planned and Impact and by the receipt's."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the caller saw when deciding: the current release's id (0: none), the draft's row_version; None: not asked.

    The rest are the predicted counts. `reset` and `restored` may drift by `tolerance` people before the plan is stale;
    the others are only kept, for the receipt.
    """

    release_id: int | None = None
    draft_row_version: int | None = None
    reset: int | None = None
    restored: int | None = None
    tolerance: int = 0
    affected: int | None = None
    copied: int | None = None
    kept_later: int | None = None
    untouched: int | None = None

    def is_of(self, other: Planned) -> bool:
        """True when both saw the same release and the same draft, whatever they predict."""
        return (self.release_id, self.draft_row_version) == (other.release_id, other.draft_row_version)


@dataclass(frozen=True, slots=True)
class Drift:
    """How many people a preview predicted for one member of a receipt, and how many they are."""

    member: str
    predicted: int
    actual: int

    @property
    def difference(self) -> int:
        """Positive: more people than predicted."""
        return self.actual - self.predicted


def drift(planned: Planned, report: Impact) -> list[Drift]:
    """Everything that was predicted beside what is so, members that did not drift included."""
    return [
        Drift(member, predicted, getattr(report, name))
        for name, member in PREDICTED.items()
        if (predicted := getattr(planned, name)) is not None
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A release and what it did. `changes` compares what the step said before with what it says now.

    `counted` has the groups behind the report, for the list of the people affected.
    """

    release: Release
    before: Definition | None
    after: Definition | None
    changes: list[FieldChange]
    impact: Impact
    counted: Counted
    milliseconds: float


def tolerance(everybody: int, percent: float = 1.0, people: int = 10) -> int:
    """How many people a prediction may drift by: `percent` of everybody, or `people` where that is more."""
    return max(people, int(everybody * percent / 100))


def newest_first(session: Session, step_id: str | None = None, limit: int = 100) -> list[Release]:
    """The newest releases, of one step or of all, with their receipts."""
    r = models.Release
    query = select(r.__table__).order_by(r.released_at.desc(), r.id.desc()).limit(limit)
    if step_id is not None:
        query = query.where(r.step_id == step_id)
    return [release_from(row, row.receipt) for row in session.execute(query)]


def get(session: Session, step_id: str, number: int) -> Release:
    """One release of the step with its receipt, by its number. Raises NotFound."""
    steps.check_key("step", step_id)
    r = models.Release
    row = None
    if 0 < number <= steps.MAX_INTEGER:
        query = select(r.__table__).where(r.step_id == step_id, r.number == number)
        row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound("release", f"{step_id} {number}")
    return release_from(row, row.receipt)


@contextmanager
def dry_run(session: Session) -> Iterator[None]:
    """Whatever the engine does inside is done for real, and then taken back, locks included."""
    nested = session.begin_nested()
    try:
        yield
    finally:
        nested.rollback()


def suggested_policy(before: Fields | None, after: Fields) -> Policy:
    """What to preset: new words leave the task the same, so work in progress is kept; a new weight makes it another."""
    return KEEP_ALL if before is None or before.weight == after.weight else Policy()


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
    """Make the step's draft its live version, for everybody at once.

    Raises NotFound, Withdrawn, Refused (no draft), StalePlan, Invalid (the note), BrokenInvariant. All or nothing.
    """
    step = _locked(session, step_id, planned, Repeat(actor.key, ("publish", "migrate"), policy))
    if step.withdrawn:
        raise Withdrawn(step_id)
    draft = step.draft
    if draft is None:
        raise Refused(f"“{step_id}” has no draft to release.")
    if planned and planned.draft_row_version not in (None, draft.row_version):
        raise StalePlan([f"The draft was saved again since you previewed it, by {_name(session, draft.edited_by)}."])
    kind: Kind = "migrate" if step.release_id else "publish"
    terms = Terms(kind, draft.version, policy if kind == "migrate" else KEEP_ALL, reopens_finished, _note(note), at)
    return _carry_out(session, actor, step, terms, planned)


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
    undone, target = rollback_target(session, step_id)
    terms = Terms("rollback", target.version, KEEP_ALL, False, _note(note), at, undone)
    return _carry_out(session, actor, step, terms, planned)


def rollback_target(session: Session, step_id: str) -> tuple[Release, Release]:
    """The release that a rollback would undo, and the one it would go back to. Raises NotFound, Refused."""
    stack = [
        one
        for one in releases_of(session, [step_id]).get(step_id, [])
        if one.kind in ("publish", "migrate") and one.undone_by is None
    ]
    if not stack:
        raise NotFound("release of the step", step_id)
    if len(stack) == 1:
        raise Refused(f"“{step_id}” is at its first version: there is nothing to roll back to.")
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
    """Take the step off everybody's checklist; what they did is kept for a restore.

    Raises NotFound, Withdrawn, Refused (never released), StalePlan, Invalid.
    """
    step = _locked(session, step_id, planned, Repeat(actor.key, ("withdraw",)))
    if step.withdrawn:
        raise Withdrawn(step_id)
    if step.live is None:
        raise Refused(f"“{step_id}” was never released. Discard its draft instead.")
    return _carry_out(session, actor, step, Terms("withdraw", None, KEEP_ALL, False, _note(note), at), planned)


def restore(
    session: Session,
    actor: Actor,
    step_id: str,
    *,
    note: str = "",
    planned: Planned | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Put a withdrawn step back as it was. Raises NotFound, Refused (not withdrawn), StalePlan, Invalid."""
    step = _locked(session, step_id, planned, Repeat(actor.key, ("restore",)))
    if not step.withdrawn:
        raise Refused(f"“{step_id}” is not withdrawn.")
    undone = releases_of(session, [step_id])[step_id][-1]
    terms = Terms("restore", step.latest.version, KEEP_ALL, False, _note(note), at, undone)
    return _carry_out(session, actor, step, terms, planned)


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

    Raises NotFound, Withdrawn, Invalid, and StalePlan when `from_version` is not live, `to_version` is not the next, or
    someone else's draft is open (unless `discard_draft`).
    """
    step = _locked(session, step_id, planned, None)
    if step.withdrawn:
        raise Withdrawn(step_id)
    _check_live(step, from_version)
    if step.draft:
        if step.draft.edited_by != actor.key and not discard_draft:
            by = _name(session, step.draft.edited_by)
            raise StalePlan([f"A draft of version {step.draft.version} by {by} is open."])
        steps.discard_draft(session, actor, step_id, step.draft.row_version)
    draft = steps.start_draft(session, actor, step_id, from_version)
    if draft.version != to_version:
        raise StalePlan([f"Version {to_version} is not the next: {draft.version} is."])
    if data:
        steps.save_draft(session, actor, step_id, asdict(draft.fields) | dict(data), draft.row_version)
    return release(session, actor, step_id, policy, reopens_finished=reopens_finished, note=note, planned=planned)


# How a release is carried out ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be released and how; `undone` is the release that it takes back."""

    kind: Kind
    version: int | None
    policy: Policy
    reopens_finished: bool
    note: str
    at: datetime | None
    undone: Release | None = None


def _note(note: str) -> str:
    if reason := steps.text_problem(note, 2000):
        raise Invalid({"note": reason})
    return note.strip()


@dataclass(frozen=True, slots=True)
class Repeat:
    """By what a second press of Confirm is told from somebody else's release: the same actor, kind and policy."""

    actor: str
    kinds: tuple[Kind, ...]
    policy: Policy | None = None


def _locked(session: Session, step_id: str, planned: Planned | None, repeat: Repeat | None) -> Step:
    """The step, with every other release of it waiting. Raises NotFound, StalePlan, AlreadyReleased.

    NO KEY UPDATE, because it does not wait for, or hold up, a save of somebody's status.
    """
    steps.check_key("step", step_id)
    lock = select(models.Step.step_id).where(models.Step.step_id == step_id).with_for_update(key_share=True)
    if session.scalar(lock) is None:
        raise NotFound("step", step_id)
    # The draft too: saved after the plan was checked, it would go live without having been previewed.
    d = models.Definition
    session.execute(select(d.version).where(d.step_id == step_id, d.state == "draft").with_for_update(key_share=True))
    step = steps.get(session, step_id)
    if planned and planned.release_id not in (None, step.release_id or 0):
        raise _overtaken(session, step, planned, repeat)
    return step


def _overtaken(session: Session, step: Step, planned: Planned, repeat: Repeat | None) -> StalePlan:
    """Why the plan is stale; AlreadyReleased when the one release since then is the planned one itself."""
    releases = releases_of(session, [step.step_id]).get(step.step_id, [])
    if not releases:
        return StalePlan(["This step has not been released yet."])
    newest, previous = releases[-1], releases[-2].id if len(releases) > 1 else 0
    is_repeat = (
        repeat is not None
        and previous == planned.release_id
        and newest.released_by == repeat.actor
        and newest.kind in repeat.kinds
        and (repeat.policy is None or newest.kind == "publish" or newest.policy == repeat.policy)
        and (repeat.policy is None or planned.draft_row_version in (None, step.latest.row_version))
    )
    if is_repeat:
        return AlreadyReleased(newest)
    by = _name(session, newest.released_by)
    return StalePlan([f"Release {newest.number} went live since you previewed this, by {by}."])


def _check_live(step: Step, version: int) -> None:
    if step.live is None or step.live.version != version:
        live = f"version {step.live.version}" if step.live else "no version"
        raise StalePlan([f"Version {version} is not live: {live} is."])


def _name(session: Session, key: str) -> str:
    return who(session, [key])[key].name


def _carry_out(session: Session, actor: Actor, step: Step, terms: Terms, planned: Planned | None) -> Outcome:
    started = time.perf_counter()
    earlier = impacts.rules(session)
    released = _cut_over(session, actor, step, terms)
    groups = impacts.census(session, earlier.reopened_at)
    after = impacts.rules(session)
    before = after.with_step_as_in(earlier, step.step_id)
    counted = Counted(step.step_id, groups, before, after, terms.undone)
    report = impacts.impact(counted)
    now = steps.get(session, step.step_id)
    if planned:
        _check_drift(planned, report)
    checked = _check_invariants(report, released, now, terms)
    changes = steps.compare(step.live.fields if step.live else None, now.live.fields) if now.live else []
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    drifts = drift(planned, report) if planned else []
    receipt = {
        "kind": terms.kind,
        "version": terms.version,
        "fromVersion": step.live.version if step.live else None,
        "policy": asdict(terms.policy),
        "reopensFinished": terms.reopens_finished,
        "changes": [asdict(change) for change in changes],
        "predicted": {one.member: one.predicted for one in drifts} or None,
        "actual": {member: getattr(report, name) for name, member in PREDICTED.items()},
        "drift": {one.member: one.difference for one in drifts} or None,
        "impact": report.as_json(),
        "invariants": checked,
        "milliseconds": milliseconds,
    }
    session.execute(update(models.Release).where(models.Release.id == released.id).values(receipt=receipt))
    record(
        session,
        actor,
        f"release.{terms.kind}",
        step_id=step.step_id,
        subject=f"release {released.number}",
        changes={"version": [step.live.version if step.live else None, terms.version]},
        note=terms.note,
    )
    return Outcome(replace(released, receipt=receipt), step.live, now.live, changes, report, counted, milliseconds)


# What every status of the step counts as from now on. It was reset by the first later release that does not keep it, is
# not undone and does not itself undo (docs/model.md, rule 1); until then it is worth the live weight.
DERIVE = text("""
WITH derived AS (
    SELECT r.id, min(m.id) FILTER (WHERE NOT m.carry_done) AS done_reset_by,
           min(m.id) FILTER (WHERE NOT m.carry_skipped) AS skipped_reset_by,
           min(m.id) FILTER (WHERE NOT m.carry_in_progress) AS in_progress_reset_by
      FROM step_releases r
      LEFT JOIN step_releases m ON m.step_id = r.step_id AND m.number > r.number
                               AND m.undone_by IS NULL AND m.kind NOT IN ('rollback', 'restore')
     WHERE r.step_id = :step_id
     GROUP BY r.id
)
UPDATE step_releases r
   SET done_reset_by = d.done_reset_by, skipped_reset_by = d.skipped_reset_by,
       in_progress_reset_by = d.in_progress_reset_by,
       done_points = CASE WHEN d.done_reset_by IS NULL THEN :weight ELSE 0 END,
       skipped_points = CASE WHEN d.skipped_reset_by IS NULL THEN :weight ELSE 0 END
  FROM derived d
 WHERE r.id = d.id
""")


def _cut_over(session: Session, actor: Actor, step: Step, terms: Terms) -> Release:
    """The release itself: no row of any person is read or written."""
    d, r = models.Definition, models.Release
    session.execute(update(d).where(d.step_id == step.step_id, d.is_active).values(is_active=False))
    weight = 0
    if terms.version is not None:
        live = update(d).where(d.step_id == step.step_id, d.version == terms.version)
        weight = session.execute(live.values(is_active=True, state="released").returning(d.weight)).scalar_one()
    row = session.execute(
        insert(r)
        .values(
            step_id=step.step_id,
            number=(step.release_number or 0) + 1,
            version=terms.version,
            kind=terms.kind,
            carry_done=terms.policy.done,
            carry_skipped=terms.policy.skipped,
            carry_in_progress=terms.policy.in_progress,
            reopens_finished=terms.reopens_finished,
            note=terms.note,
            released_at=terms.at or func.now(),
            released_by=actor.key,
        )
        .returning(r.__table__)
    ).one()
    if terms.undone:
        session.execute(update(r).where(r.id == terms.undone.id).values(undone_by=row.id))
    session.execute(DERIVE, {"step_id": step.step_id, "weight": weight})
    session.execute(
        update(models.Step)
        .where(models.Step.step_id == step.step_id)
        .values(
            current_release_id=row.id,
            weight=weight,
            draft_row_version=func.greatest(models.Step.draft_row_version, step.draft.row_version if step.draft else 0),
        )
    )
    return release_from(row)


def _check_drift(planned: Planned, report: Impact) -> None:
    reasons = [
        f"{name}: {predicted:,} people when you previewed, {actual:,} now."
        for name, predicted, actual in (
            ("Reset", planned.reset, report.reset),
            ("Given back", planned.restored, report.restored),
        )
        if predicted is not None and abs(actual - predicted) > planned.tolerance
    ]
    if reasons:
        raise StalePlan(reasons)


def _check_invariants(report: Impact, released: Release, step: Step, terms: Terms) -> list[str]:
    """The invariants of docs/model.md that every release is held to. Raises BrokenInvariant, which undoes it all."""
    worked: tuple[Status, ...] = ("done", "skipped", "in_progress")
    matrix = report.matrix
    lost = [one for one in worked if terms.policy.keeps(one) and matrix[one]["todo"]]
    strays = sum(matrix[one][other] for one in worked for other in worked if one != other)
    checks = {
        "affected = copied + reset + restored": report.affected == report.copied + report.reset + report.restored,
        "affected + untouched = everybody": report.affected + report.untouched == report.everybody,
        "every status ends as itself or as To do": strays == 0,
        "no status is lost under a policy that keeps it": not lost,
        "nobody is given back anything but by a rollback or a restore": report.restored == 0
        or terms.undone is not None,
        "this release is the step's current one": step.release_id == released.id,
        "exactly the released version is live": (step.live.version if step.live else None) == terms.version,
    }
    broken = [name for name, holds in checks.items() if not holds]
    if broken:
        raise BrokenInvariant(f"It would have broken what must always hold: {'; '.join(broken)}.")
    return list(checks)
