"""Bodies larger than memory: they go from the network to a file, from there into the segment and
to the extractor, and the process stays small."""

import asyncio
import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command

from raw_store.segments import SPOOLED_FROM
from raw_store.spool import IN_MEMORY

from .conftest import SETTINGS, until
from .origin import response, then_silence

ROOT = Path(__file__).resolve().parents[2]
BLOCK = b"".join(b"%016x,%d\n" % (number * 2654435761, number) for number in range(50_000))
LINES = BLOCK * 20
assert len(LINES) > IN_MEMORY


def blocks(size: int) -> Iterable[bytes]:
    """Some bytes that compress, but no two blocks of which are the same."""
    number = 0
    while size > 0:
        at = number * 7919 % len(BLOCK)
        block = (b"block %d\n" % number + BLOCK[at:] + BLOCK[:at])[:size]
        yield block
        size -= len(block)
        number += 1


@contextmanager
def serving(head: bytes, chunks: Iterable[bytes]):
    """A server of one response; its body is made as it is sent."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                for chunk in chunks:
                    connection.sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"ROOTCELLAR_TEST_HOME": str(home), "DJANGO_SETTINGS_MODULE": SETTINGS}


def extract_apart(home: Path, url: str, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingest.large_body", url, *options],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_body_of_600_mb_is_archived_and_read_in_less_than_300_mb(other_home):
    size = 600_000_000
    sent = hashlib.sha256()

    def hashed():
        for block in blocks(size):
            sent.update(block)
            yield block

    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, hashed()) as url:
        told = extract_apart(other_home, url)

    assert told["outcome"] == "complete", told["error"]
    assert told["seen"] == [sent.hexdigest()] * 2
    assert told["body_size"] == told["encoded_size"] == size
    assert told["body_digest"] == told["encoded_digest"] == sent.hexdigest()
    assert told["stored_digest"] == sent.hexdigest()
    assert told["peak_mb"] < 300
    assert list((other_home / "spool").iterdir()) == []


def test_an_encoded_body_is_decoded_and_kept_both_ways_in_less_than_300_mb(other_home):
    size = 200_000_000
    body, encoded = hashlib.sha256(), hashlib.sha256()

    def compressed():
        gzipped = zlib.compressobj(1, wbits=31)
        for block in blocks(size):
            body.update(block)
            yield gzipped.compress(block)
        yield gzipped.flush()

    def hashed():
        for chunk in compressed():
            encoded.update(chunk)
            yield chunk

    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
    with serving(head, hashed()) as url:
        told = extract_apart(other_home, url, "--encoded")

    assert told["outcome"] == "complete", told["error"]
    assert told["seen"] == [body.hexdigest()] * 2
    assert told["body_digest"] == told["stored_digest"] == body.hexdigest()
    assert told["encoded_digest"] == told["stored_encoded_digest"] == encoded.hexdigest()
    assert told["peak_mb"] < 300


def test_a_process_killed_while_it_takes_in_a_body_leaves_nothing(other_home):
    sent = threading.Event()
    over = threading.Event()

    def slow():
        yield LINES
        sent.set()
        over.wait(60)

    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n", slow()) as url:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.ingest.large_body", url],
            cwd=ROOT,
            env=environment(other_home),
        )
        try:
            assert sent.wait(60)
            spooled = wait_for_spool(child.pid)
        finally:
            child.kill()
            child.wait()
            over.set()

    assert spooled.startswith(f"{other_home}/spool/")
    assert spooled.endswith("(deleted)")
    assert list((other_home / "spool").iterdir()) == []


def wait_for_spool(pid: int) -> str:
    """The unnamed file that a process has open."""
    for _ in range(500):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if "/spool/" in target:
                return target
        time.sleep(0.02)
    raise AssertionError("no body was spooled")


async def test_a_response_gives_a_large_body_piece_by_piece_as_often_as_asked(
    origin, extract, payloads
):
    url = origin.answer("/", response(LINES, "Content-Type: text/csv; charset=ascii"))
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    (answer,) = seen
    (payload,) = await sync_to_async(payloads)()

    # The run is over and its segment sealed: the response still holds its file.
    assert b"".join([chunk async for chunk in answer.aiter_bytes()]) == LINES
    assert b"".join(answer.iter_bytes(1000)) == LINES
    assert [line async for line in answer.aiter_lines()][:2] == LINES.decode().splitlines()[:2]
    assert not hasattr(answer, "_content")
    assert answer.content == LINES
    assert answer.text == LINES.decode()
    assert await answer.aread() == LINES
    assert payload.body == LINES


async def test_a_304_gives_a_body_larger_than_memory_from_the_archive(origin, extract, payloads):
    body = LINES * (SPOOLED_FROM // len(LINES) + 1)

    async def conditional(asked, writer):
        is_known = asked.header("if-none-match") == '"v1"'
        status = "304 Not Modified" if is_known else "200 OK"
        writer.write(response(b"" if is_known else body, 'ETag: "v1"', status=status))

    url = origin.answer("/", conditional)
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    await extract(pages)

    assert [answer.payload.status for answer in seen] == [200, 304]
    assert seen[1].payload.spooled_body.size == len(body)
    assert b"".join(seen[1].iter_bytes()) == body
    assert not hasattr(seen[1], "_content")


async def test_a_body_larger_than_memory_is_shown_byte_for_byte(origin, extract, capsysbinary):
    body = LINES * (SPOOLED_FROM // len(LINES) + 1)
    url = origin.answer("/", response(body))
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    fetch = str(seen[0].payload.fetch_id)
    await sync_to_async(call_command)("archive", "show", fetch, "--body")
    shown = capsysbinary.readouterr().out
    await sync_to_async(call_command)("archive", "show", fetch)
    heads = capsysbinary.readouterr().out.decode()

    assert shown == body
    assert f"body: {len(body) / 1e6:.1f} MB, SHA-256 {seen[0].payload.body_digest}" in heads


async def test_a_large_document_is_read_as_json_when_asked(origin, extract):
    document = {"rows": ["x" * 1000] * 9000}
    url = origin.answer("/", response(orjson.dumps(document)))
    seen = []

    async def pages(client):
        seen.append((await client.get(url)).json())

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert seen == [document]


async def test_an_equal_large_body_is_a_revisit(origin, extract, payloads):
    url = origin.answer("/", response(LINES))

    async def pages(client):
        await client.get(url)
        await client.get(url)

    await extract(pages)
    first, second = await sync_to_async(payloads)()

    assert second.payload_id == first.fetch_id
    assert first.body == second.body == LINES


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_large_body_that_stops_coming_is_kept_as_far_as_it_came(
    origin, extract, payloads, coding
):
    sent = gzip.compress(LINES, 1) if coding == "gzip" else LINES
    head = response(b"", f"Content-Encoding: {coding}", length=len(sent) + 1)
    url = origin.answer("/", then_silence(head + sent[:-1000]), response(b"{}"))

    async def pages(client):
        await client.get(url)

    await extract(pages, timeout=2.0)
    short, _ = await sync_to_async(payloads)()

    assert (short.truncated, short.encoded_size) == ("time", len(sent) - 1000)
    assert LINES.startswith(short.body)
    assert len(short.body) > IN_MEMORY
    assert short.encoded_body == (sent[:-1000] if coding == "gzip" else None)


async def test_a_run_cancelled_while_it_takes_in_a_body_archives_what_came(
    origin, extract, payloads, home
):
    url = origin.answer("/", then_silence(response(LINES, length=len(LINES) + 1)))

    async def pages(client):
        await client.get(url)

    running = asyncio.create_task(extract(pages))
    await until(lambda: origin.asked)
    await asyncio.sleep(1.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (short,) = await sync_to_async(payloads)()

    assert short.error.startswith("cancelled: ")
    assert (short.body, short.truncated) == (LINES, "unspecified")
    assert list((home / "spool").iterdir()) == []


async def test_a_secret_that_a_large_body_repeats_is_masked_in_the_archive_alone(
    origin, extract, payloads
):
    secret = "q8Zr2LwX7pT4vK1mN6sB9dYc3HjF5gUa"
    body = LINES + b"\nyour token is " + secret.encode() + b"\n"
    url = origin.answer("/", response(body))
    seen = []

    async def pages(client):
        seen.append(await client.get(url, headers={"Authorization": f"Bearer {secret}"}))

    await extract(pages)
    (payload,) = await sync_to_async(payloads)()

    assert seen[0].content == body
    assert secret.encode() not in payload.body
    assert payload.body.startswith(LINES)
    assert payload.encoded_digest is None
