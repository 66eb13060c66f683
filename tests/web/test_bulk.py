"""Changing many people: from the list's form to the preview, the run and what came of it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.onboarding import bulk_changes, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.bulk_changes import BulkChange
from dashboard.staff.permissions import Role
from tests.conftest import Build
from tests.factories import ANNA, BEN, CLEO, MAYA, OTHER, STEP, a_person, a_save, a_step, an_erasure, people, status_of
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, HTMX, form_of, part, send, words


def three_people(session: Session) -> None:
    a_step(session, title="Set up payments")
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    a_save(session, "done")


@pytest.fixture
def three(build: Build, session: Session) -> Session:
    """Anna has done the step, Ben and Cleo have not started."""
    build(three_people)
    return session


def prepare(client: FlaskClient, *user_ids: str, **fields: str) -> TestResponse:
    """The list's form sent for these people."""
    said: dict[str, Any] = {"step": STEP, "status": "done", "comment": ""} | fields
    return send(client, "/bulk-changes", said | {"user_id": list(user_ids)})


def figure(page: str, testid: str) -> str:
    return words(re.sub(r"^[^>]*>", "", part(page, testid)).partition("</dd>")[0])


def said(answer: str) -> str:
    """What htmx puts into the live region."""
    return re.findall(r'<hx-partial hx-target="#said" hx-swap="innerHTML">(.*?)</hx-partial>', answer)[0]


def token_of(client: FlaskClient) -> str:
    return re.findall(r'"X-CSRFToken": "([^"]+)"', client.get("/people").text)[0]


def test_the_list_offers_it_to_those_who_may(agent: FlaskClient, three: Session) -> None:
    page = agent.get(f"/people?step={STEP}&status=todo").text
    form = part(page, "people-form")
    assert 'method="post" action="/bulk-changes"' in agent.get("/people").text
    assert f'name="filter_step" value="{STEP}"' in form
    assert f'name="user_id" value="{BEN}" aria-label="Select Ben"' in form


def test_only_steps_that_are_live_can_be_set(agent: FlaskClient, three: Session) -> None:
    a_step(three, OTHER)
    releases.withdraw(three, MAYA, STEP)
    three.commit()
    form = part(agent.get("/people").text, "people-form")
    assert f'<option value="{OTHER}"' in form
    assert f'<option value="{STEP}"' not in form
    releases.withdraw(three, MAYA, OTHER)
    three.commit()
    assert 'data-testid="people-form"' not in agent.get("/people").text


def test_a_viewer_sees_no_boxes_and_is_refused(client: FlaskClient, database: Database, three: Session) -> None:
    sign_in_as(client, database, Role.VIEWER)
    assert 'type="checkbox"' not in client.get("/people").text
    assert prepare(client, BEN).status_code == 403
    assert client.get("/bulk-changes/1").status_code == 403


def test_the_preview_says_what_would_change_and_changes_nothing(agent: FlaskClient, three: Session) -> None:
    answer = prepare(agent, ANNA, BEN, comment="By phone")
    assert answer.status_code == 303
    page = agent.get(answer.location).text
    assert figure(page, "bulk-would-change") == "Would change 1 of 2"
    assert figure(page, "bulk-already") == "No change needed 1"
    assert figure(page, "bulk-reach") == "Reach 100 % 1"
    assert "By phone" in page
    assert "Set “Set up payments” to Done for 1 person" in page
    assert status_of(three, BEN) == "todo"


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (("nobody",), "1 person you selected is no longer here."),
        (("x", "y"), "2 people you selected are no longer here."),
    ],
)
def test_how_many_were_erased_since_the_list_was_opened_is_said(
    agent: FlaskClient, three: Session, gone: tuple[str, ...], told: str
) -> None:
    page = agent.get(prepare(agent, BEN, *gone).location).text
    assert told in words(page)
    assert figure(page, "bulk-would-change") == "Would change 1 of 1"
    assert "no longer here" not in agent.get(prepare(agent, BEN).location).text
    assert "no longer here" not in agent.get(prepare(agent, "x", everybody="1").location).text


def row(page: str, user_id: str) -> str:
    return words(re.sub(r"^[^>]*>", "", part(page, f"member-{user_id}")).partition("</tr>")[0])


def heads(page: str) -> str:
    return words(part(page, "bulk-members").partition("<thead>")[2].partition("</thead>")[0])


