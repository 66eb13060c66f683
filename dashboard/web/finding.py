"""The list of people, as a page and as a file, with a search and filters that are all in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from dashboard.database import Session, exporting, transaction
from dashboard.onboarding import filters, finding, steps
from dashboard.onboarding.carryover import STATUSES
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.filters import Filter
from dashboard.onboarding.finding import Count, Page
from dashboard.staff.permissions import Permission
from dashboard.web.access import require
from dashboard.web.checklist import title_of
from dashboard.web.export import Rows, csv_file
from dashboard.web.formats import number, percent, status_label
from dashboard.web.rendering import has_empty_fields, render
from dashboard.web.wording import sentence
from dashboard.words import plural

blueprint = Blueprint("finding", __name__)

PAGE = 25
NOBODY = Page([], None, None, Count(0, exact=True))
HEADER = (
    *("user_id", "name", "email", "joined_at", "progress", "finished", "finished_at", "last_activity_at"),
    *("next_step", "step", "status"),
)
LABELS = {
    "q": "The search",
    "step": "The step",
    "status": "The status",
    "finished": "The filter Finished",
    "progress": "The progress",
    "joined_from": "The first day",
    "joined_to": "The last day",
    "idle": "The days without activity",
    "sort": "The sort order",
}
SORTED = {
    "name": "Name",
    "active": "Last active first",
    "inactive": "Longest inactive first",
    "furthest": "Most progress first",
    "least": "Least progress first",
    "newest": "Newest first",
    "oldest": "Oldest first",
}
BANDS = ("0", "1-24", "25-49", "50-74", "75-99", "100")
IDLE = ("7", "14", "30", "60", "90")
Options = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """The query by member, with the titles of the steps that people have; `wanted` is None if the query is invalid.

    `live` are the steps now on the checklist. `waiting` is a status that was chosen before its step: until a step is
    chosen, it filters nobody out.
    """

    said: Mapping[str, str]
    titles: Mapping[str, str]
    live: frozenset[str]
    wanted: Filter | None
    problems: Mapping[str, str]
    drafts: int = 0
    waiting: str = ""

    @property
    def sentences(self) -> list[str]:
        """Why there is no list."""
        return [sentence(LABELS.get(name, f"“{name}”"), reason) for name, reason in self.problems.items()]

    def value(self, name: str) -> str:
        """What was typed or chosen, valid or not."""
        return self.waiting if name == "status" and self.waiting else self.said.get(name, "")

    @property
    def needs_step(self) -> list[str]:
        """The message at the step's field."""
        return ["Choose a step too"] if self.waiting else []

    def marks(self, name: str) -> dict[str, str]:
        """The attributes that mark a wrong field."""
        return {"aria-invalid": "true", "aria-describedby": "people-problem"} if name in self.problems else {}

    @property
    def chips(self) -> list[tuple[str, str]]:
        """Each filter in words, with the address of the list without it."""
        found: list[tuple[str, str]] = []
        said, step = self.said, self.titles.get(self.said.get("step", ""), "")
        if "q" in said:
            found.append((f"Matches “{said['q']}”", self.address(q=None)))
        if "status" in said:
            found.append((f"{step} is {status_label(said['status'])}", self.address(step=None, status=None)))
        elif "step" in said:
            found.append((f"Shows {step}", self.address(step=None)))
        if "finished" in said:
            found.append(("Finished" if said["finished"] == "yes" else "Not finished", self.address(finished=None)))
        if "progress" in said:
            found.append((f"Progress {band_label(said['progress'])}", self.address(progress=None)))
        for name, words in (("joined_from", "Joined from"), ("joined_to", "Joined until")):
            if name in said:
                found.append((f"{words} {said[name]}", self.address(**{name: None})))
        if "idle" in said:
            found.append((f"No activity for {plural(int(said['idle']), 'day')}", self.address(idle=None)))
        return found

    @property
    def narrowed(self) -> int:
        """The number of filters besides the search; 0 if the list cannot be shown."""
        return 0 if self.problems else len(self.chips) - ("q" in self.said)

    @property
    def steps(self) -> Options:
        """The choices of step."""
        return [("", "Any"), *self.titles.items()]

    @property
    def bands(self) -> Options:
        """The choices of progress, plus one that can only come from the address."""
        said = self.said.get("progress", "")
        more = [said] if said and said not in BANDS and "progress" not in self.problems else []
        return [("", "Any"), *((band, band_label(band)) for band in (*BANDS, *more))]

    @property
    def idle(self) -> Options:
        """The choices of time without activity."""
        said = self.said.get("idle", "")
        more = [said] if said and said not in IDLE and "idle" not in self.problems else []
        return [("", "Any time"), *((days, plural(int(days), "day")) for days in (*IDLE, *more))]

    @property
    def by(self) -> str:
        """The sort order, to follow a number of people."""
        wanted = self.wanted or Filter()
        if wanted.sort != "name":
            return SORTED[wanted.sort].lower()
        return "names that begin with it first" if wanted.q else "by name"

    @property
    def query(self) -> str:
        """The filter as a query string; empty if it filters nobody out."""
        return urlencode(self.said)

    def address(self, **changes: str | None) -> str:
        """The list with other parameters."""
        said = {name: value for name, value in {**self.said, **changes}.items() if value}
        return f"/people?{urlencode(said)}" if said else "/people"


