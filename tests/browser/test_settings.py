"""Settings as people use them: somebody is invited and comes in, roles and sessions change under open pages, tokens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import (
    AMARA,
    MOBILE,
    NOOR,
    at,
    choose_role,
    comment_field,
    invite,
    row,
    save,
    see_flash,
    see_heading,
    see_saved,
    see_status,
    sign_in,
)

TOMAS, MAYA = "tomas@demo.example", "maya@demo.example"
PASSWORD = "four words that rhyme"


def accept(noor: Page, link: str) -> None:
    """Chooses the password that the link is for."""
    noor.goto(link)
    form = noor.get_by_test_id("set-password-form")
    form.get_by_label("New password", exact=True).fill(PASSWORD)
    form.get_by_label("Repeat new password").fill(PASSWORD)
    form.get_by_role("button", name="Set password").click()
    see_heading(noor, "Sign in")


def open_account(ada: Page, email: str) -> None:
    """To an account, through the list."""
    ada.goto("/settings/staff")
    ada.get_by_test_id(f"staff-row-{email}").get_by_role("link").click()
    expect(ada.get_by_test_id("staff-account")).to_be_visible()


@both_ways
def test_an_invitation_is_accepted_and_leads_in(enter: Enter) -> None:
    ada, noor = enter("admin"), enter()
    link = invite(ada)
    ada.get_by_role("link", name="Done").click()
    expect(ada.get_by_test_id(f"staff-row-{NOOR}")).to_contain_text("Invited")

    noor.goto(link)
    see_heading(noor, "Welcome, Noor Haddad")
    form = noor.get_by_test_id("set-password-form")
    form.get_by_label("New password", exact=True).fill(PASSWORD)
    form.get_by_role("button", name="Set password").click()
    expect(noor.get_by_test_id("password_again-error")).to_contain_text("The passwords do not match.")
    expect(form.get_by_label("New password", exact=True)).to_have_value("")
    accept(noor, link)
    see_flash(noor, f"Sign in as {NOOR}")
    sign_in(noor, NOOR, PASSWORD)
    expect(noor.get_by_test_id("account")).to_contain_text("Noor Haddad")
    expect(noor.get_by_test_id("account")).to_contain_text("Support agent")

    ada.reload()
    expect(ada.get_by_test_id(f"staff-row-{NOOR}")).to_contain_text("Active")
    ada.goto(link)
    see_heading(ada, "This link does not work")
    ada.goto("/activity?what=staff")
    expect(ada.get_by_test_id("activity-list")).to_contain_text("Accepted the invitation")


def test_an_invitation_that_is_sent_again_leads_to_the_account_and_another_link(enter: Enter) -> None:
    ada = enter("admin")
    link = invite(ada)
    ada.reload()
    expect(ada.get_by_test_id("email-error")).to_contain_text(NOOR)
    ada.get_by_test_id("known-account").click()
    see_heading(ada, "Noor Haddad")
    ada.get_by_test_id("make-link").click()
    expect(ada.get_by_test_id("shown-link")).to_be_visible()
    assert ada.get_by_test_id("shown-link-value").input_value() != link


def test_a_withdrawn_invitation_leads_nowhere(enter: Enter) -> None:
    ada, noor = enter("admin"), enter()
    link = invite(ada)
    ada.get_by_role("link", name="View account").click()
    ada.get_by_role("button", name="Withdraw invitation").click()
    see_flash(ada, "was withdrawn")
    expect(ada.get_by_test_id(f"staff-row-{NOOR}")).to_have_count(0)
    noor.goto(link)
    see_heading(noor, "This link does not work")


def test_a_role_changes_under_an_open_page(enter: Enter) -> None:
    ada, tomas = enter("admin"), enter("support")
    tomas.goto(f"/people/{AMARA}")
    before = cookie(tomas)
    open_account(ada, TOMAS)
    choose_role(ada, "Viewer")
    see_flash(ada, "Tomás Okafor's role is now Viewer")
    expect(ada.get_by_test_id("figure-role")).to_contain_text("Viewer")

    save(tomas, MOBILE, "Done", "She installed it after all.")
    expect(tomas.get_by_text("You cannot do this").first).to_be_visible()
    expect(tomas.get_by_text("You are signed in as Viewer. Nothing was saved.").first).to_be_visible()
    expect(tomas.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
    expect(comment_field(tomas, MOBILE)).to_have_value("She installed it after all.")
    # the browser would ask
    comment_field(tomas, MOBILE).press("Escape")
    tomas.keyboard.press("Escape")
    tomas.goto(f"/people/{AMARA}")
    see_status(tomas, MOBILE, "Skipped")
    expect(tomas.get_by_test_id(f"edit-{MOBILE}")).to_have_count(0)
    expect(tomas.get_by_test_id("account")).to_contain_text("Viewer")
    assert cookie(tomas) != before

    choose_role(ada, "Support agent")
    see_flash(ada, "Tomás Okafor's role is now Support agent")
    tomas.reload()
    save(tomas, MOBILE, "Done")
    see_saved(tomas, MOBILE, "Done")


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "revoked"])
def test_an_administrator_becomes_something_else_and_what_becomes_of_their_tokens(
    enter: Enter, session: Session, keep: bool
) -> None:
    session.execute(update(StaffAccount).where(StaffAccount.email == MAYA).values(role="admin"))
    secret = tokens.create(session, Actor(f"staff:{MAYA}"), name="mayas", scopes=[Scope.PROGRESS_READ]).secret
    session.commit()
    ada = enter("admin")
    open_account(ada, MAYA)
    form = ada.get_by_test_id("role-form")
    expect(form).to_contain_text("mayas, is revoked too.")
    if keep:
        form.get_by_role("checkbox", name="Keep their tokens working").check()
    choose_role(ada, "Viewer")
    see_flash(ada, "role is now Viewer" if keep else "Revoked: mayas.")
    expect(form.get_by_role("checkbox")).to_have_count(0)
    assert api(ada, secret) == (200 if keep else 401)


def cookie(page: Page) -> str:
    """What the browser's session is known by."""
    return next(one["value"] for one in page.context.cookies() if one["name"] == "staff_session")


