"""Several rows of a person saved with one press: each with an outcome of its own, with scripts and without."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.onboarding import erasure, releases
from dashboard.staff.permissions import Role
from dashboard.web.wording import saved_several
from tests.conftest import Build
from tests.factories import ANNA, MAYA, OTHER, SAM, STEP, a_person, a_save, a_step, row_version_of, snapshot, status_of
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, HTMX, Data, asked_of, part, words
from tests.web.person import Send, chosen, fields, hidden, panel, row, save_all, save_all_live, save_live, undo_of

THIRD, FOURTH = "import-contacts", "book-a-call"
BOTH_WAYS = pytest.mark.parametrize("by", [save_all, save_all_live], ids=["plain", "htmx"])


def anna_at_four_steps(session: Session) -> None:
    for step_id in (STEP, OTHER, THIRD, FOURTH):
        a_step(session, step_id)
    a_person(session)


@pytest.fixture
def anna(build: Build, session: Session) -> Session:
    """Anna, with four steps before her."""
    build(anna_at_four_steps)
    return session


@pytest.fixture
def agent(agent: FlaskClient, anna: Session) -> FlaskClient:
    """A browser in which a support agent is signed in, where Anna is."""
    return agent


@pytest.fixture
def opened(agent: FlaskClient) -> Data:
    """The form of all rows, as the agent's browser has it."""
    return fields(agent.get("/people/anna"))


def choose(opened: Data, **comments: str) -> Data:
    """Done in the first and the third row."""
    return opened | {f"status.{STEP}": "done", f"status.{THIRD}": "skipped"} | comments


def statuses(session: Session) -> list[str]:
    session.rollback()
    return [status_of(session, ANNA, step_id) for step_id in (STEP, OTHER, THIRD, FOURTH)]


def answered(page: TestResponse) -> list[str]:
    """The rows that htmx puts in their place."""
    return re.findall(r'<hx-partial hx-target="#step-row-([^"]+)"', page.text)


def said(page: TestResponse) -> str:
    found = re.search(r'<hx-partial hx-target="#said"[^>]*>(.*?)</hx-partial>', page.text, re.DOTALL)
    return found[1] if found else words(part(page.text, "flash").partition("</p>")[0]).removeprefix("> ")


# Saved


def test_each_row_carries_what_it_was_opened_with(opened: Data) -> None:
    assert {name.partition(".")[0] for name in opened} == {
        "csrf_token",
        "row_version",
        "opened",
        "attempt",
        "seen",
        "status",
        "comment",
    }
    assert [opened[f"{name}.{STEP}"] for name in ("row_version", "attempt", "seen", "status")] == [
        "1",
        "0",
        "todo",
        "todo",
    ]


def test_no_id_is_there_twice_whatever_a_step_is_called(agent: FlaskClient, anna: Session) -> None:
    a_step(anna, "all")
    anna.commit()
    ids = re.findall(r' id="([^"]+)"', agent.get("/people/anna").text)
    assert "save-all" in ids
    assert len(set(ids)) == len(ids)


