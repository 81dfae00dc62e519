"""WARC records as bytes (ISO 28500:2017, "WARC/1.1"), and reading them from a file.

A reader holds one line, or one piece of a block, in memory, whatever a file says of its lengths.
"""

import hashlib
import re
import zlib
from base64 import b16decode, b32decode, b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ..errors import ImportRefused
from ..payload import Headers

PIECE = 1 << 18
_INPUT = 1 << 16
_LONGEST_LINE = 1 << 16
_MOST_FIELDS = 1_000
_VERSION_LINE = re.compile(rb"WARC/(\d+\.\d+)[ \t]*\r?\n?\Z")
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|\+00:00))?)?)?"
)
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Damaged(ImportRefused):
    """A WARC file that cannot be read on from some offset."""


def record_bytes(headers: Iterable[tuple[str, str]], length: int) -> bytes:
    """The head of a record with a block of `length` bytes; after the block come two CRLF."""
    lines = ["WARC/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join([*lines, f"Content-Length: {length}"]) + "\r\n\r\n").encode()


RECORD_END = b"\r\n\r\n"


def warc_date(at: datetime) -> str:
    """A moment as `WARC-Date` says it, to the microsecond (section 5.4)."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_warc_date(text: str) -> datetime:
    """The moment a `WARC-Date` says; of nanoseconds the microseconds. Raises `ValueError`.

    A date without a day or a time, which 1.1 allows, is its first moment.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:60]!r} is no WARC-Date such as 2026-03-01T12:00:00Z")
    year, month, day, hour, minute, second = (
        int(part) if part else first
        for part, first in zip(match.groups()[:6], (0, 1, 1, 0, 0, 0), strict=True)
    )
    micro = int((match[7] or "").ljust(6, "0")[:6])
    # A leap second is the last moment of its minute.
    at = datetime(year, month, day, hour, minute, min(second, 59), micro, tzinfo=UTC)
    return at


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest as WARC writes it: `sha1:` or another algorithm, and base32, hex or base64."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str | None) -> "Digest | None":
        """The digest, or None where there is none or its algorithm is unknown."""
        algorithm, _, value = (text or "").strip().partition(":")
        algorithm = algorithm.lower().replace("-", "")
        return cls(algorithm, value) if value and algorithm in _ALGORITHMS else None

    def hasher(self) -> "hashlib._Hash":
        return hashlib.new(self.algorithm)

    def raw(self) -> bytes | None:
        """Its bytes, in whichever of the alphabets has their number; None if in no one."""
        size = self.hasher().digest_size
        for decode in _ALPHABETS:
            try:
                found = decode(self.value)
            except (Base64Error, ValueError):
                continue
            if len(found) == size:
                return found
        return None

    def is_of(self, hasher: "hashlib._Hash") -> bool:
        return self.raw() == hasher.digest()


_ALGORITHMS = frozenset({"md5", "sha1", "sha256", "sha384", "sha512"})
_ALPHABETS: tuple[Callable[[str], bytes], ...] = (
    lambda value: b16decode(value, casefold=True),
    lambda value: b32decode(value + "=" * (-len(value) % 8), casefold=True),
    lambda value: b64decode(value + "=" * (-len(value) % 4), altchars=b"-_"),
    lambda value: b64decode(value + "=" * (-len(value) % 4), validate=True),
)


class Record:
    """One record of a file; its block can be read once, before the next record is asked for."""

    def __init__(self, where: str, headers: Headers, length: int, source: "_Source") -> None:
        self.where = f"{source.path}, {where}"
        """The file and the offset, for messages."""
        self._offset = where
        self.headers = headers
        self.length = length
        self._said = {name.lower(): value for name, value in reversed(headers)}
        self._left = length
        self._source = source

    def get(self, name: str) -> str | None:
        """The first header of that name (given in lower case)."""
        return self._said.get(name)

    def get_all(self, *names: str) -> list[str]:
        """The headers of these names (given in lower case)."""
        if not any(name in self._said for name in names):
            return []
        return [value for key, value in self.headers if key.lower() in names]

    @property
    def type(self) -> str:
        return (self.get("warc-type") or "").lower()

    @property
    def id(self) -> str:
        return (self.get("warc-record-id") or "").strip().strip("<>")

    def read(self, size: int = PIECE) -> bytes:
        """Up to `size` bytes of the block; none at its end. Raises `Damaged`."""
        wanted = min(size, self._left)
        if not wanted:
            return b""
        found = self._source.read(wanted)
        if not found:
            raise self._source.damaged(
                f"the file ends {self._left:,} bytes before the end of a record", self._offset
            )
        self._left -= len(found)
        return found

    def pieces(self) -> Iterator[bytes]:
        """The rest of the block."""
        while piece := self.read():
            yield piece


def read_records(path: Path) -> Iterator[Record]:
    """The records of a WARC file: 1.0 or 1.1, plain, gzip per record or gzip as a whole.

    Raises `Damaged`, naming the offset, where the file is cut off or is not what it should be.
    """
    try:
        with open(path, "rb") as file:
            yield from _records(_open(file, path))
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error}.") from error


def _records(source: "_Source") -> Iterator[Record]:
    while True:
        where = source.skip_blank_lines()
        if where is None:
            return
        record = _record(source, where)
        yield record
        for _ in record.pieces():
            pass