@both_ways
def test_two_administrators_change_one_account(enter: Enter, session: Session) -> None:
    session.execute(update(StaffAccount).where(StaffAccount.email == "maya@demo.example").values(role="admin"))
    session.commit()
    ada, maya = enter("admin"), enter("manager")
    for someone in (ada, maya):
        open_account(someone, TOMAS)
    choose_role(maya, "Viewer")
    see_flash(maya, "Tomás Okafor's role is now Viewer")

    choose_role(ada, "Onboarding manager")
    panel = ada.get_by_test_id("stale-account-panel")
    expect(panel).to_be_focused()
    expect(panel).to_contain_text("Maya Lindqvist, just now")
    expect(ada.get_by_test_id("figure-role")).to_contain_text("Viewer")
    panel.get_by_role("button", name="Change the role to Onboarding manager anyway").click()
    see_flash(ada, "Tomás Okafor's role is now Onboarding manager")
    expect(panel).to_have_count(0)


def test_a_disabled_account_is_out_at_once(enter: Enter) -> None:
    ada, tomas = enter("admin"), enter("support")
    tomas.goto("/people")
    open_account(ada, TOMAS)
    expect(ada.get_by_test_id("session-row-1")).to_be_visible()
    ada.get_by_text("Disable this account").click()
    ada.get_by_role("button", name="Disable account").click()
    see_flash(ada, "can no longer sign in")
    expect(ada.get_by_test_id("sessions")).to_contain_text("No open sessions")
    tomas.goto("/steps")
    see_heading(tomas, "Sign in")
    ada.get_by_role("button", name="Enable account").click()
    see_flash(ada, f"{TOMAS} can sign in again")


def test_a_session_in_another_browser_is_ended(enter: Enter) -> None:
    here = enter()
    here.goto("/settings/account")
    sign_in(here, TOMAS, "demo-support")
    see_heading(here, "Your account")
    # signed in already, as the demo was made
    there = enter("support")
    there.goto("/")
    see_heading(there, "Overview")

    here.reload()
    expect(here.get_by_test_id("sessions")).to_contain_text("This browser")
    here.get_by_test_id("sessions").get_by_role("button", name=re.compile("^End the session")).click()
    see_flash(here, "Session ended.")
    expect(here.get_by_test_id("end-session")).to_have_count(0)
    there.goto("/people")
    see_heading(there, "Sign in")
    here.goto("/people")
    see_heading(here, "People")


def test_a_new_password_signs_out_everywhere_else(enter: Enter) -> None:
    here, there = enter("viewer"), enter()
    there.goto("/")
    sign_in(there, "ines@demo.example", "demo-viewer")
    see_heading(there, "Overview")
    here.goto("/settings/account")
    form = here.get_by_test_id("own-password")
    form.get_by_label("Current password").fill("demo-wiever")
    form.get_by_label("New password", exact=True).fill(PASSWORD)
    form.get_by_label("Repeat new password").fill(PASSWORD)
    form.get_by_role("button", name="Change password").click()
    expect(here.get_by_test_id("old_password-error")).to_have_text("This is not your current password.")
    expect(form.get_by_label("New password", exact=True)).to_have_value("")
    for password, says in (
        ("password123", "too common"),
        ("Inés Varga", "email or name"),
        ("demo-viewer", "your current password"),
    ):
        form.get_by_label("Current password").fill("demo-viewer")
        form.get_by_label("New password", exact=True).fill(password)
        form.get_by_label("Repeat new password").fill(password)
        form.get_by_role("button", name="Change password").click()
        expect(here.get_by_test_id("password-error")).to_contain_text(says)
    for label, typed in (
        ("Current password", "demo-viewer"),
        ("New password", PASSWORD),
        ("Repeat new password", PASSWORD),
    ):
        form.get_by_label(label, exact=True).fill(typed)
    form.get_by_role("button", name="Change password").click()
    see_flash(here, "Your password was changed.")
    there.goto("/people")
    see_heading(there, "Sign in")
    sign_in(there, "ines@demo.example", PASSWORD)
    see_heading(there, "People")


