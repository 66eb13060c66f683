"""Every page and every panel: nothing for axe to find in either theme at either width, and nothing scrolls sideways.

One of each kind: what consists of the same templates and macros as another one here is not looked at a second time.

All of it on a demo in which every text that people can fill is hostile: markup, ends of attributes, handlers, addresses,
words without an end. Nothing of it becomes more than text, asks for anything, or moves what stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page, expect
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.loading import empty
from tests.browser.as_text import look
from tests.browser.conftest import Enter
from tests.browser.pages import (
    AMARA,
    DATA_SOURCE,
    MOBILE,
    PAYMENTS,
    choose_role,
    choose_status,
    comment_field,
    confirm,
    fill_in_token,
    invite,
    look_again,
    open_draft,
    open_person,
    open_preview,
    panel,
    press_confirm,
    save,
    save_draft,
    see_saved,
)
from tests.conftest import url_of
from tests.databases import own_copy

WIDE, TABLET, PHONE, NARROW = 1280, 800, 360, 320
# rows below the first five are the same row again
WHERE = {"exclude": [["tbody > tr:nth-child(n+6)"]]}
QUICK = {"resultTypes": ["violations"], "preload": False}
OF_COLOURS = ["color-contrast", "link-in-text-block"]
# WCAG 2.2 AA, and what axe recommends beyond it; colours are most of what it costs, and have a run of their own
EVERYTHING = {**QUICK, "rules": {"target-size": {"enabled": True}, **{rule: {"enabled": False} for rule in OF_COLOURS}}}
COLOURS = {**QUICK, "runOnly": OF_COLOURS}
# what the width decides of what a desk shows too
OF_WIDTH = {**QUICK, "runOnly": ["target-size", "scrollable-region-focusable"]}

# What can be seen now, but for the header that all pages share, and could not be when this was asked first.
ONLY_HERE = """
() => {
  const seen = [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("header"));
  self.seenAtFirst ??= new Set(seen);
  return seen.filter((one) => !self.seenAtFirst.has(one));
}
"""

# Of all text that looks the same on the same ground, the three largest pieces: their contrast is that of the others.
LOOKS = """
() => {
  // what lies under an opaque ground is not seen, unless something there fades all that is in it
  const grounds = new Map([[null, { paint: "", fades: false }]]), looks = new Map();
  const ground = (element) => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
      const own = `${backgroundColor} ${backgroundImage} ${opacity}`;
      const under = ground(element.parentElement), fades = under.fades || opacity !== "1";
      const hides = !fades && backgroundColor.startsWith("rgb(") && backgroundImage === "none";
      const paint = own === "rgba(0, 0, 0, 0) none 1" ? under.paint : hides ? own : `${under.paint}/${own}`;
      grounds.set(element, { paint, fades });
    }
    return grounds.get(element);
  };
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
  // what is only for screen readers, or waits beside the page, is no text to look at
  const isAside = (element) => {
    const { width, height, right, bottom } = element.getBoundingClientRect();
    const isCut = (width < 2 || height < 2) && getComputedStyle(element).overflow !== "visible";
    return isCut || right <= 0 || bottom + scrollY <= 0;
  };
  // a link is told from the words around it, where there are any
  const isAmongWords = (element) => {
    let block = element.parentElement;
    while (/^(inline|contents)$/.test(getComputedStyle(block).display)) block = block.parentElement;
    return block.textContent.trim() !== element.textContent.trim();
  };
  const asides = new Map([[null, false]]);
  const isSeen = (element) => {
    if (!asides.has(element)) asides.set(element, !isSeen(element.parentElement) || isAside(element));
    return !asides.get(element);
  };
  for (const element of document.querySelectorAll("body, body *")) {
    const { width, height } = element.getBoundingClientRect();
    const isWritten = element.matches("input, select, textarea") || [...element.childNodes].some(isText);
    if (!isWritten || !isSeen(element) || !element.checkVisibility({ visibilityProperty: true })) continue;
    const { color, fontSize, fontWeight, textShadow, textDecoration } = getComputedStyle(element);
    const look = [
      getComputedStyle(document.documentElement).colorScheme,
      ground(element).paint, color, fontSize, fontWeight, textShadow, textDecoration,
      element.matches(":disabled, :disabled *, [aria-disabled=true] *"),
    ];
    if (element.matches("a") && isAmongWords(element)) {
      const around = getComputedStyle(element.parentElement);
      look.push("a link", around.color, around.fontWeight);
    }
    looks.set(look.join(), [...(looks.get(look.join()) ?? []), { element, size: width * height }]);
  }
  self.looks = looks;
  return [...looks.keys()];
}
"""
OF_LOOKS = """
([wanted, options]) => {
  const largest = (all) => all.sort((a, b) => b.size - a.size).slice(0, 3).map((one) => one.element);
  return axe.run({ include: wanted.flatMap((look) => largest(self.looks.get(look))) }, options);
}
"""
RUN = "given => axe.run(...given)"
LEGIBLE: set[str] = set()
"""The looks in which axe has found nothing, on whichever page: they are not judged again."""


@pytest.fixture
def database_url(server: psycopg.Connection[Any], hostile_template: str) -> Iterator[str]:
    """The address of this test's own copy of the hostile demo."""
    with own_copy(server, hostile_template) as name:
        yield url_of(name)


