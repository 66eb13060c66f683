"""A person's page: several rows saved at once, marks where rows moved meanwhile, an earlier day, and erasing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import (
    AMARA,
    DATA_SOURCE,
    MOBILE,
    PAYMENTS,
    at,
    choose_status,
    comment_field,
    confirm,
    look_again,
    open_person,
    open_preview,
    panel,
    row,
    save,
    see_flash,
    see_heading,
    see_saved,
    see_status,
    tab_to,
)

# Several rows --------------------------------------------------------------------------------------------------------


@both_ways
def test_several_rows_are_saved_with_one_press_and_undone_one_by_one(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, PAYMENTS, "Done")
    choose_status(tomas, MOBILE, "In progress")
    comment_field(tomas, DATA_SOURCE).fill("Still on the phone with her.")
    tomas.get_by_test_id("save-all").click()

    see_saved(tomas, PAYMENTS, "Done")
    see_saved(tomas, MOBILE, "In progress")
    see_saved(tomas, DATA_SOURCE, "In progress")
    expect(tomas.get_by_test_id("history")).to_contain_text("Still on the phone with her.")
    row(tomas, MOBILE).get_by_role("button", name="Undo").click()
    see_status(tomas, MOBILE, "Skipped")
    see_status(tomas, PAYMENTS, "Done")


def test_what_came_of_it_is_announced_and_the_focus_stays(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, PAYMENTS, "Done")
    choose_status(tomas, MOBILE, "Done")
    tomas.get_by_test_id("save-all").click()
    expect(tomas.locator("#said")).to_have_text("Saved 2 steps.")
    expect(tomas.get_by_test_id("save-all")).to_be_focused()


def test_what_is_changed_is_counted_and_the_button_stays_in_sight(enter: Enter) -> None:
    tomas = enter("support", viewport={"width": 360, "height": 640})
    open_person(tomas)
    bar = tomas.get_by_test_id("save-all-bar")
    expect(bar).to_contain_text("Each save is checked")
    expect(bar).not_to_be_in_viewport()
    choose_status(tomas, PAYMENTS, "Done")
    tomas.evaluate("scrollTo(0, 600)")
    expect(bar).to_contain_text("1 step changed, not saved yet")
    expect(bar).to_be_in_viewport()
    comment_field(tomas, MOBILE).fill("x")
    expect(bar).to_contain_text("2 steps changed, not saved yet")
    tomas.keyboard.press("Escape")
    tomas.keyboard.press("Escape")
    choose_status(tomas, PAYMENTS, "In progress")
    expect(bar).to_contain_text("Each save is checked")


def test_a_row_that_is_saved_by_itself_leaves_the_others_as_they_are(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, MOBILE, "Done")
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
    see_status(tomas, MOBILE, "Skipped")
    expect(tomas.get_by_test_id("save-all-bar")).to_contain_text("1 step changed")


def test_enter_in_a_comment_saves_its_row_alone(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, PAYMENTS, "Done")
    comment_field(tomas, MOBILE).fill("Asked again.")
    tomas.keyboard.press("Enter")
    expect(row(tomas, MOBILE)).to_contain_text("Saved")
    see_status(tomas, PAYMENTS, "In progress")


@both_ways
def test_a_row_that_is_saved_or_undone_leaves_what_the_others_hold(enter: Enter) -> None:
    tomas, ada = enter("support"), enter("admin")
    for someone in (tomas, ada):
        open_person(someone)
    save(ada, PAYMENTS, "Skipped")
    see_status(ada, PAYMENTS, "Skipped")
    choose_status(tomas, MOBILE, "Done")
    save(tomas, PAYMENTS, "Done")
    tomas.get_by_test_id("conflict-keep").click()
    see_status(tomas, PAYMENTS, "Skipped")
    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
    save(tomas, DATA_SOURCE, "Done")
    see_saved(tomas, DATA_SOURCE, "Done")
    row(tomas, DATA_SOURCE).get_by_role("button", name="Undo").click()
    see_status(tomas, DATA_SOURCE, "In progress")
    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
    save(tomas, MOBILE, "Done")
    see_saved(tomas, MOBILE, "Done")


@scriptless
def test_without_a_script_enter_in_a_comment_saves_all_that_was_changed(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, PAYMENTS, "Done")
    comment_field(tomas, MOBILE).press("Enter")
    see_flash(tomas, "Saved 1 step.")
    see_status(tomas, PAYMENTS, "Done")


def test_escape_after_edit_returns_to_what_counts(enter: Enter) -> None:
    tomas, ada = enter("support"), enter("admin")
    open_person(tomas)
    open_person(ada)
    save(ada, PAYMENTS, "Skipped")
    see_saved(ada, PAYMENTS, "Skipped")
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    panel(tomas, PAYMENTS).get_by_role("button", name="Edit").click()
    expect(tomas.get_by_test_id("save-all-bar")).to_contain_text("1 step changed")
    tomas.get_by_test_id(f"status-{PAYMENTS}").press("Escape")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("skipped")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("")


def test_escape_folds_a_comment_and_keeps_it_and_restores_the_row_next(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    choose_status(tomas, PAYMENTS, "Done")
    comment = comment_field(tomas, PAYMENTS)
    comment.fill("The bank has confirmed it.")
    comment.press("Escape")
    expect(comment).to_be_hidden()
    expect(tomas.get_by_label("Comment on Set up payments")).to_be_focused()
    expect(comment).to_have_value("The bank has confirmed it.")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("done")
    tomas.keyboard.press("Escape")
    expect(comment).to_have_value("")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("in_progress")


def test_a_click_elsewhere_folds_a_comment_and_keeps_it(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    comment = comment_field(tomas, PAYMENTS)
    comment.fill("The bank has confirmed it.")
    row(tomas, PAYMENTS).get_by_test_id(f"now-{PAYMENTS}").click()
    expect(comment).to_be_visible()
    tomas.get_by_role("heading", level=1).click()
    expect(comment).to_be_hidden()
    expect(comment).to_have_value("The bank has confirmed it.")
    save(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id("history")).to_contain_text("The bank has confirmed it.")


WIDTHS = pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 640)])


@WIDTHS
@both_ways
def test_a_comment_lies_over_nothing(enter: Enter, width: int, height: int) -> None:
    tomas = enter("support", viewport={"width": width, "height": height})
    open_person(tomas)
    comment = comment_field(tomas, PAYMENTS)
    comment.scroll_into_view_if_needed()
    low = comment.bounding_box()
    rows = {one: row(tomas, one).bounding_box() for one in (PAYMENTS, MOBILE)}
    save_it = tomas.get_by_test_id(f"save-{PAYMENTS}").bounding_box()
    assert low
    assert save_it
    assert rows[PAYMENTS]
    assert rows[MOBILE]
    assert save_it["y"] + save_it["height"] <= low["y"], "it opens below the fields of its row"
    assert low["y"] + low["height"] <= rows[PAYMENTS]["y"] + rows[PAYMENTS]["height"] <= rows[MOBILE]["y"] + 1
    # nothing is laid over the controls of the next row
    tomas.get_by_test_id(f"save-{MOBILE}").click(trial=True)
    choose_status(tomas, MOBILE, "Done")


def test_the_mark_of_a_row_that_moved_is_beside_its_open_comment(enter: Enter) -> None:
    tomas = enter("support", viewport={"width": 360, "height": 640})
    open_person(tomas)
    comment_field(tomas, PAYMENTS).fill("Half of a sentence")
    a_colleague_saves(enter)
    look_again(tomas)
    tomas.get_by_test_id(f"show-{PAYMENTS}").click()
    expect(panel(tomas, PAYMENTS).get_by_test_id("conflict-yours")).to_contain_text("Half of a sentence")


def test_nothing_changed_is_said_where_it_is_seen(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    bar = tomas.get_by_test_id("save-all-bar")
    tomas.get_by_test_id("save-all").click()
    expect(bar).to_contain_text("Nothing was changed, so nothing was saved.")
    choose_status(tomas, PAYMENTS, "Done")
    expect(bar).to_contain_text("1 step changed, not saved yet")
    choose_status(tomas, PAYMENTS, "In progress")
    expect(bar).to_contain_text("Each save is checked")
    entries = tomas.get_by_test_id("history").get_by_role("row").count()
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    expect(row(tomas, PAYMENTS)).to_contain_text("Nothing changed")
    expect(tomas.get_by_test_id("history").get_by_role("row")).to_have_count(entries)


def test_by_keyboard_alone(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    for step_id in (PAYMENTS, MOBILE):
        tab_to(tomas, tomas.get_by_test_id(f"status-{step_id}"))
        tomas.keyboard.press("ArrowDown" if step_id == PAYMENTS else "ArrowUp")
    tab_to(tomas, tomas.get_by_test_id("save-all"))
    tomas.keyboard.press("Enter")
    see_saved(tomas, PAYMENTS, "Done")
    see_saved(tomas, MOBILE, "Done")


# What moved meanwhile ------------------------------------------------------------------------------------------------


def a_colleague_saves(enter: Enter, status: str = "Done") -> Page:
    ada = enter("admin")
    open_person(ada)
    save(ada, PAYMENTS, status, "The bank has confirmed it.")
    see_saved(ada, PAYMENTS, status)
    return ada


def test_an_open_page_learns_by_itself_that_a_row_moved(enter: Enter) -> None:
    tomas = enter("support", asks_by_itself=True)
    tomas.clock.install()
    open_person(tomas)
    choose_status(tomas, MOBILE, "Done")
    a_colleague_saves(enter)
    tomas.clock.fast_forward(8_000)
    expect(tomas.get_by_test_id(f"moved-{PAYMENTS}")).to_contain_text("Changed by Ada Whitfield")
    expect(tomas.locator("#said")).to_contain_text("Set up payments: Changed by Ada Whitfield.")
    # what is being edited and what is there are as they were
    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
    see_status(tomas, PAYMENTS, "In progress")

    tomas.get_by_role("button", name="Show Set up payments as it is now").click()
    see_status(tomas, PAYMENTS, "Done")
    expect(row(tomas, PAYMENTS)).to_be_focused()
    expect(tomas.get_by_test_id(f"moved-{PAYMENTS}")).to_have_count(0)
    expect(tomas.get_by_test_id("history")).to_contain_text("The bank has confirmed it.")
    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")


def test_a_mark_takes_neither_the_focus_nor_what_is_typed(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    comment_field(tomas, PAYMENTS).fill("Half of a sent")
    a_colleague_saves(enter)
    look_again(tomas)
    expect(tomas.get_by_test_id(f"moved-{PAYMENTS}")).to_be_visible()
    tomas.keyboard.type("ence")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("Half of a sentence")

    tomas.get_by_test_id(f"show-{PAYMENTS}").click()
    expect(panel(tomas, PAYMENTS)).to_be_focused()
    expect(panel(tomas, PAYMENTS).get_by_test_id("conflict-yours")).to_contain_text("Half of a sentence")
    panel(tomas, PAYMENTS).get_by_role("button", name="Edit").click()
    expect(comment_field(tomas, PAYMENTS)).to_have_value("Half of a sentence")
    see_status(tomas, PAYMENTS, "Done")


def test_a_release_is_named_and_a_viewer_is_told_too(enter: Enter) -> None:
    ines, ada = enter("viewer"), enter("admin")
    open_person(ines)
    open_preview(ada)
    confirm(ada, "Payouts are part of it now.")
    look_again(ines)
    expect(ines.get_by_test_id(f"moved-{PAYMENTS}")).to_contain_text("Reset by the release of version 4")
    ines.get_by_role("link", name="Show Set up payments and payouts as it is now").click()
    see_status(ines, PAYMENTS, "To do")
    expect(row(ines, PAYMENTS)).to_contain_text("Payouts are part of it now.")


def test_a_panel_that_is_open_is_told_and_shows_it(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    ada = a_colleague_saves(enter)
    save(tomas, PAYMENTS, "Skipped", "They pay by invoice.")
    expect(panel(tomas, PAYMENTS)).to_be_focused()
    save(ada, PAYMENTS, "To do", "They left.")
    see_saved(ada, PAYMENTS, "To do")
    look_again(tomas)
    row(tomas, PAYMENTS).get_by_test_id(f"show-{PAYMENTS}").click()
    expect(panel(tomas, PAYMENTS).get_by_test_id("conflict-changes")).to_contain_text("They left.")
    expect(panel(tomas, PAYMENTS).get_by_test_id("conflict-yours")).to_contain_text("They pay by invoice.")


def test_what_one_saves_oneself_is_no_news(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    choose_status(tomas, MOBILE, "Done")
    choose_status(tomas, DATA_SOURCE, "Done")
    tomas.get_by_test_id("save-all").click()
    see_saved(tomas, MOBILE, "Done")
    assert look_again(tomas).status == 204


def asked(page: Page) -> list[Request]:
    """What the page asks for by itself from now on."""
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request) if "/moved" in request.url else None)
    return seen


def test_nothing_is_asked_while_the_tab_is_hidden(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    seen = asked(tomas)
    tomas.evaluate("Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })")
    for _ in range(3):
        tomas.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    tomas.evaluate("delete document.hidden")
    look_again(tomas)
    assert len(seen) == 1


def test_a_session_that_has_ended_stops_it_quietly(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    comment_field(tomas, PAYMENTS).fill("Half of a sentence")
    tomas.context.clear_cookies(name="staff_session")
    seen = asked(tomas)
    look_again(tomas)
    tomas.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("Half of a sentence")
    expect(tomas.get_by_test_id("notice")).to_have_count(0)
    expect(tomas).to_have_url(at(f"/people/{AMARA}"))
    assert len(seen) == 1
    # what one does oneself is told
    save(tomas, DATA_SOURCE, "Done")
    expect(tomas.get_by_test_id("notice")).to_contain_text("You are signed out")


def test_an_erased_person_is_told_and_asked_for_no_more(enter: Enter) -> None:
    tomas, ada = enter("support"), enter("admin")
    open_person(tomas)
    comment_field(tomas, PAYMENTS).fill("Half of a sentence")
    erase(ada)
    look_again(tomas)
    expect(tomas.get_by_test_id("person-gone")).to_contain_text("This person is no longer here")
    expect(tomas.locator("#said")).to_have_text("This person is no longer here.")
    expect(comment_field(tomas, PAYMENTS)).to_have_value("Half of a sentence")
    seen = asked(tomas)
    tomas.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    tomas.wait_for_load_state("networkidle")
    assert seen == []


# An earlier day ------------------------------------------------------------------------------------------------------


@both_ways
def test_an_earlier_day_is_looked_at_and_left(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    tomas.get_by_text("View an earlier day").click()
    # after the rollback of payments, before its release as version 3
    moment = datetime.now(UTC) - timedelta(days=15)
    tomas.get_by_label("As it was on").fill(moment.strftime("%Y-%m-%d"))
    tomas.get_by_test_id("earlier-form").get_by_role("button", name="Show").click()
    expect(tomas.get_by_test_id("as-of")).to_contain_text("Nothing here can be changed.")
    see_status(tomas, PAYMENTS, "In progress")
    see_status(tomas, DATA_SOURCE, "To do")
    expect(row(tomas, PAYMENTS)).to_contain_text("version 1")
    expect(tomas.get_by_role("combobox")).to_have_count(0)
    tomas.get_by_role("link", name="Back to now").click()
    expect(tomas.get_by_test_id(f"save-{PAYMENTS}")).to_be_visible()


def test_no_day_is_said_at_the_field(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    tomas.get_by_text("View an earlier day").click()
    tomas.get_by_test_id("earlier-form").get_by_role("button", name="Show").click()
    expect(tomas.get_by_test_id("as_of-error")).to_contain_text("Choose a day.")
    expect(tomas.get_by_label("As it was on")).to_be_focused()
    expect(tomas.get_by_test_id(f"save-{PAYMENTS}")).to_be_visible()


LINES = """cells => cells.map((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return range.getClientRects().length;
})"""


@WIDTHS
def test_the_history_keeps_a_change_on_one_line(enter: Enter, width: int, height: int) -> None:
    tomas = enter("support", viewport={"width": width, "height": height})
    open_person(tomas)
    history = tomas.get_by_test_id("history")
    heights = (
        history.locator("td")
        .get_by_text("To do")
        .evaluate_all("pills => pills.map((pill) => pill.parentElement.offsetHeight)")
    )
    assert heights
    assert max(heights) < 30
    if width == 1280:
        lines = history.get_by_role("rowheader", name="Connect a data source").evaluate_all(LINES)
        assert set(lines) == {1}
    assert tomas.evaluate("document.documentElement.scrollWidth") == width


def test_a_day_before_they_joined_is_refused_at_the_field(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(f"/people/{AMARA}?as_of=2020-01-01T00:00")
    field = tomas.get_by_label("As it was on")
    expect(field).to_be_visible()
    expect(field).to_have_value("2020-01-01")
    expect(tomas.get_by_test_id("as_of-error")).to_contain_text("is before they joined.")
    expect(tomas.get_by_test_id(f"save-{PAYMENTS}")).to_be_visible()


# What is stored ------------------------------------------------------------------------------------------------------


def erase(page: Page) -> None:
    """Erases Amara by the typed id."""
    page.goto(f"/people/{AMARA}/erase")
    page.get_by_label("Confirm their id").fill(AMARA)
    page.get_by_test_id("erase").click()
    see_flash(page, "The person was erased.")


@both_ways
def test_what_is_stored_is_exported_and_the_person_erased(enter: Enter, tmp_path: Path) -> None:
    tomas = enter("support")
    open_person(tomas)
    with tomas.expect_download() as download:
        tomas.get_by_test_id("export-person").click()
    download.value.save_as(tmp_path / "amara.json")
    given = json.loads((tmp_path / "amara.json").read_text())
    assert given["person"]["name"] == "Amara Okafor"
    assert download.value.suggested_filename == f"{AMARA}.json"

    tomas.get_by_test_id("erase-person").click()
    see_heading(tomas, "Erase Amara Okafor")
    tomas.get_by_label("Confirm their id").fill("amara")
    tomas.get_by_test_id("erase").click()
    expect(tomas.get_by_test_id("typed-error")).to_contain_text("No one was erased.")
    field = tomas.get_by_label("Confirm their id")
    expect(field).to_have_value("amara")
    field.fill(AMARA)
    tomas.get_by_test_id("erase").click()
    see_flash(tomas, "The person was erased.")
    tomas.goto("/people?q=amara okafor")
    expect(tomas.get_by_role("link", name="Amara Okafor", exact=True)).to_have_count(0)
    tomas.goto(f"/people/{AMARA}")
    expect(tomas.get_by_test_id("fault")).to_have_attribute("data-status", "404")
