"""Verify: recompute every digest and compare it with the row, the footer and the index.

Segments are inspected in parallel, each in a worker process; what a revisit names in another
segment is looked up here, many at a time.
"""

import multiprocessing
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from django.conf import settings

from .errors import SegmentCorrupt
from .files import list_files
from .index import INDEXED
from .inspection import SegmentReport, holders_among, inspect_segment, judge_holder, note_holder
from .models import ReplacedSegment, Segment
from .segments import iter_tables

if TYPE_CHECKING:
    from .archive import Archive

Advance = Callable[[int], None]

POOL_FROM_BYTES = 2 * 1024 * 1024 * 1024
"""Less than this many bytes of bodies is read in this process: it takes two seconds, and so does
the start of a pool."""
_LOOKED_UP = 100_000
"""Holders that are looked up in one pass over the segments' metadata."""


@dataclass(frozen=True, slots=True)
class Task:
    """Inspect one segment."""

    url: str
    path: str
    feed: str
    indexed: dict[str, Any] | None
    row_count: int
    body_bytes: int


def verify(
    archive: "Archive", feed: str | None = None, *, advance: Advance | None = None
) -> Iterator[SegmentReport]:
    """Read every segment of the index and every segment file that is not in it; report on each.

    Recomputes the digest and the size of each body, counts rows against footer and index,
    and looks up the fetches that revisits name. `advance` is called with payloads read.
    """
    indexed = archive.segments(feed)
    tasks = [_task(archive.url, segment) for segment in indexed]
    known = {segment.path for segment in indexed}
    known.update(ReplacedSegment.objects.values_list("path", flat=True))
    for file in list_files(archive.url, feed):
        if not file.is_segment or file.path in known:
            continue
        # Sealed since the list was made: the next verify reads it.
        if not Segment.objects.filter(path=file.path).exists():
            tasks.append(Task(archive.url, file.path, feed or "", None, 0, file.size))
    waiting: list[SegmentReport] = []
    for report in _run(tasks, advance or (lambda _: None)):
        if not report.elsewhere:
            yield report
            continue
        waiting.append(report)
        if sum(len(each.elsewhere) for each in waiting) >= _LOOKED_UP:
            yield from _looked_up(archive.url, waiting)
            waiting = []
    yield from _looked_up(archive.url, waiting)


def _task(url: str, segment: Segment) -> Task:
    indexed = {name: getattr(segment, name) for name in INDEXED}
    return Task(url, segment.path, segment.feed, indexed, segment.row_count, segment.body_bytes)


def _run(tasks: list[Task], advance: Advance) -> Iterator[SegmentReport]:
    workers = min(settings.PARSE_WORKERS or os.cpu_count() or 1, len(tasks))
    if workers < 2 or sum(map(_weight, tasks)) < POOL_FROM_BYTES:
        for task in tasks:
            yield _inspect(task)
            advance(task.row_count)
        return
    # Workers are spawned: forking a process that has threads or open connections is unsafe.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        # The largest first, so that none is begun when the others are done.
        queued = iter(sorted(tasks, key=_weight, reverse=True))
        running: dict[Future[SegmentReport], Task] = {}
        while True:
            for task in queued:
                running[
                    pool.submit(inspect_segment, task.url, task.path, task.feed, task.indexed)
                ] = task
                if len(running) >= 2 * workers:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                yield future.result()
                advance(task.row_count)
    finally:
        pool.shutdown(cancel_futures=True)


def _weight(task: Task) -> int:
    """Bytes to be read; a row takes as long as so many bytes of a body."""
    return task.body_bytes + 8_000 * task.row_count


def _inspect(task: Task) -> SegmentReport:
    return inspect_segment(task.url, task.path, task.feed, task.indexed)


def _looked_up(url: str, reports: list[SegmentReport]) -> Iterator[SegmentReport]:
    """The reports, once what their revisits name in other segments was looked up."""
    wanted_of: dict[str, set[str]] = {}
    for report in reports:
        wanted_of.setdefault(report.feed, set()).update(report.elsewhere)
    found: dict[str, tuple[str | None, str | None]] = {}
    for feed, wanted in wanted_of.items():
        ids = sorted(wanted)
        for segment in Segment.objects.filter(
            feed=feed, last_fetch_id__gte=ids[0], first_fetch_id__lte=ids[-1]
        ):
            begin = bisect_left(ids, str(segment.first_fetch_id))
            some = pa.array(ids[begin : bisect_right(ids, str(segment.last_fetch_id))], pa.string())
            try:
                for table in iter_tables(url, segment.path, _HELD):
                    here = holders_among(table, some)
                    # Where a row lies in two segments, the one that holds its body counts.
                    found |= {k: v for k, v in here.items() if v[0] == k or k not in found}
            except SegmentCorrupt:
                continue  # its own report says so
    for report in reports:
        for fetch_id, carried in report.elsewhere.items():
            note_holder(report, fetch_id, judge_holder(fetch_id, carried, found.get(fetch_id)))
        yield report


_HELD = ["fetch_id", "payload_id", "body_digest"]
