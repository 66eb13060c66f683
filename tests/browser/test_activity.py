"""Who did what: the filter and the address that follows it, the pages, the way back, the file."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import AMARA, DATA_SOURCE, MOBILE, PAYMENTS, at, open_person, save, see_heading, see_saved


def rows(page: Page) -> Locator:
    return page.get_by_test_id("activity-list").locator("tbody").get_by_role("row")


def moments(page: Page) -> list[str]:
    """The exact times of the rows; how long ago each was becomes another text while a test runs."""
    titles: list[str] = rows(page).locator("time").evaluate_all("all => all.map((time) => time.title)")
    return titles


def choose(page: Page, label: str, option: str) -> None:
    """An option of the filter; without scripts the button is pressed too."""
    page.get_by_test_id("activity-filter").get_by_label(label, exact=True).select_option(label=option)
    press(page)


def press(page: Page) -> None:
    page.get_by_test_id("activity-filter").get_by_role("button", name="Filter").click()


def test_the_overview_leads_to_all_releases_and_on_to_a_receipt(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/")
    ines.get_by_test_id("newest-releases").get_by_role("link", name="All activity").click()
    see_heading(ines, "Activity")
    expect(rows(ines)).to_have_count(12)
    expect(ines.get_by_test_id("activity-row-1")).to_contain_text("Released version 2")
    ines.get_by_test_id("activity-row-1").get_by_role("link", name="Released version 2").click()
    expect(ines.get_by_test_id("receipt")).to_be_visible()
    expect(ines).to_have_url(at(f"/steps/{DATA_SOURCE}/releases/2"))


def test_what_was_done_just_now_is_at_the_top_and_leads_to_the_person(enter: Enter) -> None:
    tomas = enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    expect(tomas.get_by_test_id(f"now-{PAYMENTS}")).to_have_text("Done")
    tomas.get_by_role("navigation", name="Main").get_by_role("link", name="Activity").click()
    newest = tomas.get_by_test_id("activity-row-1")
    for text in (
        "Tomás Okafor",
        "Support agent",
        "Set up payments",
        "In progress",
        "Done",
        "The bank has confirmed it.",
    ):
        expect(newest).to_contain_text(text)
    newest.get_by_role("link", name="Amara Okafor").click()
    see_heading(tomas, "Amara Okafor")


@both_ways
def test_filters_add_up_and_can_be_taken_away(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity")
    expect(rows(maya)).to_have_count(50)
    choose(maya, "Who", "Tomás Okafor, Support agent")
    expect(maya).to_have_url(re.compile("who=staff%3Atomas%40demo.example"))
    expect(maya.get_by_test_id("filter-chips")).to_contain_text("By Tomás Okafor")
    maya.get_by_label("Person", exact=True).fill(AMARA)
    press(maya)
    expect(maya.get_by_test_id("filter-chips")).to_contain_text("Amara Okafor")
    maya.wait_for_load_state()
    everything = rows(maya).count()
    choose(maya, "Step", "Install the mobile app")
    expect(maya).to_have_url(re.compile(f"step={MOBILE}"))
    expect(rows(maya)).to_have_count(1)
    expect(maya.get_by_test_id("activity-row-1")).to_contain_text("Works at a desk")

    maya.get_by_role("link", name="Remove filter: Install the mobile app").click()
    expect(rows(maya)).to_have_count(everything)
    expect(maya.get_by_label("Step", exact=True)).to_have_value("")
    maya.get_by_role("link", name="Clear all").click()
    expect(rows(maya)).to_have_count(50)
    expect(maya).to_have_url(at("/activity"))
    expect(maya.get_by_label("Who", exact=True)).to_have_value("")


def test_the_list_follows_each_choice_and_back_brings_the_one_before(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity")
    what = maya.get_by_label("What", exact=True)
    what.focus()
    what.select_option("releases")
    expect(rows(maya)).to_have_count(12)
    expect(what).to_be_focused()
    what.select_option("imports")
    expect(maya.get_by_test_id("no-activity")).to_contain_text("Nothing matches")
    maya.go_back()
    expect(rows(maya)).to_have_count(12)
    expect(what).to_have_value("releases")
    maya.go_back()
    expect(rows(maya)).to_have_count(50)
    expect(what).to_have_value("")
    maya.go_forward()
    expect(rows(maya)).to_have_count(12)
    expect(what).to_have_value("releases")


def test_a_page_leads_on_and_back(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity?what=statuses")
    newest = moments(maya)
    maya.get_by_role("link", name="Older").click()
    expect(maya.get_by_text("50 older")).to_be_visible()
    expect(maya).to_have_url(re.compile("cursor="))
    assert moments(maya) != newest
    expect(rows(maya)).to_have_count(50)
    maya.get_by_role("link", name="Newer").click()
    expect(maya.get_by_text("Newest 50")).to_be_visible()
    assert moments(maya) == newest
    maya.go_back()
    expect(maya.get_by_text("50 older")).to_be_visible()


def test_on_the_last_page_the_keyboard_stays_where_it_was(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity?what=statuses")
    maya.get_by_role("link", name="Older").click()
    expect(maya.get_by_text("50 older")).to_be_visible()
    newer = maya.get_by_role("link", name="Newer")
    newer.press("Enter")
    expect(maya.get_by_text("Newest 50")).to_be_visible()
    expect(newer).to_be_focused()
    expect(newer).to_be_disabled()
    newer.press("Enter")
    maya.keyboard.press("Tab")
    expect(maya.get_by_role("link", name="Older")).to_be_focused()


def test_a_mistake_is_told_at_its_field_and_can_be_put_right(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity")
    maya.get_by_label("Person", exact=True).fill("amara")
    press(maya)
    expect(maya.get_by_test_id("person-error")).to_contain_text("This id is not known here.")
    expect(maya.get_by_label("Person", exact=True)).to_have_value("amara")
    maya.get_by_label("Person", exact=True).fill(AMARA)
    press(maya)
    expect(rows(maya).first).to_contain_text("Amara Okafor")
    expect(maya.get_by_test_id("person-error")).to_have_count(0)

    maya.get_by_label("From", exact=True).fill("2026-03-02")
    maya.get_by_label("Until", exact=True).fill("2026-03-01")
    press(maya)
    expect(maya.get_by_test_id("to-error")).to_contain_text("The last day is before the first day.")
    maya.get_by_label("Until", exact=True).fill("2999-03-01")
    press(maya)
    expect(maya.get_by_test_id("to-error")).to_have_count(0)


def test_a_day_that_does_not_exist_is_still_there_to_be_put_right(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity?from=2026-02-30")
    expect(maya.get_by_test_id("from-error")).to_be_visible()
    first_day = maya.get_by_label("From", exact=True)
    expect(first_day).to_have_value("2026-02-30")
    first_day.fill("2020-02-28")
    press(maya)
    expect(rows(maya)).to_have_count(50)
    expect(first_day).to_have_value("2020-02-28")


def test_what_a_draft_changed_is_folded_under_it(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity?what=drafts")
    saved = maya.get_by_role("row").filter(has_text="Saved the draft of version 4")
    expect(saved.get_by_text("payouts reach you")).to_be_hidden()
    saved.get_by_text("Details").click()
    expect(saved.get_by_text("payouts reach you")).to_be_visible()


def test_the_file_has_what_the_filter_lets_through(enter: Enter, tmp_path: Path) -> None:
    ines = enter("viewer")
    ines.goto("/activity")
    choose(ines, "What", "Releases")
    expect(rows(ines)).to_have_count(12)
    with ines.expect_download() as download:
        ines.get_by_role("link", name="Export CSV").click()
    download.value.save_as(tmp_path / "activity.csv")
    with (tmp_path / "activity.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 12
    assert {line["action"].partition(".")[0] for line in lines} == {"release"}


@scriptless
def test_a_step_leads_to_what_was_done_to_it(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto(f"/steps/{PAYMENTS}")
    maya.get_by_test_id("releases").get_by_role("link", name="All activity").click()
    expect(maya.get_by_test_id("filter-chips")).to_contain_text("Set up payments")
    expect(maya.get_by_label("Step", exact=True)).to_have_value(PAYMENTS)


def test_on_a_phone_it_can_be_filtered_too(enter: Enter) -> None:
    tomas = enter("support", viewport={"width": 360, "height": 740})
    open_person(tomas)
    save(tomas, MOBILE, "To do")
    see_saved(tomas, MOBILE, "To do")
    tomas.goto("/activity")
    choose(tomas, "What", "Changes to people's steps")
    expect(tomas.get_by_test_id("activity-row-1")).to_contain_text("Install the mobile app")
