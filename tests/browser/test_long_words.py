"""Words without an end: each text of people's is one of 200 letters, and still no page scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dashboard.config import libpq_url
from tests.browser.conftest import Enter
from tests.browser.pages import AMARA, PAYMENTS
from tests.browser.test_every_page import AS_THEY_ARE, PHONE, TABLET, WIDE, shown_token, too_wide
from tests.conftest import url_of
from tests.databases import own_copy
from tests.security import hostile

WORD = "W" * 200
WITHOUT_WORDS_OF_PEOPLE = {
    *("new step", "invite someone", "no tokens", "new token"),
    *("nobody found", "a filter that cannot be", "no activity", "activity, a broken filter"),
    *("a link that does not work", "not found"),
}
FOUND = {
    "a search": f"/people?q={WORD}",
    "a filter by the step": f"/people?step={PAYMENTS}&status=done",
    "what happened to a person": f"/activity?person={AMARA}",
    "what happened to a step": f"/activity?step={PAYMENTS}",
}

BROKEN = r"""cells => {
  const broken = [], range = document.createRange();
  for (const cell of cells) {
    for (const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT); walk.nextNode();) {
      for (const {0: word, index} of walk.currentNode.data.matchAll(/\S+/g)) {
        range.setStart(walk.currentNode, index);
        range.setEnd(walk.currentNode, index + word.length);
        if (new Set([...range.getClientRects()].map((one) => one.top)).size > 1) broken.push(word);
      }
    }
  }
  return broken;
}"""
"""The words in these elements that do not stand on one line each."""


@pytest.fixture
def database_url(server: psycopg.Connection[Any], signed_in_template: str) -> Iterator[str]:
    """The address of this test's own copy of the demo, in which everything that people say is one long word."""
    with own_copy(server, signed_in_template) as name:
        with psycopg.connect(libpq_url(url_of(name))) as connection:
            hostile.poison(connection, [WORD])
        yield url_of(name)


def test_no_page_scrolls_sideways(enter: Enter) -> None:
    ada = enter("admin")
    wide = []
    assert AS_THEY_ARE.keys() > WITHOUT_WORDS_OF_PEOPLE
    for name, address in {**AS_THEY_ARE, **FOUND}.items():
        if name in WITHOUT_WORDS_OF_PEOPLE:
            continue
        ada.goto(address)
        wide += [f"{name}: {said}" for width in (WIDE, PHONE) if (said := too_wide(ada, width))]
    assert not wide, "\n".join(wide)


def test_beside_a_long_name_the_words_of_ours_stay_whole(enter: Enter) -> None:
    ada = enter("admin")
    shown_token(ada, ada, WORD[:100])
    for address, table in (("/settings/staff", "staff-list"), ("/settings/tokens", "tokens")):
        ada.goto(address)
        for width in (WIDE, TABLET, PHONE):
            ada.set_viewport_size({"width": width, "height": 800})
            cells = ada.get_by_test_id(table).locator("td")
            assert cells.count()
            assert not cells.evaluate_all(BROKEN), f"{address} at {width}"
