"""Reading body pages: the bodies of a column chunk one by one, or one body piece by piece.

For the pages that `raw_store.pages` writes, in less memory than a reader of whole pages needs.
"""

import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
import zstandard

from .pages import PAGE_COMPRESSED, PAGE_CRC, PAGE_SIZE, PLAIN
from .spool import STEP
from .thrift import read_struct

AT_ONCE = 65 * 1024 * 1024
"""Bytes. A larger page is decompressed piece by piece."""


class NotOnePage(ValueError):
    """The column chunk was written by another program, whose pages are laid out differently."""


def stream_value(file: BinaryIO | pa.NativeFile, chunk: Any) -> Iterator[bytes]:
    """The one value of a column chunk that holds a single body, a piece at a time.

    `chunk` is pyarrow's ColumnChunkMetaData. Raises `ValueError` where it holds anything else.
    """
    page = _PageReader(file, chunk)
    if page.levels() != [1]:
        raise ValueError("the page does not hold one value")
    left = page.length()
    while left:
        piece = page.read(min(STEP, left))
        left -= len(piece)
        yield piece
    page.finish()


def iter_values(file: BinaryIO | pa.NativeFile, chunk: Any) -> Iterator[bytes | None]:
    """The values of a column chunk of bodies, each copied when it is asked for.

    `chunk` is pyarrow's ColumnChunkMetaData of a chunk that this module wrote: one PLAIN page. A
    page above `AT_ONCE` is read with one value in memory at a time beside zstd's window.
    """
    page = _PageReader(file, chunk)
    if page.size <= AT_ONCE:
        yield from page.whole().values()
        return
    for level in page.levels():
        yield page.read(page.length()) if level else None
    page.finish()


def read_page(file: BinaryIO | pa.NativeFile, chunk: Any) -> "WholePage":
    """A page of bodies, decompressed at once; zstd is several times as quick at that.

    Raises `NotOnePage`, `ValueError`, `zstandard.ZstdError`.
    """
    return _PageReader(file, chunk).whole()


class _PageReader:
    """Reads a page that this module wrote, decompressed, from its beginning."""

    def __init__(self, file: BinaryIO | pa.NativeFile, chunk: Any) -> None:
        file.seek(chunk.data_page_offset)
        header, size = read_struct(file.read(min(64, chunk.total_compressed_size)))
        encoding = header[5][1][2][1] if 5 in header else None
        if chunk.compression != "ZSTD" or encoding != PLAIN:
            raise NotOnePage("the page is not of PLAIN values compressed with zstd")
        compressed = header[PAGE_COMPRESSED][1]
        if chunk.has_dictionary_page or size + compressed != chunk.total_compressed_size:
            raise NotOnePage("the column chunk is not one page")
        self.size = int(header[PAGE_SIZE][1])
        """Bytes of the page, decompressed."""
        self._expected = header[PAGE_CRC][1] & 0xFFFFFFFF if PAGE_CRC in header else None
        file.seek(chunk.data_page_offset + size)
        self._whole: bytes | None = None
        if compressed <= AT_ONCE:
            # No body is given away before the checksum is known to fit.
            self._whole = bytes(file.read(compressed))
            self._check(zlib.crc32(self._whole))
            file = io.BytesIO(self._whole)
        self._page = _Page(file, compressed)
        self._stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            cast(BinaryIO, self._page), read_size=STEP // 8
        )

    def whole(self) -> "WholePage":
        if self._whole is None or self.size > AT_ONCE:
            raise ValueError("the page is too large to be read at once")
        if zstandard.frame_content_size(self._whole) != self.size:
            raise ValueError("the page is not of the size its header says")
        # Arrow's memory is used again for the next page; fresh memory costs more than zstd does.
        return WholePage(pa.Codec("zstd").decompress(self._whole, decompressed_size=self.size))

    def levels(self) -> list[int]:
        return _levels_of(self.read(self.length()))

    def length(self) -> int:
        return int.from_bytes(self.read(4), "little")

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._stream.read(size)
            if not part:
                raise ValueError("the page ends too early")
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """Raise `ValueError` where more follows, or the checksum does not fit."""
        if self._stream.read(1):
            raise ValueError("the page holds more than its values")
        while self._page.read(STEP):
            pass
        self._check(self._page.crc)

    def _check(self, crc: int) -> None:
        if self._expected is not None and crc != self._expected:
            raise ValueError("the page's checksum does not fit")


class WholePage:
    """A page in memory. Raises `NotOnePage` where its levels are not runs."""

    def __init__(self, page: pa.Buffer) -> None:
        self._page = memoryview(page).cast("B")
        self._first = 4 + int.from_bytes(self._page[:4], "little")
        self._levels = _levels_of(bytes(self._page[4 : self._first]))

    def values(self) -> Iterator[bytes | None]:
        """The bodies, each copied as it is asked for."""
        page, at = self._page, self._first
        for level in self._levels:
            if not level:
                yield None
                continue
            begin = at + 4
            at = begin + int.from_bytes(page[at:begin], "little")
            if at > len(page):
                raise ValueError("the page ends too early")
            yield bytes(page[begin:at])
        if at != len(page):
            raise ValueError("the page holds more than its values")


def _levels_of(raw: bytes) -> list[int]:
    """The definition level of each value (Encodings.md, RLE); a page begins with them."""
    levels: list[int] = []
    at = 0
    while at < len(raw):
        run = shift = 0
        while True:
            byte = raw[at]
            at += 1
            run |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if run & 1:
            raise NotOnePage("the page's levels are not runs")
        levels += [raw[at]] * (run >> 1)
        at += 1
    return levels


class _Page:
    """The compressed bytes of a page, as a file to read from once."""

    def __init__(self, file: BinaryIO | pa.NativeFile, size: int) -> None:
        self._file = file
        self._left = size
        self.crc = 0
        """CRC-32 of what was read."""

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        self.crc = zlib.crc32(piece, self.crc)
        return piece
