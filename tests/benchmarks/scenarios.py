"""Every scenario, in the order in which they run: those that leave most behind come last."""

from __future__ import annotations

from tests.benchmarks import files, reading, releasing, running, saving

SCENARIOS = (*releasing.SCENARIOS, *reading.SCENARIOS, *saving.SCENARIOS, *files.SCENARIOS, *running.SCENARIOS)
