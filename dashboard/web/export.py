"""Lists as CSV files, streamed: whatever their length, only a little of them is in memory at once."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from io import StringIO

from flask import Response

Row = Sequence[str | int]
Rows = Generator[Row, None, None]

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
CHUNK = 32_768


def cell(value: str | int) -> str | int:
    """The value as a spreadsheet may have it: text that it would run as a formula starts with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def csv_file(filename: str, rows: Rows) -> Response:
    """The answer that streams `rows`. What the first row, the header, raises is raised here: it can still be a page."""
    header = next(rows)
    response = Response(_chunks(header, rows), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    # also when nobody reads it to the end: the rows may hold a transaction open
    response.call_on_close(rows.close)
    return response


def _chunks(header: Row, rows: Rows) -> Iterator[str]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for row in rows:
        writer.writerow([cell(value) for value in row])
        if buffer.tell() > CHUNK:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
