"""The outbox: notices wait in the database until they are delivered, once or, after a crash, again.

A run's end puts its notices there in its own transaction (`note`). One of a finished run waits a
little for the replay that follows, to say what changed (`add_rows`). `deliver_due` tells the
channels; what fails is tried again, ever more rarely, for a day.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from django.db.models import F, Q

from ..errors import NoticeFailed
from ..models import Event, Notice, Outcome, Run
from .channels import Channel, all_channels

logger = logging.getLogger(__name__)

FOR_THE_REPLAY = timedelta(minutes=2)
REMIND_EVERY = timedelta(hours=6)
"""A feed that goes on failing is told of again after so long."""
GIVE_UP_AFTER = timedelta(days=1)
KEEP_FOR = timedelta(days=30)

_CLAIM = timedelta(minutes=2)
_PAUSES = (30, 120, 600, 3600)
_AT_ONCE = 50


def note(run: Run, outcome: str, failures_before: int, now: datetime) -> None:
    """Put the notices of a run's end into the outbox; within the transaction that records it.

    `failures_before` are those in a row before this run. An interrupted run tells nobody.
    """
    source = run.feed.partition(".")[0]
    if outcome == Outcome.FAILED:
        events, count = {Event.FAILED}, failures_before + 1
    elif outcome == Outcome.COMPLETE:
        events, count = {Event.FINISHED}, failures_before
        if failures_before:
            events.add(Event.RECOVERED)
    else:
        return
    Notice.objects.bulk_create(
        Notice(
            channel=channel.name,
            event=event,
            feed=run.feed,
            run_id=run.pk,
            failure_count=count,
            created_at=now,
            not_before=now if event == Event.FAILED else now + FOR_THE_REPLAY,
        )
        for channel in all_channels()
        if (event := _told(channel, events, source))
        and not (event == Event.FAILED and failures_before and _was_told(channel, run.feed, now))
    )


def add_rows(source: str, rows: Mapping[str, int]) -> None:
    """Say in the notices that wait for a source's replay what it changed, and let them go."""
    waiting = Notice.objects.filter(
        feed__startswith=f"{source}.",
        rows__isnull=True,
        delivered_at=None,
        given_up_at=None,
        attempts=0,
    ).exclude(event=Event.FAILED)
    waiting.update(rows=dict(rows), not_before=datetime.now(UTC))


def test_notices(now: datetime) -> list[Notice]:
    """Put a test into the outbox for each channel."""
    return [
        Notice.objects.create(
            channel=channel.name, event=Event.TEST, feed="", created_at=now, not_before=now
        )
        for channel in all_channels()
    ]


def deliver_due(*, also_waiting: bool = False) -> int:
    """Deliver what is due and return how many were; `also_waiting` includes those that wait for a
    replay. Another process that does the same takes other ones."""
    channels = {channel.name: channel for channel in all_channels()}
    now = datetime.now(UTC)
    Notice.objects.filter(created_at__lt=now - KEEP_FOR).exclude(
        delivered_at=None, given_up_at=None
    ).delete()
    open_ones = Notice.objects.filter(delivered_at=None, given_up_at=None)
    due = Q(not_before__lte=now) | (Q(attempts=0) if also_waiting else Q())
    count = 0
    for notice in open_ones.filter(due).order_by("created_at")[:_AT_ONCE]:
        if _claim(notice):
            count += _deliver(notice, channels.get(notice.channel))
    return count


def send_again(notices: Iterable[Notice]) -> None:
    """Try notices again that were given up."""
    for notice in notices:
        Notice.objects.filter(pk=notice.pk).update(
            given_up_at=None, attempts=0, created_at=datetime.now(UTC), not_before=datetime.now(UTC)
        )


def _told(channel: Channel, events: set[Event], source: str) -> Event | None:
    """The one event a channel is told of: that a feed recovered says too that it finished."""
    wanted = [
        event
        for event in (Event.FAILED, Event.RECOVERED, Event.FINISHED)
        if event in events and channel.wants(event, source)
    ]
    return wanted[0] if wanted else None


def _was_told(channel: Channel, feed: str, now: datetime) -> bool:
    """Whether a channel heard lately that a feed fails."""
    last = (
        Notice.objects.filter(channel=channel.name, feed=feed)
        .exclude(event=Event.TEST)
        .order_by("-created_at")
        .first()
    )
    return bool(last and last.event == Event.FAILED and last.created_at > now - REMIND_EVERY)


def _claim(notice: Notice) -> bool:
    """Take a notice so that nobody else delivers it meanwhile; a dead process's claim ends."""
    now = datetime.now(UTC)
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lt=now)
    open_one = Notice.objects.filter(unclaimed, pk=notice.pk, delivered_at=None, given_up_at=None)
    return bool(open_one.update(claimed_until=now + _CLAIM, attempts=F("attempts") + 1))


def _deliver(notice: Notice, channel: Channel | None) -> bool:
    now = datetime.now(UTC)
    mine = Notice.objects.filter(pk=notice.pk)
    if channel is None:
        mine.update(given_up_at=now, error="NOTICES names this channel no longer")
        return False
    try:
        channel.deliver(notice)
    except NoticeFailed as error:
        logger.warning(
            "notice not delivered channel=%s feed=%s: %s", channel.name, notice.feed, error
        )
        pause = error.retry_after or _PAUSES[min(notice.attempts, len(_PAUSES) - 1)]
        is_over = now - notice.created_at > GIVE_UP_AFTER or notice.event == Event.TEST
        mine.update(
            error=str(error),
            claimed_until=None,
            not_before=now + timedelta(seconds=pause),
            given_up_at=now if is_over else None,
        )
        return False
    mine.update(delivered_at=datetime.now(UTC), claimed_until=None, error="")
    return True
