"""What arrives is what is archived: every attempt, hop and failure, byte for byte."""

import asyncio
import gzip
import hashlib
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from asgiref.sync import sync_to_async

from ingest import FetchFailed

from .origin import chunked, response, then_reset, then_silence

BODY = '{"name": "Łódź", "items": [1, 2, 3]}'.encode() * 40


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    ],
)
async def test_an_encoded_body_is_archived_decoded_and_its_encoded_digest_kept(
    origin, extract, payloads, coding, encode
):
    encoded = encode(BODY)
    url = origin.answer("/", response(encoded, f"Content-Encoding: {coding}"))
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    run = await extract(pages)
    (payload,) = await sync_to_async(payloads)()

    assert run.outcome == "complete"
    assert payload.body == BODY == seen[0].content
    assert payload.content_encoding == coding
    assert payload.encoded_digest == hashlib.sha256(encoded).hexdigest()
    assert payload.encoded_body is None
    assert "content-encoding" not in seen[0].headers


async def test_the_encoded_body_is_kept_where_the_feed_asks(origin, extract, payloads):
    encoded = gzip.compress(BODY)
    url = origin.answer("/", response(encoded, "Content-Encoding: gzip"))

    async def pages(client):
        await client.get(url)

    await extract(pages, keep_encoded=True)
    (payload,) = await sync_to_async(payloads)()

    assert (payload.body, payload.encoded_body) == (BODY, encoded)


async def test_a_chunked_body_is_archived_without_its_framing(origin, extract, payloads):
    url = origin.answer("/", chunked(BODY[:100], BODY[100:]))

    async def pages(client):
        await client.get(url)

    await extract(pages)
    (payload,) = await sync_to_async(payloads)()

    assert payload.body == BODY
    assert payload.header("transfer-encoding") == "chunked"


async def test_headers_keep_order_case_duplicates_and_every_byte(origin, extract, payloads):
    sent = [b"X-Dup: one", b"x-dUP: two", b"X-Name: caf\xe9 \xff", b"X-Empty:"]
    url = origin.answer("/", response(b"{}", *sent, status="200 Very Well"))

    async def pages(client):
        await client.get(url)

    await extract(pages)
    (payload,) = await sync_to_async(payloads)()

    assert payload.headers == (
        ("Connection", "close"),
        ("X-Dup", "one"),
        ("x-dUP", "two"),
        ("X-Name", "caf\xe9 \xff"),
        ("X-Empty", ""),
        ("Content-Length", "2"),
    )
    assert (payload.status, payload.reason, payload.http_version) == (200, "Very Well", "HTTP/1.1")


async def test_every_hop_of_a_redirect_is_archived_and_cookies_work(origin, extract, payloads):
    end = origin.answer("/end", response(b"there"))
    origin.answer(
        "/middle", response(b"on", "Location: /end", "Set-Cookie: b=2", status="302 Found")
    )
    url = origin.answer(
        "/", response(b"off", "Location: /middle", "Set-Cookie: a=1; Path=/", status="301 Moved")
    )
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    hops = await sync_to_async(payloads)()

    assert [(hop.status, hop.body, hop.sequence) for hop in hops] == [
        (301, b"off", 0),
        (302, b"on", 1),
        (200, b"there", 2),
    ]
    assert origin.asked[2].header("cookie") == "a=1; b=2"
    assert str(seen[0].url) == end


async def test_a_body_cut_short_is_kept_marked_and_fetched_again(origin, extract, payloads):
    url = origin.answer("/", response(BODY[:50], length=len(BODY)), response(BODY))

    async def pages(client):
        await client.get(url)

    run = await extract(pages)
    short, whole = await sync_to_async(payloads)()

    assert (short.body, short.truncated, short.attempt) == (BODY[:50], "disconnect", 1)
    assert short.error.startswith("disconnect: ")
    assert (whole.body, whole.truncated, whole.attempt) == (BODY, None, 2)
    assert (run.outcome, run.payload_count, run.failure_count) == ("complete", 2, 1)


