"""The browser client: the example's checklist as a person uses it, what the module does about faults, other origins."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, product
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from sqlalchemy.orm import Session

from dashboard import create_app
from dashboard.client.calls import packed
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.onboarding import people
from dashboard.onboarding.actor import Actor
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests import factories
from tests.browser.conftest import WITNESS, Enter, watched
from tests.browser.pages import (
    AMARA,
    DATA_SOURCE,
    MOBILE,
    PAYMENTS,
    confirm,
    open_person,
    open_preview,
    save,
    see_saved,
    see_status,
    tab_to,
)
from tests.browser.test_every_page import check
from tests.serving import served

EXAMPLE = "/static/example/checklist.html"
# of a call: evaluate() itself would wait for ever
LONGEST_MS = 60_000
# more than any call can meet
ALWAYS = 1_000
# of a request that comes to no server
TOKEN = "obd_shop"


@pytest.fixture
def token(database: Database) -> str:
    """A token of the host's backend."""
    scopes = [Scope.PROGRESS_READ, Scope.PROGRESS_WRITE]
    with database.transaction() as session:
        return tokens.create(session, Actor("system:test", "cli"), name="shop", scopes=scopes).secret


def state_of(session: Session, step_id: str) -> tuple[str, int]:
    """The status and the row_version of AMARA's step."""
    session.rollback()
    return factories.status_of(session, AMARA, step_id), factories.row_version_of(session, AMARA, step_id)


# The example ---------------------------------------------------------------------------------------------------------


def open_checklist(page: Page, token: str, user_id: str = AMARA) -> None:
    page.goto(EXAMPLE)
    page.get_by_label("Token").fill(token)
    page.get_by_label("User id").fill(user_id)
    page.get_by_role("button", name="Show the checklist").click()


def seen_checklist(page: Page, token: str) -> Page:
    open_checklist(page, token)
    expect(page.get_by_role("heading", name="Your steps")).to_be_focused()
    return page


def choice(page: Page, title: str, word: str) -> Locator:
    return page.get_by_role("group", name=f"Status of {title}").get_by_role("button", name=word, exact=True)


def item(page: Page, title: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=title))


def conflict_panel(page: Page) -> Locator:
    return page.get_by_role("region", name="This step changed while you had it open")


def test_a_user_goes_through_their_checklist(enter: Enter, token: str, session: Session) -> None:
    amara = seen_checklist(enter(), token)
    before = amara.get_by_role("progressbar").evaluate("bar => bar.value")
    expect(amara.get_by_role("listitem")).to_have_count(8)
    expect(choice(amara, "Set up payments", "In progress")).to_have_attribute("aria-pressed", "true")

    choice(amara, "Set up payments", "Done").click()
    expect(item(amara, "Set up payments")).to_contain_text("Saved: Done.")
    expect(choice(amara, "Set up payments", "Done")).to_have_attribute("aria-pressed", "true")
    choice(amara, "Install the mobile app", "In progress").click()
    expect(item(amara, "Install the mobile app")).to_contain_text("Saved: In progress.")
    choice(amara, "Connect a data source", "Skipped").click()
    expect(item(amara, "Connect a data source")).to_contain_text("Saved: Skipped.")

    tomas = enter("support")
    open_person(tomas)
    for step_id, status in ((PAYMENTS, "Done"), (MOBILE, "In progress"), (DATA_SOURCE, "Skipped")):
        see_status(tomas, step_id, status)
    after = amara.get_by_role("progressbar").evaluate("bar => bar.value")
    assert before < after == people.find(session, AMARA).progress


def test_the_last_step_finishes_the_checklist(page: Page, token: str) -> None:
    amara = seen_checklist(page, token)
    for row in amara.get_by_role("listitem").all():
        if row.get_by_role("button", pressed=True).inner_text() in {"To do", "In progress"}:
            row.get_by_role("button", name="Done", exact=True).click()
            expect(row).to_contain_text("Saved: Done.")
    expect(amara.get_by_text("Everything is set up")).to_be_visible()
    expect(amara.get_by_text("100 %")).to_be_visible()


def test_by_keyboard_alone(enter: Enter, token: str) -> None:
    amara = enter()
    amara.goto(EXAMPLE)
    for label, typed in (("Token", token), ("User id", AMARA)):
        tab_to(amara, amara.get_by_label(label))
        amara.keyboard.type(typed)
    amara.keyboard.press("Enter")
    expect(amara.get_by_role("heading", name="Your steps")).to_be_focused()
    mine = choice(amara, "Set up payments", "Done")
    tab_to(amara, mine)
    tomas = enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Skipped")
    see_saved(tomas, PAYMENTS, "Skipped")

    amara.keyboard.press("Enter")
    expect(conflict_panel(amara)).to_be_focused()
    tab_to(amara, amara.get_by_role("button", name="Save Done over it"))
    amara.keyboard.press("Enter")
    expect(item(amara, "Set up payments")).to_contain_text("Saved: Done.")
    expect(mine).to_be_focused()


