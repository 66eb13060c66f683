"""A session ends, or a role changes, while somebody is typing: they are told so, and nothing that they typed is lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount, StaffSession
from dashboard.onboarding import steps
from dashboard.onboarding.actor import Actor
from dashboard.staff import accounts
from dashboard.staff.demo_accounts import DEMO_ACCOUNTS
from dashboard.staff.permissions import Role
from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import (
    AMARA,
    MOBILE,
    PAYMENTS,
    at,
    choose,
    choose_status,
    comment_field,
    open_draft,
    open_person,
    open_preview,
    save_draft,
    see_flash,
    see_heading,
    see_saved,
    see_status,
    sign_in,
)
from tests.browser.test_every_page import check

ACCOUNTS = {account.role: account for account in DEMO_ACCOUNTS}
COMMENT = "She installed it after all, <b>on her own</b>."
LONG = "\n\n".join(
    f"{number}. Connect a bank account & check “payouts”.\n   Then wait: <it> takes a day." for number in range(1, 40)
)


def end_sessions(session: Session, role: Role) -> None:
    """As when they run out, or are ended elsewhere: the page that is open does not learn of it."""
    of_role = select(StaffAccount.id).where(StaffAccount.role == role.value)
    session.execute(update(StaffSession).where(StaffSession.account_id.in_(of_role)).values(expires_at=func.now()))
    session.commit()


def change_role(session: Session, before: Role, after: Role) -> None:
    email = ACCOUNTS[before].email
    accounts.change_role(session, Actor("system:command-line", "cli"), email, after, demo=True)
    session.commit()


def come_in(enter: Enter, role: Role) -> Page:
    """Signs in as people do: a form that is open stays good for whoever comes back."""
    page = enter()
    page.goto("/sign-in")
    sign_in(page, ACCOUNTS[role].email, ACCOUNTS[role].password)
    expect(page.get_by_test_id("account")).to_contain_text(ACCOUNTS[role].name)
    return page


def sign_in_again(page: Page, role: Role) -> Page:
    """Follows the link that the notice or the page has, in a tab of its own; that tab, where one has landed."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in again").click()
    tab = opened.value
    see_heading(tab, "Sign in")
    sign_in(tab, ACCOUNTS[role].email, ACCOUNTS[role].password)
    expect(tab.get_by_test_id("account")).to_contain_text(ACCOUNTS[role].name)
    return tab


def edit(page: Page) -> None:
    """Chooses a status and types a comment, and saves."""
    choose_status(page, MOBILE, "Done")
    comment_field(page, MOBILE).fill(COMMENT)
    page.get_by_test_id(f"save-{MOBILE}").click()


def see_kept(page: Page, javascript: bool) -> None:
    """What was chosen and typed is still in the row; without a script on the page that took its place."""
    if javascript:
        expect(page.get_by_test_id(f"status-{MOBILE}")).to_have_value("done")
        expect(comment_field(page, MOBILE)).to_have_value(COMMENT)
    else:
        expect(page.get_by_test_id("typed")).to_contain_text("Done")
        expect(page.get_by_test_id("typed")).to_contain_text(COMMENT)


# A session that has ended --------------------------------------------------------------------------------------------


@both_ways
def test_a_session_ends_while_a_row_is_edited(enter: Enter, session: Session, javascript: bool) -> None:
    tomas = come_in(enter, Role.SUPPORT)
    open_person(tomas)
    end_sessions(session, Role.SUPPORT)
    edit(tomas)
    expect(tomas.get_by_text("You are signed out").first).to_be_visible()
    see_kept(tomas, javascript)
    expect(tomas.get_by_text("You will be asked to confirm it")).to_have_count(0)
    if not javascript:
        expect(tomas.get_by_test_id("typed")).to_contain_text("Status of Install the mobile app")

    tab = sign_in_again(tomas, Role.SUPPORT)
    expect(tab).to_have_url(at(f"/people/{AMARA}"))
    see_status(tab, MOBILE, "Skipped")
    tab.close()
    see_kept(tomas, javascript)
    tomas.get_by_test_id(f"save-{MOBILE}" if javascript else "send-again").click()
    see_saved(tomas, MOBILE, "Done")
    expect(tomas).to_have_url(re.compile(f"/people/{AMARA}"))
    expect(tomas.get_by_test_id("history")).to_contain_text(COMMENT)


def test_a_session_ends_while_a_long_text_is_written(enter: Enter, session: Session) -> None:
    maya = come_in(enter, Role.MANAGER)
    open_draft(maya)
    end_sessions(session, Role.MANAGER)
    save_draft(maya, Description=LONG, Title="Get paid")
    see_heading(maya, "You are signed out")
    expect(maya.get_by_test_id("typed")).to_contain_text("Get paid")
    assert LONG in maya.get_by_test_id("typed").inner_text()

    tab = sign_in_again(maya, Role.MANAGER)
    expect(tab).to_have_url(at(f"/steps/{PAYMENTS}/draft"))
    expect(tab.get_by_label("Title")).not_to_have_value("Get paid")
    tab.close()
    maya.get_by_role("button", name="Send it again").click()
    see_flash(maya, "Saved.")
    expect(maya.get_by_label("Title")).to_have_value("Get paid")
    expect(maya.get_by_label("Description")).to_have_value(LONG)
    found = steps.get(session, PAYMENTS).draft
    assert found is not None
    assert found.fields.description == LONG


