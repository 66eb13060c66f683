"""How numbers, times, names, statuses and sizes are written on pages. Pure functions; templates see them as filters."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup, escape

from dashboard.onboarding.carryover import STATUS_LABELS, STATUSES
from dashboard.onboarding.impact import BANDS
from dashboard.words import plural

STEP_LABELS = {"title": "Title", "description": "Description", "weight": "Weight", "action_url": "Opens"}
"""The labels of a step's fields, by member."""

BAND_LABELS = [band.replace("-", "–") for band in BANDS]

STATUS_CHOICES = [(status, STATUS_LABELS[status]) for status in ("todo", "in_progress", "done", "skipped")]
"""The statuses to choose from, in the order people go through them."""

MINUS = "\N{MINUS SIGN}"
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
POP, POP_ISOLATE = "\u202c", "\u2069"
CLOSED_BY = dict.fromkeys("\u202a\u202b\u202d\u202e", POP) | dict.fromkeys("\u2066\u2067\u2068", POP_ISOLATE)
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Unicode's marks for text direction, each with the one that closes it."""
MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800


def number(value: float) -> str:
    """1185 -> 1,185; a true minus sign for negative numbers."""
    return f"{value:,}".replace("-", MINUS)


def signed(value: int) -> str:
    """+2, −5 or 0."""
    return f"+{value:,}" if value > 0 else number(value)


def compact(value: int) -> str:
    """For narrow columns: up to 999 as it is, then 1.2k, 12k, 1.2M."""
    if value < 1_000:
        return str(value)
    for unit, size in (("k", 1_000), ("M", 1_000_000)):
        if value < 999.5 * size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value / 1_000_000:,.0f}M"


def percent(value: float, digits: int = 0) -> str:
    """60 -> 60 %, with a narrow no-break space; `digits` after the point."""
    return f"{value:,.{digits}f}".replace("-", MINUS) + f"{NARROW_SPACE}%"


def share(part: float, whole: float, digits: int = 1) -> str:
    """`part` of `whole` in per cent; 0 of nothing is 0 %."""
    return percent(100 * part / whole if whole else 0, digits)


def initials(name: str | None) -> str:
    """First letters of the first and last word: Maya Lindqvist -> ML."""
    words = [word for word in (name or "").replace("@", " ").split() if word[0].isalnum()]
    if not words:
        return "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def status_label(status: str) -> str:
    """To do, In progress, Done or Skipped."""
    return STATUS_LABELS[status]


def relative(moment: datetime, now: datetime) -> str:
    """just now, 44 min ago, 2 hours ago, yesterday, 3 days ago, 12 Nov, 12 Nov 2025."""
    seconds = (now - moment).total_seconds()
    days = (now.date() - moment.date()).days
    if not -MINUTE < seconds < WEEK:
        return short_date(moment, now)
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min ago"
    if seconds < DAY and (days == 0 or seconds < 12 * HOUR):
        return "1 hour ago" if seconds < 2 * HOUR else f"{int(seconds // HOUR)} hours ago"
    return "yesterday" if days == 1 else f"{days} days ago"


def short_date(moment: datetime, now: datetime) -> str:
    """12 Nov; with the year if it is not this one."""
    return f"{moment.day} {moment:%b}" if moment.year == now.year else full_date(moment)


def lasting(span: timedelta) -> str:
    """12 hours, 7 days: whole days where possible, else whole hours."""
    hours = span // timedelta(hours=1)
    return plural(hours, "hour") if hours % 24 else plural(hours // 24, "day")


def full_date(moment: date) -> str:
    """12 Nov 2026."""
    return f"{moment.day} {moment:%b %Y}"


def when(value: datetime | None, form: str = "relative", now: datetime | None = None) -> Markup:
    """A <time> with the exact UTC time on hover. Forms: relative, date, datetime, at. Empty for None.

    The last is: at 14:05 UTC; or if that is not today: on 12 Nov 2026, 14:05 UTC. What only says something today is
    `brief`: on paper the exact time takes its place.
    """
    if value is None:
        return Markup("")
    moment, now = value.astimezone(UTC), (now or datetime.now(UTC)).astimezone(UTC)
    today = moment.date() == now.date()
    text = {
        "relative": lambda: relative(moment, now),
        "date": lambda: full_date(moment),
        "datetime": lambda: f"{full_date(moment)}, {moment:%H:%M}",
        "at": lambda: f"{moment:%H:%M} UTC" if today else f"{full_date(moment)}, {moment:%H:%M} UTC",
    }[form]()
    exact = f"{full_date(moment)}, {moment:%H:%M:%S} UTC"
    before = {"at": "at " if today else "on "}.get(form, "")
    brief = Markup(' class="brief"') if form == "relative" or (form == "at" and today) else ""
    return Markup('{}<time datetime="{}" title="{}"{}>{}</time>').format(
        before, f"{moment:%Y-%m-%dT%H:%M:%SZ}", exact, brief, text
    )


def sizes(counts: Sequence[int]) -> list[int]:
    """The parts of a stacked bar in whole per cent: they add up to 100, and no count above zero gets less than 1."""
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    exact = [100 * count / total for count in counts]
    result = [max(int(part), 1 if count else 0) for part, count in zip(exact, counts, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda i: result[i] - exact[i])
    for i in by_remainder[: max(0, 100 - sum(result))]:
        result[i] += 1
    while sum(result) > 100:
        # tiny parts were raised to 1: that comes off the parts that were rounded up most
        widest = max((i for i in range(len(counts)) if result[i] > 1), key=lambda i: (result[i] - exact[i], result[i]))
        result[widest] -= 1
    return result


def column_size(count: int, largest: int) -> int:
    """The height of a column in per cent of the largest of all series; at least 1 if there is anything to show."""
    if not count or not largest:
        return 0
    return max(1, round(100 * count / largest))


def status_counts(counts: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """(status, count, size) in the fixed order of statuses, for a stacked bar."""
    ordered = [counts.get(status, 0) for status in STATUSES]
    return list(zip(STATUSES, ordered, sizes(ordered), strict=True))


def apart(text: str) -> str:
    """The text with its open direction marks closed, so that it cannot reorder the text beside it."""
    closing = ""
    for mark in TURNING.findall(text):
        if mark in CLOSED_BY:
            closing = CLOSED_BY[mark] + closing
        elif mark == POP_ISOLATE:
            # also closes whatever was opened inside the last isolate
            closing = closing.partition(POP_ISOLATE)[2] if POP_ISOLATE in closing else closing
        else:
            closing = closing.removeprefix(POP)
    return text + closing


def listing(words: Sequence[str]) -> Markup:
    """a, b and c: each word escaped and in bold."""
    bold = [Markup("<b>{}</b>").format(word) for word in words]
    if len(bold) < 2:
        return Markup("").join(bold)
    return Markup(", ").join(bold[:-1]) + Markup(" and ") + bold[-1]


def paragraphs(text: str | None) -> Markup:
    """User-entered text with its line breaks, escaped."""
    return Markup("<br>").join(escape(line) for line in (text or "").splitlines())
