"""The async writer: sealing by its limits, watermarks, complete runs, failure."""

import asyncio

import pytest

from raw_store.archive import Archive
from raw_store.errors import SealFailed
from raw_store.models import Segment
from raw_store.open_segment import SealLimits

from .conftest import FEED, make_payload, run_id

pytestmark = pytest.mark.django_db(transaction=True)


async def test_many_tasks_append_and_leaving_seals(archive):
    async with archive.writer(FEED, run_id("one")) as writer:
        await asyncio.gather(
            *(writer.append(make_payload(b"%d" % n, minute=n, run="one")) for n in range(50))
        )
        assert (writer.count, writer.pending) == (0, 50)

    assert (writer.count, writer.pending) == (50, 0)
    assert {row.body for row in await scanned(archive)} == {b"%d" % n for n in range(50)}


async def test_rows_bytes_and_age_each_seal(archive):
    limits = SealLimits(rows=3, bytes=100, age_seconds=0.05)
    async with archive.writer(FEED, run_id("one"), limits=limits) as writer:
        for n in range(3):
            await writer.append(make_payload(b"%d" % n, minute=n))
        await acknowledged(writer, 3)
        await writer.append(make_payload(b"x" * 100, minute=4))
        await acknowledged(writer, 4)
        await writer.append(make_payload(b"y", minute=5))
        await acknowledged(writer, 5)

    segments = [segment.row_count async for segment in Segment.objects.order_by("name")]
    assert segments == [3, 1, 1]


async def acknowledged(writer, count):
    for _ in range(1_000):
        if writer.count == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{writer.count} payloads were acknowledged, not {count}")


async def test_a_complete_run_without_pending_rows_gets_a_segment_that_says_so(archive):
    async with archive.writer(FEED, run_id("one"), limits=SealLimits(rows=1)) as writer:
        await writer.append(make_payload(b"a", run="one"))
        await writer.seal(complete=True)

    segments = [segment async for segment in Segment.objects.order_by("name")]
    assert [(found.row_count, found.complete_runs) for found in segments] == [
        (1, []),
        (0, [str(run_id("one"))]),
    ]


async def test_work_of_the_transaction_that_fails_acknowledges_nothing(archive):
    def refuse() -> None:
        raise RuntimeError("no")

    writer = archive.writer(FEED, run_id("one"))
    await writer.append(make_payload(b"a"))

    with pytest.raises(RuntimeError, match="no"):
        await writer.seal(in_transaction=refuse)

    assert writer.count == 0
    assert await scanned(archive) == []
    with pytest.raises(SealFailed, match="An earlier seal"):
        await writer.append(make_payload(b"b", minute=1))


async def test_a_watermark_never_commits_ahead_of_its_rows(archive):
    seen: list[tuple[int, int]] = []
    watermark = 0

    def on_seal():
        fixed = watermark
        return lambda: seen.append((fixed, Segment.objects.count()))

    async with archive.writer(FEED, run_id("one"), limits=SealLimits(rows=2)) as writer:
        writer.on_seal = on_seal

        async def fetch(n: int) -> None:
            nonlocal watermark
            await writer.append(make_payload(b"%d" % n, minute=n))
            watermark = max(watermark, n)

        await asyncio.gather(*(fetch(n) for n in range(1, 8)))

    for fixed, segments in seen:
        assert fixed <= 2 * segments


async def test_a_seal_by_age_that_fails_fails_the_next_call(tmp_path, db):
    (tmp_path / "archive").write_text("a file where the folder should be")
    limits = SealLimits(age_seconds=0.02)
    writer = Archive(str(tmp_path / "archive")).writer(FEED, run_id("one"), limits=limits)

    await writer.append(make_payload(b"a"))
    await asyncio.sleep(0.3)

    with pytest.raises(SealFailed, match="An earlier seal"):
        await writer.append(make_payload(b"b", minute=1))
    with pytest.raises(SealFailed, match="An earlier seal"):
        async with writer:
            pass


async def test_a_cancelled_run_still_acknowledges_the_seal_under_way(archive):
    async with archive.writer(FEED, run_id("one")) as writer:
        await writer.append(make_payload(b"a"))
        sealing = asyncio.create_task(writer.seal())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sealing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sealing

        assert writer.count == 1


async def scanned(archive):
    return await asyncio.to_thread(lambda: list(archive.scan()))


def test_segments_are_acknowledged_in_order_while_the_next_rows_are_appended(archive):
    payloads = [make_payload(b"%d" % (n // 3), minute=n, run="one") for n in range(40)]

    count = archive.append_all(FEED, payloads, limits=SealLimits(rows=7))

    assert count == 40
    assert [row.fetch_id for row in archive.scan()] == [row.fetch_id for row in payloads]
    assert all(report.is_whole for report in archive.verify())


@pytest.mark.django_db(transaction=True)
def test_after_a_seal_that_failed_nothing_more_is_archived(archive, monkeypatch):
    writer = archive.sync_writer(FEED, limits=SealLimits(rows=2))
    (full,) = [make_payload(b"0", minute=0)]
    writer.append(full)
    writer.seal()
    before = archive.segments()

    def refuse(path, *args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("raw_store.durability.os.rename", refuse)
        patch.setattr("raw_store.durability.os.link", refuse)
        with pytest.raises(SealFailed):
            list(writer.append_all(make_payload(b"%d" % n, minute=n) for n in range(1, 6)))

    with pytest.raises(SealFailed, match="earlier seal failed"):
        writer.seal()
    assert archive.segments() == before
