"""Activity: who did what, filtered, in pages and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboard.database import exporting, transaction
from dashboard.onboarding import activity, activity_filter
from dashboard.onboarding.activity import ActivityPage, Entry
from dashboard.onboarding.activity_filter import ACTIVITY_FILTERS, SYSTEM, WHAT, Choices
from dashboard.onboarding.actor import PEOPLE
from dashboard.onboarding.errors import Invalid
from dashboard.staff.permissions import Permission
from dashboard.web import activity_wording
from dashboard.web.access import require
from dashboard.web.activity_wording import WHAT_LABELS, ActivityLine
from dashboard.web.export import Row, Rows, csv_file
from dashboard.web.formats import full_date
from dashboard.web.rendering import has_empty_fields, render
from dashboard.web.wording import detail_of, sentence

blueprint = Blueprint("activity", __name__)

PAGE = 50
NOTHING = ActivityPage()
HEADER = (
    *("at", "actor", "action", "step_id", "user_id", "from", "to", "row_version", "subject", "changes", "comment"),
    "source",
)
WHO_LABELS = {PEOPLE: "People themselves", SYSTEM: "The system"}
LABELS = {
    "who": "This account or token",
    "what": "This kind of activity",
    "step": "This step",
    "person": "This id",
    "from": "The first day",
    "to": "The last day",
}


@dataclass(frozen=True, slots=True)
class ActivityQuery:
    """The query of the address as typed, and the names that its filters offer."""

    typed: Mapping[str, str]
    known: Choices

    @property
    def is_everything(self) -> bool:
        """Whether no filter is set."""
        return not any(self.query().values())

    def query(self, without: str = "") -> dict[str, str]:
        """The equivalent query parameters, except the one named `without`."""
        wanted = {name: value for name, value in self.typed.items() if value and name != without}
        return {name: value for name, value in wanted.items() if (name, value) != ("what", "all")}

    def address(self, cursor: str | None = None, without: str = "") -> str:
        """The page with this filter, at the page of results that `cursor` names."""
        return _address("activity.index", self.query(without) | ({"cursor": cursor} if cursor else {}))

    @property
    def file(self) -> str:
        """The address of the whole list as CSV."""
        return _address("activity.as_csv", self.query())

    def chosen(self, name: str) -> str:
        """The selected value of the select `name`."""
        return self.query().get(name, "")

    def options(self, name: str) -> list[tuple[str, str]]:
        """The choices of the select `name`, plus the value in the address if it is none of them."""
        match name:
            case "who":
                offered = [("", "Anyone"), *WHO_LABELS.items(), *self._actors()]
            case "what":
                offered = [("" if what == "all" else what, WHAT_LABELS[what]) for what in WHAT]
            case _:
                offered = [("", "Any step"), *self.known.steps.items()]
        typed = self.chosen(name)
        return offered if typed in dict(offered) else [*offered, (typed, typed)]

    def _actors(self) -> list[tuple[str, str]]:
        return [(key, f"{who.name}, {detail_of(who)}") for key, who in self.known.actors.items()]

    def chips(self, people: Mapping[str, str]) -> list[tuple[str, str]]:
        """Each part of the filter in words, with the address without it."""
        return [(self._chip(name, value, people), self.address(without=name)) for name, value in self.query().items()]

    def _chip(self, name: str, value: str, people: Mapping[str, str]) -> str:
        match name:
            case "who":
                return f"By {WHO_LABELS[value].lower() if value in WHO_LABELS else self.known.actors[value].name}"
            case "what" | "step":
                return dict(self.options(name))[value]
            case "person":
                return activity_wording.person_called(value, people)
        return f"{'From' if name == 'from' else 'Until'} {full_date(date.fromisoformat(value))}"


def _address(endpoint: str, query: Mapping[str, str]) -> str:
    return url_for(endpoint) + (f"?{urlencode(query)}" if query else "")


@blueprint.get("/activity")
@require(Permission.VIEW)
def index() -> ResponseReturnValue:
    """One page of the activity; htmx gets it without the shell. An invalid filter is reported at its field."""
    typed, cursor = _typed(), request.args.get("cursor") or None
    found, problems = NOTHING, dict[str, str]()
    with transaction() as session:
        known = activity_filter.choices(session)
        asked = ActivityQuery(typed, known)
        if has_empty_fields():
            return redirect(asked.address(cursor), 303)
        try:
            found = activity.page(session, activity_filter.read(session, typed, known), cursor, PAGE)
        except Invalid as invalid:
            problems = _messages(invalid)
    return render(
        "activity/index.html",
        "activity/_activity.html",
        status=422 if problems else 200,
        push=None if cursor else asked.address(),
        asked=asked,
        cursor=cursor,
        found=found,
        lines=_in_words(found, known),
        chips=[] if problems else asked.chips(found.people),
        problems=problems,
    )


def _typed() -> dict[str, str]:
    return {name: request.args.get(name, "").strip() for name in ACTIVITY_FILTERS}


def _messages(invalid: Invalid) -> dict[str, str]:
    """The error message for each field."""
    return {name: sentence(LABELS.get(name, "The address"), reason) for name, reason in invalid.problems.items()}


def _in_words(page: ActivityPage, known: Choices) -> list[ActivityLine]:
    return [activity_wording.tell(entry, page, known.steps) for entry in page.entries]


@blueprint.get("/activity.csv")
@require(Permission.EXPORT)
def as_csv() -> ResponseReturnValue:
    """Everything that matches the page's filter."""
    return csv_file("activity.csv", _lines(_typed()))


def _lines(typed: Mapping[str, str]) -> Rows:
    with exporting() as session:
        try:
            asked = activity_filter.read(session, typed, activity_filter.choices(session))
        except Invalid as invalid:
            raise Invalid(_messages(invalid)) from None
        yield HEADER
        yield from map(_line, activity.stream(session, asked))


def _line(entry: Entry) -> Row:
    return (
        entry.at.isoformat(),
        entry.actor,
        entry.action,
        entry.step_id or "",
        entry.user_id or "",
        entry.from_status or "",
        entry.to_status or "",
        entry.row_version or "",
        entry.subject,
        json.dumps(entry.changes, ensure_ascii=False) if entry.changes else "",
        entry.comment,
        entry.source,
    )
