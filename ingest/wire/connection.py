"""One connection: a request goes out, its response comes in, then perhaps the next.

The body is taken in as it comes, and no more of it is held than `_HELD` bytes: who reads slowly
slows the sender. A connection on which anything came that nobody asked for is not used again.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import cast

from .errors import HungUp, NotHttp, TimedOut, WireFailure
from .framing import Framing, framing_of
from .head import LONGEST_HEAD, Head, end_of_head, read_head

logger = logging.getLogger(__name__)

_HELD = 1024 * 1024
_WORTH_WAKING = 128 * 1024
_MOST_INTERIM = 64


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 to one server. How an exchange ended is to be read here; nothing raises."""

    def __init__(self, on_closed: "Callable[[Connection], None] | None" = None) -> None:
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        self.idle_since = 0.0
        self.uses = 0
        """Responses that came over it whole."""
        self.head: Head | None = None
        """Of the response that is coming in; None before."""
        self.is_whole = False
        """Whether the response came in whole."""
        self.failure: WireFailure | None = None
        """What ended the exchange early."""
        self.got_any = False
        """Whether any byte of the response came."""
        self._is_asking = False
        self._may_be_kept = False
        self._framing: Framing | None = None
        self._method = ""
        self._before = b""
        self._interim = 0
        self._pieces: list[bytes] = []
        self._held = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = self._timeout = self._deadline = self._total = 0.0
        self._unsent = 0

    # What whoever asks calls.

    def ask(
        self, request: bytes, method: str, *, timeout: float, deadline: float, total: float = 0.0
    ) -> None:
        """Send a request; wait `timeout` seconds for a byte, `deadline` for all of them, which are
        what is left of `total`."""
        self.head, self.is_whole, self.failure, self.got_any = None, False, None, False
        self._framing, self._before, self._interim = None, b"", 0
        self._is_asking, self._method = True, method
        now = self._loop.time()
        self._heard_at, self._timeout, self._total = now, timeout, total or deadline
        self._deadline = now + deadline
        if self._transport is None or not self.is_open:
            self._fail(HungUp("Server disconnected without sending a response"))
            return
        self._transport.write(request)
        self._unsent = self._transport.get_write_buffer_size()
        due = now + min(timeout, deadline)
        # A look that an earlier request left behind does as well, where it comes in time.
        if self._watch is None or self._watch.when() > due:
            self._stop_looking()
            self._watch = self._loop.call_at(due, self._look)

    async def progress(self) -> None:
        """Wait until there is much to take, or all, or a failure."""
        while not (self.is_whole or self.failure or self._held >= _WORTH_WAKING):
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def take(self) -> bytes:
        """What came of the body since it was taken last."""
        pieces, self._pieces, self._held = self._pieces, [], 0
        if self._is_paused and self._transport:
            self._is_paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> bool:
        """Have done with the response; return whether the connection may be used again."""
        is_good = self.is_whole and self.is_open and self._may_be_kept and not self._is_paused
        self._is_asking = False
        if is_good:
            self.idle_since = self._loop.time()
        else:
            self.close()
        return is_good

    def close(self) -> None:
        """Close without further ado."""
        self.is_open = False
        self._stop_looking()
        if self._transport:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    async def begin_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Go on over TLS with the server of this name. Raises `OSError`."""
        assert self._transport is not None
        made = await self._loop.start_tls(self._transport, self, context, server_hostname=name)
        if made is None or not self.is_open:
            raise ConnectionError("the connection was closed")
        self._transport = made

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if not self._is_asking or self.is_whole or self.failure:
            self._distrust(data)
            return
        self.got_any = True
        try:
            if self._framing is None:
                data = self._read_head(data)
                if self._framing is None:
                    return
            self._read_body(data)
        except NotHttp as error:
            self._fail(error)

    def eof_received(self) -> bool:
        # An answer that only the end of the connection ends is whole now.
        if self._is_asking and self._framing and not (self.is_whole or self.failure):
            try:
                self._framing.end()
            except HungUp as error:
                self._fail(error)
            else:
                self._finish()
        self.is_open = False
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._is_asking and not (self.is_whole or self.failure):
            if error is not None:
                self._fail(HungUp(f"the connection was lost: {str(error) or type(error).__name__}"))
            elif self._framing is None:
                self._fail(HungUp("Server disconnected without sending a response"))
            else:
                self._fail(HungUp("peer closed connection"))
        if self._on_closed:
            self._on_closed(self)

    def _read_head(self, data: bytes) -> bytes:
        """Read the final head as soon as it is whole; return what came behind it."""
        data = self._before + data if self._before else data
        while True:
            end, begin = end_of_head(data)
            if end == 0:
                raise NotHttp("no response line received")
            if end < 0:
                if len(data) > LONGEST_HEAD:
                    raise NotHttp(f"the head is longer than {LONGEST_HEAD:,} bytes")
                self._before = data
                return b""
            if end > LONGEST_HEAD:
                raise NotHttp(f"the head is longer than {LONGEST_HEAD:,} bytes")
            head = read_head(data[:end])
            data = data[begin:]
            if head.status >= 200:
                break
            # Interim responses say that the answer is on its way.
            self._interim += 1
            if head.status == 101 or self._interim > _MOST_INTERIM:
                raise NotHttp(f"status {head.status} was not asked for")
        framing, self._may_be_kept = framing_of(head, self._method)
        self.head, self._framing, self._before = head, framing, b""
        return data

    def _read_body(self, data: bytes) -> None:
        framing = self._framing
        assert framing is not None
        if framing.is_done:
            if data:
                self._distrust(data)
        elif data:
            for piece in framing.feed(data):
                self._pieces.append(piece)
                self._held += len(piece)
        if framing.is_done:
            if framing.rest:
                self._distrust(framing.rest)
            self._finish()
        elif self._held >= _WORTH_WAKING:
            if self._held >= _HELD and self._transport and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            self._wake()

    def _distrust(self, data: bytes) -> None:
        """Bytes that nobody asked for: the next response could be anybody's (RFC 9112, 6.3)."""
        self._may_be_kept = False
        if self.failure is None:
            logger.warning("bytes after a response dropped count=%d", len(data))
        if not self._is_asking:
            self.close()

    def _finish(self) -> None:
        self.is_whole = True
        self.uses += 1
        self._wake()

    def _fail(self, failure: WireFailure) -> None:
        self.failure = failure
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop_looking(self) -> None:
        if self._watch:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        """Whether anything was heard of the peer lately; a request that still goes out counts."""
        self._watch = None
        if self.is_whole or self.failure or not self._is_asking:
            return
        now = self._loop.time()
        unsent = self._transport.get_write_buffer_size() if self._transport else 0
        if unsent < self._unsent or self._is_paused:
            self._unsent, self._heard_at = unsent, now
        if now >= self._deadline:
            self._fail(TimedOut(f"not finished after {self._total:g} s"))
        elif now >= self._heard_at + self._timeout:
            self._fail(TimedOut(f"no byte came for {self._timeout:g} s"))
        else:
            next_look = min(self._deadline, self._heard_at + self._timeout) - now
            self._watch = self._loop.call_later(max(next_look, 0.001), self._look)