def test_what_another_writer_finished_is_told_and_kept(enter: Enter, token: str, session: Session) -> None:
    amara, tomas = seen_checklist(enter(), token), enter("support")
    open_person(tomas)
    save(tomas, PAYMENTS, "Skipped", "They pay by invoice.")
    see_saved(tomas, PAYMENTS, "Skipped")
    before = state_of(session, PAYMENTS)

    choice(amara, "Set up payments", "Done").click()
    expect(conflict_panel(amara)).to_contain_text("Done was not saved, and nothing was overwritten.")
    expect(conflict_panel(amara)).to_contain_text(re.compile(r"Our staff set it to Skipped at \d"))
    expect(choice(amara, "Set up payments", "Skipped")).to_have_attribute("aria-pressed", "true")
    assert state_of(session, PAYMENTS) == before

    amara.get_by_role("button", name="Keep Skipped").click()
    expect(conflict_panel(amara)).to_have_count(0)
    expect(choice(amara, "Set up payments", "Skipped")).to_be_focused()
    assert state_of(session, PAYMENTS) == before


def test_a_release_does_not_stop_who_has_done_the_step(enter: Enter, token: str, session: Session) -> None:
    amara, maya = seen_checklist(enter(), token), enter("manager")
    open_preview(maya)
    confirm(maya, "Payouts are part of it now.")

    choice(amara, "Set up payments", "Done").click()
    told = item(amara, "Set up payments")
    expect(told).to_contain_text("Saved: Done. It had changed meanwhile, and yours still held.")
    expect(told).to_contain_text("It went from In progress to To do when this step was changed for everybody")
    assert state_of(session, PAYMENTS)[0] == "done"


def test_the_same_choice_elsewhere_is_nothing_to_save(page: Page, token: str, session: Session) -> None:
    amara = seen_checklist(page, token)
    factories.a_save(session, "done", AMARA, PAYMENTS)
    session.commit()
    before = state_of(session, PAYMENTS)
    choice(amara, "Set up payments", "Done").click()
    told = item(amara, "Set up payments")
    expect(told).to_contain_text("It already was Done: nothing to save. Another window or program set it to Done")
    assert state_of(session, PAYMENTS) == before


def test_a_step_withdrawn_meanwhile(enter: Enter, token: str) -> None:
    amara, maya = seen_checklist(enter(), token), enter("manager")
    open_preview(maya, deed="withdraw")
    confirm(maya)
    choice(amara, "Set up payments", "Done").click()
    expect(amara.get_by_role("alert")).to_contain_text("This step was removed")
    expect(amara.get_by_role("listitem")).to_have_count(7)


def test_what_cannot_be_opened_says_why(page: Page, token: str) -> None:
    for bad_token, user_id, title in (
        ("obd_unknown", AMARA, "You are not signed in"),
        ("obd unknown", AMARA, "You are not signed in"),
        (token, "nobody", "There is nothing to show"),
        (token, "", "Something is missing"),
    ):
        open_checklist(page, bad_token, user_id)
        expect(page.get_by_role("alert")).to_contain_text(title)
        expect(page.get_by_role("button", name="Show the checklist")).to_be_enabled()


def test_a_save_that_fails_can_be_tried_again(page: Page, token: str) -> None:
    amara = seen_checklist(page, token)
    faults = Faults(amara, f"**/steps/{PAYMENTS}*", [{"status": 500, "json": {"message": "Our fault"}}])
    choice(amara, "Set up payments", "Done").click()
    failed = amara.get_by_role("region", name="This did not work")
    expect(failed).to_be_focused()
    faults.end()
    failed.get_by_role("button", name="Try again").click()
    expect(item(amara, "Set up payments")).to_contain_text("Saved: Done.")


def test_a_save_of_which_no_answer_came_is_not_said_to_have_failed(page: Page, token: str, session: Session) -> None:
    page.add_init_script(HURRY)
    amara = seen_checklist(page, token)
    faults = Faults(amara, f"**/steps/{PAYMENTS}*", [is_lost, *["connectionfailed"] * ALWAYS])
    choice(amara, "Set up payments", "Done").click()
    failed = amara.get_by_role("region", name="No response")
    expect(failed).to_be_focused()
    expect(failed).to_contain_text("Done may have been saved: check again")
    expect(failed).not_to_contain_text("not saved")
    expect(amara.get_by_role("status")).to_have_text("Set up payments: Done may have been saved.")

    faults.end()
    failed.get_by_role("button", name="Check again").click()
    expect(failed).to_have_count(0)
    expect(choice(amara, "Set up payments", "Done")).to_be_focused()
    expect(choice(amara, "Set up payments", "Done")).to_have_attribute("aria-pressed", "true")


