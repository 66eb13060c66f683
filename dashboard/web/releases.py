"""Release, roll back, withdraw, restore: their previews, confirmations and receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import Session, exporting, transaction
from dashboard.onboarding import affected, history, plans, releases
from dashboard.onboarding.affected import Which
from dashboard.onboarding.carryover import KEEP_ALL
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.errors import AlreadyReleased, Invalid, NotFound, Refused, StalePlan
from dashboard.onboarding.plans import Drift, Planned
from dashboard.onboarding.steps import Step
from dashboard.staff.permissions import Permission
from dashboard.web import access, affected_list, checklist, forms
from dashboard.web.access import current_actor, require
from dashboard.web.checklist import Place, render_step
from dashboard.web.export import Rows, csv_file
from dashboard.web.forms import PolicyChoice, ReasonForm
from dashboard.web.rendering import wants_partial

blueprint = Blueprint("releases", __name__, url_prefix="/steps/<step_id>")


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to make a release: its path, its engine function, whether it involves a draft and a policy."""

    path: str
    move: Callable[..., Outcome]
    of_draft: bool = False

    def run(self, session: Session, step_id: str, choice: PolicyChoice, note: str, planned: Planned) -> Outcome:
        """Carries it out for the signed-in account. Raises what the engine refuses."""
        said = {"policy": choice.policy, "reopens_finished": choice.reopens_finished} if self.of_draft else {}
        return self.move(session, current_actor(), step_id, note=note, planned=planned, **said)


CHOSE_OTHERWISE = "You changed the choices after the last report. Check the updated report, then confirm."

OPERATIONS = {
    operation.path: operation
    for operation in (
        Operation("release", releases.release, of_draft=True),
        Operation("rollback", releases.roll_back),
        Operation("withdraw", releases.withdraw),
        Operation("restore", releases.restore),
    )
}


# Preview and confirmation --------------------------------------------------------------------------------------------


@require(Permission.VIEW)
def preview(step_id: str, operation: str) -> ResponseReturnValue:
    """What it would do to everyone's progress; for a release, under the policy in the address."""
    chosen = OPERATIONS[operation]
    with transaction() as session:
        place = checklist.find(session, step_id)
    choice = _asked_for(chosen, place)
    try:
        return _preview_page(chosen, step_id, choice, ReasonForm(), open_report=forms.open_report(request.headers))
    except StalePlan as stale:
        return _asked_again(chosen, step_id, choice, ReasonForm(), stale.reasons, 409)
    except Refused as refused:
        return _refused_page(chosen, place, [str(refused)])


@require(Permission.RELEASE)
def confirm(step_id: str, operation: str) -> ResponseReturnValue:
    """Carries it out if it still matches the preview; or, for a release, only shows the report under another choice.

    The latter is for browsers without scripts: a GET form would lose the reason, or put it in the address.
    """
    chosen = OPERATIONS[operation]
    if chosen.of_draft and "update" in request.form:
        return _asked_again(chosen, step_id, forms.choice_from(request.form), ReasonForm(request.form), [], 200)
    return _carry_out(chosen, step_id)


for _path in OPERATIONS:
    # an address of its own for each: the activity log identifies a forbidden action by its route
    blueprint.add_url_rule(f"/{_path}", view_func=preview, defaults={"operation": _path})
    blueprint.add_url_rule(f"/{_path}", view_func=confirm, defaults={"operation": _path}, methods=["POST"])


def _asked_for(operation: Operation, place: Place) -> PolicyChoice:
    """The policy in the address. Raises Invalid."""
    if not operation.of_draft:
        return PolicyChoice(KEEP_ALL)
    preset = _preset(place.step)
    return forms.choice_from(request.args, preset.policy if preset else KEEP_ALL)


def _preset(step: Step) -> releases.Suggested | None:
    """What to preset for the step's draft; None if it has none."""
    if step.draft is None:
        return None
    return releases.suggested_policy(step.live.fields if step.live else None, step.draft.fields)


