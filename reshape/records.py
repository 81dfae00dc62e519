"""Record files: what each payload says about each row, kept per transform and segment.

    records/TABLE/TRANSFORM@FINGERPRINT/SEGMENT.parquet       one row per record
    records/_outcomes/TRANSFORM@FINGERPRINT/SEGMENT.parquet   one row per payload
    records/_rejected/TRANSFORM@FINGERPRINT/SEGMENT.parquet   one row per row set aside

A record file is a pure function of its segment and its transform's fingerprint,
written once under a temporary name and renamed. The outcome file is written last:
where it exists, the segment is parsed. It holds the quarantine of payloads: one whose
`error` is not null gave no record. The rejected hold that of rows, where a transform says
`bad_rows="row"`; a payload without any has no row there.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db import models

from raw_store.payload import Payload

from .batches import Batch
from .columns import GIVEN, columns_of
from .models import Row

OUTCOMES = "_outcomes"
SLICES = "_slices"
"""The folder of segments that are parsed in part (`reshape.slices`)."""
OUTCOME_SCHEMA = pa.schema(
    [
        ("fetch_id", pa.string()),
        ("request_key", pa.string()),
        ("url", pa.string()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("record_count", pa.int32()),
        ("error", pa.string()),
        ("message", pa.string()),
        ("model", pa.string()),
        ("field", pa.string()),
        ("value", pa.string()),
    ]
)
BORROWED = "borrowed-"
"""How the names of files begin that belong to no segment."""
REJECTED = "_rejected"
REJECTED_SCHEMA = pa.schema(
    [
        ("fetch_id", pa.string()),
        ("ordinal", pa.int32()),  # the row's position in its payload, as records count it
        ("key", pa.string()),  # its natural key as a JSON list, empty where that is not known
        ("error", pa.string()),
        ("message", pa.string()),
        ("model", pa.string()),
        ("field", pa.string()),
        ("value", pa.string()),
    ]
)
_LINEAGE = [
    pa.field("fetch_id", pa.string()),
    pa.field("_request_key", pa.string()),
    pa.field("_run_id", pa.string()),
    pa.field("_fetched_at", pa.timestamp("us", tz="UTC")),
    pa.field("_ordinal", pa.int32()),
]
_ROWS_PER_WRITE = 50_000
# Of other columns nobody asks for the smallest and largest value, a fifth of the work of writing.
_SOUGHT = ["fetch_id", "_request_key", "_fetched_at"]
# Only these repeat from row to row whatever the source; elsewhere a dictionary costs more than
# it saves.
_DICTIONARIES = [each.name for each in _LINEAGE if each.name != "_ordinal"]


def record_schema(model: type[models.Model]) -> pa.Schema:
    """The columns of a model's record files: those a transform gives, then the lineage.

    A model that merges fields has `_given` between them: which of them each record gives.
    Lineage: `fetch_id` (text), `_request_key`, `_run_id`, `_fetched_at`, and `_ordinal`, the
    record's position in its payload.
    """
    columns = columns_of(model)
    given = [pa.field(column.name, column.arrow) for column in columns.given]
    if columns.merges_fields:
        given.append(pa.field(GIVEN, pa.string()))
    return pa.schema(given + _LINEAGE)


def records_dir(folder: str, label: str) -> Path:
    """Where one transform's files lie; `folder` is a table or `OUTCOMES`."""
    return Path(settings.RECORDS_DIR) / folder / label


def parsed_segments(label: str) -> set[str]:
    """The names of the segments that the transform `label` (NAME@FINGERPRINT) has parsed."""
    return {path.stem for path in records_dir(OUTCOMES, label).glob("*.parquet")}


def record_files(folder: str, label: str, segments: Iterable[str]) -> list[Path]:
    """The files of one folder that belong to `segments`, in their order."""
    directory = records_dir(folder, label)
    there = {path.stem: path for path in directory.glob("*.parquet")}
    return [there[name] for name in segments if name in there]


