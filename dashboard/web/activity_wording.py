"""Activity entries in words. Pure functions; templates reach them through the view."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup, escape

from dashboard.onboarding.activity import ActivityPage, Entry
from dashboard.onboarding.activity_filter import ERASED, STATUS_CHANGE, What
from dashboard.onboarding.history import Who
from dashboard.web.formats import STEP_LABELS, full_date, number
from dashboard.web.text_diff import marked
from dashboard.web.wording import ROLES, detail_of
from dashboard.words import plural

WHAT_LABELS: Mapping[What, str] = {
    "all": "Everything",
    "statuses": "Changes to people's steps",
    "releases": "Releases",
    "drafts": "Drafts and definitions",
    "people": "People",
    "imports": "Imports",
    "staff": "Accounts and sign-in",
    "tokens": "API tokens",
}

SENTENCES: Mapping[str, str] = {
    "release.publish": "Published {version}",
    "release.migrate": "Released {version}",
    "release.rollback": "Rolled back to {version}",
    "release.withdraw": "Withdrew the step",
    "release.restore": "Restored the step as {version}",
    "step.create": "Created the step",
    "steps.reorder": "Reordered the steps",
    "draft.start": "Started a draft of {subject}",
    "draft.save": "Saved the draft of {subject}",
    "draft.discard": "Discarded the draft of {subject}",
    "person.create": "Added the person",
    "person.update": "Updated the person",
    "person.erase": "Erased a person",
    "people.import": "Imported {subject}",
    "people.bulk": "Changed many people at once",
    "people.adopt": "Adopted {subject} from another database",
    "staff.created": "Created the account {subject}",
    "staff.invited": "Invited {subject}",
    "staff.invitation_renewed": "Created a new invitation link for {subject}",
    "staff.invitation_withdrawn": "Withdrew the invitation for {subject}",
    "staff.joined": "Accepted the invitation",
    "staff.renamed": "Changed the name of {subject}",
    "staff.role_changed": "Changed the role of {subject}",
    "staff.link_made": "Created a password link for {subject}",
    "staff.link_refused": "Tried a link that does not work",
    "staff.password_by_link": "Set a new password with a link",
    "staff.password_changed": "Changed their own password",
    "staff.password_refused": "Entered a wrong current password",
    "staff.password_reset": "Set a new password for {subject}",
    "staff.connected": "Connected the account to the sign-in provider",
    "staff.disconnected": "Switched {subject} from the sign-in provider to a password",
    "staff.disabled": "Disabled the account {subject}",
    "staff.enabled": "Enabled the account {subject} again",
    "staff.sessions_ended": "Ended {sessions} for {subject}",
    "sign_in.accepted": "Signed in",
    "sign_in.refused": "Was refused at sign-in",
    "sign_in.ended": "Signed out",
    "access.refused": "Was not allowed to {subject}",
    "token.created": "Created the token {subject}",
    "token.revoked": "Revoked the token {subject}",
}

SYSTEM_NAMES: Mapping[str, str] = {
    "system:command-line": "The command line",
    "system:demo": "The demo",
    "system:import": "An import",
    "system:provider": "The sign-in provider",
    "system:sign-in": "Someone unknown",
}

MEMBER_LABELS: Mapping[str, str] = STEP_LABELS | {
    "version": "Version",
    "order": "Order",
    "new": "New people",
    "known": "Existing people",
    "people": "People",
    "statuses": "Statuses",
    "steps": "Steps",
    "role": "Role",
    "name": "Name",
    "email": "Email",
    "provider": "Provider",
    "reason": "Reason",
    "address": "Address",
    "request": "Request",
    "sessions": "Open sessions",
    "scopes": "Scopes",
    "expires_at": "Expires",
}

MOMENTS = frozenset({"expires_at"})
"""The members whose values are times."""

ERASED_NAME = "An erased person"
RELEASE_NUMBER = re.compile(r"release (\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed member: its name and its values before and after, with the differing words marked."""

    label: str
    text: Markup


