"""A real server that is pushed to, killed in the middle, and asked what it still has."""

import asyncio
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import httpx
import pyarrow.parquet as parquet
import pytest

from ..conftest import SETTINGS

ADDRESS = "/ingest/ticker/pushes"
SENDERS = 8


@pytest.fixture
def serve(other_home):
    """Start a server in the home; give it with its address. Killed at the end."""
    started = []

    def begin():
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--port", "0", "etl.asgi:application"],
            env=os.environ
            | {
                "ROOTCELLAR_TEST_HOME": str(other_home),
                "DJANGO_SETTINGS_MODULE": SETTINGS,
                # Nothing listens there: only pushes are archived.
                "TICKER_URL": "http://127.0.0.1:9/",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"running on (http://[\d.:]+)", line):
                return process, found[1]
        raise AssertionError("the server did not start")

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def asked(home, sql):
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        return database.execute(sql).fetchall()


def archived(home):
    """Every archived body, read from the files that the index names."""
    paths = asked(home, "SELECT path FROM raw_store_segment WHERE feed = 'ticker.pushes'")
    return [
        body
        for (path,) in paths
        for body in parquet.read_table(home / "archive" / path, columns=["body"])[
            "body"
        ].to_pylist()
    ]


async def push_until_it_dies(address, prefix, acknowledged):
    async def send(sender):
        number = 0
        while True:
            body = f"{prefix}-{sender}-{number}".encode()
            number += 1
            try:
                answer = await client.post(f"{ADDRESS}/{sender}", content=body)
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                acknowledged.append(body)

    async with httpx.AsyncClient(base_url=address, timeout=20) as client:
        await asyncio.gather(*(send(sender) for sender in range(SENDERS)))


async def test_what_was_acknowledged_is_archived_though_the_server_is_killed(serve, other_home):
    acknowledged: list[bytes] = []
    for kill in range(3):
        process, address = await asyncio.to_thread(serve)
        pushing = asyncio.create_task(push_until_it_dies(address, kill, acknowledged))
        await asyncio.sleep(random.uniform(0.3, 1.0))
        process.kill()
        await pushing

    kept = await asyncio.to_thread(archived, other_home)

    assert len(acknowledged) > 3 * SENDERS
    assert set(acknowledged) - set(kept) == set()
    # What was archived and could not be said any more: at most one push of each sender.
    assert len(kept) - len(acknowledged) <= 3 * SENDERS


async def test_a_server_that_is_stopped_ends_its_run(serve, other_home):
    process, address = await asyncio.to_thread(serve)
    async with httpx.AsyncClient(base_url=address, timeout=20) as client:
        answer = await client.post(ADDRESS, content=b"last")
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.communicate, timeout=20)

    assert answer.status_code == 200
    assert asked(
        other_home,
        "SELECT outcome, payload_count FROM ingest_run WHERE feed = 'ticker.pushes'",
    ) == [("complete", 1)]
