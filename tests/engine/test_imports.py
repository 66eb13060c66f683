"""Import of people from CSV: what comes in, what is refused by line and reason, and that nothing is half imported."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import (
    activity,
    batch,
    bulk_write,
    drafts,
    erasure,
    history,
    imports,
    invariants,
    loading,
    past,
    people,
    progress,
    releases,
    user_steps,
)
from dashboard.onboarding.activity_filter import ActivityFilter
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.batch import Update
from dashboard.onboarding.errors import Invalid, Refused
from dashboard.onboarding.loading import BadRows, Imported, Problem
from dashboard.onboarding.user_steps import UserStep
from tests.conftest import Build
from tests.factories import ANNA, BEN, HOST, MAYA, OTHER, SAM, STEP, a_person, a_release, a_save, a_step, events_of_step

IMPORTER = Actor("system:import", "import")
HEADER = f"user_id,name,email,{STEP},{OTHER}\n"


def two_steps(session: Session) -> None:
    a_step(session, STEP, weight=60)
    a_step(session, OTHER, weight=40)


@pytest.fixture
def session(build: Build, committing_session: Session) -> Session:
    build(two_steps)
    return committing_session


def load(session: Session, content: str | bytes) -> Imported:
    data = content.encode() if isinstance(content, str) else content
    return imports.import_csv(session, IMPORTER, io.BytesIO(data))


def step(session: Session, user_id: str, step_id: str = STEP) -> UserStep:
    return user_steps.step_of(session, user_id, step_id)


def counts(session: Session) -> dict[str, int]:
    tables = ("onboarding_users", "user_steps", "user_step_events", "audit_log")
    return {table: session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables}


def broken(session: Session) -> list[str]:
    return [check.promise for check in invariants.check(session) if not check.holds]


def problems_of(session: Session, content: str | bytes) -> list[Problem]:
    """What a file is refused for; nothing may have changed."""
    session.commit()
    before = counts(session)
    with pytest.raises(BadRows) as refused:
        load(session, content)
    session.rollback()
    assert counts(session) == before
    assert refused.value.total >= len(refused.value.listed)
    return list(refused.value.listed)


# What comes in -------------------------------------------------------------------------------------------------------


def test_new_people_come_in_with_what_they_did(session: Session) -> None:
    done = load(session, HEADER + f"{ANNA},Anna Berg,anna@example.com,done,in_progress\n{BEN},Ben,,,skipped\n")
    assert (done.new_people, done.updated_people, done.statuses) == (2, 0, 3)
    anna = people.find(session, ANNA)
    assert (anna.name, anna.email, anna.progress, anna.finished) == ("Anna Berg", "anna@example.com", 60, False)
    assert [one.status for one in user_steps.steps_of(session, ANNA)] == ["done", "in_progress"]
    assert [one.status for one in user_steps.steps_of(session, BEN)] == ["todo", "skipped"]
    assert broken(session) == []


def test_each_status_is_one_event_that_history_explains(session: Session) -> None:
    load(session, HEADER + f"{ANNA},Anna,,done,\n")
    (change,) = history.changes_since(session, ANNA, STEP, 1)
    assert (change.kind, change.source, change.from_status, change.to_status) == ("event", "import", "todo", "done")
    assert change.row_version == step(session, ANNA).row_version == 2


def test_row_versions_go_on_from_the_releases_before(session: Session) -> None:
    a_release(session)
    a_release(session)
    load(session, HEADER + f"{ANNA},Anna,,done,\n")
    assert step(session, ANNA).row_version == 4
    told = history.explain(events_of_step(session, ANNA), history.releases_of(session)[STEP])
    assert [(change.kind, change.row_version) for change in told] == [("release", 2), ("release", 3), ("event", 4)]
    assert broken(session) == []


def test_whoever_is_through_is_finished(session: Session) -> None:
    load(session, HEADER + f"{ANNA},Anna,,done,skipped\n{BEN},Ben,,done,\n")
    assert [people.find(session, one).finished for one in (ANNA, BEN)] == [True, False]


def test_somebody_without_anything_done_has_no_rows_and_no_activity(session: Session) -> None:
    load(session, HEADER + f"{ANNA},Anna,,,todo\n")
    assert people.find(session, ANNA).last_activity_at is None
    assert counts(session)["user_steps"] == 0


def test_columns_may_stand_in_any_order_and_name_and_email_may_be_missing(session: Session) -> None:
    load(session, f"{OTHER},user_id\ndone,{ANNA}\n")
    assert step(session, ANNA, OTHER).status == "done"
    assert people.find(session, ANNA).name == ""


def test_a_byte_order_mark_line_ends_of_windows_and_blank_lines_are_fine(session: Session) -> None:
    content = b"\xef\xbb\xbf" + f"user_id,{STEP}\r\n\r\n{ANNA},done\r\n\r\n".encode()
    assert load(session, content).new_people == 1


def test_quoted_fields_keep_commas_quotes_and_line_breaks(session: Session) -> None:
    load(session, f'user_id,name\n"{ANNA}","Berg, ""Anna""\nvon"\n')
    assert people.find(session, ANNA).name == 'Berg, "Anna"\nvon'


def test_a_tab_and_a_backslash_survive_the_copy(session: Session) -> None:
    load(session, "user_id,name\na\\N,\\. and\t\\t\n")
    assert people.find(session, "a\\N").name == "\\. and\t\\t"


def test_a_file_with_a_header_alone_imports_nobody(session: Session) -> None:
    assert load(session, HEADER) == Imported()


def test_progress_is_told_and_ends_at_the_total(session: Session) -> None:
    told: list[tuple[str, int, int | None]] = []
    lines = HEADER + "".join(f"u{number},,,done,\n" for number in range(12_000))
    imports.import_csv(
        session, IMPORTER, io.BytesIO(lines.encode()), total=12_001, progress=lambda *one: told.append(one)
    )
    reading = [done for stage, done, _ in told if stage == "Reading"]
    assert reading == sorted(reading)
    assert reading[-1] == 12_001
    assert told[-1] == ("Done", 12_000, 12_000)


def test_progress_is_told_of_records_of_several_lines_too(session: Session) -> None:
    told = [0]
    people = "".join(f'u{number},"one\ntwo\nthree",,,\n' for number in range(10_000))
    imports.import_csv(
        session,
        IMPORTER,
        io.BytesIO((HEADER + people).encode()),
        progress=lambda stage, done, _: told.append(done) if stage == "Reading" else None,
    )
    assert told[-1] == 30_001
    assert all(after - before < imports.TOLD_EVERY + 3 for before, after in pairwise(told))


# People who are there already ----------------------------------------------------------------------------------------


def test_a_status_that_differs_is_a_write_on_top_of_the_present_one(session: Session) -> None:
    a_person(session)
    progress.save(session, HOST, ANNA, STEP, "in_progress", 1)
    done = load(session, HEADER + f"{ANNA},,,done,in_progress\n")
    assert (done.new_people, done.statuses, done.unchanged) == (0, 2, 0)
    assert (step(session, ANNA).status, step(session, ANNA).row_version) == ("done", 3)
    (change,) = history.changes_since(session, ANNA, STEP, 2)
    assert (change.source, change.from_status, change.to_status) == ("import", "in_progress", "done")
    assert people.find(session, ANNA).progress == 60
    assert broken(session) == []


def test_the_same_file_again_writes_nothing(session: Session) -> None:
    content = HEADER + f"{ANNA},Anna,a@example.com,done,in_progress\n{BEN},Ben,,skipped,\n"
    load(session, content)
    before = counts(session)
    done = load(session, content)
    assert (done.new_people, done.updated_people, done.statuses, done.unchanged) == (0, 0, 0, 3)
    assert counts(session) == before | {"audit_log": before["audit_log"] + 1}


def test_an_empty_cell_leaves_what_is_there_and_todo_puts_it_back(session: Session) -> None:
    load(session, HEADER + f"{ANNA},Anna,a@example.com,done,done\n")
    load(session, HEADER + f"{ANNA},,,,todo\n")
    assert [one.status for one in user_steps.steps_of(session, ANNA)] == ["done", "todo"]
    anna = people.find(session, ANNA)
    assert (anna.name, anna.email) == ("Anna", "a@example.com")
    assert broken(session) == []


def test_what_a_release_reset_is_compared_as_it_counts_now(session: Session) -> None:
    load(session, HEADER + f"{ANNA},,,in_progress,\n")
    a_release(session)
    assert load(session, HEADER + f"{ANNA},,,todo,\n").statuses == 0
    assert load(session, HEADER + f"{ANNA},,,in_progress,\n").statuses == 1
    assert step(session, ANNA).row_version == 4
    assert broken(session) == []


def test_name_and_email_are_updated(session: Session) -> None:
    a_person(session)
    done = load(session, f"user_id,name,email\n{ANNA},Anna Berg,new@example.com\n")
    assert done.updated_people == 1
    anna = people.find(session, ANNA)
    assert (anna.name, anna.email) == ("Anna Berg", "new@example.com")


def test_an_import_can_finish_somebody(session: Session) -> None:
    load(session, HEADER + f"{ANNA},,,done,\n")
    load(session, HEADER + f"{ANNA},,,,done\n")
    assert people.find(session, ANNA).finished


def test_an_import_beside_other_writers_loses_no_write(
    session: Session, connect: Callable[[], psycopg.Connection[object]]
) -> None:
    a_person(session)
    session.commit()
    other = connect()
    # the person before the row, as every write does
    other.execute("SELECT FROM onboarding_users WHERE user_id = %s FOR NO KEY UPDATE", [ANNA])
    other.execute(
        "INSERT INTO user_steps (user_id, step_id, status, release_id, row_version, updated_by) "
        "SELECT %s, %s, 'skipped', current_release_id, 2, 'x' FROM steps WHERE step_id = %s",
        [ANNA, STEP, STEP],
    )
    outcome: list[Imported] = []
    importing = threading.Thread(target=lambda: outcome.append(load(session, HEADER + f"{ANNA},,,done,\n")))
    importing.start()
    importing.join(0.5)
    assert importing.is_alive(), "the import must wait for the write that is under way"
    other.execute(
        "UPDATE onboarding_users SET skipped_releases = ARRAY(SELECT release_id FROM user_steps WHERE user_id = %s)"
        " WHERE user_id = %s",
        [ANNA, ANNA],
    )
    other.execute(
        "INSERT INTO user_step_events (user_id, step_id, row_version, at, actor, source, from_status, to_status, release_id)"
        " SELECT user_id, step_id, 2, updated_at, 'x', 'web', 'todo', 'skipped', release_id FROM user_steps"
    )
    other.commit()
    importing.join(10)
    assert outcome[0].statuses == 1
    assert (step(session, ANNA).status, step(session, ANNA).row_version) == ("done", 3)
    assert broken(session) == []


def before_a_lock(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Something `happens` just before an import locks a group of the people that it knew."""
    lock = bulk_write.lock

    def late(session: Session, group: list[str]) -> list[str]:
        happens()
        return lock(session, group)

    monkeypatch.setattr(bulk_write, "lock", late)


