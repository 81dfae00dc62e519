"""Writers: append payloads to the archive, seal them as segments, acknowledge them.

`Writer` is for async code (extractors), `SyncWriter` for commands. Both share `OpenSegment`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
    if not open_segment.has_asked:
        known, are_all = _all_of(open_segment.feed, open_segment.remembered)
        open_segment.learn(known, all_known=are_all)
    wanted = {each.request_key for each in payloads if open_segment.needs_latest(each)}
    if wanted:
        open_segment.learn(_these_of(open_segment.feed, wanted))


def _all_of(feed: str, most: int) -> tuple[dict[str, Latest | None], bool]:
    """The latest versions of a feed, so many of them, and whether there are no others."""
    rows = list(LatestVersion.objects.filter(feed=feed).values(*_LATEST)[: most + 1])
    return {row["request_key"]: Latest(**row) for row in rows}, len(rows) <= most


def _these_of(feed: str, wanted: Collection[str]) -> dict[str, Latest | None]:
    """The latest versions of these requests; None for one that has none."""
    found: dict[str, Latest | None] = dict.fromkeys(wanted)
    for row in LatestVersion.objects.filter(feed=feed, request_key__in=wanted).values(*_LATEST):
        found[row["request_key"]] = Latest(**row)
    return found


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

    A full segment is sealed in the background while the next one fills; when that is full too,
    appending waits. Safe for many tasks of one event loop. After a failed seal every further call
    raises `SealFailed`, so an extractor that swallows the error cannot go on as if all were
    archived.

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
        self._sealing: asyncio.Task[Segment | None] | None = None
        self._being_sealed = 0
        # What was acknowledged since the index was asked.
        self._acknowledged: OrderedDict[str, Latest] = OrderedDict()
        self._wanted: dict[str, None] = {}
        self._asking: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Payloads appended but not yet acknowledged."""
        return len(self._open) + self._being_sealed

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
            if self._sealing:
                await _ended(self._sealing)

    def append_at_once(self, payload: Payload) -> Payload | None:
        """`append` where it need not wait for anything; None where it must."""
        if self._failure is not None or self._lock.locked() or self._open.is_full:
            return None
        if self._open.needs_latest(payload):
            return None
        return self._append(payload)

    async def append(self, payload: Payload) -> Payload:
        """Add a payload to the open segment and return its row; see `OpenSegment.append`.

        It is not acknowledged before its segment is sealed.
        """
        self._waiting[payload.fetch_id] = payload
        try:
            async with self._lock:
                while self._open.is_full and self._failure is None:
                    await _ended(self._sealing or self._begin_seal())
                self._raise_failure()
                if self._open.needs_latest(payload):
                    await sync_to_async(ask_index)(self._open, *self._waiting.values())
                return self._append(payload)
        finally:
            self._waiting.pop(payload.fetch_id, None)

    def _append(self, payload: Payload) -> Payload:
        row = self._open.append(payload)
        if self._open.is_full:
            if self._sealing is None:
                self._begin_seal()
        elif self._timer is None:
            age = self._open.limits.age_seconds
            self._timer = asyncio.get_running_loop().call_later(age, self._grow_old)
        return row

    def latest_at_once(self, request_key: str) -> tuple[bool, Latest | None]:
        """Whether it is known what the index says of a request, and that."""
        if found := self._acknowledged.get(request_key):
            return True, found
        return self._open.indexed(request_key)

    async def latest(self, request_key: str) -> Latest | None:
        """The latest version of a request as acknowledged; what many ask for is asked at once."""
        while True:
            is_told, found = self.latest_at_once(request_key)
            if is_told:
                return found
            self._wanted[request_key] = None
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        try:
            feed, most = self._open.feed, self._open.remembered
            if not self._open.has_asked:
                known, are_all = await sync_to_async(_all_of)(feed, most)
                self._open.learn(known, all_known=are_all)
            # Whoever asked meanwhile is answered, too.
            wanted = [each for each in self._wanted if not self._open.indexed(each)[0]]
            self._wanted = {}
            if wanted:
                self._open.learn(await sync_to_async(_these_of)(feed, wanted))
        finally:
            self._asking = None

    def seal_soon(self) -> None:
        """Seal what is pending in the background, after the seal under way, if any."""
        if self._failure is None:
            self._grow_old()

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
            while self._sealing:
                await _ended(self._sealing)
            self._raise_failure()
            archived_something = bool(self.count or self._open)
            runs = [str(self.run_id)] if complete and archived_something else []
            sealing = self._begin_seal(runs, in_transaction)
            await _ended(sealing)
            if self._failure is not None:
                raise self._failure
            return sealing.result()

    def _begin_seal(
        self, complete_runs: Sequence[str] = (), in_transaction: InTransaction | None = None
    ) -> "asyncio.Task[Segment | None]":
        """Fix the rows of the open segment and seal them in the background.

        One at a time: a revisit never lies in an earlier segment than the body it names.
        """
        assert self._sealing is None
        work = [in_transaction, self.on_seal() if self.on_seal else None]
        self._stop_timer()
        closed = self._open.close(complete_runs)
        self._being_sealed = len(closed.rows)
        given = [each for each in work if each]
        self._sealing = asyncio.create_task(self._seal(closed, given))
        return self._sealing

    async def _seal(self, closed: Closed, work: list[InTransaction]) -> Segment | None:
        segment = None
        try:
            segment = await self._make_durable(closed, work)
        except BaseException as error:
            # Kept for the next call to raise: there may be none who waits for this one.
            self._failure = error
        else:
            self.count += len(closed.rows)
            self._remember(closed.latest)
        self._being_sealed = 0
        self._sealing = None
        if self._open.is_full and self._failure is None:
            self._begin_seal()
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

    def _remember(self, latest: dict[str, Latest]) -> None:
        for key, found in latest.items():
            known = self._acknowledged.get(key)
            if known is None or known.order < found.order:
                self._acknowledged[key] = found
                self._acknowledged.move_to_end(key)
        while len(self._acknowledged) > self._open.remembered:
            self._acknowledged.popitem(last=False)

    def _grow_old(self) -> None:
        self._timer = None
        if self._failure is not None or not self._open:
            return
        if self._sealing is None:
            self._begin_seal()
        else:
            self._sealing.add_done_callback(lambda _: self._grow_old())

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SealFailed(
                f"An earlier seal of this run failed, so nothing more is archived: {self._failure}"
            ) from self._failure


async def _ended(task: "asyncio.Task[Segment | None]") -> None:
    """Wait for a seal: its rows are neither here nor there meanwhile. A cancellation that came
    is raised afterwards; the next call tells of a failure."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