def check(page: Page) -> None:
    """Looks at the page as it stands, in both themes, on a desk and on a phone."""
    found = look(page)
    page.evaluate(AXE_SCRIPT)
    page.evaluate("delete self.seenAtFirst")
    for width, theme in ((WIDE, dark_by_choice), (PHONE, dark_as_the_system)):
        found += [too_wide(page, width), faults(page, width), pale(page, f"light at {width}")]
        with theme(page):
            found.append(pale(page, f"dark at {width}"))
    found += [too_wide(page, width) for width in (TABLET, NARROW)]
    with text_of_twice_the_size(page):
        found += [too_wide(page, width) for width in (WIDE, TABLET, PHONE)]
    assert not any(found), "\n\n".join(filter(None, found))


def faults(page: Page, width: int) -> str:
    """What axe reports, or the empty text. The first time on a page it looks at everything, then at what is new at the width."""
    is_first = page.evaluate("!self.seenAtFirst")
    fresh = page.evaluate_handle(ONLY_HERE)
    found = [page.evaluate(RUN, [WHERE, EVERYTHING if is_first else OF_WIDTH])]
    if fresh.evaluate("all => all.length"):
        found.append(fresh.evaluate("(all, options) => axe.run({ include: all }, options)", EVERYTHING))
    return "\n".join(filter(None, (told(f"at {width}", one) for one in found)))


def pale(page: Page, view: str) -> str:
    """What axe reports of the colours, of each look of text that was not on a page before; or the empty text."""
    fresh = [look for look in page.evaluate(LOOKS) if look not in LEGIBLE]
    if not fresh:
        return ""
    found = told(view, page.evaluate(OF_LOOKS, [fresh, COLOURS]))
    if not found:
        LEGIBLE.update(fresh)
    return found


def told(view: str, results: dict[str, Any]) -> str:
    """The report on what axe has found in this view of the page, or the empty text."""
    found = AxeResults(results)
    return f"{view}: {found.generate_report()}" if found.violations_count else ""


def too_wide(page: Page, width: int) -> str:
    """That the page scrolls sideways, or the empty text."""
    page.set_viewport_size({"width": width, "height": 800})
    has = page.evaluate("document.documentElement.scrollWidth")
    return f"it is {has} wide at {width}" if has > width else ""


@contextmanager
def dark_by_choice(page: Page) -> Iterator[None]:
    """As the theme switch has it."""
    page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
    yield
    page.evaluate("delete document.documentElement.dataset.bsTheme")


@contextmanager
def dark_as_the_system(page: Page) -> Iterator[None]:
    """As it is where nobody has chosen."""
    page.emulate_media(color_scheme="dark")
    yield
    page.emulate_media(color_scheme="light")


