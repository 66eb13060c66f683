"""The list of people: searching while one types, pages by cursor, and what it says when there is nothing to list."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.web.finding import PAGE
from tests.conftest import Build
from tests.factories import ANNA, BEN, CLEO, HOST, OTHER, STEP, a_person, a_save, a_step, everybody, people
from tests.web.desk import HOSTILE, HTMX, part, same_however_much_there_is, words


def three_people(session: Session) -> None:
    a_step(session, title="Set up payments")
    a_step(session, OTHER, title="Invite your team")
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    a_save(session, "done")


@pytest.fixture
def three(build: Build, session: Session) -> Session:
    """Anna is half way, Ben and Cleo have not started."""
    build(three_people)
    return session


def listed(page: str) -> list[str]:
    """The ids on the page, in its order."""
    return re.findall(r'data-testid="person-row-([^"]*)"', page)


def test_everybody_is_listed_by_name(viewer: FlaskClient, three: Session) -> None:
    page = viewer.get("/people").text
    assert listed(page) == [ANNA, BEN, CLEO]
    anna = part(page, f"person-row-{ANNA}").partition("</tr>")[0]
    assert 'href="/people/anna"' in anna
    assert "Anna anna@example.com 50" in words(anna)
    assert "Invite your team" in anna
    assert "just now" in anna
    assert "None yet" in part(page, f"person-row-{BEN}").partition("</tr>")[0]


@pytest.mark.parametrize("q", ["anna", "ANN", "nna@exa", "  anna "])
def test_names_emails_and_ids_are_searched(viewer: FlaskClient, three: Session, q: str) -> None:
    assert listed(viewer.get("/people", query_string={"q": q}).text) == [ANNA]


def test_htmx_gets_the_list_alone(viewer: FlaskClient, three: Session) -> None:
    page = viewer.get("/people?q=ben", headers=HTMX).text
    assert page.lstrip().startswith('<div id="people-list"')
    assert listed(page) == [BEN]


def test_the_form_works_alone_and_searches_while_one_types(viewer: FlaskClient, three: Session) -> None:
    form = part(viewer.get("/people?q=%3Cb%3E").text, "people-search").partition("</form>")[0]
    assert 'hx-get="/people"' in form
    assert "delay:250ms" in form
    assert 'hx-push-url="true"' in form
    assert 'value="&lt;b&gt;"' in form
    assert "<button" in form


@pytest.mark.parametrize(
    ("query", "told", "opened"),
    [
        ("", "", False),
        ("?q=anna&sort=newest", "", False),
        (f"?q=anna&step={STEP}", "1 in use", False),
        (f"?step={STEP}&status=todo&idle=7&finished=no", "3 in use", False),
        ("?status=done", "", True),
    ],
)
def test_the_folded_filters_tell_how_many_there_are(
    viewer: FlaskClient, three: Session, query: str, told: str, opened: bool
) -> None:
    page, swapped = (viewer.get(f"/people{query}", headers=headers).text for headers in ({}, HTMX))
    assert "people-filters" in page
    for place in (page, swapped):
        (found,) = re.findall(r'<span id="filters-in-use">(.*)</span>', place)
        assert words(found) == told
    assert ('<details class="more" open>' in page) is opened


def test_pages_lead_on_and_back(viewer: FlaskClient, session: Session) -> None:
    ids = people(session, 2 * PAGE + 1)
    session.commit()
    seen, address, addresses = [], "/people?q=user", []
    while address:
        page = viewer.get(address).text
        seen += listed(page)
        addresses.append(address)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == ids
    assert "q=user" in addresses[-1]
    back = re.search(r'rel="prev" href="([^"]+)"', page)
    assert back
    assert listed(viewer.get(back[1].replace("&amp;", "&")).text) == ids[PAGE : 2 * PAGE]


@pytest.mark.parametrize("cursor", ["x", "%25", "bnVsbA", "W10", "é", "a" * 5000])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_broken_cursor_is_said_to_be_broken(
    viewer: FlaskClient, three: Session, cursor: str, headers: dict[str, str]
) -> None:
    response = viewer.get("/people", query_string={"q": "ann", "cursor": cursor}, headers=headers)
    assert response.status_code == 422
    assert "The link is broken or incomplete." in response.text
    assert 'href="/people?q=ann"' in response.text
    assert "No people listed" in response.text


def test_a_search_that_is_too_long_is_refused_with_the_reason(viewer: FlaskClient, three: Session) -> None:
    response = viewer.get("/people", query_string={"q": "x" * 500})
    assert response.status_code == 422
    assert "The search must be at most 200 characters, not 500." in response.text


@pytest.mark.parametrize("q", ["%", "_", "\\", "' OR 1=1 --", "%%%", "🦊", "א"])
def test_letters_that_mean_something_elsewhere_mean_themselves(viewer: FlaskClient, three: Session, q: str) -> None:
    response = viewer.get("/people", query_string={"q": q})
    assert response.status_code == 200
    assert "No people match" in response.text


def test_no_match_says_what_to_try(viewer: FlaskClient, three: Session) -> None:
    page = viewer.get("/people", query_string={"q": HOSTILE}).text
    assert "<script>alert" not in page
    assert "No people match “&lt;script&gt;" in page
    assert "Show everyone" in page


def test_without_people_it_says_how_to_bring_them_in(viewer: FlaskClient) -> None:
    assert "dashboard people import people.csv" in viewer.get("/people").text


def test_hostile_names_and_ids_are_text(viewer: FlaskClient, session: Session) -> None:
    everybody.put(session, HOST, HOSTILE, name=HOSTILE, email=HOSTILE)
    session.commit()
    page = viewer.get("/people").text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3


def test_the_search_of_the_shell_leads_here(viewer: FlaskClient, three: Session) -> None:
    assert 'action="/people"' in viewer.get("/").text


def test_signed_out_one_is_sent_to_sign_in(client: FlaskClient) -> None:
    assert client.get("/people?q=a").location == "/sign-in?next=/people?q%3Da"
    assert client.get("/people?q=a", headers=HTMX).headers["HX-Redirect"].startswith("/sign-in")


def test_it_takes_as_many_queries_with_more_people_and_steps(viewer: FlaskClient, three: Session) -> None:
    def more() -> None:
        people(three, 10)
        a_step(three, "a-third-step")
        a_save(three, "done", BEN, STEP)
        three.commit()

    # of which two are around what the planner is asked
    assert same_however_much_there_is(viewer, "/people", more) <= 8


# Filters --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found", "chip"),
    [
        (f"step={STEP}&status=done", [ANNA], "Set up payments is Done"),
        (f"step={STEP}&status=todo", [BEN, CLEO], "Set up payments is To do"),
        (f"step={STEP}", [ANNA, BEN, CLEO], "Shows Set up payments"),
        ("progress=50", [ANNA], "Progress 50"),
        ("progress=0-49", [BEN, CLEO], "Progress 0 to 49"),
        ("finished=no&q=e", [], "Not finished"),
        ("finished=no", [ANNA, BEN, CLEO], "Not finished"),
        ("finished=yes", [], "Finished"),
        ("idle=7", [], "No activity for 7 days"),
        ("joined_from=2020-01-01", [ANNA, BEN, CLEO], "Joined from 2020-01-01"),
        ("joined_to=2020-01-01", [], "Joined until 2020-01-01"),
        ("sort=least", [BEN, CLEO, ANNA], ""),
        ("sort=furthest&q=an", [ANNA], "Matches “an”"),
    ],
)
def test_the_list_is_filtered_and_says_by_what(
    viewer: FlaskClient, three: Session, query: str, found: list[str], chip: str
) -> None:
    page = viewer.get(f"/people?{query}").text
    assert listed(page) == found
    assert chip in words(page)
    count = words("<" + part(page, "people-count").partition("</p>")[0])
    assert count.startswith(f"{len(found)} {'person' if len(found) == 1 else 'people'}")


def test_a_chip_leads_to_the_list_without_it(viewer: FlaskClient, three: Session) -> None:
    chips = part(viewer.get(f"/people?q=a&step={STEP}&status=done&sort=newest").text, "people-chips").partition(
        "</div>"
    )[0]
    assert f'href="/people?step={STEP}&amp;status=done&amp;sort=newest"' in chips
    assert 'href="/people?q=a&amp;sort=newest"' in chips
    assert 'href="/people"' in chips


def test_the_status_of_the_chosen_step_is_shown(viewer: FlaskClient, three: Session) -> None:
    page = viewer.get(f"/people?step={STEP}").text
    assert "Done" in part(page, f"person-row-{ANNA}").partition("</tr>")[0]
    assert "To do" in part(page, f"person-row-{BEN}").partition("</tr>")[0]


def test_htmx_gets_the_count_and_the_file_too_and_a_short_address(viewer: FlaskClient, three: Session) -> None:
    answer = viewer.get(f"/people?q=&step={STEP}&status=done&progress=&idle=", headers=HTMX)
    assert answer.headers["HX-Push-Url"] == f"/people?step={STEP}&status=done"
    assert "1 person matches" in answer.text
    assert f'href="/people.csv?step={STEP}&amp;status=done"' in answer.text


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("step=nowhere&status=done", "The step does not exist."),
        ("status=finished", "The status must be one of done, skipped, in_progress, todo."),
        (f"step={STEP}&status=finished", "The status must be one of done, skipped, in_progress, todo."),
        ("joined_from=2026-02-30", "The first day must be a valid date, such as 2026-02-28."),
        ("joined_from=2026-03-01&joined_to=2026-02-01", "The last day is before the first day."),
        ("idle=0", "The days without activity must be a whole number of days from 1 to 3,650."),
        ("progress=101", "The progress must be a percentage or a range such as 40-49, up to 100."),
        ("sort=email", "The sort order must be one of"),
        ("colour=red", "“colour” is not a known filter."),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_the_lists_place(
    viewer: FlaskClient, three: Session, query: str, said: str, headers: dict[str, str]
) -> None:
    answer = viewer.get(f"/people?{query}", headers=headers)
    assert answer.status_code == 422
    assert said in words(part(answer.text, "people-problem"))
    assert listed(answer.text) == []


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_status_waits_for_its_step(viewer: FlaskClient, three: Session, headers: dict[str, str]) -> None:
    """The list stays, which the status does not narrow yet, and the field of the step says what is missing."""
    everybody_far = listed(viewer.get("/people?progress=0").text)
    answer = viewer.get("/people?status=done&progress=0", headers=headers)
    assert answer.status_code == 422
    assert listed(answer.text) == everybody_far != []
    field = re.search(r'<select[^>]* id="step".*?</select>(.*?)</div>', answer.text, re.DOTALL)
    assert field
    assert 'aria-describedby="step-error" aria-invalid="true"' in field[0]
    assert "Choose a step too" in words(field[1])
    assert 'href="/people.csv?progress=0"' in answer.text
    if headers:
        assert answer.headers["HX-Push-Url"] == "/people?progress=0&status=done"
    else:
        assert '<option value="done" selected>Done' in answer.text
    assert viewer.get(f"/people?status=done&step={STEP}", headers=headers).text.count("Choose a step too") == 0


def test_the_marks_of_wrong_filters_follow_the_list(viewer: FlaskClient, three: Session) -> None:
    for query, marked in (("progress=101&q=a", 1), ("progress=25-49&q=a", 0)):
        answer = viewer.get(f"/people?{query}", headers=HTMX).text
        fields = answer.partition('<hx-partial hx-target="#more-fields"')[2].partition("</hx-partial>")[0]
        assert 'id="progress"' in fields
        assert fields.count('aria-invalid="true"') == marked


def test_nothing_is_exported_by_a_status_without_a_step(viewer: FlaskClient, three: Session) -> None:
    answer = viewer.get("/people.csv?status=done")
    assert answer.status_code == 422
    assert "The status needs a step." in answer.text


def test_what_was_asked_for_stays_in_the_form(viewer: FlaskClient, three: Session) -> None:
    form = part(viewer.get("/people?status=done&joined_from=2026-02-30&idle=20").text, "people-search").partition(
        "</form>"
    )[0]
    assert '<option value="done" selected>' in form
    assert 'value="2026-02-30"' in form
    assert '<option value="20" selected>20 days' in form
    assert form.count('aria-invalid="true" aria-describedby="people-problem"') == 1


def test_a_cursor_of_another_order_is_broken(viewer: FlaskClient, session: Session) -> None:
    people(session, PAGE + 1)
    session.commit()
    following = re.search(r'rel="next" href="([^"]+)"', viewer.get("/people?sort=newest").text)
    assert following
    address = following[1].replace("&amp;", "&")
    assert viewer.get(address).status_code == 200
    assert viewer.get(address.replace("newest", "oldest")).status_code == 422


# As a file ------------------------------------------------------------------------------------------------------------


def test_the_file_has_all_who_match_in_their_order(viewer: FlaskClient, three: Session) -> None:
    answer = viewer.get(f"/people.csv?step={STEP}&sort=least")
    lines = answer.text.splitlines()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="people.csv"'
    assert lines[0].startswith("user_id,name,email,joined_at,progress,finished")
    assert [line.split(",")[0] for line in lines[1:]] == [BEN, CLEO, ANNA]
    assert lines[3].endswith(f",Invite your team,{STEP},done")


def test_a_file_of_what_cannot_be_asked_for_is_refused(viewer: FlaskClient, three: Session) -> None:
    answer = viewer.get("/people.csv?idle=x")
    assert answer.status_code == 422
    assert "The days without activity must be a whole number" in answer.text


def test_the_file_has_nothing_that_a_spreadsheet_runs(viewer: FlaskClient, session: Session) -> None:
    everybody.put(session, HOST, "=1+1", name="@SUM(1)", email="+1")
    session.commit()
    assert viewer.get("/people.csv").text.splitlines()[1].startswith("'=1+1,'@SUM(1),'+1,")
