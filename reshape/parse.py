"""Parse: run transforms over segments and write what they say to record files.

One task is one segment and the transforms that have not parsed it. Tasks are
independent and their files are written once, so a killed parse resumes where it was,
and doing a task twice changes nothing.
"""

import inspect
import logging
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import models

from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.payload import Payload, digest
from raw_store.segments import iter_readable

from .batches import rare_collections
from .columns import columns_of
from .errors import RowInvalid
from .fingerprint import code_digest, fingerprint
from .models import Derived, Row
from .records import BORROWED, Reason, RecordWriter, Rejected, parsed_segments, sweep_temporaries
from .registry import Transform
from .rejected import known_key, line_of, whole_payload

logger = logging.getLogger(__name__)

POOL_FROM_BYTES = 32 * 1024 * 1024
"""Less than this many bytes of bodies is parsed in this process: a pool takes a second to start."""

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Parse one segment with some transforms."""

    archive_url: str
    records: Path
    """Where record files go: a worker does not know the caller's settings."""
    segment: str
    path: str
    payload_count: int
    body_bytes: int
    transforms: tuple[Transform, ...]
    fingerprints: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Parsed:
    """What a parse did."""

    payload_count: int = 0
    record_count: int = 0
    quarantined_count: int = 0
    rejected_count: int = 0
    """Rows set aside alone."""
    segment_count: int = 0
    damaged: list[str] = field(default_factory=list)
    """The segments that cannot be read, and why."""
    is_stale: bool = False
    """The worker's code differs from the caller's: nothing was written."""

    def add(self, other: "Parsed") -> None:
        self.payload_count += other.payload_count
        self.record_count += other.record_count
        self.quarantined_count += other.quarantined_count
        self.rejected_count += other.rejected_count
        self.segment_count += other.segment_count
        self.damaged += other.damaged


def label_of(transform: Transform) -> str:
    """`NAME@FINGERPRINT`: the name of the transform's folder of record files."""
    return f"{transform.name}@{fingerprint(transform)}"


def parse_segments(
    transforms: Iterable[Transform], archive: Archive, *, advance: Advance | None = None
) -> Parsed:
    """Parse every indexed segment that a transform has not parsed yet.

    `advance` is called with the number of payloads done. A segment that cannot be read is
    named in `damaged`; the others are parsed.
    """
    tasks = list(_tasks(list(transforms), archive))
    total = Parsed()
    sweep_temporaries()
    for task, done in _run(tasks):
        if done.is_stale:
            done = parse_segment(task)
        total.add(done)
        if advance:
            advance(task.payload_count)
    logger.info(
        "parsed segments=%d payloads=%d records=%d quarantined=%d rejected=%d damaged=%d",
        total.segment_count,
        total.payload_count,
        total.record_count,
        total.quarantined_count,
        total.rejected_count,
        len(total.damaged),
    )
    return total


def payloads_to_parse(transforms: Iterable[Transform], archive: Archive) -> int:
    """How many payloads `parse_segments` would read: the total for a progress display."""
    return sum(task.payload_count for task in _tasks(list(transforms), archive))


def parse_payloads(
    transform: Transform, payloads: Iterable[Payload], *, attempt: str = ""
) -> Parsed:
    """Parse payloads that no segment's own task covers: versions whose body another fetch holds.

    Their record file is named by the fetches in it, and by the `attempt` where they are retried.
    """
    payloads = list(payloads)
    name = digest((attempt + "".join(sorted(str(p.fetch_id) for p in payloads))).encode())
    with RecordWriter(label_of(transform), f"{BORROWED}{name[:32]}") as writer:
        for payload in payloads:
            _transform_one(transform, payload, writer)
        _write_gathered(transform, writer)
    return Parsed(
        payload_count=len(payloads),
        record_count=writer.record_count,
        quarantined_count=writer.quarantined_count,
        rejected_count=writer.rejected_count,
    )


def parse_segment(task: Task) -> Parsed:
    """Do one task, in whatever process this is."""
    labels = [
        f"{transform.name}@{print_}"
        for transform, print_ in zip(task.transforms, task.fingerprints, strict=True)
    ]
    count = 0
    try:
        with ExitStack() as stack:
            stack.enter_context(rare_collections())
            writers = [
                stack.enter_context(RecordWriter(label, task.segment, root=task.records))
                for label in labels
            ]
            for payload in iter_readable(task.archive_url, task.path):
                count += 1
                for transform, writer in zip(task.transforms, writers, strict=True):
                    _transform_one(transform, payload, writer)
            for transform, writer in zip(task.transforms, writers, strict=True):
                _write_gathered(transform, writer)
    except ArchiveError as error:
        return Parsed(damaged=[str(error)])
    return Parsed(
        payload_count=count,
        record_count=sum(writer.record_count for writer in writers),
        quarantined_count=sum(writer.quarantined_count for writer in writers),
        rejected_count=sum(writer.rejected_count for writer in writers),
        segment_count=1,
    )


def _transform_one(transform: Transform, payload: Payload, writer: RecordWriter) -> None:
    """Gather what the payload says; alone those whose rows do not go with the others."""
    if not writer.gather(payload, transform.source, lambda: transform.function(payload)):
        _transform_alone(transform, payload, writer)
    if writer.is_full:
        _write_gathered(transform, writer)


