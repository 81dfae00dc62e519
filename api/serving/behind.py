"""Django behind the door: asked in one form, its answer taken whole, its time bounded."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..deadlines import Deadline
from . import ERRORS
from .answers import Reply, of_error
from .questions import Question, Scope, headers_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

# Said anew for the body that is sent.
_REPLACED = {b"content-length", b"vary", b"content-encoding"}
_SAID_ANEW = frozenset(
    {b"content-type", b"content-length", b"accept", b"accept-encoding", b"if-none-match"}
)
# Longer than an interrupt takes to be heard.
_GRACE_S = 0.05


async def by_django(
    django: Application, question: Question, scope: Scope, receive: Receive, deadline: Deadline
) -> Reply | None:
    """Django's answer to a question; none if the client has left.

    A question that takes too long gets the reply that says so.
    """
    body = question.body()
    kept = [(name, value) for name, value in scope["headers"] if name not in _SAID_ANEW]
    asked = {
        **scope,
        "method": "POST",
        "query_string": b"",
        "headers": [
            *kept,
            (b"content-type", b"application/json"),
            (b"accept", _accepted(scope)),
            (b"content-length", b"%d" % len(body)),
        ],
    }
    taken = _Taken()
    first: Message = {"type": "http.request", "body": body, "more_body": False}
    try:
        async with asyncio.timeout(deadline.seconds_left + _GRACE_S):
            await django(asked, asked_again([first], receive), taken.send)
    except TimeoutError:
        deadline.abandon()
        return of_error(deadline.exceeded())
    if taken.status is None:
        return None
    headers = [pair for pair in taken.headers if pair[0].lower() not in _REPLACED]
    is_whole = taken.status == 200 and not asked.get(ERRORS)
    return Reply(b"".join(taken.parts), "", taken.status, headers, is_whole)


def _accepted(scope: Scope) -> bytes:
    """What Django is to answer with: JSON, in the newer media type where that alone is read."""
    accepted = headers_of(scope).get(b"accept", b"*/*")
    newer = b"application/graphql-response+json"
    return newer if newer in accepted and b"application/json" not in accepted else b"*/*"


class _Taken:
    """What an application sent."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.parts.append(message.get("body", b""))


def asked_again(messages: list[Message], receive: Receive) -> Receive:
    """What was received, once more; then what comes after it."""
    kept = iter(messages)

    async def repeat() -> Message:
        for message in kept:
            return message
        return await receive()

    return repeat
