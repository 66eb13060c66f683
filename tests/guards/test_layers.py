"""Data flows one way: door, engine, database. No door speaks SQL, and the engine knows no web."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "dashboard"
DOORS = ("web", "api", "cli")
DATABASE = {"sqlalchemy", "psycopg", "psycopg_pool", "alembic"}
WEB = {"flask", "werkzeug", "wtforms", "flask_wtf", "htmx_flask", "jinja2", "markupsafe", "click", "rich"}


def modules(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of every module that the file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", [path for door in DOORS for path in modules(door)], ids=name_of)
def test_no_door_speaks_to_the_database(path: Path) -> None:
    assert packages(path) & DATABASE == set()
    assert {name for name in imported(path) if name.startswith("dashboard.models")} == set()


@pytest.mark.parametrize("path", modules("onboarding"), ids=name_of)
def test_the_engine_knows_no_door(path: Path) -> None:
    assert packages(path) & WEB == set()
    doors = tuple(f"dashboard.{door}" for door in DOORS)
    assert {name for name in imported(path) if name.startswith(doors)} == set()


@pytest.mark.parametrize("path", modules("onboarding"), ids=name_of)
def test_the_engine_never_commits(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]
    assert calls == []


@pytest.mark.parametrize("path", modules("web"), ids=name_of)
def test_pages_do_not_reach_into_the_api(path: Path) -> None:
    assert {name for name in imported(path) if name.startswith(("dashboard.api", "dashboard.cli"))} == set()


def test_there_is_something_to_guard() -> None:
    assert [folder for folder in (*DOORS, "onboarding") if not modules(folder)] == []
