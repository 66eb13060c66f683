"""Forms that parse input. The rules are the engine's; its refusals are put beside the fields they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from werkzeug.datastructures import Headers, MultiDict
from wtforms import Field, Form, HiddenField, StringField, TextAreaField

from dashboard.onboarding.affected import WHICH, Which
from dashboard.onboarding.carryover import WORKED, Policy
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.merge import MergedField, merge_field
from dashboard.onboarding.plans import PREDICTED, Planned, tolerance
from dashboard.onboarding.steps import MEMBERS, Definition, Fields
from dashboard.web.formats import STEP_LABELS
from dashboard.web.wording import sentence

WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
Values = MultiDict[str, str]


def whole(text: str | None) -> int | str:
    """The number that was typed; anything else unchanged, for the engine to refuse."""
    text = (text or "").strip()
    return int(text) if WHOLE.fullmatch(text) else text


def row_version_of(values: Values) -> int:
    """The row_version at which a form was opened. Raises Invalid."""
    opened = whole(values.get("row_version"))
    if not isinstance(opened, int) or opened < 1:
        raise Invalid({"row_version": "This form is not valid. Open the page again."})
    return opened


def _newlines(text: str | None) -> str | None:
    # browsers send CRLF for every line break, which would make every saved line look changed
    return text.replace("\r\n", "\n") if text else text


class StepForm(Form):
    """The content of a step."""

    title = StringField(STEP_LABELS["title"])
    description = TextAreaField(STEP_LABELS["description"], filters=[_newlines])
    weight = StringField(STEP_LABELS["weight"], default="10")
    action_url = StringField(STEP_LABELS["action_url"])

    def typed(self) -> dict[str, Any]:
        """The members as typed, for the engine to check. Raises Invalid if a field is missing from the request."""
        if absent := {name: "is missing from the form" for name in MEMBERS if not self[name].raw_data}:
            raise Invalid(absent)
        return {name: self[name].data or "" for name in MEMBERS} | {"weight": whole(self.weight.data)}


class NewStepForm(StepForm):
    """A new step, with its id, which never changes afterwards."""

    step_id = StringField("Id")


class DraftForm(StepForm):
    """A draft as it was opened (`base_...`, `row_version`) and as it was typed."""

    row_version = HiddenField("The draft's number")
    version = HiddenField("The draft's version")
    base_title = HiddenField()
    base_description = HiddenField(filters=[_newlines])
    base_weight = HiddenField()
    base_action_url = HiddenField()

    @classmethod
    def of(cls, draft: Definition, fields: Fields | None = None) -> DraftForm:
        """The form to save over `draft`, filled with `fields` or else with the draft's own."""
        values = asdict(fields or draft.fields)
        base = {f"base_{name}": getattr(draft.fields, name) for name in MEMBERS}
        return cls(data=values | base | {"row_version": draft.row_version, "version": draft.version})

    def base(self) -> dict[str, Any]:
        """The draft's content when the form was opened."""
        said = {name: self[f"base_{name}"].data or "" for name in MEMBERS}
        return said | {"weight": whole(self.base_weight.data)}


def _asked(values: Values) -> list[str]:
    """The fields that a merge panel asked about."""
    return [name for name in MEMBERS if f"mine_{name}" in values]


def choices_of(values: Values) -> dict[str, str]:
    """The side chosen, theirs or mine, of each field that a merge panel asked about and that was decided."""
    sides = {name: values.get(f"choice_{name}", "") for name in _asked(values)}
    return {name: side for name, side in sides.items() if side in ("theirs", "mine")}


def chosen(values: Values) -> Values:
    """A merge panel's form with the chosen sides in place of its fields; without a choice, what was typed stands."""
    result, choices = values.copy(), choices_of(values)
    for name in _asked(values):
        result[name] = values.get(f"base_{name}" if choices.get(name) == "theirs" else f"mine_{name}", "")
    return result


def not_chosen(values: Values) -> dict[str, str]:
    """The fields that a merge panel asked about and nobody decided, as problems."""
    choices = choices_of(values)
    missing = [name for name in _asked(values) if name not in choices]
    return dict.fromkeys(missing, "is not decided yet: choose one of the two")


