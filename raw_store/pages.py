"""Parquet with long memory: a segment's file, its bodies compressed over a whole row group at once.

Parquet compresses page by page, and pyarrow lets a zstd frame look back no further than its level
does (2 MB at level 3). Versions of one address are near copies of each other, so what a frame
gets to see decides its size. Here the bodies of a row group are one page, hence one frame, with a
window as long as the page and long-distance matching on. The result is plain Parquet, and every
reader that knows zstd reads it. pyarrow writes all other columns.

Sources: Apache Parquet format, `parquet.thrift`, Encodings.md (PLAIN, RLE); RFC 8878 (zstd).
"""

import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from .spool import STEP, Spool
from .thrift import BINARY, I32, I64, LIST, STRUCT, Struct, read_struct, write_struct

LARGEST_BODY = (1 << 31) - (1 << 16)
"""Bytes. A page's size is a 32-bit number (`PageHeader.uncompressed_page_size`)."""

_MAGIC = b"PAR1"
_BYTE_ARRAY, _ZSTD, PLAIN, _RLE, _DATA_PAGE = 6, 6, 0, 3, 0
# Fields of FileMetaData, RowGroup, ColumnChunk, ColumnMetaData and PageHeader.
_FILE_ROWS, _FILE_GROUPS, _FILE_KEY_VALUES = 3, 4, 5
_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_OFFSET, _GROUP_COMPRESSED, _GROUP_ORDINAL = 1, 2, 5, 6, 7
_CHUNK_OFFSET, _CHUNK_META = 2, 3
_META_PATH, _META_VALUES, _META_SIZE, _META_COMPRESSED = 3, 5, 6, 7
_META_DATA_PAGE, _META_DICTIONARY_PAGE = 9, 11
PAGE_SIZE, PAGE_COMPRESSED, PAGE_CRC = 2, 3, 4

Value: TypeAlias = "bytes | memoryview | Spool | None"
"""A body, as anything that has bytes: Arrow's buffers too."""


