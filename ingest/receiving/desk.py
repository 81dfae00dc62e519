"""The desk: pushes are archived in the order they come, those that come together in one segment.

While one segment is written and committed, what arrives meanwhile waits and makes the next one:
a lone push waits for nobody, and a thousand at once cost a few commits.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

from raw_store.archive import Archive
from raw_store.errors import PayloadInvalid
from raw_store.payload import Payload

from ..redact import Redactor
from ..runs import ReceivedRun
from .pushed import Arrived, payload_of
from .receivers import Receiver

logger = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_SECONDS = 10.0
"""A run ends when nothing was pushed for so long …"""
RUN_SECONDS = 600.0
"""… or after so long, so that what waits for quiet, such as an erasure, gets its turn."""

_TOGETHER = 256
_TOGETHER_BYTES = 32 * 1024 * 1024


class Desk:
    """Archives the pushes of every receiver. Belongs to one event loop."""

    def __init__(
        self,
        archive: Archive,
        on_archived: Callable[[str], None] | None = None,
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """`on_archived(source)` is called on the event loop after each commit."""
        self._archive = archive
        self._on_archived = on_archived
        self.idle_seconds = idle_seconds
        self._queues: dict[str, _Queue] = {}
        # One thread has one database connection, which lives as long as the desk.
        self._thread = ThreadPoolExecutor(1, "receive")

    async def archive(self, arrived: Arrived) -> Payload:
        """Archive a push and return its row once it is durable.

        Raises `ArchiveError` or a database error where it is not archived.
        """
        name = arrived.receiver.name
        if name not in self._queues:
            self._queues[name] = _Queue(self, arrived.receiver)
        return await self._queues[name].add(arrived)

    async def close(self) -> None:
        """Archive what waits, and end the runs."""
        for queue in self._queues.values():
            await queue.close()
        await self.in_thread(connections.close_all)
        self._thread.shutdown()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What `work` gives, done in the desk's one thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def run_of(self, receiver: Receiver) -> "_Run":
        return _Run(self._archive, receiver)

    def archived(self, source: str) -> None:
        """Say that something of a source was committed."""
        if self._on_archived:
            self._on_archived(source)


class _Queue:
    """The pushes of one feed that wait, and the task that archives them."""

    def __init__(self, desk: Desk, receiver: Receiver) -> None:
        self._desk = desk
        self._receiver = receiver
        self._waiting: list[tuple[Arrived, asyncio.Future[Payload]]] = []
        self._arrived = asyncio.Event()
        self._is_closing = False
        self._task = asyncio.create_task(self._work())

    async def add(self, arrived: Arrived) -> Payload:
        future: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrived, future))
        self._arrived.set()
        return await future

    async def close(self) -> None:
        self._is_closing = True
        self._arrived.set()
        await self._task

    async def _work(self) -> None:
        while await self._something_waits(None):
            run = self._desk.run_of(self._receiver)
            ends_at = time.monotonic() + RUN_SECONDS
            while await self._something_waits(self._desk.idle_seconds):
                await self._archive_some(run)
                if time.monotonic() > ends_at:
                    break
            try:
                await self._desk.in_thread(run.end)
            except Exception:
                # What was pushed is acknowledged; only the run's end is not recorded.
                logger.exception("end of a run not recorded feed=%s", self._receiver.name)

    async def _something_waits(self, seconds: float | None) -> bool:
        """Whether something does, after waiting so long for it; None means for ever."""
        if not self._waiting and not self._is_closing:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), seconds)
        return bool(self._waiting)

    async def _archive_some(self, run: "_Run") -> None:
        taken = self._take()
        every = [arrived for arrived, _ in taken]
        rows: list[Payload | Exception]
        try:
            rows = await self._desk.in_thread(lambda: run.archive(every))
        except Exception as error:
            logger.error(
                "pushes not archived feed=%s count=%d: %s", self._receiver.name, len(every), error
            )
            rows = [error] * len(taken)
        for (_, future), row in zip(taken, rows, strict=True):
            # A sender that hung up waits for nothing any more.
            if future.done():
                continue
            if isinstance(row, Payload):
                future.set_result(row)
            else:
                future.set_exception(row)
        if any(isinstance(row, Payload) for row in rows):
            self._desk.archived(self._receiver.feed.source)

    def _take(self) -> list[tuple[Arrived, "asyncio.Future[Payload]"]]:
        size = count = 0
        for arrived, _ in self._waiting[:_TOGETHER]:
            size += len(arrived.body)
            count += 1
            if size >= _TOGETHER_BYTES:
                break
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


class _Run:
    """One run of one feed, which begins with its first push. Works in the desk's thread."""

    def __init__(self, archive: Archive, receiver: Receiver) -> None:
        self._archive = archive
        self._receiver = receiver
        self._redactor = Redactor(settings.SECRET_KEY, receiver.secrets)
        # Not for longer than a run: it remembers bodies, which may be erased between two runs.
        self._writer = archive.sync_writer(receiver.name)
        self._run: ReceivedRun | None = None
        self._failure: Exception | None = None
        self._sequence = 0
        self._count = 0
        self._bytes = 0

    def archive(self, every: list[Arrived]) -> list[Payload | Exception]:
        """A row for each push that is durable now, and the error of each that no row can hold."""
        close_old_connections()
        try:
            run = self._run = self._run or ReceivedRun(self._receiver.name)
            rows = [self._append(run, arrived) for arrived in every]
            count = self._count + sum(isinstance(row, Payload) for row in rows)
            received = self._bytes + sum(len(arrived.encoded) for arrived in every)
            self._writer.seal(
                in_transaction=run.progress(payload_count=count, received_bytes=received)
            )
        except Exception as error:
            # Rows appended later might be revisits of bodies that were not archived.
            self._writer = self._archive.sync_writer(self._receiver.name)
            self._failure = error
            raise
        self._count, self._bytes, self._failure = count, received, None
        return rows

    def end(self) -> None:
        """Record the end: a failure where the last pushes could not be archived."""
        if self._run:
            self._run.end(self._failure, self._redactor)

    def _append(self, run: ReceivedRun, arrived: Arrived) -> Payload | Exception:
        payload = payload_of(arrived, run.id, self._sequence, self._redactor)
        self._sequence += 1
        try:
            return self._writer.append(payload)
        except PayloadInvalid as error:
            return error
