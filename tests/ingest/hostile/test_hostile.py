"""A server that misbehaves in every way is read to its last page, and all that it did is kept."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from ingest import AddressRefused, FetchFailed

from ..origin import response
from .server import PAGES, HostileOrigin


@pytest.fixture
async def hostile():
    async with HostileOrigin() as running:
        yield running


async def read_all(client, origin, seen):
    following = "/page/1"
    while following:
        page = (await client.get(origin.url(following))).json()
        seen.append(page["number"])
        following = page["next"]


async def test_a_hostile_server_is_read_to_the_last_page(hostile, extract, payloads):
    seen: list[object] = []

    async def pages(client):
        await read_all(client, hostile, seen)

    run = await extract(pages, timeout=1.0)
    rows = await sync_to_async(payloads)()
    failed = {(int(row.url.rpartition("/")[2]), row.status) for row in rows if row.status != 200}
    short = {int(row.url.rpartition("/")[2]): row for row in rows if row.truncated}

    assert run.outcome == "complete", run.error
    assert seen == list(range(1, PAGES + 1))
    assert len(rows) == len(hostile.asked) == run.payload_count
    assert failed == {
        (1, 429),
        (2, 503),
        (3, 500),
        (3, 502),
        (3, 504),
        (4, 302),
        (10, None),
        (15, None),
    }
    assert {number: row.truncated for number, row in short.items()} == {
        6: "disconnect",
        7: "disconnect",
        12: "unspecified",
        13: "disconnect",
        14: "time",
    }
    assert short[6].encoded_body is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(b"", "Location: /loop", status="302 Found"), "redirected more than 20 times"),
        (response(b"x", length=10), "peer closed connection"),
        (response(b"", "Location: http://[bad", status="301 Moved"), "is no name of a host"),
        (response(b"{}", "Content-Encoding: gzip"), "the body is not gzip"),
    ],
)
async def test_what_never_gets_better_fails_the_fetch_and_no_other(
    hostile, extract, payloads, answer, said
):
    seen: list[object] = []
    bad = hostile.answer("/loop", answer)

    async def pages(client):
        with pytest.raises(FetchFailed, match=said):
            await client.get(bad)
        await client.get(hostile.url("/page/16"))
        seen.append("/page/16")

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert seen == ["/page/16"]


async def test_an_empty_200_is_an_answer_and_is_kept_as_one(hostile, extract, payloads):
    url = hostile.answer("/empty", response(b""))
    seen: list[object] = []

    async def pages(client):
        seen.append((await client.get(url)).content)

    await extract(pages)
    (row,) = await sync_to_async(payloads)()

    assert seen == [b""]
    assert (row.body, row.body_size, row.error) == (b"", 0, None)


async def test_a_redirect_into_a_private_network_goes_nowhere_and_is_archived(
    hostile, extract, payloads
):
    url = hostile.answer(
        "/to-metadata",
        response(b"", "Location: http://169.254.169.254/latest/meta-data/", status="302 Found"),
    )

    async def pages(client):
        with pytest.raises(AddressRefused, match="metadata service"):
            await client.get(url)

    run = await extract(pages)
    hop, refused = await sync_to_async(payloads)()

    assert run.outcome == "complete", run.error
    assert hop.status == 302
    assert refused.error.startswith("refused: 169.254.169.254 is a cloud's metadata service")
    assert (refused.attempt, refused.status) == (1, None)


async def test_many_hostile_answers_at_once_do_not_disturb_each_other(hostile, extract, payloads):
    bodies = {}

    async def pages(client):
        async def one(number):
            bodies[number] = (await client.get(hostile.url(f"/page/{number}"))).json()["number"]

        await asyncio.gather(*(one(number) for number in range(1, PAGES + 1)))

    run = await extract(pages, timeout=1.0)
    rows = await sync_to_async(payloads)()

    assert run.outcome == "complete", run.error
    assert bodies == {number: number for number in range(1, PAGES + 1)}
    assert sorted(row.sequence for row in rows) == list(range(len(rows)))
