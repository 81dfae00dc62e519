"""The response an extractor sees: httpx-shaped, built from the archived bytes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import httpx

from raw_store.spool import STEP, Spool

from .errors import StatusUnexpected

if TYPE_CHECKING:
    from raw_store.payload import Payload

Body: TypeAlias = bytes | Spool


class Response(httpx.Response):
    """One response: `.status_code`, `.headers`, `.text`, `.json()`, `.links` and the rest.

    Its body is the archived one, already decoded. What the archive masks or withholds (cookies,
    tokens, the answers of token endpoints) is here as the server sent it. A body too large for
    memory stays in a file while this response lives: `iter_bytes`, `aiter_bytes` and
    `aiter_lines` go through it piece by piece, as often as you like; `.content`, `.text` and
    `.json()` load it.
    """

    _spool: Spool | None = None

    @classmethod
    def of(cls, body: Body, **values: Any) -> Self:
        """A response with this body; `values` are `httpx.Response`'s."""
        if isinstance(body, bytes):
            return cls(content=body, **values)
        response = cls(stream=_Stream(body), **values)
        response._spool = body
        return response

    @property
    def payload(self) -> "Payload":
        """The payload as archived."""
        return cast("Payload", self.extensions["payload"])

    @property
    def content(self) -> bytes:
        """The body; a large one is loaded now and kept in memory."""
        if self._spool is not None and not hasattr(self, "_content"):
            self._content = self._spool.read()
        return super().content

    def read(self) -> bytes:
        return super().read() if self._spool is None else self.content

    async def aread(self) -> bytes:
        # The HTTP client reads the body of each redirect that it follows, and makes nothing of it.
        if self._spool is None:
            return await super().aread()
        return b"" if self.has_redirect_location else await asyncio.to_thread(self.read)

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
