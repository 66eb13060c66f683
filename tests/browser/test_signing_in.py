"""Signing in and out, and coming back to where one wanted to go. What is being typed meanwhile: test_interrupted.py."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from dashboard.staff.demo_accounts import DEMO_ACCOUNTS, DemoAccount
from tests.browser.conftest import both_ways, scriptless
from tests.browser.pages import at, see_heading, sign_in

MAYA = DEMO_ACCOUNTS[0]


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
    page.get_by_role("button", name="Sign in as Support agent").click()
    expect(page.get_by_test_id("account")).to_contain_text("Tomás Okafor")
    see_heading(page, "People")
