"""The web server: granian with spawned workers, which read their settings from the environment."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dashboard.config import Settings

if TYPE_CHECKING:
    from flask import Flask

STOP_TIMEOUT_S = 5
LOGGING = {"handlers": {name: {"class": "dashboard.web.requestlog.ToLog"} for name in ("console", "access")}}
"""Sends the web server's own lines to the log; by default they would be plain text on stdout."""
IN_MEMORY = "/dev/shm"  # noqa: S108 - what is made there has a name that nobody can guess
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where the workers combine their metrics; prometheus-client needs it before it is imported."""


def serve(settings: Settings, say: Callable[[], None]) -> None:
    """Serves until SIGINT, SIGTERM, or a SIGHUP that is not ignored; restarts workers that end.

    Calls `say` in a thread of its own when the first worker listens. Raises WorkersFail if one that was restarted ends
    again at once.
    """
    os.environ.update(environment_of(settings))
    # a worker that is being stopped may still write to it
    with tempfile.TemporaryDirectory(
        prefix="dashboard-metrics-", dir=_metrics_place(), ignore_cleanup_errors=True
    ) as folder:
        os.environ[METRICS_FOLDER] = folder
        threading.Thread(target=_at_first, args=(settings, say), name="first-worker", daemon=True).start()
        _serve(settings)


def _at_first(settings: Settings, say: Callable[[], None]) -> None:
    """Says it when a worker listens: it has made its app by then."""
    while True:
        with suppress(OSError), socket.create_connection((settings.host, settings.port), timeout=1):
            break
        time.sleep(0.05)
    # nobody may read it
    with suppress(OSError):
        say()


def _metrics_place() -> str | None:
    """In memory where there is such a folder: on a full disk, a write to files like these ends a worker by SIGBUS."""
    return IN_MEMORY if os.access(IN_MEMORY, os.W_OK | os.X_OK) else None


def _serve(settings: Settings) -> None:
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    # a forked worker would inherit the lock on the data folder and the database's sockets
    multiprocessing.set_start_method("spawn", force=True)
    server = Server(
        "dashboard.serving:worker_app",
        factory=True,
        interface=Interfaces.WSGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        blocking_threads=settings.threads,
        workers_kill_timeout=STOP_TIMEOUT_S,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
        websockets=False,
    )
    # by default it restarts the workers when the terminal closes
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    answer = None if ignored else server.signal_handler_interrupt
    server.signal_handler_reload = answer  # type: ignore[method-assign, assignment]
    try:
        server.serve()
    except SystemExit as ended:
        # a worker that was told to end before its parent looks like one that failed
        if not server.interrupt_signal:
            raise WorkersFail("The web server has ended because its workers do. The log says why.") from ended


def worker_app() -> Flask:
    """The app of one worker process, which ends with its parent, however that ends."""
    from dashboard import create_app

    # Ctrl-C and the terminal's end reach every process; the parent stops its workers by SIGTERM, and two signals
    # can hang one
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    _end_with_parent()
    return create_app(Settings.from_environment())


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment variables that pass on to workers what the starting process worked out."""
    return {
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": settings.secret_key,
        "DEMO": "1" if settings.demo else "0",
        "DATA_DIR": str(settings.data_dir),
    }


class WorkersFail(Exception):
    """Workers end as soon as they are started; starting them again is of no use."""


class PortTaken(Exception):
    """The address is not available for listening."""


@contextmanager
def reserved(host: str, port: int, *, patience_s: float = 2.0) -> Iterator[None]:
    """Reserves the address against another start until the block ends; the web server can still bind it.

    Waits briefly for the workers of a run that was just killed. Raises PortTaken with what to do.
    """
    deadline = time.monotonic() + patience_s
    while problem := _bind_error(host, port):
        if problem.errno != errno.EADDRINUSE or time.monotonic() > deadline:
            raise PortTaken(
                f"Port {port} on {host} cannot be used ({problem.strerror}): set PORT (or HOST) to another one."
            )
        time.sleep(0.1)
    with _bound(host, port) as kept:
        # nobody else may listen now; and because this socket does not either, early clients are refused at once
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


def _bind_error(host: str, port: int) -> OSError | None:
    try:
        with _bound(host, port) as trial:
            # a bound socket alone does not collide with a listening one that allows sharing
            trial.listen(1)
    except OSError as error:
        return error
    return None


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # recently closed connections are no obstacle
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        # still there only if the parent was killed
        shutil.rmtree(os.environ.get(METRICS_FOLDER, ""), ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
