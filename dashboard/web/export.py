"""Lists as CSV files, streamed: whatever their length, only a little of them is in memory at once."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from io import StringIO
from itertools import chain, islice

import structlog
from flask import Response

log = structlog.get_logger("dashboard.export")

Row = Sequence[str | int]
Rows = Generator[Row, None, None]

FORMULA = "=+@\uff1d\uff0b\uff20\uff0d-"
"""What a formula starts with, in wide forms too."""

# A spreadsheet that divides at semicolons or tabs begins cells inside of ours; quotes and spaces before one mean nothing.
STARTS = re.compile(rf'(?:^|[;\t\r\n])[\s";]*+[{FORMULA}]?')
CHUNK = 32_768
BROKEN_OFF = "This file is incomplete: the rest could not be read. Export it again."


def cell(value: str | int) -> str | int:
    """The value as a spreadsheet may have it: an apostrophe stands before what it would run as a formula."""
    if not isinstance(value, str) or _is_plain(value):
        return value
    return STARTS.sub(_defused, f"'{value}" if value.startswith(("\t", "\r")) else value)


def _is_plain(value: str) -> bool:
    # spelt out, for most cells of a file of a million lines get no further
    is_one = ";" not in value and "\n" not in value and "\t" not in value and "\r" not in value
    return is_one and (not value or value[0].isalnum())


def _defused(start: re.Match[str]) -> str:
    found = start[0]
    return f"{found[:-1]}'{found[-1]}" if found.endswith(tuple(FORMULA)) else found


def csv_file(filename: str, rows: Rows) -> Response:
    """The answer that streams `rows`, the header first. What comes before the second row is done, and raised, here.

    By then the rows have been asked for: where they cannot be had, the answer can still be a page that says so.
    """
    begun = list(islice(rows, 2))
    response = Response(_chunks(filename, chain(begun, rows)), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    # also when nobody reads it to the end: the rows may hold a transaction open
    response.call_on_close(rows.close)
    return response


def _chunks(filename: str, rows: Iterable[Row]) -> Iterator[str]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    try:
        for row in rows:
            writer.writerow([cell(value) for value in row])
            if buffer.tell() > CHUNK:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    except Exception as error:
        # half of a list that looks like all of it is worse than none; not every program tells that the rest is missing
        log.error("export broke off", file=filename, exc_info=error)
        writer.writerow([BROKEN_OFF])
        yield buffer.getvalue()
        raise
    yield buffer.getvalue()
