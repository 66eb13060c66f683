"""The report: lines for whoever waits, and JSON, Markdown and a page of charts for docs/."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader

from tests.benchmarks.harness import TARGET_PEOPLE, TOLERANCE, Figures, Measured, Result
from tests.benchmarks.scenario import Group, Scenario, Statistic, Unit

TEMPLATES = Path(__file__).parent / "templates"
NAME = "benchmarks"
AIMED: dict[Statistic, str] = {"median": "", "p95": "p95 ", "most": "each "}
"""How an aim begins, by what it is for."""
SMALLEST_BAR, LARGEST_BAR = 1, 100


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one run: when, how long it took in seconds, on what, and for which numbers of people."""

    at: datetime
    took_s: float
    machine: Mapping[str, str]
    sizes: Sequence[int]
    results: Sequence[Result]

    @property
    def largest(self) -> int:
        return max(self.sizes)

    def of(self, group: Group) -> list[Result]:
        """The results of one group."""
        return [result for result in self.results if result.scenario.group == group]

    @property
    def groups(self) -> list[Group]:
        """Those that have any."""
        return [group for group in get_args(Group) if self.of(group)]

    @property
    def defects(self) -> list[str]:
        """What grows faster than it may."""
        return [
            f"{title(one)} grows with exponent {shown_exponent(one.exponent())}, allowed is {one.scenario.growth:g}"
            for one in self.results
            if one.grows_too_fast
        ]

    @property
    def missed(self) -> list[str]:
        """What was aimed at and not reached."""
        return [f"{title(one)}: {missed}" for one in self.results for missed in one.missed]

    @property
    def failures(self) -> list[str]:
        """What could not be measured."""
        return [
            f"{title(one)} at {people:,} people: {why}" for one in self.results for people, why in one.failures.items()
        ]


def title(result: Result) -> str:
    """What to call it, with the shape of the data where that is not the usual one."""
    return result.scenario.name + (", random data" if result.shape == "random" else "")


def shown(figure: float) -> str:
    """A figure with three digits at least, and separators of thousands."""
    digits = max(0, 2 - math.floor(math.log10(abs(figure)))) if figure else 0
    return f"{figure:,.{min(digits, 2)}f}"


def shown_exponent(exponent: float | None) -> str:
    """An exponent with two digits after the point; a dash where there is none."""
    return "–" if exponent is None else f"{exponent:.2f}".replace("-0.00", "0.00")


def shown_aim(scenario: Scenario) -> str:
    """What is aimed at, in words."""
    aims = []
    if scenario.aim is not None:
        than = "at least" if scenario.unit.more_is_better else "at most"
        aims.append(f"{AIMED[scenario.aim_of]}{than} {scenario.aim:g} {scenario.unit.name}")
    if scenario.advantage is not None:
        aims.append(f"at least {scenario.advantage:g} ×")
    return ", ".join(aims) or "–"


def _median(figures: Figures, unit: Unit) -> str:
    return f"{shown(figures.median)} {unit.name}"


def _spread(figures: Figures) -> str:
    return f"{shown(figures.least)} to {shown(figures.most)}, p95 {shown(figures.p95)}, {figures.runs} runs"


# On the terminal ------------------------------------------------------------------------------------------------------


def line(result: Result, people: int) -> str:
    """What came of one scenario at one size, on a line or a few."""
    if why := result.failures.get(people):
        return f"  {title(result):<40} FAILED: {why}"
    one, unit = result.measured[people], result.scenario.unit
    lines = [f"  {title(result):<40} {_median(one.ours, unit):>18}   ({_spread(one.ours)})"]
    for reference, figures in one.references.items():
        beside = f"{result.advantage(people, reference):.2f} ×   ({_spread(figures)})"
        lines.append(f"    {reference:<38} {_median(figures, unit):>18}   {beside}")
    lines += [f"    {name:<38} {value}" for name, value in one.details.items()]
    return "\n".join(lines)


def summary(report: Report) -> str:
    """Growth, and what is wrong."""
    growth = [
        f"  {title(one):<40} {shown_exponent(one.exponent()):>6}   (allowed: {one.scenario.growth:g})"
        for one in report.results
    ]
    told = (("Defects", report.defects), ("Aims missed", report.missed), ("Not measured", report.failures))
    wrong = [text for what, found in told for text in (f"\n{what}: {len(found)}", *(f"  {one}" for one in found))]
    return "\n".join(["\nExponents of the cost in the number of people", *growth, *wrong, f"\n{_took(report)}"])


def _took(report: Report) -> str:
    return f"Measured in {report.took_s / 60:.1f} minutes."


# In docs/ -------------------------------------------------------------------------------------------------------------


def write(report: Report, folder: Path) -> None:
    """benchmarks.json, benchmarks.md and benchmarks.html."""
    (folder / f"{NAME}.json").write_text(json.dumps(as_json(report), indent=1, ensure_ascii=False) + "\n")
    for ending in ("md", "html"):
        (folder / f"{NAME}.{ending}").write_text(rendered(report, ending))


def as_json(report: Report) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "at": report.at.isoformat(timespec="seconds"),
        "seconds": round(report.took_s, 1),
        "machine": dict(report.machine),
        "sizes": list(report.sizes),
        "defects": report.defects,
        "missed": report.missed,
        "results": [_result(one) for one in report.results],
    }


