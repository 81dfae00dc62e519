"""Writing a segment: rows into row groups, row groups into one durable file.

How it is compressed was chosen by measurement (`bench/archive`): see `docs/archive-format.md`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from .durability import is_local, write_file
from .pages import Compression, Encoded, ParquetFile, Value, encode
from .payload import Payload
from .rows import SCHEMA, payload_bytes, to_table
from .segments import METADATA_PREFIX, SPOOLED_FROM, SegmentInfo

HOT = Compression(level=1, window_log=24)
"""For segments as they are sealed: with the long window, level 3 takes twice the time and gains
nothing on histories, and a tenth on pages that have little in common."""
HOT_APART = replace(HOT, is_long=False)
"""Where most rows are of different requests: a fifth quicker, and as small."""
COLD = Compression(level=12, window_log=26)
"""For compacted segments: written once, read for years."""

BODIES = ("body", "encoded_body")
# Hexadecimal text holds four bits a character; where nothing recurs in it, level 1 finds just that.
_IDS = ("fetch_id", "run_id", "payload_id")
_ENCODINGS = {"body_digest": "DELTA_LENGTH_BYTE_ARRAY", "fetched_at": "DELTA_BINARY_PACKED"}
_LEAVES = [
    *(field.name for field in SCHEMA if not pa.types.is_list(field.type)),
    *(
        f"{name}.list.element.{part}"
        for name in ("request_headers", "headers")
        for part in ("name", "value")
    ),
]


def _options(*, id_level: int) -> dict[str, Any]:
    """How pyarrow writes the columns that are not bodies."""
    levels = dict.fromkeys(_LEAVES, 3)
    levels |= dict.fromkeys(_IDS, id_level) | {"body_digest": 1}
    return {
        "compression": "zstd",
        "compression_level": levels,
        "use_dictionary": [
            field.name
            for field in SCHEMA
            if pa.types.is_string(field.type) and field.name not in (*_IDS, *_ENCODINGS)
        ],
        "column_encoding": _ENCODINGS,
        "write_statistics": [
            *_IDS,
            "sequence",
            "source",
            "feed",
            "request_key",
            "status",
            "fetched_at",
        ],
        "write_page_checksum": True,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How rows are cut into row groups, and how their bodies are compressed."""

    rows: int
    bytes: int
    """Of bodies. A body that is larger has a row group of its own."""
    compression: Compression
    options: Mapping[str, Any]
    """For the other columns, as pyarrow takes them."""
    apart: Compression | None = None
    """For the bodies of a row group whose rows are mostly of different requests."""


SEALED = Layout(
    rows=1_024,
    bytes=16 * 1024 * 1024,
    compression=HOT,
    apart=HOT_APART,
    options=_options(id_level=3),
)
COMPACTED = Layout(
    rows=4_096, bytes=64 * 1024 * 1024, compression=COLD, options=_options(id_level=13)
)


class RowGroup(NamedTuple):
    """Rows to be written together."""

    table: pa.Table
    """All columns of `rows.SCHEMA`, the bodies null."""
    bodies: Mapping[str, Sequence[Value]]
    """`body` and `encoded_body`, where any is not null."""

    def encode(self, layout: Layout) -> Encoded:
        compression = layout.compression
        if layout.apart and 2 * pc.count_distinct(self.table["request_key"]).as_py() > len(
            self.table
        ):
            compression = layout.apart
        return encode(self.table, self.bodies, compression, layout.options)


def segment_path(feed: str, name: str, day: datetime) -> str:
    """Where a segment lies below the archive's address."""
    source = feed.partition(".")[0]
    date = day.astimezone(UTC).date().isoformat()
    return f"source={source}/feed={feed}/date={date}/{name}.parquet"


def write_segment(
    url: str,
    feed: str,
    name: str,
    payloads: "Iterable[Payload] | Gathering",
    *,
    complete_runs: Sequence[str] | str = (),
    sealed_at: datetime,
) -> SegmentInfo:
    """Write payloads as one durable segment, and return what its footer says.

    `date=` in its path is the UTC date of its first fetch. Raises `SealFailed`.
    """
    gathered = payloads if isinstance(payloads, Gathering) else Gathering(payloads)
    times, ids, keys = gathered.times, gathered.ids, gathered.keys
    info = SegmentInfo(
        name=name,
        feed=feed,
        path=segment_path(feed, name, times[0] if times else sealed_at),
        row_count=len(gathered),
        body_bytes=gathered.body_bytes,
        file_bytes=0,
        first_fetched_at=min(times, default=None),
        last_fetched_at=max(times, default=None),
        first_fetch_id=min(ids, default=None),
        last_fetch_id=max(ids, default=None),
        first_request_key=min(keys, default=None),
        last_request_key=max(keys, default=None),
        complete_runs=complete_runs if isinstance(complete_runs, str) else list(complete_runs),
        sealed_at=sealed_at,
    )
    return write_groups(url, info, gathered.groups(), SEALED)


