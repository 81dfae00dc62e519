"""Live questions: answered again whenever their answer has changed, as server-sent events.

What is sent follows GraphQL over SSE, in its mode of distinct connections: `next` with an
answer, `complete` at the end. An operation with `@live` stays: when something was committed
that it reaches, it is answered again, and sent if the answer differs. Any other gets one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from ..access import READ
from ..access.recognising import caller_again
from ..errors import RequestRefused
from .answers import SECURITY, VARY, Message, Reply, Send, of_error, send_reply, tag_of
from .questions import Scope, headers_of

EVENTS = "text/event-stream"
MAX_STREAMS = 200
"""That a process keeps open; a further client is asked to come later."""
LOOK_EVERY_S = 0.5
_BEAT_EVERY_S = 15.0
# Proxies keep what is small, and events are.
_HEADERS = [
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"Cache-Control", b"no-cache"),
    (b"X-Accel-Buffering", b"no"),
    VARY,
    *SECURITY,
]


class Streams:
    """The streams that a process has open, and their common end."""

    def __init__(self) -> None:
        self._open: set[asyncio.Event] = set()
        self._is_closing = False

    def close(self) -> None:
        """End every stream, from whichever thread: the server stops."""
        self._is_closing = True
        for ended in list(self._open):
            ended.set()

    async def serve(
        self,
        scope: Scope,
        receive: Callable[[], Any],
        send: Send,
        *,
        answer: Callable[[], Awaitable[Reply | None]],
        mark: Callable[[], Awaitable[Hashable]],
        is_live: bool,
    ) -> None:
        """Stream the answers to one question. `mark()` is another whenever it may have changed."""
        if self._is_closing or len(self._open) >= MAX_STREAMS:
            error = RequestRefused(
                f"{MAX_STREAMS} live questions are open here, which is the most. Ask again later."
            )
            await send_reply(of_error(error, 503), headers_of(scope), send)
            return
        ended = asyncio.Event()
        self._open.add(ended)
        leaving = asyncio.create_task(_leave(receive, ended))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _stream(scope, send, ended, answer, mark, is_live)
        finally:
            self._open.discard(ended)
            leaving.cancel()


async def _stream(
    scope: Scope,
    send: Send,
    ended: asyncio.Event,
    answer: Callable[[], Awaitable[Reply | None]],
    mark: Callable[[], Awaitable[Hashable]],
    is_live: bool,
) -> None:
    marked = await mark()
    told, quiet_s = "", 0.0
    reply = await answer()
    while reply is not None:
        digest = tag_of(reply.body)
        if digest != told:
            told, quiet_s = digest, 0.0
            await send(_part(b"event: next\ndata: " + reply.body + b"\n\n"))
        # A question that was refused is refused the next time.
        if not is_live or not reply.is_whole:
            break
        changed = marked
        while changed == marked and not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_EVERY_S)
            quiet_s += LOOK_EVERY_S
            if quiet_s >= _BEAT_EVERY_S:
                quiet_s = 0.0
                await send(_part(b":\n\n"))
            if not (await caller_again(scope)).may(READ):
                ended.set()
            changed = await mark()
        if ended.is_set():
            break
        marked = changed
        reply = await answer()
    await send(_part(b"event: complete\ndata:\n\n"))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _leave(receive: Callable[[], Any], ended: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ended.set()
