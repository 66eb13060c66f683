"""Finding people: searches, filters and orders against what each person's own page says, and the pages of a list."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import (
    by_progress,
    choosing,
    erasure,
    filters,
    finding,
    paging,
    people,
    progress,
    releases,
    standings,
)
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.filters import SORTS, STATUSES, Filter
from dashboard.onboarding.finding import Found, Page
from dashboard.onboarding.people import Person
from tests import factories
from tests.engine.conftest import ONE_SERVER
from tests.factories import ANNA, BEN, CLEO, HOST, MAYA, OTHER, SAM, STEP, a_draft, a_person, a_release, a_save, a_step


@pytest.fixture
def session(undone_session: Session) -> Session:
    # a coordinator that wrote the checklist by itself cannot be given parts of a list in the same transaction
    undone_session.execute(text("SET LOCAL citus.enable_local_execution = off"))
    return undone_session


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
    assert search(session) == Page([], None, None)
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


@pytest.mark.usefixtures("few_and_many")
@pytest.mark.parametrize(
    ("sort", "value"),
    [
        *(("newest", bad) for bad in ("", "now", "2026-13-01", "2026-01-01", "2026-01-01T00:00:00")),
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
    deadline=None,
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


# Filters and orders ---------------------------------------------------------------------------------------------------

TODAY = datetime.now(UTC).date()
AGED = text("""
UPDATE onboarding_users SET created_at = :joined, last_activity_at = :active, finished_at = coalesce(:finished, finished_at)
 WHERE user_id = :user_id
