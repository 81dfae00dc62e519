"""Backfills: a feed's extractor run over partitions of the past, beside its live runs.

A backfill is a run of its own. It shares the hosts' pace with whatever else asks them, moves no
watermark, and leaves the feed's status, by which the schedule goes, as it is.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from uuid import UUID

import httpx
from asgiref.sync import sync_to_async

from raw_store.archive import Archive

from . import partitions, registry
from .client import Client
from .errors import BackfillInvalid, HostUnavailable
from .models import BackfillPartition, Run
from .pace import Patience
from .runs import Ledger, OnArchived, describe, mark_interrupted, run_feed
from .windows import Window

logger = logging.getLogger(__name__)

MOST_FAILURES = 5
"""Partitions in a row that fail before a backfill gives up: the reason is hardly theirs."""


def ensure_backfillable(feed: str) -> None:
    """Raise `BackfillInvalid` for a feed whose past cannot be fetched beside its present."""
    if registry.get(feed).feed.current == "run":
        raise BackfillInvalid(
            f'Feed {feed} has current="run": its rows are what the newest complete run lists, and '
            'a backfill would take its place. A feed with a past is current="latest" or "all".'
        )


async def run_backfill(
    feed: str,
    archive: Archive,
    *,
    concurrency: int = 2,
    newest_first: bool = False,
    on_partition: Callable[[], None] | None = None,
    progress: OnArchived | None = None,
    patience: Patience | None = None,
    inner: httpx.AsyncBaseTransport | None = None,
) -> Run:
    """Fetch the partitions of `feed` that are not done, `concurrency` at a time; return the run.

    A partition that fails keeps its reason and does not stop the others; the run is then recorded
    as failed. `on_partition` is called for each that was fetched.
    """
    ensure_backfillable(feed)
    await sync_to_async(mark_interrupted)(feed)
    await sync_to_async(partitions.release_dead)(feed)
    works = _Work(feed, concurrency, newest_first, on_partition)
    try:
        return await run_feed(
            feed,
            archive,
            work=works.run,
            is_backfill=True,
            progress=progress,
            patience=patience,
            inner=inner,
        )
    finally:
        if works.run_id:
            await sync_to_async(partitions.release)(works.run_id)


class _Work:
    """What a backfill's run does in place of the extractor."""

    def __init__(
        self,
        feed: str,
        concurrency: int,
        newest_first: bool,
        on_partition: Callable[[], None] | None,
    ) -> None:
        self.run_id: UUID | None = None
        self._feed, self._concurrency = feed, max(concurrency, 1)
        self._newest_first, self._on_partition = newest_first, on_partition
        self._failures: list[str] = []
        self._failures_in_a_row = 0
        self._done = 0

    async def run(self, client: Client, ledger: Ledger) -> None:
        self.run_id = ledger.run.id
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._concurrency):
                tasks.create_task(self._fetch_partitions(client, ledger))
        if self._failures:
            raise BackfillInvalid(
                f"{len(self._failures)} of {len(self._failures) + self._done} partitions failed, "
                f"first {self._failures[0]} Run the backfill again: it fetches what is left."
            )

    async def _fetch_partitions(self, client: Client, ledger: Ledger) -> None:
        claim = sync_to_async(
            functools.partial(
                partitions.claim, self._feed, ledger.run.id, newest_first=self._newest_first
            )
        )
        while self._failures_in_a_row < MOST_FAILURES:
            found = await claim()
            if found is None:
                return
            await self._fetch(found, client, ledger)

    async def _fetch(self, found: BackfillPartition, client: Client, ledger: Ledger) -> None:
        window = Window(since=found.since, until=found.until)
        inside = client.within(window)
        try:
            await registry.get(self._feed).function(inside)
            if not inside.has_asked_for_windows:
                raise BackfillInvalid(
                    f"The extractor of {self._feed} does not ask for client.windows(…), so it "
                    "cannot be told which part of the past to fetch. See docs/incremental.md."
                )
        except (BackfillInvalid, HostUnavailable):
            # It would be the same for every other partition.
            raise
        except Exception as error:
            reason = client.scrub(describe(error))
            self._failures.append(f"{window.since:%Y-%m-%d %H:%M}: {reason}")
            self._failures_in_a_row += 1
            line = "partition failed feed=%s since=%s: %s"
            logger.warning(line, self._feed, window.since, reason)
            await sync_to_async(partitions.failed)(found.pk, ledger.run.id, reason)
        else:
            self._done += 1
            self._failures_in_a_row = 0
            ledger.at_next_seal(
                functools.partial(partitions.done, found.pk, ledger.run.id, inside.response_count)
            )
            if self._on_partition:
                self._on_partition()