def test_who_leaves_it_sees_what_there_is(page: Page, token: str, session: Session) -> None:
    amara = seen_checklist(page, token)
    busy = {"status": 429, "json": {"message": "No"}, "headers": {"Retry-After": "99"}}
    Faults(amara, f"**/steps/{PAYMENTS}*", [busy])
    choice(amara, "Set up payments", "Done").click()
    failed = amara.get_by_role("region", name="Too many requests")
    expect(failed).to_contain_text("Done was not saved.")
    factories.a_save(session, "skipped", AMARA, PAYMENTS)
    session.commit()
    failed.get_by_role("button", name="Cancel").click()
    expect(failed).to_have_count(0)
    expect(choice(amara, "Set up payments", "Skipped")).to_be_focused()


def test_what_cannot_be_looked_at_again_is_said(page: Page, token: str) -> None:
    amara = seen_checklist(page, token)
    Faults(amara, f"**/steps/{PAYMENTS}*", [{"status": 403, "json": {"message": "No"}}])
    choice(amara, "Set up payments", "Done").click()
    Faults(amara, "**/steps?*", [{"status": 500, "json": {"message": "No"}}])
    amara.get_by_role("region", name="You cannot do this").get_by_role("button", name="Cancel").click()
    expect(amara.get_by_role("alert")).to_contain_text("This did not work")
    expect(choice(amara, "Set up payments", "In progress")).to_be_focused()


def test_a_save_that_somebody_undid_before_its_answer_came_is_told(page: Page, token: str, session: Session) -> None:
    def is_lost_and_undone(route: Route) -> None:
        is_lost(route)
        factories.a_save(session, "in_progress", AMARA, PAYMENTS)
        session.commit()

    amara = seen_checklist(page, token)
    Faults(amara, f"**/steps/{PAYMENTS}*", [is_lost_and_undone])
    choice(amara, "Set up payments", "Done").click()
    told = item(amara, "Set up payments")
    expect(told).to_contain_text("Saved: Done. Then it changed to In progress.")
    expect(choice(amara, "Set up payments", "In progress")).to_have_attribute("aria-pressed", "true")


def test_a_user_is_not_told_the_words_for_staff(page: Page, token: str) -> None:
    words = {"message": "Use `dashboard step restore`", "detail": "Use `dashboard step restore`"}
    statuses = (401, 403, 404, 410, 429, 500)
    refusals = [{"status": one, "json": words, "headers": {"Retry-After": "99"}} for one in statuses]
    met = Faults(page, f"**/steps/{PAYMENTS}*", [*refusals])
    for _ in statuses:
        amara = seen_checklist(page, token)
        choice(amara, "Set up payments", "Done").click()
        expect(amara.locator(f"#panel-{PAYMENTS}")).to_contain_text(re.compile("not saved|check again"))
        expect(amara.get_by_role("main")).not_to_contain_text("dashboard step")
    assert len(met.sent) == len(statuses)


def test_the_link_leads_to_the_person_whatever_their_id(page: Page, session: Session, token: str) -> None:
    ids = ["..", "~x", "a/steps", "ü 1"]
    for user_id in ids:
        factories.a_person(session, user_id, "Ümit")
    session.commit()
    for user_id in ids:
        open_checklist(page, token, user_id)
        link = page.get_by_role("link", name="the person’s page in the dashboard")
        expect(link).to_have_attribute("href", f"/people/{packed(user_id)}")


def test_the_token_is_gone_with_the_page(page: Page, token: str) -> None:
    amara = seen_checklist(page, token)
    amara.get_by_role("button", name="Use another token").click()
    expect(amara.get_by_label("Token")).to_have_value("")
    assert amara.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0


def at_first(page: Page, token: str) -> None:
    page.goto(EXAMPLE)
    page.get_by_text("Where do I get a token?").click()


def refused(page: Page, token: str) -> None:
    open_checklist(page, "obd_unknown")
    expect(page.get_by_role("alert")).to_be_visible()


def with_a_conflict(page: Page, token: str) -> None:
    seen_checklist(page, token)
    choice(page, "Install the mobile app", "Done").click()
    expect(item(page, "Install the mobile app")).to_contain_text("Saved")
    Faults(page, f"**/steps/{PAYMENTS}*", [conflict("skipped", 9)])
    choice(page, "Set up payments", "Done").click()
    expect(conflict_panel(page)).to_be_focused()


def without_steps(page: Page, token: str) -> None:
    page.route("**/steps?*", lambda route: route.fulfill(json={"user_id": AMARA, "progress": 0, "steps": []}))
    open_checklist(page, token)
    expect(page.get_by_text("No steps yet")).to_be_visible()


@pytest.mark.parametrize("way", [at_first, refused, with_a_conflict, without_steps], ids=lambda way: way.__name__)
def test_it_is_for_everybody(page: Page, token: str, way: Callable[[Page, str], None]) -> None:
    way(page, token)
    check(page)


# The module and faults -----------------------------------------------------------------------------------------------


def conflict(
    status: str, row_version: int, *, start: str = "todo", to: str = "", kind: str = "event"
) -> dict[str, Any]:
    """The 409 to a save of AMARA's step, as the API tells it."""
    change: dict[str, Any] = {
        "kind": kind,
        "by": "token:app",
        "at": "2026-11-24T10:36:18Z",
        "from": start,
        "to": to or status,
    }
    change["row_version"] = row_version
    state = {"status": status, "row_version": row_version}
    told = {"message": "Step was modified", "currentVersion": row_version, "currentState": state, "changes": [change]}
    return {"status": 409, "json": told}


