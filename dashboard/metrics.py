"""The Prometheus metrics of all worker processes of a server together.

The workers share a folder (PROMETHEUS_MULTIPROC_DIR, which serving.py sets before this is imported): each writes its
counts to files of its own there, and the worker that is scraped adds them up. Without the folder, a process reports its
own only.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import cast, get_args

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from sqlalchemy import QueuePool, event

from dashboard.database import Database
from dashboard.onboarding.actor import Source
from dashboard.onboarding.carryover import Kind
from dashboard.onboarding.counters import Noted, Tally
from dashboard.processes import is_alive
from dashboard.serving import METRICS_FOLDER

__all__ = ["CONTENT_TYPE", "exposition", "install"]

UNMATCHED = "unmatched"
"""The rule label of unmatched requests: callers choose the addresses, so their number has no limit."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DOORS: tuple[Source, ...] = ("web", "api", "bulk")
LOOK_EVERY_S = 5.0

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()

REQUESTS = Counter(
    "onboarding_http_requests_total",
    "Requests that were answered, by route, method and class of the status.",
    ("rule", "method", "status"),
    registry=REGISTRY,
)
DURATION = Histogram(
    "onboarding_http_request_duration_seconds",
    "From a request's arrival in a worker to the first byte of its answer.",
    ("rule", "method"),
    buckets=SECONDS,
    registry=REGISTRY,
)
DONE: dict[Noted, Counter] = {
    "save": Counter(
        "onboarding_saves_total",
        "Statuses of people's steps that were saved, by the door: web, api, bulk.",
        ("source",),
        registry=REGISTRY,
    ),
    "conflict": Counter(
        "onboarding_conflicts_total",
        "Stale saves of a status that were refused, by the door.",
        ("source",),
        registry=REGISTRY,
    ),
    "release": Counter(
        "onboarding_releases_total",
        "Releases of steps, by kind: publish, migrate, rollback, withdraw, restore.",
        ("kind",),
        registry=REGISTRY,
    ),
}
CONNECTIONS = Gauge(
    "onboarding_db_connections_in_use",
    "Connections of the pools that requests hold.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
MOST_CONNECTIONS = Gauge(
    "onboarding_db_connections_limit",
    "How many they could hold at most.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
MEMORY = Gauge(
    "onboarding_process_resident_memory_bytes",
    "Memory of the worker process, where the system tells it.",
    multiprocess_mode="liveall",
    registry=REGISTRY,
)


def install(app: Flask) -> None:
    """Measures the app's requests, what they do, and the resources they hold."""
    for source in DOORS:
        DONE["save"].labels(source)
        DONE["conflict"].labels(source)
    for kind in get_args(Kind):
        DONE["release"].labels(kind)
    watch(app.extensions["database"])
    _look_at_memory()
    app.after_request(_Requests().observe)


def watch(database: Database) -> None:
    """Counts what the database's transactions do, and shows how many of its connections are in use."""
    engine, database.on_commit = database.engine, count
    MOST_CONNECTIONS.set(database.most_connections)

    def in_use() -> int:
        return cast(QueuePool, engine.pool).checkedout()

    event.listen(engine, "checkout", lambda *_: CONNECTIONS.set(in_use()))
    # not back yet, so minus one; counting up and down would drift: broken connections return without a checkout
    event.listen(engine, "checkin", lambda *_: CONNECTIONS.set(max(0, in_use() - 1)))


def count(tally: Tally) -> None:
    """Adds a transaction's tally."""
    for (what, which), number in tally.items():
        DONE[what].labels(which).inc(number)


class _Requests:
    """Caches each route's counters: looking them up by label costs more than counting."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._look_at = 0.0

    def observe(self, response: Response) -> Response:
        """Counts an answered request."""
        now = time.perf_counter()
        rule = request.url_rule.rule if request.url_rule else UNMATCHED
        key = (rule, request.method, response.status_code // 100)
        counted = self._of.get(key) or self._begin(key)
        counted[0].inc()
        counted[1].observe(now - g.get("started_at", now))
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            _look_at_memory()
        return response

    def _begin(self, key: tuple[str, str, int]) -> tuple[Counter, Histogram]:
        rule, method, status = key
        told = method if method in METHODS else "other"
        counted = REQUESTS.labels(rule, told, f"{status}xx"), DURATION.labels(rule, told)
        if told == method:
            self._of[key] = counted
        return counted


def _look_at_memory() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return
    MEMORY.set(pages * os.sysconf("SC_PAGE_SIZE"))


def exposition() -> bytes:
    """All metrics so far, in Prometheus' text format."""
    folder = os.environ.get(METRICS_FOLDER)
    if not folder:
        return generate_latest(REGISTRY)
    for pid in _ended(Path(folder)):
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody, folder)  # type: ignore[no-untyped-call]
    return generate_latest(everybody)


def _ended(folder: Path) -> set[int]:
    """Workers that have ended: their counts stay, but they hold nothing now."""
    pids = {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}
    return {pid for pid in pids if not is_alive(pid)}
