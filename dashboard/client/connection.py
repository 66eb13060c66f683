"""One request and its answer, or a typed error that also says whether it may have been carried out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from dashboard.client.errors import ClientError, Unanswered, Unreadable, refusal
from dashboard.client.retrying import Tries

A = TypeVar("A", bound=BaseModel)

BROKEN = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError, httpx.DecodingError)
"""No answer, or an incomplete one. Other httpx errors are the caller's mistakes: an address, a header."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

LACKING = "the answer lacks required members"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; a `harmless` one changes nothing. `attempt`: how often it was sent before; None: at every try so far."""

    method: str
    path: str
    params: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    harmless: bool = False
    attempt: int | None = None


class Connection:
    """A pool of connections to one server; thread-safe."""

    def __init__(self, base_url: str, token: str, timeout_s: float, transport: httpx.BaseTransport | None) -> None:
        if httpx.URL(base_url).scheme not in ("http", "https"):
            raise ValueError("base_url must begin with http:// or https://")
        # refused here because httpx's error for an invalid header would show all of it
        if not token or any(not "!" <= one <= "~" for one in token):
            raise ValueError("token must be the secret alone: not empty, no spaces, no line end")
        self.timeout_s = timeout_s
        self.http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            transport=transport,
        )

    def ask(self, tries: Tries, kind: type[A], request: Request) -> A:
        """The answer to one request. Raises ClientError."""
        try:
            return self._ask(tries, kind, request)
        except ClientError as error:
            error.unsure = error.unsure and not request.harmless
            raise

    def _ask(self, tries: Tries, kind: type[A], request: Request) -> A:
        timeout_s = min(self.timeout_s, tries.left_s)
        if timeout_s <= 0:
            raise Unanswered("time ran out before the request was sent")
        attempt = tries.count if request.attempt is None else request.attempt
        asked = self.http.stream(
            request.method,
            request.path,
            params=request.params,
            json=request.body,
            headers={"X-Retry-Attempt": str(attempt)} if attempt else None,
            timeout=timeout_s,
        )
        try:
            with asked as response:
                content = _whole(response, time.monotonic() + timeout_s)
        except BROKEN as error:
            sent = not isinstance(error, NEVER_SENT)
            raise Unanswered(str(error) or type(error).__name__, unsure=sent) from error
        found = _read(response, content)
        if not response.is_success:
            raise _refused(response, found)
        try:
            return kind.model_validate(found)
        except ValidationError as error:
            raise Unreadable(LACKING, unsure=True) from error


def _whole(response: httpx.Response, until: float) -> bytes:
    """The whole answer. Raises ReadTimeout: httpx times each part, and there may be any number of parts."""
    content = bytearray()
    for part in response.iter_bytes():
        content += part
        if time.monotonic() > until:
            raise httpx.ReadTimeout("the answer took too long", request=response.request)
    return bytes(content)


def _read(response: httpx.Response, content: bytes) -> Any:
    """The JSON of the answer; None if it is not JSON. Raises Unanswered if it should be."""
    try:
        return json.loads(content)
    except ValueError as error:
        if not response.is_success and "json" not in response.headers.get("Content-Type", ""):
            return None
        # a proxy may have been cut off, and passed on only the beginning
        raise Unanswered("the answer is incomplete", unsure=True) from error


def _refused(response: httpx.Response, found: object) -> ClientError:
    try:
        error = refusal(response.status_code, found if isinstance(found, dict) else {})
    except (KeyError, TypeError, ValueError):
        return Unreadable(LACKING)
    # a proxy may give up on a server that continues, and a database connection may be lost during a commit
    error.unsure = response.status_code >= 500
    error.retry_after_s = retry_after_s(response.headers)
    return error


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The time to wait, given in seconds or as a date (RFC 9110, 10.2.3); 0 if not given."""
    given = headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdigit():
        return float(given)
    until, now = _time(given), _time(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else 0.0


def _time(given: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(given)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
