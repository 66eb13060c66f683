"""Signing in with a real OpenID Connect provider, in a real browser, as people do it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.staff import accounts, sessions
from dashboard.staff.permissions import Role
from tests.browser.conftest import Enter, both_ways
from tests.browser.pages import at, see_flash, see_heading
from tests.browser.test_every_page import WIDE, check
from tests.provider import LABEL, PASSWORD, Provider, with_provider
from tests.serving import served
from tests.staff.signed_in import PASSWORD as PASSWORD_HERE
from tests.staff.signed_in import make_account

BUTTON = f"Sign in with {LABEL}"


@pytest.fixture
def live_server(settings: Settings, provider: Provider) -> Iterator[str]:
    """The dashboard on this test's copy of the demo, where one can sign in with the provider, too."""
    from dashboard import create_app

    # where it is served is known when it is served
    site: Flask = create_app(with_provider(settings, provider))
    with served(site) as address:
        site.extensions["settings"] = replace(site.extensions["settings"], base_url=address)
        site.config["PAGES_AT"] = address
        provider.register(address)
        yield address
    site.extensions["database"].dispose()


def sign_in_there(page: Page, name: str) -> None:
    """At the provider, by its own pages."""
    page.get_by_label("Login").fill(name)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@both_ways
def test_somebody_signs_in_with_the_provider_and_out(page: Page, provider: Provider) -> None:
    provider.person("noor", "support")
    provider.must_agree()
    page.goto("/people?q=amara")
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "noor")
    page.get_by_role("button", name="Accept").click()

    expect(page).to_have_url(at("/people?q=amara"))
    see_heading(page, "People")
    expect(page.get_by_test_id("account")).to_contain_text("Noor of the provider")
    expect(page.get_by_test_id("account")).to_contain_text("Support agent")

    page.get_by_role("button", name="Sign out").click()
    see_heading(page, "Sign in")
    page.goto("/people")
    see_heading(page, "Sign in")
    # the provider still knows who they are
    page.get_by_role("link", name=BUTTON).click()
    see_heading(page, "People")


def test_whoever_says_no_there_is_back_at_the_sign_in_page(page: Page, provider: Provider) -> None:
    provider.person("noor", "support")
    provider.must_agree()
    page.goto("/sign-in")
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "noor")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_test_id("form-problem")).to_contain_text(f"{LABEL} did not let you in, or you cancelled there.")
    see_heading(page, "Sign in")


def test_the_role_follows_the_groups(enter: Enter, provider: Provider, database: Database) -> None:
    provider.person("noor", "support")
    noor = enter()
    noor.goto("/sign-in")
    noor.get_by_role("link", name=BUTTON).click()
    sign_in_there(noor, "noor")
    expect(noor.get_by_test_id("account")).to_contain_text("Support agent")
    noor.goto("/settings/account")
    expect(noor.get_by_test_id("own-provider")).to_contain_text("have no password here")
    check(noor)

    ada = enter("admin")
    ada.goto("/settings/staff")
    expect(ada.get_by_test_id("staff-row-noor@example.com")).to_contain_text(LABEL)
    ada.get_by_role("link", name="Noor of the provider").click()
    expect(ada.get_by_test_id("role-by-groups")).to_contain_text("their role is set from their groups there")
    check(ada)

    provider.put_into("noor", "everybody")
    noor.set_viewport_size({"width": WIDE, "height": 800})
    noor.get_by_role("button", name="Sign out").click()
    noor.get_by_role("link", name=BUTTON).click()
    expect(noor.get_by_test_id("not-admitted")).to_contain_text("none of your groups there has a role here")
    check(noor)


def test_an_account_with_a_password_is_connected_once(page: Page, provider: Provider, database: Database) -> None:
    with database.transaction() as session:
        make_account(session, Role.VIEWER, "noor@example.com")
    provider.person("noor", "managers")
    page.goto("/steps")
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "noor")
    see_heading(page, f"{BUTTON} from now on")
    check(page)
    page.get_by_label("Password").fill("a wrong password")
    page.get_by_test_id("connect").click()
    expect(page.get_by_test_id("password-error")).to_have_text("This is not the password for that account.")
    page.get_by_label("Password").fill(PASSWORD_HERE)
    page.get_by_test_id("connect").click()

    see_heading(page, "Steps")
    see_flash(page, f"You now sign in with {LABEL}. Your password no longer works.")
    expect(page.get_by_test_id("account")).to_contain_text("Onboarding manager")
    with database.transaction() as session:
        account = accounts.find(session, "noor@example.com")
        assert account is not None
        assert account.issuer == provider.issuer
        assert len(sessions.sessions_of(session, account.email)) == 1


def test_a_provider_that_is_down_leaves_the_password(page: Page, provider: Provider) -> None:
    provider.is_down = True
    page.goto("/sign-in")
    page.get_by_role("link", name=BUTTON).click()
    expect(page.get_by_test_id("form-problem")).to_contain_text("cannot be reached right now")
    check(page)
    page.get_by_role("button", name="Sign in as Viewer").click()
    see_heading(page, "Overview")
