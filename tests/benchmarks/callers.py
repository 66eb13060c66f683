"""Callers that keep their connection, as a host's backend or a browser does, and wait for each answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import cycle
from typing import Any, TypeVar

C = TypeVar("C", bound="Caller")
Row = tuple[str, str, int]
STATUSES = ("done", "skipped", "in_progress", "todo")


class Caller:
    """One connection. Each request has an id that the server's log repeats; `waits` has the ms of each by that id."""

    def __init__(self, port: int, headers: Mapping[str, str], name: str = "caller") -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers, self.name = dict(headers), name
        self.asked, self.waits = 0, dict[str, float]()

    def ask(self, method: str, path: str, body: str | None = None, *, told: str = "request") -> bytes:
        """The answer's body; anything but 200 is a failure of the benchmark."""
        self.asked += 1
        request_id = f"{told}.{self.name}.{self.asked:06}"
        started = time.perf_counter()
        self.connection.request(method, path, body, {**self.headers, "X-Request-ID": request_id})
        answer = self.connection.getresponse()
        content = answer.read()
        self.waits[request_id] = (time.perf_counter() - started) * 1000
        if answer.status != 200:
            raise AssertionError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def close(self) -> None:
        """Ends the connection, so that the server need not wait for it."""
        self.connection.close()


class ApiCaller(Caller):
    """A host's backend, with rows that nobody else saves: it saves and reads them in turns."""

    def __init__(self, port: int, headers: Mapping[str, str], name: str, rows: Sequence[Row]) -> None:
        super().__init__(port, {**headers, "Content-Type": "application/json"}, name)
        self.versions = {row[:2]: row[2] for row in rows}
        self.rows, self.statuses = cycle(list(self.versions)), cycle(STATUSES)

    def save(self) -> None:
        """The next row gets the next status, over the row_version that its last save answered with."""
        row = user_id, step_id = next(self.rows)
        wanted = {"user_id": user_id, "status": next(self.statuses), "row_version": self.versions[row]}
        answer: dict[str, Any] = json.loads(self.ask("PATCH", f"/api/onboarding/steps/{step_id}", json.dumps(wanted)))
        self.versions[row] = answer["step"].get("row_version", self.versions[row])

    def read(self) -> None:
        """All steps of the next person."""
        self.ask("GET", f"/api/onboarding/steps?user_id={next(self.rows)[0]}")


@contextmanager
def at_once(callers: list[C]) -> Iterator[list[C]]:
    """The callers, whose connections are closed at the end."""
    try:
        yield callers
    finally:
        for caller in callers:
            caller.close()


def round_of(callers: Sequence[C], ask: Callable[[C], object], seconds: float) -> dict[str, float]:
    """All of them at once for so long, each at least once: the milliseconds of each answer by its id.

    Raises what one of them raised.
    """
    failures: list[Exception] = []
    until = time.perf_counter() + seconds

    def go(caller: C) -> None:
        caller.waits.clear()
        try:
            while not failures:
                ask(caller)
                if time.perf_counter() >= until:
                    break
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=go, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {request_id: ms for caller in callers for request_id, ms in caller.waits.items()}
