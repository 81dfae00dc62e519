"""Runs: what is recorded, and what is kept when one fails or is stopped."""

import asyncio
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async

from ingest import extractor
from ingest.models import FeedStatus, Outcome, Run, Watermark
from ingest.runs import describe, mark_interrupted, run_feed
from raw_store.errors import UnknownFeed
from raw_store.models import Segment

from .conftest import FEED, QUICK, until
from .origin import response, then_silence


async def test_a_complete_run_says_what_it_did_and_that_it_is_whole(origin, extract):
    urls = [origin.answer(f"/{number}", response(b"%d" % number)) for number in range(3)]

    async def pages(client):
        for url in urls:
            await client.get(url)

    run = await extract(pages, current="run")
    status = await FeedStatus.objects.select_related("last_run").aget(feed=FEED)
    segment = await Segment.objects.aget()

    assert (run.outcome, run.payload_count, run.received_bytes) == ("complete", 3, 3)
    assert run.error == run.traceback == ""
    assert run.finished_at >= run.started_at
    assert segment.complete_runs == [str(run.id)]
    assert status.last_run == run
    assert (status.consecutive_failures, status.last_complete_at) == (0, run.finished_at)


async def test_a_failed_run_keeps_what_it_fetched_and_is_not_whole(origin, extract, payloads):
    url = origin.answer("/", response(b'{"items": []}'))

    async def pages(client):
        answer = await client.get(url)
        return answer.json()["next"]

    await extract(pages)
    run = await extract(pages)
    status = await FeedStatus.objects.aget(feed=FEED)

    assert (run.outcome, run.payload_count) == ("failed", 1)
    assert run.error == "The extractor raised KeyError: 'next'"
    assert "test_runs.py" in run.traceback
    assert len(await sync_to_async(payloads)()) == 2
    assert [s.complete_runs async for s in Segment.objects.all()] == [[], []]
    assert (status.consecutive_failures, status.last_error) == (2, run.error)


async def test_a_complete_run_clears_the_failures_before_it(origin, extract):
    async def broken(client):
        raise RuntimeError("no")

    async def nothing_to_do(client):
        pass

    await extract(broken)
    run = await extract(nothing_to_do)
    status = await FeedStatus.objects.aget(feed=FEED)

    assert (run.outcome, run.payload_count) == ("complete", 0)
    assert (status.consecutive_failures, status.last_error) == (0, "")


async def test_a_cancelled_run_is_sealed_and_marked_interrupted(
    origin, archive, declared, transactional_db, payloads
):
    first = origin.answer("/first", response(b"1"))
    endless = origin.answer("/endless", then_silence(response(b"12", length=100)))

    @extractor(FEED)
    async def pages(client):
        await client.get(first)
        client.advance("first")
        await client.get(endless)

    task = asyncio.create_task(run_feed(FEED, archive, patience=QUICK))
    await until(lambda: len(origin.asked) == 2)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    run = await Run.objects.aget()
    whole, cut = await sync_to_async(payloads)()

    assert (run.outcome, run.payload_count) == ("interrupted", 2)
    assert whole.body == b"1"
    assert (cut.body, cut.truncated, cut.error) == (
        b"12",
        "unspecified",
        "cancelled: CancelledError",
    )
    assert (await Watermark.objects.aget()).value == "first"


async def test_a_run_cancelled_before_it_fetched_anything_is_marked_too(
    archive, declared, transactional_db
):
    @extractor(FEED)
    async def pages(client):
        pass

    for delay in (0, 0.001, 0.003, 0.01):
        task = asyncio.create_task(run_feed(FEED, archive))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert {run.outcome async for run in Run.objects.all()} <= {"interrupted", "complete"}


async def test_a_disk_that_refuses_fails_the_run_and_the_next_one_continues(
    origin, extract, archive, payloads
):
    url = origin.answer("/", response(b"{}"))

    async def pages(client):
        await client.get(url)
        client.advance("there")

    archive.url, good = "/dev/null/archive", archive.url
    failed = await extract(pages)
    archive.url = good
    run = await extract(pages)

    assert (failed.outcome, failed.payload_count) == ("failed", 0)
    assert "/dev/null/archive" in failed.error
    assert (run.outcome, run.payload_count) == ("complete", 1)
    assert (await Watermark.objects.aget()).run_id == run.id
    assert len(await sync_to_async(payloads)()) == 1


async def test_a_run_of_an_unknown_feed_names_the_known(archive, declared, transactional_db):
    @extractor(FEED)
    async def pages(client):
        pass

    with pytest.raises(UnknownFeed, match=r"orchard\.pages"):
        await run_feed("orchard.page", archive)


async def test_tasks_of_the_extractors_own_are_archived_and_their_first_error_told(origin, extract):
    good = origin.answer("/good", response(b"{}"))
    bad = origin.answer("/bad", response(b"", status="403 Forbidden"))

    async def pages(client):
        await client.get(good)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.get(bad))

    run = await extract(pages)

    assert run.error.startswith(f"GET {bad} answered 403 Forbidden")
    assert run.payload_count == 2


def make_run(**values):
    now = datetime.now(UTC)
    defaults = {"machine": socket.gethostname(), "pid": os.getpid(), "heartbeat_at": now}
    return Run.objects.create(feed=FEED, started_at=now, **(defaults | values))


def test_runs_of_dead_processes_are_marked_interrupted_and_no_others(transactional_db):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    runs = {
        "of a dead process": make_run(pid=dead.pid),
        "of an earlier process with our number": make_run(),
        "silent for long": make_run(
            machine="elsewhere", heartbeat_at=datetime.now(UTC) - timedelta(minutes=3)
        ),
        "of another machine": make_run(machine="elsewhere"),
        "of a living process": make_run(pid=os.getppid()),
        "complete": make_run(pid=dead.pid, outcome=Outcome.COMPLETE),
    }

    count = mark_interrupted()
    outcomes = {name: Run.objects.get(pk=run.pk).outcome for name, run in runs.items()}

    assert count == 3
    assert outcomes == {
        "of a dead process": "interrupted",
        "of an earlier process with our number": "interrupted",
        "silent for long": "interrupted",
        "of another machine": "running",
        "of a living process": "running",
        "complete": "complete",
    }


def test_an_error_is_described_by_its_kind_unless_its_message_is_ours():
    group = ExceptionGroup("several", [ExceptionGroup("inner", [KeyError("x")])])

    assert describe(group) == "The extractor raised KeyError: 'x'"
    assert describe(UnknownFeed("No such feed.")) == "No such feed."
