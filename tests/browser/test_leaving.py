"""A page that is left or sent: the browser asks before what was typed is lost, and a second press loses no answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests.browser.conftest import Enter
from tests.browser.pages import (
    MOBILE,
    PAYMENTS,
    asked_and_staying,
    at,
    choose_status,
    comment_field,
    fill_in_token,
    open_draft,
    open_person,
    open_preview,
    panel,
    save,
    see_heading,
    see_saved,
    until,
)

LONG = "four words of hers"
Typing = Callable[[Page], None]


def press_twice(page: Page, button: Locator) -> None:
    """Presses it again before the first answer is there: the server has done it, and the browser waits."""
    posts: list[Route] = []
    answers: list[APIResponse] = []

    def on_post(route: Route) -> None:
        if route.request.method != "POST":
            return route.fallback()
        posts.append(route)
        answers.append(route.fetch(max_redirects=0))
        return None

    page.route("**/*", on_post)
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box
    # by its place: a locator would wait for the answer
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(*middle)
    until(page, lambda: answers)
    page.mouse.click(*middle)
    page.wait_for_timeout(200)  # for what is not to come
    assert len(posts) == 1
    posts[0].fulfill(response=answers[0])


def stop_a_save(page: Page) -> None:
    """Saves the draft, and stops the browser before there is an answer."""
    page.route("**/draft", lambda route: route.abort("aborted"))
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/draft")):
        page.get_by_test_id("save-draft").click(no_wait_after=True)
    page.unroute("**/draft")


# A second press ------------------------------------------------------------------------------------------------------


def test_a_token_is_made_once_and_shown(enter: Enter) -> None:
    ada = enter("admin")
    fill_in_token(ada, "nightly-import")
    press_twice(ada, ada.get_by_test_id("create-token"))
    expect(ada.get_by_test_id("shown-token-value")).to_have_value(re.compile("."))


def test_an_invitation_is_made_once_and_shown(enter: Enter) -> None:
    ada = enter("admin")
    ada.goto("/settings/staff/invite")
    ada.get_by_label("Name").fill("Noor")
    ada.get_by_label("Email").fill("noor@demo.example")
    ada.get_by_role("radio").first.check()
    press_twice(ada, ada.get_by_test_id("send-invite"))
    expect(ada.get_by_test_id("shown-link-value")).to_have_value(re.compile("/set-password"))


def test_a_new_step_is_created_once(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/steps/new")
    maya.get_by_label("Id").fill("invite-a-friend")
    maya.get_by_label("Title").fill("Invite a friend")
    press_twice(maya, maya.get_by_role("button", name="Create step"))
    expect(maya.get_by_test_id("flash")).to_contain_text("The step was created as a draft.")


def test_a_password_is_changed_once(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/settings/account")
    card = tomas.get_by_test_id("own-password")
    for field, text in zip(card.locator("[type=password]").all(), ("demo-support", LONG, LONG), strict=True):
        field.fill(text)
    press_twice(tomas, card.get_by_test_id("change-password"))
    expect(tomas.get_by_test_id("flash")).to_be_visible()


def test_a_form_that_was_stopped_can_be_sent_again(enter: Enter) -> None:
    maya = enter("manager")
    maya.clock.install()
    open_draft(maya)
    maya.get_by_label("Title").fill("Get paid")
    stop_a_save(maya)
    maya.clock.fast_forward(11_000)
    maya.get_by_test_id("save-draft").click()
    expect(maya.get_by_test_id("flash")).to_contain_text("Saved.")


def test_copied_is_said_only_of_what_was_copied(enter: Enter) -> None:
    ada = enter("admin")
    fill_in_token(ada, "nightly-import")
    ada.get_by_test_id("create-token").click()
    expect(ada.get_by_test_id("shown-token")).to_be_focused()
    ada.evaluate("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false;")
    copy = ada.get_by_role("button", name="Copy")
    copy.click()
    expect(ada.get_by_text("Select the text and copy it yourself.")).to_be_visible()
    expect(copy).to_have_text("Copy")


# Leaving -------------------------------------------------------------------------------------------------------------


def choose_and_comment(page: Page) -> None:
    open_person(page)
    choose_status(page, MOBILE, "Done")
    comment_field(page, MOBILE).fill("She installed it after all.")


def give_a_reason(page: Page) -> None:
    open_preview(page)
    page.get_by_label("Reason").fill("Payouts are part of it now.")


def invite(page: Page) -> None:
    page.goto("/settings/staff/invite")
    page.get_by_label("Name").fill("Noor")


def invite_without_an_email(page: Page) -> None:
    invite(page)
    page.get_by_test_id("send-invite").click()
    expect(page.get_by_test_id("email-error")).to_be_visible()


def type_a_draft(page: Page) -> None:
    open_draft(page)
    page.get_by_label("Title").fill("Get paid")


def comment_on_many(page: Page) -> None:
    page.goto("/people")
    page.get_by_role("checkbox").first.check()
    page.get_by_label("Comment", exact=True).fill("After the outage.")


EVERY = [choose_and_comment, give_a_reason, invite, invite_without_an_email, type_a_draft, comment_on_many]


@pytest.mark.parametrize("typing", EVERY)
def test_what_was_typed_is_asked_for(enter: Enter, problems: list[str], typing: Typing) -> None:
    ada = enter("admin")
    typing(ada)
    with asked_and_staying(ada, problems):
        ada.get_by_role("navigation", name="Main").get_by_role("link", name="Activity").click(no_wait_after=True)
    with asked_and_staying(ada, problems):
        ada.get_by_test_id("sign-out").click(no_wait_after=True)


def test_a_conflict_that_is_open_is_asked_for(enter: Enter, problems: list[str]) -> None:
    tomas, ada = enter("support"), enter("admin")
    open_person(tomas)
    open_person(ada)
    save(ada, PAYMENTS, "Skipped")
    see_saved(ada, PAYMENTS, "Skipped")
    save(tomas, PAYMENTS, "Done")
    expect(panel(tomas, PAYMENTS)).to_be_visible()
    with asked_and_staying(tomas, problems):
        tomas.get_by_role("navigation", name="Main").get_by_role("link", name="Activity").click(no_wait_after=True)
    panel(tomas, PAYMENTS).get_by_test_id("conflict-keep").click()
    expect(panel(tomas, PAYMENTS)).to_have_count(0)
    tomas.get_by_role("navigation", name="Main").get_by_role("link", name="Activity").click()
    see_heading(tomas, "Activity")


def test_what_is_saved_put_back_or_only_looked_for_is_not_asked_for(enter: Enter) -> None:
    tomas = enter("support")
    choose_and_comment(tomas)
    tomas.get_by_test_id(f"save-{MOBILE}").click()
    see_saved(tomas, MOBILE, "Done")
    choose_status(tomas, PAYMENTS, "Done")
    tomas.get_by_test_id(f"status-{PAYMENTS}").press("Escape")
    tomas.get_by_role("searchbox", name="Find a person").fill("amara")
    tomas.get_by_role("navigation", name="Main").get_by_role("link", name="People").click()
    see_heading(tomas, "People")
    tomas.get_by_role("searchbox", name="Search").fill("amara")
    expect(tomas).to_have_url(at("/people?q=amara"))
    tomas.get_by_role("link", name="Amara Okafor").click()
    see_heading(tomas, "Amara Okafor")
    tomas.get_by_test_id("sign-out").click()
    see_heading(tomas, "Sign in")


def test_a_row_that_was_refused_is_asked_for_until_it_is_put_back(enter: Enter, problems: list[str]) -> None:
    tomas = enter("support")
    open_person(tomas)
    comment_field(tomas, PAYMENTS).evaluate("field => { field.maxLength = 9000; }")
    save(tomas, PAYMENTS, "Done", "a" * 2_001)
    expect(tomas.get_by_test_id(f"problem-{PAYMENTS}")).to_be_visible()
    with asked_and_staying(tomas, problems):
        tomas.get_by_test_id("sign-out").click(no_wait_after=True)
    comment_field(tomas, PAYMENTS).press("Escape")
    tomas.keyboard.press("Escape")
    tomas.get_by_test_id("sign-out").click()
    see_heading(tomas, "Sign in")


def test_a_save_that_was_stopped_is_asked_for_again(enter: Enter, problems: list[str]) -> None:
    maya = enter("manager")
    open_draft(maya)
    maya.get_by_label("Title").fill("Get paid")
    stop_a_save(maya)
    with asked_and_staying(maya, problems):
        maya.get_by_role("link", name="Back to the step").click(no_wait_after=True)


def test_a_form_beside_what_was_typed_asks_and_can_be_sent_once_it_is_gone(enter: Enter, problems: list[str]) -> None:
    tomas = enter("support")
    choose_and_comment(tomas)
    for _ in range(2):
        with asked_and_staying(tomas, problems):
            tomas.get_by_test_id("sign-out").click(no_wait_after=True)
    comment_field(tomas, MOBILE).press("Escape")
    tomas.keyboard.press("Escape")
    tomas.get_by_test_id("sign-out").click()
    see_heading(tomas, "Sign in")


# The theme -----------------------------------------------------------------------------------------------------------


def test_another_theme_leaves_the_page_as_it_is(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    tomas.get_by_role("searchbox", name="Search").fill("amara")
    expect(tomas).to_have_url(at("/people?q=amara"))
    with tomas.expect_response("**/theme"):
        tomas.get_by_role("button", name="Dark").click()
    expect(tomas.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(tomas).to_have_url(at("/people?q=amara"))
    expect(tomas.get_by_role("searchbox", name="Search")).to_have_value("amara")

    choose_and_comment(tomas)
    expect(tomas.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(tomas.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    with tomas.expect_response("**/theme"):
        tomas.get_by_role("button", name="System").click()
    expect(tomas.locator("html")).not_to_have_attribute("data-bs-theme", re.compile("."))
    expect(tomas.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "false")
    expect(comment_field(tomas, MOBILE)).to_have_value("She installed it after all.")
    tomas.get_by_test_id(f"save-{MOBILE}").click()
    see_saved(tomas, MOBILE, "Done")
