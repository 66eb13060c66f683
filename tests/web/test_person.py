"""A person's page: their figures, their steps edited in place, and a history that explains itself."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import history, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy
from dashboard.staff.permissions import Role
from dashboard.web.person_page import HISTORY_LIMIT
from tests.conftest import Build
from tests.factories import (
    ANNA,
    BEN,
    HOST,
    MAYA,
    OTHER,
    STEP,
    a_person,
    a_release,
    a_save,
    a_step,
    everybody,
    people,
    row_version_of,
    snapshot,
    status_of,
)
from tests.staff.signed_in import make_account, sign_in_as
from tests.web.desk import HOSTILE, HTMX, asked_of, figure, main_of, part, same_however_much_there_is, words
from tests.web.person import Send, chosen, fields, hidden, panel, row, save, save_live, undo_of


@pytest.fixture
def agent(agent: FlaskClient, anna: Session) -> FlaskClient:
    """A browser in which a support agent is signed in, where Anna is."""
    return agent


def anna_at_two_steps(session: Session) -> None:
    a_step(session, title="Set up payments", weight=60)
    a_step(session, OTHER, title="Invite your team", weight=40)
    a_person(session)


@pytest.fixture
def anna(build: Build, session: Session) -> Session:
    """Anna, with two steps before her."""
    build(anna_at_two_steps)
    return session


# What the page shows


def test_it_shows_who_it_is_and_where_they_stand(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done", actor=Actor(f"user:{ANNA}", "api"))
    anna.commit()
    page = agent.get("/people/anna").text
    assert "<h1>Anna</h1>" in page
    assert "anna@example.com, anna, joined" in words(page)
    assert "Progress 60" in figure(page, "progress")
    assert "Steps completed 1 of 2 1 done, 0 skipped" in figure(page, "completed")
    assert "Finished Not yet 40 points to go" in figure(page, "finished")
    assert "just now Set up payments" in figure(page, "activity")


def test_each_step_has_its_status_since_when_and_by_whom(agent: FlaskClient, anna: Session) -> None:
    make_account(anna, Role.MANAGER, "maya@example.com")
    a_save(anna, "in_progress", actor=MAYA)
    anna.commit()
    page = agent.get("/people/anna")
    assert "1 Set up payments 60 points, version 1 In progress just now The manager" in words(row(page))
    assert chosen(row(page)) == "in_progress"
    assert fields(page)[f"row_version.{STEP}"] == "2"
    assert "2 Invite your team 40 points, version 1 To do Never changed" in words(row(page, OTHER))


def test_a_step_that_a_release_reset_says_so_and_leads_to_the_receipt(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "in_progress")
    a_release(anna, title="In new words")
    anna.commit()
    page = agent.get("/people/anna")
    assert "Reset by the release of version 2" in row(page)
    assert f'href="/steps/{STEP}/releases/2"' in row(page)


def test_finished_people_say_since_when(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done")
    a_save(anna, "skipped", step_id=OTHER)
    anna.commit()
    assert "Nothing left to do" in figure(agent.get("/people/anna").text, "finished")
    a_save(anna, "todo", step_id=OTHER)
    anna.commit()
    assert "40 points open again" in figure(agent.get("/people/anna").text, "finished")


def test_withdrawn_steps_are_folded_away_but_readable(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done")
    releases.withdraw(anna, MAYA, STEP)
    anna.commit()
    page = agent.get("/people/anna").text
    folded = part(page, "withdrawn-steps").partition("</details>")[0]
    assert "1 withdrawn step" in words(folded)
    assert "Done" in words(folded)
    assert "Withdrawn by maya@example.com" in words(folded)
    assert "Progress 0" in figure(page, "progress")
    assert f"save-{STEP}" not in page


def test_without_a_live_step_it_leads_to_the_steps(client: FlaskClient, database: Database, session: Session) -> None:
    a_person(session)
    session.commit()
    sign_in_as(client, database, Role.SUPPORT)
    assert "No live steps" in client.get("/people/anna").text


# Who they are called, whatever it is

STRANGE = [
    "a/b",
    "/",
    "//",
    "..",
    "a/../b",
    ".",
    "a//b",
    "~x",
    "a b",
    "ünï/cødé",
    "🦊",
    "a?b#c&d=e",
    "a%2Fb",
    "\\",
    "'\"",
]
STRANGE += ["a\nb", "x/steps/y", HOSTILE, "a/", "?", "+", "אבא", " "]


@pytest.mark.parametrize("user_id", [one for one in STRANGE if one.strip()])
def test_any_id_has_a_page_and_can_be_saved(agent: FlaskClient, anna: Session, user_id: str) -> None:
    everybody.put(anna, HOST, user_id, name="Strange", email="s@example.com")
    anna.commit()
    link = re.search(r'<a href="(/people/[^"]+)">Strange', agent.get("/people?q=strange").text)
    assert link
    page = agent.get(unescape(link[1]))
    assert page.status_code == 200
    assert "<h1>Strange</h1>" in page.text
    action = re.search(rf'id="save-{STEP}" form="all-steps" formaction="([^"]+)"', page.text)
    assert action
    data = fields(page) | {f"status.{STEP}": "done"}
    assert agent.post(unescape(action[1]), data=data).status_code == 303
    assert status_of(anna, user_id) == "done"


@pytest.mark.parametrize("user_id", [one for one in STRANGE if one.strip()])
def test_a_page_of_any_id_is_come_back_to(app: Flask, agent: FlaskClient, anna: Session, user_id: str) -> None:
    everybody.put(anna, HOST, user_id, name="Strange", email="s@example.com")
    anna.commit()
    link = re.search(r'<a href="(/people/[^"]+)">Strange', agent.get("/people?q=strange").text)
    assert link
    address = unescape(link[1]) + "?history=0"
    page = agent.get(address)
    assert "<h1>Strange</h1>" in agent.get(hidden(page.text, "next")).text, "the theme leads elsewhere"
    signed_out = app.test_client()
    (wanted,) = parse_qs(urlsplit(signed_out.get(address).headers["Location"]).query)["next"]
    assert "<h1>Strange</h1>" in agent.get(wanted).text, "signing in leads elsewhere"
    action = re.search(rf'id="save-{STEP}" form="all-steps" formaction="([^"]+)"', page.text)
    assert action
    late = signed_out.post(unescape(action[1]), data=fields(page), headers={"Sec-Fetch-Site": "same-origin"})
    assert late.status_code == 401
    again = re.search(r'<form method="post" action="([^"]+)">', part(late.text, "signed-out"))
    assert again
    data = fields(page) | {f"status.{STEP}": "done"}
    assert agent.post(unescape(again[1]), data=data).status_code == 303
    assert status_of(anna, user_id) == "done"


def test_an_id_can_be_typed_as_it_is(agent: FlaskClient, anna: Session) -> None:
    everybody.put(anna, HOST, "team/anna.b", name="Anna B")
    anna.commit()
    assert "<h1>Anna B</h1>" in agent.get("/people/team/anna.b").text


@pytest.mark.parametrize("path", ["nobody", "~", "~!!", "~gA", "a/b/c", "%3Cscript%3E"])
def test_nobody_of_that_id_is_a_404_page(agent: FlaskClient, path: str) -> None:
    response = agent.get(f"/people/{path}")
    assert response.status_code == 404
    assert "<script>" not in main_of(response.text)


def test_whoever_is_not_there_can_be_searched_for(agent: FlaskClient) -> None:
    fault = part(agent.get("/people/anna & co").text, "fault")
    assert 'href="/people?q=anna+%26+co" data-testid="way-on">Search people</a>' in fault


def test_people_without_a_name_are_called_by_what_there_is(agent: FlaskClient, anna: Session) -> None:
    everybody.put(anna, HOST, "u-1", email="u1@example.com")
    everybody.put(anna, HOST, "u-2")
    anna.commit()
    assert "<h1>u1@example.com</h1>" in agent.get("/people/u-1").text
    assert "<h1>u-2</h1>" in agent.get("/people/u-2").text


def test_hostile_words_are_text(agent: FlaskClient, anna: Session) -> None:
    everybody.put(anna, HOST, ANNA, name=HOSTILE, email=HOSTILE)
    a_save(anna, "done", comment=HOSTILE)
    a_release(anna, title=HOSTILE)
    anna.commit()
    page = agent.get("/people/anna").text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5


# Saving a row


def test_a_save_leads_back_to_the_row_with_a_notice_and_undo(agent: FlaskClient, anna: Session) -> None:
    response = save(agent, 1, "in_progress", comment="  On the phone.  ")
    assert (response.status_code, response.location) == (303, f"/people/anna#step-row-{STEP}")
    page = agent.get("/people/anna")
    assert "Saved. Set up payments is now In progress." in page.text
    assert "Saved" in words(row(page))
    assert undo_of(page) == {"row_version": "2", "status": "todo", "comment": "", "undoes": "1"}
    assert "On the phone." in page.text
    assert "undoing" not in agent.get("/people/anna").text


def test_the_undo_of_one_person_is_not_offered_on_the_page_of_another(agent: FlaskClient, anna: Session) -> None:
    a_person(anna, BEN)
    anna.commit()
    save(agent, 1)
    assert "undoing" not in agent.get("/people/ben").text


def test_undo_is_a_checked_write_that_can_be_redone(agent: FlaskClient, anna: Session) -> None:
    saved = save_live(agent, 1, "done")
    undo = undo_of(saved)
    undone = save_live(agent, undo.pop("row_version"), **undo)
    assert status_of(anna) == "todo"
    assert "Undone" in words(row(undone))
    assert "Redo" in words(row(undone))
    redo = undo_of(undone)
    save_live(agent, redo.pop("row_version"), **redo)
    assert (status_of(anna), row_version_of(anna)) == ("done", 4)


def test_htmx_gets_the_row_the_figures_and_the_history(agent: FlaskClient, anna: Session) -> None:
    response = save_live(agent, 1, "done")
    assert response.status_code == 200
    assert response.text.lstrip().startswith('<li class="step-row"')
    assert "<html" not in response.text
    assert '<hx-partial hx-target="#key-figures" hx-swap="outerHTML">' in response.text
    assert "Progress 60" in figure(response.text, "progress")
    assert "1 → 2" in part(response.text, f"history-{STEP}-2")
    assert "Saved. Set up payments is now Done." in response.text
    assert hidden(row(response), f"row_version.{STEP}") == "2"


def test_saving_the_same_status_again_has_nothing_to_undo(agent: FlaskClient, anna: Session) -> None:
    response = save_live(agent, 1, "todo", comment="Asked again.")
    assert "Saved" in words(row(response))
    assert "undoing" not in response.text
    assert "unchanged" in part(response.text, f"history-{STEP}-2")


@pytest.mark.parametrize("send", [save, save_live], ids=["plain", "htmx"])
def test_a_row_in_which_nothing_was_changed_is_left_alone(agent: FlaskClient, anna: Session, send: Send) -> None:
    response = send(agent, 1, "todo", seen="todo")
    if response.status_code == 303:
        page = agent.get("/people/anna")
        assert "Nothing was changed, so nothing was saved." in page.text
    else:
        assert "Nothing changed" in words(row(response))
        assert "Nothing changed. Set up payments is still To do." in response.text
        assert "Saved" not in words(row(response))
    assert row_version_of(anna) == 1
    assert not anna.scalar(text("SELECT count(*) FROM user_step_events"))


@pytest.mark.parametrize("send", [save, save_live], ids=["plain", "htmx"])
def test_a_row_that_moved_and_in_which_nothing_was_changed_is_shown_as_it_is(
    agent: FlaskClient, anna: Session, send: Send
) -> None:
    a_save(anna, "done")
    anna.commit()
    response = send(agent, 1, "todo", seen="todo")
    if response.status_code == 303:
        response = agent.get("/people/anna")
        assert "Nothing was changed, so nothing was saved." in response.text
    else:
        assert "Nothing was saved. Set up payments is now Done." in response.text
    assert response.status_code == 200
    assert (chosen(row(response)), hidden(row(response), f"row_version.{STEP}")) == ("done", "2")
    assert "Nothing changed" not in words(row(response))
    assert row_version_of(anna) == 2
    assert not anna.scalar(text("SELECT count(*) FROM write_conflicts"))


def test_a_withdrawn_step_in_which_nothing_was_changed_says_only_that(agent: FlaskClient, anna: Session) -> None:
    releases.withdraw(anna, MAYA, STEP)
    anna.commit()
    response = save_live(agent, 1, "todo", seen="todo")
    assert response.status_code == 410
    assert "there is nothing to save." in words(panel(response))
    assert "What you chose" not in words(panel(response))
    assert "Nothing was saved" not in response.text


def test_a_status_that_is_none_is_refused_though_it_was_shown(agent: FlaskClient, anna: Session) -> None:
    assert save_live(agent, 1, "wrong", seen="wrong").status_code == 422


def test_what_is_written_is_kept_under_the_agents_name(agent: FlaskClient, anna: Session) -> None:
    save(agent, 1, "done", comment="Why not.")
    event = anna.execute(text("SELECT actor, source, comment FROM user_step_events")).one()
    assert tuple(event) == ("staff:support@staff.example", "web", "Why not.")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MANAGER])
def test_those_who_may_not_edit_see_no_controls_and_cannot_save(
    client: FlaskClient, database: Database, anna: Session, role: Role
) -> None:
    sign_in_as(client, database, role)
    page = client.get("/people/anna").text
    assert "To do" in page
    assert 'class="step-edit"' not in page
    assert "<select" not in page
    before = snapshot(anna)
    assert save(client, 1).status_code == 403
    assert save_live(client, 1).status_code == 403
    assert snapshot(anna)["user_steps"] == before["user_steps"]


def test_signed_out_nothing_is_saved_and_what_was_typed_is_kept(app: Flask, agent: FlaskClient, anna: Session) -> None:
    assert app.test_client().get("/people/anna").location == "/sign-in?next=/people/anna"
    form = fields(agent.get("/people/anna")) | {f"status.{STEP}": "done", f"comment.{STEP}": "Typed already."}
    agent.delete_cookie("staff_session")
    response = agent.post(f"/people/anna/steps/{STEP}", data=form)
    assert response.status_code == 401
    assert "Typed already." in response.text
    assert status_of(anna) == "todo"


def test_a_save_needs_its_token(agent: FlaskClient, anna: Session) -> None:
    response = agent.post(f"/people/anna/steps/{STEP}", data={"status": "done", "row_version": "1"})
    assert response.status_code == 400
    assert status_of(anna) == "todo"


# Bad input, by name

ROW_VERSIONS = [
    ("", "The row version is missing."),
    ("abc", "The row version must be a whole number from 1."),
    ("1.0", "The row version must be a whole number from 1."),
    ("١", "The row version must be a whole number from 1."),
    ("-1", "The row version must be a whole number from 1."),
    ("0", "The row version must be a whole number from 1."),
    ("9999999999", "The row version must be a whole number from 1."),
    ("9" * 5000, "The row version must be a whole number from 1."),
    ("7", "The row version is 7, but the newest is 1."),
]


@pytest.mark.parametrize(("row_version", "reason"), ROW_VERSIONS, ids=[one[0][:12] or "none" for one in ROW_VERSIONS])
@pytest.mark.parametrize("by", [save, save_live])
def test_a_row_version_that_cannot_be_is_refused_with_the_reason(
    agent: FlaskClient, anna: Session, by: Send, row_version: str, reason: str
) -> None:
    before = snapshot(anna)
    response = by(agent, row_version, "skipped", comment="Typed.")
    assert response.status_code == 422
    assert f"{reason} Nothing was saved." in words(row(response))
    assert chosen(row(response)) == "skipped"
    assert 'value="Typed."' in row(response)
    assert ("<html" in response.text) is (by is save)
    anna.rollback()
    assert snapshot(anna) == before


@pytest.mark.parametrize("status", ["", "finished", "DONE", HOSTILE])
def test_an_unknown_status_is_refused_naming_the_four(agent: FlaskClient, anna: Session, status: str) -> None:
    response = save(agent, 1, status, comment="Typed.")
    assert response.status_code == 422
    assert "must be one of To do, In progress, Done, Skipped." in row(response)
    assert 'value="Typed."' in row(response)
    assert "<script>alert" not in response.text
    assert (status_of(anna), row_version_of(anna)) == ("todo", 1)


def test_a_comment_that_is_too_long_is_refused_and_kept(agent: FlaskClient, anna: Session) -> None:
    response = save(agent, 1, "done", comment="x" * 2001)
    assert response.status_code == 422
    assert "The comment must be at most 2,000 characters, not 2,001." in row(response)
    assert "x" * 2001 in row(response)
    assert row_version_of(anna) == 1


@pytest.mark.parametrize("resolve", ["", "keep", "edit", "mine", "show"])
@pytest.mark.parametrize("where", [{"user_id": "nobody"}, {"step_id": "no-such-step"}], ids=["person", "step"])
def test_an_unknown_person_or_step_is_404(
    agent: FlaskClient, anna: Session, where: dict[str, str], resolve: str
) -> None:
    assert save_live(agent, 1, resolve=resolve, seen="todo", **where).status_code == 404
    if resolve != "keep":
        assert save(agent, 1, resolve=resolve, seen="todo", **where).status_code == 404


def test_a_draft_is_not_a_step_of_anybody_yet(agent: FlaskClient, anna: Session) -> None:
    a_step(anna, "not-yet", released=False)
    anna.commit()
    assert save(agent, 1, step_id="not-yet").status_code == 404


def test_the_address_of_a_row_leads_to_the_page(agent: FlaskClient, anna: Session) -> None:
    response = agent.get(f"/people/anna/steps/{STEP}")
    assert (response.status_code, response.location) == (303, f"/people/anna#step-row-{STEP}")


# History


def entries(page: str) -> list[str]:
    """The history, newest first, as one reads it; without the time."""
    table = part(page, "history").partition("</table>")[0]
    return [words(one.partition("</td>")[2]) for one in table.split("<tr ")[1:]]


def test_every_change_explains_itself(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "in_progress", actor=Actor(f"user:{ANNA}", "api"))
    a_release(anna, title="Version two")
    releases.roll_back(anna, MAYA, STEP, note="It was down.")
    a_release(anna, policy=Policy(in_progress=True))
    releases.withdraw(anna, MAYA, STEP)
    releases.restore(anna, MAYA, STEP)
    a_save(anna, "skipped", comment="No need.")
    anna.commit()
    page = agent.get("/people/anna").text
    assert entries(page)[-1].endswith("Anna, API 1 → 2")
    texts = "\n".join(entries(page))
    for expected in (
        "In progress to To do Release Reset by the release of version 2 2 → 3",
        "Given back by the rollback to version 1 It was down. 3 → 4",
        "In progress kept Release Kept by the release of version 3 4 → 5",
        "Release The step was withdrawn 5 → 6",
        "Release The step was restored, as version 3 6 → 7",
        "host, API No need. 7 → 8",
    ):
        assert expected in texts
    assert f'href="/steps/{STEP}/releases/3"' in page


def test_a_release_that_found_nothing_to_reset_says_so(agent: FlaskClient, anna: Session) -> None:
    a_release(anna, title="Version two")
    anna.commit()
    assert "Untouched by the release of version 2" in agent.get("/people/anna").text


def test_history_begins_when_the_person_joined(agent: FlaskClient, anna: Session) -> None:
    a_release(anna, title="Before Ben")
    anna.commit()
    a_person(anna, BEN)
    anna.commit()
    assert "Nothing has happened yet" in agent.get("/people/ben").text


def test_a_step_that_comes_while_its_page_is_read_is_called_by_its_id(
    agent: FlaskClient, anna: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline = history.timeline

    def late(*given: Any, **chosen: Any) -> history.Timeline:
        a_step(anna, "third-step")
        a_save(anna, "done", ANNA, "third-step")
        anna.commit()
        return timeline(*given, **chosen)

    monkeypatch.setattr(history, "timeline", late)
    assert "third-step" in words(part(agent.get("/people/anna").text, "history"))


def test_history_has_pages(agent: FlaskClient, anna: Session) -> None:
    for turn in range(HISTORY_LIMIT + 5):
        a_save(anna, "done" if turn % 2 else "todo", at=anna.scalar(text("SELECT now()")) + timedelta(seconds=turn))
    anna.commit()
    first = agent.get("/people/anna").text
    assert f"Newest {HISTORY_LIMIT} of 25" in first
    assert f'href="/people/anna?history={HISTORY_LIMIT}#history"' in first
    second = agent.get(f"/people/anna?history={HISTORY_LIMIT}").text
    assert len(entries(second)) == 5
    assert "5 older, of 25" in second
    assert 'href="/people/anna#history"' in second


@pytest.mark.parametrize("start", ["x", "-5", "1e9", "99999999999999999999", "9999"])
def test_a_page_of_history_that_is_not_there_is_no_fault(agent: FlaskClient, anna: Session, start: str) -> None:
    a_save(anna)
    anna.commit()
    response = agent.get("/people/anna", query_string={"history": start})
    assert response.status_code == 200
    assert ("There is no history this far back" in response.text) is (start == "9999")


# Speed


def test_it_takes_as_many_queries_with_more_of_everything(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "in_progress")
    a_release(anna, title="Reset")
    a_save(anna, "done", step_id=OTHER, actor=MAYA)
    anna.commit()

    def more() -> None:
        people(anna, 20)
        for number in range(5):
            a_step(anna, f"step-{number}")
            a_save(anna, "in_progress", step_id=f"step-{number}", actor=Actor(f"staff:{number}@example.com"))
            a_release(anna, f"step-{number}")
        anna.commit()

    assert same_however_much_there_is(agent, "/people/anna", more) <= 9


def test_a_save_by_htmx_takes_few_queries(agent: FlaskClient, anna: Session) -> None:
    agent.get("/people/anna")
    with asked_of(agent) as seen:
        assert save_live(agent, 1).status_code == 200
    of_the_token = 4
    assert len(seen) <= 10 + of_the_token


def test_the_page_is_the_same_when_htmx_restores_it(agent: FlaskClient, anna: Session) -> None:
    page = agent.get("/people/anna", headers=HTMX | {"HX-History-Restore-Request": "true"}).text
    assert page.startswith("<!doctype html>")
