"""Two people save one step: the second sees what happened, keeps what was typed, and chooses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from dashboard.database import Database
from dashboard.onboarding import progress, user_steps
from dashboard.onboarding.actor import Actor
from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import (
    AMARA,
    DATA_SOURCE,
    MOBILE,
    PAYMENTS,
    choose_status,
    comment_field,
    confirm,
    open_person,
    open_preview,
    panel,
    row,
    save,
    see_saved,
    see_status,
    tab_to,
)

KEEP, MINE, EDIT = "Keep the current", "Save mine over it", "Edit"


@pytest.fixture
def ada(enter: Enter) -> Page:
    """The colleague's browser."""
    return enter("admin")


@pytest.fixture
def tomas(enter: Enter, ada: Page) -> Iterator[Page]:
    """The support agent, who has Amara's page open while Ada marks the step as skipped."""
    opened = enter("support")
    open_person(opened)
    open_person(ada)
    save(ada, PAYMENTS, "Skipped", "They pay by invoice.")
    see_saved(ada, PAYMENTS, "Skipped")
    return opened


def see_panel(page: Page, title: str, step_id: str = PAYMENTS) -> Locator:
    """Waits until the panel stands in the row's place and has the focus."""
    found = panel(page, step_id)
    expect(found).to_be_focused()
    expect(found.get_by_role("heading", name=title)).to_be_visible()
    expect(page.get_by_test_id(f"edit-{step_id}")).to_have_count(0)
    return found


def take(page: Page, way_out: str, step_id: str = PAYMENTS) -> None:
    panel(page, step_id).get_by_role("button", name=way_out).click()


def conflict(page: Page, comment: str = "The bank has confirmed it.") -> Locator:
    """Saves what was chosen on the page that is out of date."""
    save(page, PAYMENTS, "Done", comment)
    return see_panel(page, "Set up payments changed while you had it open")


def test_the_panel_says_what_happened_and_keeps_what_was_typed(tomas: Page) -> None:
    found = conflict(tomas)
    changes = found.get_by_test_id("conflict-changes")
    expect(changes).to_contain_text("Ada Whitfield")
    expect(changes).to_contain_text("They pay by invoice.")
    expect(changes.get_by_role("listitem")).to_have_count(1)
    expect(found.get_by_test_id("conflict-current")).to_contain_text("Skipped")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("Done")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("The bank has confirmed it.")
    # nothing else on the page was lost
    see_status(tomas, DATA_SOURCE, "In progress")


def test_the_current_one_can_be_kept(tomas: Page) -> None:
    conflict(tomas)
    take(tomas, KEEP)
    see_status(tomas, PAYMENTS, "Skipped")
    expect(panel(tomas, PAYMENTS)).to_have_count(0)
    expect(tomas.get_by_test_id("history")).not_to_contain_text("The bank has confirmed it.")


def test_mine_can_be_saved_over_it(tomas: Page, ada: Page) -> None:
    conflict(tomas)
    take(tomas, MINE)
    see_saved(tomas, PAYMENTS, "Done")
    open_person(ada)
    see_status(ada, PAYMENTS, "Done")
    expect(ada.get_by_test_id("history")).to_contain_text("The bank has confirmed it.")


@both_ways
def test_mine_can_be_edited_first(tomas: Page) -> None:
    conflict(tomas)
    take(tomas, EDIT)
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("done")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("The bank has confirmed it.")
    expect(comment_field(tomas, PAYMENTS)).to_be_focused()
    save(tomas, PAYMENTS, "In progress", "The bank is still asking.")
    see_saved(tomas, PAYMENTS, "In progress")


@both_ways
def test_without_a_comment_the_status_is_edited_at_once(tomas: Page) -> None:
    save(tomas, PAYMENTS, "Done")
    take(tomas, EDIT)
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_be_focused()


@both_ways
def test_it_can_conflict_again_while_being_resolved(tomas: Page, ada: Page) -> None:
    conflict(tomas)
    save(ada, PAYMENTS, "In progress", "They changed their mind.")
    see_saved(ada, PAYMENTS, "In progress")

    take(tomas, MINE)
    found = see_panel(tomas, "Set up payments changed while you had it open")
    expect(found.get_by_test_id("conflict-changes")).to_contain_text("They changed their mind.")
    expect(found.get_by_test_id("conflict-current")).to_contain_text("In progress")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("The bank has confirmed it.")
    take(tomas, MINE)
    see_saved(tomas, PAYMENTS, "Done")


def test_the_same_value_needs_nothing(tomas: Page) -> None:
    save(tomas, PAYMENTS, "Skipped")
    found = see_panel(tomas, "Already Skipped - nothing to do")
    expect(found.get_by_role("button", name=MINE)).to_have_count(0)
    take(tomas, KEEP)
    see_status(tomas, PAYMENTS, "Skipped")


