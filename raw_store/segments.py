"""One segment: an immutable Parquet file of one feed's payloads.

This module is the format; `docs/archive-format.md` describes it. A segment is
written under a temporary name and renamed when complete, so a reader sees all of
it or none of it. Nothing here needs Django: worker processes read segments with it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from .durability import open_folder, write_file
from .errors import SegmentCorrupt
from .payload import Headers, Payload
from .versions import judge

FORMAT_VERSION = 1

ROW_GROUP_ROWS = 256
ROW_GROUP_BYTES = 16 * 1024 * 1024

_HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))

SCHEMA = pa.schema(
    [
        ("fetch_id", pa.string()),
        ("run_id", pa.string()),
        ("sequence", pa.int64()),
        ("source", pa.string()),
        ("feed", pa.string()),
        ("attempt", pa.int32()),
        ("method", pa.string()),
        ("url", pa.string()),
        ("request_headers", _HEADERS),
        ("request_body", pa.binary()),
        ("request_key", pa.string()),
        ("status", pa.int16()),
        ("reason", pa.string()),
        ("http_version", pa.string()),
        ("headers", _HEADERS),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("elapsed_ms", pa.int64()),
        ("content_type", pa.string()),
        ("content_encoding", pa.string()),
        ("body", pa.binary()),
        ("body_digest", pa.string()),
        ("body_size", pa.int64()),
        ("encoded_digest", pa.string()),
        ("encoded_size", pa.int64()),
        ("encoded_body", pa.binary()),
        ("payload_id", pa.string()),
        ("truncated", pa.string()),
        ("error", pa.string()),
    ]
)

BODY_COLUMNS = ("request_body", "body", "encoded_body")
METADATA_COLUMNS = [name for name in SCHEMA.names if name not in ("body", "encoded_body")]
_WITH_STATISTICS = [
    "fetch_id",
    "run_id",
    "sequence",
    "source",
    "feed",
    "request_key",
    "status",
    "fetched_at",
    "payload_id",
]
_WITH_DICTIONARY = [
    name
    for name in SCHEMA.names
    if pa.types.is_string(SCHEMA.field(name).type) and name not in ("fetch_id", "body_digest")
]
_METADATA_PREFIX = "rootcellar."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """What a segment's footer says of it; the index holds the same."""

    name: str
    """A UUIDv7: names sort by the time of sealing."""
    feed: str
    path: str
    """Below the archive's address."""
    row_count: int
    body_bytes: int
    """Of the bodies stored in it."""
    file_bytes: int
    first_fetched_at: datetime | None
    last_fetched_at: datetime | None
    first_fetch_id: UUID | None
    last_fetch_id: UUID | None
    complete_runs: list[str] | str
    """Runs known complete once this segment is: their ids, or "*" for every run with a row here."""
    sealed_at: datetime
    format_version: int = FORMAT_VERSION


def segment_path(feed: str, name: str, day: datetime) -> str:
    """Where a segment lies below the archive's address."""
    source = feed.partition(".")[0]
    date = day.astimezone(UTC).date().isoformat()
    return f"source={source}/feed={feed}/date={date}/{name}.parquet"


def write_segment(
    url: str,
    feed: str,
    name: str,
    payloads: Sequence[Payload],
    *,
    complete_runs: Sequence[str] = (),
    sealed_at: datetime,
) -> SegmentInfo:
    """Write payloads as one durable segment, and return what its footer says.

    `date=` in its path is the UTC date of its first fetch. Raises `SealFailed`.
    """
    times = [payload.fetched_at for payload in payloads]
    ids = [payload.fetch_id for payload in payloads]
    path = segment_path(feed, name, times[0] if times else sealed_at)
    described: dict[str, Any] = {
        "name": name,
        "feed": feed,
        "row_count": len(payloads),
        "body_bytes": sum(len(payload.body or b"") for payload in payloads),
        "first_fetched_at": min(times, default=None),
        "last_fetched_at": max(times, default=None),
        "first_fetch_id": min(ids, default=None),
        "last_fetch_id": max(ids, default=None),
        "complete_runs": complete_runs if complete_runs == "*" else list(complete_runs),
        "sealed_at": sealed_at,
        "format_version": FORMAT_VERSION,
    }

    def write(file: BinaryIO | pa.NativeFile) -> None:
        metadata = {
            f"{_METADATA_PREFIX}{key}": json.dumps(value, default=_as_text)
            for key, value in described.items()
        }
        with pq.ParquetWriter(
            file,
            SCHEMA.with_metadata(metadata),
            compression="zstd",
            compression_level=3,
            use_dictionary=_WITH_DICTIONARY,
            write_statistics=_WITH_STATISTICS,
            write_page_checksum=True,
        ) as writer:
            for rows in _row_groups(payloads):
                writer.write_table(to_table(rows), row_group_size=len(rows))

    size = write_file(url, path, write)
    return SegmentInfo(path=path, file_bytes=size, **described)


