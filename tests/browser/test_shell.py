"""What is around every page: the menu, the theme, the skip link, faults."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter, scriptless
from tests.browser.pages import PAYMENTS, see_heading, tab_to

PHONE = {"width": 360, "height": 740}


def scheme(page: Page) -> str:
    """Light or dark, by the colour behind the page, once its style sheet is there."""
    page.wait_for_load_state()
    channels = page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/[0-9.]+/g).map(Number)")
    return "light" if sum(channels[:3]) / 3 > 128 else "dark"


@scriptless
def test_the_theme_is_switched_and_remembered(enter: Enter) -> None:
    ines = enter("viewer", color_scheme="dark")
    ines.goto("/people?q=amara")
    assert scheme(ines) == "dark"
    ines.get_by_role("button", name="Light").click()
    expect(ines.get_by_role("button", name="Light")).to_have_attribute("aria-pressed", "true")
    assert scheme(ines) == "light"
    # it stays on the page it was on, and on the next one
    see_heading(ines, "People")
    assert ines.url.endswith("/people?q=amara")
    ines.goto("/steps")
    assert scheme(ines) == "light"
    ines.get_by_role("button", name="System").click()
    expect(ines.get_by_role("button", name="System")).to_have_attribute("aria-pressed", "true")
    assert scheme(ines) == "dark"


@scriptless
def test_the_menu_of_a_phone_opens_and_closes(enter: Enter) -> None:
    ines = enter("viewer", viewport=PHONE)
    ines.goto("/")
    menu = ines.get_by_role("navigation", name="Main")
    expect(menu).to_be_hidden()
    ines.get_by_role("button", name="Menu").click()
    expect(menu).to_be_visible()
    ines.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    ines.get_by_role("button", name="Menu").click()
    # beside the drawer
    ines.mouse.click(350, 700)
    expect(menu).to_be_hidden()

    ines.get_by_role("button", name="Menu").click()
    menu.get_by_role("link", name="Steps").click()
    see_heading(ines, "Steps")
    expect(menu).to_be_hidden()


def test_the_first_tab_skips_to_the_content(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto(f"/steps/{PAYMENTS}")
    ines.keyboard.press("Tab")
    expect(ines.get_by_role("link", name="Skip to content")).to_be_focused()
    ines.keyboard.press("Enter")
    expect(ines.get_by_role("main")).to_be_focused()
    ines.keyboard.press("Tab")
    expect(ines.get_by_role("main").get_by_role("link").first).to_be_focused()


def test_every_main_page_is_reached_by_keyboard(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/")
    for name in ("Steps", "People", "Overview"):
        tab_to(ines, ines.get_by_role("navigation", name="Main").get_by_role("link", name=name), most=12)
        ines.keyboard.press("Enter")
        see_heading(ines, name)


def test_a_click_for_a_new_tab_opens_one(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/activity")
    older = maya.get_by_role("link", name="Older")
    with maya.context.expect_page() as opened:
        older.click(modifiers=["Control"])
    expect(opened.value.get_by_text("50 older")).to_be_visible()
    expect(maya.get_by_text("Newest 50")).to_be_visible()


def test_a_server_that_does_not_answer_loses_nothing(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people/usr_7f3k2q")
    tomas.context.set_offline(True)
    tomas.get_by_test_id(f"status-{PAYMENTS}").select_option("done")
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    expect(tomas.get_by_test_id("notice")).to_contain_text("The server did not respond")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("done")
    tomas.context.set_offline(False)
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    expect(tomas.get_by_test_id(f"step-row-{PAYMENTS}")).to_contain_text("Saved")
    expect(tomas.get_by_test_id("notice")).to_have_count(0)


def test_what_a_proxy_says_in_its_place_is_no_part_of_the_page(enter: Enter) -> None:
    tomas = enter("support")
    tomas.goto("/people/usr_7f3k2q")
    page = "<html><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>"
    tomas.route("**/people/**", lambda route: route.fulfill(status=502, content_type="text/html", body=page))
    tomas.get_by_test_id(f"status-{PAYMENTS}").select_option("done")
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    expect(tomas.get_by_test_id("notice")).to_contain_text("The server did not respond")
    expect(tomas.get_by_test_id(f"status-{PAYMENTS}")).to_have_value("done")
    expect(tomas.get_by_text("Bad Gateway")).to_have_count(0)
    tomas.unroute("**/people/**")
    tomas.get_by_test_id(f"save-{PAYMENTS}").click()
    expect(tomas.get_by_test_id(f"step-row-{PAYMENTS}")).to_contain_text("Saved")


def test_an_unknown_address_says_so_and_leads_on(enter: Enter) -> None:
    ines = enter("viewer")
    for path in ("/people/nobody", "/steps/nothing", "/nowhere"):
        ines.goto(path)
        expect(ines.get_by_test_id("fault")).to_have_attribute("data-status", "404")
    ines.get_by_role("link", name="Go to overview").click()
    see_heading(ines, "Overview")
