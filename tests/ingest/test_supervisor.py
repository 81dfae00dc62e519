"""The supervisor: runs what is due, restarts what crashes, leads alone, stops cleanly."""

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import dj_database_url
import pytest
from django.db.utils import ConnectionHandler

from ingest import extractor, registry
from ingest.leader import AdvisoryLock, FileLock
from ingest.models import FeedStatus, Run
from ingest.pace import Patience
from ingest.shards import Shard
from ingest.supervisor import Supervisor
from tests.topology.peers import postgres

from .conftest import FEED, QUICK, until
from .origin import response, then_silence

SOON = Patience(base=0.05, longest=0.1)


@pytest.fixture
def supervising(archive, declared, transactional_db):
    """Run a supervisor around a block; the feeds of other sources are put aside."""
    registry._extractors.clear()

    @asynccontextmanager
    async def run(after_run=None, **options):
        supervisor = Supervisor(
            archive, after_run, patience=QUICK, retry=SOON, lead_seconds=0.1, **options
        )
        await supervisor.start()
        try:
            yield supervisor
        finally:
            await supervisor.stop()

    return run


async def test_a_scheduled_feed_runs_again_and_again_and_its_source_is_handed_over(
    origin, supervising
):
    url = origin.answer("/", response(b"{}"))
    handed_over = []

    @extractor(FEED, every="0.1s")
    async def pages(client):
        await client.get(url)

    @extractor("orchard.by_hand")
    async def by_hand(client):
        await client.get(origin.url("/by-hand"))

    def after_run(source):
        handed_over.append((source, threading.current_thread() is threading.main_thread()))

    async with supervising(after_run):
        await until(lambda: len(handed_over) >= 3)
    status = await FeedStatus.objects.aget(feed=FEED)

    assert set(handed_over) == {("orchard", False)}
    assert {asked.target for asked in origin.asked} == {"/"}
    assert status.next_run_at
    assert status.next_run_at > datetime.now(UTC) - timedelta(seconds=1)
    assert len([run async for run in Run.objects.exclude(outcome="complete")]) <= 1


async def test_a_run_that_archives_nothing_is_not_handed_over(supervising):
    runs: list[object] = []
    handed_over: list[str] = []

    @extractor(FEED, every="0.05s")
    async def pages(client):
        runs.append(client)

    async with supervising(handed_over.append):
        await until(lambda: len(runs) >= 3)

    assert handed_over == []


async def test_the_planned_time_survives_a_restart(origin, supervising):
    url = origin.answer("/", response(b"{}"))
    planned = datetime.now(UTC) + timedelta(minutes=40)
    await FeedStatus.objects.acreate(feed=FEED, next_run_at=planned)

    @extractor(FEED, every="1h")
    async def pages(client):
        await client.get(url)

    async with supervising() as supervisor:
        await until(lambda: supervisor.is_leading)
        await asyncio.sleep(0.3)

    assert origin.asked == []
    assert (await FeedStatus.objects.aget(feed=FEED)).next_run_at == planned


async def test_a_failing_feed_is_tried_again_and_its_neighbour_goes_on(origin, supervising):
    good = origin.answer("/good", response(b"{}"))
    seen = []

    @extractor(FEED, every="0.1s")
    async def broken(client):
        seen.append("broken")
        raise RuntimeError("no such luck")

    @extractor("orchard.good", every="0.1s")
    async def working(client):
        await client.get(good)
        seen.append("good")

    async with supervising():
        await until(lambda: seen.count("broken") >= 3 and seen.count("good") >= 3)
    status = await FeedStatus.objects.aget(feed=FEED)

    assert status.consecutive_failures >= 2
    assert status.last_error == "The extractor raised RuntimeError: no such luck"


async def test_a_task_that_crashes_is_restarted(origin, supervising, caplog):
    url = origin.answer("/", response(b"{}"))

    @extractor(FEED, every="0.1s")
    async def pages(client):
        await client.get(url)

    async with supervising():
        await until(lambda: origin.asked)
        known = registry._extractors.pop(FEED)
        await until(lambda: "task crashed feed=orchard.pages" in caplog.text)
        registry._extractors[FEED] = known
        before = len(origin.asked)

        await until(lambda: len(origin.asked) > before + 1)

    assert "UnknownFeed" in caplog.text


async def test_a_replay_that_fails_is_logged_and_tried_again(origin, supervising, caplog):
    url = origin.answer("/", response(b"{}"))
    calls = []

    @extractor(FEED, every="0.1s")
    async def pages(client):
        await client.get(url)

    def after_run(source):
        calls.append(source)
        raise RuntimeError("the disk is full")

    async with supervising(after_run):
        await until(lambda: len(calls) >= 2)

    assert "replay failed source=orchard" in caplog.text
    assert "the disk is full" in caplog.text


