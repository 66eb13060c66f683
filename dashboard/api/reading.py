"""Reads a request and trusts nothing in it: each refusal names the member and the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.limits import text_problem

MAX_BODY_BYTES = 64 * 1024
"""The maximum length of a body, unless its model sets another `max_bytes`."""
LONGEST_WHOLE_NUMBER = 100
"""In digits: more than any member takes, so that a number that is too large breaks its member's own rule."""
UTF_8 = "utf-8"
LARGEST_EXACT = 2**53
"""Up to here every whole number is exact as a float."""

Model = TypeVar("Model", bound=BaseModel)
Part = Callable[[type[BaseModel], Mapping[str, str]], Mapping[str, Any]]

REASONS = {
    "missing": "is required",
    "extra_forbidden": "is unknown",
    "string_type": "must be text",
    "string_too_short": "is required",
    "string_too_long": "must be at most {max_length:,} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le:,}",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length:,}",
    "too_long": "must have at most {max_length:,}",
    "literal_error": "must be {expected}",
    "model_type": "must be an object",
    "string_unicode": "has a character that cannot be stored",
    "value_error": "{error}",
}


def read(
    wanted: Mapping[str, type[BaseModel]], path: Mapping[str, str], whom: Callable[..., str]
) -> dict[str, BaseModel]:
    """The parts of the request that the view needs. Raises Invalid, BadRequest, UnsupportedMediaType, 413.

    Invalid names everything wrong in any part, including a missing user where `whom` requires one.
    """
    given = {name: PARTS[name](model, path) for name, model in wanted.items()}
    found: dict[str, BaseModel] = {}
    problems: dict[str, str] = {}
    if "user_id" in wanted.get("query", BaseModel).model_fields:
        named = (values.get("user_id") for values in given.values())
        try:
            whom(*(one for one in named if isinstance(one, str)))
        except Invalid as invalid:
            problems |= invalid.problems
    for name, model in wanted.items():
        try:
            found[name] = checked(model, given[name])
        except Invalid as invalid:
            problems |= invalid.problems
    if problems:
        raise Invalid(problems)
    return found


def checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """The values as a model. Raises Invalid naming each wrong member."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = {_name(one["loc"]): _reason(one) for one in error.errors(include_url=False, include_input=False)}
        raise Invalid(problems) from None


def _name(location: Sequence[int | str]) -> str:
    return ".".join(str(part) or '""' for part in location)


def _reason(error: Mapping[str, Any]) -> str:
    told = REASONS.get(error["type"])
    return told.format(**error.get("ctx", {})) if told else str(error["msg"])


# Where the parts come from -------------------------------------------------------------------------------------------


def _path(_: type[BaseModel], path: Mapping[str, str]) -> Mapping[str, Any]:
    return path


def _query(_: type[BaseModel], __: Mapping[str, str]) -> Mapping[str, Any]:
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise BadRequest(f"The parameter “{twice[0]}” appears twice.")
    return request.args.to_dict()


def _header(model: type[BaseModel], _: Mapping[str, str]) -> Mapping[str, Any]:
    return {name: request.headers[name] for name in _names_of(model) if name in request.headers}


@cache
def _names_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _body(model: type[BaseModel], _: Mapping[str, str]) -> Mapping[str, Any]:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(f"Send application/json, not {request.mimetype or 'a body without a type'}.")
    if (charset := request.mimetype_params.get("charset", UTF_8)).lower() not in (UTF_8, "utf8"):
        raise UnsupportedMediaType(f"Send application/json in {UTF_8}, not {charset}.")
    if request.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType(f"Send the body as it is, not in {request.content_encoding}.")
    most: int = getattr(model, "max_bytes", MAX_BODY_BYTES)
    # even where forms may be larger; and werkzeug silently cuts a chunked body off at its limit
    request.max_content_length = most + 1
    with suppress(RequestEntityTooLarge):
        raw = request.get_data()
        if len(raw) <= most:
            return parse(raw)
    raise RequestEntityTooLarge(f"The body is limited to {most:,} bytes.")


PARTS: Mapping[str, Part] = {"path": _path, "query": _query, "header": _header, "body": _body}


# JSON ----------------------------------------------------------------------------------------------------------------


def parse(raw: bytes) -> Mapping[str, Any]:
    """The JSON object in `raw`. Raises BadRequest with the reason."""
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_members, parse_int=_whole, parse_float=_number)
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise BadRequest("The body must be a JSON object.")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object. A duplicate would leave open which one counts; NaN and Infinity are not JSON."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if text_problem(name, len(name)):
            raise BadRequest("The name of a member has a character that cannot be stored.")
        if name in found:
            raise ValueError(f"“{name}” appears twice")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"“{name}” is not a number that can be stored")
        found[name] = value
    return found


def _number(digits: str) -> float:
    # some languages write 1 as 1.0, and JSON Schema counts that as an integer too
    number = float(digits)
    return int(number) if number.is_integer() and abs(number) <= LARGEST_EXACT else number


def _whole(digits: str) -> int:
    # Python refuses thousands of digits without naming the member; the first ones are already too many
    return int(digits[:LONGEST_WHOLE_NUMBER])
