"""The browser client is one small file, whose types stand in it."""

from __future__ import annotations

import re

from dashboard import paths

CLIENT = paths.STATIC / "onboarding-client.js"
LIMIT_BYTES = 3_000


def test_it_is_small() -> None:
    assert CLIENT.stat().st_size < LIMIT_BYTES


def test_it_is_readable_and_needs_nothing_else() -> None:
    source = CLIENT.read_text()
    assert max(map(len, source.splitlines())) <= 120
    assert not re.search(r"\bimport\b|\brequire\(", source)
    assert "@typedef" in source
    assert "@param" in source
