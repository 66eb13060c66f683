"""How numbers, times and texts are written on pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.web import formats
from dashboard.web.text_diff import BREAK, marked
from dashboard.words import plural

NOW = datetime(2026, 11, 24, 10, 42, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "expected"), [(1, "1 hour"), (12, "12 hours"), (24, "1 day"), (36, "36 hours"), (72, "3 days")]
)
def test_how_long_something_lasts(hours: int, expected: str) -> None:
    assert formats.lasting(timedelta(hours=hours)) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1810, 0, 40, 150], [91, 0, 2, 7]),
        ([1170, 60, 6, 764], [58, 3, 1, 38]),
        ([498, 214, 135, 1153], [25, 11, 7, 57]),
        ([1_000_000, 1, 1, 1], [97, 1, 1, 1]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_sizes_round_by_largest_remainder(counts: list[int], expected: list[int]) -> None:
    assert formats.sizes(counts) == expected


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_a_stacked_bar_adds_to_100_and_hides_nothing(counts: list[int]) -> None:
    sizes = formats.sizes(counts)
    assert sum(sizes) == (100 if sum(counts) else 0)
    assert [size > 0 for size in sizes] == [count > 0 for count in counts]


def test_a_time_of_another_day_says_the_day() -> None:
    assert formats.when(NOW, "at", NOW).striptags() == "at 10:42 UTC"
    yesterday = formats.when(NOW - timedelta(days=1), "at", NOW)
    assert yesterday.striptags() == "on 23 Nov 2026, 10:42 UTC"
    assert "brief" not in yesterday


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (timedelta(seconds=7), "just now"),
        (timedelta(minutes=44), "44 min ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=2), "2 hours ago"),
        (timedelta(days=1), "yesterday"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=12), "12 Nov"),
        (timedelta(days=400), "20 Oct 2025"),
        (timedelta(days=-1), "25 Nov"),
    ],
)
def test_relative_times(before: timedelta, expected: str) -> None:
    assert formats.relative(NOW - before, NOW) == expected


def test_a_time_says_the_exact_moment_on_hover() -> None:
    moment = datetime(2026, 11, 12, 10, 15, 2, tzinfo=UTC)
    html = formats.when(moment, "relative", NOW)
    assert html == '<time datetime="2026-11-12T10:15:02Z" title="12 Nov 2026, 10:15:02 UTC" class="brief">12 Nov</time>'
    assert formats.when(None) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (1_240, "1.2k"), (12_400, "12k"), (999_499, "999k"), (1_200_000, "1.2M")],
)
def test_compact_numbers(value: int, expected: str) -> None:
    assert formats.compact(value) == expected


def test_numbers_and_names() -> None:
    assert formats.number(-1185) == "−1,185"
    assert formats.signed(2) == "+2"
    assert formats.percent(20.2, 1) == "20.2\u202f%"
    assert formats.share(1, 0) == "0.0\u202f%"
    assert plural(1, "person", "people") == "1 person"
    assert plural(1185, "draft") == "1,185 drafts"
    assert [formats.initials(name) for name in ("Maya Lindqvist", "amara", "a.b@c.d", "", None)] == [
        "ML", "A", "AC", "?", "?",
    ]  # fmt: skip


@given(st.text(alphabet="a\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", max_size=12))
def test_what_turns_text_round_is_closed_where_the_text_ends(text: str) -> None:
    told = formats.apart(text)
    assert told.startswith(text)
    assert set(told[len(text) :]) <= set("\u202c\u2069")
    opened: list[str] = []
    for mark in told:
        if mark in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068":
            opened.append("isolate" if mark > "\u2060" else "embedding")
        elif mark == "\u202c" and opened and opened[-1] == "embedding":
            opened.pop()
        elif mark == "\u2069" and "isolate" in opened:
            while opened.pop() != "isolate":
                pass
    assert not opened
    assert formats.apart(told) == told


def test_marks_are_words_and_escape_what_they_show() -> None:
    result = marked("Set up <b>payments</b>", "Set up <b>payments</b> and payouts")
    assert result.before == "Set up &lt;b&gt;payments&lt;/b&gt;"
    assert result.after == "Set up &lt;b&gt;payments&lt;/b&gt; <ins>and payouts</ins>"
    assert marked(20, 30).both == "<del>20</del> <ins>30</ins>"
    assert not marked(None, "").changed


def test_a_line_break_is_marked_where_nothing_else_changed() -> None:
    result = marked("Choose a bank\nName the owner", "Choose a bank\n\nName the owner")
    assert result.before == "Choose a bank\nName the owner"
    assert result.after == result.both == f"Choose a bank\n<ins>{BREAK}</ins>\nName the owner"
    joined = marked("Choose a bank\nName the owner", "Choose a bank Name the owner")
    assert joined.before == f"Choose a bank<del>{BREAK}</del>\nName the owner"
    assert joined.after == "Choose a bank Name the owner"


def test_lines_are_marked_one_by_one() -> None:
    result = marked("First\nsecond", "One\ntwo\nthree")
    assert result.before == "<del>First</del>\n<del>second</del>"
    assert result.after == "<ins>One</ins>\n<ins>two\nthree</ins>"


@given(st.text(alphabet="ab <&\n.", max_size=40), st.text(alphabet="ab <&\n.", max_size=40))
def test_without_its_marks_each_side_is_the_text_again(before: str, after: str) -> None:
    result = marked(before, after)
    for side, text in ((result.before, before), (result.after, after)):
        assert side.striptags() == " ".join(text.split()) or _unmarked(side) == text


def _unmarked(html: object) -> str:
    from markupsafe import Markup

    text = str(html)
    for tag in (str(BREAK), "<ins>", "</ins>", "<del>", "</del>"):
        text = text.replace(tag, "")
    return Markup(text).unescape()
