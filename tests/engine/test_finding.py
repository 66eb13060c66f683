"""Finding people: searches, filters and orders against what each person's own page says, and the pages of a list."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from dashboard.onboarding import by_progress, choosing, erasure, filters, finding, people, standings
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.filters import Filter
from dashboard.onboarding.finding import Count, Found, Page
from tests import factories
from tests.databases import sent
from tests.engine.conftest import rows_read
from tests.factories import ANNA, BEN, CLEO, HOST, OTHER, SAM, STEP, a_person, a_save, a_step


def search(session: Session, q: str = "", *, cursor: str | None = None, limit: int = 50) -> Page:
    return finding.page(session, Filter(q=q.strip()), cursor=cursor, limit=limit)


def names(found: Page) -> list[str]:
    return [one.person.name for one in found.people]


def all_pages(session: Session, wanted: Filter = Filter(), limit: int = 2) -> list[list[Found]]:  # noqa: B008 - frozen
    """Every page from the first to the last, having walked back from the last to the first over the same ones."""
    page = finding.page(session, wanted, limit=limit)
    assert page.previous is None
    forward = [page]
    while page.next:
        page = finding.page(session, wanted, cursor=page.next, limit=limit)
        if page.people:
            forward.append(page)
        assert len(forward) < 100
    back = list(forward[-1].people)
    previous = forward[-1].previous
    while previous:
        page = finding.page(session, wanted, cursor=previous, limit=limit)
        back = [*page.people, *back]
        previous = page.previous
        assert len(back) < 200
    assert back == [*chain(*(page.people for page in forward))]
    return [list(page.people) for page in forward]


# Searching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("", ["Anna", "Ben", "Cleo"]),
        ("  ", ["Anna", "Ben", "Cleo"]),
        ("ANNA", ["Anna"]),
        (" B", ["Ben"]),
        ("e", []),
        ("exa", ["Anna", "Ben", "Cleo"]),
        ("leo", ["Cleo"]),
        ("ben@example", ["Ben"]),
        ("nobody", []),
        ("%", []),
        ("_", []),
        ("\\", []),
        ("' OR 1=1 --", []),
    ],
)
def test_people_are_found_by_a_part_of_name_email_or_id(session: Session, q: str, found: list[str]) -> None:
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    assert names(search(session, q)) == found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50])
def test_whoever_is_called_what_is_searched_for_comes_first(session: Session, limit: int) -> None:
    called = ["Zo", "Zoë Berg", "Zora Xu", "Ann Zorn", "Bo Zo"]
    for user_id, name in zip(factories.people(session, 6), [*called[::-1], "Cleo"], strict=True):
        people.put(session, HOST, user_id, name=name)
    wanted = Filter(q="ZO")
    assert [one.person.name for page in all_pages(session, wanted, limit) for one in page] == called
    assert [one.person.name for one in finding.stream(session, wanted)] == called


@pytest.mark.one_server("on a cluster all who match are looked up")
def test_what_stands_far_back_in_long_words_is_found_on_a_walk_too(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "SOME", 0)
    people.put(session, HOST, BEN, name=f"Ben {'x' * 190}", email="needle@example.com")
    people.put(session, HOST, "dora", name=f"Ben {'y' * 190}", email="hay@example.com")
    for user_id in (ANNA, CLEO):
        people.put(session, HOST, user_id, name=f"The Needle {user_id}")
    found = [one.person.user_id for page in all_pages(session, Filter(q="needle"), 1) for one in page]
    assert found == [BEN, ANNA, CLEO]


@pytest.mark.parametrize("name", ["100 % Bob", "snake_case", "back\\slash", "Ärzte", "İpek", "ΝΙΚΟΣ", "Straße", "ǅ"])
@pytest.mark.parametrize("spelled", [str, str.lower])
def test_a_name_is_found_as_it_is_written_whatever_is_in_it(session: Session, name: str, spelled: Any) -> None:
    a_person(session, BEN, "Somebody else, abc")
    a_person(session, ANNA, name)
    if spelled is str or name not in ("İpek", "ΝΙΚΟΣ"):  # these two have more than one lower case
        assert names(search(session, spelled(name))) == [name]


@pytest.mark.parametrize(
    ("name", "q", "found"),
    [
        ("Łukasz Żółć", "lukasz zolc", True),
        ("Lukasz", "Łukasz", True),
        ("Ælfred", "aelfred", True),
        ("Straße", "STRASSE", True),
        ("Zoë", "zoe", True),
        ("Zoe\u0308", "Zoë", True),
        ("Ｆｕｌｌ", "full", True),
        ("نادية", "نادية", True),
        ("李小龍", "小龍", True),
        ("🦊 Fox", "🦊 f", True),
        ("Ada  Lovelace", "ada lovelace", True),
        ("Ada \t Lovelace", "ada lovelace", True),
        ("Ada\u00a0\u2003Lovelace", "ada lovelace", True),
        ("Ada Lovelace", "ada  \u00a0lovelace", True),
        ("Zoe", "\u0301", False),
        ("Zoe", "\u0301\u0308", False),
        ("Zoe", "z\u0301", True),
        ("100% sure_thing", "100%", True),
        ("100 sure", "100%", False),
        ("sure thing", "sure_thing", False),
        ("back\\slash", "k\\s", True),
        ("Ann", "％", False),
    ],
)
def test_accents_case_and_wildcards_of_a_search(session: Session, name: str, q: str, found: bool) -> None:
    a_person(session, BEN)
    people.put(session, HOST, ANNA, name=name)
    assert names(search(session, q)) == ([name] if found else [])


def test_a_person_is_found_by_the_new_name_and_not_by_the_old(session: Session) -> None:
    a_person(session, ANNA, "Anna Before")
    people.put(session, HOST, ANNA, name="Anna After")
    assert names(search(session, "before")) == []
    assert names(search(session, "after")) == ["Anna After"]


@pytest.mark.one_server("what is forbidden to the planner here is not forbidden on the nodes")
@pytest.mark.parametrize("q", ["anna", "an", "a"])
def test_search_is_used_with_the_index(session: Session, q: str) -> None:
    session.execute(text("SET LOCAL enable_seqscan = off"))
    plan = session.scalars(
        text("EXPLAIN " + f"SELECT FROM {choosing.ONLY_SEARCHED} u WHERE {choosing.MATCHES}"),
        {"pattern": session.scalar(choosing.PATTERN, {"q": q})},
    ).all()
    assert any("ix_user_search_words" in line for line in plan)


# Pages ----------------------------------------------------------------------------------------------------------------


def test_pages_lead_forward_and_back_over_equal_names(session: Session) -> None:
    for number in range(5):
        a_person(session, f"p{number}", "Same")
    pages = all_pages(session)
    assert [[one.person.user_id for one in page] for page in pages] == [["p0", "p1"], ["p2", "p3"], ["p4"]]


def test_the_only_page_leads_nowhere(session: Session) -> None:
    assert search(session) == Page([], None, None, Count(0, exact=True))
    a_person(session)
    page = search(session)
    assert (page.previous, page.next) == (None, None)


def test_a_page_after_the_last_person_is_empty(session: Session) -> None:
    a_person(session, ANNA)
    a_person(session, BEN)
    page = search(session, limit=1)
    session.execute(text("DELETE FROM onboarding_users WHERE user_id = :gone"), {"gone": BEN})
    assert search(session, cursor=page.next, limit=1).people == []


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "\ud800",
        "!!!!",
        "a" * 10_000,
        packed(5),
        packed("abc"),
        packed({}),
        packed(["after", "name", "a"]),
        packed(["after", "name", "a", "b", "c"]),
        packed(["sideways", "name", "a", "b"]),
        packed([["after"], "name", "a", "b"]),
        packed(["after", "oldest", "a", "b"]),
        packed(["after", "name", 1, "b"]),
        packed(["after", "name", "a", None]),
        packed(["after", "name", "a\0", "b"]),
        packed(["after", "name", "a", "\ud800"]),
        packed(["after", "name", "a" * 1001, "b"]),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_a_broken_cursor_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        search(session, cursor=cursor)
    assert list(refused.value.problems) == ["cursor"]


@pytest.mark.parametrize("value", ["", " ann", "Begins  ann", "between  ann"])
def test_a_cursor_into_no_part_of_a_search_is_refused(session: Session, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        search(session, "ann", cursor=packed(["after", "words", value, ANNA]))
    assert list(refused.value.problems) == ["cursor"]


@pytest.mark.parametrize("start", ["2999-W01-1T00:00:00+00:00", "2999-01-01T00:00:00+23:59"])
def test_a_cursor_may_tell_its_moment_in_any_form_that_is_one(session: Session, start: str) -> None:
    a_person(session)
    page = finding.page(session, Filter(sort="newest"), cursor=packed(["after", "newest", start, ANNA]))
    assert [found.person.user_id for found in page.people] == [ANNA]


@pytest.mark.usefixtures("few_and_many")
@pytest.mark.parametrize(
    ("sort", "value"),
    [
        *(("newest", bad) for bad in ("", "now", "2026-13-01", "2026-01-01", "2026-01-01T00:00:00")),
        ("newest", "0001-01-01T00:00:00+10:00"),
        *(("furthest", bad) for bad in ("", "5", "5 x", "x 5", "5 99999999999999999999", "5 9223372036854775808")),
    ],
)
def test_a_cursor_that_starts_nowhere_is_refused(session: Session, sort: Any, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        finding.page(session, Filter(sort=sort), cursor=packed(["after", sort, value, ANNA]))
    assert list(refused.value.problems) == ["cursor"]


SOME_NAMES = st.one_of(
    st.sampled_from(["", "Same", "same", "SAME", "%", "_", "\\", "İpek", "ipek", "ΝΙΚΟΣ", "νικοσ", "νικος", "ß", "ẞ"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)


@settings(
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(given_names=st.lists(SOME_NAMES, max_size=9), limit=st.integers(1, 4))
def test_paging_visits_everybody_exactly_once(session: Session, given_names: list[str], limit: int) -> None:
    with session.begin_nested() as example:
        for number, name in enumerate(given_names):
            people.put(session, SAM, f"p{number}", name=name)
        visited = [one.person.user_id for page in all_pages(session, limit=limit) for one in page]
        assert sorted(visited) == sorted(f"p{number}" for number in range(len(given_names)))
        example.rollback()


def test_a_crowd_is_made_in_one_statement(session: Session) -> None:
    assert factories.people(session, 3) == ["user-0000", "user-0001", "user-0002"]
    assert len(search(session).people) == 3


# Meanwhile ------------------------------------------------------------------------------------------------------------


def test_a_stream_tells_of_whoever_moved_on_or_was_erased_meanwhile(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_step(session)
    for user_id in (ANNA, BEN, CLEO):
        a_person(session, user_id)
    a_save(session, "done", ANNA)
    a_save(session, "in_progress", BEN)
    told = finding._told

    def moved(session: Session, wanted: Filter, user_id: str | None = None) -> Any:
        if user_id is None:
            a_save(session, "skipped", ANNA)
            erasure.erase(session, SAM, BEN, BEN)
        return told(session, wanted, user_id)

    monkeypatch.setattr(finding, "_told", moved)
    found = list(finding.stream(session, Filter(step_id=STEP)))
    assert [(one.person.user_id, one.status, one.person.progress) for one in found] == [
        (ANNA, "skipped", 100),
        (CLEO, "todo", 0),
    ]


def test_nobody_is_passed_over_when_a_page_ended_with_the_last_of_a_percent_who_moved_on(session: Session) -> None:
    for step_id, weight in ((STEP, 30), (OTHER, 60), ("third", 10)):
        a_step(session, step_id, weight=weight)
    a_person(session)
    a_save(session, "done")
    # four standings of one percent, of which some come before Anna's and some after it
    for status in ("done", "skipped"):
        for other in ("in_progress", "todo"):
            a_person(session, f"{status} {other}")
            a_save(session, status, f"{status} {other}", OTHER)
            a_save(session, other, f"{status} {other}", "third")
    wanted = Filter(sort="least")
    first = finding.page(session, wanted, limit=1)
    assert [one.person.user_id for one in first.people] == [ANNA]
    a_save(session, "todo")
    following = finding.page(session, wanted, cursor=first.next, limit=100)
    assert len(following.people) == 4


# What was asked for ---------------------------------------------------------------------------------------------------


def test_a_filter_is_read_from_what_an_address_says(session: Session) -> None:
    a_step(session)
    said = {
        "q": " an ",
        "step": STEP,
        "status": "in_progress",
        "finished": "no",
        "progress": "40-49",
        "joined_from": "2026-02-28",
        "joined_to": "2026-02-28",
        "idle": "14",
        "sort": "inactive",
    }
    day = date(2026, 2, 28)
    assert filters.read(session, said) == Filter("an", STEP, "in_progress", False, (40, 49), day, day, 14, "inactive")
    assert filters.read(session, dict.fromkeys(said, " ")) == Filter()
    assert filters.read(session, {"progress": "100"}).progress == (100, 100)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        *(({"q": bad}, "q") for bad in ("x" * 201, "a\0b", "\ud800")),
        *(({"step": bad}, "step") for bad in ("nowhere", "only-a-draft", "x" * 500, "a\0b", "%")),
        ({"step": STEP, "status": "finished"}, "status"),
        ({"status": "done"}, "status"),
        *(({"finished": bad}, "finished") for bad in ("1", "maybe", "true")),
        *(({"progress": bad}, "progress") for bad in ("101", "-1", "50-40", "0-101", "a", "1-", "٣", "1000")),
        *(
            ({member: bad}, member)
            for member in ("joined_from", "joined_to")
            for bad in ("2026-02-29", "2026-13-01", "20260101", "yesterday", "2026-1-1", "0001-01-01", "9999-12-31")
        ),
        ({"joined_from": "2026-02-02", "joined_to": "2026-02-01"}, "joined_to"),
        *(({"idle": bad}, "idle") for bad in ("0", "-1", "3651", "1.5", "many", "9" * 30)),
        ({"sort": "email"}, "sort"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_a_filter_is_named(session: Session, said: dict[str, str], named: str) -> None:
    a_step(session)
    a_step(session, "only-a-draft", released=False)
    with pytest.raises(Invalid) as refused:
        filters.read(session, said)
    assert list(refused.value.problems) == [named]


@pytest.fixture
def counted_again(shared_connection: Connection, begun: object) -> Iterator[None]:
    """What ANALYZE says of a table's size is not taken back with what a test did: it is said anew."""
    yield
    shared_connection.execute(text("ANALYZE onboarding_users"))


