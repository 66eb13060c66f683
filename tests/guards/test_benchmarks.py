"""How `make bench` measures, judges and reports. That it measures fast things is nobody's promise; that it tells it right is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest

from dashboard.paths import VENDOR_FILES
from tests.benchmarks import harness
from tests.benchmarks.__main__ import asked
from tests.benchmarks.data import Shape
from tests.benchmarks.harness import Failed, Figures, Measured, Result, exponent, figures, measure, run_all
from tests.benchmarks.report import Report, as_json, line, rendered, shown, summary, write
from tests.benchmarks.scenario import MIB, MS, RATE, Scenario, Side, Sides
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.world import Effort, World

ROOT = Path(__file__).parents[2]
SIZES = (1_000, 100_000, 1_000_000)


@contextmanager
def no_sides(_: World) -> Iterator[Sides]:
    yield Sides(Side(lambda: 1.0))


def a_scenario(key: str = "preview", **more: Any) -> Scenario:
    told = {"growth": 0, "sides": no_sides} | more
    return Scenario(key, "Releases", key.capitalize(), f"what {key} does", **told)


def a_result(medians: Sequence[float], *, beside: Sequence[float] = (), **more: Any) -> Result:
    """Measured at as many sizes as there are medians, beside a reference."""
    result = Result(a_scenario(**more), "funnel")
    for place, (people, median) in enumerate(zip(SIZES, medians, strict=False)):
        references = {"the eager one": figures([beside[place]])} if beside else {}
        result.by_people[people] = Measured(figures([median]), references, {"rows": "17"})
    return result


# Growth ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ({10: 5.0, 1_000: 5.0, 100_000: 5.0}, 0),
        ({10: 1.0, 1_000: 100.0, 100_000: 10_000.0}, 1),
        ({100: 10.0, 10_000: 100.0}, 0.5),
        ({10: 8.0, 1_000: 4.0, 100_000: 16.0}, 0.0753),
    ],
)
def test_the_exponent_is_the_slope_between_the_logarithms(costs: dict[int, float], expected: float) -> None:
    assert exponent(costs) == pytest.approx(expected, abs=0.0005)


def test_of_one_size_no_growth_can_be_told() -> None:
    assert exponent({1_000: 3.0}) is None
    assert a_result([3.0]).exponent() is None
    assert not a_result([3.0]).grows_too_fast


def test_what_is_faster_than_the_floor_is_noise() -> None:
    assert a_result([0.1, 0.9, 0.4]).exponent() == 0
    assert a_result([0.1, 0.9, 40.0]).exponent() == pytest.approx(0.46, abs=0.01)
    assert a_result([0.1, 0.9, 0.4], unit=MIB).exponent() == 0


def test_a_rate_that_stays_does_not_grow_and_one_that_falls_does() -> None:
    assert a_result([700.0, 700.0, 700.0], unit=RATE).exponent() == pytest.approx(0)
    assert a_result([700.0, 7.0, 0.7], unit=RATE).exponent() == pytest.approx(1)


@pytest.mark.parametrize(
    ("medians", "growth", "defect"),
    [
        ((10.0, 12.0, 15.0), 0, False),
        ((10.0, 20.0, 40.0), 0, True),
        ((10.0, 900.0, 9_000.0), 1, False),
        ((1.0, 300.0, 6_000.0), 1, True),
    ],
)
def test_a_cost_that_grows_faster_than_it_may_is_a_defect(medians: list[float], growth: int, defect: bool) -> None:
    assert a_result(medians, growth=growth).grows_too_fast is defect


# Measuring ------------------------------------------------------------------------------------------------------------


def test_both_sides_take_turns_and_what_prepares_them_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order = [0.0], list[str]()
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])

    def takes(name: str, seconds: float) -> Any:
        def job() -> None:
            order.append(name)
            now[0] += seconds

        return job

    sides = Sides(Side(takes("ours", 0.01), takes("prepared", 5)), {"other": Side(takes("other", 0.2))})
    found = measure(sides, runs=3, seconds=100)
    assert order == ["prepared", "ours", "other"] * 3
    assert found["ours"].median == pytest.approx(10)
    assert found["other"].median == pytest.approx(200)


def test_a_figure_that_a_side_returns_is_taken_for_what_it_is() -> None:
    assert measure(Sides(Side(lambda: 812.5)), runs=3, seconds=100)["ours"].median == 812.5


def test_a_side_that_used_up_its_time_stays_out_while_the_other_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])

    def takes(seconds: float) -> Any:
        def job() -> None:
            now[0] += seconds

        return Side(job)

    found = measure(
        Sides(takes(0.1), {"slow": takes(1.5), "slower": takes(30), "once": takes(0.5)}), runs=12, seconds=2
    )
    assert {name: of.runs for name, of in found.items()} == {"ours": 10, "slow": 2, "slower": 1, "once": 4}


def test_the_first_runs_only_warm_it_up() -> None:
    assert figures([900, 5, 3, 4]) == Figures(3, 4, 3, 5, 5)
    assert figures([900.0]) == Figures(1, 900, 900, 900, 900)
    assert figures([900, 2]).most == 2
    many = figures([1000.0] * 4 + [*range(1, 37)])
    assert (many.runs, many.least, many.p95, many.most) == (36, 1, 35, 36)


@contextmanager
def some_world(people: int, shape: Shape) -> Iterator[World]:
    class OfIt:
        effort = Effort(seconds=0, runs=1)

    yield cast(World, OfIt())


def breaks(_: World) -> Any:
    raise ValueError("no such table")


def test_what_fails_is_told_and_the_others_go_on() -> None:
    told: list[str] = []
    chosen = [a_scenario("one"), a_scenario("two", sides=breaks), a_scenario("three", shapes=("random", "funnel"))]
    results = run_all(chosen, [200, 100], some_world, lambda one, people: told.append(line(one, people)))
    assert [(one.scenario.key, one.shape) for one in results] == [
        *(("one", "funnel"), ("two", "funnel"), ("three", "funnel"), ("three", "random"))
    ]
    assert [sorted(one.measured) for one in results] == [[100, 200], [], [100, 200], [100, 200]]
    assert "ValueError: no such table" in results[1].failures[100]
    assert len([text for text in told if "FAILED" in text]) == 2


def test_a_world_that_cannot_be_made_fails_what_would_have_run_in_it() -> None:
    @contextmanager
    def too_large(people: int, shape: Shape) -> Iterator[World]:
        if people > 100:
            raise OSError("no space left")
        with some_world(people, shape) as world:
            yield world

    (result,) = run_all([a_scenario()], [100, 200], too_large, lambda *_: None)
    assert sorted(result.measured) == [100]
    assert "no space left" in result.failures[200]


# What is aimed at -----------------------------------------------------------------------------------------------------


def test_aims_are_looked_at_for_the_largest_size() -> None:
    assert a_result([900.0, 900.0, 399.0], aim=400).missed == []
    assert a_result([1.0, 1.0, 401.0], aim=400).missed == ["median 401 ms, aim 400"]
    assert a_result([1.0, 1.0, 401.0], aim=500, unit=RATE).missed == ["median 401 a second, aim 500"]


def test_an_advantage_is_that_over_the_first_reference() -> None:
    slower, faster = [10.0, 10.0, 10.0], [5.0, 5.0, 5.0]
    assert a_result(faster, beside=slower, advantage=1.5).missed == []
    assert a_result(slower, beside=faster, advantage=0.9).missed == ["0.50 × the eager one, aim 0.9"]
    assert a_result(slower, beside=faster, advantage=0.9, unit=RATE).missed == []
    assert MS.advantage(0.2, 0.4) == 1, "both are noise"


# What is asked for ----------------------------------------------------------------------------------------------------


def test_sizes_and_scenarios_can_be_chosen() -> None:
    sizes, chosen, _ = asked({})
    assert (sizes, len(chosen)) == ([1_000, 100_000], len(SCENARIOS))
    sizes, chosen, effort = asked({"BENCH_SIZES": "1000000,1000", "BENCH_ONLY": "patch,preview", "BENCH_SECONDS": "7"})
    assert (sizes, {one.key for one in chosen}, effort.seconds) == ([1_000_000, 1_000], {"patch", "preview"}, 7)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"BENCH_ONLY": "prewiev"}, "there is no prewiev; there are preview, "),
        ({"BENCH_SIZES": "many"}, "are numbers"),
        ({"BENCH_SIZES": "1"}, "100 people at least"),
        ({"BENCH_SECONDS": "soon"}, "are numbers"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        asked(environ)


def test_each_scenario_has_a_key_of_its_own_and_the_chosen_targets() -> None:
    by_key = {one.key: one for one in SCENARIOS}
    assert len(by_key) == len(SCENARIOS)
    assert {key: by_key[key].growth for key in ("cut-over", "rollback", "preview", "funnel")} == {
        "cut-over": 0,
        "rollback": 0,
        "preview": 1,
        "funnel": 1,
    }
    assert [one.key for one in SCENARIOS if one.group == "Pages" and one.growth > 0] == ["overview", "pages"]
    assert (by_key["preview"].aim, by_key["memory"].aim, by_key["patch"].advantage) == (400, 150, 0.9)
    assert {(one.aim, one.aim_of) for one in SCENARIOS if one.group == "Pages" and one.key != "pages"} == {(60, "p95")}


# The report -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def report() -> Report:
    flat = a_result([4.0, 4.2, 4.1], beside=[10.0, 500.0, 6_000.0], key="cut-over", aim=10)
    steep = a_result([4.0, 40.0, 4_000.0], key="search", aim=60, aim_of="p95")
    broken = Result(a_scenario("patch", unit=RATE), "random", {1_000: Failed("OSError: no <space> | left")})
    return Report(datetime(2027, 3, 4, tzinfo=UTC), 754.0, {"Processor": "fast & small"}, SIZES, [flat, steep, broken])


class Page(HTMLParser):
    """Every element closed in its place; the addresses of stylesheets, the classes of charts, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sheets: list[str] = []
        self.classes: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.classes += (found.get("class") or "").split()
        if tag == "link":
            self.sheets.append(found["href"] or "")
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.text += text


