"""Finding a person: the search while one types, the address that follows it, the pages of the list."""

from __future__ import annotations

import re
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import AMARA, PAYMENTS, at, see_heading


def rows(page: Page) -> Locator:
    return page.get_by_test_id("people-list").locator("tbody").get_by_role("row")


def search_field(page: Page) -> Locator:
    return page.get_by_test_id("people-search").get_by_role("searchbox")


def test_the_list_and_the_address_follow_what_is_typed(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    expect(rows(tomas)).to_have_count(25)
    search_field(tomas).press_sequentially("amara okafor", delay=20)
    expect(rows(tomas)).to_have_count(1)
    expect(tomas).to_have_url(re.compile(r"/people\?q=amara(\+|%20)okafor$"))
    expect(search_field(tomas)).to_be_focused()

    tomas.get_by_role("link", name="Amara Okafor", exact=True).click()
    see_heading(tomas, "Amara Okafor")
    tomas.go_back()
    expect(search_field(tomas)).to_have_value("amara okafor")
    expect(rows(tomas)).to_have_count(1)

    search_field(tomas).fill("")
    expect(rows(tomas)).to_have_count(25)
    tomas.go_back()
    expect(search_field(tomas)).to_have_value("amara okafor")
    expect(rows(tomas)).to_have_count(1)


def test_people_are_found_by_name_email_and_id(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    for typed in ("usr_7f3k2q", "AMARA", "okafor@tidewater"):
        search_field(tomas).fill(typed)
        tomas.get_by_role("button", name="Filter").click()
        expect(tomas).to_have_url(re.compile(rf"/people\?q={quote(typed)}$"))
        expect(tomas.get_by_test_id(f"person-row-{AMARA}")).to_be_visible()


@scriptless
def test_the_search_of_every_page_leads_to_the_list(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/")
    tomas.get_by_test_id("find-person").fill("amara okafor")
    tomas.get_by_test_id("find-person").press("Enter")
    expect(tomas).to_have_url(re.compile(r"/people\?q=amara"))
    tomas.get_by_role("link", name="Amara Okafor", exact=True).click()
    expect(tomas).to_have_url(at(f"/people/{AMARA}"))


@scriptless
def test_the_first_result_is_a_few_keys_away(enter: Enter) -> None:
    tomas = enter("viewer")
    tomas.goto("/")
    tomas.get_by_test_id("find-person").fill("amara")
    tomas.keyboard.press("Enter")
    expect(tomas).to_have_url(re.compile(r"/people\?q=amara"))
    first = tomas.get_by_test_id("people-list").get_by_role("link", name="Amara").first
    for key in ("Tab", "Tab", "Enter", "Tab", "Tab", "Tab"):
        tomas.keyboard.press(key)
        if first.evaluate("link => link === document.activeElement"):
            break
    expect(first).to_be_focused()


def test_nobody_found_says_what_to_do(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people?q=zzz")
    expect(tomas.get_by_test_id("no-match")).to_contain_text("No people match “zzz”")
    tomas.get_by_role("link", name="Show everyone").click()
    expect(rows(tomas)).to_have_count(25)


def test_the_list_has_pages(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    name = rows(tomas).first.get_by_role("link")
    first = name.inner_text()
    tomas.get_by_role("link", name="Next").click()
    expect(name).not_to_have_text(first)
    expect(tomas).to_have_url(re.compile("cursor="))
    tomas.get_by_role("link", name="Previous").click()
    expect(name).to_have_text(first)


# Filters -------------------------------------------------------------------------------------------------------------


@both_ways
def test_a_filter_narrows_the_list_stands_in_the_address_and_can_be_left_out(enter: Enter, javascript: bool) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    tomas.get_by_label("Step", exact=True).select_option(label="Set up payments")
    tomas.get_by_label("Status", exact=True).select_option(label="In progress")
    tomas.get_by_label("Sort by").select_option(label="Longest inactive first")
    if not javascript:
        tomas.get_by_role("button", name="Filter").click()
    expect(tomas).to_have_url(re.compile(rf"/people\?step={PAYMENTS}&status=in_progress&sort=inactive$"))
    expect(tomas.get_by_test_id("people-chips")).to_contain_text("Set up payments is In progress")
    expect(rows(tomas).first).to_contain_text("In progress")
    before = tomas.get_by_test_id("people-count").inner_text()
    assert re.fullmatch(r"\d+ people match", before)

    tomas.get_by_role("link", name="Next").click()
    expect(tomas).to_have_url(re.compile("cursor="))
    tomas.go_back()
    expect(tomas.get_by_label("Status", exact=True)).to_have_value("in_progress")
    expect(tomas.get_by_test_id("people-count")).to_have_text(before)

    tomas.get_by_role("link", name="Remove filter: Set up payments is In progress").click()
    expect(tomas).to_have_url(re.compile(r"/people\?sort=inactive$"))
    tomas.goto("/people?finished=yes&progress=100")
    tomas.get_by_test_id("clear-filters").click()
    expect(tomas).to_have_url(at("/people"))


PHONE = {"width": 360, "height": 740}


@both_ways
def test_on_a_phone_the_filters_are_folded_and_the_list_is_in_sight(enter: Enter, javascript: bool) -> None:
    tomas = enter("support", viewport=PHONE)
    tomas.goto("/people?finished=no")
    place = rows(tomas).first.bounding_box()
    assert place
    assert place["y"] < PHONE["height"] / 2
    filters, step = tomas.get_by_test_id("people-filters"), tomas.get_by_label("Step", exact=True)
    expect(filters).to_have_text("Filters 1 in use")
    expect(step).to_be_hidden()

    filters.press("Enter")
    step.select_option(label="Set up payments")
    if not javascript:
        tomas.get_by_role("button", name="Filter").click()
    expect(filters).to_have_text("Filters 2 in use")
    expect(tomas.get_by_test_id("people-chips")).to_contain_text("Shows Set up payments")
    if javascript:
        expect(step).to_be_visible()


@both_ways
def test_on_a_desk_every_filter_is_in_sight(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    expect(tomas.get_by_test_id("people-filters")).to_be_hidden()
    search, step = search_field(tomas), tomas.get_by_label("Step", exact=True)
    expect(step).to_be_visible()
    search.press("Tab")
    expect(step).to_be_focused()
    heights = {field.bounding_box()["y"] for field in (search, step)}  # type: ignore[index]
    assert len(heights) == 1


def test_what_cannot_be_asked_for_is_said_and_stays_in_the_form(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    tomas.get_by_label("Status", exact=True).select_option(label="Done")
    step = tomas.get_by_label("Step", exact=True)
    expect(tomas.get_by_test_id("step-error")).to_contain_text("Choose a step too")
    expect(step).to_have_attribute("aria-invalid", "true")
    expect(step).to_have_accessible_description("Choose a step too")
    expect(rows(tomas)).to_have_count(25)
    expect(tomas.get_by_label("Status", exact=True)).to_have_value("done")
    step.select_option(label="Set up payments")
    expect(rows(tomas).first).to_contain_text("Done")
    expect(step).to_have_value("setup-payments")
    expect(step).not_to_have_attribute("aria-invalid", "true")
    expect(tomas.get_by_test_id("step-error")).to_have_count(0)


def test_hyphens_are_as_wide_in_a_table_as_elsewhere(enter: Enter) -> None:
    """Figures of one width are for numbers: in words they would make a hyphen as wide as a figure."""
    tomas = enter("support")
    tomas.goto("/people")
    figures = "cells => [...new Set(cells.map((cell) => getComputedStyle(cell).fontVariantNumeric))].join()"
    table = tomas.get_by_role("table", name="People")
    assert table.locator("td.next").evaluate_all(figures) == "normal"
    assert table.locator("tbody th").evaluate_all(figures) == "normal"
    assert table.locator("td.r").evaluate_all(figures) == "tabular-nums"
    assert table.locator("progress + *").evaluate_all(figures) == "tabular-nums"


@scriptless
def test_the_file_has_everybody_who_matches(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/people?q=amara")
    with ines.expect_download() as download:
        ines.get_by_test_id("people-csv").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("user_id,name,email")
    assert any(line.startswith(f"{AMARA},Amara Okafor,") for line in lines)
    expect(ines.get_by_test_id("people-form")).to_have_count(0)