def api(page: Page, secret: str) -> int:
    """The status that the API answers to whoever has the secret."""
    headers = {"Authorization": f"Bearer {secret}"}
    return page.request.get(f"/api/onboarding/steps?user_id={AMARA}", headers=headers).status


@both_ways
def test_a_token_is_made_used_and_revoked(enter: Enter) -> None:
    ada = enter("admin")
    ada.goto("/settings")
    ada.get_by_role("link", name="API tokens").click()
    ada.get_by_test_id("new-token").click()
    form = ada.get_by_test_id("token-form")
    form.get_by_label("Name").fill("shop")
    form.get_by_role("button").click()
    expect(ada.get_by_test_id("scopes-error")).to_be_visible()
    expect(form.get_by_label("Name")).to_have_value("shop")
    form.get_by_role("checkbox", name="Read a person's steps and progress").check()
    form.get_by_label("Expires").select_option(label="In 30 days")
    form.get_by_role("button").click()
    expect(ada.get_by_test_id("shown-token")).to_be_focused()
    secret = ada.get_by_test_id("shown-token-value").input_value()
    assert api(ada, secret) == 200
    assert api(ada, f"{secret}x") == 401

    ada.get_by_role("link", name="Done").click()
    shop = ada.get_by_test_id("token-row-shop")
    expect(shop).to_contain_text("just now")
    expect(ada.get_by_role("main")).not_to_contain_text(secret)
    shop.get_by_role("link", name="Revoke shop").click()
    see_heading(ada, "Revoke shop")
    ada.get_by_role("button", name="Revoke token").click()
    see_flash(ada, "The token shop was revoked.")
    assert api(ada, secret) == 401


def test_what_is_shown_once_is_copied(enter: Enter) -> None:
    ada = enter("admin")
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_account(ada, TOMAS)
    ada.get_by_role("button", name="Create a link").click()
    expect(ada.get_by_test_id("shown-link")).to_be_focused()
    link = ada.get_by_test_id("shown-link-value").input_value()
    ada.get_by_role("button", name="Copy").click()
    expect(ada.get_by_role("button", name="Copied")).to_be_visible()
    assert ada.evaluate("navigator.clipboard.readText()") == link
    ada.reload()
    expect(ada.get_by_test_id("shown-link")).to_have_count(0)


@scriptless
def test_without_a_script_there_is_no_button_that_does_nothing(enter: Enter) -> None:
    ada = enter("admin")
    assert "/set-password?link=" in invite(ada)
    expect(ada.get_by_role("button", name="Copy")).to_have_count(0)


@pytest.mark.parametrize("role", ["viewer", "support", "manager"])
def test_everybody_else_finds_their_own_account_only(enter: Enter, role: str) -> None:
    someone = enter(role)
    someone.goto("/")
    someone.get_by_role("navigation", name="Main").get_by_role("link", name="Settings").click()
    see_heading(someone, "Your account")
    expect(someone).to_have_url(at("/settings/account"))
    expect(someone.get_by_role("link", name="API tokens")).to_have_count(0)
    someone.goto("/settings/staff")
    see_heading(someone, "You cannot do this")


def test_the_menu_leads_to_ones_own_account(enter: Enter) -> None:
    tomas = enter("support", viewport={"width": 360, "height": 740})
    tomas.goto("/")
    tomas.get_by_role("button", name="Menu").click()
    tomas.get_by_test_id("account").click()
    see_heading(tomas, "Your account")
    tomas.get_by_label("Name").fill("Tomás O.")
    tomas.get_by_role("button", name="Save name").click()
    see_flash(tomas, "Your name is now Tomás O..")
    tomas.goto(f"/people/{AMARA}")
    save(tomas, MOBILE, "Done")
    see_saved(tomas, MOBILE, "Done")
    expect(row(tomas, MOBILE)).to_be_visible()
    expect(tomas.get_by_test_id("history")).to_contain_text("Tomás O.")