""")


@pytest.fixture
def crowd(session: Session) -> dict[str, Person]:
    """Thirty people of all kinds, after releases that reset and that reopen; by id, as their own pages tell of them."""
    chance = random.Random(4)
    a_step(session, STEP, weight=30)
    a_step(session, OTHER, weight=20)
    for number, user_id in enumerate(factories.people(session, 30)):
        people.put(session, HOST, user_id, name=f"{chance.choice(['Ann', 'Bo', 'Çelik'])} {number % 7}")
        for step_id in (STEP, OTHER):
            for _ in range(chance.randrange(3)):
                a_save(session, chance.choice(STATUSES), user_id, step_id)
        if number == 15:
            a_release(session, STEP, Policy(skipped=False), weight=40)
        if number == 20:
            a_release(session, OTHER, KEEP_ALL)
            releases.roll_back(session, MAYA, OTHER)
        joined = datetime.now(UTC) - timedelta(days=chance.randrange(40), minutes=30)
        active = chance.choice([None, joined + timedelta(hours=chance.randrange(200))])
        session.execute(AGED, {"user_id": user_id, "joined": joined, "active": active, "finished": None})
    # finished once, and not at 100 any more
    session.execute(AGED, {"user_id": "user-0003", "joined": joined, "active": joined, "finished": joined})
    return {
        user_id: people.find(session, user_id)
        for user_id in session.scalars(text("SELECT user_id FROM onboarding_users"))
    }


def belongs(session: Session, wanted: Filter, person: Person) -> bool:
    """Whether the person matches, by what their own page says."""
    active = person.last_activity_at or person.created_at
    least, most = wanted.progress or (0, 100)
    return (
        wanted.q.lower() in person.name.lower()
        and wanted.status in (None, progress.step_of(session, person.user_id, wanted.step_id or STEP).status)
        and wanted.finished in (None, person.finished)
        and least <= person.progress <= most
        and (wanted.joined_from or date.min) <= person.created_at.date() <= (wanted.joined_to or date.max)
        and (wanted.idle_days is None or active < datetime.now(UTC) - timedelta(days=wanted.idle_days))
    )


FILTERS = [
    Filter(),
    Filter(q="ann"),
    Filter(q="bo", finished=False),
    *(Filter(step_id=step, status=status) for step in (STEP, OTHER) for status in STATUSES),
    Filter(finished=True),
    Filter(finished=False),
    Filter(progress=(0, 0)),
    Filter(progress=(30, 70)),
    Filter(progress=(100, 100)),
    Filter(progress=(1, 2)),
    Filter(progress=(50, 100), finished=True, step_id=STEP, status="done"),
    Filter(joined_from=TODAY - timedelta(days=20)),
    Filter(joined_to=TODAY - timedelta(days=20)),
    Filter(joined_from=TODAY - timedelta(days=20), joined_to=TODAY - timedelta(days=10)),
    Filter(idle_days=10),
    Filter(q="ann", step_id=OTHER, status="done", idle_days=1, joined_from=TODAY - timedelta(days=35)),
]


@pytest.mark.usefixtures("few_and_many")
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_a_filter_finds_whom_their_own_pages_say(session: Session, crowd: dict[str, Person], wanted: Filter) -> None:
    expected = {user_id for user_id, person in crowd.items() if belongs(session, wanted, person)}
    for sort in SORTS:
        listed = [one for page in all_pages(session, replace(wanted, sort=sort), 4) for one in page]
        assert sorted(one.person.user_id for one in listed) == sorted(expected)
        assert [one.person for one in listed] == [crowd[one.person.user_id] for one in listed]
        assert list(finding.stream(session, replace(wanted, sort=sort))) == listed
        for one in listed if wanted.step_id else []:
            assert one.status == progress.step_of(session, one.person.user_id, wanted.step_id or "").status
    assert finding.count(session, wanted) == finding.Count(len(expected), exact=True)
    assert finding.ids(session, wanted, 1000) == sorted(expected)
    assert finding.ids(session, wanted, 2) == [] or len(finding.ids(session, wanted, 2)) <= 2


@pytest.mark.one_server("on a cluster all who match are looked up")
@pytest.mark.parametrize(("walked", "asked"), [(1, [1, None]), (7, [7, None]), (1000, [1000])])
def test_a_common_word_is_found_on_a_walk_and_where_that_is_not_enough_all_are_looked_up(
    session: Session,
    crowd: dict[str, Person],
    walked: int,
    asked: list[int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    within, page = list[int | None](), paging.page
    monkeypatch.setattr(paging, "page", lambda *args, **rest: (within.append(rest["within"]), page(*args, **rest))[1])
    looked_up = all_pages(session, Filter(q="bo"), 2)
    assert {*within} == {None}
    within.clear()
    monkeypatch.setattr(finding, "SOME", 0)
    monkeypatch.setattr(finding, "WALKED", walked)
    assert all_pages(session, Filter(q="bo"), 2) == looked_up
    assert within[: len(asked)] == asked


@pytest.mark.parametrize("wanted", [one for one in FILTERS if one.status or one.finished is not None or one.idle_days])
@pytest.mark.parametrize("looked_into", [1, 4])
def test_those_who_are_many_are_found_percent_by_percent(
    session: Session,
    crowd: dict[str, Person],
    wanted: Filter,
    looked_into: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # whoever is at 100 still counts as finished; those who were once do not any more
    a_draft(session, STEP, title="To be done again")
    releases.release(session, MAYA, STEP, KEEP_ALL, reopens_finished=True)
    crowd = {user_id: people.find(session, user_id) for user_id in crowd}
    for sort in ("furthest", "least"):
        few = [*chain(*all_pages(session, replace(wanted, sort=sort), 4))]
        with monkeypatch.context() as patch:
            patch.setattr(by_progress, "FEW", 0)
            patch.setattr(by_progress, "LOOKED_INTO", looked_into)
            assert [*chain(*all_pages(session, replace(wanted, sort=sort), 4))] == few
        assert {one.person.user_id for one in few} == {one for one in crowd if belongs(session, wanted, crowd[one])}


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


def test_each_order_is_what_it_is_called(session: Session, crowd: dict[str, Person]) -> None:
    def listed(sort: Any) -> list[Person]:
        return [one.person for one in finding.page(session, Filter(sort=sort), limit=100).people]

    def is_sorted(values: list[Any]) -> bool:
        return values == sorted(values) and len(set(values)) > 3

    assert is_sorted([one.name.lower() for one in listed("name")])
    assert is_sorted([one.last_activity_at or one.created_at for one in listed("inactive")])
    assert is_sorted([one.last_activity_at or one.created_at for one in listed("active")][::-1])
    assert is_sorted([one.progress for one in listed("least")])
    assert is_sorted([one.progress for one in listed("furthest")][::-1])
    assert is_sorted([one.created_at for one in listed("oldest")])
    assert is_sorted([one.created_at for one in listed("newest")][::-1])


def test_a_page_by_progress_goes_on_where_it_was_though_its_last_person_is_gone(
    session: Session, crowd: dict[str, Person]
) -> None:
    wanted = Filter(sort="furthest")
    everybody = [one.person.user_id for one in finding.page(session, wanted, limit=100).people]
    first = finding.page(session, wanted, limit=10)
    session.execute(text("DELETE FROM user_steps WHERE user_id = :gone"), {"gone": everybody[9]})
    session.execute(text("DELETE FROM onboarding_users WHERE user_id = :gone"), {"gone": everybody[9]})
    following = finding.page(session, wanted, cursor=first.next, limit=10)
    assert [one.person.user_id for one in following.people] == everybody[10:20]


@pytest.mark.parametrize("sort", ["name", "active", "inactive", "newest", "oldest"])
@pytest.mark.parametrize("status", ["done", "skipped", "in_progress", "todo"])
@ONE_SERVER
def test_pages_of_a_status_are_the_same_whether_enough_are_met_soon_or_not(
    session: Session, crowd: dict[str, Person], monkeypatch: pytest.MonkeyPatch, sort: Any, status: Any
) -> None:
    wanted = Filter(step_id=STEP, status=status, sort=sort)
    by_standing = all_pages(session, wanted)
    monkeypatch.setattr(standings, "FEW_TO_LIST", -1)
    assert all_pages(session, wanted) == by_standing
    monkeypatch.setattr(finding, "LOOKED_AT", 4)
    assert all_pages(session, wanted) == by_standing


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


def test_people_of_one_standing_have_the_same_rows(session: Session, crowd: dict[str, Person]) -> None:
    same = """SELECT count(DISTINCT standing) AS hashes,
                     count(DISTINCT (done_releases, skipped_releases, in_progress_releases)) AS kinds
                FROM onboarding_users"""
    found = session.execute(text(same)).one()
    assert found.hashes == found.kinds > 5


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


@pytest.mark.one_server("on a cluster one shard stands for all")
def test_more_than_are_counted_are_estimated(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.people(session, 60)
    monkeypatch.setattr(finding, "COUNTED", 50)
    session.execute(text("ANALYZE onboarding_users"))
    assert finding.count(session, Filter()) == finding.Count(60, exact=False)
    assert finding.count(session, Filter(q="user-000")) == finding.Count(10, exact=True)


def test_what_would_cost_much_to_count_is_estimated(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.people(session, 60)
    monkeypatch.setattr(finding, "CHEAP", 0)
    assert not finding.count(session, Filter(q="user-000")).exact


def test_a_plan_of_one_shard_is_reckoned_up_for_all() -> None:
    of_shard = {"Node Type": "Seq Scan", "Plan Rows": 70, "Total Cost": 12.5}
    task = {"Node": "host=a port=5432 dbname=a", "Remote Plan": [[{"Plan": of_shard}]]}
    plan = {"Plan Rows": 100000, "Total Cost": 0.0, "Distributed Query": {"Job": {"Task Count": 8, "Tasks": [task]}}}
    assert choosing.expected(of_shard) == (70, 12.5, 1)
    assert choosing.expected(plan) == (560, 100.0, 8)