def test_the_preview_shows_what_each_would_be(agent: FlaskClient, three: Session) -> None:
    a_person(three, "dora")
    three.commit()
    address = prepare(agent, ANNA, BEN, CLEO, "dora").location
    a_save(three, "in_progress", CLEO)
    erased = an_erasure(three, "dora")
    three.commit()
    page = agent.get(address).text
    assert "Person Now Would be Since" in heads(page)
    for user_id, told in (
        (ANNA, "Done no change"),
        (BEN, "To do Done"),
        (CLEO, "In progress left as is: changed since"),
        (erased, "No such person"),
    ):
        assert told in row(page, user_id)
    send(agent, f"{address}/run", {})
    page = agent.get(f"{address}?outcome=all").text
    assert "Person When previewed Now Since" in heads(page)
    # on a phone, one status where both are the same
    assert 'class="was same"' in part(page, f"member-{ANNA}").partition("</tr>")[0]
    assert "To do Done" in row(page, BEN)


def test_its_people_are_paged_both_ways_with_their_number(agent: FlaskClient, three: Session) -> None:
    people(three, 60)
    three.commit()
    page = agent.get(prepare(agent, everybody="1", filter_q="user").location).text
    seen = []
    for foot in ("First 25 of 60, by id", "25 of 60, by id", "10 of 60, by id"):
        assert foot in page
        seen.append(re.findall('data-testid="member-([^"]+)"', page))
        if following := re.findall(r'rel="next" href="([^"]+)"', page):
            page = agent.get(unescape(following[0])).text
    assert [len(one) for one in seen] == [25, 25, 10]
    for expected in (seen[1], seen[0]):
        page = agent.get(unescape(re.findall(r'rel="prev" href="([^"]+)"', page)[0])).text
        assert re.findall('data-testid="member-([^"]+)"', page) == expected
    assert "First 25 of 60, by id" in page
    assert 'rel="prev"' not in page


def test_a_page_of_one_outcome_has_its_own_number(agent: FlaskClient, three: Session) -> None:
    ids = people(three, 30)
    three.commit()
    address = prepare(agent, *ids).location
    for user_id in ids[:27]:
        a_save(three, "done", user_id)
    three.commit()
    send(agent, f"{address}/run", {})
    page = agent.get(f"{address}?outcome=same").text
    assert "First 25 of 27, by id" in page
    last = agent.get(unescape(re.findall(r'rel="next" href="([^"]+)"', page)[0])).text
    assert "2 of 27, by id" in last
    assert f"member-{ids[0]}" in agent.get(unescape(re.findall(r'rel="prev" href="([^"]+)"', last)[0])).text


@pytest.mark.parametrize("htmx", [True, False])
def test_a_finished_change_leads_back_and_is_in_the_past(agent: FlaskClient, three: Session, htmx: bool) -> None:
    address = prepare(agent, ANNA, BEN, filter_finished="no").location
    preview = agent.get(address).text
    assert "<h1>Set “Set up payments” to Done</h1>" in preview
    assert '<a href="/people?finished=no">People</a>' in preview
    run = unescape(re.findall(r'action="(/bulk-changes/[^"]+)"', preview)[0])
    if htmx:
        page = agent.post(run, headers=HTMX | {"X-CSRFToken": token_of(agent)}).text
        assert "“Set up payments” was set to Done for 1 person</hx-partial>" in page
        assert "<title>“Set up payments” was set to Done for 1 person - Onboarding</title>" in page
    else:
        page = agent.get(send(agent, run, {}).location).text
        assert "<h1>“Set up payments” was set to Done for 1 person</h1>" in page
        assert '<a href="/people?finished=no">People</a>' in page
    assert 'href="/people?finished=no" data-testid="bulk-back"' in page


def test_the_way_back_leads_to_the_list_that_they_were_chosen_on(agent: FlaskClient, three: Session) -> None:
    address = prepare(agent, BEN, filter_q="ben & co", filter_step=STEP).location
    preview = agent.get(address).text
    assert f'<a class="btn" href="/people?q=ben+%26+co&amp;step={STEP}">Cancel</a>' in preview
    assert '<a class="btn" href="/people">Cancel</a>' in agent.get(prepare(agent, BEN).location).text
    people(three, 30)
    three.commit()
    many = agent.get(prepare(agent, everybody="1", filter_finished="no").location).text
    following = unescape(re.findall(r'rel="next" href="([^"]+)"', many)[0])
    assert 'href="/people?finished=no">Cancel</a>' in agent.get(following).text


