"""docs/operations.md has every setting with its default, and every metric."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from flask import Flask

from dashboard import metrics
from dashboard.config import Settings
from dashboard.web.access import need_of

DOCUMENT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
OF_THE_ENVIRONMENT = {"data_dir": "var"}
"""Defaults that are no constants, as the document tells them."""


def rows(title: str) -> Iterator[list[str]]:
    """The cells of the tables under a heading, without the quotes of code."""
    section = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def shown(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, tuple | frozenset):
        return ", ".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_every_setting_is_told_with_its_default() -> None:
    told = {name: default for name, default, _ in rows("Every setting")}
    actual = {
        field.name.upper(): OF_THE_ENVIRONMENT.get(field.name, "") if field.default is MISSING else shown(field.default)
        for field in fields(Settings)
    }
    assert told == actual


def test_every_metric_is_told_with_its_labels() -> None:
    told = {name: {label for label in labels.split(", ") if label} for name, labels, _ in rows("Metrics")}
    actual = {}
    for metric in metrics.REGISTRY._collector_to_names:
        ending = "_total" if metric._type == "counter" else ""  # type: ignore[attr-defined]
        of_a_worker = {"pid"} if getattr(metric, "_multiprocess_mode", "") == "liveall" else set()
        actual[metric._name + ending] = {*metric._labelnames, *of_a_worker}  # type: ignore[attr-defined]
    assert told == actual


def test_every_address_that_it_names_is_there(app: Flask) -> None:
    named = set(re.findall(r"`(/[a-z]+)`", DOCUMENT))
    served = {rule.rule for rule in app.url_map.iter_rules() if need_of(app, rule.endpoint)}
    assert named
    assert named <= served