def shown_merge(values: Values) -> list[MergedField]:
    """The merge that a panel showed, from the form it sent; empty if the form came from no merge panel."""
    if any(f"origin_{name}" not in values for name in MEMBERS):
        return []
    return [_shown(values, name) for name in MEMBERS]


def _shown(values: Values, name: str) -> MergedField:
    # each text was sent once: a field that only one side changed, or both alike, already holds one side
    theirs = _text(values, f"base_{name}")
    base = _text(values, f"opened_{name}") if f"opened_{name}" in values else theirs
    match values[f"origin_{name}"]:
        case "theirs":
            mine = base
        case "both-same":
            mine = theirs
        case "conflict":
            mine = _text(values, f"mine_{name}")
        case _:
            mine = _text(values, name)
    return merge_field(name, base, theirs, mine)


def _text(values: Values, name: str) -> str:
    return _newlines(values.get(name)) or ""


def put_problems(form: Form, problems: Mapping[str, str]) -> list[str]:
    """Puts the engine's refusals beside the fields they name; returns those of no visible field."""
    rest = []
    for name, reason in problems.items():
        field: Field | None = form._fields.get(name)
        message = sentence(field.label.text if field else name, reason)
        if field is None or isinstance(field, HiddenField):
            rest.append(message)
        else:
            field.errors = [message]
    return rest


class ReasonForm(Form):
    """The reason for a release."""

    note = TextAreaField("Reason", filters=[_newlines])


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """What people keep, and whether those who fall from 100 % are asked to finish again."""

    policy: Policy
    reopens_finished: bool = False

    def as_query(self) -> dict[str, str]:
        """The equivalent query parameters."""
        keeps = {status: "keep" if keep else "reset" for status, keep in asdict(self.policy).items()}
        return keeps | {"reopen": "1" if self.reopens_finished else ""}


def choice_from(values: Values, preset: Policy | None = None, prefix: str = "") -> PolicyChoice:
    """The carry-over policy in a form or an address; missing members are as in `preset`. Raises Invalid.

    `prefix` starts the names of its members.
    """
    keeps = {status: _keep(values.get(prefix + status), status, preset) for status in WORKED}
    reopen = values.get(f"{prefix}reopen", "")
    if reopen not in ("", "1"):
        raise Invalid({"reopen": "Reopening is either on or off."})
    return PolicyChoice(Policy(**keeps), reopen == "1")


def choice_beside(values: Values, previewed: PolicyChoice) -> PolicyChoice:
    """The policy of the preview's own controls, if it had any (`asked`), else the policy previewed. Raises Invalid."""
    if "asked" not in values:
        return previewed
    return choice_from(values, previewed.policy)


def _keep(said: str | None, status: str, preset: Policy | None) -> bool:
    if said is None and preset is not None:
        return bool(getattr(preset, status))
    if said not in ("keep", "reset"):
        raise Invalid({status: f"The policy for {status} must be keep or reset."})
    return said == "keep"


def which_from(values: Values) -> Which | None:
    """Which list of affected people an address names; None if it names none. Raises Invalid."""
    said = values.get("who")
    which = next((one for one in WHICH if one == said), None)
    if said and which is None:
        raise Invalid({"who": "This list of people does not exist. Open the preview again and choose a tab."})
    return which


def plan_from(values: Values, drift_percent: float, drift_people: int, *, draft: bool) -> Planned:
    """What a preview showed, from its form's hidden fields. Raises Invalid; `draft`: it showed a draft too."""
    release_id, everybody = _count(values, "release_id"), _count(values, "everybody")
    return Planned(
        release_id=release_id,
        draft_row_version=_count(values, "draft_row_version") if draft else None,
        predicted={name: _count(values, name) for name in PREDICTED},
        tolerance=tolerance(everybody, drift_percent, drift_people),
    )


def open_report(headers: Headers) -> Planned | None:
    """What the report was planned from that asks for another choice; None if the request says nothing of it."""
    release_id, draft = whole(headers.get("X-Release-Id")), whole(headers.get("X-Draft-Row-Version"))
    if isinstance(release_id, str) or isinstance(draft, str):
        return None
    return Planned(release_id, draft)


def _count(values: Values, name: str) -> int:
    number = whole(values.get(name))
    if not isinstance(number, int) or number < 0:
        raise Invalid({name: "This form is not valid. Open the preview again."})
    return number