def test_without_htmx_it_runs_whole_and_shows_what_came_of_it(
    agent: FlaskClient, three: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 1)
    address = prepare(agent, ANNA, BEN, CLEO).location
    a_save(three, "skipped", CLEO)
    three.commit()
    assert send(agent, f"{address}/run", {}).location == address
    page = agent.get(address).text
    assert [figure(page, f"bulk-{name}") for name in ("changed", "same", "moved", "gone")] == [
        "Changed 1",
        "No change needed 1",
        "Changed in the meantime 1",
        "Not found 0",
    ]
    assert "1 person changed after you previewed this" in page
    moved = part(page, f"member-{CLEO}").partition("</tr>")[0]
    assert "To do" in moved
    assert "Skipped" in moved
    assert f"member-{BEN}" not in page
    assert f"member-{BEN}" in agent.get(f"{address}?outcome=changed").text
    every = unescape(re.findall(r'href="([^"]+)"[^>]*>All <', part(agent.get(address).text, "bulk-members"))[0])
    assert all(f"member-{one}" in agent.get(every).text for one in (ANNA, BEN, CLEO))


def test_without_htmx_a_batch_that_fails_leads_to_how_far_it_is(
    agent: FlaskClient, three: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = prepare(agent, ANNA, BEN, CLEO).location
    carry_on, turns = bulk_changes.carry_on, iter(range(9))

    def fails_the_second_time(session: Session, actor: Actor, bulk_id: int) -> BulkChange:
        if next(turns) == 1:
            session.execute(text("SET LOCAL statement_timeout = 1"))
            session.execute(text("SELECT pg_sleep(1)"))
        return carry_on(session, actor, bulk_id)

    monkeypatch.setattr(bulk_changes, "BATCH", 1)
    monkeypatch.setattr(bulk_changes, "carry_on", fails_the_second_time)
    stopped = send(agent, f"{address}/run", {})
    assert (stopped.status_code, stopped.location) == (303, address)
    page = agent.get(address).text
    told = words(part(page, "flash").partition("</p>")[0])
    assert told.endswith("This stopped after 1 of 3 people. This took too long. Changes made so far stay.")
    assert "1 of 3 people 33 % Continue" in words(part(page, "bulk-running").partition("</form>")[0])
    assert send(agent, f"{address}/run", {}).location == address
    assert [status_of(three, one) for one in (BEN, CLEO)] == ["done", "done"]
    # where nothing was carried out before, the answer is the fault
    turns = iter([1])
    assert send(agent, f"{prepare(agent, BEN).location}/run", {}).status_code == 503


def test_htmx_runs_a_batch_at_a_time_and_asks_again_by_itself(
    agent: FlaskClient, three: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 2)
    address = prepare(agent, ANNA, BEN, CLEO).location
    headers = HTMX | {"X-CSRFToken": token_of(agent)}
    first = agent.post(f"{address}/run", headers=headers).text
    assert "2 of 3 people" in words(part(first, "bulk-running"))
    assert f'hx-post="{address}/run" hx-trigger="load' in first
    # whoever opens the page meanwhile can go on with it
    assert "2 of 3 people" in words(part(agent.get(address).text, "bulk-running"))
    last = agent.post(f"{address}/run", headers=headers).text
    assert "bulk-running" not in last
    assert figure(last, "bulk-changed") == "Changed 2"
    # in words beside it, outside of what is swapped
    assert [said(page) for page in (first, last)] == [
        "2 of 3 people",
        "Done. 2 people changed, 0 changed in the meantime.",
    ]


def test_only_the_answer_to_the_button_asks_for_the_focus(agent: FlaskClient, three: Session) -> None:
    address = prepare(agent, ANNA, BEN).location
    answer = agent.post(f"{address}/run", headers=HTMX | {"X-CSRFToken": token_of(agent)})
    assert "data-focus" in answer.text
    for query in ("", "?outcome=changed", "?outcome=all"):
        page = agent.get(address + query).text
        assert "data-focus" not in page
        assert '<p class="sr" id="said" role="status"></p>' in page


def test_those_who_moved_are_previewed_again_as_they_are_now(agent: FlaskClient, three: Session) -> None:
    address = prepare(agent, BEN, CLEO).location
    a_save(three, "skipped", CLEO)
    three.commit()
    send(agent, f"{address}/run", {})
    again = send(agent, f"{address}/again", {}).location
    page = agent.get(again).text
    assert figure(page, "bulk-would-change") == "Would change 1 of 1"
    assert "Skipped" in part(page, f"member-{CLEO}").partition("</tr>")[0]
    send(agent, f"{again}/run", {})
    assert status_of(three, CLEO) == "done"
    assert send(agent, f"{again}/again", {}).status_code == 409


def test_what_is_set_can_be_changed_for_the_same_people(agent: FlaskClient, three: Session) -> None:
    address = prepare(agent, BEN, CLEO, comment="By phone", filter_q="user").location
    preview = agent.get(address)
    sent = form_of(preview, "bulk-instead")
    assert sent["comment"] == "By phone"
    assert '<option value="done" selected>' in part(preview.text, "bulk-instead")
    way, query = address.partition("?")[::2]
    other = agent.post(f"{way}/instead?{query}", data=sent | {"status": "skipped", "comment": "By letter"})
    assert other.status_code == 303
    assert other.location != address
    assert other.location.endswith("?back=q%3Duser"), "the way back to the list comes along"
    page = agent.get(other.location).text
    assert "to Skipped" in words(part(page, "bulk-confirm"))
    assert "By letter" in page
    assert figure(page, "bulk-would-change") == "Would change 2 of 2"
    for user_id in (BEN, CLEO):
        assert f'data-testid="member-{user_id}"' in page
    assert status_of(three, BEN) == "todo", "nothing is changed yet"


def test_everybody_comes_along_when_what_is_set_is_changed(agent: FlaskClient, three: Session) -> None:
    people(three, 1_100)
    three.commit()
    way = prepare(agent, everybody="1", filter_q="user").location.partition("?")[0]
    other = send(agent, f"{way}/instead", {"status": "skipped", "comment": ""}).location
    of_all = [re.sub(r"<[^>]*>", "", figure(agent.get(one).text, "bulk-would-change")) for one in (way, other)]
    assert of_all[0].partition(" of ")[2] == of_all[1].partition(" of ")[2]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"comment": "x" * 2001}, "The comment must be at most 2,000 characters"),
        ({"status": "perhaps"}, "The status must"),
    ],
)
def test_what_cannot_be_set_is_said_and_stays_typed(
    agent: FlaskClient, three: Session, wrong: dict[str, str], said: str
) -> None:
    address = prepare(agent, BEN).location
    answer = send(agent, f"{address}/instead", {"status": "skipped", "comment": "By letter"} | wrong)
    assert answer.status_code == 422
    assert said in words(answer.text)
    assert form_of(answer, "bulk-instead")["comment"] == wrong.get("comment", "By letter")
    assert "data-unsaved" in part(answer.text, "bulk-instead")
    assert len([tag for tag in re.findall(r"<[^>]+>", answer.text) if " autofocus" in tag]) == 1


