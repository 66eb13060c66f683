"""Steps and what they say: the checklist and its order, definitions, and comparing two of them. Drafts are in drafts.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import Row, Select, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, aliased

from dashboard import locks, models
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound, StalePlan, Withdrawn
from dashboard.onboarding.history import record
from dashboard.onboarding.limits import MAX_INTEGER, check_key, is_whole, text_problem
from dashboard.onboarding.visible import line_problem

MEMBERS = ("title", "description", "weight", "action_url")
IN_JSON = {"title": "title", "description": "description", "weight": "weight", "action_url": "actionUrl"}
"""What each is called in JSON."""
STEP_ID = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
# else letters of other alphabets count as some of these, for instance the sign of the kelvin
WITH_CAPITALS = re.compile(STEP_ID.pattern, re.ASCII | re.IGNORECASE)
STEP_ID_FORM = "1 to 64 lowercase letters, digits and single hyphens or underscores, like set-up-payments"
RESERVED = {"new": "is reserved for the page that creates a step: choose another"}
"""Ids that no step may have, and why."""

# Made once: an alias copies every column of its table.
CURRENT, PAST = aliased(models.Release), aliased(models.Release)


@dataclass(frozen=True, slots=True)
class Fields:
    """What a step says. `weight` is in points; `action_url` is where it opens: a path, an http(s) URL or empty."""

    title: str
    description: str = ""
    weight: int = 10
    action_url: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a step, or its one draft; `row_version` is what a save of the draft is checked against."""

    step_id: str
    version: int
    fields: Fields
    state: Literal["draft", "released"]
    is_active: bool
    based_on: int | None
    row_version: int
    edited_at: datetime
    edited_by: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the checklist. `live` is what people see now: None before the first release and while withdrawn.

    `latest` is what it says, or said last; `release_id` and `release_number` are those of the current release.
    """

    step_id: str
    position: int
    live: Definition | None
    draft: Definition | None
    latest: Definition
    release_id: int | None
    release_number: int | None

    @property
    def withdrawn(self) -> bool:
        """Whether it was released, and is not live now."""
        return self.live is None and self.release_id is not None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One member that differs between two definitions; `before` is None where there was no definition."""

    member: str
    before: str | int | None
    after: str | int | None


def is_step_id(text: str, *, capitals: bool = False) -> bool:
    """Whether it has the form of a step's id; `capitals` are allowed in one that comes from the original's database."""
    return len(text) <= 64 and (WITH_CAPITALS if capitals else STEP_ID).fullmatch(text) is not None


def check(fields: Mapping[str, Any]) -> Fields:
    """Fields from loose input. Raises Invalid naming each member that breaks a rule and why."""
    problems = {member: "is not a member of a step" for member in fields if member not in MEMBERS}
    title = _text(fields, "title", 200, problems).strip()
    description = _text(fields, "description", 5000, problems).strip()
    action_url = _text(fields, "action_url", 2000, problems).strip()
    weight = fields.get("weight", 10)
    if "title" not in problems and (reason := _title_problem(title)):
        problems["title"] = reason
    if not is_whole(weight, 1, 1000):
        problems["weight"] = "must be a whole number from 1 to 1,000"
    if action_url and "action_url" not in problems and (reason := _address_problem(action_url)):
        problems["action_url"] = reason
    if problems:
        raise Invalid(problems)
    return Fields(title, description, weight, action_url)


def _title_problem(title: str) -> str | None:
    if not title:
        return "is required"
    return line_problem(title)


def _text(fields: Mapping[str, Any], member: str, most: int, problems: dict[str, str]) -> str:
    value = fields.get(member)
    if value is None:
        return ""
    if reason := text_problem(value, most):
        problems[member] = reason
        return ""
    return str(value).replace("\r\n", "\n")


NOT_OPENED = "must be an http or https address, or a path that starts with /"


