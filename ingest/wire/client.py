"""The client of our own: one exchange at a time over each connection, with nothing added."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Protocol

from ..intake import Intake, IntakeFailed
from .connecting import Connecting, authorization
from .connection import Connection
from .errors import HungUp, RequestInvalid, TimedOut
from .exchange import Exchange
from .guard import Guard
from .network import Network
from .request import DEFAULT_PORTS, Request

# A whole fetch may take this many times the seconds it may go without a byte.
TOTAL_FACTOR = 20
# RFC 9110, 9.2.2: asked twice, they do no more than once.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# What a resolver may be asked for; more is a trick or a slip, such as a percent sign or a bracket.
_HOST = re.compile(r"[a-z0-9._:-]+")


class Wire(Protocol):
    """Makes exchanges."""

    async def exchange(self, request: Request, *, limit: int, silence: float) -> Exchange:
        """Send a request and take in at most `limit` bytes of body; `silence` seconds may pass
        without a byte.

        Nothing is raised: how the exchange ended is part of what it gave.
        """

    async def aclose(self) -> None:
        """Close what is kept for the next request."""


class OwnWire:
    """HTTP/1.1, as one feed's `Network` says and as far as the guard lets it."""

    def __init__(self, network: Network, guard: Guard) -> None:
        self._network = network
        self._connecting = Connecting(network, guard)

    async def aclose(self) -> None:
        self._connecting.close()

    async def exchange(self, request: Request, *, limit: int, silence: float) -> Exchange:
        found = Exchange(fetched_at=datetime.now(UTC))
        started = time.monotonic()
        total = self._network.total_timeout or silence * TOTAL_FACTOR
        until = started + total
        intake = Intake()
        connection: Connection | None = None
        try:
            connection = await self._ask(request, silence, until, total)
            await connection.progress()
            if _was_stale(connection, request):
                connection.release()
                connection = await self._ask(request, silence, until, total, is_fresh=True)
                await connection.progress()
            _note_head(found, connection)
            await _take_in(found, intake, connection, limit)
        except (Exception, asyncio.CancelledError) as error:
            # A cancelled run archives what it has got so far; the caller raises it again.
            if connection:
                _note_head(found, connection)
            if not isinstance(error, IntakeFailed):
                found.ended(error)
        await self._finish(found, intake, connection, request, limit)
        found.elapsed_ms = round((time.monotonic() - started) * 1000)
        return found

    async def _ask(
        self, request: Request, silence: float, until: float, total: float, is_fresh: bool = False
    ) -> Connection:
        """A connection over which the request is on its way."""
        _check(request)
        proxy = self._connecting.proxy_of(request)
        is_forwarded = proxy is not None and request.scheme == "http"
        written = request.written(
            absolute=is_forwarded, extra=authorization(proxy) if is_forwarded else ()
        )
        connection = None if is_fresh else self._connecting.kept(request.origin)
        if connection is None:
            seconds = min(self._network.connect_timeout or silence, until - time.monotonic())
            connection = await self._connecting.connect(request, proxy, seconds)
        left = until - time.monotonic()
        if left <= 0:
            connection.close()
            raise TimedOut(f"not finished after {total:g} s")
        connection.ask(written, request.method, timeout=silence, deadline=left, total=total)
        return connection

    async def _finish(
        self,
        found: Exchange,
        intake: Intake,
        connection: Connection | None,
        request: Request,
        limit: int,
    ) -> None:
        """Take what came before a failure, have done with the connection, close the intake."""
        try:
            if connection:
                if found.exception and found.status is not None and not intake.failure:
                    await _add(found, intake, connection.take(), limit)
                if connection.release():
                    self._connecting.keep(connection, request.origin)
            await intake.finish()
        except asyncio.CancelledError as error:
            found.ended(error)
        except IntakeFailed:
            await intake.finish()
        if intake.failure:
            found.error, found.truncated = intake.failure, "unspecified"
        if found.status is not None:
            found.encoded = intake.taken


def _check(request: Request) -> None:
    if not request.scheme:
        raise RequestInvalid("Request URL is missing an 'http://' or 'https://' protocol.")
    if request.scheme not in DEFAULT_PORTS:
        raise RequestInvalid(f"Request URL has an unsupported protocol '{request.scheme}://'.")
    if not _HOST.fullmatch(request.host):
        raise RequestInvalid(f"{request.host!r} is no name of a host.")


def _was_stale(connection: Connection, request: Request) -> bool:
    """Whether a kept connection was closed before the request got there (RFC 9112, 9.3.1): nobody
    answered, nothing is to be archived, and a fresh connection tells."""
    is_closed = isinstance(connection.failure, HungUp) and not connection.got_any
    return is_closed and connection.uses > 0 and request.method in _IDEMPOTENT


def _note_head(found: Exchange, connection: Connection) -> None:
    if connection.head is not None:
        found.http_version, found.status, found.reason, found.headers = connection.head


async def _take_in(found: Exchange, intake: Intake, connection: Connection, limit: int) -> None:
    """Take the body in, as far as it comes and as far as the limit. Raises what ended it early."""
    while not found.truncated:
        is_over = connection.is_whole or connection.failure is not None
        await _add(found, intake, connection.take(), limit)
        if not is_over:
            await connection.progress()
        elif connection.failure:
            raise connection.failure
        else:
            return


async def _add(found: Exchange, intake: Intake, chunk: bytes, limit: int) -> None:
    if intake.size + len(chunk) > limit:
        chunk = chunk[: limit - intake.size]
        found.truncated = "length"
    if chunk:
        await intake.add(chunk)