def test_all_who_match_a_filter_are_chosen_whatever_page_they_are_on(agent: FlaskClient, three: Session) -> None:
    people(three, 40)
    three.commit()
    answer = prepare(agent, ANNA, everybody="1", filter_q="user", filter_step=STEP, filter_status="todo")
    assert figure(agent.get(answer.location).text, "bulk-would-change") == "Would change 40 of 40"


@pytest.mark.parametrize(
    ("chosen", "fields", "said"),
    [
        ([], {}, "People are required: select at least one."),
        ([BEN], {"status": "finished"}, "The status must be one of"),
        (["nobody"], {}, "People are no longer here."),
        ([BEN], {"comment": "x" * 2001}, "The comment must be at most 2,000 characters, not 2,001."),
        ([BEN], {"step": "nowhere"}, "The step is not on the checklist."),
        ([BEN], {"step": ""}, "The step is not on the checklist."),
        ([], {"everybody": "1", "filter_idle": "never"}, "The days without activity must be a whole number of days"),
        ([f"nobody-{number}" for number in range(10_001)], {}, "People are limited to 10,000 at once"),
    ],
)
def test_what_cannot_be_done_is_said_with_everything_still_there(
    agent: FlaskClient, three: Session, chosen: list[str], fields: dict[str, str], said: str
) -> None:
    answer = prepare(agent, *chosen, **({"comment": "By phone"} | fields))
    assert answer.status_code == 422
    assert said in words(part(answer.text, "bulk-problems"))
    for user_id in chosen[:3]:
        assert f'name="user_id" value="{user_id}"' in answer.text
    assert fields.get("comment", "By phone") in answer.text