Fault = dict[str, Any] | str | Callable[[Route], None]


class Faults:
    """Stands before the API: the first requests meet these faults, in turn; what follows goes through.

    A fault is the answer in its place, an error of the network, or what else is done with the request.
    """

    def __init__(self, page: Page, address: str, faults: list[Fault]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.attempts: list[str] = []
        self.times: list[float] = []
        self._faults = list(faults)
        page.route(address, self._meet)

    def end(self) -> None:
        """From now on everything goes through."""
        self._faults.clear()

    def _meet(self, route: Route) -> None:
        self.sent.append(json.loads(route.request.post_data or "{}"))
        self.attempts.append(route.request.headers["x-retry-attempt"])
        self.times.append(time.monotonic())
        fault = self._faults.pop(0) if self._faults else Route.continue_
        if isinstance(fault, dict):
            route.fulfill(**fault)
        elif isinstance(fault, str):
            route.abort(fault)
        else:
            fault(route)


def is_lost(route: Route) -> None:
    """The save is applied, but its answer never comes."""
    route.fetch()
    route.abort("connectionreset")


def hurry(times: int) -> str:
    """A script after which the clock of the page runs so many times as fast."""
    return f"""(() => {{
      const [wait, now] = [setTimeout, Date.now], began = now();
      self.setTimeout = (act, ms, ...more) => wait(act, ms / {times}, ...more);
      Date.now = () => began + {times} * (now() - began);
    }})();"""


HURRY = hurry(20)


class Update(Protocol):
    """`updateStep` of AMARA's PAYMENTS: what it gave, or the error with what hangs on it."""

    def __call__(self, status: str = "done", options: str = "{}") -> dict[str, Any]: ...


# what a test may put in the place of these is taken back before the next
KEEP = "self.asLoaded = [setTimeout, Date.now, AbortSignal.timeout.bind(AbortSignal)];"
AS_LOADED = """() => {
  [self.setTimeout, Date.now, AbortSignal.timeout] = self.asLoaded;
  Math.random = () => 0.05;
}"""


@pytest.fixture(scope="module")
def shared_page(browser: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests that need no more than the module, and what went wrong in it."""
    noted: list[str] = []
    context = browser.new_context(base_url=address)
    context.add_init_script(WITNESS + KEEP)
    with watched(context, noted):
        page = context.new_page()
        page.goto(EXAMPLE)
        yield page, noted
        context.close()


@pytest.fixture
def module(shared_page: tuple[Page, list[str]]) -> Iterator[Page]:
    """A page that may import the module, where pauses are short and the same each time. It is shared and knows nobody."""
    page, noted = shared_page
    page.evaluate(AS_LOADED)
    yield page
    page.unroute_all(behavior="ignoreErrors")
    went_wrong, noted[:] = noted[:], []
    assert not went_wrong, "\n".join(went_wrong)


@pytest.fixture
def update(module: Page, address: str) -> Update:
    """Where faults answer every save."""

    def called(status: str = "done", options: str = "{}") -> dict[str, Any]:
        return called_in(module, address, TOKEN, f"client.updateStep('{PAYMENTS}', '{status}', {options})")

    return called


@pytest.fixture
def own_module(page: Page) -> Page:
    """A page like that of this test alone, on its copy of the demo."""
    page.add_init_script("Math.random = () => 0.05;")
    page.goto(EXAMPLE)
    return page


@pytest.fixture
def update_really(own_module: Page, live_server: str, token: str) -> Update:
    """Where saves come to the server."""

    def called(status: str = "done", options: str = "{}") -> dict[str, Any]:
        return called_in(own_module, live_server, token, f"client.updateStep('{PAYMENTS}', '{status}', {options})")

    return called


def called_in(page: Page, address: str, token: str, call: str) -> dict[str, Any]:
    """What the call of a client gives in the page, or what its error holds."""
    script = f"""async ([baseUrl, token, userId]) => {{
      const asked = [];
      const {{ createClient, OnboardingError }} = await import(baseUrl + "/static/onboarding-client.js");
      const client = createClient({{ baseUrl, token, userId }});
      const never = new Promise((_, fail) => setTimeout(fail, {LONGEST_MS}, new Error("it never ended")));
      try {{
        return {{ ...(await Promise.race([{call}, never])), asked }};
      }} catch (error) {{
        return {{ ...error, asked, message: error.message, isOurs: error instanceof OnboardingError }};
      }}
    }}"""
    found: dict[str, Any] = page.evaluate(script, [address, token, AMARA])
    return found


PATCHES = f"**/steps/{PAYMENTS}*"


def test_a_save_is_read_first_when_it_names_no_row_version(update_really: Update, session: Session) -> None:
    before = state_of(session, PAYMENTS)
    answer = update_really()
    assert answer["step"]["status"] == "done"
    assert answer["conflict"] is None
    assert state_of(session, PAYMENTS) == ("done", before[1] + 1)


def test_what_a_read_finds_to_be_so_already_is_not_written(module: Page, update: Update) -> None:
    met = Faults(module, PATCHES, [{"status": 200, "json": {"status": "done", "row_version": 7}}])
    step = update()["step"]
    assert (step["status"], step["row_version"], len(met.sent)) == ("done", 7, 1)


BUSY: dict[str, Any] = {"status": 429, "json": {"message": "Too many"}, "headers": {"Retry-After": "1"}}
DOWN: dict[str, Any] = {"status": 503, "body": "<h1>Down</h1>", "content_type": "text/html"}


PASSES: dict[str, tuple[list[Fault], float]] = {
    "503": ([DOWN, DOWN], 0.0),
    "429": ([BUSY], 1.0),
    "503 that says when": ([DOWN | {"headers": {"Retry-After": "1"}}], 1.0),
    "a proxy": ([DOWN | {"status": 502}, DOWN | {"status": 504}, DOWN | {"status": 408}], 0.0),
    "the network": (["connectionfailed", "connectionreset", "namenotresolved"], 0.0),
    "cut off": ([{"status": 200, "body": '{"success": tr', "content_type": "application/json"}], 0.0),
}
"""Faults, and how long they have the client wait at least."""


def test_what_passes_is_tried_again(own_module: Page, update_really: Update, session: Session) -> None:
    for wanted, (name, (faults, pause_s)) in zip(cycle(["done", "in_progress"]), PASSES.items(), strict=False):
        row_version = state_of(session, PAYMENTS)[1]
        met = Faults(own_module, PATCHES, faults)
        assert update_really(wanted, f"{{ rowVersion: {row_version} }}")["step"]["status"] == wanted, name
        assert met.attempts == [str(number) for number in range(len(faults) + 1)], name
        assert {sent["row_version"] for sent in met.sent} == {row_version}
        assert met.times[1] - met.times[0] >= pause_s, name
        assert state_of(session, PAYMENTS) == (wanted, row_version + 1)


def called_with_token(page: Page, address: str, token: str) -> Any:
    """What a save comes to in the page, with `token` as an expression there, and how often the token was asked for."""
    return page.evaluate(
        f"""async ([baseUrl, userId]) => {{
          let asked = 0;
          const {{ createClient, OnboardingError }} = await import(baseUrl + "/static/onboarding-client.js");
          const client = createClient({{ baseUrl, token: async () => {{ asked += 1; return {token}; }}, userId }});
          const save = client.updateStep("{PAYMENTS}", "done", {{ rowVersion: 1 }});
          return save.catch((error) => [error instanceof OnboardingError, String(error), asked]);
        }}""",
        [address, AMARA],
    )


def test_what_token_throws_comes_out_as_it_is(module: Page, address: str) -> None:
    met = Faults(module, PATCHES, [])
    answer = called_with_token(module, address, "Promise.reject(new RangeError('signed out'))")
    assert (answer, met.sent) == ([False, "RangeError: signed out", 1], [])


def test_a_token_may_have_a_line_end(module: Page, address: str) -> None:
    Faults(module, PATCHES, [{"status": 200, "json": {"step": {"status": "done"}}}])
    answer = called_with_token(module, address, f"'{TOKEN}\\n'")
    assert answer == {"step": {"status": "done"}, "conflict": None}


@pytest.mark.parametrize("bad", ["undefined", "null", "''", "'<h1>Signed out</h1>\\n'", "'obd_ü'", "{}"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_shown(module: Page, address: str, bad: str) -> None:
    met = Faults(module, PATCHES, [])
    answer = called_with_token(module, address, bad)
    assert (answer, met.sent) == ([False, "TypeError: This token cannot be sent", 1], [])


def test_an_answer_that_does_not_come_is_not_waited_for(
    own_module: Page, update_really: Update, session: Session
) -> None:
    own_module.evaluate(
        """() => {
          const inTime = AbortSignal.timeout.bind(AbortSignal);
          // the first one alone: the next is for a real answer
          AbortSignal.timeout = (ms) => { AbortSignal.timeout = inTime; return inTime(ms / 20); };
        }"""
    )
    met = Faults(own_module, PATCHES, [lambda route: None])
    row_version = state_of(session, PAYMENTS)[1]
    assert update_really(options=f"{{ rowVersion: {row_version} }}")["step"]["status"] == "done"
    assert met.attempts == ["0", "1"]


def test_a_save_whose_answer_was_lost_is_applied_once(
    own_module: Page, update_really: Update, session: Session
) -> None:
    row_version = state_of(session, PAYMENTS)[1]
    met = Faults(own_module, PATCHES, [is_lost])
    answer = update_really(options=f"{{ rowVersion: {row_version} }}")
    assert answer["step"] == {"status": "done", "row_version": row_version + 1}
    assert answer["conflict"]["changes"][0]["by"] == "token:shop"
    assert met.attempts == ["0", "1"]
    assert state_of(session, PAYMENTS) == ("done", row_version + 1)


def test_a_lost_save_that_was_undone_since_stays_undone(
    own_module: Page, update_really: Update, session: Session
) -> None:
    def is_lost_and_undone(route: Route) -> None:
        is_lost(route)
        factories.a_save(session, "in_progress", AMARA, PAYMENTS)
        session.commit()

    for status, intent in product(("done", "todo"), ("", ", intent: () => true")):
        before, row_version = state_of(session, PAYMENTS)
        assert before == "in_progress"
        session.rollback()
        met = Faults(own_module, PATCHES, [is_lost_and_undone])
        answer = update_really(status, f"{{ rowVersion: {row_version}{intent} }}")
        assert answer["step"] == {"status": "in_progress", "row_version": row_version + 2}
        assert [change["to"] for change in answer["conflict"]["changes"]] == [status, "in_progress"]
        assert len(met.sent) == 2
        assert state_of(session, PAYMENTS) == ("in_progress", row_version + 2)


def two_changes(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The conflict of the second, led to by both."""
    changes = [*first["json"]["changes"], *second["json"]["changes"]]
    return second | {"json": second["json"] | {"changes": changes}}


@pytest.mark.parametrize(
    "faults",
    [
        [BUSY, two_changes(conflict("todo", 2), conflict("in_progress", 3))],
        ["connectionreset", two_changes(conflict("todo", 2, kind="release"), conflict("in_progress", 3))],
        ["connectionreset", two_changes(conflict("in_progress", 2), conflict("in_progress", 3))],
        ["connectionreset", conflict("in_progress", 2), two_changes(conflict("todo", 3), conflict("in_progress", 4))],
    ],
    ids=["it never arrived", "a release", "somebody else", "a conflict settled it"],
)
def test_what_somebody_else_did_is_not_taken_for_our_own(module: Page, update: Update, faults: list[Fault]) -> None:
    met = Faults(module, PATCHES, [*faults, {"status": 200, "json": {"step": {"status": "todo"}}}])
    answer = update("todo", "{ rowVersion: 1 }")
    assert answer["step"] == {"status": "todo"}
    assert len(met.sent) == len(faults) + 1


@pytest.mark.parametrize(
    ("faults", "unsure"),
    [
        ([is_lost, *["connectionfailed"] * ALWAYS], True),
        ([DOWN] * ALWAYS, True),
        ([{"status": 500, "json": {"message": "No"}}], True),
        ([{"status": 200, "body": '{"success": tr'}, {"status": 404, "json": {}}], True),
        (["connectionreset", {"status": 410, "json": {"message": "Gone"}}], True),
        (["connectionreset", conflict("skipped", 8)], False),
        ([{"status": 404, "json": {}}], False),
        ([BUSY | {"headers": {"Retry-After": "31"}}], False),
    ],
    ids=["no answer", "503", "500", "cut off", "gone after it", "a conflict after it", "unknown", "too busy"],
)
def test_the_error_says_whether_it_may_have_been_saved(
    module: Page, update: Update, faults: list[Fault], unsure: bool
) -> None:
    module.evaluate(HURRY)
    Faults(module, PATCHES, faults)
    answer = update(options="{ rowVersion: 1 }")
    assert (answer["isOurs"], answer["unsure"]) == (True, unsure)


def test_a_reading_leaves_nothing_open(module: Page, update: Update) -> None:
    module.evaluate(HURRY)
    met = Faults(module, PATCHES, [DOWN] * ALWAYS)
    answer = update()
    assert (answer["status"], answer["unsure"]) == (503, False)
    assert not any(met.sent)


@pytest.mark.parametrize("body", ["null", "<h1>Bad gateway</h1>", "5"])
def test_a_fault_without_a_document_has_its_status(module: Page, update: Update, body: str) -> None:
    module.evaluate(HURRY)
    Faults(module, PATCHES, [{"status": 502, "body": body}] * ALWAYS)
    answer = update(options="{ rowVersion: 1 }")
    assert (answer["isOurs"], answer["status"], answer["message"]) == (True, 502, "HTTP 502")


def test_a_restart_of_a_server_is_bridged(module: Page, update: Update) -> None:
    """Connections are refused for 12 seconds; pauses are as long as they can be."""
    module.evaluate(hurry(5))
    module.evaluate("Math.random = () => 0.99")
    back_at = time.monotonic() + 12 / 5

    def is_down(route: Route) -> None:
        if time.monotonic() < back_at:
            route.abort("connectionrefused")
        else:
            route.fulfill(json={"step": {"status": "done"}})

    Faults(module, PATCHES, [is_down] * ALWAYS)
    assert update(options="{ rowVersion: 1 }")["step"] == {"status": "done"}


def test_how_long_an_intent_thinks_does_not_count(module: Page, update: Update) -> None:
    module.evaluate(HURRY)
    good = {"status": 200, "json": {"step": {"status": "done"}}}
    met = Faults(module, PATCHES, [conflict("in_progress", 8), "connectionreset", good])
    options = "{ rowVersion: 1, intent: () => new Promise((settle) => setTimeout(settle, 20_000, true)) }"
    assert update(options=options)["step"] == {"status": "done"}
    assert len(met.sent) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 428, 500])
