"""`dashboard distribute`: what it says where there is no cluster, and on one what it does, once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from dashboard.config import libpq_url
from dashboard.onboarding.people import index
from tests.conftest import PREFIX, url_of
from tests.databases import make, nodes_of, remove
from tests.program import Program

Server = psycopg.Connection[object]


@pytest.fixture
def distribute(database_url: str) -> Program:
    return Program({"DATABASE_URL": database_url}, "distribute")


@pytest.fixture
def undistributed(server: Server) -> Iterator[str]:
    """The address of a database on each node of the cluster, in which there is nothing of ours yet."""
    name = f"{os.environ[PREFIX]}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_undistributed"
    make(server, name, "", url_of, distributed=False)
    yield url_of(name)
    remove(server, name)


# Where it cannot be


@pytest.mark.one_server("it has Citus")
@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--json",)])
def test_a_server_without_citus_says_so(distribute: Program, arguments: tuple[str, ...]) -> None:
    told = distribute(*arguments)
    assert (told.code, told.out) == (1, "")
    assert (
        told.err == "This PostgreSQL server has no Citus. `dashboard distribute` is for the coordinator of a cluster."
    )


def test_a_database_that_cannot_be_reached_is_a_fault() -> None:
    told = Program({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}, "distribute")()
    assert told.code == 3
    assert told.err.startswith("The database cannot be used: ")


@pytest.mark.cluster
def test_a_database_without_the_extension_is_told_what_to_run(server: Server) -> None:
    name = f"{os.environ[PREFIX]}_without"
    server.execute(f"CREATE DATABASE {name}")
    told = Program({"DATABASE_URL": url_of(name)}, "distribute")()
    remove(server, name)
    assert told.code == 1
    assert told.err == "Citus is not in this database yet. Run `CREATE EXTENSION citus` in it, on every node."


@pytest.mark.cluster
def test_an_old_schema_is_migrated_first(undistributed: str) -> None:
    told = Program({"DATABASE_URL": undistributed}, "distribute")()
    assert told.code == 1
    assert told.err == "The schema is not the newest. Run `dashboard db migrate` first."


@pytest.mark.cluster
def test_a_worker_is_not_where_it_is_done(undistributed: str, server: Server) -> None:
    host, port = next((host, port) for host, port, is_coordinator in nodes_of(server) if not is_coordinator)
    of_worker = undistributed.replace(f"{server.info.host}:{server.info.port}", f"{host}:{port}")
    told = Program({"DATABASE_URL": of_worker}, "distribute")()
    assert told.code == 1
    assert told.err == "This is a worker of the cluster. DATABASE_URL must point to the coordinator."


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("forgotten", "said"),
    [
        ("groupid = 0", "The coordinator is not one of the nodes yet. Run `SELECT citus_set_coordinator_host("),
        ("groupid <> 0", "No node may hold people. Add one: `SELECT citus_add_node("),
    ],
)
def test_a_cluster_that_is_not_whole_is_told_what_to_run(undistributed: str, forgotten: str, said: str) -> None:
    with psycopg.connect(libpq_url(undistributed), autocommit=True) as coordinator:
        coordinator.execute(f"SELECT citus_remove_node(nodename, nodeport) FROM pg_dist_node WHERE {forgotten}")
    told = Program({"DATABASE_URL": undistributed}, "distribute")()
    assert told.code == 1
    assert told.err.startswith(said)


@pytest.mark.cluster
def test_only_the_owner_of_the_tables_may(undistributed: str, server: Server) -> None:
    migrated = Program({"DATABASE_URL": undistributed}, "db", "migrate")
    assert migrated().code == 0
    with psycopg.connect(libpq_url(undistributed), autocommit=True) as coordinator:
        coordinator.execute("DROP ROLE IF EXISTS reader_of_tests")
        coordinator.execute("CREATE ROLE reader_of_tests LOGIN")
        coordinator.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_tests")
        try:
            as_reader = undistributed.replace(f"//{server.info.user}", "//reader_of_tests")
            told = Program({"DATABASE_URL": as_reader}, "distribute")()
        finally:
            coordinator.execute("DROP OWNED BY reader_of_tests")
            coordinator.execute("DROP ROLE reader_of_tests")
    assert told.code == 1
    assert told.err == f"The tables belong to {server.info.user}. Only their owner can distribute them."


# Where it can


def keys_and_triggers(url: str) -> list[tuple[str, ...]]:
    with psycopg.connect(libpq_url(url)) as coordinator:
        return coordinator.execute("""
            SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
             WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '_[0-9]+$'
             UNION ALL
            SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger
             WHERE NOT tgisinternal AND tgrelid::regclass::text !~ '_[0-9]+$'
             ORDER BY 1, 2""").fetchall()


@pytest.mark.cluster
def test_a_filled_database_is_distributed_once_and_keeps_everything(undistributed: str) -> None:
    environment = {"DATABASE_URL": undistributed}
    assert Program(environment, "db", "migrate")().code == 0
    with psycopg.connect(libpq_url(undistributed)) as coordinator:
        coordinator.execute("INSERT INTO steps (step_id, position) VALUES ('one', 1)")
        coordinator.execute("INSERT INTO onboarding_users (user_id) SELECT 'u' || n FROM generate_series(1, 500) n")
        coordinator.execute(index())
    before = keys_and_triggers(undistributed)
    distribute = Program(environment, "distribute")

    dry = distribute("--dry-run")
    assert dry.code == 0
    assert dry.out.startswith("BEGIN;\n")
    assert dry.out.endswith("\nCOMMIT;")
    assert "\nSELECT create_distributed_table('onboarding_users', 'user_id');\n" in dry.out
    done = distribute("--json").json
    assert dry.out.split(";\n")[1:-1] == done["statements"]
    assert (done["dry_run"], done["copied"], len(done["by_person"])) == (
        False,
        ["steps", "onboarding_step_definitions", "step_releases", "bulk_changes", "api_tokens"],
        5,
    )
    again = distribute()
    assert (again.code, again.out.partition(":")[0]) == (0, "Nothing to do")
    assert distribute("--dry-run").out == again.out

    assert keys_and_triggers(undistributed) == before
    with psycopg.connect(libpq_url(undistributed)) as coordinator:
        assert coordinator.execute("SELECT count(*) FROM onboarding_users").fetchone() == (500,)
        assert coordinator.execute("SELECT count(DISTINCT shard_of(user_id)) > 1 FROM onboarding_users").fetchone()
        (here,) = coordinator.execute("SELECT pg_relation_size('onboarding_users')").fetchone() or ()
    assert here == 0
    assert Program(environment, "db", "migrate")().out.startswith("The schema is at ")
    assert Program(environment, "check")().code == 0
