"""One request to the door or to Django, and what was sent for it."""

import asyncio
import json

from django.core.asgi import get_asgi_application

from api.schema import get_api
from api.serving.door import Door

QUESTION = "query Names($code: String!) { author(code: $code) { name mentor { name } } }"
HEADERS = ((b"host", b"localhost"), (b"content-type", b"application/json"))


def scope_of(headers=HEADERS, **more):
    return {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": list(headers),
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    } | more


def asked(**more):
    return json.dumps({"query": QUESTION, "variables": {"code": "a"}} | more).encode()


class Exchange:
    """One request, in chunks, and what was sent for it."""

    def __init__(self, body=b"", *, size=1_000_000):
        chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        self.waiting = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
            for number, chunk in enumerate(chunks)
        ]
        self.sent = []

    async def receive(self):
        if self.waiting:
            return self.waiting.pop(0)
        # Django listens for the client's leaving while it answers.
        await asyncio.Event().wait()

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {name.lower(): value for name, value in self.sent[0]["headers"]}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def json(self):
        return json.loads(self.body)


async def by_django(body, scope=None):
    exchange = Exchange(body)
    await get_asgi_application()(scope or scope_of(), exchange.receive, exchange.send)
    return exchange


class Watched:
    """A door, which tells whether Django was asked behind it."""

    def __init__(self):
        self.django_asked = 0
        django = get_asgi_application()

        async def watched(scope, receive, send):
            self.django_asked += 1
            await django(scope, receive, send)

        get_api()
        self.door = Door(watched)

    async def ask(self, body=b"", *headers, size=1_000_000, **more):
        exchange = Exchange(body, size=size)
        scope = scope_of([*HEADERS, *headers], **more)
        await self.door(scope, exchange.receive, exchange.send)
        return exchange

    async def get(self, query, *headers):
        exchange = Exchange()
        scope = scope_of([HEADERS[0], *headers], method="GET", query_string=query)
        await self.door(scope, exchange.receive, exchange.send)
        return exchange
