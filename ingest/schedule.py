"""When each feed runs next. The answer is kept in `FeedStatus`, so a restart changes nothing."""

import hashlib
from datetime import UTC, datetime, timedelta

from django.db import transaction

from .models import FeedStatus, Outcome, Run
from .pace import Patience
from .registry import Extractor
from .shards import ALL, Shard

# Feeds that are due together start within so many seconds of each other, not all at once.
_SPREAD = timedelta(seconds=30)
_SHORTEST_CAP = timedelta(minutes=5)
_LONGEST_CAP = timedelta(hours=1)

RETRY = Patience(base=15.0, longest=_LONGEST_CAP.total_seconds())


def due_at(extractor: Extractor, status: FeedStatus | None, shard: Shard = ALL) -> datetime | None:
    """When a feed runs next, in this shard; None where nobody has planned that yet."""
    if status is None or not _is_apart(extractor, shard):
        return status.next_run_at if status else None
    told = status.next_run_of_shard.get(str(shard))
    return datetime.fromisoformat(told) if told else None


def plan(extractor: Extractor, now: datetime | None = None, *, shard: Shard = ALL) -> datetime:
    """Decide when a scheduled feed runs next, as its process starts, and record it.

    What becomes of a run that was missed is for the feed's `catch_up` to say. A schedule that was
    shortened counts at once.
    """
    now = now or datetime.now(UTC)
    status, _ = FeedStatus.objects.get_or_create(feed=extractor.name)
    due = due_at(extractor, status, shard)
    is_missed = due is not None and due <= now
    is_new = due is None and extractor.interval is not None
    if is_missed and extractor.catch_up == "all":
        # As due as it is: the missed ones follow, one after another.
        pass
    elif is_new or (is_missed and extractor.catch_up == "once"):
        due = now + jitter(extractor)
    elif is_missed and due is not None:
        due = _regular(extractor, due, now)
    else:
        regular = _regular(extractor, now, now)
        due = regular if due is None else min(due, regular)
    assert due is not None
    return _record(extractor, due, shard)


def plan_after(
    extractor: Extractor, run: Run, due: datetime, *, retry: Patience = RETRY, shard: Shard = ALL
) -> datetime:
    """Decide when a feed that was `due` runs again after `run`, and record it.

    After a failure sooner or later than its schedule says: with a growing pause between tries.
    """
    now = datetime.now(UTC)
    # Every missed run in its turn: the first after the one that was due, not the first from now on.
    since = due if extractor.catch_up == "all" else now
    following = _regular(extractor, due, since)
    if run.outcome == Outcome.FAILED:
        failures = FeedStatus.objects.get(feed=extractor.name).consecutive_failures
        cap = min(max(extractor.interval or _LONGEST_CAP, _SHORTEST_CAP), _LONGEST_CAP)
        pause = min(timedelta(seconds=retry.backoff(max(failures, 1))), cap)
        following = now + pause
    if run.resume_at:
        following = max(following, run.resume_at)
    return _record(extractor, following, shard)


def jitter(extractor: Extractor) -> timedelta:
    """A delay of the feed's own, always the same, shorter than its interval."""
    digest = hashlib.sha256(extractor.name.encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return share * min(_SPREAD, extractor.interval or _SPREAD)


def _regular(extractor: Extractor, due: datetime, now: datetime) -> datetime:
    """The schedule's first moment after `now`; an interval keeps the rhythm of `due`."""
    if interval := extractor.interval:
        return due + interval * max(1, (now - due) // interval + 1)
    return extractor.next_after(now) + jitter(extractor)


def _is_apart(extractor: Extractor, shard: Shard) -> bool:
    """Whether each shard has a schedule of its own for a feed."""
    return extractor.is_spread and shard.count > 1


def _record(extractor: Extractor, due: datetime, shard: Shard) -> datetime:
    if not _is_apart(extractor, shard):
        FeedStatus.objects.filter(feed=extractor.name).update(next_run_at=due)
        return due
    with transaction.atomic():
        status = FeedStatus.objects.select_for_update().get(feed=extractor.name)
        # Those of an earlier number of shards are no more.
        kept = {
            name: told
            for name, told in status.next_run_of_shard.items()
            if name.endswith(f"/{shard.count}")
        }
        status.next_run_of_shard = kept | {str(shard): due.isoformat()}
        status.next_run_at = min(map(datetime.fromisoformat, status.next_run_of_shard.values()))
        status.save(update_fields=["next_run_of_shard", "next_run_at"])
    return due


def pause(feed: str, now: datetime | None = None) -> None:
    """Run a feed on its schedule no more until `resume`; a run under way is not stopped."""
    FeedStatus.objects.get_or_create(feed=feed)
    status = FeedStatus.objects.filter(feed=feed, paused_at=None)
    status.update(paused_at=now or datetime.now(UTC))


def resume(extractor: Extractor, now: datetime | None = None) -> datetime | None:
    """Let a feed run on its schedule again; return when, or None where it has none.

    What it missed meanwhile is made up for as `catch_up` says.
    """
    FeedStatus.objects.filter(feed=extractor.name).update(paused_at=None)
    return plan(extractor, now) if extractor.is_scheduled else None
