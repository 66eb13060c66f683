"""Lists as CSV files, streamed: whatever their length, only a small part is in memory at once."""

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
"""The characters that start a formula, full-width forms included."""

# Spreadsheets that split at semicolons or tabs start cells inside ours; quotes and spaces before one mean nothing.
STARTS = re.compile(rf'(?:^|[;\t\r\n])[\s";]*+[{FORMULA}]?')
CHUNK = 32_768
BROKEN_OFF = "This file is incomplete: the rest could not be read. Export it again."


def cell(value: str | int) -> str | int:
    """The value made safe for spreadsheets: an apostrophe precedes anything they would run as a formula."""
    if not isinstance(value, str) or _is_plain(value):
        return value
    return STARTS.sub(_defused, f"'{value}" if value.startswith(("\t", "\r")) else value)


def _is_plain(value: str) -> bool:
    # spelt out because most cells of a million-line file get no further
    is_one = ";" not in value and "\n" not in value and "\t" not in value and "\r" not in value
    return is_one and (not value or value[0].isalnum())


def _defused(start: re.Match[str]) -> str:
    found = start[0]
    return f"{found[:-1]}'{found[-1]}" if found.endswith(tuple(FORMULA)) else found


def csv_file(filename: str, rows: Rows) -> Response:
    """Streams `rows`, the header first. Errors before the second row are raised here.

    By then the query has run: if it fails, the answer can still be an error page.
    """
    begun = list(islice(rows, 2))
    response = Response(_chunks(filename, chain(begun, rows)), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    # even if the client stops reading: the rows may hold a transaction open
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
        # half a list that looks complete is worse than none, and not every program notices that the rest is missing
        log.error("export broke off", file=filename, exc_info=error)
        writer.writerow([BROKEN_OFF])
        yield buffer.getvalue()
        raise
    yield buffer.getvalue()
