"""Exchanges through httpx: for HTTP/2, for SOCKS proxies, and for a transport given by a caller.

An order of magnitude slower than our own client (`bench/extract`), and as faithful: bytes are taken
from the raw stream, after transfer decoding and before content decoding.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import h11
import httpcore
import httpx

from ..intake import Intake, IntakeFailed
from .client import TOTAL_FACTOR
from .errors import ConnectFailed, HungUp, NotHttp, TimedOut, WireFailure
from .exchange import Exchange
from .guard import Guard
from .head import Headers
from .network import Network
from .request import Request, as_httpx

logger = logging.getLogger(__name__)


class HttpxWire:
    """Exchanges through any transport of httpx."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        network: Network | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._inner = inner
        self._network = network or Network()
        self._guard = guard

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def exchange(self, request: Request, *, limit: int, silence: float) -> Exchange:
        found = Exchange(fetched_at=datetime.now(UTC))
        intake = Intake()
        started = time.monotonic()
        total = self._network.total_timeout or silence * TOTAL_FACTOR
        try:
            if self._guard and self._network.proxy:
                self._guard.check_literal(request.host, request.origin[2])
            async with asyncio.timeout(total):
                asked = as_httpx(request, silence, self._network.connect_timeout or silence)
                await _receive(found, intake, self._inner, asked, limit)
        except TimeoutError:
            found.ended(TimedOut(f"not finished after {total:g} s"))
        except (Exception, asyncio.CancelledError) as error:
            # A cancelled run archives what it has got so far; the caller raises it again.
            if not isinstance(error, IntakeFailed):
                found.ended(_translated(error))
        try:
            await intake.finish()
        except asyncio.CancelledError as error:
            found.ended(error)
        if intake.failure:
            found.error, found.truncated = intake.failure, "unspecified"
        if found.status is not None:
            found.encoded = intake.taken
        found.elapsed_ms = round((time.monotonic() - started) * 1000)
        return found


def guarded(network: Network, guard: Guard) -> HttpxWire:
    """An httpx transport that connects to judged addresses alone.

    Raises `ImportError`, saying what to install, where HTTP/2 or SOCKS is not installed.
    """
    transport = httpx.AsyncHTTPTransport(
        verify=network.tls(),
        http2=network.http2,
        proxy=None if network.proxy is None else httpx.Proxy(network.proxy),
    )
    # httpx has no argument for it, its pool has.
    transport._pool._network_backend = _Judged(guard, is_proxied=network.proxy is not None)
    return HttpxWire(transport, network, guard)


class _Judged(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that a guard lets pass."""

    def __init__(self, guard: Guard, *, is_proxied: bool) -> None:
        self._guard = guard
        self._is_proxied = is_proxied
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        options: dict[str, Any] = {"local_address": local_address, "socket_options": socket_options}
        # A proxy is where the operator says.
        addresses = [host] if self._is_proxied else await self._guard.addresses(host, port)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


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
_KINDS: tuple[tuple[type[Exception], type[WireFailure]], ...] = (
    (httpx.TimeoutException, TimedOut),
    (httpx.ConnectError, ConnectFailed),
    (httpx.ProxyError, ConnectFailed),
    (httpx.NetworkError, HungUp),
    (httpx.TransportError, NotHttp),
)
_HANGUP = re.compile("disconnected without|closed connection")


def _translated(error: BaseException) -> BaseException:
    """An error of httpx as one of this package's."""
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), None)
    # A peer that hangs up is reported as a protocol error, too.
    if isinstance(error, httpx.RemoteProtocolError) and _HANGUP.search(str(error)):
        kind = HungUp
    if kind is None:
        return error
    translated = kind(str(error) or type(error).__name__)
    translated.__cause__ = error
    return translated