class Gathering:
    """Payloads on their way into a segment, in the order added.

    A row group is compressed as soon as it is full, in a thread beside whoever adds the next
    rows, so that sealing has only the last one left to do.
    """

    def __init__(self, payloads: Iterable[Payload] = ()) -> None:
        self.times: list[datetime] = []
        self.ids: list[UUID] = []
        self.keys: list[str] = []
        """Their request keys."""
        self.body_bytes = 0
        self._rows: list[Payload] = []
        self._weight = 0
        self._groups: list[RowGroup | Future[Encoded]] = []
        self._threads: ThreadPoolExecutor | None = None
        for payload in payloads:
            self.add(payload)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, payload: Payload) -> int:
        """Add a row, a payload as `OpenSegment.append` returns it; return the bytes it brings."""
        weight = payload_bytes(payload)
        if payload.spooled_body or payload.spooled_encoded:
            weight += _spooled(payload)
        is_large = weight >= SPOOLED_FROM
        if self._rows and (is_large or self._weight + weight > SEALED.bytes):
            self._cut()
        self._rows.append(payload)
        self._weight += weight
        self.times.append(payload.fetched_at)
        self.ids.append(payload.fetch_id)
        self.keys.append(payload.request_key)
        self.body_bytes += _stored(payload)
        if is_large or len(self._rows) == SEALED.rows:
            self._cut()
        return weight

    def groups(self) -> Iterator[RowGroup | Encoded]:
        """The row groups, once, as they are to be written."""
        last = [_row_group(self._rows)] if self._rows else []
        for group in (*self._groups, *last):
            yield group.result() if isinstance(group, Future) else group
        if self._threads:
            self._threads.shutdown()

    def _cut(self) -> None:
        rows, self._rows, self._weight = self._rows, [], 0
        if any(row.spooled_body or row.spooled_encoded for row in rows):
            self._groups.append(_row_group(rows))
            return
        self._threads = self._threads or ThreadPoolExecutor(2, "compress")
        self._groups.append(self._threads.submit(_compressed, rows))


def _compressed(rows: Sequence[Payload]) -> Encoded:
    return _row_group(rows).encode(SEALED)


def write_groups(
    url: str, info: SegmentInfo, groups: Iterable[RowGroup | Encoded], layout: Layout
) -> SegmentInfo:
    """Write row groups as the durable segment that `info` describes; return it with its size.

    Raises `SealFailed`.
    """
    described = {
        key: value for key, value in asdict(info).items() if key not in ("path", "file_bytes")
    }

    def write(file: BinaryIO | pa.NativeFile) -> None:
        scratch = Path(url) / info.path if is_local(url) else None
        parquet = ParquetFile(
            file, SCHEMA, layout.compression, layout.options, scratch=scratch and scratch.parent
        )
        for group in groups:
            parquet.add_encoded(group if isinstance(group, Encoded) else group.encode(layout))
        parquet.finish(
            {
                f"{METADATA_PREFIX}{key}": json.dumps(value, default=_as_text)
                for key, value in described.items()
            }
        )

    return replace(info, file_bytes=write_file(url, info.path, write))


def any_stored(values: Sequence[Value]) -> bool:
    """Whether any of them is there: an empty body is."""
    return any(value is not None for value in values)


def without_bodies(table: pa.Table) -> pa.Table:
    """Rows that lack the columns of `BODIES`, with those null."""
    for name in BODIES:
        table = table.append_column(name, pa.nulls(table.num_rows, pa.binary()))
    return table.select(SCHEMA.names).cast(SCHEMA)


def _row_group(payloads: Sequence[Payload]) -> RowGroup:
    bodies: dict[str, Sequence[Value]] = {
        "body": [payload.spooled_body or payload.body for payload in payloads],
        "encoded_body": [payload.spooled_encoded or payload.encoded_body for payload in payloads],
    }
    return RowGroup(
        to_table(payloads, without=BODIES),
        {name: values for name, values in bodies.items() if any_stored(values)},
    )


def _spooled(payload: Payload) -> int:
    body, encoded = payload.spooled_body, payload.spooled_encoded
    return (body.size if body else 0) + (encoded.size if encoded else 0)


def _stored(payload: Payload) -> int:
    if payload.spooled_body is not None:
        return payload.spooled_body.size
    return len(payload.body or b"")


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