@contextmanager
def text_of_twice_the_size(page: Page) -> Iterator[None]:
    """As it is for those who have set so in their browser."""
    chromium = page.context.new_cdp_session(page)
    for size in (32, 16):
        chromium.send("Page.setFontSizes", {"fontSizes": {"standard": size, "fixed": size * 13 // 16}})
        if size == 32:
            yield
    chromium.detach()


# Pages as they are at first ------------------------------------------------------------------------------------------

ADDRESSES = {
    "overview": "/",
    "steps": "/steps",
    "new step": "/steps/new",
    "step": f"/steps/{PAYMENTS}",
    "draft": f"/steps/{PAYMENTS}/draft",
    "compare": f"/steps/{PAYMENTS}/compare?a=1&b=4",
    "preview": f"/steps/{PAYMENTS}/release",
    "rollback": f"/steps/{PAYMENTS}/rollback",
    "withdraw": f"/steps/{PAYMENTS}/withdraw",
    "receipt": f"/steps/{PAYMENTS}/releases/4",
    "people": "/people",
    "nobody found": "/people?q=zzz",
    "a filter that cannot be": "/people?status=done&joined_from=2026-02-30",
    "activity": "/activity",
    "no activity": "/activity?what=imports",
    "activity, a broken filter": "/activity?who=x&what=x&step=x&person=x&from=2026-02-30&to=x",
    "person as of an earlier day": f"/people/{AMARA}?as_of={(datetime.now(UTC) - timedelta(days=8)).date()}",
    "person, asked for a day before they joined": f"/people/{AMARA}?as_of=2020-01-01",
    "erase a person": f"/people/{AMARA}/erase",
    "staff": "/settings/staff",
    "invite someone": "/settings/staff/invite",
    "an account": "/settings/staff/2",
    "no tokens": "/settings/tokens",
    "new token": "/settings/tokens/new",
    "your account": "/settings/account",
    "a link that does not work": "/set-password?link=x",
    "not found": "/people/nobody",
    "the API": "/api/docs",
}


# that about the API is looked at with everything open, below
AS_THEY_ARE = {name: path for name, path in ADDRESSES.items() if name != "the API"}


@pytest.mark.parametrize("path", AS_THEY_ARE.values(), ids=AS_THEY_ARE.keys())
def test_a_page(enter: Enter, path: str) -> None:
    ada = enter("admin")
    ada.goto(path)
    check(ada)


def test_the_overview_where_nobody_saved_and_nobody_is_stuck(enter: Enter, session: Session) -> None:
    empty(session, ["user_step_events", "write_conflicts"])
    session.execute(text("UPDATE onboarding_users SET in_progress_releases = '{}'"))
    session.commit()
    ada = enter("admin")
    ada.goto("/")
    expect(ada.get_by_test_id("no-writes")).to_be_visible()
    expect(ada.get_by_test_id("stuck")).to_contain_text("No one")
    check(ada)


def test_the_activity_with_its_details_open(enter: Enter) -> None:
    ada = enter("admin")
    ada.goto("/activity?what=drafts")
    shut = ada.get_by_text("Details", exact=True).all()
    assert shut
    for details in shut:
        details.click()
    check(ada)


def test_the_page_of_a_viewer(enter: Enter) -> None:
    ines = enter("viewer")
    open_person(ines)
    check(ines)
    ines.goto("/steps/new")
    check(ines)


def test_a_bulk_change_from_the_list_to_its_end(enter: Enter) -> None:
    ada = enter("admin")
    # few enough that the bar stands below the last of them, and covers nobody
    ada.goto(f"/people?q={AMARA}&step={PAYMENTS}&status=in_progress")
    ada.get_by_test_id("people-list").locator("tbody").get_by_role("checkbox").first.check()
    check(ada)
    ada.get_by_label("New status").select_option("skipped")
    ada.get_by_test_id("bulk-preview").click()
    expect(ada.get_by_test_id("bulk-confirm")).to_be_visible()
    check(ada)
    ada.get_by_test_id("bulk-confirm").click()
    expect(ada.get_by_test_id("bulk-result")).to_be_visible()
    check(ada)


def test_the_page_about_the_api_with_everything_open(page: Page) -> None:
    page.goto("/api/docs")
    for summary in page.locator("main summary").all():
        if summary.is_visible():
            summary.click()
    page.set_viewport_size({"width": PHONE, "height": 800})
    page.get_by_text("On this page", exact=True).click()
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()
    check(page)


def test_the_sign_in_page_with_its_errors(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_label("Email").fill("maya")
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("email-error")).to_be_visible()
    check(page)


# What a page becomes -------------------------------------------------------------------------------------------------


def broken_draft(maya: Page, _ada: Page) -> None:
    open_draft(maya)
    save_draft(maya, Title="", Weight="a lot", Opens="ftp://x")
    expect(maya.get_by_test_id("title-error")).to_be_visible()


def merge_panel(maya: Page, ada: Page) -> None:
    open_draft(ada)
    # the hostile one is older than the rule that refuses its marks
    save_draft(ada, Title="Be paid")
    expect(ada.get_by_test_id("flash")).to_be_visible()
    open_draft(maya)
    open_draft(ada)
    save_draft(ada, Title="Get paid", Weight="25")
    expect(ada.get_by_test_id("flash")).to_be_visible()
    save_draft(maya, Description="Connect a bank account.", Weight="40")
    expect(maya.get_by_test_id("merge-panel")).to_be_focused()


def broken_merge(maya: Page, ada: Page) -> None:
    merge_panel(maya, ada)
    maya.get_by_test_id("merge-panel").get_by_label("Title").fill("")
    maya.get_by_test_id("save-merged").click()
    expect(maya.get_by_test_id("title-error")).to_be_visible()
    expect(maya.get_by_test_id("both-weight")).to_be_visible()


def draft_is_gone(maya: Page, ada: Page) -> None:
    open_draft(maya)
    open_preview(ada)
    confirm(ada, "Payouts are part of it now.")
    save_draft(maya, Title="Get paid")
    expect(maya.get_by_test_id("merge-panel")).to_be_focused()


def stale_plan(maya: Page, ada: Page) -> None:
    open_preview(maya)
    open_preview(ada, deed="rollback")
    confirm(ada)
    press_confirm(maya, "Payouts are part of it now.")
    expect(maya.get_by_test_id("stale-plan-panel")).to_be_focused()


def nothing_to_release(maya: Page, ada: Page) -> None:
    open_preview(maya)
    open_preview(ada)
    confirm(ada)
    press_confirm(maya, "Payouts are part of it now.")
    expect(maya.get_by_test_id("stale-plan-panel")).to_be_focused()


def withdrawn(maya: Page, ada: Page) -> None:
    open_preview(ada, deed="withdraw")
    confirm(ada)
    maya.goto(f"/steps/{PAYMENTS}")
    expect(maya.get_by_test_id("withdrawn-now")).to_be_visible()


def first_release(maya: Page, _ada: Page) -> None:
    maya.goto("/steps/new")
    maya.get_by_label("Id").fill("invite-a-friend")
    maya.get_by_label("Title").fill("Invite a friend")
    maya.get_by_role("button", name="Create step").click()
    maya.get_by_role("link", name="Preview version 1").click()
    expect(maya.get_by_test_id("impact-report")).to_be_visible()


def release_receipt(maya: Page, _ada: Page) -> None:
    open_preview(maya)
    confirm(maya, "Payouts are part of it now.")


def session_has_ended(maya: Page, _ada: Page) -> None:
    open_draft(maya)
    maya.context.clear_cookies(name="staff_session")
    save_draft(maya, Title="Get paid")
    expect(maya.get_by_test_id("signed-out")).to_be_visible()


Way = Callable[[Page, Page], None]


MANAGER_WAYS = [
    broken_draft,
    broken_merge,
    draft_is_gone,
    stale_plan,
    nothing_to_release,
    withdrawn,
    first_release,
    release_receipt,
    session_has_ended,
]


@pytest.mark.parametrize("way", MANAGER_WAYS, ids=lambda way: way.__name__)
def test_what_a_manager_meets(enter: Enter, way: Way) -> None:
    maya, ada = enter("manager"), enter("admin")
    way(maya, ada)
    check(maya)


def saved_row(tomas: Page, _ada: Page) -> None:
    open_person(tomas)
    save(tomas, PAYMENTS, "Done")
    see_saved(tomas, PAYMENTS, "Done")
    expect(comment_field(tomas, PAYMENTS)).to_be_visible()


def conflict(tomas: Page, ada: Page) -> None:
    open_person(tomas)
    open_person(ada)
    save(ada, PAYMENTS, "Skipped", "They pay by invoice.")
    see_saved(ada, PAYMENTS, "Skipped")
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    expect(panel(tomas, PAYMENTS)).to_be_focused()


def withdrawn_meanwhile(tomas: Page, ada: Page) -> None:
    open_person(tomas)
    open_preview(ada, deed="withdraw")
    confirm(ada)
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    expect(panel(tomas, PAYMENTS)).to_be_focused()


def several_changed(tomas: Page, _ada: Page) -> None:
    open_person(tomas)
    choose_status(tomas, PAYMENTS, "Done")
    choose_status(tomas, MOBILE, "Done")
    expect(tomas.get_by_test_id("save-all-bar")).to_contain_text("2 steps changed")


def several_saved_and_refused(tomas: Page, ada: Page) -> None:
    open_person(tomas)
    open_person(ada)
    for step_id in (PAYMENTS, DATA_SOURCE):
        choose_status(ada, step_id, "Skipped")
    ada.get_by_test_id("save-all").click()
    see_saved(ada, PAYMENTS, "Skipped")
    for step_id in (PAYMENTS, DATA_SOURCE, MOBILE):
        choose_status(tomas, step_id, "Done")
    tomas.get_by_test_id("save-all").click()
    expect(panel(tomas, DATA_SOURCE)).to_be_focused()


def row_moved_meanwhile(tomas: Page, ada: Page) -> None:
    open_person(tomas)
    open_preview(ada)
    confirm(ada, "Payouts are part of it now.")
    look_again(tomas)
    expect(tomas.get_by_test_id(f"moved-{PAYMENTS}")).to_be_visible()


def moved_beside_a_panel(tomas: Page, ada: Page) -> None:
    conflict(tomas, ada)
    save(ada, PAYMENTS, "To do")
    see_saved(ada, PAYMENTS, "To do")
    look_again(tomas)
    expect(tomas.get_by_test_id(f"moved-{PAYMENTS}")).to_be_visible()


def reset_by_a_release(tomas: Page, ada: Page) -> None:
    open_preview(ada)
    confirm(ada, "Payouts are part of it now.")
    open_person(tomas)
    expect(tomas.get_by_test_id(f"step-row-{PAYMENTS}")).to_contain_text("Reset by the release of version 4")


def new_on_the_checklist(tomas: Page, ada: Page) -> None:
    open_preview(ada, deed="withdraw")
    confirm(ada)
    open_person(tomas)
    open_preview(ada, deed="restore")
    confirm(ada)
    look_again(tomas)
    expect(tomas.get_by_test_id("new-steps")).to_be_visible()


def erased(ada: Page) -> None:
    ada.goto(f"/people/{AMARA}/erase")
    ada.get_by_label("Confirm their id").fill(AMARA)
    ada.get_by_test_id("erase").click()
    expect(ada.get_by_test_id("flash")).to_be_visible()


def erased_meanwhile(tomas: Page, ada: Page) -> None:
    open_person(tomas)
    erased(ada)
    look_again(tomas)
    expect(tomas.get_by_test_id("person-gone")).to_be_visible()


def saved_of_nobody(tomas: Page, ada: Page) -> None:
    open_person(tomas)
    erased(ada)
    save(tomas, PAYMENTS, "Done", "The bank has confirmed it.")
    expect(tomas.get_by_test_id("gone-panel")).to_be_focused()


def another_id_was_typed(tomas: Page, _ada: Page) -> None:
    tomas.goto(f"/people/{AMARA}/erase")
    tomas.get_by_label("Confirm their id").fill("amara")
    tomas.get_by_test_id("erase").click()
    expect(tomas.get_by_test_id("typed-error")).to_be_visible()


def refused_row(tomas: Page, _ada: Page) -> None:
    open_person(tomas)
    comment_field(tomas, PAYMENTS).evaluate("field => { field.maxLength = 9000; }")
    save(tomas, PAYMENTS, "Done", "a" * 2_001)
    expect(tomas.get_by_test_id(f"problem-{PAYMENTS}")).to_be_visible()


def row_not_sent(tomas: Page, _ada: Page) -> None:
    open_person(tomas)
    tomas.context.clear_cookies(name="staff_session")
    save(tomas, PAYMENTS, "Done")
    expect(tomas.get_by_test_id("notice")).to_be_visible()


def refused_invitation(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/staff/invite")
    ada.get_by_test_id("send-invite").click()
    expect(ada.get_by_test_id("role-error")).to_be_visible()


def invited(ada: Page, _tomas: Page) -> None:
    invite(ada)
    ada.get_by_role("link", name="View account").click()
    expect(ada.get_by_test_id("withdraw-invitation")).to_be_visible()


def choosing_a_password(ada: Page, _tomas: Page) -> None:
    ada.goto(invite(ada))
    ada.get_by_test_id("set-password").click()
    expect(ada.get_by_test_id("password-error")).to_be_visible()


def link_of_an_account(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/staff/2")
    ada.get_by_test_id("make-link").click()
    expect(ada.get_by_test_id("shown-link")).to_be_focused()
    ada.get_by_text("Disable this account").click()


def changed_role(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/staff/2")
    choose_role(ada, "Viewer")
    expect(ada.get_by_test_id("flash")).to_be_visible()


def stale_account(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/staff/2")
    other = ada.context.new_page()
    changed_role(other, _tomas)
    choose_role(ada, "Onboarding manager")
    expect(ada.get_by_test_id("stale-account-panel")).to_be_focused()


def disabled_account(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/staff/2")
    ada.get_by_text("Disable this account").click()
    ada.get_by_test_id("disable").click()
    expect(ada.get_by_test_id("enable")).to_be_visible()


def refused_password(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/account")
    ada.get_by_test_id("change-password").click()
    expect(ada.get_by_test_id("old_password-error")).to_be_visible()


def refused_token(ada: Page, _tomas: Page) -> None:
    ada.goto("/settings/tokens/new")
    ada.get_by_test_id("create-token").click()
    expect(ada.get_by_test_id("scopes-error")).to_be_visible()


def shown_token(ada: Page, _tomas: Page, name: str = "shop") -> None:
    fill_in_token(ada, name)
    ada.get_by_test_id("create-token").click()
    expect(ada.get_by_test_id("shown-token")).to_be_focused()


def tokens_of_both_kinds(ada: Page, tomas: Page) -> None:
    shown_token(ada, tomas)
    ada.goto("/settings/tokens")
    ada.get_by_test_id("token-row-shop").get_by_test_id("revoke").click()
    expect(ada.get_by_test_id("confirm-revoke")).to_be_visible()
    check(ada)
    ada.get_by_test_id("confirm-revoke").click()
    shown_token(ada, tomas, "job")
    ada.goto("/settings/tokens")
    ada.get_by_test_id("tokens-over").locator("summary").click()
    expect(ada.get_by_test_id("token-row-shop")).to_be_visible()


ADMIN_WAYS = [
    refused_invitation,
    invited,
    choosing_a_password,
    link_of_an_account,
    stale_account,
    disabled_account,
    refused_password,
    refused_token,
    tokens_of_both_kinds,
]


@pytest.mark.parametrize("way", ADMIN_WAYS, ids=lambda way: way.__name__)
def test_what_an_administrator_meets(enter: Enter, way: Way) -> None:
    ada, tomas = enter("admin"), enter("support")
    way(ada, tomas)
    check(ada)


AGENT_WAYS = [
    saved_row,
    withdrawn_meanwhile,
    several_changed,
    several_saved_and_refused,
    row_moved_meanwhile,
    moved_beside_a_panel,
    reset_by_a_release,
    new_on_the_checklist,
    erased_meanwhile,
    saved_of_nobody,
    another_id_was_typed,
    refused_row,
    row_not_sent,
]


@pytest.mark.parametrize("way", AGENT_WAYS, ids=lambda way: way.__name__)
def test_what_a_support_agent_meets(enter: Enter, way: Way) -> None:
    tomas, ada = enter("support"), enter("admin")
    way(tomas, ada)
    check(tomas)


def test_the_drawer_of_a_phone(enter: Enter) -> None:
    ines = enter("viewer", viewport={"width": PHONE, "height": 800})
    ines.goto("/")
    ines.get_by_role("button", name="Menu").click()
    expect(ines.get_by_role("navigation", name="Main")).to_be_visible()
    ines.evaluate(AXE_SCRIPT)
    assert not faults(ines, PHONE) + pale(ines, "the drawer")
    expect(ines).to_have_url(re.compile("/$"))
