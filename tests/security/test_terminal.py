"""What commands print of others' words: nothing in it is obeyed by the terminal.

What is tried: escape sequences that clear it, name its window or colour it, in both of their spellings, carriage returns,
marks that turn a line round, and the markup of libraries that colour lines, in every column that people can fill and in a
file that is imported.
"""

from __future__ import annotations

import re

import psycopg
import pytest

from dashboard.config import libpq_url
from tests.factories import STEP
from tests.program import Program
from tests.security.hostile import poison
from tests.security.world import World

SEQUENCES = (
    "\x1b[2J\x1b]0;evil\x07",
    "\x9b31mevil",
    "evil\revil",
    "\x08\x08evil",
    "\u202elive\u2066",
    "[red]evil[/red]",
    "[/]",
)
COMMANDS = (
    "user list",
    "token list",
    "step list",
    "check",
    f"step preview {STEP}",
    "user enable nobody@x",
)
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def dashboard(database_url: str, world: World) -> Program:
    """The `dashboard` command on a database in which people have said what terminals obey."""
    with psycopg.connect(libpq_url(database_url)) as connection:
        poison(connection, SEQUENCES)
    return Program({"DATABASE_URL": database_url})


def test_no_listing_is_obeyed(dashboard: Program) -> None:
    told = ""
    for command in COMMANDS:
        done = dashboard(*command.split())
        assert not OBEYED.search(done.out + done.err), command
        told += done.out
    assert "evil" in told
    assert "\\x1b[2J" in told
    for command in (*COMMANDS[:-1], "step export"):
        done = dashboard(*command.split(), "--json")
        assert not OBEYED.search(done.out), command
        assert done.json
    assert "\x9b31mevil" in {one["name"] for one in dashboard("user", "list", "--json").json}
    # a file, in which marks are what was said
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", dashboard("step", "export").out)


def test_no_refusal_is_obeyed(dashboard: Program) -> None:
    for said in SEQUENCES[:5]:
        given = f"user_id,name,email,{STEP}\nann,Ann,,{said}\n".encode()
        done = dashboard("people", "import", "-", given=given)
        assert done.code == 2
        assert not OBEYED.search(done.err)
        for command in ("token revoke", "user enable", "step show"):
            assert not OBEYED.search(dashboard(*command.split(), said).err), command
