"""On a cluster: which people are written together, and that a statement goes to the one node on which they lie."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import batch, bulk_changes, bulk_write, erasure, finding, standings
from dashboard.onboarding.filters import Filter
from tests import factories
from tests.factories import ANNA, SAM, STEP, a_person, a_step


@pytest.fixture
def crowd(session: Session) -> list[str]:
    a_step(session)
    return factories.people(session, 40)


@pytest.mark.one_server("that is where there are several")
def test_a_single_server_writes_everybody_together_in_the_order_of_their_ids(
    session: Session, crowd: list[str]
) -> None:
    assert bulk_write.groups(session, [*reversed(crowd)]) == [crowd]


def test_nobody_is_in_no_group(session: Session) -> None:
    assert bulk_write.groups(session, []) == []


@pytest.mark.cluster
def test_those_of_each_shard_are_written_together_always_in_the_same_order(session: Session, crowd: list[str]) -> None:
    found = bulk_write.groups(session, [*reversed(crowd)])
    assert found == bulk_write.groups(session, crowd)
    assert sorted(user_id for group in found for user_id in group) == crowd
    assert all(group == sorted(group) for group in found)
    shards = [{session.scalar(text("SELECT shard_of(:id)"), {"id": user_id}) for user_id in group} for group in found]
    assert len(shards) > 1
    assert all(len(one) == 1 for one in shards)
    assert all(min(one) < min(following) for one, following in pairwise(shards))


@pytest.mark.cluster
def test_people_of_all_nodes_are_saved_at_once(session: Session, crowd: list[str]) -> None:
    saved = batch.save(session, SAM, STEP, "in_progress", [batch.Update(user_id, 1) for user_id in crowd])
    assert [getattr(one, "row_version", None) for one in saved] == [2] * len(crowd)
    made = bulk_changes.create(session, SAM, crowd, STEP, "done")
    assert bulk_changes.carry_on(session, SAM, made).outcomes == {"changed": len(crowd)}


@pytest.mark.cluster
def test_whoever_carries_out_a_bulk_change_and_whoever_erases_one_of_its_people_wait_in_no_circle(
    committing_session: Session, database: Database
) -> None:
    session = committing_session

    def erase() -> None:
        with database.transaction() as erasing:
            erasure.erase(erasing, SAM, ANNA, ANNA)

    a_step(session)
    a_person(session)
    made = bulk_changes.create(session, SAM, [ANNA], STEP, "done")
    session.commit()
    with ThreadPoolExecutor(1) as other:
        # as carry_on begins: on a cluster, whoever holds a bulk change waits for it
        session.execute(text("UPDATE bulk_changes SET started_at = now() WHERE id = :id"), {"id": made})
        erased = other.submit(erase)
        time.sleep(0.5)
        assert bulk_changes.carry_on(session, SAM, made).outcomes == {"changed": 1}
        session.commit()
        erased.result(60)


@pytest.mark.cluster
def test_lists_go_through_all_standings_however_many_they_are(
    session: Session, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standings, "FEW_TO_LIST", 0)
    assert [one.person.user_id for one in finding.stream(session, Filter())] == crowd
    assert finding.page(session, Filter(finished=False)).count.people == len(crowd)


@pytest.mark.cluster
def test_the_tables_of_people_lie_together(session: Session) -> None:
    lying = session.execute(
        text("SELECT table_name::text, citus_table_type, colocation_id FROM citus_tables WHERE colocation_id > 0")
    ).all()
    of_people = {row.colocation_id for row in lying if row.citus_table_type == "distributed"}
    assert len(of_people) == 1
