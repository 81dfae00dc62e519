"""Live questions: answered again when a load changed their answer, as server-sent events."""

import asyncio
import contextlib
import json

import pytest
from asgiref.sync import sync_to_async

from api.access import tokens
from api.serving import live
from tests.sample.models import Author

from .exchange import HEADERS, Exchange, scope_of
from .test_door import load

EVENTS = (b"accept", b"text/event-stream")
LIVE = json.dumps({"query": "query @live { authors { code } }"}).encode()


class Listening(Exchange):
    """A client that reads events until it leaves."""

    def __init__(self, body):
        super().__init__(body)
        self.left = asyncio.Event()
        self.came = asyncio.Event()

    async def receive(self):
        if self.waiting:
            return self.waiting.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await super().send(message)
        self.came.set()

    async def events(self, count):
        """The first events, once there are as many."""
        while len(found := self.body.decode().split("\n\n")[:-1]) < count:
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), 20)
        return found


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(live, "LOOK_EVERY_S", 0.02)


@contextlib.asynccontextmanager
async def listening(door, body, *headers):
    client = Listening(body)
    scope = scope_of([*HEADERS, EVENTS, *headers])
    task = asyncio.create_task(door.door(scope, client.receive, client.send))
    try:
        yield client, task
    finally:
        client.left.set()
        await asyncio.wait_for(task, 20)


async def test_an_ordinary_question_gets_one_answer(door):
    async with listening(door, b'{"query": "{ authors { code } }"}') as (client, task):
        await asyncio.wait_for(task, 20)

    assert client.headers[b"content-type"].startswith(b"text/event-stream")
    assert client.body == (
        b'event: next\ndata: {"data":{"authors":[{"code":"a"}]}}\n\nevent: complete\ndata:\n\n'
    )


async def test_a_mistake_is_told_and_ends_it(door):
    async with listening(door, b'{"query": "query @live { nothing }"}') as (client, task):
        await asyncio.wait_for(task, 20)

    told, ended, _ = client.body.decode().split("\n\n")
    assert "Cannot query field" in told
    assert ended.startswith("event: complete")


async def test_a_live_question_is_answered_again_when_its_answer_changed(door, quick):
    async with listening(door, LIVE) as (client, _):
        await client.events(1)
        await sync_to_async(Author.objects.create)(code="b", name="B", fetch_id="0" * 32)
        await sync_to_async(load)()
        first, second = await client.events(2)

    assert [json.loads(each.partition("data: ")[2])["data"] for each in (first, second)] == [
        {"authors": [{"code": "a"}]},
        {"authors": [{"code": "a"}, {"code": "b"}]},
    ]


async def test_what_changed_nothing_of_the_answer_is_not_told(door, quick):
    async with listening(door, LIVE) as (client, _):
        await client.events(1)
        await sync_to_async(load)()
        await asyncio.sleep(0.3)

        assert len(await client.events(1)) == 1


async def test_what_no_table_tells_is_looked_at_again(door, quick):
    body = json.dumps({"query": "query @live { sourceStates { dataVersion } }"}).encode()

    async with listening(door, body) as (client, _):
        await client.events(1)
        await sync_to_async(load)()
        _, second = await client.events(2)

    assert '"sourceStates":[{"dataVersion":1}]' in second.replace('"1"', "1")


async def test_a_revoked_token_ends_it(door, quick, settings):
    settings.ANONYMOUS_READ = "nobody"
    secret = await sync_to_async(tokens.make_token)("reader", scopes=["read"])
    header = (b"authorization", f"Bearer {secret}".encode())

    async with listening(door, LIVE, header) as (client, task):
        await client.events(1)
        await sync_to_async(tokens.revoke_token)("reader")
        await asyncio.wait_for(task, 20)

    assert client.body.endswith(b"event: complete\ndata:\n\n")


async def test_the_server_s_end_is_theirs(door, quick):
    async with listening(door, LIVE) as (client, task):
        await client.events(1)
        door.door.streams.close()
        await asyncio.wait_for(task, 20)

    assert client.body.endswith(b"event: complete\ndata:\n\n")


async def test_there_are_no_more_than_a_process_holds(door, quick, monkeypatch):
    monkeypatch.setattr(live, "MAX_STREAMS", 1)

    async with listening(door, LIVE) as (client, _):
        await client.events(1)
        async with listening(door, LIVE) as (second, task):
            await asyncio.wait_for(task, 20)

    assert second.status == 503
