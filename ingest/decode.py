"""Content decoding: from the bytes as transferred to the body a transform reads.

The HTTP client could do it, but then the encoded bytes would be gone, a body that does not
decode would be lost, and nothing would bound how far a small body may swell.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import brotli
import zstandard

_STEP = 1 << 20
_INPUT_STEP = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A body, and what kept it from being decoded whole."""

    body: bytes
    """All of it, or what could be read."""
    error: str | None = None
    is_too_long: bool = False


class _Undecodable(Exception):
    def __init__(self, so_far: bytes, reason: str) -> None:
        super().__init__(reason)
        self.so_far = so_far


class _TooLong(Exception):
    def __init__(self, so_far: bytes) -> None:
        super().__init__()
        self.so_far = so_far


def codings(content_encoding: str | None) -> list[str]:
    """The codings in the order they were applied; those that change nothing left out.

    Some servers write a charset or `none` where only a coding belongs; both mean "as it is".
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    return [name for name in names if name not in {"", "identity", "none", "utf-8"}]


def decode(encoded: bytes, content_encoding: str | None, limit: int) -> Decoded:
    """Undo every coding of `content_encoding`, the last applied first, up to `limit` bytes."""
    body = encoded
    for name in reversed(codings(content_encoding)):
        decoder = _DECODERS.get(name)
        if decoder is None:
            known = ", ".join(sorted(_DECODERS))
            return Decoded(body=b"", error=f"content coding {name!r} is not known (known: {known})")
        if not body:
            break
        try:
            body = decoder(body, limit)
        except _TooLong as error:
            return Decoded(body=error.so_far, is_too_long=True)
        except _Undecodable as error:
            return Decoded(body=error.so_far, error=f"the body is not {name}: {error}")
    return Decoded(body=body)


def _gunzip(encoded: bytes, limit: int) -> bytes:
    out = bytearray()
    at = _inflate_one(zlib.decompressobj(wbits=31), encoded, 0, out, limit)
    # A gzip body may be several members one after another; what else follows is padding.
    while encoded[at : at + 2] == b"\x1f\x8b":
        at = _inflate_one(zlib.decompressobj(wbits=31), encoded, at, out, limit)
    return bytes(out)


def _inflate(encoded: bytes, limit: int) -> bytes:
    # "deflate" means zlib-wrapped (RFC 9110), but some servers send the bare stream.
    is_wrapped = encoded[0] & 0x0F == 8 and int.from_bytes(encoded[:2], "big") % 31 == 0
    out = bytearray()
    _inflate_one(zlib.decompressobj(wbits=15 if is_wrapped else -15), encoded, 0, out, limit)
    return bytes(out)


def _inflate_one(
    decompressor: "zlib._Decompress", encoded: bytes, at: int, out: bytearray, limit: int
) -> int:
    """Inflate the stream that begins at `at` into `out`; return where it ends."""
    view = memoryview(encoded)
    tail: bytes | memoryview = b""
    piece = b""
    while not decompressor.eof:
        # A full piece may have left more behind, even when all input is used up.
        if not tail and len(piece) < _STEP:
            if at >= len(encoded):
                raise _Undecodable(bytes(out), "it ends too early")
            tail = view[at : at + _INPUT_STEP]
            at += len(tail)
        try:
            piece = decompressor.decompress(tail, _STEP)
        except zlib.error as error:
            raise _Undecodable(bytes(out), str(error)) from None
        out += piece
        if len(out) > limit:
            raise _TooLong(bytes(out[:limit]))
        tail = decompressor.unconsumed_tail
    return at - len(decompressor.unused_data)


def _unbrotli(encoded: bytes, limit: int) -> bytes:
    decompressor = brotli.Decompressor()
    out = bytearray()
    data = encoded
    while not decompressor.is_finished():
        try:
            piece = decompressor.process(data, output_buffer_limit=_STEP)
        except brotli.error as error:
            raise _Undecodable(bytes(out), str(error)) from None
        data = b""
        out += piece
        if len(out) > limit:
            raise _TooLong(bytes(out[:limit]))
        if not piece and decompressor.can_accept_more_data() and not decompressor.is_finished():
            raise _Undecodable(bytes(out), "it ends too early")
    return bytes(out)


def _unzstd(encoded: bytes, limit: int) -> bytes:
    # The window bounds memory: HTTP asks for no more than 8 MB (RFC 9659), some send up to 128.
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    out = bytearray()
    view = memoryview(encoded)
    at = 0
    while at < len(encoded):
        frame = decompressor.decompressobj()
        while not frame.eof:
            if at >= len(encoded):
                raise _Undecodable(bytes(out), "it ends too early")
            # Small steps of input, so that a body made to swell is met early.
            step = view[at : at + 4096]
            at += len(step)
            try:
                out += frame.decompress(step)
            except zstandard.ZstdError as error:
                raise _Undecodable(bytes(out), str(error)) from None
            if len(out) > limit:
                raise _TooLong(bytes(out[:limit]))
        at -= len(frame.unused_data)
    return bytes(out)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
