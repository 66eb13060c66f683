"""Where the reader's own colours take the place of ours, and where a page is printed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter
from tests.browser.pages import AMARA, PAYMENTS, comment_field, open_person, open_preview


def looks(place: Locator) -> dict[str, str]:
    """Ground and ink, as the browser has computed them."""
    found: dict[str, str] = place.evaluate(
        "element => (({backgroundColor: ground, color: ink}) => ({ground, ink}))(getComputedStyle(element))"
    )
    return found


def system_colours(page: Page) -> dict[str, str]:
    """The ground and ink that the reader's scheme has for what is selected."""
    found: dict[str, str] = page.evaluate(
        """() => {
            const probe = document.body.appendChild(document.createElement("i"));
            probe.style.cssText = "forced-color-adjust: none; background: Highlight; color: HighlightText";
            const {backgroundColor: ground, color: ink} = getComputedStyle(probe);
            probe.remove();
            return {ground, ink};
        }"""
    )
    return found


def beside(radio: Locator) -> Locator:
    """What shows of a choice: its radio lies invisible over it."""
    return radio.locator("xpath=following-sibling::*")


# Colours of the reader's own -----------------------------------------------------------------------------------------


def test_what_is_chosen_is_told_from_what_is_not(enter: Enter) -> None:
    maya = enter("manager", forced_colors="active", color_scheme="dark")
    open_preview(maya)
    chosen = system_colours(maya)

    radios = maya.get_by_test_id("policy-form").get_by_role("radio").all()
    assert len(radios) == 6
    for radio in radios:
        assert (looks(beside(radio)) == chosen) == radio.is_checked()
    radios[1].check(force=True)
    assert looks(beside(radios[1])) == chosen != looks(beside(radios[0]))

    menu = maya.get_by_role("navigation", name="Main").get_by_role("listitem").get_by_role("link")
    tabs = maya.get_by_test_id("people-affected").get_by_role("navigation").get_by_role("link")
    for links in (menu, tabs):
        assert [looks(one) == chosen for one in links.all()].count(True) == 1
        current = links.and_(maya.locator("[aria-current]"))
        assert looks(current) == chosen
        # a count in it is legible too
        assert looks(current.locator(":scope > span"))["ink"] == chosen["ink"]

    themes = maya.get_by_role("button", name=re.compile("Light|Dark|System")).all()
    assert len(themes) == 3
    for button in themes:
        assert (looks(button) == chosen) == (button.get_attribute("aria-pressed") == "true")


def test_a_comment_that_waits_behind_its_button_is_seen(enter: Enter) -> None:
    tomas = enter("support", forced_colors="active")
    open_person(tomas)
    comment_field(tomas, PAYMENTS).fill("The bank has confirmed it.")
    button = tomas.get_by_test_id(f"edit-{PAYMENTS}").locator("summary")
    assert looks(button) != system_colours(tomas)
    button.click()
    assert looks(button) == system_colours(tomas)


def test_a_legend_keeps_the_colours_of_its_bars(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/")
    ours = legend(maya)
    assert len(set(ours)) == 4
    for there in ({"forced_colors": "active"}, {"forced_colors": "none", "media": "print"}):
        maya.emulate_media(**there)  # type: ignore[arg-type]
        assert legend(maya) == ours
    kept = "head => getComputedStyle(head, '::before').printColorAdjust"
    assert {one.evaluate(kept) for one in maya.get_by_test_id("funnel").get_by_role("columnheader").all()} == {"exact"}


def legend(page: Page) -> list[str]:
    """The colour before each status of the funnel."""
    heads = page.get_by_test_id("funnel").get_by_role("columnheader").all()[1:]
    return [head.evaluate("head => getComputedStyle(head, '::before').backgroundColor") for head in heads]


# Paper ---------------------------------------------------------------------------------------------------------------

PRINTED = {
    "overview": ("/", "funnel"),
    "receipt": (f"/steps/{PAYMENTS}/releases/4", "status-matrix"),
    "person": (f"/people/{AMARA}", "steps"),
}


@pytest.mark.parametrize(("path", "holds"), PRINTED.values(), ids=PRINTED.keys())
def test_paper_has_what_there_is_to_read_and_nothing_to_press(enter: Enter, path: str, holds: str) -> None:
    ada = enter("admin")
    ada.goto(path)
    ada.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
    ada.emulate_media(media="print")
    expect(ada.get_by_role("heading", level=1)).to_be_visible()
    expect(ada.get_by_test_id(holds)).to_be_visible()
    # roles are of what is shown
    for role in ("button", "textbox", "searchbox", "combobox", "checkbox"):
        expect(ada.get_by_role(role)).to_have_count(0)
    expect(ada.get_by_role("navigation", name="Main")).to_have_count(0)
    bars = ada.get_by_role("progressbar").all()
    assert bool(bars) == (holds == "steps"), "a person's page has one"
    for bar in bars:
        assert bar.evaluate("bar => getComputedStyle(bar).printColorAdjust") == "exact"
    # dark on white, whatever the screen has
    red, green, blue = map(int, re.findall(r"\d+", looks(ada.locator("body"))["ink"])[:3])
    assert max(red, green, blue) < 64


def test_paper_has_the_exact_time_where_the_screen_says_how_long_ago(enter: Enter) -> None:
    ada = enter("admin")
    ada.goto(f"/people/{AMARA}")
    times = ada.locator("main time.brief").all()
    assert times
    for media, on_paper in (("screen", False), ("print", True)):
        ada.emulate_media(media=media)  # type: ignore[arg-type]
        for time in times:
            exact = time.get_attribute("title") or ""
            assert re.fullmatch(r"\d+ \w{3} \d{4}, \d\d:\d\d:\d\d UTC", exact)
            # the text of a pseudo-element, as it is drawn
            shown = time.evaluate("time => getComputedStyle(time, '::after').content")
            assert (shown == f'"{exact}"') is on_paper
            assert (time.evaluate("time => getComputedStyle(time).fontSize") == "0px") is on_paper
