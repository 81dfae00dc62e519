"""What the other records of a fetch do not say: the columns of its row as a metadata record.

The block is `application/warc-fields` (ISO 28500:2017): the first line says the format, then comes
a line a column, its value written as JSON; a column that is not there is null. With it an import
restores every column. Values come from a file that anyone may have written, so each is checked.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from ..payload import Headers, Payload

FORMAT = "rootcellar-fetch"
VERSION = "1"
_FIRST = f"{FORMAT}: {VERSION}".encode()

COLUMNS = (
    "fetch_id",
    "run_id",
    "sequence",
    "feed",
    "attempt",
    "method",
    "url",
    "request_key",
    "status",
    "reason",
    "http_version",
    "fetched_at",
    "elapsed_ms",
    "content_type",
    "content_encoding",
    "body_digest",
    "body_size",
    "encoded_digest",
    "encoded_size",
    "payload_id",
    "truncated",
    "error",
)
"""Every column but the headers and the bodies, which other records hold."""


class Extra(NamedTuple):
    """What a metadata record says beside columns."""

    block: str | None = None
    """What the main record's payload is: `body`, `encoded_body`, or null for neither."""
    body: str | None = None
    """Where the body is, if the block is not it: `decoded` from it, or in a `conversion` record."""
    hidden: tuple[str, ...] = ()
    """The headers, in lower case, whose names were changed."""
    has_request_body: bool = False
    run_fetch_count: int | None = None
    """Fetches of the run, where it is known to be complete."""
    headers: Headers | None = None
    """The response's, where the main record cannot hold them."""
    request_headers: Headers | None = None


def to_fields(payload: Payload, extra: Extra) -> bytes:
    """The block of a fetch's metadata record."""
    said: dict[str, Any] = {name: getattr(payload, name) for name in COLUMNS}
    said |= extra._asdict()
    lines = [_FIRST]
    for name, value in said.items():
        if value is not None and value != () and value is not False:
            lines.append(name.encode() + b": " + orjson.dumps(value))
    return b"\r\n".join([*lines, b""])


class FieldsInvalid(ValueError):
    """A metadata record that says it describes a fetch, but does not."""


def parse_fields(block: bytes) -> tuple[Payload, Extra] | None:
    """A row without its headers and bodies, and what else the block says.

    None for another program's block. Raises `FieldsInvalid`.
    """
    first, *lines = block.split(b"\r\n")
    if first != _FIRST:
        return None
    said: dict[str, Any] = {}
    for line in lines:
        name, colon, value = line.partition(b": ")
        if colon:
            try:
                said[name.decode("latin-1")] = orjson.loads(value)
            except orjson.JSONDecodeError:
                raise FieldsInvalid(f"{name[:40]!r} is not JSON") from None
    values = {name: _checked(name, said.get(name), kind) for name, kind in _KINDS.items()}
    columns = {name: values[name] for name in COLUMNS}
    extra = Extra(**{name: values[name] for name in Extra._fields})
    return Payload(**columns), extra


def _checked(name: str, value: Any, kind: "_Kind") -> Any:
    if value is None:
        if kind.is_needed:
            raise FieldsInvalid(f"{name} is missing")
        return kind.absent
    try:
        return kind.read(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise FieldsInvalid(f"{name}: {error}") from None


class _Kind(NamedTuple):
    read: Callable[[Any], Any]
    is_needed: bool = False
    absent: Any = None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    value.encode()
    return value


def _matching(pattern: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not re.fullmatch(pattern, _text(value)):
            raise ValueError(f"{value[:40]!r} is not expected")
        return str(value)

    return read


def _number(bits: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not -(1 << bits) < value < 1 << bits:
            raise ValueError("a whole number is expected")
        return value

    return read


def _status(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1000:
        raise ValueError("a status is expected")
    return value


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError("it has no time zone")
    return at


def _id(value: Any) -> UUID:
    return UUID(_text(value))


def _is_true(value: Any) -> bool:
    return value is True


def _pairs(value: Any) -> Headers:
    return tuple((_text(name), _text(each)) for name, each in value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(_text(name) for name in value)


_DIGEST = _matching("[0-9a-f]{64}")
_KINDS: dict[str, _Kind] = {
    "fetch_id": _Kind(_id, is_needed=True),
    "run_id": _Kind(_id, is_needed=True),
    "sequence": _Kind(_number(63), is_needed=True),
    "feed": _Kind(_text, is_needed=True),
    "attempt": _Kind(_number(31), is_needed=True),
    "method": _Kind(_text, is_needed=True),
    "url": _Kind(_text, is_needed=True),
    "request_key": _Kind(_text, is_needed=True),
    "status": _Kind(_status),
    "reason": _Kind(_text),
    "http_version": _Kind(_text),
    "fetched_at": _Kind(_time, is_needed=True),
    "elapsed_ms": _Kind(_number(63)),
    "content_type": _Kind(_text),
    "content_encoding": _Kind(_text),
    "body_digest": _Kind(_DIGEST),
    "body_size": _Kind(_number(63)),
    "encoded_digest": _Kind(_DIGEST),
    "encoded_size": _Kind(_number(63)),
    "payload_id": _Kind(_id),
    "truncated": _Kind(_text),
    "error": _Kind(_text),
    "block": _Kind(_matching("body|encoded_body")),
    "body": _Kind(_matching("decoded|conversion")),
    "hidden": _Kind(_names, absent=()),
    "has_request_body": _Kind(_is_true, absent=False),
    "run_fetch_count": _Kind(_number(63)),
    "headers": _Kind(_pairs),
    "request_headers": _Kind(_pairs),
}


def moved(payload: Payload, feed: str, new_id: Callable[[UUID], UUID]) -> Payload:
    """The row as one of another feed, with ids of its own."""
    return replace(
        payload,
        feed=feed,
        fetch_id=new_id(payload.fetch_id),
        run_id=new_id(payload.run_id),
        payload_id=payload.payload_id and new_id(payload.payload_id),
    )