def forget_records(label: str, name: str) -> None:
    """Remove a segment's files of one transform, the outcome first: it is parsed anew."""
    root = Path(settings.RECORDS_DIR)
    others = [path.parent.name for path in root.glob(f"*/{label}") if path.parent.name != OUTCOMES]
    for folder in (OUTCOMES, *others):
        (root / folder / label / f"{name}.parquet").unlink(missing_ok=True)


def sweep_temporaries(older_than_seconds: float = 86_400) -> None:
    """Remove what killed processes left half written."""
    root = Path(settings.RECORDS_DIR)
    for pattern in ("*/*/.*.tmp", f"{SLICES}/*/*/*/.*.tmp"):
        for path in root.glob(pattern):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than_seconds:
                    path.unlink()


def mark_used(label: str) -> None:
    """Note that the files of `label` were used now: what is used is not swept away."""
    with suppress(FileNotFoundError):
        os.utime(records_dir(OUTCOMES, label))


@contextmanager
def unused(label: str) -> Iterator[None]:
    """What is done to the files of `label` within is no use of them."""
    folder = records_dir(OUTCOMES, label)
    before = folder.stat()
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


class Reason(NamedTuple):
    """Why a transform could not read a payload."""

    error: str
    """The exception's name."""
    message: str
    model: str = ""
    field: str = ""
    value: str = ""


class Rejected(NamedTuple):
    """A row that was set aside alone, and why."""

    ordinal: int
    key: str
    reason: Reason


class RecordWriter:
    """Writes the record files of one segment and one transform; all of them or none.

    Leaving the context without an error makes them visible, the outcome file last.
    """

    def __init__(self, label: str, segment: str, *, root: Path | None = None) -> None:
        """Write below `root`, by default the home folder's `records/`."""
        self._root = root or Path(settings.RECORDS_DIR)
        self._label = label
        self._segment = segment
        self._files: dict[str, _File] = {}
        self._outcomes = self._file(OUTCOMES, OUTCOME_SCHEMA)
        self._batch = Batch()
        self.record_count = 0
        self.quarantined_count = 0
        self.rejected_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        files = [file for name, file in self._files.items() if name != OUTCOMES]
        for file in [*files, self._outcomes]:
            if kind is None and not self._batch:
                file.publish()
            else:
                file.discard()
        if kind is None and self._batch:
            raise RuntimeError(
                f"{len(self._batch)} payloads of segment {self._segment} were gathered and not "
                f"written. Call write_gathered() before the writer is left."
            )

    @property
    def is_full(self) -> bool:
        """Whether `write_gathered` is due."""
        return self._batch.is_full

    def gather(self, payload: Payload, source: str, rows: Callable[[], Iterable[Row]]) -> bool:
        """Take the rows of a payload, to be converted with those of others; False where they
        must be converted alone and `add`ed, or the payload quarantined. Raises `Overlong`."""
        return self._batch.gather(payload, source, rows)

    def write_gathered(self) -> Iterator[Payload]:
        """Write what was gathered; gives the payloads of which a value is refused."""
        for found in self._batch.take():
            if isinstance(found, Payload):
                yield found
                continue
            for model, arrays in found.columns.items():
                self._file_of(model).write(arrays)
            for payload, record_count, _ in found.gathered:
                self.record_count += record_count
                self._outcome(payload, record_count)

    def add(
        self,
        payload: Payload,
        rows: list[tuple[type[models.Model], list[Any]]],
        rejected: Sequence[Rejected] = (),
    ) -> None:
        """Write what a readable payload said; `rows` are models with converted values.

        `rejected` are the rows between them that were set aside; their ordinals stay theirs.
        """
        lineage = [
            str(payload.fetch_id),
            payload.request_key,
            str(payload.run_id),
            payload.fetched_at,
        ]
        taken = {entry.ordinal for entry in rejected}
        ordinals = (ordinal for ordinal in count() if ordinal not in taken)
        for ordinal, (model, values) in zip(ordinals, rows, strict=False):
            self._file_of(model).append([*values, *lineage, ordinal])
        for entry in rejected:
            refused = self._files.get(REJECTED) or self._file(REJECTED, REJECTED_SCHEMA)
            key = entry.key if len(entry.key) <= KEY_LIMIT else ""
            refused.append([str(payload.fetch_id), entry.ordinal, key, *_cleaned(entry.reason)])
        self.record_count += len(rows)
        self.rejected_count += len(rejected)
        self._outcome(payload, len(rows))

    def add_table(
        self,
        model: type[models.Model],
        records: pa.Table,
        payloads: pa.Table,
        counts: pa.Array,
    ) -> None:
        """Write what readable payloads said, as tables.

        `records` has the columns of `record_schema(model)`; `payloads` are their rows of the
        archive, also of those that gave none, and `counts` the records each of them gave.
        """
        if records.num_rows:
            self._file_of(model).append_table(records)
        self.record_count += records.num_rows
        self._outcomes.append_table(payloads.append_column("record_count", counts))

    def quarantine(self, payload: Payload, reason: Reason) -> None:
        """Write that the transform could not read the payload, and why."""
        self.quarantined_count += 1
        self._outcome(payload, 0, reason)

    def _outcome(self, payload: Payload, record_count: int, reason: Reason | None = None) -> None:
        described = [str(payload.fetch_id), payload.request_key, payload.url, payload.fetched_at]
        problem = _cleaned(reason) if reason else [None] * len(Reason._fields)
        self._outcomes.append([*described, record_count, *problem])

    def _file_of(self, model: type[models.Model]) -> "_File":
        table = model._meta.db_table
        return self._files.get(table) or self._file(
            table, record_schema(model), columns_of(model).key
        )

    def _file(self, folder: str, schema: pa.Schema, key: Sequence[str] = ()) -> "_File":
        path = self._root / folder / self._label / f"{self._segment}.parquet"
        file = self._files[folder] = _File(path, schema, key)
        return file


