"""The support agent puts a step right, in its row."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import (
    AMARA,
    MOBILE,
    PAYMENTS,
    choose_status,
    comment_field,
    open_person,
    row,
    save,
    see_heading,
    see_saved,
    see_status,
    tab_to,
    until,
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
    expect(tomas.get_by_role("button", name="Redo")).to_be_visible()
    open_person(tomas)
    see_status(tomas, PAYMENTS, "In progress")
    assert tomas.get_by_test_id("figure-progress").inner_text() == progress


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


@pytest.mark.parametrize("first", ["row", "all"])
def test_a_row_and_all_rows_are_saved_one_after_the_other(enter: Enter, first: str) -> None:
    tomas = enter("support")
    open_person(tomas)
    sent: list[Route] = []

    def hold_the_first(route: Route) -> None:
        sent.append(route)
        if len(sent) > 1:
            route.continue_()

    tomas.route(re.compile(r"/steps(/[a-z-]+)?$"), hold_the_first)
    presses = [tomas.get_by_test_id(f"save-{PAYMENTS}"), tomas.get_by_test_id("save-all")]
    if first == "all":
        presses.reverse()

    choose_status(tomas, PAYMENTS, "Done")
    presses[0].click()
    until(tomas, lambda: sent)
    if first == "all":
        # a row that all rows' request has not got
        presses[1] = tomas.get_by_test_id(f"save-{MOBILE}")
    choose_status(tomas, MOBILE, "Done")
    presses[1].click()
    tomas.wait_for_timeout(200)
    assert len(sent) == 1, "both were sent at once"
    sent[0].continue_()
    see_saved(tomas, PAYMENTS, "Done")
    see_saved(tomas, MOBILE, "Done")
    expect(tomas.get_by_test_id("conflict-panel")).to_have_count(0)


def test_saving_all_after_the_only_changed_row_asks_for_nothing(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    held: list[Route] = []
    tomas.route(re.compile(r"/steps/[a-z-]+$"), lambda route: held.append(route))
    save(tomas, PAYMENTS, "Done")
    until(tomas, lambda: held)
    tomas.get_by_test_id("save-all").click()
    held[0].continue_()
    see_saved(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id("conflict-panel")).to_have_count(0)
    expect(tomas.locator("#said")).to_have_text("Saved. Set up payments is now Done.")
