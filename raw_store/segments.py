"""One segment: an immutable Parquet file of one feed's payloads.

This module is the format; `docs/archive-format.md` describes it. A segment is
written under a temporary name and renamed when complete, so a reader sees all of
it or none of it. Nothing here needs Django: worker processes read segments with it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from .durability import is_local, open_folder, open_input
from .errors import SegmentCorrupt
from .page_reader import AT_ONCE, stream_value
from .payload import Payload
from .read_ahead import ReadAhead
from .rows import METADATA_COLUMNS, SCHEMA, to_payloads, with_body
from .spool import Spool
from .versions import judge

FORMAT_VERSION = 1

CLUSTERED_BY = ("request_key", "fetched_at", "sequence", "fetch_id")
SPOOLED_FROM = 64 * 1024 * 1024
"""Bytes. A body of this size has a row group of its own, and can be read piece by piece."""

METADATA_PREFIX = "rootcellar."
UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError)
"""What reading a damaged or missing segment raises."""


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
    clustered: bool = False
    """Whether its rows are in the order of `CLUSTERED_BY`; those of a compacted segment are."""
    first_request_key: str | None = None
    last_request_key: str | None = None
    incomplete_runs: list[str] | None = None
    """Null: `complete_runs` alone says which runs are complete. A list: so is every other run with
    a row here."""
    replaces: list[str] = field(default_factory=list)
    """The names of the segments whose rows it holds now: they count no more where it is there."""


def segment_path(feed: str, name: str, day: datetime) -> str:
    """Where a segment lies below the archive's address."""
    source = feed.partition(".")[0]
    date = day.astimezone(UTC).date().isoformat()
    return f"source={source}/feed={feed}/date={date}/{name}.parquet"


def read_info(url: str, path: str) -> SegmentInfo:
    """What a segment's footer says. Raises `SegmentCorrupt` when it cannot be read."""
    with opened(url, path) as file:
        return _info(file, path, _file_size(url, path))


def read_segment(url: str, path: str, columns: list[str] | None = None) -> pa.Table:
    """A whole segment, or some of its columns, as a table. Raises `SegmentCorrupt`."""
    with opened(url, path) as file:
        try:
            return file.read(columns=columns)
        except UNREADABLE as error:
            raise corrupt(path, error) from error


