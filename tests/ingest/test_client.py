"""What an extractor can do with its client, and how patient the client is."""

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from asgiref.sync import sync_to_async

from ingest import FetchFailed, StatusUnexpected
from ingest.models import HostState, Watermark
from ingest.pace import Patience

from .origin import response

SERVER_ERROR = response(b"oops", status="500 Internal Server Error")


async def test_parameters_headers_and_bodies_reach_the_server(origin, extract):
    url = origin.answer("/search", response(b"{}"))

    async def pages(client):
        await client.get(url, params={"page": 2, "q": "a b"}, headers={"Accept": "text/xml"})
        await client.post(url, json={"page": 2})
        await client.post(url, data={"page": "2"})
        await client.request("PUT", url, content=b"raw")

    await extract(pages)
    got, json, form, raw = origin.asked

    assert got.target == "/search?page=2&q=a+b"
    assert got.header("accept") == "text/xml"
    assert (json.method, json.body) == ("POST", b'{"page":2}')
    assert form.body == b"page=2"
    assert (raw.method, raw.body) == ("PUT", b"raw")


async def test_a_server_error_is_tried_again(origin, extract, payloads):
    url = origin.answer("/", SERVER_ERROR, SERVER_ERROR, response(b"{}"))
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    run = await extract(pages)
    attempts = await sync_to_async(payloads)()

    assert [(payload.status, payload.attempt) for payload in attempts] == [
        (500, 1),
        (500, 2),
        (200, 3),
    ]
    assert attempts[0].body == b"oops"
    assert run.outcome == "complete"
    assert seen[0].status_code == 200


async def test_a_server_error_that_stays_fails_the_run(origin, extract):
    url = origin.answer("/", SERVER_ERROR)

    async def pages(client):
        await client.get(url)

    run = await extract(pages)

    assert run.outcome == "failed"
    assert run.error.startswith(f"GET {url} answered 500 Internal Server Error (attempt 4).")
    assert run.payload_count == 4


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_what_is_gone_is_an_answer(origin, extract, status):
    url = origin.answer("/", response(b"", status=status))

    async def pages(client):
        answer = await client.get(url)
        assert f"{answer.status_code} {answer.reason_phrase}" == status
        with pytest.raises(StatusUnexpected):
            answer.raise_for_status()

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert len(origin.asked) == 1


async def test_a_refusal_fails_at_once_and_can_be_caught(origin, extract):
    url = origin.answer("/", response(b"", status="403 Forbidden"))

    async def pages(client):
        with pytest.raises(StatusUnexpected) as caught:
            await client.get(url)
        assert (caught.value.status, caught.value.url) == (403, url)

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert len(origin.asked) == 1


def too_many(retry_after, *headers):
    return response(b"", f"Retry-After: {retry_after}", *headers, status="429 Too Many Requests")


async def test_retry_after_in_seconds_is_waited_in_full(origin, extract):
    times = []

    async def answer(asked, writer):
        times.append(datetime.now(UTC))
        writer.write(too_many("1") if len(times) == 1 else response(b"{}"))

    url = origin.answer("/", answer)

    async def pages(client):
        await client.get(url)

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert times[1] - times[0] >= timedelta(seconds=1)


async def test_retry_after_as_a_date_is_read_against_the_servers_own_clock(origin, extract):
    times = []
    server_now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    until = format_datetime(server_now + timedelta(seconds=1), usegmt=True)

    async def answer(asked, writer):
        times.append(datetime.now(UTC))
        clock = f"Date: {format_datetime(server_now, usegmt=True)}"
        writer.write(too_many(until, clock) if len(times) == 1 else response(b"{}"))

    url = origin.answer("/", answer)

    async def pages(client):
        await client.get(url)

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert times[1] - times[0] >= timedelta(seconds=1)


async def test_a_pause_over_the_ceiling_fails_the_run_and_the_next_one_sends_nothing(
    origin, extract
):
    url = origin.answer("/", too_many("3600"))

    async def pages(client):
        await client.get(url)

    first = await extract(pages)
    second = await extract(pages)
    state = await HostState.objects.aget(host=f"127.0.0.1:{origin.port}")

    assert first.outcome == second.outcome == "failed"
    assert f"127.0.0.1:{origin.port} asked for no requests before" in second.error
    assert "Run the feed again after that time." in second.error
    assert len(origin.asked) == 1
    assert second.resume_at == state.not_before
    assert second.resume_at - datetime.now(UTC) > timedelta(minutes=59)


