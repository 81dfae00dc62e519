"""The files an export makes: one gzip member a record, cut by size, all of them or none.

They are written under hidden names and renamed together at the end, so an export that is
interrupted leaves no file that looks whole. Names follow the guideline of ISO 28500, annex C:
prefix, the time of the first fetch, a serial number.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from ..durability import temporary_name
from ..errors import ExportRefused
from ..payload import Headers, digest
from ..spool import Spool
from .warc_records import RECORD_END, record_bytes

Content = bytes | Spool
_LEVEL = 6


class Block(NamedTuple):
    """A record that is to be written: its headers, and its block in two parts."""

    headers: Headers
    head: bytes
    """The head of an HTTP message, or the whole block of another record."""
    payload: Content | None = None
    """What follows the head; with it the record gets a `WARC-Payload-Digest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What files are called."""

    folder: Path
    prefix: str
    """With the feed and the time of the first fetch: `quakes.day-20260301120000000`."""
    whole: Path | None = None
    """The one file to make, whatever its size."""
    is_compressed: bool = True

    def path(self, serial: int) -> Path:
        suffix = ".warc.gz" if self.is_compressed else ".warc"
        return self.whole or self.folder / f"{self.prefix}-{serial:05d}{suffix}"


class WarcFiles:
    """Writes records to one file after another; leaving the `with` block makes them appear.

    `first` gives the warcinfo record of a file from its name. A file is ended after the group of
    records with which it reaches `max_size` bytes.
    """

    def __init__(self, naming: Naming, max_size: int | None, first: Callable[[str], Block]) -> None:
        self.made: list[Path] = []
        self.size = 0
        """Bytes of all files."""
        self._naming = naming
        self._max_size = max_size
        self._first = first
        self._temporary: list[Path] = []
        self._warcinfo = ("WARC-Warcinfo-ID", "")
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._check_free(self._naming.path(0))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self._end_file()
            if error is None:
                self._appear()
        finally:
            for path in self._temporary:
                path.unlink(missing_ok=True)

    def write(self, blocks: Iterable[Block]) -> None:
        """Write records that belong together, into one file."""
        if self._file is None:
            self._begin_file()
        assert self._file is not None
        for block in blocks:
            named = block._replace(headers=(*block.headers, self._warcinfo))
            self._write(self._file, named)
        if self._max_size is not None and self._file.tell() >= self._max_size:
            self._end_file()

    def _begin_file(self) -> None:
        path = self._naming.path(len(self.made))
        self._check_free(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(temporary_name(str(path)))
        self._file = open(temporary, "wb")  # noqa: SIM115 (closed when the file is ended)
        self.made.append(path)
        self._temporary.append(temporary)
        warcinfo = self._first(path.name)
        self._warcinfo = ("WARC-Warcinfo-ID", dict(warcinfo.headers)["WARC-Record-ID"])
        self._write(self._file, warcinfo)

    def _end_file(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.flush()
            os.fsync(file.fileno())
            self.size += file.tell()
        finally:
            file.close()

    def _appear(self) -> None:
        for path in self.made:
            self._check_free(path)
        for temporary, path in zip(self._temporary, self.made, strict=True):
            os.rename(temporary, path)
        for folder in {path.parent for path in self.made}:
            _sync_folder(folder)

    def _check_free(self, path: Path) -> None:
        if path.exists():
            raise ExportRefused(
                f"{path} exists already, and an export replaces nothing. Move it away, or choose "
                "another place with --output."
            )

    def _write(self, file: BinaryIO, block: Block) -> None:
        head = record_bytes(*_with_digests(block))
        parts = (head, block.head, *pieces(block.payload), RECORD_END)
        if not self._naming.is_compressed:
            file.writelines(parts)
            return
        # The member's header carries no time: what is exported twice is equal.
        member = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
        file.writelines(member.compress(part) for part in parts)
        file.write(member.flush())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pieces(content: Content | None) -> Iterable[bytes]:
    """The bytes of a body, in pieces."""
    if content is None:
        return ()
    return (content,) if isinstance(content, bytes) else content.chunks()


def size_of(content: Content | None) -> int:
    """The bytes of a body, counted."""
    if content is None:
        return 0
    return len(content) if isinstance(content, bytes) else content.size


def digest_of(content: Content) -> str:
    """SHA-256, hex."""
    return digest(content) if isinstance(content, bytes) else content.digest


def _with_digests(block: Block) -> tuple[Headers, int]:
    """The record's headers with the digests of its block and payload, and the block's length."""
    of_block = hashlib.sha256(block.head)
    found = block.headers
    if block.payload is not None:
        of_payload = hashlib.sha256()
        for piece in pieces(block.payload):
            of_block.update(piece)
            of_payload.update(piece)
        found += (("WARC-Payload-Digest", f"sha256:{of_payload.hexdigest()}"),)
    found += (("WARC-Block-Digest", f"sha256:{of_block.hexdigest()}"),)
    return found, len(block.head) + size_of(block.payload)