def test_htmx_gets_the_rows_that_were_saved_and_the_page_around_them_renewed(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    response = save_all_live(agent, choose(opened))
    assert response.status_code == 200
    assert answered(response) == [STEP, THIRD]
    assert response.text.lstrip().startswith("<hx-partial")
    for region in ("#key-figures", "#history"):
        assert f'<hx-partial hx-target="{region}" hx-swap="outerHTML">' in response.text
    assert said(response) == "Saved 2 steps."
    assert "Steps completed 2 of 4" in words(part(response.text, "figure-completed").partition("</div>")[0])
    assert statuses(anna) == ["done", "todo", "skipped", "todo"]
    assert anna.scalar(text("SELECT count(*) FROM user_step_events")) == 2


def test_each_row_that_was_saved_has_its_undo(agent: FlaskClient, anna: Session, opened: Data) -> None:
    response = save_all_live(agent, choose(opened))
    for step_id in (STEP, THIRD):
        undo = undo_of(response, step_id)
        assert save_live(agent, undo.pop("row_version"), **undo, step_id=step_id).status_code == 200
    assert statuses(anna) == ["todo"] * 4


def test_without_htmx_it_leads_back_to_the_steps_with_a_notice_and_each_undo(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    response = save_all(agent, choose(opened, **{f"comment.{FOURTH}": "On the phone."}))
    assert (response.status_code, response.location) == (303, "/people/anna#steps")
    page = agent.get("/people/anna")
    assert said(page) == "Saved 3 steps."
    assert "Saved" in words(row(page, FOURTH))
    assert f"undoing-{FOURTH}" not in page.text, "nothing to undo where only a comment was added"
    for step_id in (STEP, THIRD):
        assert undo_of(page, step_id)["status"] == "todo"
    assert "undoing" not in agent.get("/people/anna").text
    assert statuses(anna) == ["done", "todo", "skipped", "todo"]


def test_without_htmx_the_button_of_one_row_saves_that_row_alone_and_keeps_what_the_others_hold(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    page = agent.post(f"/people/anna/steps/{THIRD}", data=choose(opened, **{f"comment.{OTHER}": "By phone."}))
    assert page.status_code == 200
    assert said(page) == "Saved. Import contacts is now Skipped."
    assert f"undoing-{THIRD}" in row(page, THIRD)
    again = fields(page)
    assert [again[f"status.{step_id}"] for step_id in (STEP, OTHER, THIRD)] == ["done", "todo", "skipped"]
    assert again[f"comment.{OTHER}"] == "By phone."
    assert statuses(anna) == ["todo", "todo", "skipped", "todo"]
    assert save_all(agent, again).status_code == 303
    assert statuses(anna) == ["done", "todo", "skipped", "todo"]
    assert "undoing" not in row(agent.get("/people/anna"), THIRD), "of what was saved last"


def test_without_htmx_a_row_that_is_saved_with_no_other_touched_leads_back_to_it(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    response = agent.post(f"/people/anna/steps/{THIRD}", data=opened | {f"status.{THIRD}": "done"})
    assert (response.status_code, response.location) == (303, f"/people/anna#step-row-{THIRD}")
    assert statuses(anna) == ["todo", "todo", "done", "todo"]


def test_without_htmx_a_choice_in_another_row_that_moved_meanwhile_is_told_beside_what_was_saved(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    a_save(anna, "in_progress", actor=SAM)
    anna.commit()
    page = agent.post(f"/people/anna/steps/{THIRD}", data=choose(opened))
    assert page.status_code == 200
    assert "Save mine over it" in row(page, STEP)
    assert "Saved" in row(page, THIRD)


def test_without_htmx_a_conflict_in_one_row_keeps_what_was_chosen_in_the_others(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    a_save(anna, "skipped", actor=SAM)
    anna.commit()
    page = agent.post(f"/people/anna/steps/{STEP}", data=choose(opened, **{f"comment.{THIRD}": "By phone."}))
    assert page.status_code == 409
    assert 'data-testid="conflict-panel"' in row(page, STEP)
    again = fields(page)
    assert [again[f"{name}.{THIRD}"] for name in ("status", "seen", "row_version", "comment")] == [
        *("skipped", "todo", "1", "By phone.")
    ]
    assert again[f"status.{OTHER}"] == "todo"
    assert statuses(anna) == ["skipped", "todo", "todo", "todo"], "none of it is saved"
    assert agent.post(f"/people/anna/steps/{THIRD}", data=again).status_code == 200, "the panel still holds something"
    assert statuses(anna) == ["skipped", "todo", "skipped", "todo"]


def test_without_htmx_a_choice_in_another_row_that_moved_too_is_a_conflict_as_well(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    a_save(anna, "skipped", actor=SAM)
    a_save(anna, "done", step_id=THIRD, actor=SAM)
    anna.commit()
    page = agent.post(
        f"/people/anna/steps/{STEP}", data=choose(opened) | {f"status.{OTHER}": "nonsense", "status.nowhere": "done"}
    )
    assert page.status_code == 409
    assert "Save mine over it" in row(page, THIRD)
    assert page.text.count(" autofocus") == 1
    assert statuses(anna) == ["skipped", "todo", "done", "todo"]


@pytest.mark.parametrize(("way", "shown"), [("keep", "skipped"), ("mine", "done"), ("edit", "done")])
def test_without_htmx_a_way_out_of_a_panel_keeps_what_the_other_rows_and_panels_hold(
    agent: FlaskClient, anna: Session, opened: Data, way: str, shown: str
) -> None:
    for step_id in (STEP, THIRD):
        a_save(anna, "skipped" if step_id == STEP else "done", step_id=step_id, actor=SAM)
    anna.commit()
    typed = choose(opened, **{f"comment.{OTHER}": "By phone.", f"comment.{THIRD}": "She asked."})
    stale = agent.post(f"/people/anna/steps/{STEP}", data=typed)
    assert stale.text.count('data-testid="conflict-panel"') == 2
    page = agent.post(f"/people/anna/steps/{STEP}", data=fields(stale) | {"resolve": way})
    assert page.status_code == 200
    again = fields(page)
    assert again[f"status.{STEP}"] == shown
    assert again[f"comment.{OTHER}"] == "By phone."
    # the other panel has been seen: what was chosen is in its row
    assert [again[f"{name}.{THIRD}"] for name in ("status", "comment", "row_version")] == ["skipped", "She asked.", "2"]
    assert statuses(anna) == ["done" if way == "mine" else "skipped", "todo", "done", "todo"]


def test_a_panel_is_not_saved_with_all_others_and_not_lost(agent: FlaskClient, anna: Session, opened: Data) -> None:
    a_save(anna, "skipped", actor=SAM)
    anna.commit()
    stale = agent.post(f"/people/anna/steps/{STEP}", data=choose(opened, **{f"comment.{STEP}": "Ticket 4821"}))
    page = save_all(agent, fields(stale))
    assert (page.status_code, said(page)) == (200, "Saved 1 step.")
    assert statuses(anna) == ["skipped", "todo", "skipped", "todo"]
    assert [fields(page)[f"{name}.{STEP}"] for name in ("status", "comment")] == ["done", "Ticket 4821"]


def test_without_htmx_an_undo_keeps_what_the_other_rows_hold(agent: FlaskClient, anna: Session, opened: Data) -> None:
    saved = agent.post(f"/people/anna/steps/{THIRD}", data=choose(opened))
    held = fields(saved) | {f"status.{THIRD}": "done", f"comment.{THIRD}": "x", "undoes": "1"}
    page = agent.post(f"/people/anna/steps/{THIRD}", data=held)
    assert (page.status_code, fields(page)[f"status.{STEP}"]) == (200, "done")
    assert statuses(anna) == ["todo"] * 4
    assert anna.scalar(text("SELECT comment FROM user_step_events ORDER BY row_version DESC LIMIT 1")) == ""


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
@pytest.mark.parametrize("chosen", ["skipped", "done"])
def test_an_undo_keeps_what_was_typed_in_its_own_row_since(
    agent: FlaskClient, anna: Session, opened: Data, headers: Data, chosen: str
) -> None:
    agent.post(f"/people/anna/steps/{THIRD}", data=opened | {f"status.{THIRD}": "done"})
    held = fields(agent.get("/people/anna")) | {f"status.{THIRD}": chosen, f"comment.{THIRD}": "x", "undoes": "1"}
    page = agent.post(f"/people/anna/steps/{THIRD}", data=held, headers=headers)
    assert page.status_code == 200
    assert "Undone. Import contacts is now To do." in page.text
    now = fields(page if not headers else agent.get("/people/anna"))
    assert now[f"seen.{THIRD}"] == "todo"
    assert f'value="{"skipped" if chosen == "skipped" else "todo"}" selected' in row(page, THIRD)
    assert 'value="x"' in row(page, THIRD)
    assert statuses(anna) == ["todo"] * 4


def test_a_stale_undo_keeps_the_comment_of_its_row(agent: FlaskClient, anna: Session, opened: Data) -> None:
    agent.post(f"/people/anna/steps/{THIRD}", data=opened | {f"status.{THIRD}": "done"})
    held = fields(agent.get("/people/anna")) | {f"comment.{THIRD}": "Ticket 4821", "undoes": "1"}
    a_save(anna, "skipped", step_id=THIRD, actor=SAM)
    anna.commit()
    page = agent.post(f"/people/anna/steps/{THIRD}", data=held)
    assert page.status_code == 409
    assert "To do Ticket 4821" in words(part(panel(page), "conflict-yours"))


def test_without_htmx_an_undo_is_told_as_one(agent: FlaskClient, anna: Session, opened: Data) -> None:
    agent.post(f"/people/anna/steps/{THIRD}", data=opened | {f"status.{THIRD}": "done"})
    held = fields(agent.get("/people/anna")) | {"undoes": "1"}
    assert agent.post(f"/people/anna/steps/{THIRD}", data=held).status_code == 303
    assert said(agent.get("/people/anna")) == "Undone. Import contacts is now To do."


@BOTH_WAYS
def test_nothing_changed_is_nothing_saved(agent: FlaskClient, anna: Session, opened: Data, by: Send) -> None:
    before = snapshot(anna)
    response = by(agent, opened)
    page = agent.get("/people/anna") if by is save_all else response
    assert said(page) == "Nothing was changed, so nothing was saved."
    assert "notice-bar is-good" not in page.text
    if by is not save_all:
        assert '<hx-partial hx-target="#changed-count" hx-swap="innerHTML">Nothing was changed' in page.text
    assert answered(response) == []
    if by is save_all:
        agent.post(f"/people/anna/steps/{THIRD}", data=opened)
        assert "notice-bar is-good" not in agent.get("/people/anna").text
    anna.rollback()
    assert snapshot(anna)["user_step_events"] == before["user_step_events"]


# Saved and refused beside each other


def test_a_conflict_in_one_row_does_not_undo_the_others(agent: FlaskClient, anna: Session, opened: Data) -> None:
    a_save(anna, "skipped", actor=SAM, comment="She asked for it.")
    anna.commit()
    response = save_all_live(agent, choose(opened, **{f"comment.{STEP}": "Ticket 4821"}))
    assert response.status_code == 409
    assert answered(response) == [STEP, THIRD]
    assert said(response) == "Saved 1 step. 1 changed while you had it open."
    shown = panel(response)
    assert "She asked for it." in shown
    assert "Done Ticket 4821" in words(part(shown, "conflict-yours"))
    assert hidden(shown, "attempt") == "1"
    assert "Saved" in words(row(response, THIRD))
    assert statuses(anna) == ["skipped", "todo", "skipped", "todo"]


def test_a_row_that_moved_and_was_not_touched_is_left_alone(agent: FlaskClient, anna: Session, opened: Data) -> None:
    a_save(anna, "done", step_id=OTHER)
    anna.commit()
    response = save_all_live(agent, choose(opened))
    assert response.status_code == 200
    assert answered(response) == [STEP, THIRD]
    assert statuses(anna) == ["done", "done", "skipped", "todo"]


def test_only_the_first_panel_asks_for_the_focus(agent: FlaskClient, anna: Session, opened: Data) -> None:
    for step_id in (STEP, THIRD):
        a_save(anna, "in_progress", step_id=step_id, actor=SAM)
    anna.commit()
    response = save_all_live(agent, choose(opened))
    assert said(response) == "Nothing was saved. 2 changed while you had them open."
    assert response.text.count("data-focus") == 1
    assert "data-focus" in row(response, STEP)
    page = save_all(agent, choose(opened))
    assert page.text.count(" autofocus") == 1
    assert page.text.count('data-testid="conflict-panel"') == 2


def test_without_htmx_the_whole_page_shows_what_was_saved_and_what_was_not(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    a_save(anna, "skipped", actor=SAM)
    anna.commit()
    page = save_all(agent, choose(opened))
    assert page.status_code == 409
    assert page.text.startswith("<!doctype html>")
    assert said(page) == "Saved 1 step. 1 changed while you had it open."
    assert 'data-testid="conflict-panel"' in row(page, STEP)
    assert f"undoing-{THIRD}" in row(page, THIRD)
    assert f"save-{OTHER}" in row(page, OTHER)


def test_a_row_that_cannot_be_saved_keeps_what_was_typed(agent: FlaskClient, anna: Session, opened: Data) -> None:
    typed = choose(opened, **{f"comment.{STEP}": "x" * 2001, f"row_version.{THIRD}": "7"})
    response = save_all_live(agent, typed | {f"status.{OTHER}": "done"})
    assert response.status_code == 422
    assert said(response) == "Saved 1 step. 2 cannot be saved as they are."
    assert chosen(row(response, STEP)) == "done"
    assert "x" * 2001 in row(response, STEP)
    assert "The row version is 7, but the newest is 1." in row(response, THIRD)
    assert "data-focus" in row(response, STEP).partition(">")[0]
    assert "data-focus" not in row(response, THIRD)
    assert statuses(anna) == ["todo", "done", "todo", "todo"]


def test_a_step_withdrawn_meanwhile_says_so_in_its_place(agent: FlaskClient, anna: Session, opened: Data) -> None:
    releases.withdraw(anna, MAYA, STEP, note="Not needed any more.")
    anna.commit()
    response = save_all_live(agent, choose(opened, **{f"comment.{STEP}": "Typed."}))
    assert response.status_code == 409
    assert said(response) == "Saved 1 step. 1 was withdrawn in the meantime."
    shown = panel(response)
    assert "Not needed any more." in part(shown, "conflict-changes")
    assert "Typed." in part(shown, "conflict-yours")
    assert "conflict-mine" not in shown


def test_saved_twice_the_second_press_meets_what_the_first_one_saved(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    save_all_live(agent, choose(opened))
    response = save_all_live(agent, choose(opened))
    assert response.status_code == 409
    assert "Already Done - nothing to do" in row(response, STEP)
    assert row_version_of(anna) == 2


def test_words_of_others_are_text(agent: FlaskClient, anna: Session, opened: Data) -> None:
    a_save(anna, "skipped", actor=SAM, comment=HOSTILE)
    anna.commit()
    response = save_all_live(agent, choose(opened, **{f"comment.{STEP}": HOSTILE}))
    assert "<script>alert" not in response.text


# Who and what there is


@BOTH_WAYS
def test_a_step_that_is_not_there_is_404_and_nothing_is_saved(
    agent: FlaskClient, anna: Session, opened: Data, by: Send
) -> None:
    response = by(agent, choose(opened, **{"status.no-such-step": "done"}))
    assert response.status_code == 404
    assert statuses(anna) == ["todo"] * 4


@BOTH_WAYS
def test_a_person_erased_meanwhile_is_told_with_all_that_was_typed(
    agent: FlaskClient, anna: Session, opened: Data, by: Send
) -> None:
    erasure.erase(anna, SAM, ANNA, ANNA)
    anna.commit()
    response = by(agent, choose(opened, **{f"comment.{OTHER}": "Half of a sentence"}))
    assert response.status_code == 404
    read = words(part(response.text, "gone-panel"))
    assert "This person is no longer here" in read
    assert "Set up payments Done Invite team To do Half of a sentence Import contacts Skipped" in read
    assert "Book a call" not in read
    assert response.headers.get("HX-Retarget") == (None if by is save_all else "#person")
    assert "Anna" not in response.text


@BOTH_WAYS
def test_a_person_erased_meanwhile_is_told_with_what_the_panels_hold(
    agent: FlaskClient, anna: Session, opened: Data, by: Send
) -> None:
    a_save(anna, "skipped")
    anna.commit()
    stuck = save_all(agent, choose(opened, **{f"comment.{STEP}": "Half of a sentence"}))
    assert stuck.status_code == 409
    erasure.erase(anna, SAM, ANNA, ANNA)
    anna.commit()
    response = by(agent, fields(stuck) | {f"comment.{OTHER}": "The other half"})
    assert response.status_code == 404
    read = words(part(response.text, "gone-panel"))
    assert "Set up payments Done Half of a sentence" in read
    assert "Invite team To do The other half" in read


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MANAGER])
def test_those_who_may_not_edit_cannot_save(client: FlaskClient, database: Database, anna: Session, role: Role) -> None:
    sign_in_as(client, database, role)
    page = client.get("/people/anna").text
    assert "all-steps" not in page
    assert "save-all" not in page
    token = re.findall(r'"X-CSRFToken": "([^"]+)"', page)[0]
    response = client.post(
        "/people/anna/steps",
        data={f"status.{STEP}": "done", f"row_version.{STEP}": "1"},
        headers=HTMX | {"X-CSRFToken": token},
    )
    assert response.status_code == 403
    assert statuses(anna) == ["todo"] * 4


def test_signed_out_nothing_is_saved_and_what_was_typed_is_kept(
    agent: FlaskClient, anna: Session, opened: Data
) -> None:
    agent.delete_cookie("staff_session")
    response = save_all(agent, choose(opened, **{f"comment.{STEP}": "Typed already."}))
    assert response.status_code == 401
    assert "Typed already." in response.text
    assert save_all_live(agent, choose(opened)).status_code == 401
    assert statuses(anna) == ["todo"] * 4


def test_the_address_of_the_rows_leads_to_the_page(agent: FlaskClient) -> None:
    assert agent.get("/people/anna/steps").location == "/people/anna#steps"


# How it is said, and what it costs


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((3, 0, 0, 0), "Saved 3 steps."),
        ((1, 2, 0, 0), "Saved 1 step. 2 changed while you had them open."),
        ((0, 1, 1, 1), "Nothing was saved. 1 changed while you had it open. 1 was withdrawn in the meantime."),
        ((0, 0, 2, 0), "Nothing was saved. 2 were withdrawn in the meantime."),
        ((0, 0, 0, 1), "Nothing was saved. 1 cannot be saved as it is."),
    ],
)
def test_what_came_of_it_is_one_sentence_each(counts: tuple[int, int, int, int], text: str) -> None:
    assert saved_several(*counts).startswith(text)


def test_each_row_that_is_saved_takes_one_query_more(agent: FlaskClient, anna: Session, opened: Data) -> None:
    with asked_of(agent) as none:
        save_all_live(agent, opened)
    with asked_of(agent) as two:
        assert save_all_live(agent, choose(opened)).status_code == 200
    # those who wrote something now have names to be looked up
    assert len(two) <= len(none) + 2 + 1
    assert len(two) <= 12