def band_label(band: str) -> str:
    """1-24 -> 1 to 24 %."""
    least, _, most = band.partition("-")
    return f"{least} to {percent(int(most))}" if most else percent(int(least))


def how_many(count: Count) -> str:
    """232, or about 277,000 if the count is an estimate."""
    return number(count.people) if count.exact else f"about {number(round(count.people, 2 - len(str(count.people))))}"


def ask(session: Session, values: Mapping[str, str]) -> PeopleQuery:
    """The query in the values of an address or a form."""
    said = {
        name: value.strip() for name, value in values.items() if value.strip() and (name, value) != ("sort", "name")
    }
    checklist = steps.checklist(session)
    titles = {one.step_id: title_of(one) for one in checklist if one.release_id}
    live = frozenset(one.step_id for one in checklist if one.live)
    wanted, problems = None, dict[str, str]()
    try:
        wanted = filters.read(session, said)
    except Invalid as invalid:
        problems = invalid.problems
    return PeopleQuery(said, titles, live, wanted, problems, drafts=sum(1 for one in checklist if one.draft))


def _ask_page(session: Session) -> PeopleQuery:
    """The query in the page's address; a status that waits for its step is kept, but filters nobody out."""
    said = _typed()
    is_waiting = said.get("status", "").strip() in STATUSES and not said.get("step", "").strip()
    return (
        replace(ask(session, said | {"status": ""}), waiting=said["status"].strip())
        if is_waiting
        else ask(session, said)
    )


def _typed() -> dict[str, str]:
    return {name: value for name, value in request.args.items() if name != "cursor"}


@blueprint.get("/people")
@require(Permission.VIEW)
def index() -> ResponseReturnValue:
    """The list; htmx gets it without the page around it. An invalid query is reported in place of the list."""
    cursor = request.args.get("cursor") or None
    found, broken = NOBODY, False
    with transaction() as session:
        asked = _ask_page(session)
        here = asked.address(status=asked.value("status"))
        if has_empty_fields():
            return redirect(here, 303)
        if asked.wanted:
            try:
                found = finding.page(session, asked.wanted, cursor=cursor, limit=PAGE)
            except Invalid:
                broken = True
    return render(
        "people/index.html",
        "people/found.html",
        status=422 if asked.problems or asked.waiting or broken else 200,
        push=None if cursor else here,
        asked=asked,
        found=found,
        how_many=how_many(found.count),
        cursor=cursor,
        broken=broken,
        sorts=list(SORTED.items()),
        draft_count=asked.drafts,
    )


@blueprint.get("/people.csv")
@require(Permission.EXPORT)
def people_csv() -> ResponseReturnValue:
    """Everyone who matches, as a file."""
    return csv_file("people.csv", _rows(_typed()))


def _rows(said: Mapping[str, str]) -> Rows:
    with exporting() as session:
        asked = ask(session, said)
        if asked.wanted is None:
            raise Invalid({"filters": " ".join(asked.sentences)})
        yield HEADER
        for one in finding.stream(session, asked.wanted):
            person = one.person
            yield (
                person.user_id,
                person.name,
                person.email,
                person.created_at.isoformat(),
                person.progress,
                "yes" if person.finished else "no",
                person.finished_at.isoformat() if person.finished_at else "",
                person.last_activity_at.isoformat() if person.last_activity_at else "",
                person.next_step or "",
                asked.wanted.step_id or "",
                one.status or "",
            )
