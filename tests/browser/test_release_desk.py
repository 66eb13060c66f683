"""The release desk: who is behind a preview, in which order steps stand, who else is here, what is asked before leaving."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.web.affected_list import PAGE
from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import (
    AMARA,
    DATA_SOURCE,
    MOBILE,
    PAYMENTS,
    asked_and_staying,
    at,
    choose,
    confirm,
    figures,
    look_again,
    open_draft,
    open_person,
    open_preview,
    save,
    save_draft,
    see_flash,
    see_heading,
    see_saved,
    tab_to,
    until,
)
from tests.browser.test_every_page import NARROW, PHONE, WIDE, too_wide

# the rows of a receipt
MEMBERS = ("affected", "copied", "reset", "restored", "keptLater", "untouched")


# The list of versions -------------------------------------------------------------------------------------------------


def left_of(line: Locator) -> float:
    """Where its text begins, whatever is around that."""
    left: float = line.evaluate(
        """element => {
          const range = document.createRange();
          range.selectNodeContents(element);
          return range.getBoundingClientRect().left;
        }"""
    )
    return left


@pytest.mark.parametrize("step_id", [PAYMENTS, "invite-team"], ids=["several", "one"])
def test_on_a_phone_all_of_a_version_begins_at_one_line(enter: Enter, step_id: str) -> None:
    maya = enter("manager", viewport={"width": 360, "height": 740})
    maya.goto(f"/steps/{step_id}")
    row = maya.get_by_test_id("version-row-1")
    title, button = row.locator(".wide"), row.get_by_role("button", name="Start a draft")
    assert left_of(button) == pytest.approx(left_of(title), abs=0.5)
    assert left_of(row.locator("time")) == pytest.approx(left_of(title), abs=0.5)
    # it has the room that the weight leaves
    width = title.evaluate("element => element.clientWidth")
    assert width > 120


# The matrix of a receipt ----------------------------------------------------------------------------------------------

EVERYWHERE = """
UPDATE step_releases
   SET receipt = jsonb_set(receipt, '{impact,matrix}', (
       SELECT jsonb_object_agg(before, (SELECT jsonb_object_agg(after, CAST(:count AS int)) FROM unnest(s) AS t (after)))
         FROM unnest(s) AS f (before)))
  FROM (SELECT ARRAY['done', 'skipped', 'in_progress', 'todo'] AS s) AS statuses
 WHERE step_id = :step_id AND number = 4
