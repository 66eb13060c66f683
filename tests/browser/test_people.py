"""Finding a person: the search while one types, the address that follows it, the pages of the list."""

from __future__ import annotations

import re
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import AMARA, at, see_heading


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

    tomas.get_by_role("link", name="Amara Okafor").click()
    see_heading(tomas, "Amara Okafor")
    tomas.go_back()
    expect(search_field(tomas)).to_have_value("amara okafor")
    expect(rows(tomas)).to_have_count(1)

    search_field(tomas).fill("")
    expect(rows(tomas)).to_have_count(25)
    tomas.go_back()
    expect(search_field(tomas)).to_have_value("amara okafor")
    expect(rows(tomas)).to_have_count(1)


@both_ways
def test_people_are_found_by_name_email_and_id(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    for typed in ("usr_7f3k2q", "AMARA", "okafor@tidewater"):
        search_field(tomas).fill(typed)
        tomas.get_by_role("button", name="Search").click()
        expect(tomas).to_have_url(re.compile(rf"/people\?q={quote(typed)}$"))
        expect(tomas.get_by_test_id(f"person-row-{AMARA}")).to_be_visible()


@scriptless
def test_the_search_of_every_page_leads_to_the_list(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/")
    tomas.get_by_test_id("find-person").fill("amara okafor")
    tomas.get_by_test_id("find-person").press("Enter")
    expect(tomas).to_have_url(re.compile(r"/people\?q=amara"))
    tomas.get_by_role("link", name="Amara Okafor").click()
    expect(tomas).to_have_url(at(f"/people/{AMARA}"))


@scriptless
def test_nobody_found_says_what_to_do(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people?q=zzz")
    expect(tomas.get_by_test_id("no-match")).to_contain_text("Nobody matches “zzz”")
    tomas.get_by_role("link", name="Show everyone").click()
    expect(rows(tomas)).to_have_count(25)


@both_ways
def test_the_list_has_pages(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    first = rows(tomas).first.inner_text()
    tomas.get_by_role("link", name="Next").click()
    expect(rows(tomas).first).not_to_have_text(first)
    expect(tomas).to_have_url(re.compile("cursor="))
    tomas.get_by_role("link", name="Previous").click()
    assert rows(tomas).first.inner_text() == first
