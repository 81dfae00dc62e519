"""Parse: run transforms over segments and write what they say to record files.

One task is one segment, or a slice of a large one, and the transforms that have not parsed
it. Tasks are independent and their files are written once, so a killed parse resumes where
it was, and doing a task twice changes nothing. Where they run: `reshape.executors`.
"""

import inspect
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from raw_store.cycles import rare_collections
from raw_store.errors import ArchiveError
from raw_store.locks import RECORDS, shared
from raw_store.payload import Payload, digest
from raw_store.rows import to_table
from raw_store.segments import iter_readable

from . import slices, staging
from .batches import OF_THE_PROCESS
from .columns import columns_of
from .errors import Overlong, RowInvalid
from .executors import execute
from .fingerprint import code_digest, fingerprint
from .models import Derived, Row
from .purity import guarding, run_guarded
from .records import (
    BORROWED,
    Reason,
    RecordWriter,
    Rejected,
    mark_used,
    parsed_segments,
    sweep_temporaries,
)
from .registry import Transform
from .rejected import known_key, line_of, whole_payload
from .sql import sweep_spilled
from .sql_transform import is_sql
from .tasks import Task, segments_to_parse, task_of, tasks_of
from .tasks import label_of as label_of

if TYPE_CHECKING:
    from raw_store.archive import Archive

logger = logging.getLogger(__name__)

Advance = Callable[[int], None]


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


def parse_segments(
    transforms: Iterable[Transform], archive: "Archive", *, advance: Advance | None = None
) -> Parsed:
    """Parse every indexed segment that a transform has not parsed yet.

    `advance` is called with the number of payloads done. A segment that cannot be read is
    named in `damaged`; the others are parsed.
    """
    with shared(RECORDS):
        return _parse_segments(list(transforms), archive, advance)


def _parse_segments(
    transforms: list[Transform], archive: "Archive", advance: Advance | None
) -> Parsed:
    for transform in transforms:
        mark_used(label_of(transform))
    sweep_temporaries()
    slices.sweep_slices()
    staging.sweep()
    sweep_spilled()
    tasks = list(tasks_of(transforms, archive))
    total = Parsed()
    joins = _Joins(transforms, archive, tasks)
    joins.join_whole(total)
    for task, done in execute(tasks, parse_segment, _in_worker):
        if done.is_stale:
            logger.warning("a worker's code is not this one's, parsed here segment=%s", task.path)
            done = parse_segment(task)
        total.add(done)
        joins.done(task, done, total)
        if advance:
            advance(task.payload_count)
    total.damaged = sorted(set(total.damaged))
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


def payloads_to_parse(transforms: Iterable[Transform], archive: "Archive") -> int:
    """How many payloads `parse_segments` would read: the total for a progress display."""
    return sum(task.payload_count for task in tasks_of(list(transforms), archive))


def parse_payloads(
    transform: Transform, payloads: Iterable[Payload], *, attempt: str = ""
) -> Parsed:
    """Parse payloads that no segment's own task covers: versions whose body another fetch holds.

    Their record file is named by the fetches in it, and by the `attempt` where they are retried.
    """
    payloads = list(payloads)
    name = digest((attempt + "".join(sorted(str(p.fetch_id) for p in payloads))).encode())
    with guarding(), RecordWriter(label_of(transform), f"{BORROWED}{name[:32]}") as writer:
        if is_sql(transform):
            # Not above: what parses in Python alone starts without DuckDB.
            from .sql_parse import parse_tables

            parse_tables(transform, [to_table([payload]) for payload in payloads], writer)
        for payload in () if is_sql(transform) else payloads:
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
    piece = task.piece
    root = slices.slices_dir(task.records, task.segment) if piece else task.records
    name = piece.name if piece else task.segment
    count = 0
    try:
        with guarding(), ExitStack() as stack:
            stack.enter_context(rare_collections())
            writers = [
                stack.enter_context(RecordWriter(label, name, root=root)) for label in labels
            ]
            groups = piece.groups if piece else None
            pairs = list(zip(task.transforms, writers, strict=True))
            in_python = [pair for pair in pairs if not is_sql(pair[0])]
            for transform, writer in pairs:
                if is_sql(transform):
                    from .sql_parse import parse_in_sql

                    count = parse_in_sql(transform, task.archive_url, task.path, writer, groups)
            if in_python:
                count = 0
                for payload in iter_readable(task.archive_url, task.path, groups):
                    count += 1
                    for transform, writer in in_python:
                        _transform_one(transform, payload, writer)
                for transform, writer in in_python:
                    _write_gathered(transform, writer)
    except ArchiveError as error:
        return Parsed(damaged=[str(error)])
    return Parsed(
        payload_count=count,
        record_count=sum(writer.record_count for writer in writers),
        quarantined_count=sum(writer.quarantined_count for writer in writers),
        rejected_count=sum(writer.rejected_count for writer in writers),
        segment_count=0 if piece else 1,
    )


