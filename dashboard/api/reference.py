"""The description of the API in the shape in which a page shows it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from dashboard.api.openapi import HEADERS, JSON, MEANS, TOKEN, Document, Header, operations
from dashboard.api.problems import KINDS
from dashboard.staff.permissions import Scope

Schema = Mapping[str, Any]

HOST = "$ONBOARDING"
"""The placeholder for the installation's address in commands."""

WIDTH = 72
"""The maximum length of an example's lines, in characters, where they can be broken."""

PLACES = {"path": "path", "query": "address", "header": "header"}
"""The places of parameters, in the order in which the page lists them."""

TOLD_ONCE = ("ImpactReport", "Receipt")
"""Objects with so many members that they are listed only with the first answer that has them; others refer to it."""

AS_OF_THE_ANSWER = "Impact"
"""The member of a receipt that the answer has as well."""

WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "object", "null": "null"}


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter or a member, by its path: newStepData.title."""

    name: str
    kind: str
    means: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal of an endpoint; `anchor` is where the page explains it."""

    status: int
    phrase: str
    means: str
    anchor: str
    example: str


@dataclass(frozen=True, slots=True)
class Good:
    """One successful answer of an endpoint."""

    status: int
    means: str
    example: str
    members: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation as the page shows it; `request` is a command that sends its example."""

    anchor: str
    method: str
    path: str
    title: str
    text: str
    scope: str
    parameters: Sequence[Row]
    body: Sequence[Row]
    request: str
    answers: Sequence[Good]
    refusals: Sequence[Refusal]

    @property
    def short(self) -> str:
        """Its name in a list: the end of its path."""
        return "/".join(self.path.rsplit("/", 2)[1:]) if self.path.endswith("}") else self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """The endpoints of one tag."""

    name: str
    means: str
    endpoints: Sequence[Endpoint]

    @property
    def anchor(self) -> str:
        """Its anchor on the page."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Problem:
    """One of our own problem types, with its statuses and an example."""

    kind: str
    means: str
    statuses: Sequence[int]
    example: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Everything on the page that comes from the description."""

    groups: Sequence[Group]
    problems: Sequence[Problem]
    plain_problems: Sequence[Refusal]
    headers: Mapping[str, Header]
    scopes: Mapping[str, Sequence[Endpoint]]

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints of all groups."""
        return [endpoint for group in self.groups for endpoint in group.endpoints]


def refer(document: Document) -> Reference:
    """What the page shows of the description."""
    told_at: Told = {}
    shown = [_endpoint(*found, document, told_at) for found in operations(document)]
    tags = [operation["tags"][0] for _, _, operation in operations(document)]
    groups = [
        Group(
            tag["name"],
            tag.get("description", ""),
            [one for one, its in zip(shown, tags, strict=True) if its == tag["name"]],
        )
        for tag in document["tags"]
    ]
    refusals = {(one.status, one.anchor): one for endpoint in shown for one in endpoint.refusals}
    return Reference(
        groups,
        list(_problems(list(refusals.values()))),
        [
            replace(one, means=MEANS[status])
            for (status, anchor), one in sorted(refusals.items())
            if anchor == _of_status(status)
        ],
        HEADERS,
        {scope.value: [one for one in shown if one.scope == scope] for scope in Scope},
    )


def _problems(refusals: Sequence[Refusal]) -> Iterator[Problem]:
    for kind, means in KINDS.items():
        found = [one for one in refusals if one.anchor == kind]
        if found:
            yield Problem(kind, means, sorted({one.status for one in found}), found[0].example)


Told = dict[str, str]
"""By the name of an object in TOLD_ONCE, the endpoint whose answer lists it; filled in as endpoints are rendered."""


def _endpoint(path: str, method: str, operation: Document, document: Document, told_at: Told) -> Endpoint:
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    answers = {int(status): response for status, response in operation["responses"].items()}
    return Endpoint(
        anchor=operation["operationId"].replace("_", "-"),
        method=method.upper(),
        path=path,
        title=operation["summary"].rstrip("."),
        text=operation["description"],
        scope=operation["security"][0][TOKEN][0],
        parameters=[
            _parameter(one) for place in PLACES for one in operation.get("parameters", ()) if one["in"] == place
        ],
        body=list(members(body["schema"], document)) if body else [],
        request=curl(path, method, operation),
        answers=[
            _good(status, one, document, f"{method.upper()} {path}", told_at)
            for status, one in answers.items()
            if status < 400
        ],
        refusals=[_refusal(status, one) for status, one in answers.items() if status >= 400],
    )


def _parameter(parameter: Document) -> Row:
    kind = f"{kind_of(parameter['schema'])}, in the {PLACES[parameter['in']]}"
    return Row(parameter["name"], kind, parameter["description"], parameter["required"])


def _good(status: int, response: Document, document: Document, here: str, told_at: Told) -> Good:
    media = response["content"][JSON]
    rows = list(members(media["schema"], document, here, told_at))
    elsewhere = told_at.get("Receipt", here)
    shown = pretty(_brief(media["example"], "" if elsewhere == here else elsewhere))
    return Good(status, response["description"], shown, rows)