def _record(source: "_Source", where: str) -> Record:
    line = source.line()
    if _VERSION_LINE.match(line) is None:
        _refuse_arc(source, line, where)
        raise source.damaged(
            f"a record is expected, and {line[:40]!r} is found: the one before has "
            "another length than it says, or this is no WARC file",
            where,
        )
    headers: list[tuple[str, str]] = []
    while line := source.line():
        text = _text(line).rstrip("\r\n")
        if not text:
            break
        if text.startswith((" ", "\t")) and headers:
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {text.strip()}")
        else:
            name, _, value = text.partition(":")
            headers.append((name.strip(), value.strip()))
        if len(headers) > _MOST_FIELDS:
            raise source.damaged(f"a record has more than {_MOST_FIELDS:,} header fields", where)
    else:
        raise source.damaged("the file ends within a record's header", where)
    length = next((value for name, value in headers if name.lower() == "content-length"), "")
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise source.damaged(f"a record's Content-Length is {length[:40]!r}", where)
    return Record(where, tuple(headers), int(length), source)


def _refuse_arc(source: "_Source", line: bytes, where: str) -> None:
    if line.startswith(b"filedesc://"):
        raise Damaged(
            f"{source.path} is an ARC file, the format before WARC, which is not read here. "
            "Convert it (`warcio recompress old.arc.gz new.warc.gz` does) and import the result."
        )


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


class _Source:
    """Bytes and lines of a file, decompressed where it is gzip."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file
        self._held = b""
        self._at = 0
        self._before = 0
        """Where in the file (or in what it decompresses to) the held bytes begin."""

    def _more(self) -> bytes:
        """The next bytes; none at the end."""
        return self._file.read(PIECE)

    def _fill(self) -> bool:
        self._before += len(self._held)
        self._held, self._at = self._more(), 0
        return bool(self._held)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._at == len(self._held) and not self._fill():
            return b""
        found = self._held[self._at : self._at + size]
        self._at += len(found)
        return found

    def line(self) -> bytes:
        """Up to and with the next line feed. Raises `Damaged` when there is none for long."""
        found = b""
        while True:
            if self._at == len(self._held) and not self._fill():
                return found
            end = self._held.find(b"\n", self._at) + 1
            piece = self._held[self._at : end or len(self._held)]
            self._at += len(piece)
            found += piece
            if end:
                return found
            if len(found) > _LONGEST_LINE:
                raise self.damaged(
                    f"a line of a record's header is longer than {_LONGEST_LINE:,} bytes",
                    self.position(),
                )

    def skip_blank_lines(self) -> str | None:
        """Where the next record begins; None at the end."""
        while True:
            if self._at == len(self._held) and not self._fill():
                return None
            rest = self._held[self._at :]
            skipped = len(rest) - len(rest.lstrip(b"\r\n"))
            self._at += skipped
            if skipped < len(rest):
                return self.position()

    def position(self) -> str:
        return f"offset {self._before + self._at:,}"

    def damaged(self, what: str, where: str) -> Damaged:
        return Damaged(
            f"{self.path}, {where}: {what}. The records before it are archived. Import a whole "
            "copy to add the rest: what is archived is passed over."
        )


class _Gzip(_Source):
    """A gzip file of any number of members."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, path)
        self._raw = b""
        self._raw_before = 0
        """Bytes of the file read before `_raw`."""
        self._member = zlib.decompressobj(wbits=31)
        self._starts: list[tuple[int, int]] = [(0, 0)]
        """Of the last members: where in the decompressed bytes, and where in the file."""
        self._given = 0

    def _more(self) -> bytes:
        while True:
            if self._member.eof:
                self._raw_before, self._raw = self._rest(self._member.unused_data)
                if not self._raw:
                    return b""
                if not self._raw.startswith(_GZIP[: len(self._raw)]):
                    raise self.damaged(
                        "what follows a gzip member is not gzip", f"offset {self._raw_before:,}"
                    )
                self._member = zlib.decompressobj(wbits=31)
                self._starts = [*self._starts[-1:], (self._given, self._raw_before)]
            if not self._raw and not self._read_raw():
                raise self.damaged("the gzip file is cut off", self.position())
            try:
                found = self._member.decompress(self._raw, PIECE)
            except zlib.error as error:
                raise self.damaged(f"the gzip file is broken ({error})", self.position()) from None
            if not self._member.eof:
                self._raw_before += len(self._raw) - len(self._member.unconsumed_tail)
                self._raw = self._member.unconsumed_tail
            if found:
                self._given += len(found)
                return found

    def _rest(self, unused: bytes) -> tuple[int, bytes]:
        """Where the next member begins, and its first bytes."""
        at = self._raw_before + len(self._raw) - len(unused)
        return at, unused or self._file.read(_INPUT)

    def _read_raw(self) -> bool:
        self._raw = self._file.read(_INPUT)
        return bool(self._raw)

    def position(self) -> str:
        here = self._before + self._at
        start, offset = next(each for each in reversed(self._starts) if each[0] <= here)
        within = f" ({here - start:,} bytes into what it decompresses to)" if here > start else ""
        return f"offset {offset:,}{within}"


def _open(file: BinaryIO, path: Path) -> _Source:
    magic = file.read(4)
    file.seek(0)
    if magic == _ZSTD:
        raise Damaged(f"{path} is compressed with zstd. Decompress it (`zstd -d`) and import that.")
    if not magic:
        raise Damaged(f"{path} is empty: a WARC file begins with a record.")
    return _Gzip(file, path) if magic.startswith(_GZIP) else _Source(file, path)
