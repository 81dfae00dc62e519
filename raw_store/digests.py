"""Digests of the bodies in a segment, computed anew: the bodies are read one by one."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import zstandard

from .durability import open_input
from .page_reader import iter_values
from .payload import digest
from .segments import (
    SPOOLED_FROM,
    UNREADABLE,
    corrupt,
    leaf,
    opened,
    read_group,
    stored_columns,
    stream_chunk,
)


def iter_digests(url: str, path: str) -> Iterator[tuple[str, bool, str | None, str | None]]:
    """Per row: fetch id, whether it holds its body, the digest recorded, the digest computed.

    Bodies are read one by one, in little memory. For segments whose bodies this program's own
    pages hold. Raises `SegmentCorrupt`.
    """
    with opened(url, path) as file:
        for group in range(file.num_row_groups):
            rows = read_group(file, path, group, ["fetch_id", "payload_id", "body_digest"])
            for fetch_id, holder, said, found in zip(
                *(rows[name].to_pylist() for name in ("fetch_id", "payload_id", "body_digest")),
                column_digests(url, path, file, group, "body"),
                strict=True,
            ):
                yield fetch_id, holder == fetch_id, said, found and found[0]


def column_digests(
    url: str, path: str, file: pq.ParquetFile, group: int, name: str
) -> Iterator[tuple[str, int] | None]:
    """SHA-256 (hex) and size of each body in a row group's column, one in memory at a time.

    None for a row without one. Raises `SegmentCorrupt`.
    """
    described = file.metadata.row_group(group)
    chunk = described.column(leaf(described, name))
    try:
        if not stored_columns(file, group, [name]):
            yield from [None] * described.num_rows
        elif chunk.total_uncompressed_size >= SPOOLED_FROM and described.num_rows == 1:
            digested, size = hashlib.sha256(), 0
            for piece in stream_chunk(url, path, chunk):
                digested.update(piece)
                size += len(piece)
            yield digested.hexdigest(), size
        elif (found := _page_digests(url, path, chunk)) and len(found) == described.num_rows:
            yield from found
        else:
            for value in read_group(file, path, group, [name])[name]:
                body = value.as_buffer()
                yield None if body is None else (digest(body), len(body))
    except (*UNREADABLE, zstandard.ZstdError) as error:
        raise corrupt(path, error) from error


def _page_digests(url: str, path: str, chunk: Any) -> list[tuple[str, int] | None] | None:
    """Those of the first page, read body by body; None where it is not one of this program's."""
    try:
        with open_input(url, path) as raw:
            bodies = iter_values(raw, chunk)
            return [None if body is None else (digest(body), len(body)) for body in bodies]
    except (ValueError, zstandard.ZstdError):
        # Another program's page, or a damaged one: pyarrow reads the one and refuses the other.
        return None
