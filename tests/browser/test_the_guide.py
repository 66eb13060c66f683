"""docs/testing.md: its examples run, and its list of test ids is the list that the templates have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import pytest

from dashboard import paths

GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"

EXPRESSION = re.compile(r"\{\{.*?\}\}")
# data-testid="..." of an element, testid="..." or "data-testid": "..." for a macro, and a panel's id, which is its testid
WRITTEN = (
    re.compile(r'data-testid="((?:\{\{.*?\}\}|[^"{])+)"'),
    re.compile(r'(?:\btestid=|"data-testid": )"([^"]+"(?: ~ [\w.]+)?)'),
    re.compile(r'ui\.panel\("([\w-]+-panel)"'),
)
# these come as the one word of a variable
FROM_A_VARIABLE = {"problem-*", "old-form", "signed-out"}


def ids_of_templates() -> set[str]:
    """Every test id; what stands for an id or a name in it is a *."""
    found = set[str]()
    for template in paths.TEMPLATES.rglob("*.html"):
        for pattern in WRITTEN:
            found |= {_plain(written) for written in pattern.findall(template.read_text())}
    return {one for one in found if one.strip("*")} | FROM_A_VARIABLE


def _plain(written: str) -> str:
    text, _, variable = EXPRESSION.sub("*", written).partition('" ~ ')
    return text.rstrip('"') + ("*" if variable else "")


def ids_of_guide() -> Iterator[str]:
    for line in GUIDE.read_text().splitlines():
        cells = line.split("|")
        if len(cells) == 5 and cells[1].strip().startswith("`"):
            yield from (re.sub(r"<\w+>", "*", one) for one in re.findall(r"`([^`]+)`", cells[1]))


def test_every_test_id_is_listed() -> None:
    listed = list(ids_of_guide())
    assert len(listed) == len(set(listed))
    assert set(listed) == ids_of_templates()


def examples() -> dict[str, Callable[..., None]]:
    """The tests that the page shows, by name."""
    found = re.findall(r"<!-- example -->\n```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    space: dict[str, Callable[..., None]] = {}
    for example in found:
        exec(example, space)
    return {name: value for name, value in space.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", examples())
def test_each_example_runs(request: pytest.FixtureRequest, name: str) -> None:
    example = examples()[name]
    example(*map(request.getfixturevalue, signature(example).parameters))
