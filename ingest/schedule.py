"""When each feed runs next. The answer is kept in `FeedStatus`, so a restart changes nothing."""

import hashlib
from datetime import UTC, datetime, timedelta

from .models import FeedStatus, Outcome, Run
from .pace import Patience
from .registry import Extractor

# Feeds that are due together start within so many seconds of each other, not all at once.
_SPREAD = timedelta(seconds=30)
_SHORTEST_CAP = timedelta(minutes=5)
_LONGEST_CAP = timedelta(hours=1)

RETRY = Patience(base=15.0, longest=_LONGEST_CAP.total_seconds())


def plan(extractor: Extractor, now: datetime | None = None) -> datetime:
    """Decide when a scheduled feed runs next, as its process starts, and record it.

    A run that was missed is made up for once. A schedule that was shortened counts at once.
    """
    now = now or datetime.now(UTC)
    status, _ = FeedStatus.objects.get_or_create(feed=extractor.name)
    due = status.next_run_at
    is_missed = due is not None and due <= now
    is_new = due is None and extractor.interval is not None
    if is_missed or is_new:
        due = now + jitter(extractor)
    else:
        regular = _regular(extractor, now, now)
        due = regular if due is None else min(due, regular)
    return _record(extractor, due)


def plan_after(
    extractor: Extractor, run: Run, due: datetime, *, retry: Patience = RETRY
) -> datetime:
    """Decide when a feed that was `due` runs again after `run`, and record it.

    After a failure sooner or later than its schedule says: with a growing pause between tries.
    """
    now = datetime.now(UTC)
    following = _regular(extractor, due, now)
    if run.outcome == Outcome.FAILED:
        failures = FeedStatus.objects.get(feed=extractor.name).consecutive_failures
        cap = min(max(extractor.interval or _LONGEST_CAP, _SHORTEST_CAP), _LONGEST_CAP)
        pause = min(timedelta(seconds=retry.backoff(max(failures, 1))), cap)
        following = now + pause
    if run.resume_at:
        following = max(following, run.resume_at)
    return _record(extractor, following)


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


def _record(extractor: Extractor, due: datetime) -> datetime:
    FeedStatus.objects.filter(feed=extractor.name).update(next_run_at=due)
    return due