def _result(result: Result) -> dict[str, Any]:
    scenario = result.scenario
    return {
        "key": scenario.key,
        "group": scenario.group,
        "name": scenario.name,
        "what": scenario.what,
        "shape": result.shape,
        "unit": scenario.unit.name,
        "aim": shown_aim(scenario),
        "exponent": result.exponent(),
        "exponentAllowed": scenario.growth,
        "defect": result.grows_too_fast,
        "missed": result.missed,
        "byPeople": {str(people): _json_of(result, people, one) for people, one in result.measured.items()},
        "failures": {str(people): why for people, why in result.failures.items()},
    }


def _json_of(result: Result, people: int, one: Measured) -> dict[str, Any]:
    return {
        "ours": asdict(one.ours),
        "references": {
            name: asdict(figures) | {"advantage": result.advantage(people, name)}
            for name, figures in one.references.items()
        },
        "details": dict(one.details),
    }


def rendered(report: Report, ending: str) -> str:
    """The report as Markdown (`md`) or as a page (`html`)."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=ending == "html", trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template(f"report.{ending}")
    groups = [
        {
            "name": group,
            "figures": list(_figures(report.of(group))),
            "growth": list(_growth(report.of(group), report.sizes)),
            "pairs": list(_pairs(report.of(group))),
            "lines": _lines(report.of(group), report.sizes),
        }
        for group in report.groups
    ]
    return template.render(
        report=report, groups=groups, took=_took(report), tolerance=TOLERANCE, target=TARGET_PEOPLE, sizes=report.sizes
    )


def _largest(result: Result) -> tuple[int, Measured] | None:
    found = list(result.measured.items())
    return found[-1] if found else None


def _figures(results: Sequence[Result]) -> Iterator[dict[str, str]]:
    """The rows of a group's table of figures, each at the largest size at which there are any; one a reference."""
    for result in results:
        if not (found := _largest(result)):
            continue
        people, one = found
        unit = result.scenario.unit
        row = {
            "title": title(result),
            "what": result.scenario.what,
            "people": f"{people:,}",
            "ours": _median(one.ours, unit),
            "spread": _spread(one.ours),
            "aim": shown_aim(result.scenario),
            "missed": "missed" if result.missed else "",
            "details": "; ".join(f"{name}: {value}" for name, value in one.details.items()),
        }
        beside = [
            {
                "reference": name,
                "theirs": _median(figures, unit),
                "their_spread": _spread(figures),
                "advantage": f"{result.advantage(people, name):.2f} ×",
            }
            for name, figures in one.references.items()
        ]
        none = {"reference": "–", "theirs": "", "their_spread": "", "advantage": ""}
        yield row | (beside[0] if beside else none)
        again = dict.fromkeys(row, "")
        yield from (again | other for other in beside[1:])


def _growth(results: Sequence[Result], sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows of a group's table of growth: the median at each size, the exponent, and whether it is a defect."""
    for result in results:
        medians = [result.measured.get(people) for people in sizes]
        references = dict.fromkeys(name for one in result.measured.values() for name in one.references)
        yield {
            "title": title(result),
            "unit": result.scenario.unit.name,
            "medians": [shown(one.ours.median) if one else "not measured" for one in medians],
            "exponent": shown_exponent(result.exponent()),
            "allowed": f"{result.scenario.growth:g}",
            "defect": result.grows_too_fast,
            "references": ", ".join(f"{name} {shown_exponent(result.exponent(name))}" for name in references) or "–",
        }


def _pairs(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """The bars of a group: ours beside the first reference, each pair on a scale of its own."""
    for result in results:
        found = _largest(result)
        if not found or not found[1].references:
            continue
        people, one = found
        reference, theirs = next(iter(one.references.items()))
        largest, unit = max(one.ours.median, theirs.median), result.scenario.unit
        yield {
            "title": title(result),
            "people": f"{people:,}",
            "reference": reference,
            "ours": {"size": _size(one.ours.median, largest), "shown": _median(one.ours, unit)},
            "theirs": {"size": _size(theirs.median, largest), "shown": _median(theirs, unit)},
        }


def _size(figure: float, largest: float) -> int:
    return max(SMALLEST_BAR, round(LARGEST_BAR * figure / largest)) if largest else 0


def _lines(results: Sequence[Result], sizes: Sequence[int]) -> dict[str, Any] | None:
    """The lines of a group, one a scenario that was measured at every size: the logarithm of its cost, 0 to 1.

    None: there is but one size. A line that does not rise is what does not grow.
    """
    whole = [result for result in results if all(people in result.measured for people in sizes)]
    if len(sizes) < 2 or not whole:
        return None
    costs = [[result.scenario.unit.cost(result.measured[people].ours.median) for people in sizes] for result in whole]
    # each begins at the same height: what is compared is how they grow
    rises = [[math.log10(cost / of_one[0]) for cost in of_one] for of_one in costs]
    lowest, highest = min(min(rise) for rise in rises), max(max(rise) for rise in rises)
    span = max(highest - lowest, 1.0)
    heights = [[round((rise - lowest) / span, 3) for rise in of_one] for of_one in rises]
    segments = [
        {
            "label": f"{sizes[place]:,} to {sizes[place + 1]:,}",
            "ends": [
                {
                    "start": of_one[place],
                    "end": of_one[place + 1],
                    "times": f"× {10 ** (rise[place + 1] - rise[place]):.2f}",
                }
                for of_one, rise in zip(heights, rises, strict=True)
            ],
        }
        for place in range(len(sizes) - 1)
    ]
    return {"titles": [title(result) for result in whole], "segments": segments}
