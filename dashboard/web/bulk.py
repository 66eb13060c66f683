"""Bulk changes: from the list of people to a preview, the run with its progress, and the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from dashboard.database import Session, exporting, transaction
from dashboard.onboarding import bulk_changes, history, steps
from dashboard.onboarding.bulk_changes import OUTCOMES, BulkChange, Effect, Member, MemberOutcome
from dashboard.onboarding.errors import Invalid, NotFound, Withdrawn
from dashboard.onboarding.filters import Filter
from dashboard.onboarding.history import Who
from dashboard.staff import standing
from dashboard.staff.permissions import Permission
from dashboard.web import errors, finding
from dashboard.web.access import current_actor, require
from dashboard.web.checklist import title_of
from dashboard.web.export import Rows, csv_file
from dashboard.web.finding import PeopleQuery
from dashboard.web.formats import number, status_label
from dashboard.web.rendering import render, wants_partial
from dashboard.web.wording import sentence
from dashboard.words import plural

blueprint = Blueprint("bulk", __name__, url_prefix="/bulk-changes")

PAGE = 25
LABELS = {"people": "People", "status": "The status", "comment": "The comment", "step": "The step"}


@dataclass(frozen=True, slots=True)
class BulkPage:
    """A bulk change as its page shows it: the step's title, the effect while it is a preview, a page of people.

    `withdrawn`: the step was withdrawn after the preview, so the change can't go on. `back`: the filter of the list
    that the people were chosen from, as the end of an address. `typed` and `problems`: another change that was
    refused, and why.
    """

    bulk: BulkChange
    title: str
    effect: Effect | None
    members: Sequence[Member]
    outcome: MemberOutcome | None
    previous: str | None
    following: str | None
    names: Mapping[str, Who]
    back: str
    withdrawn: bool = False
    typed: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def tabs(self) -> list[tuple[str, int | None, str, bool]]:
        """The lists of people by outcome, without the empty ones."""
        words = {
            "changed": "Changed",
            "same": "No change needed",
            "moved": "Changed in the meantime",
            "gone": "Not found",
        }
        every: list[tuple[str, int | None, str, bool]] = [
            ("All", self.bulk.people, self.address(None), self.outcome is None)
        ]
        return every + [
            (words[name], count, self.address(name), name == self.outcome)
            for name in OUTCOMES
            if (count := self.bulk.outcomes.get(name))
        ]

    @property
    def done(self) -> int:
        """The share of people dealt with, in per cent."""
        return 100 * (self.bulk.people - self.bulk.waiting) // max(1, self.bulk.people)

    def address(self, outcome: MemberOutcome | None, cursor: str | None = None) -> str:
        """This page with another list, or another page of it."""
        bulk_id, back = self.bulk.id, self.back or None
        return url_for(
            "bulk.show", bulk_id=bulk_id, outcome=outcome or "all", cursor=cursor, back=back, _anchor="members"
        )

    @property
    def total(self) -> int:
        """The number of people in the selected list, over all pages."""
        return self.bulk.outcomes.get(self.outcome, 0) if self.outcome else self.bulk.people

    @property
    def heading(self) -> str:
        """What the change will do; once it is finished, what it did."""
        status = status_label(self.bulk.status)
        if not self.bulk.finished_at:
            return f"Set “{self.title}” to {status}"
        changed = self.bulk.outcomes.get("changed", 0)
        return f"“{self.title}” was set to {status} for {plural(changed, 'person', 'people') if changed else 'no one'}"

    def step(self, deed: str) -> str:
        """The address that carries this out or prepares it again, with the way back to the list."""
        return url_for(f"bulk.{deed}", bulk_id=self.bulk.id, back=self.back or None)

    @property
    def people(self) -> str:
        """The list that the people were chosen from."""
        return f"/people?{self.back}" if self.back else "/people"


@blueprint.post("")
@require(Permission.EDIT_PEOPLE)
def create() -> ResponseReturnValue:
    """Prepares the change submitted from the list, and redirects to its preview."""
    form = request.form
    with transaction() as session:
        asked = finding.ask(
            session, {name.removeprefix("filter_"): form[name] for name in form if name.startswith("filter_")}
        )
        try:
            chosen: Filter | Sequence[str] = form.getlist("user_id")
            if form.get("everybody"):
                if asked.wanted is None:
                    return _refused(session, asked, asked.problems)
                chosen = asked.wanted
            made = bulk_changes.create(
                session, current_actor(), chosen, form.get("step", ""), form.get("status", ""), form.get("comment", "")
            )
            left_out = 0 if isinstance(chosen, Filter) else len({*chosen}) - bulk_changes.get(session, made).people
        except Invalid as invalid:
            return _refused(session, asked, invalid.problems)
        except NotFound:
            return _refused(session, asked, {"step": "is not on the checklist"})
        except Withdrawn:
            return _refused(session, asked, {"step": "was withdrawn in the meantime"})
    if left_out:
        flash(f"{plural(left_out, 'person you selected is', 'people you selected are')} no longer here.", "notice")
    # keeps the list's filter for the way back
    return redirect(url_for("bulk.show", bulk_id=made, back=asked.query or None), 303)


def _refused(session: Session, asked: PeopleQuery, problems: Mapping[str, str]) -> ResponseReturnValue:
    """The same form again, with the errors and everything that was chosen and typed."""
    kept = MultiDict((name, value) for name, value in request.form.items(multi=True) if _is_kept(name))
    live = [(one.step_id, title_of(one)) for one in steps.checklist(session) if one.live]
    return render(
        "bulk/refused.html",
        status=422,
        asked=asked,
        kept=list(kept.items(multi=True)),
        people=len(set(request.form.getlist("user_id"))),
        live=live,
        form=request.form,
        problems=_sentences(problems),
        draft_count=asked.drafts,
    )


def _sentences(problems: Mapping[str, str]) -> dict[str, str]:
    labels = finding.LABELS | LABELS
    return {name: sentence(labels.get(name, name), reason) for name, reason in problems.items()}


def _is_kept(name: str) -> bool:
    return name in ("user_id", "everybody") or name.startswith("filter_")


@blueprint.get("/<int:bulk_id>")
@require(Permission.EDIT_PEOPLE)
def show(bulk_id: int) -> ResponseReturnValue:
    """The preview; during the run, the progress; afterwards, the outcome."""
    return render("bulk/show.html", shown=_load(bulk_id))


@blueprint.post("/<int:bulk_id>/run")
@require(Permission.EDIT_PEOPLE)
def carry_on(bulk_id: int) -> ResponseReturnValue:
    """Carries out the next batch for htmx, which then asks for the one after; without htmx, all batches."""
    try:
        with transaction() as session:
            bulk = bulk_changes.carry_on(session, current_actor(), bulk_id)
        if not wants_partial():
            _carry_out_the_rest(bulk)
    except Withdrawn:
        return render("bulk/show.html", "bulk/answer.html", status=410, shown=_load(bulk_id, withdrawn=True))
    if wants_partial():
        return render("bulk/show.html", "bulk/answer.html", shown=_load(bulk_id))
    return redirect(url_for("bulk.show", bulk_id=bulk_id, back=_back() or None), 303)


def _carry_out_the_rest(bulk: BulkChange) -> None:
    """Carries out all remaining batches. If one fails, those before it stay, and the page says so. Raises Withdrawn."""
    try:
        while not bulk.finished_at:
            with transaction() as session:
                standing.must_still(session, current_actor(), Permission.EDIT_PEOPLE)
                bulk = bulk_changes.carry_on(session, current_actor(), bulk.id)
    except Withdrawn:
        raise
    except Exception as error:
        why = errors.dealt_with(error).title
        done, everybody = bulk.people - bulk.waiting, plural(bulk.people, "person", "people")
        flash(f"This stopped after {number(done)} of {everybody}. {why}. Changes made so far stay.", "notice")


@blueprint.post("/<int:bulk_id>/again")
@require(Permission.EDIT_PEOPLE)
def again(bulk_id: int) -> ResponseReturnValue:
    """Prepares the same change for the people whose step had moved: their current state is previewed first."""
    with transaction() as session:
        made = bulk_changes.again(session, current_actor(), bulk_id)
    return redirect(url_for("bulk.show", bulk_id=made, back=_back() or None), 303)


@blueprint.post("/<int:bulk_id>/instead")
@require(Permission.EDIT_PEOPLE)
def instead(bulk_id: int) -> ResponseReturnValue:
    """Prepares another status or comment for the same people, without choosing them again."""
    status, comment = request.form.get("status", ""), request.form.get("comment", "")
    try:
        with transaction() as session:
            made = bulk_changes.instead(session, current_actor(), bulk_id, status, comment)
    except Invalid as invalid:
        typed = {"status": status, "comment": comment}
        shown = replace(_load(bulk_id), typed=typed, problems=_sentences(invalid.problems))
        return render("bulk/show.html", status=422, shown=shown)
    return redirect(url_for("bulk.show", bulk_id=made, back=_back() or None), 303)


@blueprint.get("/<int:bulk_id>/people.csv")
@require(Permission.EDIT_PEOPLE)
def people_csv(bulk_id: int) -> ResponseReturnValue:
    """Everyone in the change with their outcome, as a file."""
    return csv_file(f"bulk-change-{bulk_id}.csv", _rows(bulk_id))


def _rows(bulk_id: int) -> Rows:
    with exporting() as session:
        bulk_changes.get(session, bulk_id)
        yield ("user_id", "name", "email", "previewed", "now", "outcome")
        for one in _everybody(session, bulk_id):
            yield (one.user_id, one.name, one.email, one.from_status or "", one.status or "", one.outcome or "")


def _everybody(session: Session, bulk_id: int) -> Iterator[Member]:
    cursor: str | None = None
    while True:
        found, _, cursor = bulk_changes.members(session, bulk_id, cursor=cursor, limit=1000)
        yield from found
        if cursor is None:
            return


def _back() -> str:
    """The filter of the list that the people were chosen from, as in the address."""
    return request.args.get("back", "")


def _load(bulk_id: int, *, withdrawn: bool = False) -> BulkPage:
    asked = request.args.get("outcome")
    cursor = request.args.get("cursor") or None
    with transaction() as session:
        bulk = bulk_changes.get(session, bulk_id)
        # those that moved need a look; the rest went as requested
        default: MemberOutcome | None = "moved" if bulk.finished_at and bulk.outcomes.get("moved") else None
        outcome = next((name for name in OUTCOMES if name == asked), None if "outcome" in request.args else default)
        members, previous, following = bulk_changes.members(session, bulk_id, outcome, cursor=cursor, limit=PAGE)
        names = history.who(session, {bulk.created_by, *(one.updated_by for one in members if one.updated_by)})
        return BulkPage(
            bulk=bulk,
            title=title_of(steps.get(session, bulk.step_id)),
            effect=None if bulk.started_at else bulk_changes.effect(session, bulk),
            members=members,
            outcome=outcome,
            previous=previous,
            following=following,
            names=names,
            back=_back(),
            withdrawn=withdrawn,
        )