def _carry_out(operation: Operation, step_id: str) -> ResponseReturnValue:
    settings, reason = access.settings(), ReasonForm(request.form)
    choice = forms.choice_from(request.form, prefix="previewed_") if operation.of_draft else PolicyChoice(KEEP_ALL)
    if operation.of_draft and (chosen := forms.choice_beside(request.form, choice)) != choice:
        return _asked_again(operation, step_id, chosen, reason, [CHOSE_OTHERWISE], 409)
    planned = forms.plan_from(request.form, settings.drift_percent, settings.drift_people, draft=operation.of_draft)
    try:
        note = releases.reason(reason.note.data or "", required=settings.reason_required)
        with transaction() as session:
            outcome = operation.run(session, step_id, choice, note, planned)
    except AlreadyReleased as already:
        if note and note != already.release.note:
            return _receipt_page(step_id, already.release.number, unrecorded=note)
        return _to_receipt(step_id, already.release.number)
    except StalePlan as stale:
        return _asked_again(operation, step_id, choice, reason, stale.reasons, 409, planned)
    except Refused as refused:
        return _asked_again(operation, step_id, choice, reason, [str(refused)], 409)
    except Invalid as invalid:
        forms.put_problems(reason, invalid.problems)
        return _asked_again(operation, step_id, choice, reason, [], 422)
    return _to_receipt(step_id, outcome.release.number)


def _to_receipt(step_id: str, number: int) -> ResponseReturnValue:
    return redirect(url_for("releases.receipt", step_id=step_id, number=number), 303)


def _asked_again(
    operation: Operation,
    step_id: str,
    choice: PolicyChoice,
    reason: ReasonForm,
    reasons: Iterable[str],
    status: int,
    planned: Planned | None = None,
) -> ResponseReturnValue:
    """The current report, below what has moved; or only the latter if there is nothing left to release."""
    reasons = list(reasons)
    try:
        return _preview_page(operation, step_id, choice, reason, reasons, status, planned)
    except Refused as refused:
        with transaction() as session:
            place = checklist.find(session, step_id)
        return _refused_page(operation, place, list(dict.fromkeys([*reasons, str(refused)])), reason.note.data or "")


def _preview_page(
    operation: Operation,
    step_id: str,
    choice: PolicyChoice,
    reason: ReasonForm,
    reasons: Iterable[str] = (),
    status: int = 200,
    planned: Planned | None = None,
    *,
    open_report: Planned | None = None,
) -> Response:
    """The page of the dry run. Raises what the engine refuses; StalePlan if it is no longer of the `open_report`'s plan.

    `planned`: what an earlier preview predicted.
    """
    reasons = list(reasons)
    with transaction() as session:
        place = checklist.find(session, step_id)
        outcome = _dry_run(session, operation, place.step, choice, open_report)
        people = _affected(session, operation, place.step, outcome, choice)
        draft = place.step.draft if operation.of_draft else None
        names = history.who(session, [draft.edited_by] if draft else [])
    return render_step(
        place,
        "releases/preview.html",
        "releases/_people_affected.html" if _wants_people_alone() else "releases/updated.html",
        status=422 if people.broken else status,
        listed=people,
        operation=operation.path,
        kind=outcome.release.kind,
        outcome=outcome,
        report=outcome.impact.as_json(),
        predicted=plans.foretold(outcome.impact) | {"everybody": outcome.impact.everybody},
        before=outcome.before,
        after=outcome.after,
        draft=draft,
        choice=choice,
        preset=_preset(place.step),
        form=reason,
        reason_required=access.settings().reason_required,
        reasons=reasons,
        chose_otherwise=CHOSE_OTHERWISE in reasons,
        names=names,
        me=current_actor().key,
        tolerance=_tolerance(outcome),
        drift=_drift(planned, _seen(place.step, operation), outcome),
    )


def _dry_run(
    session: Session, operation: Operation, step: Step, choice: PolicyChoice, planned: Planned | None = None
) -> Outcome:
    """The operation carried out and rolled back, if it is as `planned`. Raises what the engine refuses."""
    with releases.dry_run(session):
        return operation.run(session, step.step_id, choice, "", planned or _seen(step, operation))


def _affected(
    session: Session, operation: Operation, step: Step, outcome: Outcome, choice: PolicyChoice
) -> affected_list.AffectedList:
    """The people that the address asks for, from the report's own dry run. Raises Invalid for an unknown tab."""
    path = url_for("releases.preview", step_id=step.step_id, operation=operation.path)
    query = choice.as_query() if operation.of_draft else {}
    cursor = request.args.get("cursor") or None
    return affected_list.read(session, outcome, path, query, forms.which_from(request.values), cursor)