def _address_problem(url: str) -> str | None:
    """Why a step does not open that; None where it does."""
    if any(character.isspace() for character in url):
        return "must not contain spaces"
    if "\\" in url or not url.isprintable():
        return "must not contain a backslash or an invisible character"
    if url.startswith("//"):
        return "must start with one slash, not two, or be an http or https address"
    try:
        parts = urlsplit(url)
    except ValueError:
        return NOT_OPENED
    if not parts.scheme:
        return None if url.startswith("/") else NOT_OPENED
    return _host_problem(parts) if parts.scheme in ("http", "https") else NOT_OPENED


def _host_problem(parts: SplitResult) -> str | None:
    if not parts.hostname:
        return NOT_OPENED
    try:
        port = parts.port
    except ValueError:
        port = 0
    return "must have a port from 1 to 65,535" if port == 0 else None


def lock(session: Session, step_id: str | None = None, *, for_delete: bool = False) -> None:
    """Whoever else releases the step (None: any), orders it, or starts or discards its draft waits.

    Read the step after this: a statement that waited for a lock still returns what was so before the wait. NO KEY UPDATE,
    because it does not wait for, or hold up, a save of somebody's status, but for a step that is deleted; all in one
    order, so that nobody deadlocks.
    A step that is not there locks nothing; raises NotFound where the id can't be one.
    """
    s = models.Step
    locked = select(s.step_id).order_by(s.step_id).with_for_update(key_share=not for_delete)
    if step_id is not None:
        check_key("step", step_id)
        locked = locked.where(s.step_id == step_id)
    session.execute(locked)


def _definitions(step_id: str) -> Select[Any]:
    return select(models.Definition).where(models.Definition.step_id == step_id)


def definition_from(row: models.Definition | Row[Any]) -> Definition:
    """A Definition from a row that has the columns of onboarding_step_definitions."""
    fields = Fields(row.title, row.description, row.weight, row.action_url)
    state: Literal["draft", "released"] = "draft" if row.state == "draft" else "released"
    return Definition(
        row.step_id,
        row.version,
        fields,
        state,
        row.is_active,
        row.based_on,
        row.row_version,
        row.edited_at,
        row.edited_by,
    )


def total_of(checklist: Iterable[Step]) -> int:
    """The total points of all live steps."""
    return sum(step.live.fields.weight for step in checklist if step.live)


def checklist(session: Session) -> list[Step]:
    """All steps in checklist order, those without a release and the withdrawn ones too. One query."""
    return _steps(session, None)


# asked by every page
DRAFTS = text("SELECT count(*) FROM onboarding_step_definitions WHERE state = 'draft'")


def drafts_waiting(session: Session) -> int:
    """How many steps have a draft. One query, of the few rows of drafts."""
    return int(session.execute(DRAFTS).scalar_one())


def get(session: Session, step_id: str) -> Step:
    """One step. Raises NotFound."""
    check_key("step", step_id)
    for step in _steps(session, step_id):
        return step
    raise NotFound("step", step_id)


def get_live(session: Session, step_id: str) -> Step:
    """One step that people have. Raises NotFound, also for one that was never released, and Withdrawn."""
    step = get(session, step_id)
    if step.release_id is None:
        raise NotFound("step", step_id)
    if step.withdrawn:
        raise Withdrawn(step_id)
    return step


