"""Data folders for what a test starts in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboard import embedded
from dashboard.schema import migrate
from tests.conftest import in_memory


@contextmanager
def _empty() -> Iterator[Path]:
    """One that an unprivileged account can reach too, with a short path."""
    with tempfile.TemporaryDirectory(prefix="data-", dir=in_memory(), ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """A data folder in which nothing was ever started."""
    with _empty() as made:
        yield made


@pytest.fixture(scope="session")
def used_before() -> Iterator[Path]:
    """A data folder whose database was made, migrated and stopped, once in a worker."""
    with _empty() as made:
        with embedded.running(made, durable=False) as url:
            migrate(url)
        yield made


@pytest.fixture
def folder(used_before: Path) -> Iterator[Path]:
    """A data folder that was used before: it starts in a fraction of the time that making one takes."""
    with _empty() as made:
        # with the owners and the modes
        subprocess.run(["cp", "-a", f"{used_before}/.", str(made)], check=True)
        yield made
