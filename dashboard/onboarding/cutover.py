"""How a release is carried out: the flip of one pointer, the count of what it did, the check of what must always hold.

`releases` calls it, with what it has decided and under the lock that it holds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, text, update
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import counters, plans, steps
from dashboard.onboarding import impact as impacts
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import WORKED, Kind, Policy, Release, statuses_counting_today
from dashboard.onboarding.errors import BrokenInvariant
from dashboard.onboarding.history import record, release_from, releases_of_step
from dashboard.onboarding.impact import Counted, Impact
from dashboard.onboarding.plans import Drift, Planned
from dashboard.onboarding.sql import clock
from dashboard.onboarding.steps import IN_JSON, Definition, FieldChange, Step


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """A release and what it did. `changes` compares what was live `before` with what is live `after` (None: nothing).

    `counted` has the groups behind the report, for the list of the people affected. `milliseconds` is how long it took.
    """

    release: Release
    before: Definition | None
    after: Definition | None
    changes: list[FieldChange]
    impact: Impact
    counted: Counted
    milliseconds: float

    def as_json(self, *, dry_run: bool) -> dict[str, Any]:
        """The answer of the API and of the command line."""
        impact = self.impact
        changes = [{"member": IN_JSON[one.member], "before": one.before, "after": one.after} for one in self.changes]
        told = {
            "success": True,
            "dryRun": dry_run,
            "usersAffected": impact.affected,
            "progressCopied": impact.copied,
            "progressReset": impact.reset,
            "untouched": impact.untouched,
            "impact": impact.as_json() | {"changes": changes},
            # the id of a release that was taken back will never exist
            "releaseId": None if dry_run else self.release.id,
            "receipt": self.release.receipt,
        }
        if self.release.kind == "rollback":
            told |= {"restored": impact.restored, "keptLater": impact.kept_later}
        return told


def carry_out(session: Session, actor: Actor, step: Step, terms: Terms, planned: Planned | None) -> Outcome:
    """The release on these terms, counted and checked, with its receipt; the step is locked.

    Raises StalePlan (people drifted), BrokenInvariant.
    """
    started = time.perf_counter()
    earlier = impacts.rules(session)
    released = cut_over(session, actor, step, terms)
    groups, total = impacts.census(session, step.step_id, released.id)
    counted = Counted(step.step_id, groups, total, earlier, impacts.rules(session), terms.undone)
    report = impacts.impact(counted)
    now = steps.get(session, step.step_id)
    drifts = plans.drift(planned, report) if planned else []
    plans.check_drift(drifts, planned.tolerance if planned else 0)
    checked = _check_invariants(session, counted, report, released, now, terms)
    changes = steps.compare(step.live.fields if step.live else None, now.live.fields) if now.live else []
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    outcome = Outcome(released, step.live, now.live, changes, report, counted, milliseconds)
    record(
        session,
        actor,
        f"release.{terms.kind}",
        step_id=step.step_id,
        subject=f"release {released.number}",
        changes={"version": [step.live.version if step.live else None, terms.version]},
        note=terms.note,
    )
    counters.note(session, "release", terms.kind)
    return _sealed(session, outcome, terms, _receipt(outcome, terms, drifts, checked))


def _receipt(outcome: Outcome, terms: Terms, drifts: Sequence[Drift], checked: Sequence[str]) -> dict[str, Any]:
    """What is kept with the release; `checked` are the invariants that it was held to."""
    impact = outcome.impact.as_json()
    return {
        "kind": terms.kind,
        "version": terms.version,
        "fromVersion": outcome.before.version if outcome.before else None,
        "policy": asdict(terms.policy),
        "reopensFinished": terms.reopens_finished,
        "changes": [asdict(change) for change in outcome.changes],
        "predicted": {one.member: one.predicted for one in drifts} or None,
        "actual": plans.counts(impact),
        "drift": {one.member: one.difference for one in drifts} or None,
        "impact": impact,
        "invariants": checked,
        "milliseconds": outcome.milliseconds,
    }


def _sealed(session: Session, outcome: Outcome, terms: Terms, receipt: dict[str, Any]) -> Outcome:
    """The outcome, with the receipt of its release and its moment: now, just before the commit.

    Whoever finished while people were counted was saved under the release before, and a reopening one came after that.
    """
    r = models.Release
    at = _moment(session, terms)
    session.execute(update(r).where(r.id == outcome.release.id).values(receipt=receipt, released_at=at))
    return replace(outcome, release=replace(outcome.release, receipt=receipt, released_at=at))


def _moment(session: Session, terms: Terms) -> datetime:
    return terms.at or clock(session)


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


def cut_over(session: Session, actor: Actor, step: Step, terms: Terms) -> Release:
    """The release itself, on a step that is locked: no row of any person is read or written. It has no receipt yet."""
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
            released_at=_moment(session, terms),
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


def _check_invariants(
    session: Session, counted: Counted, report: Impact, released: Release, step: Step, terms: Terms
) -> list[str]:
    """What docs/model.md says that every release is held to: each checked by other means than what made it so.

    Raises BrokenInvariant, which undoes it all.
    """
    lost = [one for one in WORKED if terms.policy.keeps(one) and report.matrix[one]["todo"]]
    checks = {
        "every status counts as the policies of the releases since then say": _counts_rightly(session, counted),
        "no status is lost under a policy that keeps it": not lost,
        "nobody is given back anything but by a rollback or a restore": report.restored == 0
        or terms.undone is not None,
        "this release is the step's current one": step.release_id == released.id,
        "no version is live" if terms.version is None else "exactly the released version is live": (
            step.live.version if step.live else None
        )
        == terms.version,
    }
    broken = [name for name, holds in checks.items() if not holds]
    if broken:
        raise BrokenInvariant(f"It would have broken a rule that must always hold: {'; '.join(broken)}.")
    return list(checks)


def _counts_rightly(session: Session, counted: Counted) -> bool:
    """Whether people were counted by what the policies say, read off one by one, and not only by what DERIVE made of them."""
    step_id, worths = counted.step_id, counted.after.releases
    return all(
        {status for status in WORKED if worths[release.id].keeps[status]} == counting
        for release, counting in statuses_counting_today(releases_of_step(session, step_id))
    )
