"""Pushes: what is acknowledged is archived as it was sent, and what is refused is not."""

import asyncio
import gzip
import hashlib
import hmac
import json
import time

import pytest
from asgiref.sync import sync_to_async

from ingest import extractor, receiver, signatures
from ingest.errors import ReceiverInvalid
from ingest.models import FeedStatus, Run
from ingest.receiving import application
from raw_store.errors import SealFailed
from raw_store.models import Segment
from raw_store.open_segment import OpenSegment

from ..conftest import until
from .conftest import ADDRESS, FEED


@pytest.fixture
def pushed(archive):
    """Every archived push, in the order received."""

    def read():
        ids = [payload.fetch_id for payload in archive.scan(FEED)]
        return sorted(archive.read_many(ids).values(), key=lambda payload: payload.sequence)

    return sync_to_async(read)


async def test_a_push_is_archived_as_it_was_sent_before_it_is_answered(desk, pushed):
    client = await desk()
    body = b'{"order": 7,\n "name": "\xc3\xa9"}'

    answer = await client.post(
        f"{ADDRESS}/eu west?b=2&a=%20", content=body, headers={"Content-Type": "application/json"}
    )
    [payload] = await pushed()

    assert (answer.status_code, answer.json()["outcome"]) == (200, "archived")
    assert answer.json()["fetch_id"] == str(payload.fetch_id)
    assert (payload.body, payload.method, payload.status) == (body, "POST", None)
    assert payload.url == "push://orchard/orders/eu%20west?b=2&a=%20"
    assert payload.content_type == "application/json"
    assert payload.encoded_digest == payload.body_digest == hashlib.sha256(body).hexdigest()
    assert ("content-type", "application/json") in payload.headers


async def test_a_compressed_push_is_archived_decoded(desk, pushed):
    client = await desk()
    encoded = gzip.compress(b"[1, 2]")

    await client.post(ADDRESS, content=encoded, headers={"Content-Encoding": "gzip"})
    [payload] = await pushed()

    assert (payload.body, payload.content_encoding) == (b"[1, 2]", "gzip")
    assert payload.encoded_digest == hashlib.sha256(encoded).hexdigest()
    assert payload.encoded_size == len(encoded)


async def test_pushes_that_come_together_lie_in_few_segments_each_with_its_row(desk, pushed):
    client = await desk()

    answers = await asyncio.gather(
        *(client.post(f"{ADDRESS}/{number}", content=b"%d" % number) for number in range(60))
    )
    payloads = await pushed()

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(int(payload.body) for payload in payloads) == list(range(60))
    assert len({payload.sequence for payload in payloads}) == 60
    assert await Segment.objects.acount() < 20
    by_id = {str(payload.fetch_id): payload.body for payload in payloads}
    for number, answer in enumerate(answers):
        assert by_id[answer.json()["fetch_id"]] == b"%d" % number


async def test_a_delivery_sent_again_is_known_and_another_one_with_the_same_body_is_not(
    desk, pushed, monkeypatch
):
    monkeypatch.setenv("PUSH_SECRET", "hush")
    client = await desk(signature=signatures.github("PUSH_SECRET"))
    signed = "sha256=" + hmac.new(b"hush", b"{}", "sha256").hexdigest()

    outcomes = []
    for delivery in ("one", "one", "two"):
        headers = {"X-Hub-Signature-256": signed, "X-GitHub-Delivery": delivery}
        answer = await client.post(ADDRESS, content=b"{}", headers=headers)
        outcomes.append(answer.json()["outcome"])
    payloads = await pushed()

    assert outcomes == ["archived", "known", "archived"]
    assert len({payload.request_key for payload in payloads}) == 2


async def test_the_signature_and_the_tokens_of_a_push_do_not_reach_the_disk(
    desk, home, monkeypatch
):
    monkeypatch.setenv("PUSH_SECRET", "hush-hush-4711-canary")
    client = await desk(signature=signatures.gitlab("PUSH_SECRET"))
    headers = {"X-Gitlab-Token": "hush-hush-4711-canary", "Cookie": "session=canary-cookie-77"}

    answer = await client.post(f"{ADDRESS}?token=canary-query-99x", content=b"{}", headers=headers)
    found = [path for path in home.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]

    assert answer.status_code == 200
    assert found == []


