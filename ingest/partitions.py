"""The partitions of a backfill: rows that say what of the past was fetched and what was not.

A partition is *done* in the transaction that acknowledges its payloads, so a process that dies
leaves none that is done and not there, and none that is claimed for ever.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q

from .models import BackfillPartition, Outcome, PartitionState, Run
from .windows import Window

SIZES = ("hour", "day", "month")
MOST = 1_000_000
_BATCH = 2_000


def cut(since: datetime, until: datetime, size: str) -> Iterator[Window]:
    """The hours, days or months (of UTC) that cover a stretch; the first and last may be parts."""
    begin = since
    while begin < until:
        end = min(_following(begin, size), until)
        yield Window(since=begin, until=end)
        begin = end


def count(since: datetime, until: datetime, size: str) -> int:
    """About how many partitions `cut` gives, without making them."""
    hours = {"hour": 1.0, "day": 24.0, "month": 24 * 28.0}[size]
    return int((until - since) / timedelta(hours=hours)) + 1


def plan(feed: str, windows: Iterator[Window], *, again: bool = False) -> int:
    """Make sure there is a row for each window; return how many wait for being fetched.

    Those that are done stay done, unless they are to be fetched `again`.
    """
    batch: list[BackfillPartition] = []
    waiting = 0
    for window in windows:
        batch.append(BackfillPartition(feed=feed, since=window.since, until=window.until))
        if len(batch) == _BATCH:
            waiting += _planned(feed, batch, again)
            batch = []
    return waiting + (_planned(feed, batch, again) if batch else 0)


def _planned(feed: str, batch: list[BackfillPartition], again: bool) -> int:
    BackfillPartition.objects.bulk_create(batch, ignore_conflicts=True)
    here = BackfillPartition.objects.filter(
        feed=feed, since__gte=batch[0].since, until__lte=batch[-1].until
    )
    if again:
        here.filter(state__in=[PartitionState.DONE, PartitionState.FAILED]).update(
            state=PartitionState.WAITING, attempts=0, error=""
        )
    return here.exclude(state=PartitionState.DONE).count()


def release_dead(feed: str) -> int:
    """Let go of partitions whose run is over, and give those that failed another try."""
    running = Run.objects.filter(feed=feed, outcome=Outcome.RUNNING).values("pk")
    rows = BackfillPartition.objects.filter(feed=feed)
    held = rows.filter(state=PartitionState.CLAIMED).exclude(run_id__in=running)
    return held.update(state=PartitionState.WAITING) + rows.filter(
        state=PartitionState.FAILED
    ).update(state=PartitionState.WAITING)


def release(run_id: UUID) -> None:
    """Let go of what a run claimed and did not come to the end of."""
    BackfillPartition.objects.filter(run_id=run_id, state=PartitionState.CLAIMED).update(
        state=PartitionState.WAITING
    )


def claim(feed: str, run_id: UUID, *, newest_first: bool = False) -> BackfillPartition | None:
    """Take the next partition that waits; no other process takes it then. None: there is none."""
    waiting = BackfillPartition.objects.filter(feed=feed, state=PartitionState.WAITING)
    order = "-since" if newest_first else "since"
    while (found := waiting.order_by(order).first()) is not None:
        # Compare and set: whoever changes the row first has it.
        if waiting.filter(pk=found.pk).update(
            state=PartitionState.CLAIMED, run_id=run_id, attempts=F("attempts") + 1
        ):
            return found
    return None


def done(pk: int, run_id: UUID, response_count: int) -> None:
    """Record that all of a partition is archived; for the transaction that makes it so."""
    BackfillPartition.objects.filter(pk=pk, run_id=run_id).update(
        state=PartitionState.DONE,
        response_count=response_count,
        error="",
        ended_at=datetime.now(UTC),
    )


def failed(pk: int, run_id: UUID, error: str) -> None:
    """Record why a partition could not be fetched."""
    BackfillPartition.objects.filter(pk=pk, run_id=run_id).update(
        state=PartitionState.FAILED, error=error, ended_at=datetime.now(UTC)
    )


def left(feed: str) -> int:
    """How many partitions of a feed are not done."""
    return BackfillPartition.objects.filter(feed=feed).exclude(state=PartitionState.DONE).count()


def summary(feed: str | None = None) -> list[dict[str, Any]]:
    """Per feed: the stretch, and how many partitions are done, claimed, waiting and failed."""
    rows = BackfillPartition.objects.filter(**({"feed": feed} if feed else {}))
    found: Any = (
        rows.values("feed")
        .annotate(
            since=Min("since"),
            until=Max("until"),
            **{state.value: Count("pk", filter=Q(state=state)) for state in PartitionState},
        )
        .order_by("feed")
    )
    return list(found)


def _following(moment: datetime, size: str) -> datetime:
    """The first beginning of an hour, day or month after a moment."""
    if size == "month":
        first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first + timedelta(days=32)).replace(day=1)
    if size == "day":
        return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
