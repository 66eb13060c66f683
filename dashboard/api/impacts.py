"""The effect of a release on everyone, as in answers."""

from __future__ import annotations

from pydantic import ConfigDict

from dashboard.api.messages import Answer, CamelAnswer


class Changed(Answer):
    """A member of a step that the release changes."""

    member: str
    before: str | int | None
    after: str | int


class Spread(Answer):
    """Progress of everyone: people in 0-9, 10-19 ... 90-99 and 100 percent; the median; how many have finished."""

    bands: list[int]
    median: int
    finished: int


class Moves(Answer):
    """How percentages move: people who go up, down or stay; the largest drop in points; who falls below 100."""

    up: int
    down: int
    same: int
    largest_drop: int
    fall_from_100: int


class TotalWeight(Answer):
    """The points of all live steps, before and after the release."""

    before: int
    after: int


class Impact(CamelAnswer):
    """What a release does to everyone. `matrix[before][after]` counts people by the status of the step.

    affected = copied + reset + restored, and with `untouched` that is everyone.
    """

    model_config = ConfigDict(extra="allow")

    everybody: int
    affected: int
    copied: int
    reset: int
    restored: int
    kept_later: int
    untouched: int
    matrix: dict[str, dict[str, int]]
    before: Spread
    after: Spread
    moves: Moves


class ImpactReport(Impact):
    """What a release does to everyone, and what changes in the step."""

    total_weight: TotalWeight
    changes: list[Changed]