def iter_tables(url: str, path: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """A segment's row groups, one at a time. Raises `SegmentCorrupt`."""
    with opened(url, path) as file:
        for group in range(file.num_row_groups):
            yield read_group(file, path, group, columns)


def iter_payloads(
    url: str, path: str, *, bodies: bool = True, spool: Path | None = None
) -> Iterator[Payload]:
    """Every payload of a segment in the order archived, one row group in memory at a time.

    With `spool`, a folder, bodies from `SPOOLED_FROM` bytes on come as spools in it instead.
    """
    with opened(url, path) as file:
        ahead = None
        try:
            if bodies:
                chunks = [_body_chunk(file, group) for group in range(file.num_row_groups)]
                columns = {True: None, False: _BESIDE_THE_BODY}
                ahead = ReadAhead(
                    partial(open_input, url, path),
                    chunks,
                    lambda group, bodies: read_group(file, path, group, columns[bodies]),
                )
            for group in range(file.num_row_groups):
                yield from _payloads_of(url, path, file, group, ahead, spool)
        except (*UNREADABLE, zstandard.ZstdError) as error:
            raise corrupt(path, error) from error
        finally:
            if ahead:
                ahead.close()


def _body_chunk(file: pq.ParquetFile, group: int) -> Any:
    described = file.metadata.row_group(group)
    return described.column(leaf(described, "body"))


def _payloads_of(
    url: str,
    path: str,
    file: pq.ParquetFile,
    group: int,
    ahead: ReadAhead | None,
    spool: Path | None,
) -> Iterator[Payload]:
    """The payloads of one row group; without their bodies where nothing is read `ahead`."""
    if ahead is None:
        yield from to_payloads(read_group(file, path, group, METADATA_COLUMNS))
    elif spool and (large := large_columns(file, group)):
        others = [name for name in SCHEMA.names if name not in large]
        (payload,) = to_payloads(read_group(file, path, group, others))
        spools: dict[str, Any] = {
            _SPOOLED[name]: Spool.of(stream_chunk(url, path, chunk), spool)
            for name, chunk in large.items()
        }
        yield replace(payload, **spools)
    elif (
        stored_columns(file, group, ["body"])
        and _body_chunk(file, group).total_uncompressed_size <= AT_ONCE
    ):
        yield from _read_ahead(group, ahead)
    else:
        yield from _in_pieces(read_group(file, path, group, None))


def _read_ahead(group: int, ahead: ReadAhead) -> Iterator[Payload]:
    """A row group's payloads, each body copied out of its page when its turn comes."""
    table, page = ahead.read(group)
    if page is None:
        yield from _in_pieces(table)
        return
    rows = to_payloads(table)
    rows.reverse()
    for body in page.values():
        # No list holds on to it: the memory of one body is the next one's, not fresh from the
        # system, whose pages cost more than the copy.
        yield with_body(rows.pop(), body)


def _in_pieces(table: pa.Table) -> Iterator[Payload]:
    """Rows as payloads, so few at a time that their bodies are hardly in memory twice."""
    for start in range(0, table.num_rows, _PIECE):
        yield from to_payloads(table.slice(start, _PIECE))


def stored_columns(file: pq.ParquetFile, group: int, names: Iterable[str]) -> list[str]:
    """Those of the columns in which some row of the group has a value, as the statistics say."""
    described = file.metadata.row_group(group)
    found = []
    for name in names:
        chunk = described.column(leaf(described, name))
        nulls = chunk.statistics.null_count if chunk.statistics else None
        if nulls != described.num_rows:
            found.append(name)
    return found


_BESIDE_THE_BODY = [name for name in SCHEMA.names if name != "body"]
_PIECE = 256
_SPOOLED = {"body": "spooled_body", "encoded_body": "spooled_encoded"}


def large_columns(file: pq.ParquetFile, group: int) -> dict[str, Any]:
    """The bodies in a row group that are too large for memory, as column chunks by column."""
    described = file.metadata.row_group(group)
    if described.num_rows != 1 or described.total_byte_size < SPOOLED_FROM:
        return {}
    names = file.schema_arrow.names
    chunks = {name: described.column(leaf(described, name)) for name in _SPOOLED if name in names}
    return {n: c for n, c in chunks.items() if c.total_uncompressed_size >= SPOOLED_FROM}


def body_bytes(file: pq.ParquetFile, group: int, name: str) -> int:
    """The bytes that the bodies of a column take up in a row group, before compression."""
    described = file.metadata.row_group(group)
    return int(described.column(leaf(described, name)).total_uncompressed_size)


def leaf(described: Any, name: str) -> int:
    """Which column chunk of a row group holds a column that is not nested."""
    return next(
        index
        for index in range(described.num_columns)
        if described.column(index).path_in_schema == name
    )


def stream_chunk(url: str, path: str, chunk: Any) -> Iterator[bytes]:
    """The one body of a column chunk, a piece at a time. Raises `SegmentCorrupt`."""
    try:
        with open_input(url, path) as file:
            yield from stream_value(file, chunk)
    except (*UNREADABLE, zstandard.ZstdError) as error:
        raise corrupt(path, error) from error


def iter_readable(url: str, path: str, groups: Iterable[int] | None = None) -> Iterator[Payload]:
    """The payloads that may be versions and hold their own body, in the order archived.

    With `groups`, those of these row groups alone.
    """
    for table in iter_readable_tables(url, path, groups=groups):
        yield from _in_pieces(table)


def iter_readable_tables(
    url: str,
    path: str,
    columns: list[str] | None = None,
    groups: Iterable[int] | None = None,
) -> Iterator[pa.Table]:
    """What `iter_readable` reads, as a table per row group; of `columns` alone if given."""
    judged = [*_JUDGED, "fetch_id", "payload_id"]
    wanted_columns = None if columns is None else [*dict.fromkeys([*columns, *judged])]
    with opened(url, path) as file:
        for group in range(file.num_row_groups) if groups is None else groups:
            table = read_group(file, path, group, wanted_columns)
            wanted = [_is_readable(row) for row in table.select(judged).to_pylist()]
            yield table if all(wanted) else table.filter(pa.array(wanted))


def read_rows(
    url: str, path: str, fetch_ids: Iterable[str], *, bodies: bool = True
) -> list[Payload]:
    """The payloads of a segment with these ids, reading only the row groups that may hold them."""
    wanted = set(fetch_ids)
    columns = None if bodies else METADATA_COLUMNS
    found: list[Payload] = []
    with opened(url, path) as file:
        for group in groups_spanning(file, min(wanted), max(wanted)) if wanted else ():
            ids = read_group(file, path, group, ["fetch_id"])["fetch_id"].to_pylist()
            mask = [fetch_id in wanted for fetch_id in ids]
            if any(mask):
                table = read_group(file, path, group, columns)
                found.extend(to_payloads(table.filter(pa.array(mask))))
    return found


_JUDGED = ["status", "error", "truncated", "body_digest"]


def _is_readable(row: dict[str, Any]) -> bool:
    judged = judge(**{name: row[name] for name in _JUDGED})
    return judged == "version" and row["payload_id"] == row["fetch_id"]


class opened:
    """A segment open for reading; what cannot be opened is `SegmentCorrupt`.

    `footer` is what an earlier opening gave as `metadata`; it is not read again.
    """

    def __init__(self, url: str, path: str, *, footer: pq.FileMetaData | None = None) -> None:
        self._url = url
        self._path = path
        self._footer = footer

    def __enter__(self) -> pq.ParquetFile:
        try:
            self._file = pq.ParquetFile(
                open_input(self._url, self._path),
                metadata=self._footer,
                page_checksum_verification=True,
                # Reading far-off pieces as one pays where each read is a request.
                pre_buffer=not is_local(self._url),
            )
            is_ours = f"{METADATA_PREFIX}name".encode() in (self._file.metadata.metadata or {})
            if is_ours and self._footer is None:
                _check_columns(self._file.schema_arrow)
        except UNREADABLE as error:
            raise corrupt(self._path, error) from error
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close(force=True)


def _check_columns(found: pa.Schema) -> None:
    """Raise `ValueError` where a column is not of the type it should have. New ones are welcome."""
    for column in SCHEMA:
        index = found.get_field_index(column.name)
        if index < 0 or found.field(index).type != column.type:
            raise ValueError(f"its column {column.name} is missing or of another type")


def read_group(
    file: pq.ParquetFile,
    path: str,
    group: int,
    columns: list[str] | None,
    *,
    use_threads: bool = True,
) -> pa.Table:
    """One row group of an open segment. Raises `SegmentCorrupt`."""
    try:
        return file.read_row_group(group, columns=columns, use_threads=use_threads)
    except UNREADABLE as error:
        raise corrupt(path, error) from error


def groups_spanning(file: pq.ParquetFile, first: str, last: str) -> list[int]:
    """The row groups that may hold a fetch id from `first` to `last`, as their statistics say."""
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
    prefix = METADATA_PREFIX.encode()
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
            clustered=said.get("clustered", False),
            first_request_key=said.get("first_request_key"),
            last_request_key=said.get("last_request_key"),
            incomplete_runs=said.get("incomplete_runs"),
            replaces=said.get("replaces", []),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise SegmentCorrupt(
            f"Segment {path} is Parquet, but its footer is not an archive segment's ({error!r}). "
            "Move the file out of the archive."
        ) from error


def corrupt(path: str, error: Exception) -> SegmentCorrupt:
    """The error that says of a segment what is wrong with it, and what to do."""
    if isinstance(error, FileNotFoundError):
        what = "is missing"
    else:
        what = f"cannot be read ({str(error).rstrip('.')})"
    return SegmentCorrupt(
        f"Segment {path} {what}. "
        "Run `manage.py archive verify` to list every damaged segment, and restore it from a copy."
    )


def _as_time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _as_id(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)
