"""The overview: saves and conflicts by period, who is stuck and where that leads, the file, by keyboard too."""

from __future__ import annotations

import csv
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import AMARA, DATA_SOURCE, PAYMENTS, at, number, see_heading, tab_to


def figure(page: Page, name: str) -> int:
    return number(page.get_by_test_id(f"figure-{name}"))


@both_ways
def test_conflicts_are_explained_and_the_period_is_switched(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/")
    writes = maya.get_by_test_id("writes")
    today = figure(maya, "conflicts")
    expect(maya.get_by_test_id("conflicts-because")).to_contain_text(f"25 of {today} came after version 2")
    expect(writes.get_by_role("table", name="Conflicts by hour, UTC").get_by_role("row")).to_have_count(25)

    writes.get_by_role("link", name="7 days").click()
    expect(writes.get_by_role("heading", name="Writes, last 7 days")).to_be_visible()
    expect(writes.get_by_role("table", name="Conflicts by day, UTC").get_by_role("row")).to_have_count(8)
    assert figure(maya, "conflicts") > today
    expect(maya).to_have_url(re.compile(r"/\?period=7d(#writes)?$"))
    see_heading(maya, "Overview")

    maya.go_back()
    expect(writes.get_by_role("heading", name="Writes, last 24 hours")).to_be_visible()
    maya.get_by_test_id("conflicts-because").get_by_role("link").click()
    expect(maya.get_by_test_id("receipt")).to_be_visible()


def test_a_conflict_of_mine_and_the_save_after_it_are_counted(enter: Enter) -> None:
    tomas, ada = enter("support"), enter("admin")
    ada.goto("/?period=7d")
    before = {name: figure(ada, name) for name in ("writes", "conflicts")}
    for someone, status in ((tomas, "done"), (ada, "skipped")):
        someone.goto(f"/people/{AMARA}")
        someone.get_by_test_id(f"status-{PAYMENTS}").select_option(status)
    ada.get_by_test_id(f"save-{PAYMENTS}").click()
    expect(ada.get_by_test_id(f"now-{PAYMENTS}")).to_have_text("Skipped")
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    tomas.get_by_test_id("conflict-panel").get_by_role("button", name="Save mine over it").click()
    expect(tomas.get_by_test_id(f"now-{PAYMENTS}")).to_have_text("Done")
    ada.goto("/?period=7d")
    assert (figure(ada, "writes"), figure(ada, "conflicts")) == (before["writes"] + 2, before["conflicts"] + 1)


def test_who_waits_longest_is_a_link_away(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/")
    row = tomas.get_by_test_id(f"stuck-{DATA_SOURCE}")
    expect(row.get_by_role("listitem")).to_have_count(3)
    longest = row.get_by_role("listitem").first.get_by_role("link")
    name = longest.inner_text()
    longest.click()
    see_heading(tomas, name)
    expect(tomas.get_by_test_id(f"now-{DATA_SOURCE}")).to_have_text("In progress")
    tomas.goto("/")
    row.get_by_role("link", name="in progress at Connect a data source").click()
    expect(tomas).to_have_url(at(f"/people?step={DATA_SOURCE}&status=in_progress&sort=inactive"))


def test_a_part_of_the_funnel_is_a_link(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/")
    tomas.get_by_test_id("funnel").get_by_role("row", name="Set up payments").get_by_role("link", name="232").click()
    expect(tomas).to_have_url(at(f"/people?step={PAYMENTS}&status=in_progress"))
    expect(tomas.get_by_test_id("people-count")).to_have_text("232 people match")


def test_the_steps_come_as_a_file(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/")
    with ines.expect_download() as started:
        ines.get_by_role("link", name="Export CSV").click()
    assert started.value.suggested_filename == "overview.csv"
    with started.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    (payments,) = (row for row in rows if row["step_id"] == PAYMENTS)
    assert payments["in_progress"] == "232"
    assert {sum(int(row[status]) for status in ("done", "skipped", "in_progress", "todo")) for row in rows} == {2000}


def test_charts_are_few_stops_of_the_keyboard(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/")
    funnel, histogram = ines.get_by_test_id("funnel"), ines.get_by_test_id("histogram")
    tab_to(ines, funnel.get_by_role("link").first)
    assert funnel.locator("a:not([tabindex='-1'])").count() == 8
    assert histogram.get_by_role("link").count() == 11
    tab_to(ines, histogram.get_by_role("link", name="40–49"))
    ines.keyboard.press("Enter")
    expect(ines).to_have_url(at("/people?progress=40-49"))
