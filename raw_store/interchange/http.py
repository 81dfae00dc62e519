"""Heads of HTTP messages as WARC records hold them: bytes to columns and back, to the letter.

Names and values are latin-1, in order, with their case and duplicates. What no row can hold is
normalised as the archiving client does it: a folded line is joined with one space (RFC 9112,
section 5.2), white space around a value is left out.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..payload import Headers, Payload

HIDDEN_PREFIX = "X-Archive-Orig-"
"""Put before the name of a header that is not true of the bytes a record holds."""

OF_THE_CODING = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Not true of a body that was decoded."""
OF_THE_TRANSFER = frozenset({"transfer-encoding"})
"""Not true of a body whose chunks were joined, encoded or not."""

LONGEST_HEAD = 1 << 20
_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_STATUS_LINE = re.compile(
    r"(?P<version>[A-Za-z]+/[0-9.]+)[ \t]+(?P<status>\d{3})(?: (?P<reason>.*))?"
)
_CHUNK_SIZE = re.compile(rb"\s*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n\Z")
_SPACE = " \t"
_LONGEST_LINE = 16 * 1024
_STEP = 1 << 20


class Head(NamedTuple):
    """The head of a message."""

    start: str
    """The request line or the status line."""
    headers: Headers
    size: int
    """Bytes up to where the body begins."""


class StatusLine(NamedTuple):
    """What a status line says (RFC 9112, section 4)."""

    http_version: str
    status: int
    reason: str | None
    """Null when not even the space before it is there."""


def parse_head(block: bytes) -> Head:
    """The head at the beginning of a message; all of `block` when no blank line ends it."""
    end = _BLANK_LINE.search(block)
    head = block[: end.start()] if end else block
    size = end.end() if end else len(block)
    start, *lines = head.decode("latin-1").split("\n")
    headers: list[tuple[str, str]] = []
    for line in lines:
        line = line.removesuffix("\r")
        if line.startswith((" ", "\t")) and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip(_SPACE)}".strip(_SPACE))
        elif line:
            name, _, value = line.partition(":")
            headers.append((name.rstrip(_SPACE), value.strip(_SPACE)))
    return Head(start.removesuffix("\r"), tuple(headers), size)


def parse_status_line(line: str) -> StatusLine | None:
    """What a status line says, or None when it is none."""
    match = _STATUS_LINE.fullmatch(line)
    return match and StatusLine(match["version"], int(match["status"]), match["reason"])


def response_head(payload: Payload, hidden: frozenset[str]) -> bytes:
    """The status line and the headers of a payload, the `hidden` ones under another name.

    A status line is HTTP/1's (RFC 9112, section 4), whatever version the response came in.
    """
    version = payload.http_version or ""
    shown = version if re.fullmatch(r"HTTP/1\.[01]", version) else "HTTP/1.1"
    reason = "" if payload.reason is None else f" {payload.reason}"
    return _head(f"{shown} {payload.status:03d}{reason}", hide(payload.headers, hidden))


def request_head(payload: Payload) -> bytes:
    """The request line and headers of a payload."""
    match = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^#]*)", payload.url)
    target = (match[1] if match else payload.url) or "/"
    target = f"/{target}" if target.startswith("?") else target
    target = re.sub(r"[^\x21-\x7e]", lambda found: _percent(found[0]), target)
    return _head(f"{payload.method} {target} HTTP/1.1", payload.request_headers)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _head(start: str, headers: Headers) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    # What latin-1 cannot write, or a line cannot hold, the metadata record says again.
    return "".join(f"{_one_line(line)}\r\n" for line in [*lines, ""]).encode("latin-1", "replace")


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n\0]", " ", text)


def hide(headers: Headers, hidden: frozenset[str]) -> Headers:
    """The headers, those `hidden` under another name."""
    return tuple(
        (f"{HIDDEN_PREFIX}{name}" if name.lower() in hidden else name, value)
        for name, value in headers
    )


def unhide(headers: Headers, hidden: frozenset[str]) -> Headers:
    """The headers with the names they came with."""
    prefix = HIDDEN_PREFIX.lower()
    return tuple(
        (name[len(prefix) :], value)
        if name.lower().startswith(prefix) and name.lower()[len(prefix) :] in hidden
        else (name, value)
        for name, value in headers
    )


def header(headers: Headers, name: str) -> str | None:
    """The first header of that name (given in lower case)."""
    return next((value for key, value in headers if key.lower() == name), None)


def is_chunked(headers: Headers) -> bool:
    """Whether the last transfer coding is chunked (RFC 9112, section 6.1)."""
    codings = ",".join(value for name, value in headers if name.lower() == "transfer-encoding")
    return codings.rpartition(",")[2].strip().lower() == "chunked"


class ChunksBroken(ValueError):
    """A body that is said to be chunked is not, or not to its end."""


def join_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a chunked body (RFC 9112, section 7.1); extensions and trailers are left out.

    Raises `ChunksBroken`, after what could be read.
    """
    source = _Pieces(pieces)
    while True:
        line = source.line()
        match = _CHUNK_SIZE.match(line)
        if match is None:
            raise ChunksBroken(f"{line[:20]!r} is no chunk size")
        left = int(match[1], 16)
        if left == 0:
            return
        while left:
            piece = source.read(min(left, _STEP))
            if not piece:
                raise ChunksBroken(f"{left} bytes of a chunk are missing")
            left -= len(piece)
            yield piece
        if source.line().strip():
            raise ChunksBroken("a chunk is longer than its size says")


class _Pieces:
    """Lines and bytes of a body that comes in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._at == len(self._held):
            self._held, self._at = next(self._pieces, b""), 0
        found = self._held[self._at : self._at + size]
        self._at += len(found)
        return found

    def line(self) -> bytes:
        """Up to and with the next line feed, if it is near."""
        while (end := self._held.find(b"\n", self._at)) < 0:
            piece = next(self._pieces, b"")
            if not piece or len(self._held) - self._at > _LONGEST_LINE:
                end = len(self._held) - 1
                break
            self._held, self._at = self._held[self._at :] + piece, 0
        found = self._held[self._at : end + 1]
        self._at = end + 1
        return found