def _checklist() -> Select[Any]:
    d, s, r, past = models.Definition, models.Step, CURRENT, PAST
    # Of each step only two definitions matter here, however many versions it has had: the live or last one, the draft.
    newest = (
        select(past.version)
        .where(past.step_id == s.step_id, past.version.is_not(None))
        .order_by(past.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(s.position, s.current_release_id, r.number, d.__table__)
        .join(d, d.step_id == s.step_id)
        .outerjoin(r, r.id == s.current_release_id)
        .where((d.state == "draft") | (d.version == newest))
        .order_by(s.position, s.step_id, d.version)
    )


# asked by most pages, and so put together once
WHOLE_CHECKLIST = _checklist()


def _steps(session: Session, step_id: str | None) -> list[Step]:
    rows = WHOLE_CHECKLIST if step_id is None else WHOLE_CHECKLIST.where(models.Step.step_id == step_id)
    grouped: dict[str, list[Row[Any]]] = {}
    for row in session.execute(rows):
        grouped.setdefault(row.step_id, []).append(row)
    return [_step(of_step) for of_step in grouped.values()]


def _step(rows: list[Row[Any]]) -> Step:
    definitions = [definition_from(row) for row in rows]
    live = next((one for one in definitions if one.is_active), None)
    draft = next((one for one in definitions if one.state == "draft"), None)
    latest = next((one for one in definitions if one.state == "released"), definitions[0])
    first = rows[0]
    return Step(first.step_id, first.position, live, draft, latest, first.current_release_id, first.number)


def versions(
    session: Session, step_id: str, *, before: int | None = None, limit: int | None = None
) -> list[Definition]:
    """Every version of the step, the draft too, newest first; or up to `limit` of those before one. Raises NotFound."""
    check_key("step", step_id)
    d = models.Definition
    query = _definitions(step_id).order_by(d.version.desc()).limit(limit)
    if before is not None:
        query = query.where(d.version < before)
    found = [definition_from(row) for row in session.scalars(query)]
    if not found:
        get(session, step_id)
    return found


def version(session: Session, step_id: str, number: int) -> Definition:
    """One version of the step. Raises NotFound."""
    check_key("step", step_id)
    row = None
    if 0 < number <= MAX_INTEGER:
        row = session.scalar(_definitions(step_id).where(models.Definition.version == number))
    if row is None:
        raise NotFound("version", f"{step_id} {number}")
    return definition_from(row)


def compare(before: Fields | None, after: Fields) -> list[FieldChange]:
    """The members that differ, in the order of the form."""
    old = asdict(before) if before else dict.fromkeys(MEMBERS)
    new = asdict(after)
    return [FieldChange(member, old[member], new[member]) for member in MEMBERS if old[member] != new[member]]


def lock_list(session: Session) -> None:
    """Whoever else makes a step waits. Before `lock` of all, for that does not see a step that is made while it waits."""
    session.execute(select(func.pg_advisory_xact_lock(locks.NEW_STEP)))


def add(session: Session, step_id: str) -> bool:
    """Make the row of a step, at the end of the checklist; False: there is one of this id.

    Of two at once the second waits until the first one's transaction ends, for both would have the same place.
    """
    s = models.Step
    lock_list(session)
    last = session.scalar(select(func.max(s.position)))
    made = (
        upsert(s).values(step_id=step_id, position=(last or 0) + 1).on_conflict_do_nothing(index_elements=[s.step_id])
    )
    return session.scalar(made.returning(s.step_id)) is not None


PLACES = text("""
UPDATE steps s SET position = o.place
  FROM unnest(CAST(:order AS text[])) WITH ORDINALITY AS o (step_id, place) WHERE o.step_id = s.step_id
""")


def reorder(session: Session, actor: Actor, order: Sequence[str], seen: Sequence[str]) -> None:
    """Put the checklist in this order; `seen` is the one that the caller saw. Progress is not touched.

    Raises StalePlan when the order is another by now, Invalid when `order` does not name each step once.
    """
    s = models.Step
    lock(session)
    current = list(session.scalars(select(s.step_id).order_by(s.position, s.step_id)))
    if list(seen) != current:
        raise StalePlan(["The steps or their order changed since you opened this page."])
    if sorted(order) != sorted(current):
        raise Invalid({"order": "must name each step exactly once"})
    if list(order) == current:
        return
    session.execute(PLACES, {"order": list(order)})
    record(session, actor, "steps.reorder", changes={"order": [current, list(order)]})


def move(session: Session, actor: Actor, step_id: str, by: int, seen: Sequence[str]) -> None:
    """Move one step `by` places down (negative: up), as far as there are places. Raises as reorder does, NotFound."""
    if step_id not in seen:
        raise NotFound("step", step_id)
    order = [one for one in seen if one != step_id]
    order.insert(max(0, list(seen).index(step_id) + by), step_id)
    reorder(session, actor, order, seen)