def test_what_a_repeat_would_not_better_is_told_at_once(module: Page, update: Update, status: int) -> None:
    met = Faults(module, PATCHES, [{"status": status, "json": {"message": "No", "errors": [1]}}])
    answer = update(options="{ rowVersion: 1 }")
    assert (answer["isOurs"], answer["status"], answer["message"]) == (True, status, "No")
    assert answer["answer"]["errors"] == [1]
    assert len(met.sent) == 1


def test_who_is_told_to_wait_long_is_told_so(module: Page, update: Update) -> None:
    met = Faults(module, PATCHES, [BUSY | {"headers": {"Retry-After": "16"}}])
    assert update(options="{ rowVersion: 1 }")["status"] == 429
    assert len(met.sent) == 1


def test_it_gives_up_in_the_end(module: Page, update: Update) -> None:
    module.evaluate(HURRY)
    met = Faults(module, PATCHES, [DOWN] * ALWAYS)
    answer = update(options="{ rowVersion: 1 }")
    assert answer["status"] == 503
    assert met.attempts == [str(number) for number in range(len(met.attempts))]
    assert met.times[-1] - met.times[0] < 10


def test_pauses_grow_and_are_random(own_module: Page, update_really: Update) -> None:
    own_module.evaluate(
        """() => {
          const wait = setTimeout;
          window.pauses = [];
          window.setTimeout = (act, ms) => wait(act, ms < 1_000 ? pauses.push(ms) : ms);
        }"""
    )
    Faults(own_module, PATCHES, [DOWN] * 5)
    update_really(options="{ rowVersion: 1 }")
    assert own_module.evaluate("pauses") == pytest.approx(
        [0.05 * most for most in (200, 400, 800, 1_600, 2_000, 2_000)]
    )


