"""The embedded PostgreSQL: one owner a data folder, nothing left behind, nothing lost, however a process ends."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
import pytest

from dashboard import embedded
from dashboard.config import libpq_url
from dashboard.embedded import AlreadyRunningError, EmbeddedError, own, running

OWNER = """
import signal, sys, time
from pathlib import Path
from dashboard.embedded import own, running
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
# whoever starts the tests in the background has it ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
with {how} as url:
    print(url, flush=True)
    {then}
"""

OWNS, VISITS = "own(Path(sys.argv[1]))", "running(Path(sys.argv[1]), durable=False)"


def process(folder: Path, how: str = OWNS, then: str = "time.sleep(60)") -> subprocess.Popen[str]:
    """A Python process that has the folder's server, says its address and then does `then`."""
    program = OWNER.format(how=how, then=then)
    return subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)


def address_from(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


def query(url: str, statement: str) -> object:
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def server_pid(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def is_gone(pid: int, patience_s: float = 60) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def test_it_runs_for_as_long_as_the_block_and_keeps_its_data(new_folder: Path) -> None:
    with running(new_folder, durable=False) as url:
        pid = server_pid(new_folder)
        query(url, "CREATE TABLE kept AS SELECT 7 AS number")
    assert is_gone(pid)
    assert not (new_folder / "run").exists()
    with running(new_folder, durable=False) as url:
        assert query(url, "SELECT number FROM kept") == 7


def test_only_the_system_user_can_reach_it(folder: Path) -> None:
    with running(folder, durable=False) as url:
        assert query(url, "SHOW listen_addresses") == ""
        assert (folder / "run").stat().st_mode & 0o777 == 0o700
        assert (folder / "postgres").stat().st_mode & 0o777 == 0o700


def test_a_second_process_uses_the_running_server_and_leaves_it_alone(folder: Path) -> None:
    with own(folder) as url:
        pid = server_pid(folder)
        guest = process(folder, VISITS, "pass")
        assert address_from(guest) == url
        assert guest.wait(60) == 0
        assert server_pid(folder) == pid
        assert query(url, "SELECT 1") == 1


def test_a_second_owner_is_refused_with_a_clear_sentence(folder: Path) -> None:
    with own(folder) as url:
        with pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()}.*{folder}.*Stop it first"), own(folder):
            pass
        assert query(url, "SELECT 1") == 1


@pytest.mark.parametrize("failure", [ValueError("a bad line"), SystemExit(1), None])
def test_a_commands_server_outlives_it_while_another_command_uses_it_however_it_ends(
    folder: Path, failure: BaseException | None
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def first_command() -> None:
        with suppress(ValueError, SystemExit), running(folder, durable=False):
            entered.set()
            leave.wait(60)
            if failure:
                raise failure

    thread = threading.Thread(target=first_command)
    thread.start()
    assert entered.wait(60)
    with running(folder) as url:
        leave.set()
        thread.join(0.5)
        assert thread.is_alive()
        assert query(url, "SELECT 1") == 1
    thread.join(60)
    assert not thread.is_alive()


def test_nobody_comes_in_while_a_commands_server_is_taken_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_come_in: list[tuple[bool, bool]] = []
    announce = embedded._announce

    def looked_at(owner: IO[str], **facts: object) -> None:
        with embedded._lock(folder / "guests.lock", fcntl.LOCK_SH) as guest:
            may_come_in.append(("url" in embedded._holder(folder), guest is not None))
        announce(owner, **facts)

    monkeypatch.setattr(embedded, "_announce", looked_at)
    with running(folder, durable=False):
        may_come_in.clear()
    assert may_come_in == [(True, False), (False, False)]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_command_also_while_another_uses_its_server(folder: Path, how: signal.Signals) -> None:
    owner = process(folder, VISITS)
    address_from(owner)
    with running(folder):
        owner.send_signal(how)
        owner.wait(60)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_owner_stops_the_server(folder: Path, how: signal.Signals) -> None:
    owner = process(folder)
    address_from(owner)
    pid = server_pid(folder)
    owner.send_signal(how)
    owner.wait(60)
    assert is_gone(pid, 0)
    assert (folder / "postgres.lock").read_text() == ""


def test_after_a_kill_the_next_start_has_every_committed_row(folder: Path) -> None:
    owner = process(folder)
    query(address_from(owner), "CREATE TABLE kept AS SELECT 7 AS number")
    orphan = server_pid(folder)
    owner.kill()
    owner.wait(60)
    with running(folder, durable=False) as url:
        assert query(url, "SELECT number FROM kept") == 7
        assert server_pid(folder) != orphan
    assert is_gone(orphan)


def test_after_a_kill_of_the_server_too_the_next_start_recovers(folder: Path) -> None:
    owner = process(folder)
    query(address_from(owner), "CREATE TABLE kept AS SELECT 7 AS number")
    pid = server_pid(folder)
    os.kill(pid, signal.SIGKILL)
    owner.kill()
    owner.wait(60)
    with running(folder, durable=False) as url:
        assert query(url, "SELECT number FROM kept") == 7


@pytest.mark.parametrize(
    "doing", [["sleep", "60"], ["tail", "-f", "{}/postgres.log"], ["tail", "-f", "{}/postgres/PG_VERSION"]]
)
def test_a_pid_file_that_names_an_unrelated_process_does_not_stop_the_start(folder: Path, doing: list[str]) -> None:
    with running(folder, durable=False):
        stale = (folder / "postgres" / "postmaster.pid").read_text()
    bystander = subprocess.Popen([word.format(folder) for word in doing], stdout=subprocess.DEVNULL)
    try:
        _, _, rest = stale.partition("\n")
        (folder / "postgres" / "postmaster.pid").write_text(f"{bystander.pid}\n{rest}")
        with running(folder, durable=False) as url:
            assert query(url, "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_half_made_data_folder_is_made_again(new_folder: Path) -> None:
    (new_folder / "postgres.unfinished").mkdir()
    (new_folder / "postgres.unfinished" / "PG_VERSION").write_text("18")
    with running(new_folder, durable=False) as url:
        assert query(url, "SELECT 1") == 1


def test_another_major_versions_data_is_refused_untouched(new_folder: Path) -> None:
    (new_folder / "postgres").mkdir(mode=0o700)
    (new_folder / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 14.*this is PostgreSQL \d+"), running(new_folder):
        pass
    assert [path.name for path in (new_folder / "postgres").iterdir()] == ["PG_VERSION"]


def test_a_server_that_cannot_start_says_the_end_of_its_log(folder: Path) -> None:
    with running(folder, durable=False):
        pass
    with (folder / "postgres" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match="no_such_setting"), running(folder, durable=False):
        pass
    assert json.loads((folder / "postgres.lock").read_text() or "{}") == {}


@dataclass
class Starting:
    """A server whose pid file has one status after the other; it stays at the last."""

    data: Path
    statuses: list[str]
    pid: int = 4711

    def poll(self) -> None:
        if self.statuses:
            (self.data / "postmaster.pid").write_text(f"{self.pid}\n" + "\n" * 6 + self.statuses.pop(0))


def test_a_server_that_recovers_is_waited_for_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.05)
    monkeypatch.setattr(embedded, "TELL_AFTER_S", 0.02)
    log = tmp_path / "log"
    embedded._wait_until_ready(Starting(tmp_path, ["starting"] * 10 + ["ready"]), tmp_path, log)  # type: ignore[arg-type]
    assert capsys.readouterr().err == f"PostgreSQL is recovering, which may take minutes; see {log}\n"
    with pytest.raises(EmbeddedError, match="did not become ready"):
        embedded._wait_until_ready(Starting(tmp_path, ["stopping"]), tmp_path, log)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["long-" + "x" * 120, "odd, 100% \"name\" with 'quotes' é"])
def test_any_path_will_do(new_folder: Path, name: str) -> None:
    with running(new_folder / name, durable=False) as url:
        assert query(url, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_where_root_has_no_user_namespaces_another_account_serves(
    new_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = embedded.shutil.which
    monkeypatch.setattr(embedded.shutil, "which", lambda name: None if name == "unshare" else which(name))
    account = embedded._account(new_folder)
    assert account.uid
    with running(new_folder, durable=False) as url:
        assert query(url, "SELECT 1") == 1
        assert (new_folder / "postgres").stat().st_uid == account.uid


# Somebody else's folder ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["postgres.lock", "guests.lock", "postgres.log"])
def test_a_link_in_the_place_of_a_file_is_refused_and_not_followed(new_folder: Path, name: str) -> None:
    precious = new_folder / "precious"
    precious.write_text("kept")
    (new_folder / name).symlink_to(precious)
    with (
        pytest.raises(EmbeddedError, match=rf"DATA_DIR {new_folder} cannot be used: {name} is a link"),
        running(new_folder),
    ):
        pass
    assert precious.read_text() == "kept"


@pytest.fixture
def folder_of_another(new_folder: Path) -> Path:
    """A data folder of an account that is not root, where root runs the program."""
    if os.geteuid() != 0:
        pytest.skip("only root can act for another account")
    nobody = pwd.getpwnam("nobody")
    os.chown(new_folder, nobody.pw_uid, nobody.pw_gid)
    assert embedded._account(new_folder).uid == nobody.pw_uid
    return new_folder


@pytest.mark.parametrize("name", ["run", "postgres.unfinished"])
def test_root_gives_nothing_away_that_a_link_leads_to(folder_of_another: Path, tmp_path: Path, name: str) -> None:
    (folder_of_another / name).symlink_to(tmp_path)
    before = tmp_path.stat()
    with pytest.raises(EmbeddedError) as refused, running(folder_of_another, durable=False):
        pass
    after = tmp_path.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert str(refused.value) == f"{folder_of_another / name} cannot be used: {name} is a link"


def test_root_gives_no_folder_away_that_it_did_not_make(folder_of_another: Path) -> None:
    # whoever owns the data folder can rename what is in it
    ours = folder_of_another / "run"
    ours.mkdir()
    with pytest.raises(EmbeddedError, match="run belongs to another user"), running(folder_of_another, durable=False):
        pass
    assert ours.stat().st_uid == 0


def test_the_folder_of_another_is_served_as_that_one_also_a_second_time(folder_of_another: Path) -> None:
    for _ in range(2):
        with running(folder_of_another, durable=False) as url:
            assert query(url, "SELECT 1") == 1
            assert (folder_of_another / "run").stat().st_uid == folder_of_another.stat().st_uid
        # as a kill leaves it
        embedded._account(folder_of_another).make_folder(folder_of_another / "run")


# The log -------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_long_log_is_read_alone(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text("a line\n" * 1_500_000 + "".join(f"line {number}\n" for number in range(5)))
    tracemalloc.start()
    try:
        assert embedded._tail(log) == "line 0\nline 1\nline 2\nline 3\nline 4"
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_a_log_that_is_too_long_is_begun_anew_at_the_start(new_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_LIMIT_BYTES", 1_000)
    log = new_folder / "postgres.log"
    for length, is_kept in ((1_000, True), (1_001, False)):
        log.write_text("x" * length)
        with embedded._log(new_folder) as file:
            file.write(b"said")
        assert log.read_text() == "x" * (length if is_kept else 0) + "said"
