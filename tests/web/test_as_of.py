"""A person's page as of a moment of the past: what stood there then, and nothing in it to be changed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import releases
from dashboard.staff.permissions import Role
from tests.factories import HOST, MAYA, OTHER, STEP, a_draft, a_person, a_save, a_step, everybody, people
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, figure, main_of, part, same_however_much_there_is, words
from tests.web.person import row


def day(number: int) -> datetime:
    return datetime(2026, 3, number, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def anna(session: Session) -> Session:
    """Anna joined on 1 March. Payments: in progress on the 2nd, reset on the 4th, withdrawn on the 6th."""
    for step_id, weight, title in ((STEP, 60, "Set up payments"), (OTHER, 40, "Invite your team")):
        a_step(session, step_id, weight=weight, title=title, released=False)
        releases.release(session, MAYA, step_id, at=day(1) - timedelta(days=9))
    a_person(session)
    session.execute(text("UPDATE onboarding_users SET created_at = :at"), {"at": day(1)})
    a_save(session, "in_progress", comment="On the phone.", at=day(2))
    a_save(session, "done", step_id=OTHER, at=day(3))
    a_draft(session, title="Get paid", weight=10)
    releases.release(session, MAYA, STEP, note="A new provider.", at=day(4))
    a_save(session, "done", at=day(5))
    releases.withdraw(session, MAYA, STEP, note="It has closed.", at=day(6))
    session.commit()
    return session


def test_it_shows_what_stood_there_then(agent: FlaskClient) -> None:
    page = agent.get("/people/anna?as_of=2026-03-03T12:00")
    assert page.status_code == 200
    assert "As it was on 3 Mar 2026, 12:00 UTC. Nothing here can be changed. Back to now" in words(page.text)
    assert "Progress 40" in figure(page.text, "progress")
    assert "Steps completed 1 of 2" in figure(page.text, "completed")
    assert "3 Mar" in figure(page.text, "activity")
    assert "1 Set up payments 60 points, version 1 In progress" in words(row(page))
    assert "Done" in words(row(page, OTHER))


def test_a_reset_says_by_which_release_when_by_whom_and_why(agent: FlaskClient) -> None:
    told = words(row(agent.get("/people/anna?as_of=2026-03-04T12:00")))
    assert "1 Get paid 10 points, version 2 To do" in told
    # the year too, once it is another one
    assert re.search(r"Reset by the release of version 2 4 Mar( 2026)?, by maya@example\.com A new provider\.", told)


def test_a_step_that_was_withdrawn_then_is_folded_away(agent: FlaskClient) -> None:
    page = agent.get("/people/anna?as_of=2026-03-07T12:00").text
    folded = words(part(page, "withdrawn-steps"))
    assert "Get paid" in folded
    assert "It has closed." in folded
    assert "1 withdrawn step" not in agent.get("/people/anna?as_of=2026-03-05T12:00").text


def test_nothing_in_it_can_be_changed(agent: FlaskClient) -> None:
    page = agent.get("/people/anna?as_of=2026-03-03T12:00").text
    main = main_of(page)
    for control in ("<select", "all-steps", "save-all", "hx-get", "hx-post", 'name="known"', "/erase", "export.json"):
        assert control not in main


def test_the_history_ends_there_too(agent: FlaskClient, anna: Session) -> None:
    page = agent.get("/people/anna?as_of=2026-03-03T12:00").text
    found = re.findall(r'data-testid="history-([^"]+)"', page)
    assert found == [f"{OTHER}-2", f"{STEP}-2"]
    for turn in range(25):
        a_save(anna, "todo", step_id=OTHER, at=day(8) + timedelta(minutes=turn))
    anna.commit()
    page = agent.get("/people/anna?as_of=2026-03-09").text
    older = re.findall(r'href="(/people/anna\?history=20[^"]*)#history"', page)[0].replace("&amp;", "&")
    assert "As it was on 9 Mar 2026, 00:00 UTC" in words(agent.get(older).text)


@pytest.mark.parametrize(
    "typed",
    ["2026-03-03T12:00", "2026-03-03T12:00:00", "2026-03-03 12:00", "2026-03-03T12:00Z", "2026-03-03T14:00%2B02:00"],
)
def test_a_time_is_in_utc_unless_it_says_otherwise(agent: FlaskClient, typed: str) -> None:
    assert "As it was on 3 Mar 2026, 12:00 UTC" in words(agent.get(f"/people/anna?as_of={typed}").text)


def test_the_field_shows_what_was_asked_for(agent: FlaskClient) -> None:
    field = re.search(r'<input[^>]*name="as_of"[^>]*>', agent.get("/people/anna?as_of=2026-03-03T12:00").text)
    assert field
    assert 'type="date"' in field[0]
    assert 'value="2026-03-03"' in field[0]


def test_the_first_day_is_the_one_that_they_saw_begin(agent: FlaskClient, anna: Session) -> None:
    for joined, first in ((day(1), "2026-03-02"), (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01")):
        anna.execute(text("UPDATE onboarding_users SET created_at = :at"), {"at": joined})
        anna.commit()
        assert f'min="{first}"' in agent.get("/people/anna").text
        assert agent.get(f"/people/anna?as_of={first}").status_code == 200


@pytest.mark.parametrize("typed", ["", " "])
def test_no_day_is_asked_for_at_the_field(agent: FlaskClient, typed: str) -> None:
    page = agent.get("/people/anna", query_string={"as_of": typed})
    assert page.status_code == 422
    assert "Choose a day." in words(part(page.text, "as_of-error").partition("</p>")[0])
    assert "open" in page.text.partition('data-testid="earlier"')[2].partition(">")[0]
    assert page.text.count(" autofocus") == 1
    assert "all-steps" in page.text


WRONG = [
    ("2026-02-30T10:00", "2026-02-30T10:00 is not a valid date and time."),
    ("yesterday", "yesterday is not a valid date and time."),
    ("0001-01-01T00:00+14:00", "is not a valid date and time."),
    ("2026-03-01T11:59", "2026-03-01T11:59 is before they joined."),
    ("0001-01-01T00:00", "0001-01-01T00:00 is before they joined."),
    ("9999-12-31T23:59", "9999-12-31T23:59 is in the future."),
    (HOSTILE, "is not a valid date and time."),
    ("2" * 5000, "is not a valid date and time."),
]


@pytest.mark.parametrize(("typed", "reason"), WRONG, ids=[one[0][:20] for one in WRONG])
def test_a_time_that_cannot_be_shown_is_said_at_the_field_and_the_page_is_there(
    agent: FlaskClient, typed: str, reason: str
) -> None:
    page = agent.get("/people/anna", query_string={"as_of": typed})
    assert page.status_code == 422
    assert reason in words(part(page.text, "as_of-error").partition("</p>")[0])
    assert 'aria-describedby="as_of-error as_of-hint"' in page.text
    assert "all-steps" in page.text
    assert "<script>alert" not in page.text
    assert "open" in page.text.partition('data-testid="earlier"')[2].partition(">")[0]


def test_nobody_has_no_past(agent: FlaskClient) -> None:
    assert agent.get("/people/nobody?as_of=2026-03-03T12:00").status_code == 404


def test_a_viewer_may_look_back_too(client: FlaskClient, database: Database, anna: Session) -> None:
    sign_in_as(client, database, Role.VIEWER)
    assert "Progress 40" in figure(client.get("/people/anna?as_of=2026-03-03T12:00").text, "progress")


def test_it_takes_as_many_queries_with_more_of_everything(agent: FlaskClient, anna: Session) -> None:
    def more() -> None:
        people(anna, 20)
        everybody.put(anna, HOST, "other", name="Other")
        for number in range(4):
            a_step(anna, f"step-{number}", released=False)
            releases.release(anna, MAYA, f"step-{number}", at=day(2))
            a_save(anna, "in_progress", step_id=f"step-{number}", at=day(3))
        anna.commit()

    assert same_however_much_there_is(agent, "/people/anna?as_of=2026-03-05T12:00", more) <= 12