"""


LARGE = [(24_999, "24,999"), (123_456, "123k"), (1_234_567, "1.2M"), (91_234_567, "91M")]


@pytest.mark.parametrize(("count", "seen"), LARGE)
def test_a_matrix_of_large_numbers_fits_a_phone(enter: Enter, session: Session, count: int, seen: str) -> None:
    session.execute(text(EVERYWHERE), {"count": count, "step_id": PAYMENTS})
    session.commit()
    maya = enter("manager")
    maya.goto(f"/steps/{PAYMENTS}/releases/4")
    matrix = maya.get_by_test_id("status-matrix")
    assert not [said for width in (PHONE, NARROW) if (said := too_wide(maya, width))]
    assert seen in matrix.inner_text()
    # a reader has the whole number, where it is not seen too
    whole = matrix.get_by_role("cell", name=f"{count:,}", exact=True)
    expect(whole).to_have_count(16)
    maya.set_viewport_size({"width": WIDE, "height": 800})
    assert matrix.inner_text().count(f"{count:,}") == 16
    assert "M" not in matrix.inner_text()


# The people behind a preview -----------------------------------------------------------------------------------------


def people(page: Page) -> Locator:
    return page.get_by_test_id("people-affected")


def rows(page: Page) -> Locator:
    return people(page).get_by_test_id(re.compile("^affected-row-"))


def tab(page: Page, name: str) -> Locator:
    return people(page).get_by_role("navigation", name="Which people").get_by_role("link", name=re.compile(f"^{name}"))


def count_of(page: Page, name: str) -> int:
    """The number that the tab carries."""
    return int(re.sub(r"\D", "", tab(page, name).inner_text()))


def open_tab(page: Page, name: str, which: str) -> int:
    """Chooses the tab, waits for its list, and gives the number that it carries."""
    count = count_of(page, name)
    tab(page, name).click()
    expect(tab(page, name)).to_have_attribute("aria-current", "true")
    expect(page).to_have_url(re.compile(rf"[?&]who={which}\b"))
    expect(rows(page)).to_have_count(min(count, PAGE))
    return count


def shown(page: Page) -> list[str]:
    """The test ids of the rows, from the top."""
    return [row.get_attribute("data-testid") or "" for row in rows(page).all()]


def file_of(page: Page) -> list[list[str]]:
    """The lines of the CSV file with the chosen tab's people, the header first."""
    with page.expect_download() as download:
        page.get_by_test_id("download-people").click()
    with download.value.path().open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def test_the_tabs_filter_the_people(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    seen = figures(maya, "affected", "reset")
    assert count_of(maya, "Affected") == seen["affected"]
    maya.get_by_label("Reason").fill("Half of a sentence")

    assert open_tab(maya, "Reset", "reset") == seen["reset"]
    expect(rows(maya).filter(has_text="To do")).to_have_count(PAGE)
    expect(people(maya)).to_contain_text(f"First {PAGE} of {seen['reset']}, by name")
    # the rest of the page stays as it is
    expect(maya.get_by_label("Reason")).to_have_value("Half of a sentence")

    maya.get_by_label("Reason").fill("")  # the browser would ask
    maya.reload()
    expect(tab(maya, "Reset")).to_have_attribute("aria-current", "true")
    pages = maya.evaluate("history.length")
    open_tab(maya, "Affected", "all")
    # the way back is not to another tab, with an empty reason
    assert maya.evaluate("history.length") == pages


def test_a_choice_keeps_the_tab(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    before = open_tab(maya, "Reset", "reset")
    choose(maya, "Skipped", "Ask again")
    expect(maya).to_have_url(re.compile(r"skipped=reset.*who=reset|who=reset.*skipped=reset"))
    expect(tab(maya, "Reset")).to_have_attribute("aria-current", "true")
    expect(tab(maya, "Reset")).not_to_contain_text(str(before))


def test_what_a_choice_changes_is_heard(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    said = maya.locator("#said[role=status]")
    expect(said).to_be_empty()
    said.evaluate("element => window.said = element")
    for choice in ("Ask again", "Keep"):
        before, figure = said.inner_text(), maya.get_by_test_id("reset").inner_text()
        choose(maya, "Skipped", choice)
        expect(said).not_to_have_text(before)
        expect(maya.get_by_test_id("reset")).not_to_have_text(figure)
        expect(said).to_contain_text(f" {figures(maya, 'reset')['reset']} reset. Up: ")
    assert said.evaluate("element => element === window.said"), "a region that is put in anew is not read"


def test_until_a_choice_is_answered_the_report_says_that_it_is_not_the_new_one(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    report, told = maya.get_by_test_id("impact-report"), maya.get_by_text("Updating the report", exact=True)
    dimmed = (maya.get_by_test_id("impact-figures"), maya.get_by_test_id("confirm"))
    held: list[Route] = []
    maya.route(re.compile(r"/release\?"), lambda route: held.append(route))
    expect(told.first).to_be_hidden()
    choose(maya, "Done", "Do again")
    choose(maya, "Skipped", "Ask again")
    until(maya, lambda: len(held) == 2)
    # the first of the two was given up for the second
    expect(report).to_have_attribute("aria-busy", "true")
    expect(told).to_have_count(2)
    for one in told.all():
        expect(one).to_be_visible()
    for one in dimmed:
        expect(one).to_have_css("opacity", "0.45")
    expect(maya.get_by_test_id("policy-form")).to_have_css("opacity", "1")
    held[1].continue_()
    expect(report).not_to_have_attribute("aria-busy", "true")
    expect(told.first).to_be_hidden()
    choose(maya, "Done", "Keep")
    until(maya, lambda: len(held) == 3)
    expect(report).to_have_attribute("aria-busy", "true")
    held[2].abort()
    expect(report).not_to_have_attribute("aria-busy", "true")
    for one in dimmed:
        expect(one).to_have_css("opacity", "1")


@both_ways
def test_a_choice_leaves_the_reason_as_it_is(enter: Enter, javascript: bool) -> None:
    maya = enter("manager")
    open_preview(maya)
    seen = figures(maya, "reset")["reset"]
    maya.get_by_label("Reason").fill("Half of a sentence")
    choose(maya, "In progress", "Keep")
    if not javascript:
        maya.get_by_test_id("update-report").click()
    expect(maya.get_by_test_id("reset")).not_to_contain_text(f"{seen:,}")
    expect(maya.get_by_test_id("confirm")).to_have_text("Release version 4, reset no one")
    expect(maya.get_by_label("Reason")).to_have_value("Half of a sentence")
    if javascript:
        expect(maya).to_have_url(re.compile(r"/release\?.*in_progress=keep"))

    maya.get_by_test_id("update-report").click()
    expect(maya.get_by_label("Reason")).to_have_value("Half of a sentence")
    assert figures(maya, "reset") == {"reset": 0}
    maya.get_by_test_id("confirm").click()
    facts = maya.get_by_test_id("receipt-facts")
    expect(facts).to_contain_text("Half of a sentence")
    expect(facts).to_contain_text("In progress kept")


@scriptless
def test_a_viewer_chooses_too(enter: Enter) -> None:
    ines = enter("viewer")
    open_preview(ines)
    choose(ines, "In progress", "Keep")
    ines.get_by_test_id("update-report").click()
    expect(ines).to_have_url(re.compile("in_progress=keep"))
    assert figures(ines, "reset") == {"reset": 0}


def test_the_people_come_page_by_page(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    open_tab(maya, "Reset", "reset")
    first = shown(maya)
    expect(maya.locator("#people-affected-previous")).to_be_disabled()

    maya.locator("#people-affected-next").click()
    expect(maya).to_have_url(re.compile(r"who=reset&cursor="))
    expect(maya.get_by_test_id(first[0])).to_have_count(0)
    expect(rows(maya)).to_have_count(PAGE)
    assert not set(first) & set(shown(maya))
    expect(tab(maya, "Reset")).to_have_attribute("aria-current", "true")

    maya.locator("#people-affected-previous").click()
    expect(maya.get_by_test_id(first[0])).to_be_visible()
    expect(maya.locator("#people-affected-previous")).to_be_disabled()
    expect(rows(maya)).to_have_count(PAGE)
    assert shown(maya) == first


def test_the_file_has_a_line_for_each_person_of_the_tab(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    everybody = count_of(maya, "Affected")
    assert len(file_of(maya)) == everybody + 1

    count = open_tab(maya, "Reset", "reset")
    header, *lines = file_of(maya)
    assert len(lines) == count
    assert header[0] == "user_id"
    after = header.index("after")
    assert {line[after] for line in lines} == {"todo"}
    assert AMARA in {line[0] for line in lines}
    assert {f"affected-row-{line[0]}" for line in lines} >= set(shown(maya))


# The order -----------------------------------------------------------------------------------------------------------


def order(page: Page) -> list[str]:
    """The ids of the steps, from the first on."""
    found = page.get_by_test_id("steps-list").get_by_test_id(re.compile("^step-row-")).all()
    return [(one.get_attribute("data-testid") or "").removeprefix("step-row-") for one in found]


def open_order(page: Page) -> list[str]:
    page.goto("/steps")
    expect(page.get_by_test_id("order-form")).to_be_visible()
    return order(page)


def see_order(page: Page, ids: list[str]) -> None:
    """Waits until the steps stand in this order."""
    found = page.get_by_test_id("steps-list").get_by_test_id(re.compile("^step-row-"))
    for place, step_id in enumerate(ids):
        expect(found.nth(place)).to_have_attribute("data-testid", f"step-row-{step_id}")


def press_move(page: Page, where: str, step_id: str) -> None:
    """Presses the step's button "up" or "down" and waits until the server has answered."""
    with page.expect_response(lambda answer: answer.url.endswith("/steps/order")):
        page.locator(f"#{where}-{step_id}").click()


def test_a_step_goes_down_and_up_again(enter: Enter) -> None:
    maya = enter("manager")
    first, second, third, *rest = before = open_order(maya)
    press_move(maya, "down", first)
    see_order(maya, [second, first, third, *rest])
    # by keyboard it goes on: the focus stays on what was pressed
    expect(maya.locator(f"#down-{first}")).to_be_focused()
    maya.keyboard.press("Enter")
    see_order(maya, [second, third, first, *rest])
    assert open_order(maya) == [second, third, first, *rest]

    press_move(maya, "up", first)
    see_order(maya, [second, first, third, *rest])
    press_move(maya, "up", first)
    see_order(maya, before)
    expect(maya.locator(f"#up-{first}")).to_have_attribute("aria-disabled", "true")
    assert open_order(maya) == before


@scriptless
def test_without_a_script_a_step_goes_up(enter: Enter) -> None:
    maya = enter("manager")
    first, second, *rest = open_order(maya)
    maya.locator(f"#up-{second}").click()
    see_order(maya, [second, first])
    assert open_order(maya) == [second, first, *rest]


def test_the_arrow_keys_move_a_step_by_its_handle(enter: Enter) -> None:
    maya = enter("manager")
    first, second, *rest = open_order(maya)
    handle = maya.locator(f"#handle-{first}")
    tab_to(maya, handle)
    maya.keyboard.press("ArrowDown")
    see_order(maya, [second, first, *rest])
    expect(maya.get_by_test_id("order-said")).to_contain_text(f"step 2 of {len(rest) + 2}")
    expect(handle).to_be_focused()

    maya.keyboard.press("End")
    see_order(maya, [second, *rest, first])
    expect(maya.get_by_test_id("order-said")).to_contain_text(f"step {len(rest) + 2} of {len(rest) + 2}")
    expect(handle).to_be_focused()
    assert open_order(enter("admin")) == [second, *rest, first]


def test_a_move_that_was_not_saved_is_not_said_to_be(enter: Enter) -> None:
    maya = enter("manager")
    first, second, *rest = open_order(maya)
    maya.locator(f"#handle-{first}").press("ArrowDown")
    said = maya.get_by_test_id("order-said")
    expect(said).to_contain_text("step 2 of")
    maya.evaluate("document.getElementById('order-said').textContent = ''")
    maya.context.clear_cookies()
    maya.locator(f"#handle-{first}").press("ArrowDown")
    expect(maya.get_by_test_id("notice")).to_be_visible()
    see_order(maya, [second, first, *rest])
    expect(said).to_be_empty()


def test_what_is_pressed_while_an_order_is_saved_moves_that_row_on_and_no_other(enter: Enter) -> None:
    maya = enter("manager")
    first, second, third, fourth, *rest = open_order(maya)
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    maya.route("**/steps/order", hold_the_first)
    maya.locator(f"#up-{fourth}").click()
    maya.locator(f"#up-{fourth}").click()
    maya.locator(f"#handle-{first}").press("ArrowDown")
    maya.locator(f"#down-{first}").click()
    until(maya, lambda: held)
    held[0].continue_()
    see_order(maya, [first, fourth, second, third, *rest])
    expect(maya.get_by_test_id("order-said")).to_contain_text("step 2 of")
    expect(maya.get_by_test_id("steps-list").get_by_role("alert")).to_have_count(0)
    assert len(held) == 2
    assert open_order(enter("admin")) == [first, fourth, second, third, *rest]


def test_an_order_that_somebody_else_changed_is_not_changed_again(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    first, second, third, *rest = open_order(maya)
    open_order(ada)
    press_move(maya, "down", first)
    see_order(maya, [second, first, third, *rest])

    press_move(ada, "down", second)
    notice = ada.get_by_test_id("steps-list").get_by_role("alert")
    expect(notice).to_contain_text("changed since you opened this page")
    expect(notice).to_contain_text("Nothing was moved.")
    see_order(ada, [second, first, third, *rest])
    assert open_order(maya) == [second, first, third, *rest]

    # she saw the order as it is now: the same press counts
    press_move(ada, "down", second)
    see_order(ada, [first, second, third, *rest])
    expect(notice).to_have_count(0)


def test_a_handle_does_not_move_anything_in_an_order_that_is_stale(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    first, second, third, *rest = open_order(maya)
    open_order(ada)
    press_move(maya, "down", first)
    see_order(maya, [second, first, third, *rest])

    ada.locator(f"#handle-{third}").press("Home")
    expect(ada.get_by_test_id("steps-list").get_by_role("alert")).to_contain_text("Nothing was moved.")
    see_order(ada, [second, first, third, *rest])
    assert open_order(maya) == [second, first, third, *rest]


# Who else is here ----------------------------------------------------------------------------------------------------


def editing(page: Page) -> Locator:
    return page.get_by_test_id("editing-now")


def beat(page: Page) -> None:
    """The page asks at once who else is here, as it does when its tab comes to the front."""
    look_again(page, "/draft/presence")


def see_gone(page: Page, name: str) -> None:
    """Asks until the card does not name them any more: what a closing page sends comes when it comes."""

    def is_gone() -> bool:
        beat(page)
        return name not in editing(page).inner_text()

    until(page, is_gone)


def test_two_managers_see_each_other_come_and_go(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    expect(editing(maya)).to_contain_text("Maya Lindqvist (you)")
    expect(editing(maya)).not_to_contain_text("Ada Whitfield")
    open_draft(ada)
    expect(editing(ada)).to_contain_text("Ada Whitfield (you)")
    expect(editing(ada)).to_contain_text("Maya Lindqvist")
    beat(maya)
    expect(editing(maya)).to_contain_text("Ada Whitfield")

    maya.get_by_role("link", name="Back to the step").click()
    expect(maya.get_by_test_id("also-editing")).to_have_text(re.compile("Ada Whitfield is also editing this draft"))
    see_gone(ada, "Maya Lindqvist")
    expect(editing(ada)).to_contain_text("Ada Whitfield (you)")


def test_the_step_names_everybody_who_has_its_draft_open(enter: Enter) -> None:
    maya, ada, ines = enter("manager"), enter("admin"), enter("viewer")
    open_draft(maya)
    open_draft(ada)
    beat(ada)
    ines.goto(f"/steps/{PAYMENTS}")
    also = ines.get_by_test_id("also-editing")
    expect(also).to_contain_text("are also editing this draft")
    expect(also).to_contain_text("Ada Whitfield")
    expect(also).to_contain_text("Maya Lindqvist")
    for other in (DATA_SOURCE, MOBILE):
        ines.goto(f"/steps/{other}")
        expect(also).to_have_count(0)


@scriptless
def test_without_a_script_each_sees_the_other_on_the_next_page(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_draft(maya)
    open_draft(ada)
    expect(editing(ada)).to_contain_text("Maya Lindqvist")
    maya.reload()
    expect(editing(maya)).to_contain_text("Ada Whitfield")
    maya.goto(f"/steps/{PAYMENTS}")
    expect(maya.get_by_test_id("also-editing")).to_contain_text("Ada Whitfield")


# Leaving what is not saved -------------------------------------------------------------------------------------------


def type_title(page: Page, text: str) -> None:
    """Types key by key: a browser asks nothing of somebody who has not touched the page."""
    title = page.get_by_test_id("draft-form").get_by_label("Title")
    title.click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type(text)
    expect(title).to_have_value(text)


def asked(page: Page, problems: list[str], link: str = "Back to the step") -> None:
    """Follows the link, is asked, and stays."""
    with asked_and_staying(page, problems):
        page.get_by_role("link", name=link).click(no_wait_after=True)


def test_leaving_what_was_typed_asks_until_it_is_saved(enter: Enter, problems: list[str]) -> None:
    maya = enter("manager")
    open_draft(maya)
    type_title(maya, "Get paid")
    asked(maya, problems)
    expect(maya).to_have_url(at(f"/steps/{PAYMENTS}/draft"))
    expect(maya.get_by_label("Title")).to_have_value("Get paid")

    maya.get_by_test_id("save-draft").click()
    see_flash(maya, "Saved.")
    maya.get_by_role("link", name="Back to the step").click()
    expect(maya.get_by_test_id("draft-card")).to_be_visible()
    expect(maya).to_have_url(at(f"/steps/{PAYMENTS}"))


def test_what_was_refused_is_still_asked_for(enter: Enter, problems: list[str]) -> None:
    maya = enter("manager")
    open_draft(maya)
    save_draft(maya, Weight="a lot")
    expect(maya.get_by_test_id("weight-error")).to_be_visible()
    maya.get_by_label("Weight").click()
    asked(maya, problems)
    expect(maya.get_by_label("Weight")).to_have_value("a lot")


def test_typing_it_back_is_nothing_to_ask_for(enter: Enter) -> None:
    maya = enter("manager")
    open_draft(maya)
    before = maya.get_by_label("Title").input_value()
    type_title(maya, "Get paid")
    type_title(maya, before)
    maya.get_by_role("link", name="Back to the step").click()
    expect(maya.get_by_test_id("draft-card")).to_be_visible()


# Rolling back, and what the receipt says -----------------------------------------------------------------------------


def see_counts(page: Page, member: str, predicted: int, happened: int) -> None:
    """The receipt's row: predicted, happened, and the difference between them."""
    cells = page.get_by_test_id(f"predicted-{member}").get_by_role("cell")
    difference = happened - predicted
    sign = "[-\u2212]" if difference < 0 else r"\+?"
    expect(cells.nth(0)).to_have_text(f"{predicted:,}")
    expect(cells.nth(1)).to_have_text(f"{happened:,}")
    expect(cells.nth(2)).to_have_text(re.compile(f"^{sign}{abs(difference)}$"))


def test_a_rollback_tells_who_gets_back_and_who_keeps_later_work(enter: Enter) -> None:
    maya, tomas = enter("manager"), enter("support")
    open_preview(maya)
    released = figures(maya, "copied", "reset")
    confirm(maya, "Payouts are part of it now.")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")

    # who was reset gets back what they had, but for the one who has gone on since
    back, stay = released["reset"] - 1, released["copied"] + 1
    open_preview(maya, deed="rollback")
    assert figures(maya, "restored", "stay") == {"restored": back, "stay": stay}
    expect(maya.get_by_test_id("stay")).to_contain_text("1 keeps later work")
    assert open_tab(maya, "Given back", "restored") == back
    expect(rows(maya).filter(has_text="In progress")).to_have_count(PAGE)
    assert AMARA not in {line[0] for line in file_of(maya)}

    assert open_tab(maya, "Keep later work", "kept") == 1
    amara = maya.get_by_test_id(f"affected-row-{AMARA}")
    expect(amara).to_contain_text("Amara Okafor")
    expect(amara).to_contain_text("Done")
    assert [line[0] for line in file_of(maya)] == ["user_id", AMARA]

    confirm(maya, "Too early.")
    see_counts(maya, "restored", back, back)
    see_counts(maya, "copied", stay, stay)
    see_counts(maya, "keptLater", 1, 1)
    for member in MEMBERS:
        expect(maya.get_by_test_id(f"predicted-{member}").get_by_role("cell").nth(2)).to_have_text("0")


def test_the_receipt_tells_what_moved_since_the_preview(enter: Enter) -> None:
    maya, tomas = enter("manager"), enter("support")
    open_preview(maya)
    seen = figures(maya, "affected", "copied", "reset", "untouched")
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")

    # one person is fewer than what asks again
    confirm(maya, "Payouts are part of it now.")
    see_heading(maya, "Version 4 released")
    see_counts(maya, "reset", seen["reset"], seen["reset"] - 1)
    see_counts(maya, "copied", seen["copied"], seen["copied"] + 1)
    see_counts(maya, "affected", seen["affected"], seen["affected"])
    see_counts(maya, "untouched", seen["untouched"], seen["untouched"])
