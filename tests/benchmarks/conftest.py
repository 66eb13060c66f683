"""A million people, built once for all benchmarks that ask for them: BENCH_PEOPLE=1000000."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

from dashboard.database import Database
from dashboard.embedded import running
from dashboard.onboarding import steps
from tests.benchmarks import data
from tests.benchmarks.servers import databases_of, readable_by_the_server


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """A line for each of thousands of requests would hide the figures."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of that size with ten steps, and a draft of step-5 waiting."""
    folder = tmp_path_factory.mktemp("million")
    readable_by_the_server(folder)
    with running(folder) as url, databases_of(url, {int(os.environ["BENCH_PEOPLE"]): 10}) as databases:
        (found,) = databases.values()
        with found.transaction() as session:
            steps.start_draft(session, data.MANAGER, "step-5")
        yield found
