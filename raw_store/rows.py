"""Rows of the archive: the columns, and payloads to rows and back.

Nothing here needs Django: worker processes read segments with it.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import pyarrow as pa

from .payload import Headers, Payload

_HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))

SCHEMA = pa.schema(
    [
        ("fetch_id", pa.string()),
        ("run_id", pa.string()),
        ("sequence", pa.int64()),
        ("source", pa.string()),
        ("feed", pa.string()),
        ("attempt", pa.int32()),
        ("method", pa.string()),
        ("url", pa.string()),
        ("request_headers", _HEADERS),
        ("request_body", pa.binary()),
        ("request_key", pa.string()),
        ("status", pa.int16()),
        ("reason", pa.string()),
        ("http_version", pa.string()),
        ("headers", _HEADERS),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("elapsed_ms", pa.int64()),
        ("content_type", pa.string()),
        ("content_encoding", pa.string()),
        ("body", pa.binary()),
        ("body_digest", pa.string()),
        ("body_size", pa.int64()),
        ("encoded_digest", pa.string()),
        ("encoded_size", pa.int64()),
        ("encoded_body", pa.binary()),
        ("payload_id", pa.string()),
        ("truncated", pa.string()),
        ("error", pa.string()),
    ]
)

BODY_COLUMNS = ("request_body", "body", "encoded_body")
_BODIES = ("body", "encoded_body")
METADATA_COLUMNS = [name for name in SCHEMA.names if name not in _BODIES]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
IDS = ("fetch_id", "run_id", "payload_id")
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Payload)}
_OPTIONAL = {
    name: default for name, default in _DEFAULTS.items() if default is not dataclasses.MISSING
}
_REQUIRED = {name for name, default in _DEFAULTS.items() if default is dataclasses.MISSING}


def to_table(payloads: Sequence[Payload], *, without: Collection[str] = ()) -> pa.Table:
    """Payloads as rows of the archive; the columns `without` are null."""
    names = [name for name in SCHEMA.names if name not in without]
    cells = zip(*map(attrgetter(*names), payloads), strict=True)
    columns: dict[str, Iterable[Any]] = dict(zip(names, cells, strict=False))
    texts = _Texts({None: None})
    for name in IDS:
        if name in columns:
            columns[name] = [texts[value] for value in columns[name]]
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(len(payloads), field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def to_payloads(table: pa.Table) -> list[Payload]:
    """Rows of the archive as payloads; columns that were not read are null.

    Raises `ValueError` when a column is missing that every payload has.
    """
    if missing := _REQUIRED.difference(table.column_names):
        raise ValueError(f"The table lacks the columns {', '.join(sorted(missing))}.")
    rows = _Rows(table)
    nothing: list[bytes | None] = [None] * table.num_rows
    bodies, encoded = (
        table[name].to_pylist() if name in table.column_names else nothing for name in _BODIES
    )
    payloads: list[Payload] = []
    for index, (body, encoded_body) in enumerate(zip(bodies, encoded, strict=True)):
        made = object.__new__(ArchivedPayload)
        fields = {"body": body, "encoded_body": encoded_body, "_rows": rows, "_index": index}
        object.__setattr__(made, "__dict__", fields)
        payloads.append(made)
    return payloads


class _Rows:
    """Rows without their bodies, of which a column is made Python values when one is asked for."""

    def __init__(self, table: pa.Table) -> None:
        held = [name for name in table.column_names if name in _DEFAULTS and name not in _BODIES]
        self._table = table.select(held)
        self._columns: dict[str, list[Any]] = {}

    def cell(self, name: str, index: int) -> Any:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = self._made(name)
        return column[index]

    def _made(self, name: str) -> list[Any]:
        if name not in self._table.column_names:
            return [_DEFAULTS[name]] * self._table.num_rows
        column = self._table[name]
        if name == "fetched_at":
            micros = column.cast(pa.int64()).to_pylist()
            return [_EPOCH + timedelta(microseconds=value) for value in micros]
        if name in ("headers", "request_headers"):
            return list(_headers(column))
        if name in IDS:
            ids = _Ids({None: None})
            return [ids[value] for value in column.to_pylist()]
        values: list[Any] = column.to_pylist()
        return values


class _Cell:
    """A field of a payload as it lies in the archive, read when it is asked for, and kept."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, payload: "ArchivedPayload | None", kind: type | None = None) -> Any:
        if payload is None:
            return self
        kept = payload.__dict__
        value = kept[self._name] = kept["_rows"].cell(self._name, kept["_index"])
        return value


class ArchivedPayload(Payload):
    """A payload read from the archive: a scan pays for the fields that are looked at."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_payload, ({name: getattr(self, name) for name in _DEFAULTS},))


def _be_lazy() -> None:
    for name in _DEFAULTS:
        if name not in _BODIES:
            setattr(ArchivedPayload, name, _Cell(name))


def with_body(payload: Payload, body: bytes | None) -> Payload:
    """A payload that `to_payloads` just made without its body, given that."""
    payload.__dict__["body"] = body
    return payload


def twin_with_body(payload: Payload, body: bytes | None) -> Payload:
    """A second payload like one that `to_payloads` made, with this body."""
    made = object.__new__(ArchivedPayload)
    object.__setattr__(made, "__dict__", {**payload.__dict__, "body": body})
    return made


def new_payload(**values: Any) -> Payload:
    """`Payload(…)`, twice as fast. Raises `TypeError` for other fields than it has."""
    made = {**_OPTIONAL, **values}
    if made.keys() != _DEFAULTS.keys():
        raise TypeError(f"A payload has other fields: {sorted(made.keys() ^ _DEFAULTS.keys())}.")
    return _payload(made)


def changed(payload: Payload, **values: Any) -> Payload:
    """`dataclasses.replace`, many times as fast: a payload has nothing to check or to derive."""
    kept = payload.__dict__
    if len(kept) != len(_DEFAULTS) or "_rows" in kept:
        # Its text and its charset, worked out from its body, are not the new one's.
        kept = {name: getattr(payload, name) for name in _DEFAULTS}
    return _payload({**kept, **values})


def payload_bytes(payload: Payload) -> int:
    """The bytes a payload holds in memory for its bodies."""
    return (
        len(payload.request_body or b"")
        + len(payload.body or b"")
        + len(payload.encoded_body or b"")
    )


def _payload(fields: dict[str, Any]) -> Payload:
    """A payload from all of its fields, without the thirty assignments of its `__init__`."""
    made = object.__new__(Payload)
    object.__setattr__(made, "__dict__", fields)
    return made


class _Texts(dict[UUID | None, str | None]):
    """Ids as text, each made once."""

    def __missing__(self, key: UUID) -> str:
        text = self[key] = str(key)
        return text


class _Ids(dict[str | None, UUID | None]):
    """Texts as ids, each made once."""

    def __missing__(self, key: str) -> UUID:
        made = self[key] = UUID(key)
        return made


def _headers(column: pa.ChunkedArray) -> Iterator[Headers]:
    """Each row's headers, made from the two columns of strings beneath rather than cell by cell."""
    for chunk in column.chunks:
        flat = chunk.flatten()
        names, values = flat.field(0).to_pylist(), flat.field(1).to_pylist()
        at = 0
        last: tuple[list[str], list[str]] = ([], [])
        headers: Headers = ()
        for count in chunk.value_lengths().to_pylist():
            begin, at = at, at + (count or 0)
            # A client's are the same in every request: then the rows share them.
            found = (names[begin:at], values[begin:at])
            if found != last:
                last, headers = found, tuple(zip(*found, strict=True))
            yield headers


_be_lazy()