async def test_what_an_earlier_process_left_is_handed_over_at_the_start(supervising):
    handed_over: list[str] = []

    @extractor(FEED, every="1h")
    async def pages(client):
        pass

    run = await Run.objects.acreate(
        feed=FEED,
        started_at=datetime.now(UTC),
        heartbeat_at=datetime.now(UTC) - timedelta(hours=1),
        machine="gone",
        pid=1,
    )
    await FeedStatus.objects.acreate(
        feed=FEED, last_run=run, next_run_at=datetime.now(UTC) + timedelta(minutes=30)
    )

    async with supervising(handed_over.append):
        await until(lambda: handed_over)
    await run.arefresh_from_db()

    assert handed_over == ["orchard"]
    assert run.outcome == "interrupted"


async def test_stopping_seals_what_a_running_extractor_had(origin, supervising, archive):
    url = origin.answer("/", then_silence(response(b"half", length=100)))

    @extractor(FEED, every="0.1s")
    async def pages(client):
        await client.get(url)

    async with supervising():
        await until(lambda: origin.asked)
        await asyncio.sleep(0.2)
    run = await Run.objects.aget()

    assert (run.outcome, run.payload_count) == ("interrupted", 1)


async def test_only_the_sources_of_its_shard_are_run(origin, supervising):
    urls = {}
    for source in ("quakes", "weather", "farm", "fx"):
        urls[source] = origin.answer(f"/{source}", response(b"{}"))

        @extractor(f"{source}.pages", every="0.1s")
        async def pages(client, source=source):
            await client.get(urls[source])

    async with supervising(shard=Shard(1, 2)):
        await until(lambda: len(origin.asked) >= 6)

    assert {asked.target for asked in origin.asked} == {"/quakes", "/weather"}


async def test_two_supervisors_have_one_leader_and_the_other_takes_over(supervising):
    async with supervising() as first:
        await until(lambda: first.is_leading)
        async with supervising() as second:
            await asyncio.sleep(0.3)
            led_by = (first.is_leading, second.is_leading)
            await first.stop()

            await until(lambda: second.is_leading)

    assert led_by == (True, False)


async def test_a_run_under_way_ends_before_a_supervisor_that_is_stopped(origin, supervising):
    url = origin.answer("/", response(b"{}"))
    begun = asyncio.Event()

    @extractor(FEED, every="0.1s")
    async def pages(client):
        begun.set()
        await asyncio.sleep(0.5)
        await client.get(url)

    async with supervising(drain_seconds=10.0):
        await asyncio.wait_for(begun.wait(), 10)

    assert [run.outcome async for run in Run.objects.all()] == ["complete"]


async def test_a_run_that_does_not_end_in_time_is_interrupted(origin, supervising):
    url = origin.answer("/", then_silence(b""))

    @extractor(FEED, every="0.1s")
    async def pages(client):
        await client.get(url)

    async with supervising(drain_seconds=0.2):
        await until(lambda: origin.asked)

    assert [run.outcome async for run in Run.objects.all()] == ["interrupted"]


async def test_a_paused_feed_does_not_run(origin, supervising):
    url = origin.answer("/", response(b"{}"))
    await FeedStatus.objects.acreate(feed=FEED, paused_at=datetime.now(UTC))

    @extractor(FEED, every="0.1s")
    async def pages(client):
        await client.get(url)

    async with supervising() as supervisor:
        await until(lambda: supervisor.is_leading)
        await asyncio.sleep(0.3)

    assert origin.asked == []


def test_a_file_lock_has_one_holder(home):
    first, second = FileLock("scheduler"), FileLock("scheduler")

    assert first.acquire()
    assert not second.acquire()
    assert FileLock("scheduler-1-of-2").acquire()

    first.release()

    assert second.acquire()
    assert (first.is_held(), second.is_held()) == (False, True)


def test_an_advisory_lock_has_one_holder_and_dies_with_its_connection(transactional_db):
    with postgres() as url:
        database = ConnectionHandler({"default": dj_database_url.parse(url)})["default"]
        first, second = AdvisoryLock("scheduler", database), AdvisoryLock("scheduler", database)

        assert first.acquire()
        assert not second.acquire()
        assert first.is_held()

        with database.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )

        assert not first.is_held()
        assert second.acquire()
        second.release()
        assert first.acquire()
        first.release()
        database.close()
