"""One log line per request, and the id that links it to what the user saw."""

import io
import logging
import re
import sys
import time
import uuid
from typing import TYPE_CHECKING, TextIO

import structlog
from flask import Flask, Response, g, request
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEADER = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
QUIET_PATHS = ("/static/", "/healthz", "/readyz", "/metrics")

log = structlog.get_logger("dashboard.request")


def install(app: Flask) -> None:
    """Gives every request an id, and logs it when it is answered."""
    configure()
    app.before_request(start)
    app.after_request(finish)


def configure() -> None:
    """Readable lines on a terminal, JSON anywhere else; to stderr."""
    if structlog.is_configured():
        return
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(for_terminal() if terminal else for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # the line and its end in one write: unbuffered print would split them, and workers share one stderr
        logger_factory=structlog.WriteLoggerFactory(_stderr()),
        cache_logger_on_first_use=True,
    )


def _stderr() -> TextIO:
    """Standard error, without the buffer that would split a long line, such as a traceback."""
    try:
        raw = _Lenient(sys.stderr.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return sys.stderr
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="\n", write_through=True)


class _Lenient(io.FileIO):
    """Drops what cannot be written, for instance because the disk is full: a lost line is better than a lost answer."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class ToLog(logging.Handler):
    """The web server's own messages, such as a worker's end, as lines of this log."""

    def __init__(self) -> None:
        super().__init__()
        configure()
        self.log = structlog.get_logger("dashboard.server")

    def emit(self, record: logging.LogRecord) -> None:
        self.log.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def for_terminal() -> list[Processor]:
    """Coloured lines, with plain tracebacks."""
    # neither format shows local variables: one may be a form's password
    return [escaped, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def escaped(_: object, __: str, event: EventDict) -> EventDict:
    """Escapes everything in the line that a terminal would obey instead of showing."""
    return {name: _printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def for_machines() -> list[Processor]:
    """JSON, tracebacks included."""
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transform), structlog.processors.JSONRenderer()]


def start() -> None:
    """Uses the caller's request id if it is a sane one, else makes one."""
    given = request.headers.get(HEADER, "")
    g.request_id = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
    g.started_at = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def request_id() -> str:
    """The id of this request, as in the log and the answer's header."""
    if "request_id" not in g:
        start()
    return str(g.request_id)


def finish(response: Response) -> Response:
    """Puts the id in the answer, and logs the request unless it is one of the many successful ones."""
    response.headers[HEADER] = request_id()
    if response.status_code >= 400 or not request.path.startswith(QUIET_PATHS):
        # without the query string: it may hold the names and addresses searched for
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(1_000 * (time.perf_counter() - g.started_at), 1),
        )
    return response
