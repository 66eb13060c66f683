"""The overview: key figures, charts, newest releases, saves and conflicts, who is stuck, and what it says when empty."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from flask import before_render_template
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import WriteConflict
from dashboard.onboarding import releases
from dashboard.onboarding.carryover import KEEP_ALL, Release
from dashboard.onboarding.loading import empty
from dashboard.staff.permissions import Role
from tests.conftest import Build
from tests.factories import ANNA, BEN, CLEO, MAYA, OTHER, STEP, a_person, a_release, a_save, a_step, people
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, HTMX, asked_of, figure, main_of, part, queries, same_however_much_there_is, words


def three_people(session: Session) -> None:
    a_step(session, weight=60)
    a_step(session, OTHER, weight=40)
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    a_save(session, "done")
    a_save(session, "skipped", step_id=OTHER)
    a_save(session, "in_progress", BEN)


@pytest.fixture
def three(build: Build, session: Session) -> Session:
    """Anna finished both steps, Ben is at the first, Cleo has not started."""
    build(three_people)
    return session


def test_it_shows_how_onboarding_goes(viewer: FlaskClient, three: Session) -> None:
    page = viewer.get("/").text
    assert "2 live steps, 100 points in total" in page
    assert "People 3 3 new in the last 30 days" in figure(page, "people")
    assert "Finished 1 33.3" in figure(page, "finished")
    assert "Median progress 0" in figure(page, "median")
    assert "No activity for 14 days 0" in figure(page, "idle")


def test_those_who_finished_and_have_points_open_again_are_told_of(viewer: FlaskClient, three: Session) -> None:
    assert "open again" not in viewer.get("/").text
    a_step(three, "third", weight=10)
    three.commit()
    assert figure(viewer.get("/").text, "finished").endswith("1 of them in the last 30 days 1 is below 100 % again")


def test_those_who_are_through_and_do_not_count_as_finished_yet_are_told_of(
    viewer: FlaskClient, three: Session
) -> None:
    assert "next-save" not in viewer.get("/").text
    a_save(three, "done", BEN)
    releases.withdraw(three, MAYA, OTHER)
    three.commit()
    page = viewer.get("/").text
    assert "Finished 1 33.3" in figure(page, "finished")
    assert figure(page, "finished").endswith("1 more is at 100 % and counts as finished with the next save")
    found = links(part(page, "next-save").partition("</span>")[0])
    assert found == ["/people?progress=100&finished=no"]
    assert 'data-testid="person-row-ben"' in viewer.get(found[0]).text
    assert "Finished Not yet Nothing left to do: counts as finished with the next save" in figure(
        viewer.get(f"/people/{BEN}").text, "finished"
    )
    a_save(three, "skipped", BEN)
    three.commit()
    assert "Finished 2 66.7" in figure(viewer.get("/").text, "finished")
    assert "next-save" not in viewer.get("/").text
    assert figure(viewer.get(f"/people/{BEN}").text, "finished").endswith("Nothing left to do")


def test_the_funnel_has_each_live_step_in_order(viewer: FlaskClient, three: Session) -> None:
    releases.withdraw(three, MAYA, OTHER)
    three.commit()
    funnel = part(viewer.get("/").text, "funnel").partition("</table>")[0]
    assert f'href="/steps/{STEP}"' in funnel
    assert OTHER not in funnel
    assert [f'title="{one}"' in funnel for one in ("Done: 1", "Skipped: 0", "In progress: 1", "To do: 1")] == [True] * 4


def test_a_part_of_the_funnel_leads_to_its_people(viewer: FlaskClient, three: Session) -> None:
    funnel = part(viewer.get("/").text, "funnel").partition("</table>")[0]
    found = re.findall(r'<a class="data" href="([^"]+)" tabindex="-1">(\d+)</a>', funnel)
    linked = {unescape(address): int(count) for address, count in found}
    first, second = (f"/people?step={step_id}&status=" for step_id in (STEP, OTHER))
    assert list(linked) == [f"{first}done", f"{first}in_progress", f"{first}todo", f"{second}skipped", f"{second}todo"]
    for address, count in linked.items():
        assert viewer.get(address).text.count('data-testid="person-row-') == count


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
    assert "Version 1 published by maya@example.com No one affected" in told
    assert f'href="/steps/{STEP}/releases/2"' in feed


def test_a_new_step_takes_from_everybody_who_was_further(viewer: FlaskClient, three: Session) -> None:
    a_step(three, "third")
    three.commit()
    feed = words(part(viewer.get("/").text, "newest-releases").partition("</ol>")[0])
    assert "Version 1 published by maya@example.com 1 went down" in feed


@pytest.mark.parametrize(("some", "place"), [(True, "card c4"), (False, "card")])
def test_the_newest_releases_stand_beside_the_funnel_or_alone(
    viewer: FlaskClient, session: Session, some: bool, place: str
) -> None:
    a_step(session)
    if some:
        a_person(session)
    session.commit()
    assert f'<section class="{place}" id="releases"' in viewer.get("/").text


def test_titles_and_names_are_text(viewer: FlaskClient, session: Session) -> None:
    a_step(session, title=HOSTILE)
    a_person(session, name=HOSTILE)
    a_save(session, "in_progress")
    conflicts(session, a_release(session, policy=KEEP_ALL).release)
    session.commit()
    page = viewer.get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(("role", "offer"), [(Role.MANAGER, "Create the first step"), (Role.SUPPORT, "Go to steps")])
def test_without_steps_it_says_what_to_do_next(client: FlaskClient, database: Database, role: Role, offer: str) -> None:
    sign_in_as(client, database, role)
    page = client.get("/").text
    assert "No steps yet" in page
    assert offer in page


def test_with_only_drafts_it_leads_to_the_steps(client: FlaskClient, database: Database, session: Session) -> None:
    a_step(session, released=False)
    session.commit()
    sign_in_as(client, database, Role.MANAGER)
    page = client.get("/").text
    assert "No live steps yet" in page
    assert "Go to steps" in page


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
        conflicts(three, count=20)
        a_save(three, "in_progress", CLEO, "a-third-step")
        three.commit()

    # two more where somebody is in progress, one more where a release explains the conflicts
    assert same_however_much_there_is(viewer, "/", more) <= 13


def test_a_switch_of_the_period_counts_nobody(viewer: FlaskClient, three: Session) -> None:
    whole = queries(viewer, "/?period=7d")
    with asked_of(viewer) as seen:
        viewer.get("/?period=7d", headers=HTMX)
    assert len(seen) <= whole - 4
    assert not any("GROUP BY done_releases" in statement for statement, _ in seen)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "part"])
def test_no_connection_is_kept_while_its_words_are_put_together(
    viewer: FlaskClient, three: Session, headers: dict[str, str]
) -> None:
    pool, held = viewer.application.extensions["database"].engine.pool, []

    def note(*_: object, **__: object) -> None:
        held.append(pool.checkedout())

    with before_render_template.connected_to(note, viewer.application):
        viewer.get("/?period=7d", headers=headers)
    assert held == [0]


# Saves and conflicts -------------------------------------------------------------------------------------------------


def conflicts(session: Session, release: Release | None = None, count: int = 1, **more: object) -> None:
    """As many saves that were refused just now, after the release."""
    about: dict[str, object] = {"user_id": ANNA, "step_id": STEP, "actor": "token:host", "source": "api"}
    about |= {"to_status": "done", "row_version": 1, "current_row_version": 2}
    session.add_all(WriteConflict(release_id=release.id if release else None, **about | more) for _ in range(count))
    session.flush()


def writes(page: str) -> str:
    """The card, as HTML."""
    return part(page, "writes").partition("</section>")[0]


def test_it_shows_saves_conflicts_their_rate_and_whether_a_retry_worked(viewer: FlaskClient, three: Session) -> None:
    for attempt in (1, 1, 2):
        a_save(three, "in_progress", CLEO, attempt=attempt)
    conflicts(three, count=1)
    conflicts(three, count=1, attempt=1)
    three.commit()
    page = viewer.get("/").text
    assert "Writes, last 24 hours" in words(writes(page))
    assert figure(page, "writes").endswith("Writes 6")
    assert figure(page, "conflicts").endswith("Conflicts 2")
    assert "Conflict rate 25.00 % Of all attempted saves" in figure(page, "conflict-rate")
    assert "First retry succeeded 66.7 % 2 of 3 4 retries in total" in figure(page, "first-retry")


def test_the_chart_has_a_column_an_hour_or_a_day(viewer: FlaskClient, three: Session) -> None:
    conflicts(three, count=3)
    conflicts(three, at=datetime.now(UTC) - timedelta(days=3))
    three.commit()
    hours, days = (part(viewer.get(f"/?period={name}").text, "conflicts").partition("</table>")[0] for name in PERIODS)
    assert (hours.count("<tr"), days.count("<tr")) == (25, 8)
    assert "Conflicts by hour, UTC" in hours
    assert "Conflicts by day, UTC" in days
    # one of the three may just have fallen into the hour before
    assert sum(map(int, re.findall(r'class="data[^>]*>(\d+)<', hours))) == 3
    assert sum(map(int, re.findall(r'class="data[^>]*>(\d+)<', days))) == 4


PERIODS = ("24h", "7d")


@pytest.mark.parametrize(
    ("address", "period"), [("/?period=7d", "7 days"), ("/?period=1y", "24 hours"), ("/", "24 hours")]
)
def test_the_period_is_chosen_by_a_link(viewer: FlaskClient, three: Session, address: str, period: str) -> None:
    card = writes(viewer.get(address).text)
    assert f"Writes, last {period}" in card
    (chosen,) = re.findall(r'aria-current="true">([^<]+)<', card)
    assert chosen.strip() == period
    assert 'href="/#writes"' in card
    assert 'href="/?period=7d#writes"' in card


def test_htmx_gets_the_card_alone(viewer: FlaskClient, three: Session) -> None:
    answer = viewer.get("/?period=7d", headers=HTMX).text
    assert answer.startswith('<section class="card c5" id="writes"')
    assert "Writes, last 7 days" in answer
    assert "<h1" not in answer


def told(page: str) -> str:
    return words(part(page, "conflicts-because").partition("</p>")[0]).lstrip("> ")


def test_a_release_that_explains_most_conflicts_is_named(viewer: FlaskClient, three: Session) -> None:
    release = a_release(three, title="Payments").release
    conflicts(three, release, 3)
    conflicts(three, count=2)
    three.commit()
    page = viewer.get("/").text
    at = f"{release.released_at:%H:%M}"
    assert told(page) == f"3 of 5 came after version 2 of Payments went live at {at} UTC."
    assert f'href="/steps/{STEP}/releases/2"' in part(page, "conflicts-because").partition("</p>")[0]
    assert part(page, "conflicts").partition("</table>")[0].count("s-reset") == 1


def test_a_release_of_another_day_is_named_with_its_day(viewer: FlaskClient, three: Session) -> None:
    release = a_release(three).release
    at = datetime.now(UTC) - timedelta(days=2)
    three.execute(text("UPDATE step_releases SET released_at = :at WHERE id = :id"), {"at": at, "id": release.id})
    conflicts(three, releases.roll_back(three, MAYA, STEP).release)
    three.execute(text("UPDATE step_releases SET released_at = :at WHERE number = 3"), {"at": at})
    three.commit()
    expected = f"Set up payments was rolled back to version 1 on {at.day} {at:%b %Y}, {at:%H:%M} UTC."
    assert told(viewer.get("/").text) == f"1 of 1 came after {expected}"


def test_without_a_release_that_explains_them_nothing_is_claimed(viewer: FlaskClient, three: Session) -> None:
    conflicts(three, a_release(three).release)
    conflicts(three)
    three.commit()
    page = viewer.get("/").text
    assert "conflicts-because" not in page
    assert "s-reset" not in writes(page)


def test_without_conflicts_it_says_so(viewer: FlaskClient, three: Session) -> None:
    card = writes(viewer.get("/").text)
    assert "No conflicts." in card
    assert 'data-testid="conflicts"' not in card
    assert "First retry succeeded – No retries" in words(card)


def test_without_saves_it_says_so_and_offers_the_other_period(viewer: FlaskClient, three: Session) -> None:
    empty(three, ["user_step_events"])
    three.commit()
    card = writes(viewer.get("/").text)
    assert 'data-testid="no-writes"' in card
    assert "Conflict rate" not in card
    assert 'href="/?period=7d#writes"' in card


# Who it leads to -----------------------------------------------------------------------------------------------------


def links(html: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'href="([^"]+)"', html)]


def test_who_is_idle_is_a_link_away(viewer: FlaskClient, three: Session) -> None:
    three.execute(text("UPDATE onboarding_users SET created_at = now() - interval '20 days' WHERE user_id = 'cleo'"))
    three.commit()
    page = viewer.get("/").text
    assert "No activity for 14 days 1" in figure(page, "idle")
    assert links(part(page, "figure-idle").partition("</div>")[0]) == ["/people?idle=14&finished=no"]


def test_a_band_leads_to_its_people_when_there_are_any(viewer: FlaskClient, three: Session) -> None:
    a_save(three, "done", BEN)
    three.commit()
    histogram = part(viewer.get("/").text, "histogram").partition("</table>")[0]
    assert links(histogram) == ["/people?progress=0-9", "/people?progress=60-69", "/people?progress=100"]


def test_who_is_stuck_is_named_with_since_when_and_the_rest_is_a_link_away(viewer: FlaskClient, three: Session) -> None:
    a_save(three, "in_progress", CLEO, at=datetime.now(UTC) - timedelta(days=20))
    three.commit()
    page = viewer.get("/").text
    row = part(page, f"stuck-{STEP}").partition("</tr>")[0]
    assert words(row).startswith("> Set up payments 2 1 Cleo ")
    assert words(row).endswith("Ben just now")
    assert links(row) == [f"/people?step={STEP}&status=in_progress&sort=inactive", "/people/cleo", "/people/ben"]
    nobody = part(page, f"stuck-{OTHER}").partition("</tr>")[0]
    assert words(nobody) == "> Invite team 0 0 No one"
    assert links(nobody) == []


def test_each_link_leads_somewhere(viewer: FlaskClient, three: Session) -> None:
    a_save(three, "in_progress", CLEO, at=datetime.now(UTC) - timedelta(days=20))
    conflicts(three, a_release(three, policy=KEEP_ALL).release)
    three.commit()
    found = [link for link in links(main_of(viewer.get("/").text)) if link.startswith("/")]
    assert len(found) > 10
    assert {link: viewer.get(link).status_code for link in found} == dict.fromkeys(found, 200)


# As a file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_the_funnel_is_there_as_a_file(client: FlaskClient, database: Database, three: Session, role: Role) -> None:
    a_save(three, "in_progress", CLEO, at=datetime.now(UTC) - timedelta(days=20))
    three.commit()
    sign_in_as(client, database, role)
    assert 'href="/overview.csv"' in client.get("/").text
    answer = client.get("/overview.csv")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="overview.csv"'
    header, *rows = csv.reader(answer.text.splitlines())
    assert header == [
        *("step_id", "title", "version", "weight", "done", "skipped", "in_progress", "todo"),
        "in_progress_idle_14_days",
    ]
    assert rows == [
        [STEP, "Set up payments", "1", "60", "1", "0", "2", "0", "1"],
        [OTHER, "Invite team", "1", "40", "0", "1", "0", "2", "0"],
    ]


def test_the_file_has_the_live_steps_alone_and_runs_no_formula(viewer: FlaskClient, three: Session) -> None:
    releases.withdraw(three, MAYA, OTHER)
    a_step(three, "only-a-draft", released=False)
    a_release(three, title="=1+1")
    three.commit()
    _, *rows = csv.reader(viewer.get("/overview.csv").text.splitlines())
    assert [row[:3] for row in rows] == [[STEP, "'=1+1", "2"]]


def test_an_empty_database_gives_the_header_alone_and_no_button(viewer: FlaskClient) -> None:
    assert viewer.get("/overview.csv").text.count("\n") == 1
    assert "/overview.csv" not in viewer.get("/").text


def test_the_file_is_not_for_the_signed_out(client: FlaskClient) -> None:
    assert client.get("/overview.csv").status_code == 303
