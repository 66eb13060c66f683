"""The order of the checklist, changed with a button and with the keyboard."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import tab_to


def order(page: Page) -> list[str]:
    """The titles, from the first step on."""
    rows = page.get_by_test_id("steps-list").get_by_role("row")
    return [row.get_attribute("data-title") or "" for row in rows.all()[1:] if row.get_attribute("data-title")]


def see_first(page: Page, *titles: str) -> None:
    for place, title in enumerate(titles):
        expect(page.locator("[data-title]").nth(place)).to_have_attribute("data-title", title)


@both_ways
def test_a_step_is_moved_up(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/steps")
    first, second, *rest = order(maya)
    maya.get_by_role("button", name=f"Move {second} up").click()
    see_first(maya, second, first)
    maya.goto("/steps")
    assert order(maya) == [second, first, *rest]


def test_by_keyboard_the_focus_stays_on_what_was_moved(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/steps")
    first, second, third, *_ = order(maya)
    down = maya.get_by_role("button", name=f"Move {first} down")
    tab_to(maya, down)
    maya.keyboard.press("Enter")
    see_first(maya, second, first)
    expect(down).to_be_focused()
    maya.keyboard.press("Enter")
    see_first(maya, second, third, first)


def test_a_viewer_cannot_move_anything(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/steps")
    expect(ines.locator("[data-title]").first).to_be_visible()
    expect(ines.get_by_role("button", name="Move")).to_have_count(0)
