"""What the activity can be filtered by: who, what, which step, which person, when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, cast, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard import models
from dashboard.onboarding import steps
from dashboard.onboarding.actor import PEOPLE
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.filters import day_from
from dashboard.onboarding.history import Who
from dashboard.onboarding.limits import MAX_KEY, text_problem

What = Literal["all", "statuses", "releases", "drafts", "people", "imports", "staff", "tokens"]
WHAT: tuple[What, ...] = get_args(What)

STATUS_CHANGE = "status.change"
"""The action of an entry that is not from the audit log: a person's step was written."""

ACTIONS: Mapping[What, tuple[str, ...]] = {
    "statuses": (STATUS_CHANGE,),
    "releases": ("release.publish", "release.migrate", "release.rollback", "release.withdraw", "release.restore"),
    "drafts": ("step.create", "steps.reorder", "draft.start", "draft.save", "draft.discard"),
    "people": ("person.create", "person.update", "person.erase", "people.bulk"),
    "imports": ("people.import", "people.adopt"),
    "staff": (
        *("staff.created", "staff.invited", "staff.invitation_renewed", "staff.invitation_withdrawn", "staff.joined"),
        *("staff.renamed", "staff.role_changed", "staff.disabled", "staff.enabled", "staff.sessions_ended"),
        *("staff.link_made", "staff.link_refused", "staff.password_by_link", "staff.password_changed"),
        *("staff.password_refused", "staff.password_reset", "staff.connected", "staff.disconnected"),
        *("sign_in.accepted", "sign_in.refused", "sign_in.ended", "access.refused"),
    ),
    "tokens": ("token.created", "token.revoked"),
}

SYSTEM = "system"
SYSTEM_ACTORS = ("system:command-line", "system:demo", "system:import", "system:provider", "system:sign-in")

ERASED = "erased-"
"""What the id of a person who was erased begins with, where they are still named."""

ACTIVITY_FILTERS = ("who", "what", "step", "person", "from", "to")


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which entries. `since` and `until` are days in UTC, both included; None and the empty text: it does not matter.

    `who` is the key of staff or a token, PEOPLE (whoever goes through the checklist) or SYSTEM (whatever happened without a
    person).
    """

    who: str = ""
    what: What = "all"
    step_id: str = ""
    user_id: str = ""
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What a filter can name: actors by key (staff, then API tokens), and the titles of the steps by id."""

    actors: Mapping[str, Who]
    steps: Mapping[str, str]


def choices(session: Session) -> Choices:
    """Everybody and everything that a filter can name. Three queries of small tables."""
    a, t = models.StaffAccount, models.ApiToken
    actors = {
        f"staff:{email}": Who(name, role)
        for email, name, role in session.execute(select(a.email, a.name, a.role).order_by(a.name, a.email))
    }
    actors |= {f"token:{name}": Who(name, "API") for name in session.scalars(select(t.name).order_by(t.name))}
    titles = {step.step_id: step.latest.fields.title for step in steps.checklist(session)}
    return Choices(actors, titles)


def read(session: Session, values: Mapping[str, str], known: Choices) -> ActivityFilter:
    """The filter that `values` spell, by the names in ACTIVITY_FILTERS; an empty value does not matter, nor any other name.

    Raises Invalid naming each that is wrong: it has to be one of the choices `known`, or a person or a day that there is.
    """
    given = {name: values.get(name, "").strip() for name in ACTIVITY_FILTERS}
    problems: dict[str, str] = {}
    if given["who"] and given["who"] not in {*known.actors, PEOPLE, SYSTEM}:
        problems["who"] = "is not known here"
    if given["what"] not in ("", *WHAT):
        problems["what"] = "is not on the list"
    if given["step"] and given["step"] not in known.steps:
        problems["step"] = "is not on the checklist"
    if given["person"] and (reason := _person_problem(session, given["person"])):
        problems["person"] = reason
    since, until = (day_from(given[name]) for name in ("from", "to"))
    for name, day in (("from", since), ("to", until)):
        if given[name] and day is None:
            problems[name] = "must be a valid date, such as 2026-11-24"
    if since and until and until < since:
        problems["to"] = "is before the first day"
    if problems:
        raise Invalid(problems)
    what = cast(What, given["what"] or "all")
    return ActivityFilter(given["who"], what, given["step"], given["person"], since, until)


def _person_problem(session: Session, user_id: str) -> str | None:
    if reason := text_problem(user_id, MAX_KEY):
        return reason
    u = models.User
    return None if session.scalar(select(u.user_id).where(u.user_id == user_id)) else "is not known here"
