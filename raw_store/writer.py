"""Writers: append payloads to the archive, seal them as segments, acknowledge them.

`Writer` is for async code (extractors), `SyncWriter` for commands. Both share `OpenSegment`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self
from uuid import UUID

from asgiref.sync import sync_to_async

from . import index
from .errors import SealFailed
from .index import InTransaction
from .models import LatestVersion, Segment
from .open_segment import Closed, OpenSegment, SealLimits
from .payload import Payload
from .rows import payload_bytes
from .segments import SegmentInfo
from .versions import Latest

OnSeal = Callable[[], "InTransaction | None"]


_BATCH = 256
_BATCH_BYTES = 8 * 1024 * 1024


def ask_index(open_segment: OpenSegment, *payloads: Payload) -> None:
    """Learn the latest versions of the payloads' requests: with all others of their feed at first,
    these alone when the feed has too many."""
    of_feed = LatestVersion.objects.filter(feed=open_segment.feed)
    if not open_segment.has_asked:
        rows = list(of_feed.values(*_LATEST)[: open_segment.remembered + 1])
        known = {row["request_key"]: Latest(**row) for row in rows}
        open_segment.learn(known, all_known=len(rows) <= open_segment.remembered)
    wanted = {each.request_key for each in payloads if open_segment.needs_latest(each)}
    if wanted:
        found: dict[str, Latest | None] = dict.fromkeys(wanted)
        for row in of_feed.filter(request_key__in=wanted).values(*_LATEST):
            found[row["request_key"]] = Latest(**row)
        open_segment.learn(found)


_LATEST = Latest._fields


class SyncWriter:
    """Appends payloads of any number of runs of one feed, and seals by rows and bytes.

    Leaving the `with` block seals what is pending, unless a seal failed before.
    """

    def __init__(self, url: str, feed: str, *, limits: SealLimits) -> None:
        self._open = OpenSegment(url, feed, limits)
        self._writing: tuple[Closed, Future[SegmentInfo]] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._failure: BaseException | None = None
        self.count = 0
        """Payloads acknowledged."""

    @property
    def pending(self) -> int:
        """Payloads appended but not yet acknowledged."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether it is time to seal; `append` does not do so by itself."""
        return self._open.is_full

    def append(self, payload: Payload) -> Payload:
        """Add a payload to the open segment and return its row; see `OpenSegment.append`."""
        if self._open.needs_latest(payload):
            ask_index(self._open, payload)
        return self._open.append(payload)

    def append_all(self, payloads: Iterable[Payload]) -> Iterator[Payload]:
        """Append payloads and give each back as its row; seal whenever it is time to, not at the
        end. The index is asked for many at once, so a few payloads are taken ahead.

        A segment is written in a thread while the next rows are appended, and acknowledged before
        the next one is written: a revisit never lies in an earlier segment than the body it names.
        """
        for batch in _batches(payloads):
            if any(map(self._open.needs_latest, batch)):
                ask_index(self._open, *batch)
            for payload in batch:
                yield self.append(payload)
                if self.is_full:
                    self._finish()
                    closed = self._open.close()
                    self._thread = self._thread or ThreadPoolExecutor(1, "seal")
                    self._writing = (closed, self._thread.submit(self._open.write, closed))

    def seal(
        self,
        *,
        complete_runs: Sequence[str] = (),
        in_transaction: InTransaction | None = None,
    ) -> Segment | None:
        """Make pending payloads durable and acknowledged. Raises `SealFailed`.

        With nothing pending, a segment is made only to record `complete_runs`.
        """
        self._finish()
        if self._thread:
            self._thread.shutdown()
            self._thread = None
        if not self._open and not complete_runs:
            return None
        closed = self._open.close(complete_runs)
        return self._commit(closed, partial(self._open.write, closed), in_transaction)

    def _finish(self) -> None:
        """Acknowledge the segment that is being written, if any."""
        if self._failure is not None:
            raise SealFailed(
                f"An earlier seal failed, so nothing more is archived: {self._failure}"
            ) from self._failure
        if self._writing:
            (closed, writing), self._writing = self._writing, None
            self._commit(closed, writing.result, None)

    def _commit(
        self,
        closed: Closed,
        written: Callable[[], SegmentInfo],
        in_transaction: InTransaction | None,
    ) -> Segment:
        work = [in_transaction] if in_transaction else []
        prefixes = index.key_prefixes(closed.rows.keys)
        try:
            segment = index.commit(written(), closed.latest, work, prefixes=prefixes)
        except BaseException as error:
            # Rows appended since may be revisits of bodies that are not archived now.
            self._failure = error
            raise
        self.count += len(closed.rows)
        return segment