# The module and conflicts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("met", "asked_for", "saved"),
    [
        (conflict("todo", 8, kind="release"), "done", True),
        (conflict("in_progress", 8), "done", True),
        (conflict("done", 8, start="done", kind="release"), "in_progress", True),
        (conflict("done", 8, start="done"), "in_progress", True),
        (conflict("done", 8, kind="release"), "in_progress", False),
        (conflict("skipped", 8, start="done"), "in_progress", False),
        (conflict("skipped", 8), "done", False),
        (conflict("done", 8), "in_progress", False),
        (conflict("todo", 8, to="done"), "in_progress", False),
    ],
    ids=[
        "a release",
        "begun",
        "kept by a release",
        "a comment",
        "given back by a rollback",
        "finished otherwise",
        "skipped",
        "finished",
        "finished and reopened",
    ],
)
def test_a_conflict_is_saved_over_unless_somebody_finished_or_skipped(
    module: Page, update: Update, met: dict[str, Any], asked_for: str, saved: bool
) -> None:
    here = Faults(module, PATCHES, [met, {"status": 200, "json": {"step": {"status": asked_for}}}])
    answer = update(asked_for, "{ rowVersion: 1 }")
    assert ("step" in answer, answer.get("status")) == ((True, None) if saved else (False, 409))
    assert [sent["row_version"] for sent in here.sent] == ([1, 8] if saved else [1])
    assert answer["conflict"] == met["json"]


