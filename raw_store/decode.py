"""Content decoding: from the bytes as transferred to the body a transform reads.

The HTTP client could do it, but then the encoded bytes would be gone, a body that does not
decode would be lost, and nothing would bound how far a small body may swell.

Every decoder reads and gives pieces, so a body of any size, under any number of codings, is
decoded in little memory: what is large goes from one spool into another.
"""

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import brotli
import zstandard
from isal import isal_zlib

from .spool import IN_MEMORY, Spool

EXPANSION_RATIO = 200
"""A body may be this many times longer than what was transferred …"""
EXPANSION_FLOOR = 8 * 1024 * 1024
"""… once it is longer than this many bytes: text compresses 5 to 30 times, a bomb 1,000 or more."""

# Its stubs say an instance where they mean the class.
_IsalError: type[Exception] = isal_zlib.error  # type: ignore[assignment]

_AT_ONCE = 64 * 1024
"""Bytes; most bodies are shorter, and need none of what follows."""
_STEP = 1 << 20
_INPUT_STEP = 1 << 16
# Four bytes of zstd may stand for 128 kB, and a step of input is decoded at once.
_ZSTD_STEP = 512
_GZIP_MAGIC = b"\x1f\x8b"
# What every server sends: no flag, or a name. Of the others isal ignores what RFC 1952 (2.3.1.2)
# tells to refuse: reserved bits, and a checksum of the head.
_PLAIN_HEADS = (_GZIP_MAGIC + b"\x08\x00", _GZIP_MAGIC + b"\x08\x08")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = (b"\x2a\x4d\x18", range(0x50, 0x60))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A body, and what kept it from being decoded whole."""

    body: bytes | Spool | None
    """All of it, or what could be read of it; None when nothing could, or when it swells."""
    error: str | None = None
    """A reason token, `decode` or `expansion`, and its message."""
    has_rest: bool = False
    """Whether something other than padding followed the encoded body."""


class _Undecodable(Exception):
    """The bytes are not what the coding's name says, or end too early."""


class _Swollen(Exception):
    """The body expands beyond what is kept decoded."""


@lru_cache(maxsize=256)
def codings(content_encoding: str | None) -> tuple[str, ...]:
    """The codings in the order they were applied; those that change nothing left out.

    Some servers write a charset or `none` where only a coding belongs; both mean "as it is".
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    return tuple(name for name in names if name not in {"", "identity", "none", "utf-8"})


def decode(
    encoded: bytes | Spool,
    content_encoding: str | None,
    limit: int,
    *,
    spool: Path | None = None,
) -> Decoded:
    """Undo every coding of `content_encoding` (RFC 9110, 8.4), the last applied first.

    A body that would be longer than `limit` bytes, or more than `EXPANSION_RATIO` times as long as
    `encoded`, is not decoded. With `spool`, a folder, one too large for memory comes as a spool.
    """
    names = codings(content_encoding)
    for name in reversed(names):
        if name not in _DECODERS:
            known = ", ".join(sorted(_DECODERS))
            error = f"decode: content coding {name!r} is not known (known: {known})"
            return Decoded(body=None, error=error)
    size = encoded.size if isinstance(encoded, Spool) else len(encoded)
    if not names or not size:
        return Decoded(body=encoded)
    if names == ("gzip",) and size <= _AT_ONCE and isinstance(encoded, bytes):
        whole = _gunzipped(encoded)
        if whole is not None and len(whole) <= limit:
            return Decoded(body=whole)
    pieces = _pieces(encoded)
    inputs = []
    for name in reversed(names):
        inputs.append(_Input(name, pieces))
        pieces = _bounded(_undo(name, inputs[-1]), limit, size)
    problems: list[str] = []
    try:
        body = _collected(_up_to_a_problem(pieces, problems), spool)
    except _Swollen as error:
        return Decoded(body=None, error=f"expansion: {error}")
    return Decoded(
        body=None if problems and not body else body,
        error=problems[0] if problems else None,
        has_rest=any(given.has_rest for given in inputs),
    )


def _gunzipped(encoded: bytes) -> bytes | None:
    """A body that is one member of gzip and no more, and does not swell; None for any other."""
    if encoded[:4] not in _PLAIN_HEADS:
        return None
    decompressor = isal_zlib.decompressobj(wbits=31)
    try:
        body: bytes = decompressor.decompress(encoded, EXPANSION_FLOOR)
    except _IsalError:
        return None
    return body if decompressor.eof and not decompressor.unused_data else None


class _Input:
    """What a decoder reads, a piece at a time; it gives back what it took too much of."""

    def __init__(self, name: str, pieces: Iterator[bytes]) -> None:
        self.name = name
        self.has_rest = False
        self._pieces = pieces
        self._ahead = b""

    def take(self) -> bytes:
        """The next bytes; none at the end."""
        ahead, self._ahead = self._ahead, b""
        return ahead or next(self._pieces, b"")

    def need(self) -> bytes:
        """The next bytes, of which there must be some."""
        taken = self.take()
        if not taken:
            raise self.undecodable("it ends too early")
        return taken

    def give_back(self, rest: bytes) -> None:
        self._ahead = rest + self._ahead

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer than `count` only at the end; they stay to be taken."""
        while len(self._ahead) < count and (more := next(self._pieces, b"")):
            self._ahead += more
        return self._ahead[:count]

    def leave(self) -> None:
        """End here; zeros behind the end are padding, anything else is noted."""
        rest = itertools.chain([self._ahead], self._pieces)
        self.has_rest = any(piece.strip(b"\0") for piece in rest)

    def undecodable(self, reason: object) -> _Undecodable:
        return _Undecodable(f"decode: the body is not {self.name}: {reason}")


