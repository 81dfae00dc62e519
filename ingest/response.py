"""The response an extractor sees: httpx-shaped, built from the archived bytes.

It is an `httpx.Response` whose parts are made when they are looked at: most extractors look at a
body and at nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import httpx

from raw_store.spool import STEP, Spool

from .errors import StatusUnexpected
from .wire.request import as_httpx

if TYPE_CHECKING:
    from raw_store.payload import Payload

    from .wire.head import Headers
    from .wire.request import Request

Body: TypeAlias = bytes | Spool

# They describe the bytes as transferred, which the extractor does not see.
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Response(httpx.Response):
    """One response: `.status_code`, `.headers`, `.text`, `.json()`, `.links` and the rest.

    Its body is the archived one, already decoded. What the archive masks or withholds (cookies,
    tokens, the answers of token endpoints) is here as the server sent it. A body too large for
    memory stays in a file while this response lives: `iter_bytes`, `aiter_bytes` and
    `aiter_lines` go through it piece by piece, as often as you like; `.content`, `.text` and
    `.json()` load it.
    """

    def __init__(
        self,
        status_code: int,
        *,
        pairs: "Headers",
        body: Body,
        request: "Request",
        payload: "Payload",
        reason: str | None = None,
    ) -> None:
        # httpx's own would make a dozen objects that nobody may ever look at.
        self.status_code = status_code
        self.pairs = pairs
        """The headers as they came."""
        self.payload = payload
        """The payload as archived."""
        self.history = []
        self.next_request = None
        self.is_closed = self.is_stream_consumed = True
        self.default_encoding = "utf-8"
        self._asked = request
        self._reason = reason
        self._num_bytes_downloaded = 0
        self._spool: Spool | None = None
        if isinstance(body, bytes):
            self._content = body
        else:
            self._spool = body

    @cached_property
    def headers(self) -> httpx.Headers:  # type: ignore[override]
        """The headers, but for those that describe the transfer; `Content-Length` is the body's.

        An answer to HEAD has all of them: they describe what GET would bring.
        """
        if self._asked.method == "HEAD":
            return httpx.Headers(
                [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.pairs]
            )
        size = len(self._content) if self._spool is None else self._spool.size
        kept = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in self.pairs
            if name.lower() not in _OF_THE_TRANSFER
        ]
        return httpx.Headers([*kept, (b"Content-Length", b"%d" % size)])

    @cached_property
    def extensions(self) -> dict[str, Any]:  # type: ignore[override]
        found: dict[str, Any] = {"payload": self.payload}
        if self.payload.http_version:
            found["http_version"] = self.payload.http_version.encode("latin-1")
        if self._reason is not None:
            found["reason_phrase"] = self._reason.encode("latin-1")
        return found

    @cached_property
    def _request(self) -> httpx.Request:  # type: ignore[override]
        return as_httpx(self._asked, 0.0, 0.0)

    @cached_property
    def _elapsed(self) -> timedelta:  # type: ignore[override]
        return timedelta(milliseconds=self.payload.elapsed_ms or 0)

    @cached_property
    def url(self) -> httpx.URL:
        """The address that answered: after redirects, the last one."""
        return httpx.URL(self._asked.url)

    @cached_property
    def stream(self) -> httpx.AsyncByteStream:  # type: ignore[override]
        return httpx.ByteStream(self._content) if self._spool is None else _Stream(self._spool)

    @property
    def location(self) -> str | None:
        """Where a redirect leads, as text; None for any other response."""
        if self.status_code not in _REDIRECTS:
            return None
        said = next((value for name, value in self.pairs if name.lower() == "location"), None)
        if said is None or said.isascii():
            return said
        try:
            return said.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            return said

    @property
    def sets_cookies(self) -> bool:
        """Whether it holds a `Set-Cookie`."""
        for name, _ in self.pairs:  # noqa: SIM110 -- a generator takes three times as long
            if len(name) == 10 and name.lower() == "set-cookie":
                return True
        return False

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code <= 299

    @property
    def content(self) -> bytes:
        """The body; a large one is loaded now and kept in memory."""
        if self._spool is not None and not hasattr(self, "_content"):
            self._content = self._spool.read()
        return self._content

    def read(self) -> bytes:
        return self.content

    async def aread(self) -> bytes:
        if self._spool is None:
            return self._content
        return await asyncio.to_thread(self.read)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        if self._spool is None:
            yield from super().iter_bytes(chunk_size)
        else:
            yield from self._spool.chunks(chunk_size or STEP)

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        if self._spool is None:
            async for chunk in super().aiter_bytes(chunk_size):
                yield chunk
        else:
            async for chunk in _in_threads(self._spool.chunks(chunk_size or STEP)):
                yield chunk

    def raise_for_status(self) -> Self:
        """Return this response when its status is 2xx; raise `StatusUnexpected` otherwise."""
        if self.is_success:
            return self
        payload = self.payload
        raise StatusUnexpected(
            f"{payload.method} {payload.url} answered {self.status_code} {self.reason_phrase} "
            f"(attempt {payload.attempt}). `manage.py archive show {payload.fetch_id}` "
            "shows the whole answer.",
            status=self.status_code,
            url=payload.url,
        )


class _Stream(httpx.AsyncByteStream):
    """A spooled body as the HTTP client wants one."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in _in_threads(self._spool.chunks()):
            yield chunk


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks read from a disk, without holding up the event loop."""
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
