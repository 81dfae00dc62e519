"""One HTTP exchange: send a request and take in everything that comes back, whatever happens.

Nothing is raised here: how the exchange ended is part of what it gave. Bytes are taken from the
raw stream, after transfer decoding and before content decoding.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

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
    encoded: bytearray = field(default_factory=bytearray)
    truncated: str | None = None
    """WARC's reason token, when the body is not whole."""
    error: str | None = None
    """A reason token and its message."""
    exception: BaseException | None = None
    """What to raise once the exchange is archived."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


async def exchange(
    inner: httpx.AsyncBaseTransport, request: httpx.Request, *, limit: int, deadline: float
) -> Exchange:
    """Send `request` through `inner`; keep `limit` bytes, wait `deadline` seconds at most."""
    found = Exchange(fetched_at=datetime.now(UTC))
    started = time.monotonic()
    try:
        async with asyncio.timeout(deadline):
            await _receive(found, inner, request, limit)
    except TimeoutError:
        _ended(found, httpx.ReadTimeout(f"not finished after {deadline:g} s", request=request))
    except (Exception, asyncio.CancelledError) as error:
        # A cancelled run archives what it has got so far; the caller raises it again.
        _ended(found, error)
    found.elapsed_ms = round((time.monotonic() - started) * 1000)
    return found


async def _receive(
    found: Exchange, inner: httpx.AsyncBaseTransport, request: httpx.Request, limit: int
) -> None:
    response = await inner.handle_async_request(request)
    try:
        found.status = response.status_code
        found.reason = _text(response.extensions.get("reason_phrase"))
        found.http_version = _text(response.extensions.get("http_version"))
        found.headers = as_text(response.headers.raw)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            found.encoded += chunk
            if len(found.encoded) > limit:
                del found.encoded[limit:]
                found.truncated = "length"
                return
    finally:
        await response.aclose()


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
    (httpx.RemoteProtocolError, "protocol", "disconnect"),
    (httpx.TransportError, "protocol", "unspecified"),
    (BaseException, "unexpected", "unspecified"),
)


def _ended(found: Exchange, error: BaseException) -> None:
    token, truncated = next(
        (token, truncated) for kind, token, truncated in _REASONS if isinstance(error, kind)
    )
    # A peer that hangs up is reported as a protocol error, too.
    is_hangup = token == "protocol" and "disconnected" in str(error)
    if is_hangup or (found.status is not None and truncated == "disconnect"):
        token = "disconnect"
    message = str(error) or type(error).__name__
    found.error = f"{token}: {message}"
    found.exception = error
    if found.status is not None:
        found.truncated = truncated
