"""How the cases write a response down: byte for byte, with the framing they choose."""

import gzip
import zlib

OK = "HTTP/1.1 200 OK"

BODY = '{"name": "Łódź", "items": [1, 2, 3], "note": "naïve"}\n'.encode() * 40
GZIP = gzip.compress(BODY, mtime=0)


def head(*lines: str | bytes, status: str | bytes = OK, end: bytes = b"\r\n") -> bytes:
    """A status line and header lines, ended by `end` each, and the empty line."""
    raw = [line if isinstance(line, bytes) else line.encode("latin-1") for line in (status, *lines)]
    return end.join([*raw, b"", b""])


def sized(
    body: bytes, *lines: str | bytes, status: str | bytes = OK, length: int | None = None
) -> bytes:
    """A response with Content-Length, the true one unless `length` says otherwise."""
    said = len(body) if length is None else length
    return head(*lines, f"Content-Length: {said}", status=status) + body


def chunked(
    *chunks: bytes,
    lines: tuple[str | bytes, ...] = (),
    extension: bytes = b"",
    trailers: tuple[bytes, ...] = (),
    size: str = "%x",
) -> bytes:
    """A chunked response, ended by its last chunk and its trailers."""
    framed = b"".join(
        (size % len(chunk)).encode() + extension + b"\r\n" + chunk + b"\r\n" for chunk in chunks
    )
    last = b"0\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"
    return head(*lines, "Transfer-Encoding: chunked") + framed + last


def bare_deflate(body: bytes) -> bytes:
    """A deflate stream without zlib's wrapper."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


def blocks(size: int) -> bytes:
    """Bytes that compress a little, and none of which is where another is."""
    return b"".join(b"%016x payload " % (number * 2654435761) for number in range(size // 25))[
        :size
    ]
