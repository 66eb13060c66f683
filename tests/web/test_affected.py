"""The people behind the counts of a preview: tabs, pages, and the file of all of them."""

from __future__ import annotations

import csv
import re
from html import unescape
from io import StringIO

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import releases
from dashboard.onboarding.carryover import Policy
from dashboard.staff.permissions import Role
from dashboard.web import affected_list, export
from tests.conftest import Build
from tests.factories import (
    MAYA,
    OTHER,
    STEP,
    a_draft,
    a_person,
    a_save,
    a_step,
    people,
    snapshot,
)
from tests.staff.signed_in import sign_in_as
from tests.web.desk import HTMX, asked_of, form_of, queries

URL = f"/steps/{STEP}"
PREVIEW = f"{URL}/release"
CARD = HTMX | {"HX-Target": "section#people-affected"}
CAST = {"anna": "done", "ben": "skipped", "cleo": "in_progress", "dora": "todo"}
ASK_AGAIN = "done=keep&skipped=reset&in_progress=reset"


def a_cast_and_a_draft(session: Session) -> None:
    a_step(session, title="Connect your bank")
    for user_id, status in CAST.items():
        a_person(session, user_id)
        a_save(session, status, user_id)
    a_draft(session, title="Connect a bank")


@pytest.fixture
def drafted(build: Build) -> None:
    """Four people, one in each status of the one live step; a draft of version 2."""
    build(a_cast_and_a_draft)


def listed(page: str) -> list[str]:
    """The people of the list, by id."""
    return re.findall(r'data-testid="affected-row-([^"]+)"', page)


def tabs(page: str) -> dict[str, int]:
    """The tabs with their counts."""
    nav = page.partition('aria-label="Which people"')[2].partition("</nav>")[0]
    found = re.findall(r'>([^<>]+) <span class="num">([\d,]+)</span>', nav)
    return {label: int(count.replace(",", "")) for label, count in found}


def chosen(page: str) -> str:
    """The tab that is chosen."""
    found = re.search(r'aria-current="true">([^<]+) <', page)
    assert found
    return found[1]


def file_of(client: FlaskClient, address: str) -> list[list[str]]:
    """The lines of the file."""
    answer = client.get(address)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    return list(csv.reader(StringIO(answer.text, newline="")))


# The list


def test_the_preview_lists_the_people_affected(manager: FlaskClient, drafted: None) -> None:
    page = manager.get(f"{PREVIEW}?{ASK_AGAIN}").text
    assert listed(page) == ["anna", "ben", "cleo"]
    assert tabs(page) == {"Affected": 3, "Reset": 2, "Copied": 1, "Go down": 1, "Fall below 100\u202f%": 1}
    assert chosen(page) == "Affected"
    assert "3 people, by name" in page
    ben = page.partition('data-testid="affected-row-ben"')[2].partition("</tr>")[0]
    for words in ('href="/people/ben"', "Skipped", "To do", "100\u202f%", "0\u202f%", 'class="r points down">−100'):
        assert words in ben
    assert "kept" in page.partition('data-testid="affected-row-anna"')[2].partition("</tr>")[0]


@pytest.mark.parametrize(
    ("who", "people"),
    [("reset", ["ben", "cleo"]), ("copied", ["anna"]), ("down", ["ben"]), ("fall", ["ben"])],
)
def test_a_tab_lists_those_whom_it_counts(manager: FlaskClient, drafted: None, who: str, people: list[str]) -> None:
    page = manager.get(f"{PREVIEW}?{ASK_AGAIN}&who={who}").text
    assert listed(page) == people
    assert chosen(page) == affected_list.LABELS[who]  # type: ignore[index]


def test_to_htmx_the_card_alone_is_given(manager: FlaskClient, drafted: None) -> None:
    part = manager.get(f"{PREVIEW}?{ASK_AGAIN}&who=fall", headers=CARD).text
    assert part.lstrip().startswith('<section class="card" id="people-affected"')
    assert listed(part) == ["ben"]
    assert 'id="impact-report"' not in part


def test_without_scripts_it_is_said_that_the_reason_comes_last(manager: FlaskClient, drafted: None) -> None:
    form = manager.get(PREVIEW).text.partition('data-testid="confirm-release"')[2]
    told = re.search(r"<noscript>(.*?)</noscript>", form)
    assert told
    assert "switching lists or pages clears what you type here" in told[1]


def test_the_note_leads_to_those_who_fall(manager: FlaskClient, drafted: None) -> None:
    page = manager.get(f"{PREVIEW}?{ASK_AGAIN}").text
    link = re.search(r'<a href="([^"]+)"[^>]*data-testid="see-fall">See them', page)
    assert link
    assert listed(manager.get(link[1].replace("&amp;", "&")).text) == ["ben"]


