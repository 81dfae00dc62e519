"""Plain questions, answered without Django's handler: the same answers, or Django's own."""

import json

import pytest
from django.core.asgi import get_asgi_application

from api.compiled.workers import close_workers, open_workers
from api.direct import answered_directly
from tests.sample.models import Author

QUESTION = "query Names($code: String!) { author(code: $code) { name mentor { name } } }"
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


@pytest.fixture
def workers(transactional_db):
    Author.objects.create(code="a", name="Ada", fetch_id="0" * 32)
    open_workers()
    yield
    close_workers()


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


class Exchange:
    """One request, in chunks, and what was sent for it."""

    def __init__(self, body, *, size=1_000_000):
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
        import asyncio

        await asyncio.Event().wait()

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return sorted((name.lower(), value) for name, value in self.sent[0]["headers"])

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def asked(**more):
    return json.dumps({"query": QUESTION, "variables": {"code": "a"}} | more).encode()


async def by_django(body, scope=None):
    exchange = Exchange(body)
    await get_asgi_application()(scope or scope_of(), exchange.receive, exchange.send)
    return exchange


async def directly(body, scope=None, **more):
    """What was sent, and whether Django was not needed."""
    exchange = Exchange(body, **more)
    rest = await answered_directly(scope or scope_of(), exchange.receive, exchange.send)
    if rest is not None:
        await get_asgi_application()(scope or scope_of(), rest, exchange.send)
    return exchange, rest is None


async def test_a_question_that_was_asked_before_is_answered_as_django_does(workers):
    expected = await by_django(asked())

    found, is_direct = await directly(asked())

    assert is_direct
    assert json.loads(found.body) == {"data": {"author": {"name": "Ada", "mentor": None}}}
    assert (found.status, found.headers, found.body) == (
        expected.status, expected.headers, expected.body,
    )  # fmt: skip


async def test_a_new_question_is_djangos_and_known_afterwards(workers):
    body = asked(query=QUESTION.replace("Names", "Others"))

    first, is_first_direct = await directly(body, size=10)
    second, is_second_direct = await directly(body, size=10)

    assert (is_first_direct, is_second_direct) == (False, True)
    assert first.body == second.body


@pytest.mark.parametrize(
    "header",
    [
        (b"origin", b"http://elsewhere.example"),
        (b"authorization", b"Bearer x"),
        (b"cookie", b"a=b"),
        (b"x-plan", b"1"),
        (b"if-none-match", b'"x"'),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"content-encoding", b"gzip"),
        (b"accept", b"text/csv"),
        (b"host", b"localhost"),
    ],
)
async def test_a_header_that_may_mean_more_is_left_to_django(workers, header):
    await by_django(asked())
    scope = scope_of([*HEADERS, header])

    _, is_direct = await directly(asked(), scope)

    assert not is_direct


@pytest.mark.parametrize(
    ("scope", "body"),
    [
        (scope_of(method="GET"), asked()),
        (scope_of(path="/graphql/"), asked()),
        (scope_of(query_string=b"query=x"), asked()),
        (scope_of([(b"host", b"elsewhere.example"), HEADERS[1]]), asked()),
        (scope_of([HEADERS[1]]), asked()),
        (scope_of([HEADERS[0], (b"content-type", b"text/plain")]), asked()),
        (scope_of(), b"{"),
        (scope_of(), b"[" * 50_000),
        (scope_of(), b"[]"),
        (scope_of(), b"\xff"),
        (scope_of(), asked(extensions={})),
        (scope_of(), asked(variables=[1])),
        (scope_of(), asked(operationName=1)),
        (scope_of(), asked(operationName="Nobody")),
        (scope_of(), asked(query=None)),
        (scope_of(), asked(variables={})),
        (scope_of(), asked(variables={"code": 1})),
        (scope_of(), asked(filling=" " * 200_000)),
    ],
)
async def test_what_is_not_plain_is_djangos_to_judge(workers, scope, body):
    await by_django(asked())

    found, is_direct = await directly(body, scope)

    expected = await by_django(body, scope)
    assert not is_direct
    assert (found.status, found.body) == (expected.status, expected.body)


async def test_without_workers_nothing_is_answered_directly(db):
    exchange = Exchange(asked())

    rest = await answered_directly(scope_of(), exchange.receive, exchange.send)

    assert rest is not None
    assert (await rest())["body"] == asked()
