"""One HTTP exchange: send a request and take in everything that comes back, whatever happens.

Nothing is raised here: how the exchange ended is part of what it gave. Bytes are taken from the
raw stream, after transfer decoding and before content decoding.
"""

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import h11
import httpx

from raw_store.spool import Spool

from .intake import Intake, IntakeFailed

logger = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What came back, up to where it ended."""

    fetched_at: datetime
    elapsed_ms: int = 0
    status: int | None = None
    reason: str | None = None
    http_version: str | None = None
    headers: Headers = ()
    encoded: bytes | Spool | None = None
    """The body as transferred. None where no response came, or where it could not be kept."""
    truncated: str | None = None
    """WARC's reason token, when the body is not whole."""
    error: str | None = None
    """A reason token and its message."""
    exception: BaseException | None = None
    """What to raise once the exchange is archived."""

    @property
    def encoded_size(self) -> int:
        """Bytes of the body as transferred."""
        return self.encoded.size if isinstance(self.encoded, Spool) else len(self.encoded or b"")

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def listed(self, name: str) -> str | None:
        """All headers of this name as one, as RFC 9110 (5.3) reads those that hold lists."""
        values = [value for key, value in self.headers if key.lower() == name]
        return ", ".join(values) if values else None


async def exchange(
    inner: httpx.AsyncBaseTransport, request: httpx.Request, *, limit: int, deadline: float
) -> Exchange:
    """Send `request` through `inner`; keep `limit` bytes, wait `deadline` seconds at most."""
    found = Exchange(fetched_at=datetime.now(UTC))
    intake = Intake()
    started = time.monotonic()
    try:
        async with asyncio.timeout(deadline):
            await _receive(found, intake, inner, request, limit)
    except TimeoutError:
        _ended(found, httpx.ReadTimeout(f"not finished after {deadline:g} s", request=request))
    except (Exception, asyncio.CancelledError) as error:
        # A cancelled run archives what it has got so far; the caller raises it again.
        if not isinstance(error, IntakeFailed):
            _ended(found, error)
    try:
        await intake.finish()
    except asyncio.CancelledError as error:
        _ended(found, error)
    if intake.failure:
        found.error, found.truncated = intake.failure, "unspecified"
    if found.status is not None:
        found.encoded = intake.taken
    found.elapsed_ms = round((time.monotonic() - started) * 1000)
    return found


async def _receive(
    found: Exchange,
    intake: Intake,
    inner: httpx.AsyncBaseTransport,
    request: httpx.Request,
    limit: int,
) -> None:
    response = await inner.handle_async_request(request)
    try:
        found.status = response.status_code
        found.reason = _text(response.extensions.get("reason_phrase"))
        found.http_version = _text(response.extensions.get("http_version"))
        found.headers = as_text(response.headers.raw)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            if intake.size + len(chunk) > limit:
                await intake.add(chunk[: limit - intake.size])
                found.truncated = "length"
                return
            await intake.add(chunk)
    finally:
        _distrust(response)
        await response.aclose()


def _distrust(response: httpx.Response) -> None:
    """Keep a connection that holds bytes beyond this response from being used again: the HTTP
    client would take them for the answer to the next request (RFC 9112, 6.3)."""
    within: Any = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        within = getattr(within, name, None)
    if isinstance(within, h11.Connection) and within.their_state in (h11.DONE, h11.MUST_CLOSE):
        left, _ = within.trailing_data
        if left:
            logger.warning("bytes after a response dropped count=%d", len(left))
            within.send_failed()


def as_text(raw: list[tuple[bytes, bytes]]) -> Headers:
    """Header names and values as latin-1 text, which loses nothing."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


# The first that fits; ordered from the narrow to the wide.
_REASONS: tuple[tuple[type[BaseException], str, str], ...] = (
    (asyncio.CancelledError, "cancelled", "unspecified"),
    (httpx.TimeoutException, "timeout", "time"),
    (httpx.ConnectError, "connect", "disconnect"),
    (httpx.ProxyError, "connect", "disconnect"),
    (httpx.NetworkError, "disconnect", "disconnect"),
    (httpx.TransportError, "protocol", "unspecified"),
    (BaseException, "unexpected", "unspecified"),
)

_HANGUP = re.compile("disconnected without|closed connection")


def _ended(found: Exchange, error: BaseException) -> None:
    token, truncated = next(
        (token, truncated) for kind, token, truncated in _REASONS if isinstance(error, kind)
    )
    # A peer that hangs up is reported as a protocol error, too.
    if isinstance(error, httpx.RemoteProtocolError) and _HANGUP.search(str(error)):
        token = truncated = "disconnect"
    message = str(error) or type(error).__name__
    found.error = f"{token}: {message}"
    found.exception = error
    if found.status is not None:
        found.truncated = truncated
