"""Signing in and out, and coming back to where one wanted to go."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from dashboard.staff.demo_accounts import DEMO_ACCOUNTS, DemoAccount
from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import AMARA, MOBILE, at, save, see_heading, see_saved, sign_in

MAYA = DEMO_ACCOUNTS[0]


def sign_in_as_support(page: Page) -> None:
    page.get_by_role("button", name="Sign in as Support agent").click()
    expect(page.get_by_test_id("account")).to_contain_text("Tomás Okafor")


@pytest.mark.parametrize("account", DEMO_ACCOUNTS, ids=lambda account: account.role.value)
def test_each_role_signs_in_and_out(page: Page, account: DemoAccount) -> None:
    page.goto("/sign-in")
    sign_in(page, account.email, account.password)
    see_heading(page, "Overview")
    expect(page.get_by_test_id("account")).to_contain_text(account.name)
    expect(page.get_by_test_id("account")).to_contain_text(account.role.title)

    page.get_by_role("button", name="Sign out").click()
    see_heading(page, "Sign in")
    page.goto("/steps")
    see_heading(page, "Sign in")


@both_ways
def test_a_wrong_password_keeps_the_email(page: Page) -> None:
    page.goto("/sign-in")
    sign_in(page, MAYA.email, "demo-manger")
    expect(page.get_by_test_id("password-error")).to_have_text("The email or password is not correct.")
    expect(page.get_by_label("Email")).to_have_value(MAYA.email)
    expect(page.get_by_label("Password")).to_have_value("")
    expect(page.get_by_label("Password")).to_be_focused()

    sign_in(page, MAYA.email, MAYA.password)
    see_heading(page, "Overview")
    page.get_by_role("button", name="Sign out").click()
    see_heading(page, "Sign in")


def test_a_deep_link_leads_back_to_where_it_went(page: Page) -> None:
    wanted = "/steps/setup-payments/release?in_progress=keep"
    page.goto(wanted)
    sign_in(page, MAYA.email, MAYA.password)
    see_heading(page, "Preview of version 4")
    expect(page).to_have_url(at(wanted))


@scriptless
def test_one_press_signs_in_as_a_demo_account(page: Page) -> None:
    page.goto("/people")
    sign_in_as_support(page)
    see_heading(page, "People")


def sign_out_elsewhere(page: Page) -> None:
    """As when a session runs out: the page that is open does not learn of it."""
    page.context.clear_cookies(name="staff_session")


def test_what_was_chosen_is_kept_when_the_session_has_ended(enter: Enter) -> None:
    tomas = enter()
    tomas.goto(f"/people/{AMARA}")
    sign_in_as_support(tomas)
    sign_out_elsewhere(tomas)
    save(tomas, MOBILE, "Done", "She installed it after all.")
    expect(tomas.get_by_test_id("notice")).to_contain_text("Sign in again in a new tab")

    with tomas.context.expect_page() as opened:
        tomas.get_by_role("link", name="Sign in again").click()
    sign_in_as_support(opened.value)
    opened.value.close()

    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
    tomas.get_by_test_id(f"save-{MOBILE}").click()
    see_saved(tomas, MOBILE, "Done")
    expect(tomas.get_by_test_id("history")).to_contain_text("She installed it after all.")


@scriptless
def test_what_was_sent_can_be_sent_again_after_signing_in(enter: Enter) -> None:
    tomas = enter()
    tomas.goto(f"/people/{AMARA}")
    sign_in_as_support(tomas)
    sign_out_elsewhere(tomas)
    save(tomas, MOBILE, "Done", "She installed it after all.")
    see_heading(tomas, "You are signed out")

    with tomas.context.expect_page() as opened:
        tomas.get_by_role("link", name="Sign in again").click()
    sign_in_as_support(opened.value)

    tomas.get_by_role("button", name="Send it again").click()
    expect(tomas).to_have_url(re.compile(f"/people/{AMARA}"))
    see_saved(tomas, MOBILE, "Done")