def _brief(example: Any, told_at: str) -> Any:
    """The example with each receipt in full only where TOLD_ONCE lists it, and without what the answer has as well."""
    if isinstance(example, list):
        return [_brief(one, told_at) for one in example]
    if not isinstance(example, dict):
        return example
    return {
        name: _brief_receipt(one, told_at) if name == "receipt" and one else _brief(one, told_at)
        for name, one in example.items()
    }


def _brief_receipt(receipt: Mapping[str, Any], told_at: str) -> Mapping[str, Any]:
    if told_at:
        return {"kind": receipt["kind"], "...": f"as at {told_at}"}
    return {**receipt, "impact": {"...": "as in the answer"}}


def _refusal(status: int, response: Document) -> Refusal:
    (media,) = response["content"].values()
    kind = media["example"]["type"].partition("#")[2]
    phrase = media["example"]["title"]
    return Refusal(status, phrase, response["description"], kind or _of_status(status), pretty(media["example"]))


def _of_status(status: int) -> str:
    return f"status-{status}"


def curl(path: str, method: str, operation: Document) -> str:
    """A command that sends the operation's example; $ONBOARDING and $TOKEN stand for the reader's own."""
    given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    for one in operation.get("parameters", ()):
        # a body repeats the user_id, so the query need not have it
        if one["required"] or (one["name"] == "user_id" and not body):
            given[one["in"]][one["name"]] = quote(str(one["example"]), safe="")
    query = "&".join(f"{name}={value}" for name, value in given["query"].items())
    address = f"{HOST}{path.format_map(given['path'])}" + (f"?{query}" if query else "")
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f'curl {verb}"{address}"', '-H "Authorization: Bearer $TOKEN"']
    if body:
        lines += ['-H "Content-Type: application/json"', f"-d {shlex.quote(pretty(body['example']))}"]
    return " \\\n  ".join(lines)


def members(schema: Schema, document: Document, endpoint: str = "", told_at: Told | None = None) -> Iterator[Row]:
    """The members of an object, each followed by those of the object it holds; of two of one kind, only the first's.

    `told_at` says at which endpoint the objects in TOLD_ONCE are already listed, and is updated with this one.
    """
    listed: dict[str, str] = {}
    told = {} if told_at is None else told_at

    def rows(schema: Schema, path: str = "") -> Iterator[Row]:
        schema = _resolved(schema, document)
        for name, member in schema.get("properties", {}).items():
            inner, here = _inner(member), f"{path}{name}"
            kind = str(inner.get("$ref", here)).rpartition("/")[2]
            means = member.get("description") or _resolved(inner, document).get("description", "")
            if kind in TOLD_ONCE and (place := told.setdefault(kind, endpoint)) != endpoint:
                inner, means = {}, f"{means} Its members are listed at `{place}`."
            elif kind == AS_OF_THE_ANSWER:
                inner, means = {}, f"{means} It has the members of the `impact` that a release answers with."
            elif (first := listed.setdefault(kind, here)) != here:
                inner, means = {}, f"{means} It has the members of `{first}`."
            yield Row(here, kind_of(member), means, name in schema.get("required", ()))
            yield from rows(inner, f"{here}{'[]' if 'items' in member else ''}.")

    return rows(schema)


def _inner(member: Schema) -> Schema:
    """The schema of the object that a member holds, if any."""
    inner: Schema = member.get("items", member)
    inner = next(iter(inner.get("anyOf", ())), inner)
    return inner if "$ref" in inner else {}


def _resolved(schema: Schema, document: Document) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def kind_of(schema: Schema) -> str:
    """The type of a member in words: text, 1 to 200 characters."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(one) for one in schema["anyOf"]))
    if "$ref" in schema:
        return "object"
    if "items" in schema:
        inner = kind_of(schema["items"])
        return "list" if inner == "object" else f"list of {inner}s"
    if "const" in schema:
        return f"always {json.dumps(schema['const'])}"
    if "enum" in schema:
        return ", ".join(schema["enum"][:-1]) + f" or {schema['enum'][-1]}"
    if schema.get("format") == "date-time":
        return "time"
    return ", ".join([WORDS.get(schema.get("type", ""), "anything"), *_bounds(schema)])


def _bounds(schema: Schema) -> Iterator[str]:
    if "maxLength" in schema:
        yield f"{schema.get('minLength', 0)} to {schema['maxLength']:,} characters"
    if "minimum" in schema:
        yield f"from {schema['minimum']}" + (f" to {schema['maximum']:,}" if "maximum" in schema else "")
    if schema.get("default") not in (None, ""):
        yield f"else {json.dumps(schema['default'])}"


def pretty(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON for people: what fits on a line stays on one, after the `before` characters already on it."""
    flat = json.dumps(value, ensure_ascii=False)
    if indent + before + len(flat) < WIDTH or not isinstance(value, dict | list):
        return flat
    names = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(value)
    inner = value.values() if isinstance(value, dict) else value
    lines = [name + pretty(one, indent + 2, len(name)) for name, one in zip(names, inner, strict=True)]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    margin = "\n" + " " * indent
    return f"{begin}{margin}  {f',{margin}  '.join(lines)}{margin}{end}"
