"""The manager's main job: see what a change would do, release it, undo it. And what happens when two do it at once."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter, both_ways, scriptless
from tests.browser.pages import (
    AMARA,
    PAYMENTS,
    at,
    choose,
    confirm,
    figures,
    open_draft,
    open_person,
    open_preview,
    press_confirm,
    row,
    save_draft,
    see_flash,
    see_heading,
    see_status,
)

COUNTS = ("affected", "copied", "reset", "untouched")


def stale_plan(page: Page) -> Locator:
    return page.get_by_test_id("stale-plan-panel")


def see_stale_plan(page: Page, reason: str | re.Pattern[str]) -> None:
    expect(stale_plan(page)).to_be_focused()
    expect(stale_plan(page)).to_contain_text(reason)


def releases(page: Page, step_id: str = PAYMENTS) -> Locator:
    """The entries of the step's timeline, newest first."""
    page.goto(f"/steps/{step_id}")
    return page.get_by_test_id("releases").get_by_role("listitem")


@both_ways
def test_from_a_draft_to_its_release_and_back(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/")
    maya.get_by_role("link", name="Steps").click()
    maya.get_by_test_id(f"step-row-{PAYMENTS}").get_by_role("link", name="Set up payments").click()
    maya.get_by_role("link", name="Edit draft").click()

    # what cannot be saved is told at its field, and stays as it was typed
    save_draft(maya, Title="", Weight="a lot", Opens="ftp://bank.example")
    for field, problem in {"title": "Title", "weight": "Weight", "action_url": "Opens"}.items():
        expect(maya.get_by_test_id(f"{field}-error")).to_contain_text(problem)
    expect(maya.get_by_label("Weight")).to_have_value("a lot")
    expect(maya.get_by_label("Opens")).to_have_value("ftp://bank.example")
    save_draft(maya, Title="Get paid", Weight="30", Opens="/settings/payments")
    see_flash(maya, "Saved.")

    maya.get_by_role("link", name="Preview release").click()
    see_heading(maya, "Preview of version 4")
    expect(maya.get_by_test_id("what-changes")).to_contain_text("Get paid")
    seen = figures(maya, *COUNTS)
    assert seen["reset"] > 0
    assert seen["affected"] == seen["copied"] + seen["reset"]
    assert seen["affected"] + seen["untouched"] == 2_000
    expect(maya.get_by_test_id("confirm")).to_have_text(f"Release version 4, reset {seen['reset']} people")
    confirm(maya, "Payouts are part of it now.")

    assert figures(maya, *COUNTS) == seen
    expect(maya.get_by_test_id("receipt-facts")).to_contain_text("Payouts are part of it now.")
    expect(maya.get_by_test_id("receipt-predicted").get_by_role("row", name="Reset")).to_contain_text(
        str(seen["reset"])
    )

    maya.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="Get paid").click()
    newest = maya.get_by_test_id("release-5")
    expect(newest).to_contain_text("Version 4 released")
    expect(newest).to_contain_text("Payouts are part of it now.")
    expect(newest).to_contain_text(f"{seen['reset']} reset")

    maya.get_by_role("link", name="Roll back").click()
    see_heading(maya, "Roll back to version 3")
    assert figures(maya, "restored") == {"restored": seen["reset"]}
    confirm(maya, "Too early.")
    assert figures(maya, "restored") == {"restored": seen["reset"]}
    expect(maya.get_by_test_id("receipt-facts")).to_contain_text("Too early.")

    assert releases(maya).count() == 6
    expect(maya.get_by_test_id("release-5")).to_contain_text("Undone")
    expect(maya.get_by_test_id("live-now")).to_contain_text("Set up payments")