def test_the_page_draws_charts_with_the_stylesheets_of_the_product(report: Report) -> None:
    page = Page(rendered(report, "html"))
    for sheet in page.sheets:
        path = (ROOT / "docs" / sheet).resolve()
        assert path.name in VENDOR_FILES or path.is_file(), sheet
    assert "charts.min.css" in " ".join(page.sheets)
    assert {"charts-css", "bar", "line", "size-1", "size-100", "s-after", "s-before"} <= set(page.classes)
    assert "OSError: no <space> | left" in page.text
    assert "fast & small" in page.text


@pytest.mark.parametrize("ending", ["md", "html"])
def test_both_tell_figures_growth_and_everything_that_is_wrong(report: Report, ending: str) -> None:
    text = re.sub(r"\s+", " ", rendered(report, ending))
    for told in (
        *("4.10 ms", "6,000 ms", "1463.41 ×", "4,000", "p95 at most 60 ms", "04 March 2027", "12.6 minutes"),
        *("Search grows with exponent", "allowed is 0", "p95 4e+03 ms, aim 60", "random data at 1,000 people"),
    ):
        assert told in text, told
    assert text.count("defect</b>" if ending == "html" else "**defect**") == 1
    assert text.count("missed</b>" if ending == "html" else "**missed**") == 1


