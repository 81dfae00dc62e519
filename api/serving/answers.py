"""Answers on their way out: entity tags, compression, and the headers that every one has."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import GraphQLError

from ..compiled.workers import in_worker
from .encoding import ENCODINGS, SMALLEST, chosen

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

# Those of Django's shipped middleware.
SECURITY = [
    (b"X-Frame-Options", b"DENY"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
]
VARY = (b"Vary", b"Accept, Accept-Encoding, Authorization, Cookie")
_JSON = (b"Content-Type", b"application/json")
# Compressing more takes longer than a request should hold up its neighbours.
_LARGE = 50_000
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent for a request."""

    body: bytes
    tag: str = ""
    """What identifies the body among all that its question ever had; empty where nothing does."""
    status: int = 200
    headers: Headers = field(default_factory=lambda: [_JSON, *SECURITY])
    is_whole: bool = True
    """Whether it answers all of its question: one that holds an error is not to be kept."""


def of_data(data: bytes) -> Reply:
    """The reply with an answer's data, which is JSON already."""
    return Reply(b"".join((b'{"data":', data, b"}")))


def of_error(error: GraphQLError, status: int = 200) -> Reply:
    """The reply to a question that is refused."""
    body = orjson.dumps({"data": None, "errors": [error.formatted]})
    return Reply(body, status=status, is_whole=False)


def tag_of(*parts: str | bytes) -> str:
    """A tag for what these parts determine."""
    digest = hashlib.sha256()
    for part in parts:
        each = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return digest.hexdigest()[:32]


def is_held(tag: str, request: Mapping[bytes, bytes]) -> bool:
    """Whether the client says that it holds the answer with this tag, in whichever encoding."""
    held = request.get(b"if-none-match", b"").decode("latin-1")
    if not held or not tag:
        return False
    return held.strip() == "*" or any(name.partition("-")[0] == tag for name in _TAG.findall(held))


async def send_not_modified(tag: str, request: Mapping[bytes, bytes], send: Send) -> None:
    """Tell the client that what it holds is right."""
    held = _TAG.findall(request.get(b"if-none-match", b"").decode("latin-1"))
    mine = next((name for name in held if name.partition("-")[0] == tag), tag)
    headers = [*SECURITY, *_cached(mine)]
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def send_reply(reply: Reply, request: Mapping[bytes, bytes], send: Send) -> None:
    """Send an answer, compressed as the client reads it."""
    body, headers = reply.body, list(reply.headers)
    encoding = ""
    if len(body) >= SMALLEST and (accepted := request.get(b"accept-encoding")):
        encoding = chosen(accepted.decode("latin-1"))
    if encoding:
        compress = ENCODINGS[encoding]
        body = compress(body) if len(body) < _LARGE else await in_worker(lambda: compress(body))
        headers.append((b"Content-Encoding", encoding.encode()))
    if reply.tag:
        headers += _cached(f"{reply.tag}-{encoding}" if encoding else reply.tag)
    else:
        headers.append(VARY)
    headers.append((b"Content-Length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _cached(tag: str) -> Headers:
    # A cache may keep it, and has to ask each time whether it still holds.
    return [(b"ETag", f'"{tag}"'.encode()), (b"Cache-Control", b"private, no-cache"), VARY]