async def test_one_page_that_asks_for_a_pause_parks_the_whole_host(origin, extract):
    order = []

    async def busy(asked, writer):
        order.append(asked.target)
        writer.write(too_many("0.5") if order.count("/busy") == 1 else response(b"{}"))

    async def other(asked, writer):
        order.append(asked.target)
        writer.write(response(b"{}"))

    urls = [origin.answer("/busy", busy)] + [
        origin.answer(f"/{number}", other) for number in range(3)
    ]

    async def pages(client):
        async for _ in client.map(urls, concurrency=1):
            pass

    await extract(pages)

    assert order == ["/busy", "/busy", "/0", "/1", "/2"]


async def test_map_answers_in_order_and_holds_its_concurrency(origin, extract):
    urls = [origin.answer(f"/{number}", response(b"%d" % number)) for number in range(40)]
    seen = []

    async def pages(client):
        async for answer in client.map(urls, concurrency=3):
            seen.append(int(answer.text))

    await extract(pages)

    assert seen == list(range(40))
    assert origin.most_at_once <= 3


async def test_a_host_is_never_asked_more_at_once_than_its_pace_allows(origin, extract):
    urls = [origin.answer(f"/{number}", response(b"{}")) for number in range(40)]

    async def pages(client):
        async for _ in client.map(urls, concurrency=40):
            pass

    await extract(pages)

    assert origin.most_at_once <= 8


async def test_the_first_failure_ends_a_map_and_what_arrived_is_archived(origin, extract, payloads):
    urls = [origin.answer(f"/{number}", response(b"%d" % number)) for number in range(4)]
    urls.insert(2, origin.answer("/broken", response(b"", status="400 Bad Request")))

    async def pages(client):
        async for _ in client.map(urls, concurrency=1):
            pass

    run = await extract(pages)

    assert run.outcome == "failed"
    assert [payload.status for payload in await sync_to_async(payloads)()] == [200, 200, 400]


async def test_pages_follow_the_link_header(origin, extract):
    url = origin.answer("/a", response(b"1", 'Link: </b>; rel="next"'))
    origin.answer("/b", response(b"2", 'Link: </a>; rel="prev"'))
    seen = []

    async def pages(client):
        async for answer in client.pages(url):
            seen.append(answer.text)

    await extract(pages)

    assert seen == ["1", "2"]


async def test_pages_follow_an_address_in_the_body_and_refuse_a_circle(origin, extract):
    url = origin.answer("/a", response(b'{"next": "/b"}'))
    origin.answer("/b", response(b'{"next": "/a"}'))

    async def pages(client):
        async for _ in client.pages(url, next_url=lambda answer: answer.json()["next"]):
            pass

    run = await extract(pages)

    assert run.outcome == "failed"
    assert "names itself or an earlier page as the next one" in run.error
    assert len(origin.asked) == 2


async def test_a_watermark_is_there_in_the_next_run(origin, extract):
    url = origin.answer("/", response(b"{}"))
    seen = []

    async def pages(client):
        seen.append((client.watermark, client.watermarks))
        await client.get(url)
        client.advance({"page": len(seen)})
        client.advance("2026-11-22", partition="north")

    await extract(pages)
    await extract(pages)

    assert seen == [(None, {}), ({"page": 1}, {"": {"page": 1}, "north": "2026-11-22"})]
    assert await sync_to_async(Watermark.objects.count)() == 2


async def test_a_watermark_that_json_cannot_hold_is_refused(origin, extract):
    async def pages(client):
        client.advance(datetime.now(UTC))

    run = await extract(pages)

    assert run.outcome == "failed"
    assert "moment.isoformat()" in run.error


async def test_an_address_that_is_none_fails_the_run_with_its_name(extract):
    async def pages(client):
        with pytest.raises(FetchFailed, match="ftp"):
            await client.get("ftp://files.example/list")

    run = await extract(pages)

    assert run.outcome == "complete", run.error


def test_back_off_grows_with_jitter_and_has_a_longest():
    patience = Patience(base=1.0, longest=10.0)
    pauses = [max(patience.backoff(attempt) for _ in range(200)) for attempt in range(1, 9)]

    assert all(before < after for before, after in itertools.pairwise(pauses[:4]))
    assert max(pauses) <= 10.0
    assert all(0.5 <= patience.backoff(1) <= 1.0 for _ in range(200))
    assert patience.backoff(10_000) <= 10.0
