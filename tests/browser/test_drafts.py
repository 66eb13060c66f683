"""Two managers edit one draft: the second save is merged, never lost."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import (
    PAYMENTS,
    at,
    confirm,
    look_again,
    open_draft,
    open_preview,
    save_draft,
    see_flash,
    see_heading,
)


def panel(page: Page) -> Locator:
    return page.get_by_test_id("merge-panel")


def choice(page: Page, field: str, whose: str) -> Locator:
    """The radio of a field that both have changed."""
    return page.get_by_test_id(f"both-{field}").get_by_role("radio", name=re.compile(f"^{whose}"))


@both_ways
def test_a_stale_draft_is_merged(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    open_draft(ada)
    save_draft(ada, Title="Get paid", Weight="25")
    see_flash(ada, "Saved.")

    save_draft(maya, Description="Connect a bank account.", Weight="40")
    expect(panel(maya)).to_be_focused()
    expect(panel(maya)).to_contain_text("Ada Whitfield saved this draft while you were editing")
    expect(maya.get_by_test_id("merged-title")).to_contain_text("Ada Whitfield changed it")
    expect(maya.get_by_test_id("merged-description")).to_contain_text("You changed it")
    expect(maya.get_by_test_id("both-weight")).to_contain_text("25")
    expect(maya.get_by_test_id("both-weight")).to_contain_text("40")
    choice(maya, "weight", "Yours").check()
    maya.get_by_role("button", name="Save merged").click()

    see_flash(maya, "Saved.")
    open_draft(ada)
    expect(ada.get_by_label("Title")).to_have_value("Get paid")
    expect(ada.get_by_label("Description")).to_have_value("Connect a bank account.")
    expect(ada.get_by_label("Weight")).to_have_value("40")


def test_a_save_by_keyboard_goes_on_from_what_is_said_of_it(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    maya.get_by_label("Title").fill("Get paid")
    maya.keyboard.press("Enter")
    see_flash(maya, "Saved.")
    expect(maya.locator(":focus")).to_contain_text("Saved.")
    maya.keyboard.press("Tab")
    expect(maya.get_by_role("button", name="Close this notice")).to_be_focused()
    maya.keyboard.press("Tab")
    expect(maya.get_by_role("navigation", name="Breadcrumb").get_by_role("link").first).to_be_focused()


def test_neither_side_of_a_merge_is_chosen_for_them(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    open_draft(ada)
    save_draft(ada, Title="Get paid")
    see_flash(ada, "Saved.")
    save_draft(maya, Title="Be paid", Weight="40")
    panel(maya).get_by_label("Weight").fill("45")
    maya.get_by_role("button", name="Save merged").click()

    expect(maya.get_by_test_id("title-error")).to_have_text("Title is not decided yet: choose one of the two.")
    expect(panel(maya).get_by_label("Weight")).to_have_value("45")
    expect(choice(maya, "title", "Ada Whitfield")).to_be_focused()
    maya.keyboard.press("ArrowDown")
    expect(choice(maya, "title", "Yours")).to_be_checked()
    maya.get_by_role("button", name="Save merged").click()
    see_flash(maya, "Saved.")
    expect(maya.get_by_label("Title")).to_have_value("Be paid")


def test_a_merge_can_itself_be_overtaken(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    open_draft(ada)
    save_draft(ada, Weight="25")
    see_flash(ada, "Saved.")
    save_draft(maya, Weight="40")
    choice(maya, "weight", "Yours").check()
    save_draft(ada, Title="Get paid")
    see_flash(ada, "Saved.")

    maya.get_by_role("button", name="Save merged").click()
    expect(panel(maya)).to_be_focused()
    expect(maya.get_by_test_id("merged-title")).to_contain_text("Get paid")
    expect(panel(maya).get_by_label("Weight")).to_have_value("40")
    maya.get_by_role("button", name="Save merged").click()
    see_flash(maya, "Saved.")
    expect(maya.get_by_label("Title")).to_have_value("Get paid")
    expect(maya.get_by_label("Weight")).to_have_value("40")


def test_mine_can_be_discarded(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    open_draft(ada)
    save_draft(ada, Title="Get paid")
    see_flash(ada, "Saved.")
    save_draft(maya, Title="Be paid")
    maya.get_by_role("link", name="Discard mine").click()
    expect(maya.get_by_test_id("draft-form").get_by_label("Title")).to_have_value("Get paid")


@scriptless
def test_a_draft_released_meanwhile_becomes_a_new_draft(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    open_preview(ada)
    confirm(ada)
    save_draft(maya, Title="Get paid")
    expect(panel(maya)).to_be_focused()
    expect(panel(maya)).to_contain_text("This draft was released while you were editing")
    expect(maya.get_by_label("Title")).to_have_value("Get paid")

    maya.get_by_role("button", name="Start a new draft from this").click()
    see_flash(maya, "Saved as a new draft.")
    see_heading(maya, "Draft of version 5")
    expect(maya.get_by_label("Title")).to_have_value("Get paid")


@scriptless
def test_a_draft_is_discarded_and_started_from_an_older_version(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    maya.get_by_text("Discard this draft").click()
    maya.get_by_role("button", name="Discard version 4").click()
    see_flash(maya, "The draft was discarded.")

    maya.get_by_role("button", name="Start a draft from version 1").click()
    expect(maya.get_by_label("Title")).to_have_value("Payment set-up")
    expect(maya).to_have_url(at(f"/steps/{PAYMENTS}/draft"))


@scriptless
def test_two_versions_are_compared(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto(f"/steps/{PAYMENTS}")
    ines.get_by_role("radio", name="From version 1").check()
    ines.get_by_role("radio", name="To version 3").check()
    ines.get_by_role("button", name="Compare").click()
    see_heading(ines, "Version 1 and version 3")
    expect(ines.get_by_test_id("what-changes")).to_contain_text("Payment set-up")
    ines.get_by_label("To", exact=True).select_option(label="Version 4, draft")
    ines.get_by_role("button", name="Compare").click()
    see_heading(ines, "Version 1 and version 4")


def test_lines_are_compared_as_lines(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    save_draft(maya, Description="Choose a bank.\nName the owner.")
    see_flash(maya, "Saved.")
    open_draft(maya)
    save_draft(maya, Description="Choose a bank.\n\nName the owner.")
    see_flash(maya, "Saved.")
    maya.goto(f"/activity?what=drafts&step={PAYMENTS}")
    maya.get_by_test_id("activity-row-1").get_by_text("Details").click()
    change = maya.get_by_test_id("activity-row-1").get_by_role("definition")
    seen = [line for line in change.inner_text().splitlines() if line not in ("", "line break")]
    assert seen == ["Choose a bank.", "¶", "Name the owner."]
    open_preview(maya)
    after = maya.get_by_test_id("what-changes").get_by_role("row", name="Description").get_by_role("cell").last
    assert after.inner_text().splitlines()[-3:] == ["Choose a bank.", "", "Name the owner."]


def test_that_a_draft_was_overtaken_is_read_out(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    expect(maya.get_by_test_id("editing-now")).to_contain_text("Maya Lindqvist (you)")
    # that is done with what comes into a place which was there before
    maya.evaluate("window.told = document.querySelector('#editing-now [role=status]')")
    open_draft(ada)
    save_draft(ada, Title="Get paid")
    see_flash(ada, "Saved.")
    look_again(maya, "/presence")
    expect(maya.get_by_test_id("newer-draft")).to_be_visible()
    assert maya.evaluate("window.told.isConnected && window.told.textContent").startswith("Draft ")


def test_a_long_description_leaves_the_rest_of_the_form_in_reach(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    field = maya.get_by_label("Description")
    field.fill("One line\n" * 400)
    assert field.evaluate("element => element.offsetHeight <= innerHeight * .6")
    assert field.evaluate("element => element.scrollHeight > element.clientHeight")