async def test_a_reset_in_the_middle_keeps_both_what_was_decoded_and_what_came(
    origin, extract, payloads
):
    encoded = gzip.compress(bytes(range(256)) * 4000, 1)
    head = response(encoded, "Content-Encoding: gzip")
    url = origin.answer("/", then_reset(head[: -len(encoded) // 2]), response(b"{}"))

    async def pages(client):
        await client.get(url)

    await extract(pages)
    short, _ = await sync_to_async(payloads)()

    assert (short.status, short.truncated) == (200, "disconnect")
    assert short.encoded_body
    assert encoded.startswith(short.encoded_body)
    assert short.body is not None
    assert (bytes(range(256)) * 4000).startswith(short.body)


@pytest.mark.parametrize("sent", [b"", response(b"abc", length=10)])
async def test_a_server_that_falls_silent_is_archived_as_a_time_out(
    origin, extract, payloads, sent
):
    url = origin.answer("/", then_silence(sent), response(b"{}"))

    async def pages(client):
        await client.get(url)

    await extract(pages, timeout=0.4)
    silent, *_, answered = await sync_to_async(payloads)()

    assert silent.error.startswith("timeout: ")
    assert (silent.status, silent.truncated, silent.body) == (
        (200, "time", b"abc") if sent else (None, None, None)
    )
    assert answered.status == 200


async def test_a_server_that_trickles_is_cut_off(origin, extract, payloads):
    async def trickle(asked, writer):
        writer.write(response(b"", length=1000))
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    url = origin.answer("/", trickle, response(b"{}"))

    async def pages(client):
        await client.get(url)

    await extract(pages, timeout=0.1)
    slow, *_ = await sync_to_async(payloads)()

    assert slow.truncated == "time"
    assert slow.error == "timeout: not finished after 2 s"
    assert set(slow.body) == {ord(".")}


async def test_a_refused_connection_is_archived_once_per_attempt_and_fails_the_run(
    origin, extract, payloads
):
    url = origin.url("/gone")
    await origin.__aexit__()

    async def pages(client):
        await client.get(url)

    run = await extract(pages)
    attempts = await sync_to_async(payloads)()

    assert run.outcome == "failed"
    assert run.error.startswith(
        f"GET {url} failed after 4 attempts: All connection attempts failed"
    )
    assert "Connect call failed" in run.error
    assert [payload.attempt for payload in attempts] == [1, 2, 3, 4]
    assert all(payload.error.startswith("connect: All conn") for payload in attempts)
    assert {payload.status for payload in attempts} == {None}


async def test_what_is_not_http_is_archived_as_an_error(origin, extract, payloads):
    url = origin.answer("/", b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    async def pages(client):
        await client.get(url)

    run = await extract(pages)
    attempts = await sync_to_async(payloads)()

    assert run.outcome == "failed"
    assert all(payload.error.startswith("protocol: ") for payload in attempts)


async def test_a_body_that_does_not_decode_is_kept_as_it_came(origin, extract, payloads):
    url = origin.answer("/", response(b"<p>not gzip</p>", "Content-Encoding: gzip"))

    async def pages(client):
        await client.get(url)

    run = await extract(pages)
    (payload,) = await sync_to_async(payloads)()

    assert payload.encoded_body == b"<p>not gzip</p>"
    assert payload.body is None
    assert payload.body_digest is None
    assert payload.error.startswith("decode: the body is not gzip: ")
    assert run.outcome == "failed"
    assert "archive show" in run.error


async def test_a_body_over_the_limit_is_cut_and_fails_the_fetch(origin, extract, payloads):
    url = origin.answer("/", response(BODY))

    async def pages(client):
        with pytest.raises(FetchFailed, match="the body is longer than 1000 bytes"):
            await client.get(url)

    await extract(pages, max_body=1000)
    (payload,) = await sync_to_async(payloads)()

    assert (payload.body, payload.truncated) == (BODY[:1000], "length")
    assert len(origin.asked) == 1


async def test_a_body_that_swells_over_the_limit_is_kept_encoded(origin, extract, payloads):
    encoded = zlib.compress(b"\0" * 100_000)
    url = origin.answer("/", response(encoded, "Content-Encoding: deflate"))

    async def pages(client):
        with pytest.raises(FetchFailed, match="decoded, the body is longer than 1000 bytes"):
            await client.get(url)

    await extract(pages, max_body=1000)
    (payload,) = await sync_to_async(payloads)()

    assert (payload.body, payload.payload_id, payload.truncated) == (None, None, None)
    assert payload.encoded_body == encoded
    assert payload.error == "expansion: decoded, the body is longer than 1000 bytes"


async def test_an_unchanged_body_is_a_revisit_and_a_304_gives_the_archived_response(
    origin, extract, payloads
):
    async def conditional(asked, writer):
        fresh = asked.header("if-none-match") == '"v1"'
        writer.write(
            response(b"", 'ETag: "v1"', status="304 Not Modified")
            if fresh
            else response(BODY, 'ETag: "v1"', "Content-Type: application/json", "X-Old: 1")
        )

    url = origin.answer("/", conditional)
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    await extract(pages)
    first, second = await sync_to_async(payloads)()

    assert [payload.status for payload in (first, second)] == [200, 304]
    assert second.payload_id == first.fetch_id
    assert second.body_digest == first.body_digest
    assert [answer.status_code for answer in seen] == [200, 200]
    assert seen[1].content == BODY
    assert seen[1].headers["x-old"] == "1"
    assert seen[1].payload.fetch_id == second.fetch_id


async def test_a_304_for_another_language_is_fetched_in_full(origin, extract):
    async def undated(asked, writer):
        language = asked.header("accept-language")
        headers = ("Last-Modified: Mon, 20 Nov 1995 19:12:08 GMT", "Vary: Accept-Language, Cookie")
        writer.write(
            response(b"", status="304 Not Modified")
            if asked.header("if-modified-since")
            else response(language.encode(), *headers)
        )

    url = origin.answer("/", undated)
    seen = []
    for language in ("de", "en", "en"):

        async def pages(client, language=language):
            seen.append((await client.get(url, headers={"Accept-Language": language})).text)

        await extract(pages)

    assert seen == ["de", "en", "en"]
    assert len(origin.asked) == 4


async def test_validators_are_not_carried_over_a_redirect(origin, extract):
    origin.answer("/end", response(BODY, 'ETag: "end"'))
    url = origin.answer("/", response(BODY, 'ETag: "first"'))

    async def pages(client):
        await client.get(url)

    await extract(pages)
    origin.answer("/", response(b"", "Location: /end", status="302 Found"))
    await extract(pages)

    assert origin.asked[1].header("if-none-match") == '"first"'
    assert origin.asked[2].header("if-none-match") is None


async def test_a_304_whose_version_is_lost_is_fetched_again(origin, extract, payloads, archive):
    async def conditional(asked, writer):
        writer.write(
            response(b"", status="304 Not Modified")
            if asked.header("if-none-match")
            else response(BODY, 'ETag: "v1"')
        )

    url = origin.answer("/", conditional)
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    damage_every_segment(archive)
    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert seen[1].content == BODY
    assert [asked.header("if-none-match") for asked in origin.asked] == [None, '"v1"', None]


def damage_every_segment(archive):
    for path in Path(archive.url).rglob("*.parquet"):
        path.write_bytes(b"damaged")
