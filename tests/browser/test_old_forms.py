"""A page that was open too long, so that its forms have a token of before: nothing typed is lost, and it can be sent."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import (
    PAYMENTS,
    comment_field,
    open_draft,
    open_person,
    save,
    save_draft,
    see_flash,
    see_saved,
    see_status,
)


def forget_the_token(page: Page) -> None:
    """As if the browser had been closed meanwhile, and its staff were signed in still."""
    page.context.clear_cookies(name="dashboard")


@both_ways
def test_a_draft_is_kept_and_sent_again(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    forget_the_token(maya)
    save_draft(maya, Title="Get paid <b>soon</b>", Description="Connect a bank.\nThen wait.")
    kept = maya.get_by_test_id("old-form")
    expect(kept).to_contain_text("You have signed in again")
    expect(kept).to_contain_text("Nothing was saved yet")
    expect(kept).to_contain_text("Get paid <b>soon</b>")
    kept.get_by_role("button", name="Send it again").click()
    see_flash(maya, "Saved.")
    expect(maya.get_by_label("Title")).to_have_value("Get paid <b>soon</b>")
    expect(maya.get_by_label("Description")).to_have_value("Connect a bank.\nThen wait.")


@both_ways
def test_what_was_typed_can_be_left(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    forget_the_token(maya)
    save_draft(maya, Title="Get paid")
    maya.get_by_test_id("old-form").get_by_role("link", name="Cancel").click()
    expect(maya.get_by_label("Title")).not_to_have_value("Get paid")


def test_a_row_is_sent_once_more_by_itself(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    forget_the_token(tomas)
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    see_saved(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id("notice")).to_have_count(0)
    expect(tomas.get_by_test_id("history")).to_contain_text("The bank has confirmed it.")
    # and whatever else is on the page
    tomas.get_by_test_id(f"undo-{PAYMENTS}").click()
    expect(tomas.get_by_test_id(f"now-{PAYMENTS}")).to_have_text("In progress")


def test_another_theme_is_remembered_by_itself(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    forget_the_token(tomas)
    with tomas.expect_response(lambda answer: answer.url.endswith("/theme") and answer.status == 303):
        tomas.get_by_role("button", name="Dark").click()
    expect(tomas.get_by_test_id("notice")).to_have_count(0)
    tomas.reload()
    expect(tomas.locator("html")).to_have_attribute("data-bs-theme", "dark")


def test_that_another_theme_is_not_remembered_is_said(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    tomas.evaluate("document.querySelector('.theme [value=dark]').value = 'pink'")
    tomas.get_by_role("button", name="Dark").click()
    expect(tomas.get_by_test_id("notice")).to_have_attribute("data-status", "422")


def test_for_somebody_else_nothing_is_sent_by_itself(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    other = tomas.context.new_page()
    other.goto("/")
    other.get_by_test_id("sign-out").click()
    other.get_by_test_id("sign-in-as-admin").click()
    expect(other.get_by_test_id("account")).to_be_visible()
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    expect(tomas.get_by_test_id("notice")).to_contain_text("Send it again as Ada Whitfield")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("The bank has confirmed it.")
    see_status(tomas, PAYMENTS, "In progress")
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    see_saved(tomas, PAYMENTS, "Done")


def test_an_order_is_sent_once_more_by_itself(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/steps")
    forget_the_token(maya)
    handle = maya.get_by_test_id(f"step-row-{PAYMENTS}").locator("[data-handle]")
    before = maya.locator("[data-handle]").evaluate_all("all => all.map((one) => one.id)")
    with maya.expect_response(lambda response: response.request.method == "POST" and response.status == 200):
        handle.press("ArrowUp")
    expect(maya.get_by_test_id("notice")).to_have_count(0)
    maya.reload()
    after = maya.locator("[data-handle]").evaluate_all("all => all.map((one) => one.id)")
    assert after != before
    assert sorted(after) == sorted(before)