class Sink(Protocol):
    """Where a file is written: in order, from its beginning."""

    def write(self, data: bytes, /) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How bodies are compressed."""

    level: int
    window_log: int
    """The longest distance a match may span, as a power of two; 27 is the most that every
    decoder takes without being asked."""
    is_long: bool = True
    """Whether matches are looked for over the whole window, which pays among versions."""

    def parameters(self) -> zstandard.ZstdCompressionParameters:
        return zstandard.ZstdCompressionParameters.from_level(
            self.level, window_log=self.window_log, enable_ldm=self.is_long
        )


class Page(NamedTuple):
    """Bodies as a compressed page, with its header."""

    header: bytes
    data: bytes
    values: int
    size: int
    """Bytes before compression."""


class Encoded(NamedTuple):
    """A row group that is compressed but not written yet."""

    rows: int
    written: memoryview
    """A whole file by pyarrow, of which all columns but the bodies are taken."""
    pages: Mapping[str, "Page | Sequence[Value]"]
    """The bodies; spooled ones as they are, for they are compressed while they are written."""


def encode(
    table: pa.Table,
    bodies: Mapping[str, Sequence[Value]],
    compression: Compression,
    options: Mapping[str, Any],
) -> Encoded:
    """Compress a row group: `table`, in which the columns of `bodies` are null, and those."""
    data = pa.BufferOutputStream()
    with pq.ParquetWriter(data, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=max(table.num_rows, 1))
    pages = {
        name: values if _any_spooled(values) else _compressed(values, compression)
        for name, values in bodies.items()
    }
    return Encoded(table.num_rows, memoryview(data.getvalue()).cast("B"), pages)


def _any_spooled(values: Sequence[Value]) -> bool:
    return any(isinstance(value, Spool) for value in values)


def _compressed(values: Sequence[Value], compression: Compression) -> Page:
    compressor = zstandard.ZstdCompressor(compression_params=compression.parameters())
    size = _page_size(values)
    data = compressor.compress(b"".join(_page(values)))
    header = _page_header(len(values), size, len(data), zlib.crc32(data))
    return Page(header, data, len(values), size)


class ParquetFile:
    """Writes one Parquet file, row group by row group.

    `options` are `pyarrow.parquet.ParquetWriter`'s, for the columns that pyarrow writes.
    `scratch` is a folder for unnamed files that spooled bodies need meanwhile.
    """

    def __init__(
        self,
        sink: Sink,
        schema: pa.Schema,
        compression: Compression,
        options: Mapping[str, Any],
        *,
        scratch: Path | None = None,
    ) -> None:
        self._sink = sink
        self._schema = schema
        self._compression = compression
        self._options = options
        self._scratch = scratch
        self._at = 0
        self._rows = 0
        self._groups: list[Struct] = []
        self._footer: Struct | None = None
        self._write(_MAGIC)

    def add(self, table: pa.Table, bodies: Mapping[str, Sequence[Value]]) -> None:
        """Write a row group: `table`, in which the columns of `bodies` are null, and those."""
        self.add_encoded(encode(table, bodies, self._compression, self._options))

    def add_encoded(self, encoded: Encoded) -> None:
        """Write a row group that is compressed already."""
        footer = _footer(encoded.written)
        self._footer = self._footer or footer
        (group,) = footer[_FILE_GROUPS][1][1]
        start = self._at
        for chunk in group[_GROUP_COLUMNS][1][1]:
            meta = chunk[_CHUNK_META][1]
            name = meta[_META_PATH][1][1][0].decode()
            if name in encoded.pages:
                chunk[_CHUNK_META] = (STRUCT, self._add_bodies(meta, encoded.pages[name]))
                chunk[_CHUNK_OFFSET] = (I64, 0)
            else:
                self._copy(chunk, meta, encoded.written)
        columns = [chunk[_CHUNK_META][1] for chunk in group[_GROUP_COLUMNS][1][1]]
        group[_GROUP_BYTES] = (I64, sum(meta[_META_SIZE][1] for meta in columns))
        group[_GROUP_COMPRESSED] = (I64, sum(meta[_META_COMPRESSED][1] for meta in columns))
        group[_GROUP_OFFSET] = (I64, start)
        if _GROUP_ORDINAL in group:
            group[_GROUP_ORDINAL] = (group[_GROUP_ORDINAL][0], len(self._groups))
        self._groups.append(group)
        self._rows += encoded.rows

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the footer, with these keys and values beside the Arrow schema."""
        if self._footer is None:
            data = pa.BufferOutputStream()
            pq.write_table(self._schema.empty_table(), data, **self._options)
            self._footer = _footer(memoryview(data.getvalue()).cast("B"))
        footer = self._footer
        pairs = list(footer[_FILE_KEY_VALUES][1][1]) if _FILE_KEY_VALUES in footer else []
        pairs += [
            {1: (BINARY, key.encode()), 2: (BINARY, value.encode())}
            for key, value in metadata.items()
        ]
        footer[_FILE_KEY_VALUES] = (LIST, (STRUCT, pairs))
        footer[_FILE_GROUPS] = (LIST, (STRUCT, self._groups))
        footer[_FILE_ROWS] = (I64, self._rows)
        raw = write_struct(footer)
        self._write(raw + len(raw).to_bytes(4, "little") + _MAGIC)

    def _copy(self, chunk: Struct, meta: Struct, written: memoryview) -> None:
        """Copy a column chunk that pyarrow wrote, and say where it lies now."""
        begin = meta[_META_DATA_PAGE][1]
        if _META_DICTIONARY_PAGE in meta:
            begin = min(begin, meta[_META_DICTIONARY_PAGE][1])
        moved = self._at - begin
        for place in (_META_DATA_PAGE, _META_DICTIONARY_PAGE):
            if place in meta:
                meta[place] = (I64, meta[place][1] + moved)
        if chunk[_CHUNK_OFFSET][1]:
            chunk[_CHUNK_OFFSET] = (I64, chunk[_CHUNK_OFFSET][1] + moved)
        self._write(bytes(written[begin : begin + meta[_META_COMPRESSED][1]]))

    def _add_bodies(self, meta: Struct, page: Page | Sequence[Value]) -> Struct:
        """Write values as one page and return the metadata of its column chunk."""
        begin = self._at
        if isinstance(page, Page):
            count, size, header_size = page.values, page.size, len(page.header)
            self._write(page.header)
            self._write(page.data)
        else:
            count, size = len(page), _page_size(page)
            header_size = self._add_streamed(page, size)
        return {
            1: (I32, _BYTE_ARRAY),
            2: (LIST, (I32, [PLAIN, _RLE])),
            3: meta[3],
            4: (I32, _ZSTD),
            _META_VALUES: (I64, count),
            _META_SIZE: (I64, size + header_size),
            _META_COMPRESSED: (I64, self._at - begin),
            _META_DATA_PAGE: (I64, begin),
            13: (LIST, (STRUCT, [{1: (I32, _DATA_PAGE), 2: (I32, PLAIN), 3: (I32, 1)}])),
        }

    def _add_streamed(self, values: Sequence[Value], size: int) -> int:
        """Write a page in constant memory; return the size of its header, which has to come first
        and says how long the compressed page is."""
        compressor = zstandard.ZstdCompressor(compression_params=self._compression.parameters())
        stream = compressor.compressobj(size=size)
        crc = compressed = 0
        with tempfile.TemporaryFile(dir=self._scratch) as aside:
            for piece in _pieces(values):
                out = stream.compress(piece)
                crc, compressed = zlib.crc32(out, crc), compressed + len(out)
                aside.write(out)
            out = stream.flush()
            crc, compressed = zlib.crc32(out, crc), compressed + len(out)
            aside.write(out)
            header = _page_header(len(values), size, compressed, crc)
            self._write(header)
            aside.seek(0)
            while piece := aside.read(STEP):
                self._write(piece)
        return len(header)

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._at += len(data)