class _File:
    """One Parquet file under a temporary name, written in bounded batches."""

    def __init__(self, path: Path, schema: pa.Schema, key: Sequence[str] = ()) -> None:
        """`key` are columns that rows are looked for by, beside the lineage."""
        self._path = path
        self._schema = schema
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes, on two machines perhaps, may parse the same segment.
        self._temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
        self._writer = pq.ParquetWriter(
            self._temporary,
            schema,
            compression="zstd",
            use_dictionary=_DICTIONARIES,
            write_statistics=[name for name in (*_SOUGHT, *key) if name in schema.names],
        )
        self._rows: list[list[Any]] = []

    def append(self, row: list[Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS_PER_WRITE:
            self._write()

    def append_table(self, table: pa.Table) -> None:
        """Write the columns of the file's schema; those that `table` lacks are null."""
        self._write()
        arrays = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(table.num_rows, field.type)
            for field in self._schema
        ]
        self.write(arrays)

    def write(self, arrays: list[pa.Array]) -> None:
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def publish(self) -> None:
        self._write()
        self._writer.close()
        self._temporary.replace(self._path)

    def discard(self) -> None:
        self._writer.close()
        self._temporary.unlink(missing_ok=True)

    def _write(self) -> None:
        if not self._rows:
            return
        arrays = [
            pa.array(values, type=field.type)
            for field, values in zip(self._schema, zip(*self._rows, strict=True), strict=True)
        ]
        self.write(arrays)
        self._rows.clear()


# Characters; the columns of QuarantineEntry hold as much.
_REASON_LIMITS = (200, 2000, 200, 200, 2000)
KEY_LIMIT = 1000
"""A longer natural key is not kept with a row that was set aside."""


def _cleaned(reason: Reason) -> list[str]:
    return [_clean(text, limit) for text, limit in zip(reason, _REASON_LIMITS, strict=True)]


def _clean(text: str, limit: int) -> str:
    """Text that any database takes: no NUL, no half surrogate, not endless."""
    cleaned = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    return cleaned if len(cleaned) <= limit else f"{cleaned[: limit - 1]}…"