def _write_gathered(transform: Transform, writer: RecordWriter) -> None:
    for payload in writer.write_gathered():
        _transform_alone(transform, payload, writer)


def _transform_alone(transform: Transform, payload: Payload, writer: RecordWriter) -> None:
    rejected: list[Rejected] = []
    try:
        rows = list(_converted(transform, payload, rejected))
    except MemoryError:
        raise
    except Exception as error:
        # Whatever a transform trips over is a fact about this payload alone.
        writer.quarantine(payload, _reason(transform, error))
    else:
        if rejected and not rows:
            writer.quarantine(payload, whole_payload(rejected))
        else:
            writer.add(payload, rows, rejected)


def _reason(transform: Transform, error: Exception) -> Reason:
    """Why a payload is quarantined: the error, and the line of the transform that met it."""
    if isinstance(error, RowInvalid):
        return Reason("RowInvalid", str(error), error.model, error.field, error.value)
    kind = type(error).__name__
    said = f"there is no {error}" if isinstance(error, KeyError) else str(error)
    # An error may say where in the payload it arose, and what stands there: `field` and `value`.
    told = [getattr(error, name, None) for name in ("field", "value")]
    field, value = ("" if each is None else str(each) for each in told)
    if isinstance(error, KeyError) and error.args:
        field = str(error.args[0])
    file = inspect.getsourcefile(transform.function)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f" (line {lines[-1]} of {Path(str(file)).name})" if lines else ""
    return Reason(
        kind, f"Feed {transform.feed}: {transform.name}{where}: {kind}: {said}", "", field, value
    )


def _converted(
    transform: Transform, payload: Payload, rejected: list[Rejected]
) -> Iterator[tuple[type[models.Model], list[Any]]]:
    """The rows, converted; where the transform says so, invalid ones go to `rejected` instead."""
    rows = transform.function(payload)
    for ordinal, row in enumerate(rows):
        if not isinstance(row, Row):
            raise RowInvalid(f"{transform.name} yielded {row!r}; yield Model.row(…).")
        model = row.model
        if model._meta.app_label != transform.source or not issubclass(model, Derived):
            raise RowInvalid(
                f"Feed {transform.feed}: {transform.name} yielded a row of {model._meta.label}; "
                f"a transform yields rows of the derived models of its own source."
            )
        try:
            yield model, columns_of(model).convert(row.values)
        except RowInvalid as error:
            placed = RowInvalid(
                f"Feed {transform.feed}: {error}{line_of(transform, rows)}",
                model=error.model,
                field=error.field,
                value=error.value,
            )
            if transform.bad_rows == "payload":
                raise placed from None
            rejected.append(Rejected(ordinal, known_key(row), _reason(transform, placed)))


def _tasks(transforms: list[Transform], archive: Archive) -> Iterator[Task]:
    parsed = {t.name: parsed_segments(label_of(t)) for t in transforms}
    feeds = {t.feed for t in transforms}
    segments = [s for s in archive.segments() if s.feed in feeds and s.row_count]
    for segment in sorted(segments, key=lambda s: (s.first_fetched_at or s.sealed_at, s.name)):
        wanted = tuple(
            t for t in transforms if t.feed == segment.feed and segment.name not in parsed[t.name]
        )
        if wanted:
            yield Task(
                archive_url=archive.url,
                records=Path(settings.RECORDS_DIR),
                segment=segment.name,
                path=segment.path,
                payload_count=segment.row_count,
                body_bytes=segment.body_bytes,
                transforms=wanted,
                fingerprints=tuple(fingerprint(t) for t in wanted),
            )


def _run(tasks: list[Task]) -> Iterator[tuple[Task, Parsed]]:
    workers = settings.PARSE_WORKERS or os.cpu_count() or 1
    size = sum(task.body_bytes for task in tasks)
    if workers < 2 or len(tasks) < 2 or size < POOL_FROM_BYTES or not _picklable(tasks[0]):
        for task in tasks:
            yield task, parse_segment(task)
        return
    # Workers are spawned: forking a process that has threads or open connections is unsafe.
    pool = ProcessPoolExecutor(
        max_workers=min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=django.setup,
    )
    try:
        yield from _spread(pool, tasks, ahead=workers * 2)
    finally:
        pool.shutdown(cancel_futures=True)


def _spread(
    pool: ProcessPoolExecutor, tasks: list[Task], *, ahead: int
) -> Iterator[tuple[Task, Parsed]]:
    waiting = iter(tasks)
    running: dict[Future[Parsed], Task] = {}
    while True:
        for task in waiting:
            running[pool.submit(_in_worker, task)] = task
            if len(running) >= ahead:
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def _in_worker(task: Task) -> Parsed:
    # The worker imported the transforms anew, from files that may have changed meanwhile.
    fresh = [replace(t, code_digest=code_digest(t.function)) for t in task.transforms]
    if tuple(map(fingerprint, fresh)) != task.fingerprints:
        return Parsed(is_stale=True)
    return parse_segment(task)


def _picklable(task: Task) -> bool:
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
