"""The frontier's rows: added once, leased by one process, done when what they gave is durable.

Every statement works on a batch and follows one index, so that a million rows cost what a
thousand do. Functions here wait for the database.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from ..models import Crawl, FrontierState, FrontierUrl, Outcome, Run

KEY_LENGTH = 32
"""Hex digits of a request's key that tell addresses apart."""
LEASE = timedelta(minutes=10)
MOST_ATTEMPTS = 5
"""Leases of one address that may end without a word before it is taken for what kills processes."""
_BATCH = 500
_ROWS_TO_FORGET = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An address to be added."""

    url: str
    key: str
    depth: int
    rank: int
    """The lowest comes first."""
    is_sitemap: bool = False


@dataclass(frozen=True, slots=True)
class Leased:
    """An address that this process, and no other, asks for now."""

    id: int
    url: str
    depth: int
    attempts: int
    is_sitemap: bool


def open_crawl(feed: str) -> tuple[Crawl, bool]:
    """The feed's crawl that is not finished, or a new one, and whether it is new.

    What dead processes had leased is let go; what finished crawls left is forgotten.
    """
    crawl = Crawl.objects.filter(feed=feed, finished_at=None).first()
    if crawl is None:
        forget_finished(feed)
        try:
            with transaction.atomic():
                return Crawl.objects.create(feed=feed, started_at=datetime.now(UTC)), True
        except IntegrityError:
            # Another process was quicker.
            crawl = Crawl.objects.get(feed=feed, finished_at=None)
    release_dead(crawl)
    return crawl, False


def add(crawl: Crawl, found: Sequence[Found]) -> None:
    """Add addresses that are not there yet; in one order everywhere, lest two processes that add
    the same ones wait for each other."""
    FrontierUrl.objects.bulk_create(
        [
            FrontierUrl(
                crawl=crawl,
                key=each.key,
                url=each.url,
                depth=each.depth,
                rank=each.rank,
                is_sitemap=each.is_sitemap,
            )
            for each in sorted(found, key=attrgetter("key"))
        ],
        ignore_conflicts=True,
        batch_size=_BATCH,
    )


_PICK = """
    SELECT id FROM ingest_frontierurl WHERE crawl_id = %s AND state = %s ORDER BY rank, id LIMIT %s