def read_info(url: str, path: str) -> SegmentInfo:
    """What a segment's footer says. Raises `SegmentCorrupt` when it cannot be read."""
    with _opened(url, path) as file:
        return _info(file, path, _file_size(url, path))


def read_segment(url: str, path: str, columns: list[str] | None = None) -> pa.Table:
    """A whole segment, or some of its columns, as a table. Raises `SegmentCorrupt`."""
    with _opened(url, path) as file:
        try:
            return file.read(columns=columns)
        except _UNREADABLE as error:
            raise _corrupt(path, error) from error


def iter_tables(url: str, path: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """A segment's row groups, one at a time. Raises `SegmentCorrupt`."""
    with _opened(url, path) as file:
        for group in range(file.num_row_groups):
            yield read_group(file, path, group, columns)


def iter_payloads(url: str, path: str, *, bodies: bool = True) -> Iterator[Payload]:
    """Every payload of a segment in the order archived, one row group in memory at a time."""
    for table in iter_tables(url, path, None if bodies else METADATA_COLUMNS):
        yield from to_payloads(table)


def iter_readable(url: str, path: str) -> Iterator[Payload]:
    """The payloads that may be versions and hold their own body, in the order archived."""
    with _opened(url, path) as file:
        for group in range(file.num_row_groups):
            light = read_group(file, path, group, [*_JUDGED, "fetch_id", "payload_id"])
            wanted = [_is_readable(row) for row in light.to_pylist()]
            if any(wanted):
                table = read_group(file, path, group, None)
                yield from to_payloads(table.filter(pa.array(wanted)))


def read_rows(
    url: str, path: str, fetch_ids: Iterable[str], *, bodies: bool = True
) -> list[Payload]:
    """The payloads of a segment with these ids, reading only the row groups that may hold them."""
    wanted = set(fetch_ids)
    columns = None if bodies else METADATA_COLUMNS
    found: list[Payload] = []
    with _opened(url, path) as file:
        for group in _groups_spanning(file, min(wanted), max(wanted)) if wanted else ():
            ids = read_group(file, path, group, ["fetch_id"])["fetch_id"].to_pylist()
            mask = [fetch_id in wanted for fetch_id in ids]
            if any(mask):
                table = read_group(file, path, group, columns)
                found.extend(to_payloads(table.filter(pa.array(mask))))
    return found


def to_table(payloads: Sequence[Payload]) -> pa.Table:
    """Payloads as rows of the archive."""
    arrays = [
        pa.array([_column(payload, field.name) for payload in payloads], field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def to_payloads(table: pa.Table) -> list[Payload]:
    """Rows of the archive as payloads; columns that were not read are null."""
    columns: dict[str, list[Any]] = {}
    for name in table.column_names:
        if name == "source" or name not in _FIELDS:
            continue
        column = table[name]
        if name == "fetched_at":
            columns[name] = [
                _EPOCH + timedelta(microseconds=value)
                for value in column.cast(pa.int64()).to_pylist()
            ]
        elif name in ("headers", "request_headers"):
            columns[name] = [_headers(value) for value in column.to_pylist()]
        elif name in ("fetch_id", "run_id", "payload_id"):
            columns[name] = [value and UUID(value) for value in column.to_pylist()]
        else:
            columns[name] = column.to_pylist()
    names = list(columns)
    return [
        Payload(**dict(zip(names, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    ]


_FIELDS = set(SCHEMA.names)
_JUDGED = ["status", "error", "truncated", "body_digest"]


def _is_readable(row: dict[str, Any]) -> bool:
    judged = judge(**{name: row[name] for name in _JUDGED})
    return judged == "version" and row["payload_id"] == row["fetch_id"]


def _column(payload: Payload, name: str) -> Any:
    value = getattr(payload, name)
    if isinstance(value, UUID):
        return str(value)
    if name in ("headers", "request_headers"):
        return [{"name": key, "value": text} for key, text in value]
    return value


def _headers(pairs: list[dict[str, str]] | None) -> Headers:
    return tuple((pair["name"], pair["value"]) for pair in pairs or ())


def _row_groups(payloads: Sequence[Payload]) -> Iterator[list[Payload]]:
    """Payloads cut into row groups, bounded by rows and by bytes."""
    rows: list[Payload] = []
    size = 0
    for payload in payloads:
        weight = payload_bytes(payload)
        if rows and (len(rows) == ROW_GROUP_ROWS or size + weight > ROW_GROUP_BYTES):
            yield rows
            rows, size = [], 0
        rows.append(payload)
        size += weight
    if rows:
        yield rows


def payload_bytes(payload: Payload) -> int:
    """The bytes a payload holds in memory for its bodies."""
    return sum(len(getattr(payload, name) or b"") for name in BODY_COLUMNS)


class _opened:
    """A segment open for reading; what cannot be opened is `SegmentCorrupt`."""

    def __init__(self, url: str, path: str) -> None:
        self._url = url
        self._path = path

    def __enter__(self) -> pq.ParquetFile:
        filesystem, root = open_folder(self._url)
        try:
            self._file = pq.ParquetFile(
                filesystem.open_input_file(f"{root}/{self._path}"),
                page_checksum_verification=True,
            )
        except _UNREADABLE as error:
            raise _corrupt(self._path, error) from error
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close(force=True)


def read_group(file: pq.ParquetFile, path: str, group: int, columns: list[str] | None) -> pa.Table:
    """One row group of an open segment. Raises `SegmentCorrupt`."""
    try:
        return file.read_row_group(group, columns=columns)
    except _UNREADABLE as error:
        raise _corrupt(path, error) from error


def _groups_spanning(file: pq.ParquetFile, first: str, last: str) -> list[int]:
    column = file.schema_arrow.names.index("fetch_id")
    chosen = []
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        if statistics is None or (statistics.min <= last and statistics.max >= first):
            chosen.append(group)
    return chosen


def _file_size(url: str, path: str) -> int:
    filesystem, root = open_folder(url)
    return int(filesystem.get_file_info(f"{root}/{path}").size)


def _info(file: pq.ParquetFile, path: str, size: int) -> SegmentInfo:
    raw = file.metadata.metadata or {}
    prefix = _METADATA_PREFIX.encode()
    try:
        said = {
            key.removeprefix(prefix).decode(): json.loads(value)
            for key, value in raw.items()
            if key.startswith(prefix)
        }
        return SegmentInfo(
            name=said["name"],
            feed=said["feed"],
            path=path,
            row_count=said["row_count"],
            body_bytes=said["body_bytes"],
            file_bytes=size,
            first_fetched_at=_as_time(said["first_fetched_at"]),
            last_fetched_at=_as_time(said["last_fetched_at"]),
            first_fetch_id=_as_id(said["first_fetch_id"]),
            last_fetch_id=_as_id(said["last_fetch_id"]),
            complete_runs=said["complete_runs"],
            sealed_at=datetime.fromisoformat(said["sealed_at"]),
            format_version=said["format_version"],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise SegmentCorrupt(
            f"Segment {path} is Parquet, but its footer is not an archive segment's ({error!r}). "
            "Move the file out of the archive."
        ) from error


def _corrupt(path: str, error: Exception) -> SegmentCorrupt:
    if isinstance(error, FileNotFoundError):
        what = "is missing"
    else:
        what = f"cannot be read ({str(error).rstrip('.')})"
    return SegmentCorrupt(
        f"Segment {path} {what}. "
        "Run `manage.py archive verify` to list every damaged segment, and restore it from a copy."
    )


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _as_time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _as_id(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)