def test_a_choice_of_policy_keeps_the_tab_where_it_still_exists(manager: FlaskClient, drafted: None) -> None:
    page = manager.get(f"{PREVIEW}?{ASK_AGAIN}&who=reset")
    # the tab's name stands outside the form, and belongs to it by its id
    assert '<input type="hidden" name="who" value="reset" form="release-form">' in page.text
    assert chosen(manager.get(f"{PREVIEW}?done=keep&skipped=keep&in_progress=reset&who=reset").text) == "Reset"
    assert chosen(manager.get(f"{PREVIEW}?done=keep&skipped=keep&in_progress=keep&who=reset").text) == "Affected"


def test_a_first_release_lists_those_who_fall(manager: FlaskClient, session: Session) -> None:
    a_step(session, OTHER)
    a_person(session, "anna")
    a_save(session, "done", "anna", OTHER)
    a_step(session, released=False)
    session.commit()
    page = manager.get(PREVIEW).text
    assert tabs(page) == {"Go down": 1, "Fall below 100\u202f%": 1}
    assert listed(page) == ["anna"]
    assert "untouched" in page.partition('data-testid="affected-row-anna"')[2].partition("</tr>")[0]


def test_a_first_release_keeps_the_tab_and_whether_it_reopens(manager: FlaskClient, session: Session) -> None:
    a_step(session, OTHER)
    for user_id in people(session, 12):
        a_save(session, "done", user_id, OTHER)
    a_step(session, released=False)
    session.commit()
    page = manager.get(f"{PREVIEW}?reopen=1&who=fall").text
    assert '<input type="hidden" name="who" value="fall" form="release-form">' in page
    card = unescape(page.partition('data-testid="people-affected"')[2].partition("</section>")[0])
    led = [address for address in re.findall(r'href="([^"]+)"', card) if address.startswith(PREVIEW)]
    assert len(led) == 4, "two tabs, the next page and the file"
    for address in led:
        assert "reopen=1" in address
        if ".csv" not in address:
            assert form_of(manager.get(address), "confirm-release")["previewed_reopen"] == "1"


def test_a_rollback_lists_who_gets_back_and_who_keeps_later_work(
    manager: FlaskClient, drafted: None, database: Database
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP, Policy(skipped=False))
        a_save(session, "done", "cleo")
    page = manager.get(f"{URL}/rollback").text
    assert {"Given back": 1, "Keep later work": 1}.items() <= tabs(page).items()
    assert listed(manager.get(f"{URL}/rollback?who=restored").text) == ["ben"]
    assert listed(manager.get(f"{URL}/rollback?who=kept").text) == ["cleo"]


def test_a_withdrawal_and_a_restore_list_people_too(manager: FlaskClient, drafted: None, database: Database) -> None:
    assert listed(manager.get(f"{URL}/withdraw").text) == ["anna", "ben", "cleo"]
    with database.transaction() as session:
        releases.withdraw(session, MAYA, STEP)
    assert listed(manager.get(f"{URL}/restore").text) == ["anna", "ben", "cleo"]