def test_a_refused_reason_stays_marked_and_leaves_the_focus_to_the_choices(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    press_confirm(maya, "x" * 5_000)
    reason = maya.get_by_label("Reason")
    expect(reason).to_be_focused()
    choose(maya, "In progress", "Keep")
    expect(maya.get_by_test_id("confirm")).to_have_text("Release version 4, reset no one")
    expect(maya.get_by_test_id("note-error")).to_be_visible()
    expect(reason).to_have_attribute("aria-invalid", "true")
    expect(reason).to_have_value("x" * 5_000)
    in_progress = maya.get_by_test_id("policy-form").get_by_role("group", name=re.compile("^In progress"))
    expect(in_progress.get_by_role("radio", name="Keep")).to_be_focused()
    maya.get_by_label("Reason").fill("")  # the browser would ask


@scriptless
def test_the_choice_on_the_form_is_what_is_released(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    choose(maya, "Skipped", "Ask again")
    maya.get_by_role("button", name="Update report").click()
    expect(maya.get_by_test_id("impact-report")).to_contain_text("Skipped set by you")
    seen = figures(maya, *COUNTS)
    confirm(maya)
    assert figures(maya, *COUNTS) == seen
    expect(maya.get_by_test_id("receipt-facts")).to_contain_text("Skipped reset")


def test_another_choice_than_the_report_showed_is_shown_before_it_is_released(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    # the report of the choice never comes
    maya.route("**/release?*", lambda route: route.abort())
    choose(maya, "In progress", "Keep")
    press_confirm(maya, "Payouts are part of it now.")
    see_stale_plan(maya, "You changed the choices after the last report.")
    assert figures(maya, "reset") == {"reset": 0}
    expect(maya.get_by_label("Reason")).to_have_value("Payouts are part of it now.")
    confirm(maya)
    expect(maya.get_by_test_id("receipt-facts")).to_contain_text("In progress kept")


def test_a_double_click_on_confirm_makes_one_release(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    maya.get_by_test_id("confirm").dblclick()
    see_heading(maya, "Version 4 released")
    expect(releases(maya)).to_have_count(5)


@scriptless
def test_confirm_in_two_windows_makes_one_release(enter: Enter) -> None:
    maya = enter("manager")
    second = maya.context.new_page()
    open_preview(maya)
    open_preview(second)
    confirm(maya, "Once.")
    press_confirm(second, "Twice.")
    see_heading(second, "Version 4 released")
    expect(second.get_by_test_id("receipt-facts")).to_contain_text("Once.")
    expect(releases(second)).to_have_count(5)


def test_what_it_did_to_one_person_is_told_on_their_page(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    confirm(maya, "Payouts are part of it now.")
    tomas = enter("support")
    open_person(tomas)
    see_status(tomas, PAYMENTS, "To do")
    expect(row(tomas, PAYMENTS)).to_contain_text("Reset by the release of version 4")
    expect(tomas.get_by_test_id("history")).to_contain_text("Payouts are part of it now.")
    row(tomas, PAYMENTS).get_by_role("link", name="Reset by").click()
    see_heading(tomas, "Version 4 released")


@scriptless
def test_a_step_is_withdrawn_and_restored(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto(f"/steps/{PAYMENTS}")
    maya.get_by_role("link", name="Withdraw").click()
    see_heading(maya, "Withdraw this step")
    confirm(maya, "The provider has closed.")
    maya.goto(f"/people/{AMARA}")
    expect(row(maya, PAYMENTS)).to_have_count(0)
    expect(maya.get_by_test_id("withdrawn-steps")).to_contain_text("1 withdrawn step")

    maya.goto(f"/steps/{PAYMENTS}")
    expect(maya.get_by_test_id("withdrawn-now")).to_be_visible()
    maya.get_by_role("link", name="Restore").click()
    see_heading(maya, "Restore version 3")
    confirm(maya)
    open_person(maya)
    see_status(maya, PAYMENTS, "In progress")


@scriptless
def test_a_new_step_is_written_and_published(enter: Enter) -> None:
    maya = enter("manager")
    maya.goto("/steps")
    maya.get_by_role("link", name="New step").click()
    maya.get_by_label("Id").fill("Invite a friend")
    maya.get_by_label("Title").fill("Invite a friend")
    maya.get_by_role("button", name="Create step").click()
    expect(maya.get_by_test_id("step_id-error")).to_be_visible()
    expect(maya.get_by_label("Title")).to_have_value("Invite a friend")

    maya.get_by_label("Id").fill("invite-a-friend")
    maya.get_by_role("button", name="Create step").click()
    see_flash(maya, "The step was created as a draft.")
    expect(maya.get_by_test_id("flash").get_by_role("button")).to_have_count(0)
    maya.get_by_role("link", name="Preview version 1").click()
    see_heading(maya, "Preview of version 1")
    expect(maya.get_by_test_id("confirm")).to_have_text("Publish version 1 for 2,000 people")
    confirm(maya)
    open_person(maya)
    see_status(maya, "invite-a-friend", "To do")


def test_another_release_meanwhile_asks_again_and_keeps_the_reason(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_preview(maya)
    open_preview(ada, deed="rollback")
    confirm(ada, "Not now.")

    press_confirm(maya, "Payouts are part of it now.")
    see_stale_plan(maya, "This changed since you previewed it")
    see_stale_plan(maya, "Ada Whitfield")
    expect(maya.get_by_label("Reason")).to_have_value("Payouts are part of it now.")
    expect(releases(ada)).to_have_count(5)

    # what stands below is the report as it is now: it can be confirmed
    confirm(maya)
    expect(maya.get_by_test_id("receipt-facts")).to_contain_text("Payouts are part of it now.")
    expect(releases(ada)).to_have_count(6)


def test_a_draft_saved_meanwhile_asks_again(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_preview(maya)
    open_draft(ada)
    save_draft(ada, Title="Get paid")
    see_flash(ada, "Saved.")

    press_confirm(maya)
    see_stale_plan(maya, "The draft was saved again since you previewed it, by Ada Whitfield.")
    expect(maya.get_by_test_id("what-changes")).to_contain_text("Get paid")
    expect(releases(ada)).to_have_count(4)


def test_a_choice_of_a_report_that_was_overtaken_says_so_before_it_is_confirmed(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_preview(maya)
    maya.get_by_label("Reason").fill("Half of a sentence")
    open_draft(ada)
    save_draft(ada, Title="Get paid")
    see_flash(ada, "Saved.")

    choose(maya, "In progress", "Keep")
    see_stale_plan(maya, "The draft was saved again since you previewed it, by Ada Whitfield.")
    expect(maya.get_by_test_id("what-changes")).to_contain_text("Get paid")
    expect(maya.get_by_label("Reason")).to_have_value("Half of a sentence")
    choose(maya, "Skipped", "Ask again")
    expect(maya.get_by_test_id("impact-report")).to_contain_text("Skipped and In progress set by you")
    expect(stale_plan(maya)).to_have_count(0)
    confirm(maya)
    see_heading(maya, "Version 4 released")


@scriptless
def test_a_draft_that_somebody_else_released_cannot_be_released_again(enter: Enter) -> None:
    maya, ada = enter("manager"), enter("admin")
    open_preview(maya)
    open_preview(ada)
    confirm(ada)

    press_confirm(maya, "Payouts are part of it now.")
    see_stale_plan(maya, "This is not possible now")
    expect(maya.get_by_label("Your reason")).to_have_value("Payouts are part of it now.")
    maya.get_by_role("link", name="View the step").click()
    expect(maya).to_have_url(at(f"/steps/{PAYMENTS}"))


def test_the_people_behind_the_report_are_listed(enter: Enter) -> None:
    maya = enter("manager")
    open_preview(maya)
    reset = figures(maya, "reset")["reset"]
    people = maya.get_by_test_id("people-affected")
    people.get_by_role("link", name=re.compile(r"^Reset")).click()
    expect(people).to_contain_text(f"of {reset}, by name")
    expect(maya).to_have_url(re.compile("who=reset"))
    with maya.expect_download() as download:
        people.get_by_role("link", name="as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) > reset
