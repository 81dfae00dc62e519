"""JSON, JSON lines and JSONP.

JSON is UTF-8 (RFC 8259), and most publishers' charset labels are leftovers; so UTF-8 is tried
before the label. UTF-16 and UTF-32, which older specifications allowed, are known by their byte
order mark or by where their zero bytes are.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

import orjson

from raw_store.errors import BodyUnreadable

from .charsets import header_charset, mark_of
from .labels import decode_as
from .places import place
from .validation import validated_json

_NAME = r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[^\]\s]{1,80}\])*"
# What servers put before JSON so that no other site's script can run it.
_GUARD = re.compile(
    r"\s*(?:\)\]\}'?,?|while\s*\(\s*1\s*\)\s*;|for\s*\(\s*;\s*;\s*\)\s*;)\s*",
)
# `/**/` and `typeof f === 'function' &&` are how servers harden a callback.
_CALL = re.compile(
    rf"\s*(?>(?>/\*.*?\*/)\s*)*(?:typeof\s+{_NAME}\s*===?\s*[\"']function[\"']\s*&&\s*)?"
    rf"{_NAME}\s*\(",
    re.S,
)
_END_OF_CALL = re.compile(r"\)[\s;]*\Z")


def parse(body: bytes, content_type: str | None, as_: Any = None) -> Any:
    """The value that the body's JSON stands for; with `as_`, validated as that type."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Not UTF-8, or not JSON: what it is takes a closer look.
        text = json_text(body, content_type)
        return _loads(text, as_)
    return value if as_ is None else validated_json(body, as_)


def parse_jsonp(body: bytes, content_type: str | None, as_: Any = None) -> Any:
    """The value inside `callback(…);`, or behind a guard such as `)]}'`, or plain."""
    text = json_text(body, content_type)
    guard = _GUARD.match(text)
    start = guard.end() if guard else 0
    end = len(text)
    if call := _CALL.match(text, start):
        start = call.end()
        # What ends a body is short: looked for from behind, so that a large one costs nothing.
        close = text.rfind(")")
        if close < start or not _END_OF_CALL.match(text, close):
            raise BodyUnreadable(
                f"The body is not JSONP: `{call[0].strip()[:60]}` is not closed by `)` at its end, "
                f"{place(text, len(text))}. It may be cut off."
            )
        end = close
    return _loads(text, as_, start, end)


def parse_lines(body: bytes, content_type: str | None, as_: Any = None) -> Iterator[Any]:
    """The value of each line that is not blank. Raises at the first line that is not JSON."""
    text = json_text(body, content_type)
    # A line ends at \n alone: U+2028 and its like may stand inside a string.
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        line = line.rstrip()
        if not line:
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            where = place(line, error.pos, first_line=number)
            raise BodyUnreadable(f"The body is not JSON lines: {error.msg} at {where}.") from None
        yield value if as_ is None else validated_json(line, as_, f"line {number}")


def json_text(body: bytes, content_type: str | None) -> str:
    """The body as text: by its mark or zero bytes, else UTF-8, else as its header says."""
    if not body:
        raise BodyUnreadable("The body is not JSON. It is empty.")
    name, start = mark_of(body)
    name = name or _wide(body)
    if name:
        return _decoded(body[start:], name)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return _decoded(body, header_charset(content_type) or "utf-8")


def _wide(body: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, by the zeros in the first characters (RFC 4627, 3)."""
    zeros = tuple(byte == 0 for byte in body[:4])
    if zeros == (True, True, True, False):
        return "utf-32be"
    if zeros == (False, True, True, True):
        return "utf-32le"
    if zeros[:2] == (True, False):
        return "utf-16be"
    return "utf-16le" if zeros[:2] == (False, True) else None


def _decoded(body: bytes, name: str) -> str:
    try:
        return decode_as(body, name)
    except UnicodeDecodeError as error:
        before = decode_as(body[: error.start], name, "replace")
        raise BodyUnreadable(
            f"The body is not JSON: byte 0x{body[error.start]:02X} is not {name}, "
            f"at {place(before, len(before))}."
        ) from None


def _loads(text: str, as_: Any, start: int = 0, end: int | None = None) -> Any:
    inner = text[start:end] if start or end is not None else text
    try:
        value = orjson.loads(inner)
    except orjson.JSONDecodeError as error:
        said = f"The body is not JSON: {error.msg} at {place(text, start + error.pos)}."
        hint = _hint(text, error.pos) if inner is text else ""
        raise BodyUnreadable(f"{said}{hint}") from None
    return value if as_ is None else validated_json(inner, as_)


def _hint(text: str, at: int) -> str:
    """What the body may be instead, and how that is read."""
    if text.lstrip()[:1] == "<":
        return " It looks like markup: payload.html() or payload.xml() reads that."
    if at <= 1 + len(text) - len(text.lstrip()) and (_GUARD.match(text) or _CALL.match(text)):
        return " It looks like JSONP: payload.jsonp() reads that."
    first, _, rest = text.lstrip().partition("\n")
    if rest and at >= len(first):
        try:
            orjson.loads(first)
        except orjson.JSONDecodeError:
            return ""
        return " It looks like JSON lines: payload.json_lines() reads those."
    return ""
