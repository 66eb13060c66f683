"""What a person does on a page and sees there, in the words of the journeys. Nothing here knows a CSS class."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, Response, expect

AMARA = "usr_7f3k2q"
NOOR = "noor@example.com"
PAYMENTS, DATA_SOURCE, MOBILE = "setup-payments", "connect-data-source", "install-mobile-app"
LONGEST_S = 15

# asks once nothing else is under way, and ends when the answer has been put in its place; what an answer is just being put
# in the place of hears nothing, and is told once more
LOOK_AGAIN = f"""async () => {{
  let asked = false;
  const ended = (isOurs) => new Promise((settle, fail) => {{
    document.addEventListener("htmx:finally:request", () => isOurs() && settle());
    setTimeout(fail, {LONGEST_S}_000, new Error("nothing was asked or answered"));
  }});
  while (underWay || document.querySelector("[data-quiet].htmx-request")) await ended(() => true);
  document.addEventListener("htmx:before:request", () => {{ asked = true; }}, {{ once: true }});
  const answered = ended(() => asked);
  for (let more = 50; more && !asked; more -= 1) {{
    document.dispatchEvent(new Event("visibilitychange"));
    await new Promise((settle) => setTimeout(settle, 20));
  }}
  await answered;
}}"""


def see_heading(page: Page, text: str) -> None:
    """Waits until the page is the one with this heading, and all of it is there."""
    expect(page.get_by_role("heading", level=1, name=text, exact=True)).to_be_visible()
    page.wait_for_load_state()


def see_flash(page: Page, text: str) -> None:
    """Waits for the message that follows a redirect, and for all of its page."""
    expect(page.get_by_test_id("flash")).to_contain_text(text)
    page.wait_for_load_state()


def until(page: Page, is_so: Callable[[], object]) -> None:
    """Waits for what no page shows."""
    end = time.monotonic() + LONGEST_S
    while not is_so():
        assert time.monotonic() < end, "it did not come to be so"
        page.wait_for_timeout(20)


def at(path: str) -> re.Pattern[str]:
    """An address of this site, whatever its host, for expect(page).to_have_url."""
    return re.compile(rf"^http://[^/]+{re.escape(path)}$")


def number(place: Locator) -> int:
    """The whole number that the figure shows."""
    expect(place).to_contain_text(re.compile(r"\d"))
    found = re.search(r"\d[\d,]*", place.locator("dd").first.inner_text())
    assert found
    return int(found[0].replace(",", ""))


# Steps ---------------------------------------------------------------------------------------------------------------


def open_draft(page: Page, step_id: str = PAYMENTS) -> None:
    """To the draft's form, by its address."""
    page.goto(f"/steps/{step_id}/draft")
    expect(page.get_by_test_id("draft-form")).to_be_visible()


def save_draft(page: Page, **typed: str) -> None:
    """Types into the fields of the draft's form, by label, and saves."""
    for label, value in typed.items():
        page.get_by_test_id("draft-form").get_by_label(label).fill(value)
    page.get_by_role("button", name="Save draft").click()


def open_preview(page: Page, step_id: str = PAYMENTS, deed: str = "release") -> None:
    """To the preview of a release, rollback, withdraw or restore, by its address."""
    page.goto(f"/steps/{step_id}/{deed}")
    expect(page.get_by_test_id("impact-report")).to_be_visible()


def figures(page: Page, *names: str) -> dict[str, int]:
    """The key figures of a preview or a receipt."""
    inside = page.get_by_test_id("impact-figures")
    return {name: number(inside.get_by_test_id(name)) for name in names}


def choose(page: Page, status: str, choice: str) -> None:
    """A choice of the carry-over policy: choose(page, "In progress", "Keep")."""
    group = page.get_by_test_id("policy-form").get_by_role("group", name=re.compile(f"^{status}"))
    # the radio itself lies invisible over its label
    group.get_by_role("radio", name=choice).check(force=True)


def confirm(page: Page, reason: str = "") -> None:
    """Gives the reason, confirms, and waits for the receipt."""
    press_confirm(page, reason)
    expect(page.get_by_test_id("receipt")).to_be_visible()


def press_confirm(page: Page, reason: str = "") -> None:
    """Gives the reason and confirms."""
    if reason:
        page.get_by_label("Reason").fill(reason)
    page.get_by_test_id("confirm").click()


