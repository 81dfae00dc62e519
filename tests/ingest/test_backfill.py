"""Backfills: partitions of the past, each fetched whole or left, beside live runs."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.core.management.base import CommandError

from ingest import extractor, partitions
from ingest.backfill import run_backfill
from ingest.errors import BackfillInvalid
from ingest.models import BackfillPartition, FeedStatus, PartitionState, Run, Watermark

from .conftest import FEED, QUICK, until
from .origin import response, then_silence


def utc(year, month, day, hour=0, minute=0):
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def windowed(origin, declared, transactional_db):
    """A feed that asks `/day?since=…` for each window."""
    url = origin.answer("/day", response(b"{}"))

    def declare(**options):
        @extractor(FEED, **options)
        async def pages(client):
            async for window in client.windows(start="2026-11-28", step="1d"):
                await client.get(url, params={"since": f"{window.since:%Y-%m-%dT%H}"})

    declare()
    return declare


@pytest.fixture
def plan(transactional_db):
    def make(begin=utc(2026, 1, 1), end=utc(2026, 1, 5), size="day", **options):  # noqa: B008
        return partitions.plan(FEED, partitions.cut(begin, end, size), **options)

    return sync_to_async(make)


def states():
    rows = BackfillPartition.objects.order_by("since")
    return [(row.since.day, row.state) for row in rows]


@pytest.mark.parametrize(
    ("size", "begin", "end", "expected"),
    [
        ("hour", utc(2026, 1, 1, 0, 30), utc(2026, 1, 1, 3), ["00:30", "01:00", "02:00"]),
        ("day", utc(2026, 2, 27, 12), utc(2026, 3, 2), ["12:00", "00:00", "00:00"]),
        ("month", utc(2025, 12, 5), utc(2026, 3, 1), ["00:00", "00:00", "00:00"]),
    ],
    ids=["hours", "days", "months"],
)
def test_a_stretch_is_cut_without_gaps(size, begin, end, expected):
    found = list(partitions.cut(begin, end, size))

    assert [f"{each.since:%H:%M}" for each in found] == expected
    assert (found[0].since, found[-1].until) == (begin, end)
    assert all(one.until == two.since for one, two in itertools.pairwise(found))


async def test_every_partition_is_fetched_once_and_the_live_feed_is_as_it_was(
    origin, archive, windowed, plan, payloads
):
    await plan()
    await Watermark.objects.acreate(
        feed=FEED,
        partition="",
        value="2026-11-28T00:00:00+00:00",
        run_id="00000000-0000-0000-0000-000000000000",
        advanced_at=utc(2026, 11, 28),
    )

    run = await run_backfill(FEED, archive, patience=QUICK)
    again = await run_backfill(FEED, archive, patience=QUICK)
    mark = await Watermark.objects.aget()
    archived = await sync_to_async(payloads)()

    assert (run.outcome, run.is_backfill, run.payload_count) == ("complete", True, 4)
    assert again.payload_count == 0
    assert mark.value == "2026-11-28T00:00:00+00:00"
    assert not await FeedStatus.objects.aexists()
    assert sorted(payload.url.rpartition("=")[2] for payload in archived) == [
        f"2026-01-0{day}T00" for day in (1, 2, 3, 4)
    ]
    assert {state for _, state in await sync_to_async(states)()} == {PartitionState.DONE}


async def test_a_partition_that_fails_keeps_its_reason_and_is_tried_by_the_next_backfill(
    origin, archive, windowed, plan
):
    await plan()
    origin.answer("/day?since=2026-01-02T00", response(b"", status="403 Forbidden"), response(b"1"))

    run = await run_backfill(FEED, archive, patience=QUICK, concurrency=1)
    after_first = await sync_to_async(states)()
    failed = await BackfillPartition.objects.aget(state=PartitionState.FAILED)
    second = await run_backfill(FEED, archive, patience=QUICK)

    assert run.outcome == "failed"
    assert run.error.startswith("1 of 4 partitions failed, first 2026-01-02 00:00: GET ")
    assert [day for day, state in after_first if state == "done"] == [1, 3, 4]
    assert "answered 403 Forbidden" in failed.error
    assert (second.outcome, second.payload_count) == ("complete", 1)


async def test_a_backfill_that_only_fails_gives_up(origin, archive, windowed, plan):
    await plan(end=utc(2026, 2, 1))
    origin.answer("/day", response(b"", status="403 Forbidden"))

    run = await run_backfill(FEED, archive, patience=QUICK, concurrency=1)

    assert run.outcome == "failed"
    assert len(origin.asked) == 5


async def test_a_cancelled_backfill_holds_nothing_and_the_next_one_goes_on(
    origin, archive, windowed, plan
):
    await plan()
    origin.answer("/day?since=2026-01-03T00", then_silence(), response(b"3"))

    task = asyncio.create_task(run_backfill(FEED, archive, patience=QUICK, concurrency=1))
    await until(lambda: len(origin.asked) == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    left = await sync_to_async(states)()
    run = await run_backfill(FEED, archive, patience=QUICK)

    assert [state for _, state in left] == ["done", "done", "waiting", "waiting"]
    assert (run.outcome, run.payload_count) == ("complete", 2)


async def test_two_backfills_of_one_feed_share_its_partitions(origin, archive, windowed, plan):
    await plan(end=utc(2026, 1, 13))

    runs = await asyncio.gather(
        *(run_backfill(FEED, archive, patience=QUICK, concurrency=3) for _ in range(2))
    )

    assert [run.outcome for run in runs] == ["complete", "complete"]
    assert sum(run.payload_count for run in runs) == 12 == len(origin.asked)


async def test_what_a_dead_process_claimed_is_let_go(origin, archive, windowed, plan):
    await plan()
    await BackfillPartition.objects.filter(since=utc(2026, 1, 2)).aupdate(
        state=PartitionState.CLAIMED, run_id="00000000-0000-0000-0000-000000000000"
    )

    run = await run_backfill(FEED, archive, patience=QUICK)

    assert run.payload_count == 4


async def test_an_extractor_without_windows_is_told_to_ask_for_them(
    origin, archive, declared, plan
):
    url = origin.answer("/", response(b"{}"))

    @extractor(FEED)
    async def pages(client):
        await client.get(url)

    await plan()
    run = await run_backfill(FEED, archive, patience=QUICK, concurrency=1)

    assert "does not ask for client.windows(…)" in run.error
    assert len(origin.asked) == 1


def test_a_listing_that_is_current_as_a_whole_has_no_backfill(windowed, archive):
    windowed_run = {"current": "run"}
    from ingest import registry

    registry._extractors.pop(FEED)
    windowed(**windowed_run)

    with pytest.raises(BackfillInvalid, match='current="run"'):
        asyncio.run(run_backfill(FEED, archive))


def test_done_partitions_stay_done_when_more_is_planned_unless_again(transactional_db):
    partitions.plan(FEED, partitions.cut(utc(2026, 1, 1), utc(2026, 1, 3), "day"))
    BackfillPartition.objects.update(state=PartitionState.DONE)

    more = partitions.plan(FEED, partitions.cut(utc(2026, 1, 1), utc(2026, 1, 5), "day"))
    again = partitions.plan(
        FEED, partitions.cut(utc(2026, 1, 1), utc(2026, 1, 2), "day"), again=True
    )

    assert (more, again) == (2, 1)
    assert [state for _, state in states()] == ["waiting", "done", "waiting", "waiting"]


def test_the_command_says_what_is_left(windowed, home, capsys):
    with pytest.raises(CommandError, match=r"No backfill of orchard\.pages was begun"):
        call_command("backfill", FEED)
    with pytest.raises(CommandError, match="not over yet"):
        call_command("backfill", FEED, since="2026-01-01", until="2999-01-01")
    with pytest.raises(CommandError, match="is not before"):
        call_command("backfill", FEED, since="2026-01-01", until="2026-01-01")
    with pytest.raises(CommandError, match="partitions, more than"):
        call_command("backfill", FEED, since="1800-01-01", partition="hour")
    partitions.plan(FEED, partitions.cut(utc(2026, 1, 1), utc(2026, 1, 4), "day"))
    BackfillPartition.objects.filter(since=utc(2026, 1, 2)).update(
        state=PartitionState.FAILED, attempts=2, error="GET … answered 403"
    )

    call_command("backfill", status=True)

    said = capsys.readouterr().out
    assert "orchard.pages: 2026-01-01 00:00 to 2026-01-04 00:00, 2 waiting, 0 claimed" in said
    assert "0 done, 1 failed" in said
    assert "2026-01-02 00:00 failed after 2 tries: GET … answered 403" in said
    assert not Run.objects.exists()
