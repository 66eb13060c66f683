"""Each role sees the controls that it may use."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter
from tests.browser.pages import PAYMENTS, open_person, open_preview, row, see_heading

CHANGES = (
    "New step",
    "Start a draft",
    "Edit draft",
    "Withdraw",
    "Roll back",
    "Move",
    "Save",
    "Undo",
    "Go to confirmation",
)


def see_no_controls(page: Page, *names: str) -> None:
    for name in names:
        for role in ("button", "link"):
            expect(page.get_by_role(role, name=name)).to_have_count(0)  # type: ignore[arg-type]


def test_a_viewer_sees_no_control_that_changes_anything(enter: Enter) -> None:
    ines = enter("viewer")
    ines.goto("/steps")
    expect(ines.get_by_test_id(f"step-row-{PAYMENTS}")).to_be_visible()
    see_no_controls(ines, *CHANGES)
    ines.goto(f"/steps/{PAYMENTS}")
    expect(ines.get_by_test_id("releases")).to_be_visible()
    see_no_controls(ines, *CHANGES)
    open_preview(ines)
    expect(ines.get_by_test_id("confirm-release")).to_have_count(0)
    see_no_controls(ines, *CHANGES)
    open_person(ines)
    expect(row(ines, PAYMENTS)).to_contain_text("In progress")
    expect(ines.get_by_test_id("steps").get_by_role("combobox")).to_have_count(0)
    see_no_controls(ines, *CHANGES)


@pytest.mark.parametrize(
    ("role", "path", "needed"),
    [
        ("viewer", "/steps/new", "Onboarding manager"),
        ("support", f"/steps/{PAYMENTS}/draft", "Onboarding manager"),
    ],
)
def test_an_address_beyond_the_role_says_who_may(enter: Enter, role: str, path: str, needed: str) -> None:
    someone = enter(role)
    someone.goto(path)
    see_heading(someone, "You cannot do this")
    expect(someone.get_by_test_id("fault")).to_contain_text(needed)


def test_support_changes_people_and_managers_change_steps(enter: Enter) -> None:
    tomas, maya = enter("support"), enter("manager")
    open_person(tomas)
    expect(tomas.get_by_test_id(f"edit-{PAYMENTS}")).to_be_visible()
    tomas.goto(f"/steps/{PAYMENTS}")
    see_no_controls(tomas, "Edit draft", "Withdraw", "Roll back")
    open_person(maya)
    expect(maya.get_by_test_id(f"edit-{PAYMENTS}")).to_have_count(0)
    maya.goto(f"/steps/{PAYMENTS}")
    expect(maya.get_by_role("link", name="Edit draft")).to_be_visible()