def test_what_is_saved_before_the_import_has_the_person_is_dated_before_it(
    session: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_person(session)
    session.commit()
    between: list[Any] = []

    def meanwhile() -> None:
        with database.transaction() as other:
            a_save(other, "in_progress")
        with database.transaction() as other:
            between.append(other.scalar(text("SELECT now()")))

    before_a_lock(monkeypatch, meanwhile)
    load(session, HEADER + f"{ANNA},,,done,done\n")
    session.commit()
    anna = people.find(session, ANNA)
    assert [(event.to_status, event.at < between[0]) for event in events_of_step(session, ANNA)] == [
        ("in_progress", True),
        ("done", False),
    ]
    assert anna.finished_at == anna.last_activity_at == max(event.at for event in history.events_of(session, ANNA))
    then = past.as_of(session, ANNA, between[0])
    assert (then.person.progress, then.person.finished) == (0, False)
    newest = activity.page(session, ActivityFilter()).entries
    assert [entry.action for entry in newest[:4]] == ["people.import", *["status.change"] * 3]
    assert broken(session) == []


def test_a_step_that_is_withdrawn_meanwhile_stops_the_import(
    session: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_person(session)
    session.commit()
    before = counts(session)

    def meanwhile() -> None:
        with database.transaction() as other:
            releases.withdraw(other, MAYA, STEP)
        with database.transaction() as other:
            releases.restore(other, MAYA, STEP)
            releases.withdraw(other, MAYA, OTHER)

    before_a_lock(monkeypatch, meanwhile)
    with pytest.raises(Refused, match=f"Withdrawn since this import began: {OTHER}, {STEP}. Run the import again."):
        load(session, HEADER + f"{ANNA},,,done,done\n")
    session.rollback()
    assert counts(session) == before | {"audit_log": before["audit_log"] + 3}


def test_it_does_so_too_where_everybody_in_the_file_is_new(
    session: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counts(session)
    add_people = loading.add_people

    def late(*given: Any) -> int:
        with database.transaction() as other:
            releases.withdraw(other, MAYA, STEP)
        return add_people(*given)

    monkeypatch.setattr(imports, "add_people", late)
    with pytest.raises(Refused, match=f"Withdrawn since this import began: {STEP}. Run the import again."):
        load(session, HEADER + f"{ANNA},,,done,done\n")
    session.rollback()
    assert counts(session) == before | {"audit_log": before["audit_log"] + 1}


def test_imports_and_saves_of_the_same_people_wait_for_each_other_in_no_circle(
    session: Session, database: Database
) -> None:
    everybody = [f"u-{number:03}" for number in range(120)]
    for user_id in everybody:
        people.ensure(session, HOST, user_id)
    session.commit()
    start = threading.Barrier(4)

    def bring_in(turn: int) -> None:
        # new names too, for these are written first
        lines = "".join(f"{user_id},Name {turn},,done,skipped\n" for user_id in everybody)
        start.wait()
        with database.transaction() as session:
            load(session, HEADER + lines)

    def save(backwards: bool) -> None:
        order = everybody[::-1] if backwards else everybody
        start.wait()
        for _ in range(2):
            with database.transaction() as session:
                batch.save(session, HOST, STEP, "in_progress", [Update(user_id, 1) for user_id in order])

    with ThreadPoolExecutor(4) as pool:
        for done in (
            pool.submit(bring_in, 1),
            pool.submit(bring_in, 2),
            pool.submit(save, True),
            pool.submit(save, False),
        ):
            done.result()
    with database.transaction() as session:
        assert broken(session) == []
        assert {step(session, user_id, OTHER).status for user_id in everybody} == {"skipped"}


def test_whoever_is_erased_meanwhile_is_counted_nowhere(
    session: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user_id in (ANNA, BEN):
        a_person(session, user_id)
    progress.save(session, HOST, ANNA, STEP, "done", 1)
    session.commit()

    def meanwhile() -> None:
        with database.transaction() as other:
            if other.scalar(text("SELECT count(*) FROM onboarding_users")) == 2:
                erasure.erase(other, SAM, ANNA, ANNA)

    before_a_lock(monkeypatch, meanwhile)
    done = load(session, HEADER + f"{ANNA},Anna B,,done,skipped\n{BEN},Ben B,,done,\n")
    assert done == Imported(updated_people=1, statuses=1)
    kept = session.execute(
        text("SELECT subject, changes -> 'known' -> 1 FROM audit_log WHERE action = 'people.import'")
    )
    assert kept.all() == [("1 people", 1)]
    assert broken(session) == []


def test_a_file_of_people_who_are_all_erased_meanwhile_imports_nobody(
    session: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_person(session)
    session.commit()

    def meanwhile() -> None:
        with database.transaction() as other:
            erasure.erase(other, SAM, ANNA, ANNA)

    before_a_lock(monkeypatch, meanwhile)
    assert load(session, HEADER + f"{ANNA},Anna B,,done,skipped\n") == Imported()


# Many rows at once ---------------------------------------------------------------------------------------------------


def test_a_large_load_leaves_keys_and_indexes_as_they_were(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    query = text("""
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
         UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2""")
    before = session.execute(query).all()
    monkeypatch.setattr(loading, "MANY_ROWS", 3)
    load(session, HEADER + "".join(f"u{number},,,done,skipped\n" for number in range(5)))
    assert session.execute(query).all() == before
    assert counts(session)["user_steps"] == 10
    assert broken(session) == []


@pytest.mark.one_server("a cluster counts those who were there already as added, and is stopped by a key")
@pytest.mark.parametrize(("many", "new"), [(1, 5), (1_000_000, None)])
def test_somebody_who_is_added_meanwhile_is_known_to_a_large_load_and_stops_a_small_one(
    session: Session,
    connect: Callable[[], psycopg.Connection[object]],
    monkeypatch: pytest.MonkeyPatch,
    many: int,
    new: int | None,
) -> None:
    monkeypatch.setattr(loading, "MANY_ROWS", many)
    other = connect()
    other.execute("INSERT INTO onboarding_users (user_id) VALUES (%s)", [ANNA])
    other.execute(people.index())
    lines = f"{ANNA},,,done,\n" + "".join(f"u{number},,,done,\n" for number in range(5))
    with ThreadPoolExecutor(1) as pool:
        importing = pool.submit(load, session, HEADER + lines)
        wait([importing], 0.5)
        assert not importing.done(), "the import must wait for whoever is being added"
        other.commit()
        if new is None:
            with pytest.raises(Refused, match="was just added by someone else"):
                importing.result(10)
            return
        assert importing.result(10).new_people == new
    assert step(session, ANNA).status == "done"
    assert broken(session) == []


def test_a_header_of_very_many_columns_is_soon_refused(session: Session) -> None:
    columns = [f"c{number}" for number in range(30_000)]
    started = time.process_time()
    with pytest.raises(Invalid) as refused:
        load(session, ",".join(["user_id", *columns, "c7"]) + "\n")
    assert time.process_time() - started < 2
    assert len(refused.value.problems) == 30_000


# What is refused: the header -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "header: is missing"),
        ("name,email", "column 'user_id': is missing"),
        ("user_id,verify-phone", "column 'verify-phone': is not user_id, name, email or a step"),
        (f"user_id,{STEP},{STEP}", f"column '{STEP}': appears more than once"),
        ("user_id;name", "header: has semicolons between its columns: use commas, on every line"),
        (f"user_id\tname\t{STEP}", "header: has tabs between its columns"),
        (
            "user_id,name\ranna,Anna\r",
            "header: has old Mac line endings (CR): save the file with Windows or Unix ones",
        ),
        ("user_id,name\r" + "anna,Anna\r" * 100_000, "header: has old Mac line endings (CR)"),
        ("user_id" * 200_000, "header: is longer than 1,000,000 bytes"),
        ("user_id,", "column '': is not user_id"),
        ('user_id,"na', "header: has an unclosed quote"),
    ],
    ids=lambda value: value[:40],
)
def test_a_header_that_cannot_be_used_is_refused_by_name(session: Session, header: str, said: str) -> None:
    with pytest.raises(Invalid, match=re.escape(said)):
        load(session, f"{header}\n{ANNA},x\n" if header else "")


def test_a_withdrawn_step_and_one_never_released_are_not_live(session: Session) -> None:
    releases.withdraw(session, MAYA, STEP)
    a_step(session, "new-step", released=False)
    for name in (STEP, "new-step"):
        with pytest.raises(Invalid, match=f"column '{name}': is not live"):
            load(session, f"user_id,{name}\n{ANNA},done\n")


def test_a_column_that_could_be_a_step_or_the_persons_is_refused(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    # adopted, say
    for step_id in ("user_id", "name", "email"):
        monkeypatch.delitem(drafts.RESERVED, step_id)
        a_step(session, step_id)
    for name in ("name", "email"):
        with pytest.raises(Invalid, match=f"^column '{name}': is both a step and what is known of a person: leave"):
            load(session, f"user_id,{name}\n{ANNA},done\n")
    load(session, f"user_id,{STEP}\n{ANNA},done\n")
    assert [step(session, ANNA, one).status for one in ("user_id", STEP)] == ["todo", "done"]
    releases.withdraw(session, MAYA, "email")
    load(session, f"user_id,email\n{ANNA},anna@example.com\n")
    assert people.find(session, ANNA).email == "anna@example.com"


# What is refused: lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            f"{ANNA},Anna,,finished,",
            f"{STEP}: 'finished' is not a status; use todo, in_progress, skipped, done or nothing",
        ),
        (f"{ANNA},Anna,,Done,", f"{STEP}: 'Done' is not a status; use todo, in_progress, skipped, done or nothing"),
        (",Nobody,,done,", "user_id is required"),
        ("  ,Nobody,,done,", "user_id has a blank at its beginning or end"),
        (" ada,Ada,,done,", "user_id has a blank at its beginning or end"),
        ("ada\t,Ada,,done,", "user_id has a blank at its beginning or end"),
        ('"\u00a0ada",Ada,,done,', "user_id has a blank at its beginning or end"),
        ("erased-1,Ada,,done,", "user_id must not begin with “erased-”: that is kept for people who were erased"),
        (f"{ANNA};Anna;;done;", "has 1 field, not 5"),
        (f"{ANNA},Anna,,done", "has 4 fields, not 5"),
        (f"{ANNA},Anna,,done,\rben,Ben,,,", "has old Mac line endings (CR): save the file with Windows or Unix ones"),
        (f"{ANNA},Anna,,done,,done", "has 6 fields, not 5"),
        (f"{'x' * 201},Anna,,done,", "user_id must be at most 200 characters, not 201"),
        (f"{ANNA},{'x' * 201},,done,", "name must be at most 200 characters, not 201"),
        (f"{ANNA},Anna,{'x' * 321},done,", "email must be at most 320 characters, not 321"),
        (b"anna,A\xffnna,,done,", "is not UTF-8 (byte 7)"),
        (b"anna,A\0nna,,done,", "has a NUL character"),
        (f'{ANNA},"An"na,,done,', "is not CSV: ',' expected after '\"'"),
        (f"{ANNA},{'x' * 200_000},,done,", "has a cell of more than 131,072 characters, or an unclosed quote"),
        (f"{ANNA},{'x' * 1_100_000},,done,", "is longer than 1,000,000 bytes"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_nothing_comes_in(
    session: Session, line: str | bytes, reason: str
) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    content = HEADER.encode() + b"first,First,,done,\n" + raw + b"\nlast,Last,,done,\n"
    assert problems_of(session, content) == [Problem("line 3", reason)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_told_what_to_be_instead(session: Session, encoding: str) -> None:
    with pytest.raises(Invalid, match=r"^header: has NUL characters, like UTF-16 .*: save the file as UTF-8$"):
        imports.import_csv(session, IMPORTER, io.BytesIO(f"{HEADER}anna,Anna,,done,\n".encode(encoding)))


def test_a_repeated_person_is_named_with_the_line_that_was_first(session: Session) -> None:
    content = HEADER + f"{ANNA},,,done,\n{BEN},,,done,\n{ANNA},,,todo,\n{ANNA},,,todo,\n"
    reason = f"user_id '{ANNA}' is on line 2 already"
    assert problems_of(session, content) == [Problem("line 4", reason), Problem("line 5", reason)]


def test_blanks_inside_an_id_are_part_of_it(session: Session) -> None:
    load(session, "email, user_id\nada@example.com,ada  moreau\n")
    assert people.find(session, "ada  moreau").email == "ada@example.com"


def test_a_repeated_person_is_named_also_where_the_first_line_is_wrong(session: Session) -> None:
    content = HEADER + f"{ANNA},,,finished,\n{BEN},{'x' * 201},,,\n{ANNA},,,done,\n{BEN},,,,\n"
    wrong, too_long, *repeated = problems_of(session, content)
    assert (wrong.where, too_long.where) == ("line 2", "line 3")
    assert repeated == [
        Problem("line 4", f"user_id '{ANNA}' is on line 2 already"),
        Problem("line 5", f"user_id '{BEN}' is on line 3 already"),
    ]


def test_an_open_quote_at_the_end_is_named(session: Session) -> None:
    assert problems_of(session, HEADER + f'{ANNA},"Anna,,done,\n') == [Problem("line 2", "has an unclosed quote")]


def test_the_first_problems_are_listed_in_order_and_all_are_counted(session: Session) -> None:
    lines = [f"u{number},,,{'wrong' if number % 2 else 'done'},\n" for number in range(100)]
    content = HEADER + "".join(lines) + "u0,,,done,\n"
    with pytest.raises(BadRows) as refused:
        load(session, content)
    assert refused.value.total == 51
    assert [problem.where for problem in refused.value.listed] == [f"line {2 * number + 3}" for number in range(20)]


def test_numbers_of_lines_count_line_breaks_inside_fields(session: Session) -> None:
    content = 'user_id,name\na,"two\nlines"\nb,x\n,empty\n'
    assert problems_of(session, content) == [Problem("line 5", "user_id is required")]


def test_a_failure_while_writing_leaves_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    a_person(session)
    session.commit()
    before = counts(session)
    monkeypatch.setattr(bulk_write, "FINISH", text("SELECT 1 / 0"))
    with pytest.raises(Exception, match="division by zero"):
        load(session, HEADER + f"{ANNA},Anna Berg,,done,\n{BEN},Ben,,done,done\n")
    session.rollback()
    assert counts(session) == before
    assert people.find(session, ANNA).name == "Anna"