def test_a_tab_has_the_name_of_the_figure_with_its_people(
    manager: FlaskClient, drafted: None, database: Database
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    for path, name, count in (
        ("rollback", "Stay as they are", 2),
        ("withdraw", "Work kept", 2),
        ("restore", "Work given back", 2),
    ):
        page = manager.get(f"{URL}/{path}").text
        figures = page.partition('data-testid="impact-figures"')[2].partition("</dl>")[0]
        assert f"<dt>{name}</dt>" in figures
        assert tabs(page)[name] == count
        assert "Copied" not in page
        if path == "withdraw":
            with database.transaction() as session:
                releases.withdraw(session, MAYA, STEP)


def test_where_nobody_is_affected_it_says_so(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_draft(session)
    session.commit()
    page = manager.get(PREVIEW).text
    assert 'data-testid="nobody-affected"' in page
    assert 'data-testid="download-people"' not in page
    assert tabs(page) == {}


def test_where_people_only_go_up_they_are_listed(manager: FlaskClient, session: Session) -> None:
    a_step(session, weight=20)
    a_step(session, OTHER, weight=20)
    a_person(session, "anna")
    a_save(session, "done", "anna", OTHER)
    a_draft(session, weight=10)
    session.commit()
    for path in (PREVIEW, f"{URL}/withdraw"):
        page = manager.get(path).text
        assert tabs(page) == {"Go up": 1}
        assert listed(page) == ["anna"]
        assert ">People in this report</h2>" in page
        assert "No one is affected" not in page
        assert [line[0] for line in file_of(manager, f"{path}/people.csv?who=up")[1:]] == ["anna"]


def test_a_hostile_name_is_text(manager: FlaskClient, drafted: None, database: Database) -> None:
    with database.transaction() as session:
        a_person(session, "mallory", name="<script>alert(1)</script>")
        a_save(session, "done", "mallory")
    page = manager.get(PREVIEW).text
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in page


# Its pages


def crowded(database: Database, number: int) -> list[str]:
    """So many people who have done the step of a draft."""
    with database.transaction() as session:
        a_step(session)
        ids = people(session, number)
        for user_id in ids:
            a_save(session, "done", user_id)
        a_draft(session)
    return ids


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return found[1].replace("&amp;", "&") if found else None


def test_pages_visit_everybody_once_and_lead_back(manager: FlaskClient, database: Database) -> None:
    ids = crowded(database, affected_list.PAGE + 3)
    first = manager.get(f"{PREVIEW}?who=copied").text
    assert "First 10 of 13, by name" in first
    assert link(first, "prev") is None
    following = link(first, "next")
    assert following
    second = manager.get(following).text
    assert "3 of 13, by name" in second
    assert link(second, "next") is None
    assert chosen(second) == "Copied"
    assert listed(first) + listed(second) == ids
    back = link(second, "prev")
    assert back
    assert listed(manager.get(back).text) == listed(first)


def test_a_page_behind_the_last_leads_to_the_first(manager: FlaskClient, drafted: None) -> None:
    from dashboard.onboarding.paging import BY_NAME, pack

    page = manager.get(f"{PREVIEW}?who=all&cursor={pack('after', BY_NAME.name, 'zzz', 'zzz')}").text
    assert "This page is now empty" in page
    assert "Go to the first page" in page


@pytest.mark.parametrize("cursor", ["%25", "e30", "x" * 500, "WyJhZnRlciIsMSwyXQ"])
@pytest.mark.parametrize("who", ["", "&who=copied"])
def test_a_broken_cursor_is_answered_in_the_lists_place(
    manager: FlaskClient, drafted: None, cursor: str, who: str
) -> None:
    for headers in ({}, CARD):
        answer = manager.get(f"{PREVIEW}?cursor={cursor}{who}", headers=headers)
        assert answer.status_code == 422
        assert 'data-testid="people-problem"' in answer.text
        assert "This page of the list cannot be found" in answer.text
    assert 'data-testid="confirm-release"' in manager.get(f"{PREVIEW}?cursor={cursor}{who}").text


@pytest.mark.parametrize("path", ["release", "rollback", "withdraw", "release/people.csv"])
def test_an_unknown_tab_is_refused(manager: FlaskClient, drafted: None, database: Database, path: str) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        a_draft(session)
    answer = manager.get(f"{URL}/{path}?who=everyone")
    assert answer.status_code == 422
    assert "This list of people does not exist." in answer.text
    assert ">This cannot be shown</h1>" in answer.text
    assert manager.get(f"{URL}/{path}?who=everyone", headers=CARD).headers["HX-Retarget"] == "#notices"


def test_the_list_takes_one_query_beside_the_dry_run(manager: FlaskClient, database: Database) -> None:
    crowded(database, 60)
    with asked_of(manager) as seen:
        assert manager.get(f"{PREVIEW}?who=all", headers=CARD).status_code == 200
    over_people = [statement for statement, _ in seen if "FROM onboarding_users" in statement]
    assert len(over_people) == 2, "the count of the dry run, and the page"
    assert "LIMIT" in over_people[1]
    before = queries(manager, PREVIEW)
    with database.transaction() as session:
        people(session, 40, "more")
    assert queries(manager, PREVIEW) == before


# The file


def test_the_file_holds_all_of_the_tab(manager: FlaskClient, drafted: None) -> None:
    assert file_of(manager, f"{PREVIEW}/people.csv?{ASK_AGAIN}") == [
        list(affected_list.HEADER),
        ["anna", "Anna", "anna@example.com", "done", "done", "100", "100", "0"],
        ["ben", "Ben", "ben@example.com", "skipped", "todo", "100", "0", "-100"],
        ["cleo", "Cleo", "cleo@example.com", "in_progress", "todo", "0", "0", "0"],
    ]
    assert [line[0] for line in file_of(manager, f"{PREVIEW}/people.csv?{ASK_AGAIN}&who=fall")[1:]] == ["ben"]


def test_the_page_links_to_the_file_of_its_tab(manager: FlaskClient, drafted: None) -> None:
    page = manager.get(f"{PREVIEW}?{ASK_AGAIN}&who=reset").text
    found = re.search(r'href="([^"]+)" download data-testid="download-people">([^<]+)<', page)
    assert found
    assert found[2] == "Download all 2 as CSV"
    answer = manager.get(found[1].replace("&amp;", "&"))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{STEP}-release-reset.csv"'
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert not answer.data.startswith(b"\xef\xbb\xbf")
    assert len(answer.text.splitlines()) == 3


@pytest.mark.parametrize("path", ["rollback", "withdraw"])
def test_each_preview_has_a_file(manager: FlaskClient, drafted: None, database: Database, path: str) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    assert len(file_of(manager, f"{URL}/{path}/people.csv")) > 2


HOSTILE = [
    '=HYPERLINK("http://evil.example";"x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    'Quote " and, comma',
    "<b>Ünïcode 名前</b>",
]


def test_names_that_a_spreadsheet_would_run_are_text(manager: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        a_step(session)
        for number, name in enumerate(HOSTILE):
            a_person(session, f"=user-{number}", name=name)
            a_save(session, "done", f"=user-{number}")
        a_draft(session)
    lines = file_of(manager, f"{PREVIEW}/people.csv")[1:]
    told = {line[0]: line[1] for line in lines}
    assert told == {
        f"'=user-{number}": f"'{name}" if name[0] in "=+-@" else name for number, name in enumerate(HOSTILE)
    }


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_starts_a_formula_is_told_by_an_apostrophe(start: str) -> None:
    assert export.cell(f"{start}1") == f"'{start}1"


@pytest.mark.parametrize("value", ["", "Anna", "a=1", " 1", -5, 0])
def test_everything_else_stays_as_it_is(value: str | int) -> None:
    assert export.cell(value) == value


def test_a_long_file_comes_in_pieces_while_nothing_is_locked(
    manager: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = crowded(database, 40)
    monkeypatch.setattr(export, "CHUNK", 100)
    answer = manager.get(f"{PREVIEW}/people.csv", buffered=False)
    pieces = iter(answer.response)
    first = next(pieces)
    with database.transaction() as session:
        # the dry run was taken back before the first line: somebody else can release meanwhile
        assert releases.release(session, MAYA, STEP).release.number == 2
    rest = b"".join(part if isinstance(part, bytes) else part.encode() for part in pieces).decode()
    answer.close()
    whole = (first if isinstance(first, str) else first.decode()) + rest
    assert [line[0] for line in csv.reader(StringIO(whole, newline=""))][1:] == ids


def test_a_file_that_nobody_reads_to_the_end_leaves_nothing_open(
    manager: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded(database, 40)
    monkeypatch.setattr(export, "CHUNK", 100)
    pool = manager.application.extensions["database"].engine.pool
    for _ in range(8):
        answer = manager.get(f"{PREVIEW}/people.csv", buffered=False)
        next(iter(answer.response))
        answer.close()
    assert manager.head(f"{PREVIEW}/people.csv").status_code == 200
    assert pool.checkedout() == 0


def test_the_file_changes_nothing(manager: FlaskClient, drafted: None, session: Session) -> None:
    before = snapshot(session)
    session.rollback()
    file_of(manager, f"{PREVIEW}/people.csv")
    assert snapshot(session) == before


def test_what_is_refused_is_a_page_and_no_file(manager: FlaskClient, drafted: None) -> None:
    for path, status in {
        "rollback/people.csv": 409,
        "restore/people.csv": 409,
        "release/people.csv?done=maybe": 422,
        "delete/people.csv": 404,
    }.items():
        answer = manager.get(f"{URL}/{path}")
        assert (answer.status_code, answer.mimetype) == (status, "text/html"), path
    assert manager.get("/steps/nowhere/release/people.csv").status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT])
def test_whoever_may_export_may_have_it(client: FlaskClient, database: Database, drafted: None, role: Role) -> None:
    sign_in_as(client, database, role)
    assert len(file_of(client, f"{PREVIEW}/people.csv")) == 4


def test_signed_out_it_is_closed(app: Flask, drafted: None) -> None:
    answer = app.test_client().get(f"{PREVIEW}/people.csv")
    assert answer.location == f"/sign-in?next={PREVIEW}/people.csv"


def test_what_was_predicted_is_in_the_form(manager: FlaskClient, drafted: None) -> None:
    fields = form_of(manager.get(f"{PREVIEW}?{ASK_AGAIN}"), "confirm-release")
    told = {name: fields[name] for name in ("everybody", "affected", "copied", "reset", "restored", "kept_later")}
    assert told == {
        "everybody": "4",
        "affected": "3",
        "copied": "1",
        "reset": "2",
        "restored": "0",
        "kept_later": "0",
    }