@pytest.mark.usefixtures("counted_again")
@pytest.mark.one_server("on a cluster one shard stands for all")
def test_more_than_are_counted_are_estimated(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.people(session, 60)
    monkeypatch.setattr(finding, "MOST_COUNTED", 50)
    session.execute(text("ANALYZE onboarding_users"))
    assert finding.page(session, Filter()).count == finding.Count(60, exact=False)
    assert finding.page(session, Filter(q="user-000")).count == finding.Count(10, exact=True)


@pytest.mark.one_server("how many standings there are is not told on a cluster")
def test_those_of_a_status_are_counted_whatever_the_planner_expects(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_step(session)
    for user_id in factories.people(session, 12)[:5]:
        a_save(session, "done", user_id)
    monkeypatch.setattr(finding, "CHEAP", -1)
    done = Filter(step_id=STEP, status="done")
    assert finding.page(session, done).count == finding.Count(5, exact=True)
    monkeypatch.setattr(finding, "MOST_COUNTED", 4)
    assert not finding.page(session, done).count.exact
    assert not finding.page(session, replace(done, q="user")).count.exact


def test_what_would_cost_much_to_count_is_estimated(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.people(session, 60)
    monkeypatch.setattr(finding, "CHEAP", 0)
    assert not finding.page(session, Filter(q="user-000")).count.exact


def test_a_plan_of_one_shard_is_reckoned_up_for_all() -> None:
    of_shard = {"Node Type": "Seq Scan", "Plan Rows": 70, "Total Cost": 12.5}
    task = {"Node": "host=a port=5432 dbname=a", "Remote Plan": [[{"Plan": of_shard}]]}
    plan = {"Plan Rows": 100000, "Total Cost": 0.0, "Distributed Query": {"Job": {"Task Count": 8, "Tasks": [task]}}}
    assert choosing.expected(of_shard) == (70, 12.5, 1)
    assert choosing.expected(plan) == (560, 100.0, 8)


CROWD = """
INSERT INTO onboarding_users (user_id, name, created_at, last_activity_at, done_releases, finished_at)
SELECT 'usr-' || i, 'Name ' || md5(i::text), now() - i % 400 * interval '1 day', now() - i % 100 * interval '1 day',
       (CAST(:releases AS int[]))[1:i % 5], CASE WHEN {finished} THEN now() END
  FROM generate_series(1, 20000) i
"""


@pytest.mark.usefixtures("counted_again")
@pytest.mark.one_server("a plan shows one shard of many")
@pytest.mark.parametrize("few_standings", [True, False])
@pytest.mark.parametrize("wanted", [Filter(finished=True, sort=sort) for sort in ("name", "active", "furthest")])
def test_the_few_who_have_finished_are_found_without_a_look_at_all_others(
    session: Session, monkeypatch: pytest.MonkeyPatch, few_standings: bool, wanted: Filter
) -> None:
    monkeypatch.setattr(standings, "FEW_TO_LIST", 5_000 if few_standings else -1)
    a_crowd(session, finished="i IN (4, 10004, 19004)")
    assert 0 < read_of_people(session, wanted) < 100


@pytest.mark.usefixtures("counted_again")
@pytest.mark.one_server("a plan shows one shard of many")
def test_nor_are_all_at_100_looked_at_for_those_who_have_not_finished(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_progress, "FEW", 0)
    a_crowd(session, finished="i % 5 = 4")
    assert 0 < read_of_people(session, Filter(finished=False, sort="furthest")) < 1_000


def a_crowd(session: Session, finished: str) -> None:
    for number in range(4):
        a_step(session, f"step-{number}")
    made = list(session.scalars(text("SELECT id FROM step_releases ORDER BY id")))
    session.execute(text(CROWD.format(finished=finished)), {"releases": made})
    session.execute(text("ANALYZE onboarding_users"))


def read_of_people(session: Session, wanted: Filter) -> int:
    """How many people a page of the list looks at, but for a sample and for what goes through all standings' index."""
    table = "onboarding_users"
    with sent(session.connection(), table) as seen:
        finding.page(session, wanted, limit=25)
    asked = [(one, of) for one, of in seen if not one.startswith("EXPLAIN") and "TABLESAMPLE" not in one]
    return sum(rows_read(session, one, of, table) for one, of in asked)
