"""`POST /ingest/SOURCE/FEED`: what is sent is verified, archived, and answered once durable.

An ASGI application of its own, in front of Django, so that a body is refused while it arrives
and not after it was written to a disk. Answers are JSON:

    200  {"fetch_id": …, "outcome": "archived" | "known"}     durable; "known" was sent before
    400  the body is not what its content coding says
    401  the signature is missing, wrong or too old
    404  nothing receives this feed
    405  another method than POST
    413  the body is longer than the receiver takes
    503  not archived: send it again after Retry-After seconds
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from django.db import Error as AnyDatabaseError

from raw_store.archive import Archive
from raw_store.errors import ArchiveError, PayloadInvalid

from ..errors import PushRefused, SecretMissing, SignatureRefused, UnknownReceiver
from ..hand_over import AfterRun, HandOver
from . import receivers
from .desk import IDLE_SECONDS, Desk
from .pushed import Arrived, arrive, as_text, push_address
from .receivers import Receiver
from .signatures import Push

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Reply = tuple[int, dict[str, Any] | str, dict[str, str]]

logger = logging.getLogger(__name__)

PREFIX = "/ingest/"
HELD_BYTES = 128 * 1024 * 1024
"""Of bodies in memory, over all senders; beyond them senders are asked to come again."""
SECONDS = 60.0
"""How long a sender may take for its body."""

_AGAIN = {"Retry-After": "5"}


class HungUp(Exception):
    """The sender went away before its body was whole."""


class Receiving:
    """Receives pushes for every receiver, and hands their sources over to be replayed."""

    def __init__(
        self,
        archive: Archive,
        after_archived: AfterRun | None = None,
        *,
        idle_seconds: float = IDLE_SECONDS,
        seconds: float = SECONDS,
    ) -> None:
        self._hand_over = HandOver(after_archived)
        self._desk = Desk(archive, self._hand_over.mark, idle_seconds=idle_seconds)
        self._seconds = seconds
        self._held = 0
        self._handing_over = asyncio.create_task(self._hand_over.run())

    async def close(self) -> None:
        """Archive what was received, end the runs, and stop handing over."""
        await self._desk.close()
        self._handing_over.cancel()
        await asyncio.gather(self._handing_over, return_exceptions=True)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, "HTTP Connection Scope")."""
        try:
            status, answer, headers = await self._reply(scope, receive)
        except HungUp:
            return
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        kind = "text/plain; charset=utf-8" if isinstance(answer, str) else "application/json"
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (name.lower().encode(), value.encode())
                    for name, value in {
                        "Content-Type": kind,
                        "Content-Length": str(len(body)),
                        "Cache-Control": "no-store",
                        "X-Content-Type-Options": "nosniff",
                        **headers,
                    }.items()
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Message, receive: Receive) -> Reply:
        try:
            receiver, url = _addressed(scope)
        except UnknownReceiver:
            return _problem(404, "Nothing receives pushes at this address.")
        if scope["method"] != "POST":
            return _problem(405, "Send with POST what is to be archived.", {"Allow": "POST"})
        held = _Held(self)
        try:
            return await self._take_in(scope, receive, receiver, url, held)
        except SignatureRefused as error:
            logger.warning("push refused feed=%s: %s", receiver.name, error)
            return _problem(401, str(error))
        except SecretMissing as error:
            logger.error("push refused feed=%s: %s", receiver.name, error)
            return _problem(503, "This receiver is not set up yet.", _AGAIN)
        except PushRefused as error:
            logger.warning("push refused feed=%s: %s", receiver.name, error)
            return _problem(error.status, str(error), _AGAIN if error.status == 503 else {})
        except PayloadInvalid as error:
            return _problem(400, str(error))
        except (ArchiveError, AnyDatabaseError, OSError):
            # Logged by the desk, with what went wrong; the sender is told only what to do.
            return _problem(503, "This could not be archived now. Send it again later.", _AGAIN)
        finally:
            held.release()

    async def _take_in(
        self, scope: Message, receive: Receive, receiver: Receiver, url: str, held: "_Held"
    ) -> Reply:
        headers = as_text(scope["headers"])
        first = dict(reversed(headers))
        try:
            async with asyncio.timeout(self._seconds):
                body = await _body(receive, first, receiver.max_body, held)
        except TimeoutError:
            raise PushRefused(
                f"The body did not arrive within {self._seconds:g} seconds.", status=408
            ) from None
        push = Push(headers=first, body=body, received_at=datetime.now(UTC))
        receiver.signature.verify(push)
        arrived = await _arrive(receiver, push, url, headers)
        if receiver.signature.challenge and (
            challenge := receiver.signature.challenge(arrived.body)
        ):
            return 200, challenge, {}
        row = await self._desk.archive(arrived)
        outcome = "known" if row.is_revisit else "archived"
        return 200, {"fetch_id": str(row.fetch_id), "outcome": outcome}, {}


class _Held:
    """How many bytes one request holds, of those that all may hold."""

    def __init__(self, receiving: Receiving) -> None:
        self._receiving = receiving
        self._bytes = 0

    def add(self, count: int) -> None:
        if self._receiving._held + count > HELD_BYTES:
            raise PushRefused("Too much is being received. Send this again later.", status=503)
        self._receiving._held += count
        self._bytes += count

    def release(self) -> None:
        self._receiving._held -= self._bytes
        self._bytes = 0


def _addressed(scope: Message) -> tuple[Receiver, str]:
    """The receiver that an address means, and the address that is archived."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = unquote_to_bytes(raw).decode("utf-8", "replace")
    source, _, rest = path.removeprefix(PREFIX).partition("/")
    feed, _, below = rest.partition("/")
    receiver = receivers.get(f"{source}.{feed}")
    return receiver, push_address(receiver.name, below, scope["query_string"].decode("latin-1"))


async def _body(receive: Receive, headers: dict[str, str], limit: int, held: _Held) -> bytes:
    """The whole body. Raises `PushRefused` as soon as it is longer than `limit`."""
    too_long = PushRefused(f"The body is longer than {limit:,} bytes.", status=413)
    told = headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise too_long
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_long
        held.add(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _arrive(receiver: Receiver, push: Push, url: str, headers: Any) -> Arrived:
    # Decoding what is large takes long enough for other senders to notice.
    if "content-encoding" in push.headers:
        return await asyncio.to_thread(arrive, receiver, push, url=url, headers=headers)
    return arrive(receiver, push, url=url, headers=headers)


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    return status, {"error": message}, headers or {}