def _wants_people_alone() -> bool:
    """Whether htmx is to swap the list of people only."""
    return request.headers.get("HX-Target", "").endswith("#people-affected")


def _seen(step: Step, operation: Operation) -> Planned:
    """Ties the dry run to what was just read, so that the page's plan and report are of the same moment."""
    draft = step.draft.row_version if operation.of_draft and step.draft else None
    return Planned(release_id=step.release_id or 0, draft_row_version=draft)


def _drift(planned: Planned | None, seen: Planned, outcome: Outcome) -> list[Drift]:
    """What has moved since the earlier preview, if only people have."""
    if planned is None or not planned.is_of(seen):
        return []
    return [one for one in plans.drift(planned, outcome.impact) if one.difference]


def _tolerance(outcome: Outcome) -> dict[str, Any]:
    settings, everybody = access.settings(), outcome.impact.everybody
    people = plans.tolerance(everybody, settings.drift_percent, settings.drift_people)
    return {"people": people, "percent": settings.drift_percent if people > settings.drift_people else None}


def _refused_page(operation: Operation, place: Place, reasons: list[str], note: str = "") -> ResponseReturnValue:
    """409: there is nothing to release, roll back, withdraw or restore; the typed reason is kept.

    On a plain visit, such as Back from a receipt, nothing was refused: the page names the newest release.
    """
    if wants_partial():
        raise Refused(" ".join(reasons))
    with transaction() as session:
        newest = next(iter(releases.of_step(session, place.step.step_id, limit=1)), None)
        names = history.who(session, [newest.released_by] if newest else [])
    return render_step(
        place,
        "releases/refused.html",
        status=409,
        operation=operation.path,
        reasons=reasons,
        note=note,
        newest=newest,
        names=names,
    )


# The people as a file ------------------------------------------------------------------------------------------------


@blueprint.get("/<operation>/people.csv")
@require(Permission.EXPORT)
def people_csv(step_id: str, operation: str) -> ResponseReturnValue:
    """Everyone whom a preview lists."""
    if operation not in OPERATIONS:
        raise NotFound("preview", operation)
    which = forms.which_from(request.args) or "all"
    return csv_file(f"{step_id}-{operation}-{which}.csv", _people(OPERATIONS[operation], step_id, which))


def _people(operation: Operation, step_id: str, which: Which) -> Rows:
    with exporting() as session:
        place = checklist.find(session, step_id)
        outcome = _dry_run(session, operation, place.step, _asked_for(operation, place))
        yield affected_list.HEADER
        yield from affected_list.rows(affected.stream(session, outcome.counted, which))


# Receipts ------------------------------------------------------------------------------------------------------------


@blueprint.get("/releases/<int:number>")
@require(Permission.VIEW)
def receipt(step_id: str, number: int) -> ResponseReturnValue:
    """What was predicted, what happened, what was checked."""
    return _receipt_page(step_id, number)


def _receipt_page(step_id: str, number: int, *, unrecorded: str = "") -> ResponseReturnValue:
    """The receipt; 409 with the reason `unrecorded` of a second confirmation, where the release had been made already."""
    with transaction() as session:
        place = checklist.find(session, step_id)
        released = releases.get(session, step_id, number)
        names = history.who(session, [released.released_by])
    return render_step(
        place,
        "releases/receipt.html",
        status=409 if unrecorded else 200,
        unrecorded=unrecorded,
        release=released,
        receipt=released.receipt,
        names=names,
    )


@blueprint.get("/releases/<int:number>/receipt.json")
@require(Permission.EXPORT)
def receipt_json(step_id: str, number: int) -> ResponseReturnValue:
    """The release with its receipt as a file, as the API returns it, with the id of its step."""
    with transaction() as session:
        released = releases.get(session, step_id, number)
    response = jsonify({"stepId": released.step_id, **released.as_json()})
    response.headers["Content-Disposition"] = f'attachment; filename="{step_id}-release-{number}.json"'
    return response