def _batches(payloads: Iterable[Payload]) -> Iterator[list[Payload]]:
    batch: list[Payload] = []
    size = 0
    for payload in payloads:
        batch.append(payload)
        size += payload_bytes(payload)
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Writer:
    """Appends the payloads of one run of one feed, and seals by rows, bytes, age and on exit.

    Safe for many tasks of one event loop. After a failed seal every further call raises
    `SealFailed`, so an extractor that swallows the error cannot go on as if all were archived.

    `on_seal`, when set, is called (on the event loop, so it must not block) at the moment the
    rows of any segment are fixed; what it returns runs in the transaction that acknowledges
    them. A watermark read in it can therefore never be ahead of its rows.
    """

    def __init__(self, url: str, feed: str, run_id: UUID, *, limits: SealLimits) -> None:
        self.run_id = run_id
        self.on_seal: OnSeal | None = None
        self.count = 0
        """Payloads acknowledged."""
        self._open = OpenSegment(url, feed, limits)
        self._lock = asyncio.Lock()
        self._waiting: dict[UUID, Payload] = {}
        self._failure: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sealing_when_old: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Payloads appended but not yet acknowledged."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Seal what is pending, also when the run failed."""
        try:
            if self._failure is None:
                await self.seal()
            elif error is None:
                self._raise_failure()
        finally:
            self._stop_timer()
            if self._sealing_when_old:
                await self._sealing_when_old

    async def append(self, payload: Payload) -> Payload:
        """Add a payload to the open segment and return its row; see `OpenSegment.append`.

        It is not acknowledged before its segment is sealed, which may happen in this call.
        """
        self._waiting[payload.fetch_id] = payload
        try:
            async with self._lock:
                self._raise_failure()
                if self._open.needs_latest(payload):
                    await sync_to_async(ask_index)(self._open, *self._waiting.values())
                row = self._open.append(payload)
                if self._open.is_full:
                    await self._seal([], None)
                elif self.pending == 1:
                    age = self._open.limits.age_seconds
                    self._timer = asyncio.get_running_loop().call_later(age, self._grow_old)
        finally:
            self._waiting.pop(payload.fetch_id, None)
        return row

    async def seal(
        self, *, complete: bool = False, in_transaction: InTransaction | None = None
    ) -> Segment | None:
        """Make pending payloads durable and acknowledged. Raises `SealFailed`.

        `complete=True` at the end of a successful run records in the segment that the run is
        whole; if nothing is pending but the run archived something, a segment without rows does.
        `in_transaction` runs in the transaction that acknowledges the rows; when there is nothing
        to seal, in one of its own.
        """
        async with self._lock:
            self._raise_failure()
            archived_something = bool(self.count or self._open)
            runs = [str(self.run_id)] if complete and archived_something else []
            return await self._seal(runs, in_transaction)

    async def _seal(
        self, complete_runs: list[str], in_transaction: InTransaction | None
    ) -> Segment | None:
        work = [in_transaction, self.on_seal() if self.on_seal else None]
        self._stop_timer()
        closed = self._open.close(complete_runs)
        sealing = asyncio.ensure_future(
            self._make_durable(closed, [given for given in work if given])
        )
        cancelled: asyncio.CancelledError | None = None
        while not sealing.done():
            # A cancelled run waits for its seal: the rows are neither here nor there meanwhile.
            try:
                await asyncio.shield(sealing)
            except asyncio.CancelledError as error:
                cancelled = error
            except BaseException:
                break
        try:
            segment = sealing.result()
        except BaseException as error:
            self._failure = error
            if cancelled:
                # Who cancelled waits for it; the next call tells of the failure.
                raise cancelled from error
            raise
        self.count += len(closed.rows)
        if cancelled:
            raise cancelled
        return segment

    async def _make_durable(self, closed: Closed, work: list[InTransaction]) -> Segment | None:
        if not closed.rows and not closed.complete_runs:
            if work:
                await sync_to_async(index.run)(work)
            return None
        info = await asyncio.to_thread(self._open.write, closed)
        return await sync_to_async(index.commit)(
            info, closed.latest, work, prefixes=index.key_prefixes(closed.rows.keys)
        )

    def _grow_old(self) -> None:
        self._sealing_when_old = asyncio.create_task(self._seal_when_old())

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    async def _seal_when_old(self) -> None:
        # A failure is kept in `_failure`, for the next call to raise.
        with contextlib.suppress(Exception):
            async with self._lock:
                if self._failure is None and self._open:
                    await self._seal([], None)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SealFailed(
                f"An earlier seal of this run failed, so nothing more is archived: {self._failure}"
            ) from self._failure