@pytest.mark.parametrize(
    ("wrong", "focused"),
    [
        ({"status": "perhaps"}, 'id="status"'),
        ({"comment": "c" * 2001}, 'id="comment"'),
        ({"status": "perhaps", "comment": "c" * 2001}, 'id="status"'),
        ({}, 'id="bulk-problems"'),
    ],
)
def test_the_first_thing_that_is_wrong_has_the_focus(
    agent: FlaskClient, three: Session, wrong: dict[str, str], focused: str
) -> None:
    answer = prepare(agent, *([BEN] if wrong else []), **wrong)
    assert answer.status_code == 422
    tags = [tag for tag in re.findall(r"<[^>]+>", answer.text) if " autofocus" in tag]
    assert len(tags) == 1
    assert focused in tags[0]


def test_a_step_withdrawn_meanwhile_is_said_and_nobody_is_changed(agent: FlaskClient, three: Session) -> None:
    address = prepare(agent, BEN).location
    releases.withdraw(three, MAYA, STEP)
    three.commit()
    for headers in ({}, HTMX):
        answer = agent.post(f"{address}/run", headers=headers | {"X-CSRFToken": token_of(agent)})
        assert answer.status_code == 410
        assert "was withdrawn" in answer.text
    assert status_of(three, BEN) == "todo"
    assert "The step was withdrawn in the meantime." in prepare(agent, BEN).text


def test_a_step_withdrawn_in_the_middle_says_who_had_their_turn_and_leads_back(
    agent: FlaskClient, three: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 2)
    address = prepare(agent, ANNA, BEN, CLEO).location
    headers = HTMX | {"X-CSRFToken": token_of(agent)}
    agent.post(f"{address}/run", headers=headers)
    releases.withdraw(three, MAYA, STEP)
    three.commit()
    answer = agent.post(f"{address}/run", headers=headers)
    assert answer.status_code == 410
    told = words(part(answer.text, "bulk-withdrawn").partition("</p>")[0])
    assert "Set up payments was withdrawn." in told
    assert told.endswith("2 people were already processed.")
    assert 'href="/people" data-testid="bulk-back"' in answer.text
    assert "bulk-running" not in answer.text


@pytest.mark.parametrize("address", ["/bulk-changes/0", "/bulk-changes/99", "/bulk-changes/99999999999"])
def test_a_change_that_is_not_there_is_not_found(agent: FlaskClient, three: Session, address: str) -> None:
    assert agent.get(address).status_code == 404
    assert send(agent, f"{address}/run", {}).status_code == 404
    assert send(agent, f"{address}/again", {}).status_code == 404
    assert agent.get(f"{address}/people.csv").status_code == 404


def test_broken_pages_of_its_people_and_hostile_text(agent: FlaskClient, three: Session) -> None:
    a_person(three, HOSTILE)
    three.commit()
    address = prepare(agent, HOSTILE, comment=HOSTILE).location
    assert agent.get(address, query_string={"cursor": "x" * 201}).status_code == 422
    assert agent.get(address, query_string={"outcome": "x"}).status_code == 200
    assert "<script>alert" not in agent.get(address).text


def test_the_file_tells_what_came_of_each(agent: FlaskClient, three: Session) -> None:
    address = prepare(agent, ANNA, BEN, CLEO).location
    erased = an_erasure(three, CLEO)
    three.commit()
    send(agent, f"{address}/run", {})
    assert agent.get(f"{address}/people.csv").text.splitlines() == [
        "user_id,name,email,previewed,now,outcome",
        "anna,Anna,anna@example.com,done,done,same",
        "ben,Ben,ben@example.com,todo,done,changed",
        f"{erased},,,todo,,gone",
    ]


def test_a_refused_change_has_an_address_to_come_back_to_from_another_theme(agent: FlaskClient) -> None:
    """Its own takes a form alone."""
    sent = {"csrf_token": token_of(agent)}
    refused = agent.post("/bulk-changes", data=sent, headers={"Referer": "http://localhost/people?q=a"})
    assert refused.status_code == 422
    assert '<input type="hidden" name="next" value="/people?q=a">' in refused.text