"""
_LEASE = {
    # The rows that another process is leasing are passed over.
    "postgresql": f"""
        WITH picked AS MATERIALIZED ({_PICK} FOR UPDATE SKIP LOCKED)
        UPDATE ingest_frontierurl AS row
        SET state = %s, run_id = %s, lease_until = %s, attempts = attempts + 1
        FROM picked WHERE row.id = picked.id
        RETURNING row.rank, row.id, row.url, row.depth, row.attempts, row.is_sitemap
    """,
    # One statement is one writer.
    "sqlite": f"""
        UPDATE ingest_frontierurl
        SET state = %s, run_id = %s, lease_until = %s, attempts = attempts + 1
        WHERE id IN ({_PICK})
        RETURNING rank, id, url, depth, attempts, is_sitemap
    """,
}


def lease(crawl: Crawl, run_id: UUID, count: int) -> list[Leased]:
    """Take the next addresses, at most `count`, for `LEASE`. No other process gets them then."""
    until = datetime.now(UTC) + LEASE
    pick = [crawl.pk, FrontierState.WAITING.value, count]
    changes = [
        FrontierState.LEASED.value,
        FrontierUrl._meta.get_field("run_id").get_db_prep_value(run_id, connection),
        connection.ops.adapt_datetimefield_value(until),
    ]
    is_first = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(_LEASE[connection.vendor], pick + changes if is_first else changes + pick)
        rows = sorted(cursor.fetchall())
    return [
        Leased(row_id, url, depth, attempts, bool(is_sitemap))
        for _, row_id, url, depth, attempts, is_sitemap in rows
    ]


def renew(crawl: Crawl, run_id: UUID) -> None:
    """Hold what a run has leased for longer."""
    _leased(crawl).filter(run_id=run_id).update(lease_until=datetime.now(UTC) + LEASE)


def done(ids: Sequence[int]) -> None:
    """Record that what these addresses gave is archived; for the transaction that makes it so."""
    for batch in _batches(ids):
        FrontierUrl.objects.filter(pk__in=batch).update(
            state=FrontierState.DONE, lease_until=None, error=""
        )


def failed(row_id: int, error: str) -> None:
    """Record why an address could not be fetched; the crawl goes on without it."""
    FrontierUrl.objects.filter(pk=row_id).update(
        state=FrontierState.FAILED, lease_until=None, error=error
    )


def release(ids: Sequence[int], *, is_unused: bool = True) -> None:
    """Let go of addresses; those that were never asked for count as not tried."""
    for batch in _batches(ids):
        rows = FrontierUrl.objects.filter(pk__in=batch, state=FrontierState.LEASED)
        changes = {"state": FrontierState.WAITING, "lease_until": None}
        rows.update(**changes, **({"attempts": 0} if is_unused else {}))


def release_dead(crawl: Crawl) -> int:
    """Let go of what runs that are over had leased; return how many."""
    running = Run.objects.filter(feed=crawl.feed, outcome=Outcome.RUNNING).values("pk")
    return _let_go(_leased(crawl).exclude(run_id__in=running))


def release_expired(crawl: Crawl) -> int:
    """Let go of what was leased for too long; return how many."""
    return _let_go(_leased(crawl).filter(lease_until__lt=datetime.now(UTC)))


def retry_failed(crawl: Crawl) -> int:
    """Let what failed be asked for again; return how many."""
    rows = FrontierUrl.objects.filter(crawl=crawl, state=FrontierState.FAILED)
    return rows.update(state=FrontierState.WAITING, attempts=0, error="")


def is_exhausted(crawl: Crawl) -> bool:
    """Whether nothing waits and nobody has anything under way."""
    open_states = [FrontierState.WAITING, FrontierState.LEASED]
    return not any(
        FrontierUrl.objects.filter(crawl=crawl, state=state).exists() for state in open_states
    )


def finish(crawl: Crawl) -> None:
    """Record that a crawl is over, with what came of it."""
    counts = count(crawl)
    Crawl.objects.filter(pk=crawl.pk, finished_at=None).update(
        finished_at=datetime.now(UTC), done_count=counts["done"], failed_count=counts["failed"]
    )


def count(crawl: Crawl) -> dict[str, int]:
    """How many addresses are in each state."""
    rows = FrontierUrl.objects.filter(crawl=crawl)
    return {state.name.lower(): rows.filter(state=state).count() for state in FrontierState}


def forget_finished(feed: str) -> None:
    """Remove the addresses of finished crawls; what came of these crawls stays known."""
    for crawl in Crawl.objects.filter(feed=feed).exclude(finished_at=None):
        forget(crawl)


def forget(crawl: Crawl) -> None:
    """Remove a crawl's addresses, some at a time, so that nobody waits long for a lock."""
    rows = FrontierUrl.objects.filter(crawl=crawl)
    while ids := list(rows.values_list("pk", flat=True)[:_ROWS_TO_FORGET]):
        with transaction.atomic():
            for batch in _batches(ids):
                FrontierUrl.objects.filter(pk__in=batch).delete()


def _leased(crawl: Crawl) -> "QuerySet[FrontierUrl]":
    return FrontierUrl.objects.filter(crawl=crawl, state=FrontierState.LEASED)


def _let_go(rows: "QuerySet[FrontierUrl]") -> int:
    """Let rows go; those that were leased too often are given up."""
    rows.filter(attempts__gte=MOST_ATTEMPTS).update(
        state=FrontierState.FAILED,
        lease_until=None,
        error=f"{MOST_ATTEMPTS} processes in turn ended while they asked for it",
    )
    return int(rows.update(state=FrontierState.WAITING, lease_until=None))


def _batches(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]
