"""Plain questions, answered without Django's request handling around the same plan.

Django's handler and its middleware hand a request to a thread ten times, which costs several
times what most questions do. A POST of a question that was asked before, with no header that
could mean anything to the view, is answered here: from the document and the plan that the
view's schema keeps, with the headers that the middleware would add. Everything else, and
whatever its plan does not answer, goes to Django as it came.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from .access import READ, caller_of
from .compiled.workers import in_worker, workers_are_open
from .schema import Api, made_api

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATH = "/graphql"
_LARGEST = 100_000
# Headers of HTTP itself and of what a client says of itself; any other may ask for more.
_PLAIN = frozenset(
    {b"host", b"content-type", b"content-length", b"connection", b"accept", b"user-agent"}
    | {b"accept-encoding", b"accept-language", b"keep-alive"}
)
_ACCEPTED = (b"*/*", b"application/json")
_MEMBERS = frozenset({"query", "variables", "operationName"})
_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "api.access.middleware.access",
]
_HEADERS = [
    (b"Content-Type", b"application/json"),
    (b"X-Frame-Options", b"DENY"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
]


async def answered_directly(scope: Message, receive: Receive, send: Send) -> Receive | None:
    """Answer a plain question; or give what Django is to receive the request from."""
    if not (_is_plain(scope) and workers_are_open() and _is_as_shipped()):
        return receive
    caller = await caller_of(scope)
    if not caller.may(READ) or caller.sources is not None:
        return receive
    messages, body = [], b""
    while True:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if not message.get("more_body") or len(body) > _LARGEST:
            break
    data = await _answer(body) if message["type"] == "http.request" else None
    if data is None:
        return _again(messages, receive)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*_HEADERS, (b"Content-Length", b"%d" % (len(data) + 9))],
        }
    )
    await send({"type": "http.response.body", "body": b"".join((b'{"data":', data, b"}"))})
    return None


def _is_plain(scope: Message) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH:
        return False
    if scope["query_string"] or scope.get("root_path"):
        return False
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return (
        len(headers) == len(scope["headers"])
        and headers.keys() <= _PLAIN
        and headers.get(b"content-type") == b"application/json"
        and headers.get(b"accept", b"*/*") in _ACCEPTED
        and _is_allowed(headers.get(b"host", b""))
    )


@cache
def _is_as_shipped() -> bool:
    """Whether the middleware is what this module knows; any other is Django's to run."""
    return settings.MIDDLEWARE == _MIDDLEWARE and not (
        settings.DEBUG
        or settings.SECURE_SSL_REDIRECT
        or settings.SECURE_HSTS_SECONDS
        or settings.APPEND_SLASH is None
        or settings.SECURE_REFERRER_POLICY != "same-origin"
        or settings.SECURE_CROSS_ORIGIN_OPENER_POLICY != "same-origin"
        or not settings.SECURE_CONTENT_TYPE_NOSNIFF
    )


def _is_allowed(host: bytes) -> bool:
    try:
        domain, _ = split_domain_port(host.decode("ascii"))
    except UnicodeDecodeError:
        return False
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


async def _answer(body: bytes) -> bytes | None:
    """The JSON of a known question's data; null where Django has to answer."""
    api: Api | None = made_api()
    try:
        # As the view reads it: orjson would make doubles of large integers.
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if api is None or not isinstance(asked, dict) or not asked.keys() <= _MEMBERS:
        return None
    text, inputs, name = asked.get("query"), asked.get("variables"), asked.get("operationName")
    known = api.documents.find(text) if isinstance(text, str) else None
    if known is None or not isinstance(inputs, dict | None) or not isinstance(name, str | None):
        return None
    if name is None:
        name = known.first_name
    answer = await in_worker(lambda: api.compiler.answer(known, name, inputs or {}))
    return answer.data


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What was received, once more; then what comes after it."""
    kept = iter(messages)

    async def repeat() -> Message:
        for message in kept:
            return message
        return await receive()

    return repeat
