"""Merging two edits of one draft, field by field. Pure: it reads nothing and decides nothing that people differ on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dashboard.onboarding.steps import MEMBERS, Fields

Origin = Literal["unchanged", "theirs", "mine", "both-same", "conflict"]
Value = str | int


@dataclass(frozen=True, slots=True)
class MergedField:
    """One member of the merge. `value` is what it becomes; in a conflict it stays theirs until somebody chooses."""

    member: str
    base: Value
    theirs: Value
    mine: Value
    value: Value
    origin: Origin


def merge(base: Fields, theirs: Fields, mine: Fields) -> list[MergedField]:
    """The draft as it was opened, as it is saved now and as it was typed, merged in the order of the form."""
    return [merge_field(name, getattr(base, name), getattr(theirs, name), getattr(mine, name)) for name in MEMBERS]


def merge_field(member: str, base: Value, theirs: Value, mine: Value) -> MergedField:
    """One member: whoever alone changed it wins; both in different ways is a conflict."""
    origin = origin_of(base, theirs, mine)
    return MergedField(member, base, theirs, mine, mine if origin == "mine" else theirs, origin)


def origin_of(base: Value, theirs: Value, mine: Value) -> Origin:
    """Who changed a value since `base`."""
    if theirs == mine:
        return "unchanged" if mine == base else "both-same"
    if mine == base:
        return "theirs"
    return "mine" if theirs == base else "conflict"


def merged(fields: Sequence[MergedField]) -> Fields:
    """What the draft says when every conflict is left as it is saved now."""
    title, description, weight, action_url = (field.value for field in fields)
    return Fields(str(title), str(description), int(weight), str(action_url))