@dataclass(frozen=True, slots=True)
class ActivityLine:
    """An entry as the page shows it. `title` is empty where a person's step was saved: the statuses say it all.

    `by_detail`: the role or the source. `person` and `step` are names; `person_id` and `step_id` are set if they can be
    linked. `receipt` is the address of a release's receipt.
    """

    entry: Entry
    title: str
    by: str
    by_detail: str
    person: str
    person_id: str
    step: str
    step_id: str
    receipt: str
    differences: Sequence[Difference]


def tell(entry: Entry, page: ActivityPage, titles: Mapping[str, str]) -> ActivityLine:
    """One entry with the names of its page; `titles` are those of the existing steps."""
    who = page.names[entry.actor]
    user_id, step_id = entry.user_id or "", entry.step_id or ""
    return ActivityLine(
        entry,
        "" if entry.action == STATUS_CHANGE else sentence(entry),
        name_of(entry.actor, who),
        detail_of(who, entry.source),
        person_called(user_id, page.people),
        user_id if user_id in page.people else "",
        titles.get(step_id, step_id),
        step_id if step_id in titles else "",
        receipt_of(entry),
        [difference(member, entry.changes[member]) for member in sorted(entry.changes, key=_place)],
    )


def name_of(actor: str, who: Who) -> str:
    """The actor's display name; our own programs are not shown by their key."""
    return ERASED_NAME if actor.startswith(f"user:{ERASED}") else SYSTEM_NAMES.get(actor, who.name)


def person_called(user_id: str, people: Mapping[str, str]) -> str:
    """The person's name; their id if they do not exist, unless they were erased."""
    return people.get(user_id) or (ERASED_NAME if user_id.startswith(ERASED) else user_id)


def sentence(entry: Entry) -> str:
    """What was done, without the actor: Released version 2. An action without wording here is shown as it is."""
    words = SENTENCES.get(entry.action)
    if words is None:
        return f"{entry.action} {entry.subject}".strip()
    version, sessions = _pair(entry.changes.get("version"))[1], _pair(entry.changes.get("sessions"))[0]
    return words.format(
        subject=entry.subject or "nobody",
        version=f"version {version}",
        sessions=plural(sessions, "session") if isinstance(sessions, int) else "the sessions",
    )


def receipt_of(entry: Entry) -> str:
    """The address of the release's receipt; empty for anything else."""
    found = RELEASE_NUMBER.fullmatch(entry.subject) if entry.action.startswith("release.") else None
    return f"/steps/{quote(entry.step_id)}/releases/{found[1]}" if found and entry.step_id else ""


def difference(member: str, value: object) -> Difference:
    """A changed member, usually `[before, after]`: texts as one marked text, other values with an arrow."""
    label = MEMBER_LABELS.get(member, member)
    if not isinstance(value, list) or len(value) != 2:
        return Difference(label, escape(json.dumps(value, ensure_ascii=False)))
    before, after = (_text(_in_words(member, one)) for one in value)
    if not before:
        return Difference(label, escape(after or "none"))
    if not after:
        return Difference(label, Markup("<del>{}</del>").format(before))
    if " " in before + after and not isinstance(value[0], list):
        return Difference(label, marked(before, after).both)
    return Difference(label, Markup("<del>{}</del> → <ins>{}</ins>").format(before, after))


def _place(member: str) -> tuple[int, str]:
    # the database does not keep the order of an object's members
    known = list(MEMBER_LABELS)
    return (known.index(member) if member in known else len(known), member)


def _pair(value: object) -> tuple[object, object]:
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else (None, None)


def _in_words(member: str, value: object) -> object:
    if member == "role":
        return ROLES.get(str(value), value)
    return _moment(value) if member in MOMENTS else value


def _moment(value: object) -> object:
    """28 Feb 2027, 04:52 UTC; any other value unchanged."""
    try:
        moment = datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        return value
    return f"{full_date(moment)}, {moment:%H:%M} UTC"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    return number(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