def test_a_release_meanwhile_is_named_as_one(enter: Enter, ada: Page) -> None:
    tomas = enter("support")
    open_person(tomas)
    open_preview(ada)
    confirm(ada, "Payouts are part of it now.")

    save(tomas, PAYMENTS, "Done")
    found = see_panel(tomas, "Set up payments and payouts changed while you had it open")
    expect(found.get_by_test_id("conflict-changes")).to_contain_text("Reset by the release of version 4")
    expect(found.get_by_test_id("conflict-changes")).to_contain_text("Payouts are part of it now.")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("Your choice still makes sense.")
    take(tomas, MINE)
    see_saved(tomas, PAYMENTS, "Done")


def test_a_rollback_meanwhile_is_named_as_one(enter: Enter, ada: Page) -> None:
    tomas = enter("support")
    open_person(tomas)
    open_preview(ada, deed="rollback")
    confirm(ada, "The bank check is down.")

    save(tomas, PAYMENTS, "Done")
    found = see_panel(tomas, "Payment set-up changed while you had it open")
    expect(found.get_by_test_id("conflict-changes")).to_contain_text("by the rollback to version 1")
    expect(found.get_by_test_id("conflict-changes")).to_contain_text("The bank check is down.")
    take(tomas, MINE)
    see_saved(tomas, PAYMENTS, "Done")


def test_the_person_themselves_was_faster(enter: Enter, database: Database) -> None:
    tomas = enter("support")
    open_person(tomas)
    with database.transaction() as session:
        seen = user_steps.step_of(session, AMARA, PAYMENTS).row_version
        progress.save(session, Actor(f"user:{AMARA}", "api"), AMARA, PAYMENTS, "done", seen)

    save(tomas, PAYMENTS, "Skipped")
    found = see_panel(tomas, "Set up payments changed while you had it open")
    expect(found.get_by_test_id("conflict-changes")).to_contain_text("Amara Okafor, API")
    take(tomas, KEEP)
    see_status(tomas, PAYMENTS, "Done")


@both_ways
def test_a_person_erased_meanwhile_is_no_longer_here(enter: Enter, ada: Page) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, MOBILE, "Done")
    ada.goto(f"/people/{AMARA}/erase")
    ada.get_by_label("Confirm their id").fill(AMARA)
    ada.get_by_role("button", name="Erase permanently").click()
    expect(ada.get_by_test_id("flash")).to_contain_text("The person was erased.")

    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    found = tomas.get_by_test_id("gone-panel")
    expect(found).to_be_focused()
    expect(found.get_by_role("heading", level=1)).to_have_text("This person is no longer here")
    expect(found).to_contain_text("The bank has confirmed it.")
    expect(found).to_contain_text("Install the mobile app")
    expect(tomas.get_by_text("Amara Okafor")).to_have_count(0)


def test_of_several_rows_those_that_moved_are_told_and_the_others_saved(tomas: Page) -> None:
    choose_status(tomas, DATA_SOURCE, "Done")
    choose_status(tomas, PAYMENTS, "Done")
    comment_field(tomas, PAYMENTS).fill("The bank has confirmed it.")
    tomas.get_by_role("button", name="Save all changes").click()
    found = see_panel(tomas, "Set up payments changed while you had it open")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("The bank has confirmed it.")
    see_saved(tomas, DATA_SOURCE, "Done")
    take(tomas, MINE)
    see_saved(tomas, PAYMENTS, "Done")


def test_a_step_withdrawn_meanwhile_has_nothing_to_save(enter: Enter, ada: Page) -> None:
    tomas = enter("support")
    open_person(tomas)
    open_preview(ada, deed="withdraw")
    confirm(ada, "The provider has closed.")

    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    found = see_panel(tomas, "Set up payments was withdrawn")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("The bank has confirmed it.")
    found.get_by_role("link", name="Back to the steps").click()
    expect(row(tomas, PAYMENTS)).to_have_count(0)


def test_a_conflict_is_resolved_by_keyboard_alone(tomas: Page) -> None:
    tab_to(tomas, tomas.get_by_test_id(f"status-{PAYMENTS}"))
    tomas.keyboard.press("ArrowDown")
    tomas.keyboard.press("Enter")
    found = see_panel(tomas, "Set up payments changed while you had it open")
    tab_to(tomas, found.get_by_role("button", name=MINE), most=5)
    tomas.keyboard.press("Enter")
    see_saved(tomas, PAYMENTS, "Done")
    expect(row(tomas, PAYMENTS)).to_be_focused()


def test_an_undo_can_conflict_too(enter: Enter, ada: Page) -> None:
    tomas = enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    open_person(ada)
    save(ada, PAYMENTS, "Skipped")
    see_saved(ada, PAYMENTS, "Skipped")

    row(tomas, PAYMENTS).get_by_role("button", name="Undo").click()
    found = see_panel(tomas, "Set up payments changed while you had it open")
    expect(found.get_by_test_id("conflict-current")).to_contain_text("Skipped")
    expect(found.get_by_test_id("conflict-yours")).to_contain_text("In progress")
