"""How a person's id is written in an address: ids belong to the host product and may hold any characters."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

MARK = "~"
UNPADDED = re.compile(r"[A-Za-z0-9_-]+")
BELOW = ("/steps", "/moved", "/export.json", "/erase")
"""What may follow a person's id in addresses below their page."""


class UserIdConverter(BaseConverter):
    """Most ids are written as they are, slashes included. Those that browsers or servers would rewrite are packed."""

    regex = "[^/].*?"
    weight = 200
    part_isolating = False

    def to_python(self, value: str) -> str:
        """The id; an address that only looks packed matches nothing."""
        return unpack(value[len(MARK) :]) if value.startswith(MARK) else value

    def to_url(self, value: str) -> str:
        """The id, quoted or packed."""
        return super().to_url(value) if stands_as_it_is(value) else MARK + pack(value)


def install(state: BlueprintSetupState) -> None:
    """Registers the converter before the routes of a blueprint that names people: `blueprint.record_once(install)`."""
    state.app.url_map.converters["user_id"] = UserIdConverter


def stands_as_it_is(user_id: str) -> bool:
    """False for an id that would get lost (`..`, `//`, line ends) or mean something else (a packed id, a step)."""
    if user_id.startswith(MARK) or not user_id.isprintable() or "/steps/" in user_id:
        return False
    if user_id.endswith(BELOW):
        return False
    return all(segment not in ("", ".", "..") for segment in user_id.split("/"))


def pack(user_id: str) -> str:
    """Encodes any text in letters, digits, - and _."""
    return urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def unpack(packed: str) -> str:
    """Reverses `pack`. Raises NotFound: after a ValidationError, werkzeug answers 405 if the address has other methods."""
    if not UNPADDED.fullmatch(packed):
        raise NotFound
    try:
        return urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except ValueError as error:
        raise NotFound from error