def _footer(file: memoryview) -> Struct:
    size = int.from_bytes(file[-8:-4], "little")
    return read_struct(file, len(file) - 8 - size)[0]


def _page_header(count: int, size: int, compressed: int, crc: int) -> bytes:
    data_page: Struct = {1: (I32, count), 2: (I32, PLAIN), 3: (I32, _RLE), 4: (I32, _RLE)}
    return write_struct(
        {
            1: (I32, _DATA_PAGE),
            PAGE_SIZE: (I32, size),
            PAGE_COMPRESSED: (I32, compressed),
            PAGE_CRC: (I32, crc - (1 << 32) if crc >= 1 << 31 else crc),
            5: (STRUCT, data_page),
        }
    )


def _page_size(values: Sequence[Value]) -> int:
    return len(_levels(values)) + sum(4 + _size(value) for value in values if value is not None)


def _size(value: Value) -> int:
    return value.size if isinstance(value, Spool) else len(value or b"")


def _page(values: Iterable[Value]) -> list[Any]:
    values = list(values)
    parts: list[Any] = [_levels(values)]
    for value in values:
        if value is not None:
            parts.append(_size(value).to_bytes(4, "little"))
            parts.append(value)
    return parts


def _pieces(values: Sequence[Value]) -> Iterator[Any]:
    for part in _page(values):
        if isinstance(part, Spool):
            yield from part.chunks()
        else:
            yield part


def _levels(values: Sequence[Value]) -> bytes:
    """The definition levels, 0 for null and 1 for a value, as runs (Encodings.md, RLE)."""
    out = bytearray()
    at = 0
    while at < len(values):
        is_null = values[at] is None
        end = at + 1
        while end < len(values) and (values[end] is None) == is_null:
            end += 1
        run = (end - at) << 1
        while run > 0x7F:
            out.append(run & 0x7F | 0x80)
            run >>= 7
        out += bytes([run, 0 if is_null else 1])
        at = end
    return len(out).to_bytes(4, "little") + out