# People --------------------------------------------------------------------------------------------------------------


def open_person(page: Page, user_id: str = AMARA) -> None:
    """To a person's page, by its address."""
    page.goto(f"/people/{user_id}")
    expect(page.get_by_test_id("steps")).to_be_visible()


def row(page: Page, step_id: str) -> Locator:
    """The row of a person's step, or the panel in its place."""
    return page.get_by_test_id(f"step-row-{step_id}")


def panel(page: Page, step_id: str) -> Locator:
    """The conflict panel in the place of the step's row."""
    return row(page, step_id).get_by_test_id("conflict-panel")


def save(page: Page, step_id: str, status: str, comment: str = "") -> None:
    """Chooses a status, types a comment, and saves."""
    edit = page.get_by_test_id(f"edit-{step_id}")
    edit.get_by_role("combobox").select_option(label=status)
    if comment:
        comment_field(page, step_id).fill(comment)
    edit.get_by_role("button", name="Save").click()


def comment_field(page: Page, step_id: str) -> Locator:
    """The comment of the step's row, opened."""
    edit = page.get_by_test_id(f"edit-{step_id}")
    field = edit.get_by_label("Comment (optional)")
    if not field.is_visible():
        edit.locator("summary").click()
    return field


def choose_status(page: Page, step_id: str, status: str) -> None:
    """Chooses a status without saving it."""
    page.get_by_test_id(f"status-{step_id}").select_option(label=status)


def look_again(page: Page, address: str = "/moved?") -> Response:
    """Has the open page ask what has moved, as it does when one comes back to it; the answer, which is on the page then."""
    with page.expect_response(lambda response: address in response.url) as told:
        page.evaluate(LOOK_AGAIN)
    return told.value


def see_status(page: Page, step_id: str, status: str) -> None:
    """Waits until the row shows the status."""
    expect(page.get_by_test_id(f"now-{step_id}")).to_have_text(status)


def see_saved(page: Page, step_id: str, status: str) -> None:
    """Waits until the row says that it was saved."""
    expect(row(page, step_id)).to_contain_text("Saved")
    see_status(page, step_id, status)


@contextmanager
def asked_and_staying(page: Page, problems: list[str]) -> Iterator[None]:
    """What is done meanwhile has the browser ask before it leaves, and it stays. `problems` is emptied of that dialog."""
    address = page.url
    with page.expect_event("dialog") as dialog:
        yield
    assert dialog.value.type == "beforeunload"
    assert problems.pop() == f"dialog: {dialog.value.message}"
    assert page.url == address


def tab_to(page: Page, target: Locator, most: int = 80) -> None:
    """Presses Tab until the target has the focus."""
    page.wait_for_load_state()
    for _ in range(most):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} is not reached with Tab")


# Signing in, staff ---------------------------------------------------------------------------------------------------


def sign_in(page: Page, email: str, password: str) -> None:
    """Fills in the sign-in form and sends it."""
    form = page.get_by_test_id("sign-in-form")
    form.get_by_label("Email").fill(email)
    form.get_by_label("Password").fill(password)
    form.get_by_role("button", name="Sign in").click()


def invite(ada: Page, role: str = "Support agent") -> str:
    """Invites Noor; the link that is shown."""
    ada.goto("/settings/staff")
    ada.get_by_test_id("invite").click()
    form = ada.get_by_test_id("invite-form")
    form.get_by_label("Name").fill("Noor Haddad")
    form.get_by_label("Email").fill(NOOR)
    form.get_by_role("radio", name=role).check()
    form.get_by_role("button", name="Invite and show link").click()
    expect(ada.get_by_test_id("shown-link")).to_be_focused()
    return ada.get_by_test_id("shown-link-value").input_value()


def fill_in_token(ada: Page, name: str) -> None:
    """Opens the form of a new token and fills it in, without sending it."""
    ada.goto("/settings/tokens/new")
    ada.get_by_label("Name").fill(name)
    ada.get_by_role("checkbox").first.check()


def choose_role(ada: Page, role: str) -> None:
    """Gives the account whose page is open another role."""
    ada.get_by_test_id("role-form").get_by_role("radio", name=role).check()
    ada.get_by_role("button", name="Save role").click()
