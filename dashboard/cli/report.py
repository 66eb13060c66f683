"""The impact report and the receipt as text for a terminal. Pure functions of the engine's outcome."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import unified_diff

from dashboard.onboarding.carryover import STATUS_LABELS, STATUSES
from dashboard.onboarding.cutover import Outcome
from dashboard.onboarding.impact import BANDS, Impact, Spread
from dashboard.onboarding.steps import FieldChange
from dashboard.words import plural


def preview(outcome: Outcome) -> str:
    """What a release would do: to the step's content, people, statuses, progress."""
    impact = outcome.impact
    parts = [_heading(outcome)]
    if outcome.release.kind != "withdraw":
        parts.append(_changes(outcome.changes, impact.total_weight))
    if outcome.release.kind == "migrate":
        parts.append(_policy(outcome))
    parts += [_people(impact), _statuses(impact), _progress(impact), _moves(impact)]
    return "\n\n".join(parts)


def receipt(outcome: Outcome) -> str:
    """What a release did, in a few lines."""
    released, impact = outcome.release, outcome.impact
    kept = f"{impact.copied:,} kept, {impact.reset:,} reset"
    if released.kind == "rollback":
        kept += f", {impact.restored:,} given back; {impact.kept_later:,} keep later work"
    told = released.receipt or {}
    lines = [
        f"{released.step_id} is {f'live in version {released.version}' if released.version else 'withdrawn'}: "
        f"release {released.number}.",
        f"{plural(impact.affected, 'person', 'people')} affected: {kept}. {impact.untouched:,} untouched.",
    ]
    if predicted := told.get("predicted"):
        lines.append(f"Predicted: {predicted['reset']:,} reset, {predicted['restored']:,} given back.")
    lines.append(f"{len(told.get('invariants', ()))} invariants checked, all hold; {outcome.milliseconds:,} ms.")
    return "\n".join(lines)


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would obey instead of showing."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def table(rows: Iterable[Iterable[str]], left: int = 1) -> str:
    """Rows as aligned columns, the first `left` of them left-aligned and the others right-aligned."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _heading(outcome: Outcome) -> str:
    released, before = outcome.release, outcome.before
    match released.kind:
        case "publish":
            return f"{released.step_id}: first release, of version {released.version}"
        case "rollback":
            now = before.version if before else "?"
            return f"{released.step_id}: rollback from version {now} to version {released.version}"
        case "withdraw":
            return f"{released.step_id}: withdrawal of version {before.version if before else '?'}"
        case "restore":
            return f"{released.step_id}: restore of version {released.version}"
        case _:
            now = before.version if before else "?"
            return f"{released.step_id}: release of version {released.version}; version {now} is live"


# Content -------------------------------------------------------------------------------------------------------------


def _changes(changes: Iterable[FieldChange], total_weight: tuple[int, int]) -> str:
    told = "\n".join(_change(change, total_weight) for change in changes)
    return f"What changes\n{told or '  nothing'}"


def _change(change: FieldChange, total_weight: tuple[int, int]) -> str:
    before, after = change.before, change.after
    if isinstance(after, str) and "\n" in f"{before or ''}{after}":
        return f"  {change.member}\n" + "\n".join(f"    {line}" for line in _lines(str(before or ""), after))
    of_before, of_after = (f" of {total:,}" if change.member == "weight" else "" for total in total_weight)
    was = f"{_value(before)}{of_before} -> " if before is not None else ""
    return f"  {change.member}: {was}{_value(after)}{of_after}"


def _value(value: str | int | None) -> str:
    return f"“{printable(value)}”" if isinstance(value, str) else f"{value:,}"


def _lines(before: str, after: str) -> list[str]:
    old, new = (text.split("\n") if text else [] for text in (before, after))
    compared = list(unified_diff(old, new, lineterm="", n=1))
    # the first two lines name files
    return [f"{line[0]} {printable(line[1:])}" for line in compared[2:] if not line.startswith("@@")]


def _policy(outcome: Outcome) -> str:
    policy = outcome.release.policy
    parts = [
        f"Done {'kept' if policy.done else 'to do again'}",
        f"Skipped {'kept' if policy.skipped else 'reset'}",
        f"In progress {'kept' if policy.in_progress else 'reset'}",
    ]
    finished = "not finished below 100 %" if outcome.release.reopens_finished else "stay finished"
    return f"Carry-over: {', '.join(parts)}; people who had finished: {finished}"


# Effect --------------------------------------------------------------------------------------------------------------


def _people(impact: Impact) -> str:
    rows = [
        ("People", impact.everybody),
        ("  affected", impact.affected),
        ("    kept", impact.copied),
        ("    reset", impact.reset),
        ("    given back", impact.restored),
        ("  untouched", impact.untouched),
        ("Keep later work", impact.kept_later),
    ]
    optional = ("    given back", "Keep later work")
    return table((name, f"{number:,}") for name, number in rows if number or name not in optional)


def _statuses(impact: Impact) -> str:
    head = ["Before \\ after", *(STATUS_LABELS[status] for status in STATUSES)]
    rows = [[STATUS_LABELS[old], *(f"{impact.matrix[old][new]:,}" for new in STATUSES)] for old in STATUSES]
    return table([head, *rows])


def _progress(impact: Impact) -> str:
    before, after = impact.before, impact.after
    bands = zip(BANDS, before.bands, after.bands, strict=True)
    rows = [(f"{band} %", f"{was:,}", f"{will:,}") for band, was, will in bands]
    return table([("Progress", "before", "after"), *rows, *_ends(before, after)])


def _ends(before: Spread, after: Spread) -> list[tuple[str, str, str]]:
    return [
        ("Median", f"{before.median} %", f"{after.median} %"),
        ("Finished", f"{before.finished:,}", f"{after.finished:,}"),
    ]


def _moves(impact: Impact) -> str:
    moves = impact.moves
    told = f"Progress: {moves.up:,} go up, {moves.down:,} go down, {moves.same:,} stay the same"
    if moves.down:
        told += f"; the largest drop is {plural(moves.largest_drop, 'point')}"
    if moves.fall_from_100:
        told += f"; {plural(moves.fall_from_100, 'person falls', 'people fall')} below 100 %"
    return f"{told}."
