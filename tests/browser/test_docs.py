"""The page about the API, as an engineer finds their way in it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter, both_ways

PHONE = {"width": 360, "height": 740}


def heading(page: Page, name: str) -> None:
    """It is at the top of what is seen, below the bar that stays there on a phone."""
    expect(page.get_by_role("heading", name=name, exact=False).first).to_be_in_viewport()


def test_from_the_contents_to_an_endpoint_to_its_refusal(enter: Enter) -> None:
    somebody = enter()
    somebody.goto("/api/docs")
    somebody.get_by_role("navigation", name="On this page").get_by_role("link", name="PATCH steps/{step_id}").click()
    heading(somebody, "Save the status of a person's step")
    endpoint = somebody.get_by_role("article", name="Save the status of a person's step")
    expect(endpoint).to_contain_text("curl -X PATCH")
    expect(endpoint).to_contain_text("progress:write")

    endpoint.get_by_role("link", name="412").click()
    expect(somebody).to_have_url(re.compile("#step-conflict$"))
    heading(somebody, "step-conflict")
    expect(somebody.get_by_role("article", name="step-conflict")).to_contain_text("currentVersion")


@both_ways
def test_on_a_phone_the_contents_are_folded(enter: Enter) -> None:
    somebody = enter(viewport=PHONE)
    somebody.goto("/api/docs")
    contents = somebody.get_by_role("navigation", name="On this page")
    expect(contents).to_have_count(0)
    somebody.get_by_text("On this page", exact=True).click()
    contents.get_by_role("link", name="Errors").click()
    heading(somebody, "Errors")


@both_ways
def test_what_an_answer_says_opens_by_keyboard(enter: Enter) -> None:
    somebody = enter()
    somebody.goto("/api/docs#get-step")
    answer = somebody.get_by_role("article", name="One step of a person").locator("summary")
    answer.focus()
    somebody.keyboard.press("Enter")
    expect(somebody.get_by_role("article", name="One step of a person")).to_contain_text("actionUrl")


@both_ways
def test_the_theme_is_chosen_here_too(enter: Enter) -> None:
    somebody = enter()
    somebody.goto("/api/docs")
    somebody.get_by_role("button", name="Dark").click()
    expect(somebody).to_have_url(re.compile("/api/docs$"))
    expect(somebody.locator("html")).to_have_attribute("data-bs-theme", "dark")