def test_the_tables_of_the_markdown_are_whole(report: Report) -> None:
    table: list[int] = []
    for row in rendered(report, "md").splitlines():
        table = [*table, row.count("|")] if row.startswith("|") else []
        assert len(set(table)) < 2, row
    page = Page(rendered(report, "md"))
    assert page.sheets == []
    assert "OSError: no <space> | left" in page.text


def test_the_file_for_programs_has_everything(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path)
    told = json.loads((tmp_path / "benchmarks.json").read_text())
    assert told == json.loads(json.dumps(as_json(report)))
    cut_over, search, patch = told["results"]
    assert cut_over["byPeople"]["1000000"]["references"]["the eager one"]["advantage"] == pytest.approx(
        1463.41, abs=0.01
    )
    assert (cut_over["defect"], search["defect"], patch["failures"]) == (
        False,
        True,
        {"1000": "OSError: no <space> | left"},
    )
    assert {path.name for path in tmp_path.iterdir()} == {"benchmarks.json", "benchmarks.md", "benchmarks.html"}


def test_the_terminal_gets_the_same(report: Report) -> None:
    assert "4.10 ms" in line(report.results[0], 1_000_000)
    assert "1463.41 ×" in line(report.results[0], 1_000_000)
    told = summary(report)
    assert "Defects: 1\n  Search grows" in told
    assert "Not measured: 1" in told


def test_one_size_has_no_lines(report: Report) -> None:
    one = Report(report.at, 1.0, {}, SIZES[:1], [a_result([4.0], beside=[5.0])])
    assert "line" not in Page(rendered(one, "html")).classes


@pytest.mark.parametrize(
    ("figure", "text"), [(0, "0"), (0.1234, "0.12"), (4.1, "4.10"), (41.26, "41.3"), (412.6, "413"), (41_260, "41,260")]
)
def test_figures_have_as_many_digits_as_mean_something(figure: float, text: str) -> None:
    assert shown(figure) == text
