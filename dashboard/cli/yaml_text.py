"""YAML as plain mappings, lists, texts and integers: written without loss, and read strictly.

The reader knows integers and null; everything else is text, so `yes` and `1e3` are what they look like. Tags, aliases
and duplicate members are refused: nothing here needs them, and they hide what a reviewer would want to see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from dashboard.onboarding.loading import BadRows, Problem

MAX_BYTES = 2**20
DEEPEST = 8
NULL, INT, FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "int", "float"))
# PyYAML writes these unescaped unless told otherwise, and reads them back as \n
LINE_BREAKS = frozenset("\x85\u2028\u2029")


class BadFile(BadRows):
    """The file can't be read: where, and why."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__([Problem(where, reason)], 1)


# Writing -------------------------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if LINE_BREAKS & set(value) else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
# numbers of YAML 1.2, so that programs reading that version see text that looks like one as text
_Dumper.add_implicit_resolver(
    FLOAT,
    re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+)$"),
    list("-+.0123456789"),
)


def write(document: Mapping[str, Any]) -> str:
    """The document as YAML: members in their order, single-line text on one line, longer text as a block."""
    written: str = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10**9)
    return written


# Reading -------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Composes a tree without tags and aliases, at most DEEPEST deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            _refuse(mark, f"*{event.anchor}: write it out, references are not supported")
        if getattr(event, "tag", None):
            _refuse(mark, f"{event.tag}: tags are not supported")
        if self.depth == DEEPEST:
            _refuse(mark, "is nested too deeply")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(INT, re.compile(r"[-+]?[0-9]{1,18}$"), list("-+0123456789"))
_Loader.add_implicit_resolver(NULL, re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def _refuse(mark: yaml.Mark | None, reason: str) -> NoReturn:
    raise BadFile(_at(mark), reason)


def _at(mark: yaml.Mark | None) -> str:
    return _place(mark.line, mark.column) if mark else "the file"


def _place(line: int, column: int) -> str:
    return f"line {line + 1}, column {column + 1}"


@dataclass(frozen=True, slots=True)
class Read:
    """A document, and the line of each member by its path: `steps.set-up-payments.title`."""

    document: Any
    lines: Mapping[str, int]


def read(raw: bytes) -> Read:
    """The document in `raw`. Raises BadFile with the position."""
    if len(raw) > MAX_BYTES:
        raise BadFile("the file", f"is larger than {MAX_BYTES // 2**20} MB")
    root = _compose(_decoded(raw))
    if root is None:
        raise BadFile("the file", "is empty")
    lines: dict[str, int] = {}
    return Read(_plain(root, "", lines), lines)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadFile(f"line {line}", "is not text in UTF-8") from None


def _compose(text: str) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = _place(before.count("\n"), len(before) - before.rfind("\n") - 1)
        reason = f"has a character that cannot be stored (U+{ord(text[error.position]):04X})"
        raise BadFile(place, reason) from None
    except yaml.MarkedYAMLError as error:
        place = _at(error.problem_mark or error.context_mark)
        raise BadFile(place, f"is not YAML: {error.problem or error.context}") from None
    except (ValueError, OverflowError):
        # an escape such as "\UFFFFFFFF", for which PyYAML gives no position
        raise BadFile("the file", "is not YAML: it has an invalid escape") from None
    return root


def _plain(node: yaml.Node, name: str, lines: dict[str, int]) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, name, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, f"{name}.{number}", lines) for number, one in enumerate(node.value, 1)]
    if node.tag == NULL:
        return None
    return int(node.value) if node.tag == INT else node.value


def _mapping(node: yaml.MappingNode, name: str, lines: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(key.start_mark, "the name of a member must be text")
        member = f"{name}.{key.value}" if name else key.value
        line = key.start_mark.line + 1
        if key.value in found:
            raise BadFile(f"line {line}", f"{member} appears twice, first on line {lines[member]}")
        lines[member] = line
        found[key.value] = _plain(value, member, lines)
    return found