def _transform_one(transform: Transform, payload: Payload, writer: RecordWriter) -> None:
    """Gather what the payload says; alone those whose rows do not go with the others."""
    try:
        is_gathered = writer.gather(payload, transform.source, lambda: transform.function(payload))
    except Overlong as error:
        # Once is enough.
        writer.quarantine(payload, _reason(transform, error))
        return
    except MemoryError as error:
        _name(payload, transform, error)
        raise
    if not is_gathered:
        _transform_alone(transform, payload, writer)
    if writer.is_full:
        _write_gathered(transform, writer)


def _write_gathered(transform: Transform, writer: RecordWriter) -> None:
    for payload in writer.write_gathered():
        _transform_alone(transform, payload, writer)


def _transform_alone(transform: Transform, payload: Payload, writer: RecordWriter) -> None:
    rejected: list[Rejected] = []
    try:
        rows = run_guarded(_converted, transform, payload, rejected)
    except OF_THE_PROCESS as error:
        _name(payload, transform, error)
        raise
    except BaseException as error:
        # Whatever a transform trips over is a fact about this payload alone: `sys.exit()` too, and
        # the panic of a library in Rust.
        writer.quarantine(payload, _reason(transform, error))
    else:
        if rejected and not rows:
            writer.quarantine(payload, whole_payload(rejected))
        else:
            writer.add(payload, rows, rejected)


def _name(payload: Payload, transform: Transform, error: BaseException) -> None:
    """Say in the traceback over which payload the process came to an end."""
    error.add_note(f"{transform.name} was reading fetch {payload.fetch_id} of {payload.url}")


def _reason(transform: Transform, error: BaseException) -> Reason:
    """Why a payload is quarantined: the error, and the line of the transform that met it."""
    if isinstance(error, RowInvalid):
        return Reason("RowInvalid", str(error), error.model, error.field, error.value)
    kind = type(error).__name__
    try:
        said, field, value = _told(error)
    except Exception as silent:
        said, field, value = f"it cannot say more: {type(silent).__name__}", "", ""
    file = inspect.getsourcefile(transform.function)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f" (line {lines[-1]} of {Path(str(file)).name})" if lines else ""
    return Reason(
        kind, f"Feed {transform.feed}: {transform.name}{where}: {kind}: {said}", "", field, value
    )


def _told(error: BaseException) -> tuple[str, str, str]:
    """An error's message, field and value; its own code says them, and may fail."""
    said = f"there is no {error}" if isinstance(error, KeyError) else str(error)
    # An error may say where in the payload it arose, and what stands there: `field` and `value`.
    told = [getattr(error, name, None) for name in ("field", "value")]
    field, value = ("" if each is None else str(each) for each in told)
    if isinstance(error, KeyError) and error.args:
        field = str(error.args[0])
    return said, field, value


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


def _in_worker(task: Task) -> Parsed:
    # The worker imported the transforms anew, from files that may have changed meanwhile.
    fresh = [replace(t, code_digest=code_digest(t.function)) for t in task.transforms]
    if tuple(map(fingerprint, fresh)) != task.fingerprints:
        return Parsed(is_stale=True)
    return parse_segment(task)


class _Joins:
    """The segments that are parsed in slices: each is joined as soon as its last slice is done."""

    def __init__(self, transforms: list[Transform], archive: "Archive", tasks: list[Task]) -> None:
        self._archive = archive
        self._root = Path(settings.RECORDS_DIR)
        self._left = Counter(task.segment for task in tasks if task.piece)
        self._wanted = {
            segment.name: (segment, wanted)
            for segment, wanted in segments_to_parse(transforms, archive)
            if slices.is_large(segment.body_bytes)
        }

    def join_whole(self, total: Parsed) -> None:
        """Join what a parse that was killed left with every slice done."""
        for name in sorted(self._wanted.keys() - self._left.keys()):
            self._join(name, total)

    def done(self, task: Task, parsed: Parsed, total: Parsed) -> None:
        """Take note that a task is done."""
        if not task.piece:
            return
        self._left[task.segment] -= 1
        if parsed.damaged:
            self._wanted.pop(task.segment, None)
        if not self._left[task.segment] and task.segment in self._wanted:
            self._join(task.segment, total)

    def _join(self, name: str, total: Parsed) -> None:
        segment, wanted = self._wanted.pop(name)
        try:
            pieces = slices.cut(self._archive.url, segment.path)
        except ArchiveError:
            return  # a task of its own reports the damage
        for transform in wanted:
            label = label_of(transform)
            names = [piece.name for piece in pieces]
            while not slices.join(self._root, name, label, names):
                if name in parsed_segments(label):
                    slices.remove_slices(self._root, name, label)
                    break
                there = slices.parsed_slices(self._root, name, label)
                for piece in pieces:
                    if piece.name not in there:
                        task = task_of(self._root, self._archive.url, segment, (transform,), piece)
                        total.damaged += (again := parse_segment(task)).damaged
                        if again.damaged:
                            return
        total.segment_count += 1