def _undo(name: str, given: _Input) -> Iterator[bytes]:
    # No bytes are no bytes in any coding: a body that is empty is often said to be encoded.
    if given.peek(1):
        yield from _DECODERS[name](given)


def _gunzip(given: _Input) -> Iterator[bytes]:
    yield from _inflate_one(zlib.decompressobj(wbits=31), given)
    # A gzip body may be several members one after another (RFC 1952, 2.2).
    while given.peek(2) == _GZIP_MAGIC:
        yield from _inflate_one(zlib.decompressobj(wbits=31), given)
    given.leave()


def _inflate(given: _Input) -> Iterator[bytes]:
    # "deflate" means zlib-wrapped (RFC 9110), but some servers send the bare stream.
    head = given.peek(2)
    is_wrapped = head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0
    yield from _inflate_one(zlib.decompressobj(wbits=15 if is_wrapped else -15), given)
    given.leave()


def _inflate_one(decompressor: "zlib._Decompress", given: _Input) -> Iterator[bytes]:
    tail = piece = b""
    while not decompressor.eof:
        # A full piece may have left more behind, even when all input is used up.
        if not tail and len(piece) < _STEP:
            tail = given.need()
        try:
            piece = decompressor.decompress(tail, _STEP)
        except zlib.error as error:
            raise given.undecodable(error) from None
        tail = decompressor.unconsumed_tail
        yield piece
    given.give_back(decompressor.unused_data)


def _unbrotli(given: _Input) -> Iterator[bytes]:
    decompressor = brotli.Decompressor()
    piece = b""
    while not decompressor.is_finished():
        is_hungry = not piece and decompressor.can_accept_more_data()
        data = given.need() if is_hungry else b""
        try:
            piece = decompressor.process(data, output_buffer_limit=_STEP)
        except brotli.error as error:
            raise given.undecodable(error) from None
        yield piece
    given.leave()


def _unzstd(given: _Input) -> Iterator[bytes]:
    # The window bounds memory: HTTP asks for no more than 8 MB (RFC 9659), some send up to 128.
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    yield from _unzstd_one(decompressor, given)
    while _begins_frame(given.peek(4)):
        yield from _unzstd_one(decompressor, given)
    given.leave()


def _unzstd_one(decompressor: zstandard.ZstdDecompressor, given: _Input) -> Iterator[bytes]:
    frame = decompressor.decompressobj()
    while not frame.eof:
        data = given.need()
        for at in range(0, len(data), _ZSTD_STEP):
            try:
                piece = frame.decompress(data[at : at + _ZSTD_STEP])
            except zstandard.ZstdError as error:
                raise given.undecodable(error) from None
            yield piece
            if frame.unused_data or frame.eof:
                given.give_back(frame.unused_data + data[at + _ZSTD_STEP :])
                break


def _begins_frame(head: bytes) -> bool:
    rest, first = _ZSTD_SKIPPABLE
    return head == _ZSTD_MAGIC or (head[1:] == rest and head[0] in first)


_DECODERS: dict[str, Callable[[_Input], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}


def _pieces(encoded: bytes | Spool) -> Iterator[bytes]:
    if isinstance(encoded, Spool):
        yield from encoded.chunks(_INPUT_STEP)
    else:
        for at in range(0, len(encoded), _INPUT_STEP):
            yield encoded[at : at + _INPUT_STEP]


def _bounded(pieces: Iterable[bytes], limit: int, encoded_size: int) -> Iterator[bytes]:
    """The pieces that are not empty, as long as they do not add up to too much."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise _Swollen(f"decoded, the body is longer than {limit} bytes")
        if size > max(EXPANSION_FLOOR, EXPANSION_RATIO * encoded_size):
            raise _Swollen(
                f"decoded, the body is more than {EXPANSION_RATIO} times longer than the "
                f"{encoded_size} bytes transferred"
            )
        if piece:
            yield piece


def _up_to_a_problem(pieces: Iterator[bytes], problems: list[str]) -> Iterator[bytes]:
    try:
        yield from pieces
    except _Undecodable as error:
        problems.append(str(error))


def _collected(pieces: Iterator[bytes], spool: Path | None) -> bytes | Spool:
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if spool and len(whole) > IN_MEMORY:
            return Spool.of(itertools.chain([bytes(whole)], pieces), spool)
    return bytes(whole)
