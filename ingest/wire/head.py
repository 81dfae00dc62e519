"""The head of a response: status line and header lines (RFC 9112, sections 4 and 5).

Nothing is made nicer: names keep their case, lines their order and number, values every byte
(read as latin-1). What two programs could read in two ways is refused, with what is wrong.
"""

import re
from typing import NamedTuple

from .errors import NotHttp

Headers = tuple[tuple[str, str], ...]

LONGEST_HEAD = 100 * 1024
"""Bytes of a response's head, and of the trailers behind a chunked body."""
MOST_LINES = 2_500
"""Header lines of one head."""

_STATUS = re.compile(r"(HTTP/[0-9]\.[0-9]) ([0-9]{3})(?: ([^\x00\n\x0b\x0c\r]*))?")
NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
# A CR within a line, a NUL and the vertical white space are how headers are smuggled.
_REFUSED = re.compile(r"[\x00\x0b\x0c]|\r(?!\n)")
_CACHED = 4_096

_LONGEST_KEPT = 200

_lines: dict[str, tuple[str, str]] = {}
"""Lines that were read before: most of a host's responses say the same in most of their lines."""


class Head(NamedTuple):
    """What a response says before its body."""

    http_version: str
    status: int
    reason: str
    headers: Headers


def end_of_head(data: bytes | bytearray) -> tuple[int, int]:
    """Where the lines of a head end and where the body begins; -1 twice while it is not whole."""
    if data.startswith((b"\n", b"\r\n")):
        return 0, 0
    crlf = data.find(b"\n\r\n")
    bare = data.find(b"\n\n", 0, crlf + 1 if crlf >= 0 else len(data))
    if bare >= 0:
        return bare + 1, bare + 2
    return (crlf + 1, crlf + 3) if crlf >= 0 else (-1, -1)


def read_head(raw: bytes | bytearray) -> Head:
    """A head from its lines, each with its line end. Raises `NotHttp`."""
    text = raw.decode("latin-1")
    first, _, rest = text.partition("\n")
    first = first.removesuffix("\r")
    found = _STATUS.fullmatch(first)
    if not found:
        raise NotHttp(f"illegal status line: {first!r}")
    status = int(found[2])
    if status < 100:
        raise NotHttp(f"status {found[2]} is below 100")
    return Head(found[1], status, found[3] or "", read_lines(rest))


def read_lines(text: str) -> Headers:
    """Header lines, each with its line end. Raises `NotHttp`."""
    if not text:
        return ()
    lines = text.split("\n")
    lines.pop()
    if len(lines) > MOST_LINES:
        raise NotHttp(f"more than {MOST_LINES:,} header lines")
    if "\n " in text or "\n\t" in text or text[0] in " \t":
        lines = _unfolded(lines)
    return tuple([_lines.get(line) or _read_line(line) for line in lines])


def _read_line(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not NAME.fullmatch(name) or _REFUSED.search(line.removesuffix("\r")):
        raise NotHttp(f"illegal header line: {line!r}")
    pair = (name, value.strip(" \t\r"))
    if len(line) <= _LONGEST_KEPT:
        if len(_lines) >= _CACHED:
            _lines.clear()
        _lines[line] = pair
    return pair


def _unfolded(lines: list[str]) -> list[str]:
    """A value that goes on in the next line is one line, with one space there (RFC 9112, 5.2).

    Each keeps one CR at its end, as a line has that was never folded.
    """
    found: list[list[str]] = []
    for line in lines:
        line = line.removesuffix("\r")
        if line[:1] not in (" ", "\t"):
            found.append([line])
        elif found:
            found[-1].append(line.lstrip(" \t"))
        else:
            raise NotHttp("continuation line at start of headers")
    return [f"{' '.join(parts)}\r" for parts in found]
