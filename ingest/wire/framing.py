"""Where the body of a response ends (RFC 9112, sections 6 and 7).

A framing is fed the bytes that come and gives back those of the body. What is left behind the end
belongs to no response: the connection it came over is not used again.
"""

import re
from collections.abc import Iterable

from .errors import HungUp, NotHttp
from .head import LONGEST_HEAD, Head, end_of_head, read_lines

_CUT = "peer closed connection without sending complete message body"
_LENGTH = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\n]*)?[ \t]*")
_LONGEST_CHUNK_LINE = 16 * 1024


class Sized:
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._length = self._missing = length
        self.is_done = not length
        self.rest = b""
        """What came behind the end."""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take in bytes, give those of the body."""
        missing = self._missing
        if len(data) < missing:
            self._missing = missing - len(data)
            return (data,)
        self.is_done, self._missing = True, 0
        if len(data) == missing:
            return (data,)
        self.rest = data[missing:]
        return (data[:missing],)

    def end(self) -> None:
        """The connection ended. Raises `HungUp` where that is too early."""
        got = self._length - self._missing
        raise HungUp(f"{_CUT} (received {got} bytes, expected {self._length})")


class UntilTheEnd:
    """A body that ends with the connection."""

    is_done = False
    rest = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        return (data,)

    def end(self) -> None:
        self.is_done = True


class Chunked:
    """A body in chunks, each with its length before it; what extends and trails them is dropped."""

    def __init__(self) -> None:
        self.is_done = False
        self.rest = b""
        self._held = b""
        self._missing = 0
        self._is_within = False
        self._is_trailing = False

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take in bytes, give those of the body. What came before a `NotHttp` is given first."""
        data = self._held + data
        at = 0
        while True:
            if self._missing:
                piece = data[at : at + self._missing]
                at += len(piece)
                self._missing -= len(piece)
                if piece:
                    yield piece
                if self._missing:
                    break
            if self._is_within:
                # The line end behind a chunk.
                if not b"\r\n".startswith(data[at : at + 2]):
                    raise NotHttp(f"malformed chunk footer: {data[at : at + 2]!r}")
                if len(data) - at < 2:
                    break
                at += 2
                self._is_within = False
            if self._is_trailing:
                at = self._trail(data, at)
                break
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _LONGEST_CHUNK_LINE:
                    raise NotHttp(f"illegal chunk header: {data[at : at + 40]!r}…")
                break
            self._begin(data[at:end])
            at = end + 2
        self._held = data[at:]
        if self.is_done:
            self.rest, self._held = self._held, b""

    def end(self) -> None:
        raise HungUp(
            "peer unexpectedly closed connection in the trailers"
            if self._is_trailing
            else f"{_CUT} (incomplete chunked read)"
        )

    def _begin(self, line: bytes) -> None:
        found = _CHUNK.fullmatch(line)
        if not found:
            raise NotHttp(f"illegal chunk header: {line[:200]!r}")
        self._missing = int(found[1], 16)
        self._is_within = self._missing > 0
        self._is_trailing = not self._is_within

    def _trail(self, data: bytes, at: int) -> int:
        trailers = data[at:]
        if trailers.startswith(b"\r\n"):
            self.is_done = True
            return at + 2
        if trailers.startswith(b"\n"):
            self.is_done = True
            return at + 1
        if not trailers or trailers == b"\r":
            return at
        end, begin = end_of_head(trailers)
        if end < 0:
            if len(trailers) > LONGEST_HEAD:
                raise NotHttp(f"the trailers are longer than {LONGEST_HEAD:,} bytes")
            return at
        read_lines(trailers[:end].decode("latin-1"))
        self.is_done = True
        return at + begin


Framing = Sized | UntilTheEnd | Chunked


def framing_of(head: Head, method: str) -> tuple[Framing, bool]:
    """How the body of this response ends, and whether the connection may be used again then.

    Raises `NotHttp` where the headers contradict each other.
    """
    length: str | None = None
    coding: str | None = None
    is_kept = head.http_version == "HTTP/1.1"
    for name, value in head.headers:
        # Most names are of another length; it is cheaper to ask for.
        size = len(name)
        if size == 14 and name.lower() == "content-length":
            length = _one_length(length, value)
        elif size == 17 and name.lower() == "transfer-encoding":
            if coding is not None:
                raise NotHttp("multiple Transfer-Encoding headers")
            coding = value.lower()
        elif size == 10 and name.lower() == "connection":
            options = [each.strip(" \t").lower() for each in value.split(",")]
            is_kept = is_kept and "close" not in options
    if coding not in (None, "chunked"):
        raise NotHttp(f"Only Transfer-Encoding: chunked is supported, not {coding!r}")
    if method == "HEAD" or head.status in (204, 304):
        return Sized(0), is_kept
    if method == "CONNECT" and 200 <= head.status < 300:
        return Sized(0), True
    if coding:
        # Whoever says both may mean either: nothing more is taken from such a connection.
        return Chunked(), is_kept and length is None
    if length is not None:
        return Sized(int(length)), is_kept
    return UntilTheEnd(), False


def _one_length(known: str | None, value: str) -> str:
    if known is None and value.isdecimal() and value.isascii() and len(value) <= 20:
        return value
    said = {each.strip(" \t") for each in value.split(",")} | ({known} if known else set())
    if len(said) > 1:
        raise NotHttp("conflicting Content-Length headers")
    length = said.pop()
    if not _LENGTH.fullmatch(length):
        raise NotHttp(f"bad Content-Length: {length[:60]!r}")
    return length
