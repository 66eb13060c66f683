"""Releases and changes of a person's step, in words. Pure functions; templates reach them through the views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from dashboard.onboarding.carryover import Kind, Release
from dashboard.onboarding.history import Change, Who
from dashboard.staff.permissions import Role
from dashboard.web.formats import apart
from dashboard.words import plural

ICONS: Mapping[Kind, str] = {"publish": "plus", "migrate": "up", "rollback": "back", "withdraw": "x", "restore": "back"}
WAYS = {"api": "API", "bulk": "in bulk", "import": "import"}
ROLES: Mapping[str, str] = {role.value: role.title for role in Role}
NOTHING_CHANGED = "Nothing was changed, so nothing was saved."
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


class Deed(NamedTuple):
    """What a kind of release is called: on a button, in “the rollback”, and in “it was rolled back”."""

    verb: str
    noun: str
    done: str


DEEDS: Mapping[str, Deed] = {
    "release": Deed("Release", "release", "released"),
    "publish": Deed("Publish", "release", "released"),
    "migrate": Deed("Release", "release", "released"),
    "rollback": Deed("Roll back", "rollback", "rolled back"),
    "withdraw": Deed("Withdraw", "withdrawal", "withdrawn"),
    "restore": Deed("Restore", "restore", "restored"),
}
"""By kind of release, and by the last part of a preview's address."""


@dataclass(frozen=True, slots=True)
class Told:
    """A change as pages show it. `title`: what a release did, or who saved and how; `by` is their name."""

    change: Change
    title: str
    by: str
    icon: str = ""
    receipt: str = ""

    @property
    def same(self) -> str:
        """The word after the single status pill of a change that left the status as it was."""
        return "kept" if self.change.release and self.change.to_status != "todo" else "unchanged"


def tell(change: Change, names: Mapping[str, Who]) -> Told:
    """One change; a release is named as such, not by the colleague who made it."""
    by = names[change.by].name
    if change.release is None:
        return Told(change, written_by(change, names), by)
    release = change.release
    return Told(change, effect(change, release), by, ICONS[release.kind], receipt_address(release))


def written_by(change: Change, names: Mapping[str, Who]) -> str:
    """Diego Fuentes, Support agent; Amara Okafor, API; with “in bulk” for bulk changes."""
    who = names[change.by]
    return ", ".join(part for part in (apart(who.name), detail_of(who, change.source)) if part)


def detail_of(who: Who, source: str = "") -> str:
    """The role as pages name it, and the source: Support agent, in bulk. Duplicates are dropped."""
    parts = (ROLES.get(who.detail, who.detail), WAYS.get(source))
    return ", ".join(dict.fromkeys(part for part in parts if part))


def effect(change: Change, release: Release) -> str:
    """What the release did to one person's step: Reset by the release of version 2."""
    if release.kind == "withdraw":
        return "The step was withdrawn"
    if release.kind == "restore":
        return f"The step was restored, as version {release.version}"
    if change.from_status != change.to_status:
        verb = "Reset" if change.to_status == "todo" else "Given back"
    else:
        verb = "Untouched" if change.to_status == "todo" else "Kept"
    return f"{verb} by {called(release)}"


def called(release: Release) -> str:
    """The release within a sentence: the release of version 2, the rollback to version 1."""
    kind = "rollback to" if release.kind == "rollback" else "release of"
    return f"the {kind} version {release.version}"


def released(release: Release) -> str:
    """What happened, to be followed by “by” and a name: Version 2 released, Rolled back to version 1."""
    match release.kind:
        case "rollback":
            return f"Rolled back to version {release.version}"
        case "withdraw":
            return "Withdrawn"
        case "restore":
            return f"Restored as version {release.version}"
        case "publish":
            return f"Version {release.version} published"
        case _:
            return f"Version {release.version} released"


COPIED: Mapping[Kind, tuple[str, str]] = {
    "rollback": ("Stay as they are", "Stayed as they were"),
    "withdraw": ("Work kept", "Work kept"),
    "restore": ("Work given back", "Work given back"),
}
"""The label of a report's `copied`, before and after the release; Copied by default."""


def counted(kind: Kind, *, done: bool = False) -> dict[str, str]:
    """The labels of the counts that describe a release of this kind, or `done`: one that has been made."""
    copied, up, down, same, fall, later = (
        pair[done]
        for pair in (
            COPIED.get(kind, ("Copied", "Copied")),
            ("Go up", "Went up"),
            ("Go down", "Went down"),
            ("Stay the same", "Stayed the same"),
            ("Fall below 100\N{NARROW NO-BREAK SPACE}%", "Fell below 100\N{NARROW NO-BREAK SPACE}%"),
            ("Keep later work", "Kept later work"),
        )
    )
    if kind in ("migrate", "rollback"):
        # nothing is given back, and no later work kept, but by what undoes a release
        undone = {"restored": "Given back", "keptLater": later} if kind == "rollback" else {}
        return {"affected": "Affected", "copied": copied, "reset": "Reset"} | undone | {"untouched": "Untouched"}
    moves = {"up": up, "down": down, "same": same, "fallFrom100": fall}
    return moves if kind == "publish" else moves | {"affected": copied}


CHECKED = {
    "affected = copied + reset + restored": "Affected = copied + reset + given back",
    "every status ends as itself or as To do": "Done, Skipped and In progress end as themselves or as To do",
    "nobody is given back anything but by a rollback or a restore": "Only a rollback or a restore gives anything back",
}
"""Checks in other words than the receipts store: those of older releases would seem to contradict a rollback's receipt."""


def checked(name: str, kind: Kind) -> str:
    """What a release was checked for, in the pages' words; earlier withdrawals were recorded as having a version."""
    if kind == "withdraw" and name == "exactly the released version is live":
        name = "no version is live"
    return CHECKED.get(name, name[:1].upper() + name[1:])


def came_about(release: Release, title: str) -> str:
    """What the release did to the step, to be followed by when: version 2 of Set up payments went live."""
    match release.kind:
        case "rollback":
            return f"{title} was rolled back to version {release.version}"
        case "withdraw":
            return f"{title} was withdrawn"
        case "restore":
            return f"{title} was restored as version {release.version}"
        case _:
            return f"version {release.version} of {title} went live"


def receipt_address(release: Release) -> str:
    """The address of the release's receipt."""
    return f"/steps/{quote(release.step_id)}/releases/{release.number}"


def sentence(label: str, reason: str) -> str:
    """A problem of `Invalid` as a sentence, about what `label` calls it: a reason that is whole stays as it is."""
    return f"{label} {reason.rstrip('.')}." if reason[:1].islower() else reason


def how_many_changes(changes: Sequence[object]) -> str:
    """One change, Two changes ... 11 changes: for the start of a sentence."""
    count = len(changes)
    number = NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"
    return f"{number} change{'' if count == 1 else 's'}"


def saved_several(saved: int, stale: int, withdrawn: int, refused: int) -> str:
    """The outcome of several saves: Saved 3 steps. 1 changed while you had it open."""
    if not (saved or stale or withdrawn or refused):
        return NOTHING_CHANGED
    told = [f"Saved {plural(saved, 'step')}." if saved else "Nothing was saved."]
    if stale:
        told.append(f"{stale} changed while you had {'it' if stale == 1 else 'them'} open.")
    if withdrawn:
        told.append(f"{withdrawn} {'was' if withdrawn == 1 else 'were'} withdrawn in the meantime.")
    if refused:
        told.append(f"{refused} cannot be saved as {'it is' if refused == 1 else 'they are'}.")
    return " ".join(told)