async def test_a_push_with_a_wrong_signature_is_not_archived(desk, pushed, monkeypatch):
    monkeypatch.setenv("PUSH_SECRET", "hush")
    client = await desk(signature=signatures.bearer("PUSH_SECRET"))

    answers = [
        await client.post(ADDRESS, content=b"{}", headers=headers)
        for headers in ({}, {"Authorization": "Bearer hash"}, {"Authorization": "Basic aHVzaA=="})
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert await pushed() == []
    assert await Run.objects.acount() == 0


async def test_without_its_secret_a_receiver_takes_nothing(desk, pushed, monkeypatch):
    monkeypatch.delenv("PUSH_SECRET", raising=False)
    client = await desk(signature=signatures.bearer("PUSH_SECRET"))

    answer = await client.post(ADDRESS, content=b"{}", headers={"Authorization": "Bearer "})

    assert answer.status_code == 503
    assert "PUSH_SECRET" not in answer.text
    assert await pushed() == []


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_body_that_is_too_long_is_refused(desk, pushed, is_told):
    client = await desk(max_body=1_000)

    async def chunks():
        for _ in range(100):
            yield b"x" * 100

    answer = await client.post(ADDRESS, content=b"x" * 1_001 if is_told else chunks())

    assert answer.status_code == 413
    assert "1,000 bytes" in answer.json()["error"]
    assert await pushed() == []


async def test_a_bomb_is_refused(desk, pushed):
    client = await desk(max_body=100_000)
    bomb = gzip.compress(b"\0" * 50_000_000)

    answer = await client.post(ADDRESS, content=bomb, headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 413
    assert await pushed() == []


async def test_a_body_that_is_not_what_its_coding_says_is_refused(desk, pushed):
    client = await desk()

    answer = await client.post(ADDRESS, content=b"plain", headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 400
    assert await pushed() == []


async def test_what_nothing_receives_is_answered_404_and_another_method_405(desk):
    client = await desk()

    unknown = await client.post("/ingest/orchard/nothing", content=b"{}")
    asked = await client.get(ADDRESS)

    assert (unknown.status_code, asked.status_code) == (404, 405)
    assert asked.headers["allow"] == "POST"
    assert "orders" not in unknown.text


async def test_a_sender_that_stops_in_the_middle_is_let_go(desk, pushed):
    client = await desk()

    async def half():
        yield b'{"half":'
        await asyncio.sleep(5)

    answer = await client.post(ADDRESS, content=half())

    assert answer.status_code == 408
    assert await pushed() == []


async def test_a_sender_that_hangs_up_leaves_nothing(desk, pushed, archive):
    await desk()
    receiving = application.Receiving(archive)
    messages = iter(
        [
            {"type": "http.request", "body": b'{"half":', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive():
        return next(messages)

    async def send(message):
        raise AssertionError(message)

    scope = {"method": "POST", "path": ADDRESS, "query_string": b"", "headers": []}
    await receiving(scope, receive, send)
    await receiving.close()

    assert receiving._held == 0
    assert await pushed() == []


async def test_what_cannot_be_sealed_is_not_acknowledged_and_what_comes_later_is(
    desk, pushed, monkeypatch
):
    client = await desk(idle_seconds=5.0)
    write = OpenSegment.write

    def full(self, closed):
        raise SealFailed("No space left on device")

    monkeypatch.setattr(OpenSegment, "write", full)
    first = await client.post(ADDRESS, content=b"one")
    monkeypatch.setattr(OpenSegment, "write", write)
    second = await client.post(ADDRESS, content=b"one")
    payloads = await pushed()

    assert (first.status_code, first.headers["retry-after"]) == (503, "5")
    assert (second.status_code, second.json()["outcome"]) == (200, "archived")
    assert [(payload.body, payload.is_revisit) for payload in payloads] == [(b"one", False)]


async def test_when_it_is_quiet_the_run_is_over_and_says_what_came(desk):
    client = await desk()

    await client.post(ADDRESS, content=b"abc")
    await client.post(f"{ADDRESS}/other", content=b"defg")
    await until_complete()
    run = await Run.objects.alatest("started_at")
    status = await FeedStatus.objects.aget(feed=FEED)

    assert await total("payload_count") == 2
    assert await total("received_bytes") == 7
    assert (status.last_run_id, status.last_complete_at) == (run.id, run.finished_at)


async def until_complete():
    for _ in range(500):
        if (
            await Run.objects.aexists()
            and not await Run.objects.exclude(outcome="complete").aexists()
        ):
            return
        await asyncio.sleep(0.02)
    raise AssertionError([run async for run in Run.objects.values()])


async def total(column):
    return sum([value async for value in Run.objects.values_list(column, flat=True)])


async def test_the_source_is_handed_over_after_what_was_pushed_is_archived(desk, archive):
    seen = []
    client = await desk(
        replay=lambda source: seen.append((source, sum(1 for _ in archive.scan(FEED))))
    )

    await client.post(ADDRESS, content=b"{}")
    await until(lambda: seen)

    assert seen == [("orchard", 1)]


async def test_slack_is_told_the_challenge_and_it_is_not_archived(desk, pushed, monkeypatch):
    monkeypatch.setenv("PUSH_SECRET", "hush")
    client = await desk(signature=signatures.slack("PUSH_SECRET"))
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    moment = str(int(time.time()))
    signed = hmac.new(b"hush", f"v0:{moment}:".encode() + body, "sha256").hexdigest()

    answer = await client.post(
        ADDRESS,
        content=body,
        headers={"X-Slack-Request-Timestamp": moment, "X-Slack-Signature": f"v0={signed}"},
    )

    assert (answer.status_code, answer.text) == (200, "3eZbrw1a")
    assert await pushed() == []


def test_a_feed_is_either_asked_or_pushed(declared):
    @extractor("orchard.asked")
    async def extract(client):
        pass

    with pytest.raises(ReceiverInvalid, match="has an extractor already"):
        receiver("orchard.asked", signature=signatures.unsigned())


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ({"signature": "hush"}, "signature= is one of"),
        ({"current": "run"}, "nobody knows when"),
        ({"max_body": 10**12}, "max_body="),
        ({"keep_bodies": "soon"}, "soon"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declared, declaration, said):
    with pytest.raises(ReceiverInvalid, match=said):
        receiver(FEED, **{"signature": signatures.unsigned(), **declaration})
