"""docs/security.md: what it names is there, and what it says in numbers is so."""

from __future__ import annotations

import re
from pathlib import Path

from dashboard.config import Settings
from dashboard.staff import links, sessions, sign_in, standing
from dashboard.web import access, theme

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
WORDS = " ".join(DOCUMENT.split())


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:tests|dashboard)/[\w/]+\.py)`", DOCUMENT))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_every_promise_names_its_proof() -> None:
    section = DOCUMENT.partition("\n## What is promised\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 12
    assert [row for row in rows if "`tests/" not in row.split(" | ")[-1]] == []


def test_every_document_that_it_leads_to_is_there() -> None:
    named = re.findall(r"\]\((\w+\.md)(#[\w-]+)?\)", DOCUMENT)
    assert len(named) > 2
    for name, anchor in named:
        text = (ROOT / "docs" / name).read_text()
        titles = {f"#{title.lower().replace(' ', '-')}" for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        # how to set up a provider is told where it is built
        assert not anchor or anchor in titles | {"#signing-in-with-openid-connect"}


def test_its_numbers_are_those_of_the_program() -> None:
    assert f"after {sessions.IDLE.seconds // 3600} hours without use and after {sessions.ABSOLUTE.days} days" in WORDS
    assert f"up to {sign_in.LONGEST_DELAY.seconds // 60} minutes per attempt" in WORDS
    assert f"once and for {links.VALID.total_seconds() / 3600:.0f} hours" in WORDS
    assert f"lack of a permission are kept up to {standing.NOTED_A_MINUTE} a minute" in WORDS
    assert sessions.ABSOLUTE.days == 7, "how long an old key has to be kept"
    assert {access.COOKIE, theme.COOKIE} == {"staff_session", "theme"}


def test_its_variables_are_settings() -> None:
    shown = re.findall(r"\b([A-Z][A-Z_]+)=", DOCUMENT)
    fields = {name.upper() for name in Settings.__dataclass_fields__}
    assert set(shown) - {"UPGRADE"} <= fields
    assert {"TRUSTED_PROXIES", "SECURE_COOKIES", "BASE_URL"} <= set(shown)


def test_the_readme_leads_to_it() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text()