def test_the_intent_is_asked_and_given_the_conflict(module: Page, update: Update) -> None:
    good = {"status": 200, "json": {"step": {"status": "done"}}}
    here = Faults(module, PATCHES, [conflict("skipped", 8), conflict("skipped", 9), good])
    options = "{ rowVersion: 1, intent: async (conflict) => asked.push(conflict.currentVersion) }"
    assert update(options=options)["asked"] == [8, 9]
    assert [(sent["row_version"], sent["status"]) for sent in here.sent] == [(1, "done"), (8, "done"), (9, "done")]
    assert here.attempts == ["0", "1", "2"]


def test_an_intent_that_no_longer_holds_ends_it(module: Page, update: Update) -> None:
    here = Faults(module, PATCHES, [conflict("in_progress", 8)])
    answer = update(options="{ rowVersion: 1, intent: () => false }")
    assert (answer["status"], answer["conflict"]["currentVersion"]) == (409, 8)
    assert len(here.sent) == 1


def test_the_last_of_too_many_conflicts_hangs_on_the_error(module: Page, update: Update) -> None:
    module.evaluate(HURRY)
    here = Faults(module, PATCHES, [conflict("in_progress", 8 + number) for number in range(ALWAYS)])
    answer = update(options="{ rowVersion: 1, intent: (conflict) => asked.push(conflict.currentVersion) }")
    assert (answer["status"], answer["message"]) == (409, "Step was modified")
    met = [8 + number for number in range(len(here.sent))]
    assert answer["conflict"]["currentVersion"] == met[-1]
    assert answer["asked"] == met[:-1]


