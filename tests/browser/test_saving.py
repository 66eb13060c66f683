"""The support agent puts a step right, in its row."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import (
    AMARA,
    MOBILE,
    PAYMENTS,
    comment_field,
    open_person,
    row,
    save,
    see_heading,
    see_saved,
    see_status,
    tab_to,
)


@both_ways
def test_a_step_is_found_saved_and_undone(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people?q=amara")
    tomas.get_by_role("link", name="Amara Okafor").click()
    see_heading(tomas, "Amara Okafor")
    progress = tomas.get_by_test_id("figure-progress").inner_text()
    see_status(tomas, PAYMENTS, "In progress")

    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    see_saved(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id("figure-progress")).not_to_have_text(progress)
    expect(tomas.get_by_test_id("history").get_by_role("row").nth(1)).to_contain_text("The bank has confirmed it.")

    tomas.get_by_role("button", name="Undo").click()
    see_status(tomas, PAYMENTS, "In progress")
    expect(tomas.get_by_role("button", name="Redo").or_(tomas.get_by_role("button", name="Undo"))).to_be_visible()
    open_person(tomas)
    see_status(tomas, PAYMENTS, "In progress")
    assert tomas.get_by_test_id("figure-progress").inner_text() == progress


@both_ways
def test_two_saves_in_a_row_do_not_conflict(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    save(tomas, PAYMENTS, "Skipped")
    see_saved(tomas, PAYMENTS, "Skipped")
    save(tomas, MOBILE, "Done")
    see_saved(tomas, MOBILE, "Done")


def test_a_save_is_announced_and_leaves_the_focus_in_its_row(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    expect(tomas.locator("#said")).to_have_text("Saved. Set up payments is now Done.")
    expect(tomas.get_by_test_id(f"save-{PAYMENTS}")).to_be_focused()


def test_what_is_being_typed_in_another_row_stays(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    comment_field(tomas, MOBILE).fill("Half of a sentence")
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    expect(comment_field(tomas, MOBILE)).to_have_value("Half of a sentence")


def test_by_keyboard_alone(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(f"/people?q={AMARA}")
    tab_to(tomas, tomas.get_by_role("link", name="Amara Okafor"))
    tomas.keyboard.press("Enter")
    see_heading(tomas, "Amara Okafor")

    status = tomas.get_by_test_id(f"status-{PAYMENTS}")
    tab_to(tomas, status)
    tomas.keyboard.press("ArrowDown")
    expect(status).to_have_value("done")
    tomas.keyboard.press("Tab")
    tomas.keyboard.press("Enter")
    tomas.keyboard.press("Tab")
    tomas.keyboard.type("Confirmed by email.")
    tomas.keyboard.press("Enter")
    see_saved(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id("history")).to_contain_text("Confirmed by email.")
    # a panel or a row that was swapped has the focus: the next Tab goes on from there
    expect(row(tomas, PAYMENTS)).to_be_focused()

    tab_to(tomas, tomas.get_by_role("button", name="Undo"))
    tomas.keyboard.press("Enter")
    see_status(tomas, PAYMENTS, "In progress")


def test_enter_in_the_select_saves(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    status = tomas.get_by_test_id(f"status-{PAYMENTS}")
    tab_to(tomas, status)
    tomas.keyboard.press("ArrowDown")
    tomas.keyboard.press("Enter")
    see_saved(tomas, PAYMENTS, "Done")
    expect(status).to_be_focused()


def test_escape_puts_back_what_was_there(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    tomas.get_by_test_id(f"status-{PAYMENTS}").select_option("done")
    comment = comment_field(tomas, PAYMENTS)
    comment.fill("Half of a sentence")
    tomas.keyboard.press("Escape")
    expect(comment).to_be_hidden()
    expect(comment).to_have_value("Half of a sentence")
    tomas.keyboard.press("Escape")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("in_progress")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("")


def test_a_comment_too_long_is_refused_and_kept(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    # the field stops at 2,000 letters; a script of the host page need not
    comment_field(tomas, PAYMENTS).evaluate("field => { field.maxLength = 9000; }")
    save(tomas, PAYMENTS, "Done", "a" * 2_001)
    expect(tomas.get_by_test_id(f"problem-{PAYMENTS}")).to_contain_text("Nothing was saved.")
    see_status(tomas, PAYMENTS, "In progress")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("done")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("a" * 2_001)
