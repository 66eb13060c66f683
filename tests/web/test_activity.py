"""The activity page: what it shows, its filter in the address, its pages, what it says when it cannot, and its file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from html import unescape
from io import StringIO
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import AuditEntry
from dashboard.onboarding import drafts, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.loading import empty
from dashboard.staff import tokens
from dashboard.staff.permissions import Role, Scope
from dashboard.web import export
from dashboard.web.activity import HEADER, PAGE
from tests.conftest import Build
from tests.factories import (
    ANNA,
    HOST,
    MAYA,
    OTHER,
    SAM,
    STEP,
    a_draft,
    a_person,
    a_release,
    a_save,
    a_step,
    an_erasure,
    everybody,
    people,
    snapshot,
)
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HOSTILE, HTMX, asked_of, part, queries, same_however_much_there_is, words

FIELDS = ("who", "what", "step", "person", "from", "to")


def lived_through(session: Session) -> None:
    for deed in (
        lambda: a_step(session, title="Set up payments", description="Connect your bank account."),
        lambda: a_person(session),
        lambda: a_save(session, "in_progress", actor=SAM, comment="On the phone with her."),
        lambda: a_draft(session, description="Connect a bank account.", weight=25),
        lambda: releases.release(session, MAYA, STEP, note="The bank check moved."),
    ):
        deed()
        session.commit()


@pytest.fixture
def lived(build: Build, session: Session) -> Session:
    """A step that was released twice, and Anna, whose step Sam changed; each in a transaction of its own."""
    build(lived_through)
    return session


def rows(page: str) -> list[str]:
    """The rows of the list, as HTML."""
    return [row.partition("</tr>")[0] for row in re.split(r'data-testid="activity-row-\d+">', page)[1:]]


def told(page: str) -> list[str]:
    """The rows of the list, as one reads them."""
    return [words(row) for row in rows(page)]


def row_of(page: str, text: str) -> str:
    """The first row in which the text stands, as HTML."""
    return next(row for row in rows(page) if text in words(row))


def link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"#]+)', page)
    return unescape(found[1]) if found else ""


def chips(page: str) -> dict[str, str]:
    """What each chip says, and where it leads."""
    found = re.findall(r'<span class="chip">([^<]+)<a href="([^"]+)"', page)
    return {unescape(text): unescape(address) for text, address in found}


def chosen(page: str, field: str) -> str:
    """What a select shows."""
    select = page.partition(f'<select class="form-control select" id="{field}"')[2].partition("</select>")[0]
    return unescape(re.findall(r'<option value="([^"]*)" selected', select)[0])


def typed(page: str, field: str) -> tuple[str, str]:
    """The kind of a field and what stands in it."""
    found = re.search(rf'<input class="form-control" id="{field}" name="{field}" type="(\w+)" value="([^"]*)"', page)
    assert found
    return found[1], unescape(found[2])


# The list -------------------------------------------------------------------------------------------------------------


def test_the_address_has_no_empty_filters(viewer: FlaskClient, lived: Session) -> None:
    sent = f"/activity?who=&what=releases&step={STEP}&person=&from=&to="
    clean = f"/activity?what=releases&step={STEP}"
    answer = viewer.get(sent)
    assert (answer.status_code, answer.location) == (303, clean)
    assert viewer.get(f"{sent}&cursor=abc").location == f"{clean}&cursor=abc"
    assert viewer.get("/activity?who=&what=").location == "/activity"
    live = viewer.get(sent, headers=HTMX)
    assert (live.status_code, live.headers["HX-Push-Url"]) == (200, clean)


def test_each_thing_that_was_done_is_told_in_words(viewer: FlaskClient, lived: Session) -> None:
    page = viewer.get("/activity").text
    release = row_of(page, "Released version 2")
    assert "just now maya@example.com Set up payments Release Released version 2 The bank check moved." in words(
        release
    )
    assert f'href="/steps/{STEP}/releases/2"' in release
    assert f'href="/steps/{STEP}"' in release
    saved = row_of(page, "On the phone with her.")
    assert words(saved).endswith("sam@example.com Anna Set up payments To do to In progress On the phone with her.")
    assert 'href="/people/anna"' in saved
    assert "host API Anna Added the person" in words(row_of(page, "Added the person"))
    assert told(page)[0].startswith("just now maya@example.com Set up payments Release Released version 2")


def test_a_change_of_a_draft_shows_what_was_before(viewer: FlaskClient, lived: Session) -> None:
    saved = row_of(viewer.get("/activity").text, "Saved the draft of version 2")
    assert "<details" in saved
    assert "Connect <del>your</del> <ins>a</ins> bank account." in saved
    assert "<del>10</del> → <ins>25</ins>" in saved


def test_staff_are_named_with_their_role(viewer: FlaskClient, session: Session) -> None:
    session.add(AuditEntry(actor="staff:viewer@staff.example", action="sign_in.accepted"))
    session.commit()
    assert told(viewer.get("/activity?what=staff").text) == ["just now The viewer Viewer Signed in"]


def test_an_unknown_action_is_shown_as_it_is(viewer: FlaskClient, session: Session) -> None:
    session.add(AuditEntry(actor="system:demo", action="plugin.did_it", subject="all of it"))
    session.commit()
    page = viewer.get("/activity").text
    assert words(row_of(page, "plugin.did_it")).endswith("The demo system plugin.did_it all of it")


def test_what_is_gone_is_named_without_a_link(viewer: FlaskClient, session: Session) -> None:
    drafts.create(session, MAYA, OTHER, {"title": "Invite your team"})
    drafts.discard(session, MAYA, OTHER, 1)
    a_step(session)
    a_person(session)
    a_save(session, actor=Actor(f"user:{ANNA}", "api"))
    an_erasure(session)
    session.commit()
    page = viewer.get("/activity").text
    created = row_of(page, f"{OTHER} Created the step")
    assert "href" not in created
    erased = row_of(page, "Done")
    assert words(erased).count("An erased person") == 2
    assert "/people/" not in erased


def test_hostile_text_is_text(viewer: FlaskClient, session: Session) -> None:
    a_step(session, title=HOSTILE)
    everybody.put(session, HOST, HOSTILE, name=HOSTILE)
    a_save(session, "done", HOSTILE, comment=HOSTILE)
    session.add(
        AuditEntry(actor=f"token:{HOSTILE}", action=HOSTILE, subject=HOSTILE, changes={HOSTILE: [HOSTILE, "x"]})
    )
    session.commit()
    for address in ("/activity", f"/activity?person={quote(HOSTILE)}"):
        page = viewer.get(address).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_with_nothing_done_it_says_what_would_be_here(viewer: FlaskClient, session: Session) -> None:
    empty(session, ["audit_log"])
    session.commit()
    told = part(viewer.get("/activity").text, "no-activity").partition("</section>")[0]
    assert "Nothing has happened yet" in told
    assert 'href="/steps"' in told


def test_it_is_in_the_menu_and_the_overview_leads_to_its_releases(viewer: FlaskClient, lived: Session) -> None:
    assert '<a href="/activity" aria-current="page">' in viewer.get("/activity").text
    overview = viewer.get("/").text
    assert '<a href="/activity">' in overview
    assert 'href="/activity?what=releases">All activity' in part(overview, "newest-releases")
    assert len(told(viewer.get("/activity?what=releases").text)) == 2
    assert f'href="/activity?step={STEP}">All activity' in viewer.get(f"/steps/{STEP}").text


# The filter -----------------------------------------------------------------------------------------------------------


def test_the_filter_is_in_the_address_and_in_its_form(viewer: FlaskClient, lived: Session) -> None:
    page = viewer.get(
        f"/activity?who=system&what=releases&step={STEP}&person={ANNA}&from=2026-01-01&to=2026-01-31"
    ).text
    assert [chosen(page, field) for field in ("who", "what", "step")] == ["system", "releases", STEP]
    assert [typed(page, field) for field in ("person", "from", "to")] == [
        ("text", ANNA),
        ("date", "2026-01-01"),
        ("date", "2026-01-31"),
    ]
    form = part(page, "activity-filter").partition("</form>")[0]
    assert "<button" in form
    assert 'hx-get="/activity"' in form


def test_who_can_be_an_account_a_token_people_or_the_system(
    viewer: FlaskClient, lived: Session, database: Database
) -> None:
    sign_in_as(viewer.application.test_client(), database, Role.ADMIN)
    with database.transaction() as session:
        tokens.create(session, MAYA, name="Host product", scopes=[Scope.PROGRESS_READ])
    form = part(viewer.get("/activity").text, "activity-filter").partition("</select>")[0]
    offered = dict(re.findall(r'<option value="([^"]*)"[^>]*>([^<]*)<', form))
    assert {"": "Anyone", "people": "People themselves", "system": "The system"}.items() <= offered.items()
    assert offered["token:Host product"] == "Host product, API"
    assert any(key.startswith("staff:") and label.endswith(", Administrator") for key, label in offered.items())
    assert "Created the token Host product" in told(viewer.get("/activity?what=tokens").text)[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"what": "releases"}, ["Released version 2", "Published version 1"]),
        ({"what": "statuses"}, ["In progress"]),
        ({"what": "drafts"}, ["Saved the draft", "Started a draft", "Created the step"]),
        ({"person": ANNA}, ["In progress", "Added the person"]),
        ({"person": f"  {ANNA} "}, ["In progress", "Added the person"]),
        ({"step": STEP, "what": "statuses"}, ["In progress"]),
        ({"what": "releases", "from": "2020-01-01", "to": "9999-12-31"}, ["Released version 2", "Published version 1"]),
        ({"what": "releases", "to": "2020-01-01"}, []),
        ({"what": "imports"}, []),
        ({"who": "people"}, []),
    ],
    ids=str,
)
def test_the_list_has_what_the_filter_names(
    viewer: FlaskClient, lived: Session, query: dict[str, str], expected: list[str]
) -> None:
    response = viewer.get("/activity", query_string=query)
    assert response.status_code == 200
    found = told(response.text)
    assert len(found) == len(expected)
    assert all(text in row for text, row in zip(expected, found, strict=True))


def test_each_part_of_the_filter_can_be_taken_away(viewer: FlaskClient, lived: Session) -> None:
    page = viewer.get(
        f"/activity?who=people&what=statuses&step={STEP}&person={ANNA}&from=2026-01-01&to=2026-12-31"
    ).text
    found = chips(page)
    assert list(found) == [
        *("By people themselves", "Changes to people's steps", "Set up payments", "Anna"),
        *("From 1 Jan 2026", "Until 31 Dec 2026"),
    ]
    assert found["Anna"] == f"/activity?who=people&what=statuses&step={STEP}&from=2026-01-01&to=2026-12-31"
    assert 'aria-label="Remove filter: Anna"' in page
    assert '<a href="/activity" data-testid="clear-filters">Clear all</a>' in page
    alone = viewer.get("/activity?who=&what=all&step=&person=anna&from=&to=", follow_redirects=True).text
    assert chips(alone) == {"Anna": "/activity"}
    assert 'data-testid="filter-chips"' not in viewer.get("/activity?what=all").text


def test_nothing_matches_says_what_to_do(viewer: FlaskClient, lived: Session) -> None:
    empty = part(viewer.get("/activity?what=imports").text, "no-activity").partition("</section>")[0]
    assert "Nothing matches" in empty
    assert 'href="/activity"' in empty


def test_htmx_gets_the_page_without_the_shell(viewer: FlaskClient, lived: Session) -> None:
    page = viewer.get("/activity?what=releases", headers=HTMX).text
    assert page.lstrip().startswith('<div id="activity"')
    assert "<nav" not in page.partition("<section")[0]
    assert len(told(page)) == 2
    assert list(chips(page)) == ["Releases"]
    assert 'href="/activity.csv?what=releases"' in page


# What cannot be asked for ---------------------------------------------------------------------------------------------

BAD = [
    ("who", "maya", "This account or token is not known here."),
    ("what", "everything", "This kind of activity is not on the list."),
    ("step", "nope", "This step is not on the checklist."),
    ("person", "nobody", "This id is not known here."),
    ("from", "2026-02-30", "The first day must be a valid date, such as 2026-11-24."),
    ("to", "yesterday", "The last day must be a valid date, such as 2026-11-24."),
    *((field, value, "") for field in FIELDS for value in ("x" * 500, "%", "_", HOSTILE, "🦊")),
]


def test_a_name_in_place_of_an_id_leads_to_the_people_it_finds(viewer: FlaskClient, lived: Session) -> None:
    response = viewer.get("/activity", query_string={"person": "An <i>"})
    assert response.status_code == 422
    error = part(response.text, "person-error").partition("</p>")[0]
    assert "This id is not known here. Search people for “An <i>”. A person’s page shows their id." in words(error)
    link = re.search(r'<a href="([^"]+)"', error)
    assert link
    assert link[1] == "/people?q=An+%3Ci%3E"
    assert "Search people" not in viewer.get("/activity", query_string={"step": "nope"}).text


@pytest.mark.parametrize(("field", "value", "reason"), BAD, ids=lambda value: value[:12])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_is_still_there(
    viewer: FlaskClient, lived: Session, field: str, value: str, reason: str, headers: dict[str, str]
) -> None:
    response = viewer.get("/activity", query_string={field: value}, headers=headers)
    assert response.status_code == 422
    page = response.text
    problem = part(page, f"{field}-error").partition("</p>")[0]
    assert reason in words(">" + problem)
    assert "x" * 300 not in problem
    assert page.count('aria-invalid="true"') == 1
    assert f'aria-describedby="{field}-error"' in page
    shown = chosen(page, field) if field in ("who", "what", "step") else typed(page, field)[1]
    assert shown == value
    assert "<script>alert" not in page
    assert "Nothing to show" in page
    assert rows(page) == []
    assert 'data-testid="download-activity"' not in page


@pytest.mark.parametrize("field", [*FIELDS, "cursor"])
def test_a_nul_byte_is_refused_as_on_every_page(viewer: FlaskClient, lived: Session, field: str) -> None:
    for address in ("/activity", "/activity.csv"):
        response = viewer.get(address, query_string={field: "a\0b"})
        assert response.status_code == 400


def test_a_day_that_does_not_exist_can_be_put_right(viewer: FlaskClient, lived: Session) -> None:
    # a browser shows nothing in a field of days when what it has is none
    page = viewer.get("/activity?from=2026-02-30&to=2026-03-01").text
    assert (typed(page, "from"), typed(page, "to")) == (("text", "2026-02-30"), ("date", "2026-03-01"))


def test_the_last_day_before_the_first_is_told_at_the_last(viewer: FlaskClient, lived: Session) -> None:
    response = viewer.get("/activity?from=2026-03-02&to=2026-03-01")
    assert response.status_code == 422
    assert "The last day is before the first day." in part(response.text, "to-error")
    assert 'data-testid="from-error"' not in response.text


@pytest.mark.parametrize("cursor", ["x", "%25", "bnVsbA", "W10", "é", "a" * 500])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_broken_cursor_is_said_to_be_broken(
    viewer: FlaskClient, lived: Session, cursor: str, headers: dict[str, str]
) -> None:
    response = viewer.get("/activity", query_string={"what": "releases", "cursor": cursor}, headers=headers)
    assert response.status_code == 422
    problem = part(response.text, "activity-problem")
    assert "The link is broken or incomplete." in problem
    assert 'href="/activity?what=releases"' in problem
    assert chosen(response.text, "what") == "releases"


def test_letters_that_mean_something_elsewhere_mean_themselves(viewer: FlaskClient, session: Session) -> None:
    for user_id in ("50%", "50x", "a_b", "axb"):
        a_person(session, user_id)
    session.commit()
    for user_id in ("50%", "a_b"):
        page = viewer.get("/activity", query_string={"person": user_id}).text
        assert len(rows(page)) == 1


# Its pages ------------------------------------------------------------------------------------------------------------


def crowd_of(session: Session, count: int) -> None:
    """A step that so many people have done."""
    a_step(session)
    for user_id in people(session, count):
        a_save(session, "done", user_id)
    session.commit()


def pages(client: FlaskClient, address: str) -> Iterator[str]:
    while address:
        page = client.get(address).text
        yield page
        address = link(page, "next")


def test_pages_lead_on_and_back_with_the_filter(viewer: FlaskClient, session: Session) -> None:
    crowd_of(session, 2 * PAGE + 1)
    found = list(pages(viewer, "/activity?what=statuses"))
    assert [len(rows(page)) for page in found] == [PAGE, PAGE, 1]
    ids = [one for page in found for one in re.findall(r'href="/people/(user-\d+)"', page)]
    assert len(set(ids)) == 2 * PAGE + 1
    assert f"Newest {PAGE}" in found[0]
    assert f"{PAGE} older" in found[1]
    for page, following in pairwise(found):
        back = link(following, "prev")
        assert "what=statuses" in back
        assert told(viewer.get(back).text) == told(page)
    assert link(found[0], "prev") == link(found[2], "next") == ""


def test_a_page_that_holds_nothing_any_more_leads_to_the_newest(viewer: FlaskClient, session: Session) -> None:
    crowd_of(session, PAGE + 1)
    older = link(viewer.get("/activity?what=statuses").text, "next")
    empty = part(viewer.get(f"{older}&to=2020-01-01").text, "no-activity").partition("</section>")[0]
    assert "This page is now empty" in empty
    assert 'href="/activity?what=statuses&amp;to=2020-01-01"' in empty


def test_a_page_takes_the_same_few_queries_however_much_there_is(viewer: FlaskClient, lived: Session) -> None:
    def more() -> None:
        for user_id in people(lived, 60):
            a_save(lived, "done", user_id, actor=SAM)
        a_step(lived, OTHER)
        a_release(lived)
        lived.commit()

    assert same_however_much_there_is(viewer, "/activity", more) <= 10
    assert queries(viewer, f"/activity?person={ANNA}&step={STEP}") <= 12


def test_names_come_with_one_query(viewer: FlaskClient, session: Session) -> None:
    crowd_of(session, 30)
    with asked_of(viewer) as seen:
        viewer.get("/activity")
    assert len([statement for statement, _ in seen if "FROM onboarding_users" in statement]) == 1


# The file -------------------------------------------------------------------------------------------------------------


def lines(client: FlaskClient, address: str) -> list[dict[str, str]]:
    answer = client.get(address)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    return list(csv.DictReader(StringIO(answer.text, newline="")))


def test_the_file_holds_all_that_was_recorded(viewer: FlaskClient, lived: Session) -> None:
    found = lines(viewer, "/activity.csv")
    assert len(found) == len(rows(viewer.get("/activity").text))
    assert tuple(found[0]) == HEADER
    saved = next(line for line in found if line["action"] == "status.change")
    assert saved["at"].endswith("+00:00")
    assert saved == {
        "at": saved["at"],
        "actor": SAM.key,
        "action": "status.change",
        "step_id": STEP,
        "user_id": ANNA,
        "from": "todo",
        "to": "in_progress",
        "row_version": "2",
        "subject": "",
        "changes": "",
        "source": "web",
        "comment": "On the phone with her.",
    }
    draft = next(line for line in found if line["action"] == "draft.save")
    assert json.loads(draft["changes"])["weight"] == [10, 25]
    assert (draft["subject"], draft["user_id"], draft["row_version"], draft["source"]) == ("version 2", "", "", "")
    assert [line["at"] for line in found] == sorted((line["at"] for line in found), reverse=True)


def test_the_page_links_to_the_file_of_its_filter(viewer: FlaskClient, lived: Session) -> None:
    page = viewer.get(f"/activity?what=releases&step={STEP}&who=&cursor=", follow_redirects=True).text
    found = re.search(r'href="([^"]+)" download data-testid="download-activity"', page)
    assert found
    assert unescape(found[1]) == f"/activity.csv?what=releases&step={STEP}"
    assert [line["comment"] for line in lines(viewer, unescape(found[1]))] == ["The bank check moved.", ""]
    answer = viewer.get("/activity.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="activity.csv"'


def test_the_file_has_more_than_a_page(viewer: FlaskClient, session: Session) -> None:
    crowd_of(session, PAGE + 10)
    assert len(lines(viewer, "/activity.csv?what=statuses")) == PAGE + 10


def test_what_a_spreadsheet_would_run_is_text(viewer: FlaskClient, session: Session) -> None:
    a_step(session)
    a_person(session, "=1+1")
    a_save(session, "done", "=1+1", comment='=HYPERLINK("http://evil.example")')
    session.add(AuditEntry(actor="@x", action="+1", subject="-1", note="\t=1"))
    session.commit()
    cells = [cell for line in lines(viewer, "/activity.csv") for cell in line.values()]
    assert not [cell for cell in cells if cell.startswith(tuple(export.FORMULA))]
    assert {"'=1+1", "'@x", "'+1", "'-1"} <= set(cells)


@pytest.mark.parametrize(("field", "value", "reason"), BAD, ids=lambda value: value[:12])
def test_what_cannot_be_asked_for_is_a_page_and_no_file(
    viewer: FlaskClient, lived: Session, field: str, value: str, reason: str
) -> None:
    answer = viewer.get("/activity.csv", query_string={field: value})
    assert (answer.status_code, answer.mimetype) == (422, "text/html")
    assert reason in answer.text


def test_a_file_that_nobody_reads_to_the_end_leaves_nothing_open(
    viewer: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd_of(session, 20)
    monkeypatch.setattr(export, "CHUNK", 100)
    pool = viewer.application.extensions["database"].engine.pool
    for _ in range(8):
        answer: Any = viewer.get("/activity.csv", buffered=False)
        next(iter(answer.response))
        answer.close()
    assert viewer.head("/activity.csv").status_code == 200
    assert pool.checkedout() == 0


# Who may --------------------------------------------------------------------------------------------------------------


def test_signed_out_one_is_sent_to_sign_in(client: FlaskClient) -> None:
    assert client.get("/activity?what=releases").location == "/sign-in?next=/activity?what%3Dreleases"
    assert client.get("/activity.csv").location == "/sign-in?next=/activity.csv"
    assert client.get("/activity", headers=HTMX).headers["HX-Redirect"].startswith("/sign-in")


def test_looking_changes_nothing(viewer: FlaskClient, lived: Session) -> None:
    viewer.get("/activity")
    before = snapshot(lived)
    lived.rollback()
    viewer.get(f"/activity?person={ANNA}")
    lines(viewer, "/activity.csv")
    assert snapshot(lived) == before