def test_a_conflict_before_the_network_went_hangs_on_the_error_too(module: Page, update: Update) -> None:
    module.evaluate(HURRY)
    Faults(module, PATCHES, [conflict("in_progress", 8), *["connectionfailed"] * ALWAYS])
    answer = update(options="{ rowVersion: 1 }")
    assert (answer["status"], answer["conflict"]["currentVersion"]) == (0, 8)


def test_the_token_is_asked_for_before_each_request(module: Page, address: str) -> None:
    seen: list[tuple[str, str]] = []

    def note(route: Route) -> None:
        seen.append((route.request.headers["authorization"], route.request.url))
        route.continue_()

    module.route("**/api/onboarding/**", note)
    script = """async (baseUrl) => {
      const { createClient } = await import(baseUrl + "/static/onboarding-client.js");
      let number = 0;
      const client = createClient({ baseUrl: baseUrl + "/", token: async () => `jwt-${++number}` });
      for (let more = 2; more; more -= 1) await client.steps().catch(() => {});
    }"""
    module.evaluate(script, address)
    assert seen == [(f"Bearer jwt-{number}", f"{address}/api/onboarding/steps") for number in (1, 2)]


# Other origins -------------------------------------------------------------------------------------------------------

HOST_PAGE = b"<!doctype html><title>The host product</title><link rel=icon href=data:,><h1>The host product</h1>"


def host_page(_: Any, start: Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/html")])
    return [HOST_PAGE]


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The origin of a site that is let in."""
    with served(host_page) as origin:
        yield origin


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """The origin of one that is not."""
    with served(host_page) as origin:
        yield origin


@pytest.fixture
def open_server(settings: Settings, shop: str) -> Iterator[str]:
    """The address of a dashboard that lets the shop's pages in."""
    app = create_app(replace(settings, cors_origins=frozenset({shop})))
    with served(app) as address:
        yield address
    app.extensions["database"].dispose()


FETCH = """([address, method, token]) => fetch(address, {
  method,
  headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
  body: method === "GET" ? undefined : "{}",
}).then((answer) => answer.status, (error) => error.name)"""


def test_a_listed_origin_imports_the_client_and_saves(
    page: Page, shop: str, open_server: str, token: str, session: Session
) -> None:
    page.goto(shop)
    before = state_of(session, PAYMENTS)
    steps = called_in(page, open_server, token, "client.steps()")
    assert (steps["user_id"], len(steps["steps"])) == (AMARA, 8)
    saved = called_in(
        page, open_server, token, f"client.updateStep('{PAYMENTS}', 'done', {{ rowVersion: {before[1]} }})"
    )
    assert saved["step"]["row_version"] == before[1] + 1
    stale = called_in(
        page, open_server, token, f"client.updateStep('{PAYMENTS}', 'todo', {{ rowVersion: {before[1]} }})"
    )
    assert (stale["status"], stale["conflict"]["currentState"]["status"]) == (409, "done")
    assert state_of(session, PAYMENTS) == ("done", before[1] + 1)


def test_a_listed_origin_reads_the_headers(page: Page, shop: str, open_server: str, token: str) -> None:
    page.goto(shop)
    script = """([address, token]) => fetch(address, { headers: { Authorization: `Bearer ${token}` } })
      .then((answer) => [answer.headers.get("ETag"), answer.headers.get("X-Request-ID").length])"""
    tag, length = page.evaluate(script, [f"{open_server}/api/onboarding/steps/{PAYMENTS}?user_id={AMARA}", token])
    assert re.fullmatch(r'"\d+"', tag)
    assert length >= 8


def test_refusals_reach_a_listed_origin(page: Page, shop: str, open_server: str) -> None:
    page.goto(shop)
    assert called_in(page, open_server, "obd_unknown", "client.steps()")["status"] == 401


def test_another_origin_is_kept_out(page: Page, stranger: str, open_server: str, token: str, session: Session) -> None:
    page.goto(stranger)
    before = state_of(session, PAYMENTS)
    for method, path in (("GET", "steps"), ("PATCH", f"steps/{PAYMENTS}"), ("GET", "nowhere")):
        address = f"{open_server}/api/onboarding/{path}?user_id={AMARA}"
        assert page.evaluate(FETCH, [address, method, token]) == "TypeError"
    address = f"{open_server}/static/onboarding-client.js"
    assert page.evaluate("address => import(address).catch((error) => error.name)", address) == "TypeError"
    assert state_of(session, PAYMENTS) == before


def test_a_listed_origin_gets_no_further(page: Page, shop: str, open_server: str, token: str) -> None:
    page.goto(shop)
    for method, path in (
        ("GET", "/api/admin/onboarding/steps"),
        ("POST", "/api/admin/onboarding/migrate-version"),
        ("PUT", f"/api/onboarding/users/{AMARA}"),
        ("GET", f"/people/{AMARA}"),
        ("GET", "/healthz"),
    ):
        assert page.evaluate(FETCH, [open_server + path, method, token]) == "TypeError", path