def test_what_is_typed_outlives_whatever_is_asked_for_beside_it(enter: Enter, session: Session) -> None:
    """A page asks for parts of itself, too: the report that follows a choice."""
    maya = come_in(enter, Role.MANAGER)
    open_preview(maya)
    maya.get_by_label("Reason").fill(COMMENT)
    session.execute(delete(StaffSession))
    session.commit()
    choose(maya, "In progress", "Keep")
    expect(maya.get_by_test_id("notice")).to_contain_text("You are signed out")
    expect(maya).to_have_url(at(f"/steps/{PAYMENTS}/release"))
    expect(maya.get_by_label("Reason")).to_have_value(COMMENT)

    sign_in_again(maya, Role.MANAGER).close()
    choose(maya, "Skipped", "Ask again")
    expect(maya).to_have_url(re.compile("skipped=reset"))
    maya.get_by_test_id("confirm").click()
    expect(maya.get_by_test_id("receipt-facts")).to_contain_text(COMMENT)


def test_a_page_on_which_nothing_is_typed_leads_to_the_sign_in_page_and_back(enter: Enter, session: Session) -> None:
    tomas = enter("support")
    tomas.goto("/people")
    session.execute(delete(StaffSession))
    session.commit()
    tomas.get_by_role("searchbox", name="Search").fill("amara")
    see_heading(tomas, "Sign in")
    sign_in(tomas, ACCOUNTS[Role.SUPPORT].email, ACCOUNTS[Role.SUPPORT].password)
    expect(tomas).to_have_url(re.compile(r"/people\?q=amara"))
    expect(tomas.get_by_role("searchbox", name="Search")).to_have_value("amara")
    expect(tomas.get_by_test_id(f"person-row-{AMARA}")).to_be_visible()


@scriptless
def test_who_signed_out_in_another_tab_is_told_that_they_will_be_asked_and_is(enter: Enter) -> None:
    tomas = come_in(enter, Role.SUPPORT)
    open_person(tomas)
    beside = tomas.context.new_page()
    beside.goto("/")
    beside.get_by_role("button", name="Sign out").click()
    see_heading(beside, "Sign in")
    beside.close()
    edit(tomas)
    see_heading(tomas, "You are signed out")
    expect(tomas.get_by_test_id("signed-out")).to_contain_text("You will be asked to confirm it")
    sign_in_again(tomas, Role.SUPPORT).close()
    tomas.get_by_test_id("send-again").click()
    see_heading(tomas, "This page was open too long")
    expect(tomas.get_by_test_id("typed")).to_contain_text("Status of Install the mobile app")
    tomas.get_by_test_id("send-again").click()
    see_saved(tomas, MOBILE, "Done")


def test_whoever_signs_in_meanwhile_saves_it_under_their_own_name(enter: Enter, session: Session) -> None:
    """Somebody else at the same browser: their token is another one, and the page gets it with the refusal."""
    tomas = come_in(enter, Role.SUPPORT)
    open_person(tomas)
    end_sessions(session, Role.SUPPORT)
    edit(tomas)
    sign_in_again(tomas, Role.ADMIN).close()
    tomas.get_by_test_id(f"save-{MOBILE}").click()
    expect(tomas.get_by_test_id("notice")).to_contain_text("what you typed is still here")
    see_kept(tomas, javascript=True)
    tomas.get_by_test_id(f"save-{MOBILE}").click()
    see_saved(tomas, MOBILE, "Done")
    expect(tomas.get_by_test_id("history")).to_contain_text("Ada Whitfield")


# A role that has changed ---------------------------------------------------------------------------------------------


def test_a_manager_becomes_a_viewer_while_a_long_text_is_written(enter: Enter, session: Session) -> None:
    maya = enter("manager")
    open_draft(maya)
    change_role(session, Role.MANAGER, Role.VIEWER)
    save_draft(maya, Description=LONG)
    see_heading(maya, "You cannot do this")
    assert LONG in maya.get_by_test_id("typed").inner_text()
    check(maya)


@pytest.mark.parametrize("path", [f"/steps/{PAYMENTS}", "/steps"])
def test_a_viewer_becomes_a_manager_and_sees_it_on_the_next_page(enter: Enter, session: Session, path: str) -> None:
    ines = enter("viewer")
    ines.goto("/steps")
    expect(ines.get_by_test_id("account")).to_contain_text("Viewer")
    expect(ines.get_by_role("link", name="New step")).to_have_count(0)
    change_role(session, Role.VIEWER, Role.MANAGER)
    ines.goto(path)
    expect(ines.get_by_test_id("account")).to_contain_text("Onboarding manager")
    expect(ines.get_by_role("link", name="New step" if path == "/steps" else "Edit draft")).to_be_visible()
