"""Windows: what a run asks for after a watermark, with lag, overlap and steps."""

from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.models import Watermark
from ingest.windows import length, moment, windows_after

from .origin import response

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def shown(windows):
    return [(f"{each.since:%d %H:%M}", f"{each.until:%d %H:%M}") for each in windows]


def test_the_first_window_begins_at_the_start_and_ends_a_lag_before_now():
    found = windows_after(None, START + 5 * HOUR, start=START, lag=HOUR)

    assert shown(found) == [("01 00:00", "01 04:00")]


def test_a_window_reaches_back_over_the_watermark_but_not_before_the_start():
    mark = START + 2 * HOUR

    overlapping = windows_after(mark, START + 5 * HOUR, start=START, overlap=HOUR)
    bounded = windows_after(mark, START + 5 * HOUR, start=START, overlap=9 * HOUR)

    assert shown(overlapping) == [("01 01:00", "01 05:00")]
    assert shown(bounded) == [("01 00:00", "01 05:00")]


def test_steps_are_cut_at_their_multiples_and_only_the_first_overlaps():
    mark = START + timedelta(hours=20)
    now = START + timedelta(hours=50)

    found = list(windows_after(mark, now, start=START, step=24 * HOUR, overlap=HOUR))
    whole = windows_after(mark, now, start=START, step=24 * HOUR, whole=True)

    assert shown(found) == [
        ("01 19:00", "02 00:00"),
        ("02 00:00", "03 00:00"),
        ("03 00:00", "03 02:00"),
    ]
    assert shown(whole) == [("01 20:00", "02 00:00"), ("02 00:00", "03 00:00")]


def test_nothing_is_asked_for_before_the_lag_has_passed():
    assert list(windows_after(START, START + HOUR, start=START, lag=2 * HOUR)) == []


@settings(deadline=None, max_examples=60)
@given(
    marks=st.lists(st.integers(1, 5000), min_size=1, max_size=6),
    step=st.one_of(st.none(), st.integers(30, 1500)),
    lag=st.integers(0, 300),
    overlap=st.integers(0, 300),
)
def test_however_runs_fall_every_moment_up_to_the_lag_is_asked_for(marks, step, lag, overlap):
    minute = timedelta(minutes=1)
    mark, covered, now = None, START, START
    for passed in marks:
        now += passed * minute
        for window in windows_after(
            mark,
            now,
            start=START,
            step=step * minute if step else None,
            lag=lag * minute,
            overlap=overlap * minute,
        ):
            assert window.since <= covered < window.until
            mark = covered = window.until

    assert covered == max(START, now - lag * minute)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", START),
        ("2026-01-01T00:00:00", START),
        ("2026-01-01T02:00:00+02:00", START),
        (START.date(), START),
    ],
    ids=["date", "time", "with a zone", "a date object"],
)
def test_a_moment_is_utc(text, expected):
    assert moment(text, "start") == expected


def test_what_is_no_moment_and_no_duration_is_refused():
    with pytest.raises(Exception, match="start='yesterday' is no date or time"):
        moment("yesterday", "start")
    with pytest.raises(Exception, match="lag='5 minutes' is no duration"):
        length("5 minutes", "lag")


async def test_a_feeds_watermarks_follow_its_windows_partition_by_partition(origin, extract):
    url = origin.answer("/", response(b"{}"))
    seen = []

    async def pages(client):
        for shop in ("north", "south"):
            async for window in client.windows(
                start="2026-01-01", step="1d", overlap="1h", lag="10m", partition=shop
            ):
                seen.append((shop, window.since, window.until))
                await client.get(url, params={"shop": shop, "since": window.since.isoformat()})
                if len(seen) in (2, 5):
                    break

    first = await extract(pages)
    marks = {each.partition: each.value async for each in Watermark.objects.all()}
    await extract(pages)

    assert first.outcome == "complete", first.error
    # The window that was broken off is not behind the mark.
    assert marks == {"north": "2026-01-02T00:00:00+00:00", "south": "2026-01-03T00:00:00+00:00"}
    assert seen[5][1:] == (START + 23 * HOUR, START + 48 * HOUR)


async def test_a_failed_window_leaves_the_mark_before_it(origin, extract):
    url = origin.answer("/", response(b"{}"), response(b"", status="400 Bad Request"))

    async def pages(client):
        async for window in client.windows(start="2026-01-01", step="1d"):
            await client.get(url, params={"since": window.since.isoformat()})

    run = await extract(pages)
    mark = await sync_to_async(Watermark.objects.get)()

    assert run.outcome == "failed"
    assert mark.value == "2026-01-02T00:00:00+00:00"


async def test_a_watermark_that_is_no_time_is_named(extract):
    async def pages(client):
        client.advance({"page": 3})
        async for _ in client.windows(start="2026-01-01"):
            pass

    run = await extract(pages)

    assert "which is no time; client.windows() keeps times" in run.error
