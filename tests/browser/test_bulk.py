"""Changing many people at once: choose, preview, confirm; and those who changed meanwhile are left alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from dashboard.onboarding import bulk_changes
from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import MOBILE, number, see_heading

IN_PROGRESS = f"/people?step={MOBILE}&status=in_progress"


def choose(page: Page, how_many: int) -> list[str]:
    """Ticks the first people of the list; their ids."""
    boxes = page.get_by_test_id("people-list").locator("tbody").get_by_role("checkbox")
    for index in range(how_many):
        boxes.nth(index).check()
    return [boxes.nth(index).get_attribute("value") or "" for index in range(how_many)]


def preview(page: Page, status: str, comment: str = "") -> None:
    """Says what is wanted in the bar, and goes on to the preview."""
    bar = page.get_by_test_id("bulk-bar")
    bar.get_by_label("New status").select_option(label=status)
    bar.get_by_label("Comment").fill(comment)
    page.get_by_test_id("bulk-preview").click()
    see_heading(page, f"Set “Install the mobile app” to {status}")


@both_ways
def test_the_chosen_people_are_previewed_and_changed(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(IN_PROGRESS)
    expect(tomas.get_by_test_id("bulk-preview")).to_be_hidden()
    ids = choose(tomas, 3)
    preview(tomas, "Done", "They told us by phone")
    assert number(tomas.get_by_test_id("bulk-would-change")) == 3
    expect(tomas.get_by_test_id("bulk-change")).to_contain_text("They told us by phone")
    expect(tomas.get_by_test_id(f"member-{ids[0]}").get_by_role("cell")).to_contain_text(["In progress", "Done", ""])
    tomas.get_by_test_id("bulk-confirm").click()
    expect(tomas.get_by_test_id("bulk-changed")).to_contain_text("3")
    expect(tomas.get_by_test_id(f"member-{ids[0]}")).to_contain_text("Done")
    see_heading(tomas, "“Install the mobile app” was set to Done for 3 people")
    expect(tomas).to_have_title("“Install the mobile app” was set to Done for 3 people - Onboarding")
    tomas.get_by_test_id("bulk-back").click()
    expect(tomas).to_have_url(re.compile(re.escape(IN_PROGRESS) + "$"))
    tomas.goto(f"/people/{ids[0]}")
    expect(tomas.get_by_test_id("history")).to_contain_text("They told us by phone")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (320, 640)])
def test_what_has_the_focus_is_never_behind_the_bar(enter: Enter, width: int, height: int) -> None:
    tomas = enter("support", viewport={"width": width, "height": height})
    tomas.goto("/people")
    first = tomas.locator("tbody").get_by_role("checkbox").first
    first.check()
    first.focus()
    covered = """() => {
      const here = document.activeElement, bar = document.querySelector('[data-testid="bulk-bar"]');
      return !bar.contains(here) && here.getBoundingClientRect().bottom > bar.getBoundingClientRect().top;
    }"""
    for _ in range(48):
        tomas.keyboard.press("Tab")
        assert not tomas.evaluate(covered), tomas.evaluate("document.activeElement.outerHTML")


def test_who_changed_meanwhile_is_left_alone_and_previewed_again(enter: Enter) -> None:
    tomas, ada = enter("support"), enter("admin")
    tomas.goto(IN_PROGRESS)
    ids = choose(tomas, 2)
    preview(tomas, "Done")
    ada.goto(f"/people/{ids[1]}")
    ada.get_by_test_id(f"status-{MOBILE}").select_option("skipped")
    ada.get_by_test_id(f"save-{MOBILE}").click()
    expect(ada.get_by_test_id(f"now-{MOBILE}")).to_contain_text("Skipped")

    tomas.get_by_test_id("bulk-confirm").click()
    expect(tomas.get_by_test_id("bulk-moved-panel")).to_contain_text("1 person changed after you previewed this")
    moved = tomas.get_by_test_id(f"member-{ids[1]}")
    expect(moved).to_contain_text("Skipped")
    expect(moved).to_contain_text("Ada")
    tomas.get_by_test_id("bulk-again").click()
    expect(tomas.get_by_test_id("bulk-preview-figures")).to_be_visible()
    expect(tomas.get_by_test_id(f"member-{ids[1]}")).to_contain_text("Skipped")
    tomas.get_by_test_id("bulk-confirm").click()
    expect(tomas.get_by_test_id("bulk-changed")).to_contain_text("1")


def test_a_tick_stays_with_the_person(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(IN_PROGRESS)
    boxes = tomas.get_by_test_id("people-list").locator("tbody").get_by_role("checkbox")
    first, second, third = (boxes.nth(index).get_attribute("value") or "" for index in range(3))
    chosen = tomas.locator("tbody input:checked")
    search = tomas.get_by_role("searchbox", name="Search")
    for index in (0, 1):
        boxes.nth(index).check()
    tomas.get_by_test_id("bulk-everybody").check()
    expect(tomas.locator(".bulk .picked")).to_be_hidden()
    search.fill(second)
    expect(tomas.get_by_test_id(f"person-row-{first}")).to_have_count(0)
    expect(chosen).to_have_count(1)
    expect(chosen).to_have_value(second)
    search.fill("")
    expect(tomas.get_by_test_id(f"person-row-{first}")).to_have_count(1)
    expect(chosen).to_have_value(second)
    # of another list it is another "all"
    expect(tomas.get_by_test_id("bulk-everybody")).not_to_be_checked()
    search.fill(third)
    expect(tomas.get_by_test_id(f"person-row-{second}")).to_have_count(0)
    expect(chosen).to_have_count(0)


def test_one_tick_for_the_page(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(IN_PROGRESS)
    whole, bar = tomas.get_by_role("checkbox", name="Select everyone on this page"), tomas.locator(".bulk .picked")
    boxes = tomas.get_by_test_id("people-list").locator("tbody").get_by_role("checkbox")
    whole.check()
    expect(tomas.locator("tbody input:checked")).to_have_count(boxes.count())
    boxes.first.uncheck()
    expect(whole).to_have_js_property("indeterminate", value=True)
    expect(bar).to_be_visible()
    assert "selected" in bar.evaluate("bar => getComputedStyle(bar, '::before').content")
    boxes.first.check()
    expect(whole).to_be_checked()
    whole.uncheck()
    expect(bar).to_be_hidden()
    # of another list nobody is ticked yet
    whole.check()
    tomas.get_by_role("searchbox", name="Search").fill("zzz-nobody")
    expect(tomas.get_by_test_id("no-match")).to_be_visible()
    tomas.get_by_role("searchbox", name="Search").fill("")
    expect(boxes.first).to_be_visible()
    expect(whole).not_to_be_checked()


def test_without_scripts_there_is_no_tick_that_does_nothing(enter: Enter) -> None:
    tomas = enter("support", java_script_enabled=False)
    tomas.goto(IN_PROGRESS)
    expect(tomas.get_by_test_id("people-list")).to_be_visible()
    expect(tomas.get_by_test_id("pick-page")).to_be_hidden()


def test_a_page_that_holds_all_who_match_can_be_chosen_whole(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(f"/people?q=sousa&step={MOBILE}")
    names = tomas.get_by_test_id("people-list").locator("tbody").get_by_role("checkbox")
    many = names.count()
    assert 1 < many < 25
    choose(tomas, 1)
    tomas.get_by_test_id("bulk-everybody").check()
    preview(tomas, "To do")
    expect(tomas.get_by_test_id("bulk-change")).to_contain_text(f"{many} people")


@both_ways
def test_all_who_match_are_changed_with_progress(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(IN_PROGRESS)
    choose(tomas, 1)
    tomas.get_by_test_id("bulk-everybody").check()
    preview(tomas, "To do")
    people = number(tomas.get_by_test_id("bulk-would-change"))
    assert people > 25
    tomas.get_by_test_id("bulk-confirm").click()
    expect(tomas.get_by_test_id("bulk-result")).to_be_visible()
    expect(tomas.get_by_test_id("bulk-running")).to_have_count(0)
    assert number(tomas.get_by_test_id("bulk-changed")) == people


def test_progress_is_heard_and_the_focus_comes_to_the_result_once(
    enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 20)
    tomas = enter("support")
    tomas.goto(IN_PROGRESS)
    choose(tomas, 1)
    tomas.get_by_test_id("bulk-everybody").check()
    preview(tomas, "Skipped")
    people = number(tomas.get_by_test_id("bulk-would-change"))
    # a region that is put in anew with what it says is not read: this one stays, and its words change
    tomas.evaluate(
        "new MutationObserver(() => (window.heard ??= []).push(document.querySelector('#said').textContent))"
        ".observe(document.querySelector('#said'), { childList: true })"
    )
    tomas.get_by_test_id("bulk-confirm").click()
    result = tomas.get_by_role("region", name=re.compile("^Bulk change "))
    expect(result).to_be_focused()
    heard = tomas.evaluate("window.heard")
    assert heard[0] == f"20 of {people} people"
    assert heard[-1] == f"Done. {people} people changed, 0 changed in the meantime."
    for look in (tomas.reload, tomas.get_by_role("link", name="Next").click):
        look()
        expect(tomas.locator("body")).to_be_focused()


def test_on_a_phone_before_and_now_stand_on_one_line(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto(IN_PROGRESS)
    [user_id, _] = choose(tomas, 2)
    preview(tomas, "Done")
    tomas.get_by_test_id("bulk-confirm").click()
    expect(tomas.get_by_test_id("bulk-changed")).to_contain_text("2")
    tomas.set_viewport_size({"width": 360, "height": 800})
    member = tomas.get_by_test_id(f"member-{user_id}")
    name = place(member.get_by_role("link"))
    was, now = (place(member.get_by_text(status, exact=True)) for status in ("In progress", "Done"))
    since = place(member.locator("time"))
    assert name["y"] < was["y"] == now["y"] < since["y"]
    assert was["x"] < now["x"] < was["x"] + was["width"] + 40, "beside each other, with an arrow between them"


def place(element: Locator) -> FloatRect:
    """Where the element stands on the page."""
    box = element.bounding_box()
    assert box
    return box
