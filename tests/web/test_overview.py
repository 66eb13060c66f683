"""The overview: key figures, funnel, histogram, newest releases, and what it says when there is nothing yet."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import releases
from dashboard.staff.permissions import Role
from tests.factories import ANNA, BEN, CLEO, MAYA, OTHER, STEP, a_person, a_release, a_save, a_step, people
from tests.staff.signed_in import sign_in_as
from tests.web.desk import same_however_much_there_is
from tests.web.person import HOSTILE, part, words


@pytest.fixture
def viewer(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which a viewer is signed in."""
    sign_in_as(client, database, Role.VIEWER)
    return client


@pytest.fixture
def three(session: Session) -> Session:
    """Anna finished both steps, Ben is at the first, Cleo has not started."""
    a_step(session, weight=60)
    a_step(session, OTHER, weight=40)
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    a_save(session, "done")
    a_save(session, "skipped", step_id=OTHER)
    a_save(session, "in_progress", BEN)
    session.commit()
    return session


def figure(page: str, name: str) -> str:
    return words(part(page, f"figure-{name}").partition("</div>")[0])


def test_it_shows_how_onboarding_goes(viewer: FlaskClient, three: Session) -> None:
    page = viewer.get("/").text
    assert "2 live steps, 100 points in all" in page
    assert "People 3 3 new in 30 days" in figure(page, "people")
    assert "Finished 1 33.3" in figure(page, "finished")
    assert "Median progress 0" in figure(page, "median")
    assert "No activity for 14 days 0" in figure(page, "idle")


def test_the_funnel_has_each_live_step_in_order(viewer: FlaskClient, three: Session) -> None:
    releases.withdraw(three, MAYA, OTHER)
    three.commit()
    funnel = part(viewer.get("/").text, "funnel").partition("</table>")[0]
    assert f'href="/steps/{STEP}"' in funnel
    assert OTHER not in funnel
    assert [f'title="{one}"' in funnel for one in ("Done: 1", "Skipped: 0", "In progress: 1", "To do: 1")] == [True] * 4


def test_the_histogram_has_eleven_bands(viewer: FlaskClient, three: Session) -> None:
    histogram = part(viewer.get("/").text, "histogram").partition("</table>")[0]
    assert histogram.count("<tr") == 12
    assert "0–9 2 10–19 0" in words(histogram)
    assert words(histogram).endswith("100 1")


def test_the_newest_releases_say_what_they_did(viewer: FlaskClient, three: Session) -> None:
    a_release(three, title="In new words")
    releases.roll_back(three, MAYA, STEP)
    three.commit()
    feed = part(viewer.get("/").text, "newest-releases").partition("</ol>")[0]
    told = words(feed)
    assert "Rolled back to version 1 by maya@example.com 1 given back" in told
    assert "Version 2 released by maya@example.com 1 copied 1 reset" in told
    assert "Version 1 released by maya@example.com Nobody affected" in told
    assert f'href="/steps/{STEP}/releases/2"' in feed


def test_titles_are_text(viewer: FlaskClient, session: Session) -> None:
    a_step(session, title=HOSTILE)
    a_person(session)
    session.commit()
    page = viewer.get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("role", "offer"), [(Role.MANAGER, "Create the first step"), (Role.SUPPORT, "Go to the steps")]
)
def test_without_steps_it_says_what_to_do_next(client: FlaskClient, database: Database, role: Role, offer: str) -> None:
    sign_in_as(client, database, role)
    page = client.get("/").text
    assert "There are no steps yet" in page
    assert offer in page


def test_with_only_drafts_it_leads_to_the_steps(client: FlaskClient, database: Database, session: Session) -> None:
    a_step(session, released=False)
    session.commit()
    sign_in_as(client, database, Role.MANAGER)
    page = client.get("/").text
    assert "No step is live yet" in page
    assert "Go to the steps" in page


def test_without_people_it_says_how_to_bring_them_in(viewer: FlaskClient, session: Session) -> None:
    a_step(session)
    session.commit()
    page = viewer.get("/").text
    assert "dashboard people import" in page
    assert 'data-testid="newest-releases"' in page
    assert 'data-testid="funnel"' not in page


def test_signed_out_one_is_sent_to_sign_in(client: FlaskClient) -> None:
    response = client.get("/")
    assert (response.status_code, response.location) == (303, "/sign-in?next=/")


def test_it_takes_as_many_queries_with_more_of_everything(
    viewer: FlaskClient, three: Session, database: Database
) -> None:
    def more() -> None:
        people(three, 50)
        a_step(three, "a-third-step")
        a_release(three, OTHER)
        three.commit()

    assert same_however_much_there_is(viewer, "/", more) <= 9
