"""The supervisor: runs every scheduled feed when it is due, for as long as the server lives.

It starts with the server's lifespan, never while Django loads. One process leads at a time; one
task per feed waits for its hour; a task that crashes is restarted with a growing pause. What a
run archived is handed to `after_run`, one source at a time.
"""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from raw_store.archive import Archive

from . import registry
from .hand_over import AfterRun, HandOver
from .leader import Leadership, leadership
from .models import FeedStatus
from .pace import Patience
from .registry import Extractor
from .runs import mark_interrupted, run_feed
from .schedule import RETRY, due_at, jitter, plan, plan_after
from .shards import Shard
from .uncancelled import uncancelled

logger = logging.getLogger(__name__)

# A change of `next_run_at` by someone else is noticed after so many seconds.
_LOOK_AGAIN = 30.0


class LeadLost(Exception):
    """Another process may lead by now; this one stops its tasks and tries again."""


class Supervisor:
    """Runs the scheduled feeds of this process's shard while it has the lead.

    `after_run(source)` is called in a thread of its own after each run that archived something,
    and once per source as the supervisor starts, for what an earlier process left undone.
    """

    def __init__(
        self,
        archive: Archive,
        after_run: AfterRun | None = None,
        *,
        shard: Shard | None = None,
        patience: Patience | None = None,
        retry: Patience = RETRY,
        lead_seconds: float = 5.0,
        drain_seconds: float | None = None,
    ) -> None:
        self._archive = archive
        self._shard = shard or Shard.parse(settings.SHARD)
        self._patience = patience
        self._retry = retry
        self._lead_seconds = lead_seconds
        self._lead: Leadership = leadership(f"scheduler-{self._shard}".replace("/", "-of-"))
        self._hand_over = HandOver(after_run)
        self._task: asyncio.Task[None] | None = None
        self._drain_seconds = settings.DRAIN_SECONDS if drain_seconds is None else drain_seconds
        self._is_stopping = False
        self._running: set[str] = set()
        self._is_quiet = asyncio.Event()
        self.is_leading = False

    async def start(self) -> None:
        """Begin, without waiting for the lead."""
        self._task = asyncio.create_task(self._lead_whenever_possible())

    async def stop(self) -> None:
        """Begin no more runs, let those under way end for `drain_seconds`, then stop every task.

        What the extractors that are stopped had fetched is sealed before this returns.
        """
        if self._task is None:
            return
        self._is_stopping = True
        try:
            if self._running and self._drain_seconds > 0:
                logger.info("scheduler drains feeds=%s", ",".join(sorted(self._running)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._drain_seconds):
                        await self._is_quiet.wait()
        finally:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def wait(self) -> None:
        """Wait until the supervisor is stopped."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _lead_whenever_possible(self) -> None:
        crashes = 0
        while True:
            try:
                await sync_to_async(close_old_connections)()
                if await uncancelled(asyncio.to_thread(self._lead.acquire)):
                    await self._supervise()
                crashes = 0
            except Exception:
                crashes += 1
                logger.exception("scheduler crashed shard=%s, starting again", self._shard)
            finally:
                self.is_leading = False
                await uncancelled(asyncio.to_thread(self._lead.release))
            await asyncio.sleep(self._retry.backoff(crashes) if crashes else self._lead_seconds)

    async def _supervise(self) -> None:
        self.is_leading = True
        await sync_to_async(mark_interrupted)()
        scheduled = [
            each
            for each in registry.all_extractors()
            if each.is_scheduled and each.belongs_to(self._shard)
        ]
        for extractor in scheduled:
            await sync_to_async(plan)(extractor, shard=self._shard)
        await self._mark_what_was_left()
        logger.info("scheduler leads shard=%s feeds=%d", self._shard, len(scheduled))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_the_lead())
                tasks.create_task(self._hand_over.run())
                for extractor in scheduled:
                    tasks.create_task(self._keep_running(extractor))
        except* LeadLost:
            logger.warning("scheduler lost the lead shard=%s", self._shard)

    async def _keep_the_lead(self) -> None:
        while True:
            await asyncio.sleep(self._lead_seconds)
            if not await asyncio.to_thread(self._lead.is_held):
                raise LeadLost

    async def _keep_running(self, extractor: Extractor) -> None:
        crashes = 0
        if extractor.catch_up == "all":
            # Long due, it would start at once with all others of its kind.
            await asyncio.sleep(jitter(extractor).total_seconds())
        while True:
            try:
                await self._run_when_due(extractor)
                crashes = 0
            except Exception:
                crashes += 1
                pause = self._retry.backoff(crashes)
                logger.exception("task crashed feed=%s restart_in=%.0f", extractor.name, pause)
                await asyncio.sleep(pause)

    async def _run_when_due(self, extractor: Extractor) -> None:
        # There are no requests here to do it: a connection that broke would stay broken.
        await sync_to_async(close_old_connections)()
        due = await self._wait_until_due(extractor)
        self._running.add(extractor.name)
        self._is_quiet.clear()
        try:
            run = await run_feed(
                extractor.name, self._archive, patience=self._patience, shard=self._shard
            )
        finally:
            self._running.discard(extractor.name)
            if not self._running:
                self._is_quiet.set()
        await sync_to_async(plan_after)(extractor, run, due, retry=self._retry, shard=self._shard)
        if run.payload_count:
            self._hand_over.mark(extractor.source)

    async def _wait_until_due(self, extractor: Extractor) -> datetime:
        while True:
            status = await FeedStatus.objects.filter(feed=extractor.name).afirst()
            if self._is_stopping or (status and status.paused_at):
                await asyncio.sleep(_LOOK_AGAIN)
                continue
            due = due_at(extractor, status, self._shard)
            if due is None:
                due = await sync_to_async(plan)(extractor, shard=self._shard)
            remaining = (due - datetime.now(UTC)).total_seconds()
            if remaining <= 0:
                return due
            await asyncio.sleep(min(remaining, _LOOK_AGAIN))

    async def _mark_what_was_left(self) -> None:
        known = {each.name for each in registry.all_extractors() if each.belongs_to(self._shard)}
        async for status in FeedStatus.objects.filter(last_run__isnull=False).order_by("feed"):
            if status.feed in known:
                self._hand_over.mark(status.feed.partition(".")[0])
