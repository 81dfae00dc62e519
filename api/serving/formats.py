"""The forms that a flat list can be exported in: CSV, JSON lines, Arrow, Parquet.

Each writes batches of columns to a sink, piece by piece, and holds no more than one batch.
Text forms show values as GraphQL does; the columnar ones have types of their own.
"""

import base64
import csv
import datetime as dt
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from strawberry.scalars import Base64

from ..compiled.values import OPTIONS

Columns = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Described:
    """One column of an export."""

    name: str
    arrow: pa.DataType
    scalar: Any
    show: Callable[[Sequence[Any]], Sequence[Any]]
    """Values of the database as GraphQL shows them."""
    read: Callable[[Sequence[Any]], Sequence[Any]]
    """Values of the database as Python has them."""


class Form(Protocol):
    """Writes one export."""

    def write(self, columns: Columns) -> None:
        """Write a batch, as the database gave it."""

    def close(self) -> None:
        """Write what ends the export."""


class CsvForm:
    """CSV as RFC 4180 has it, with a first line of names; a null is empty."""

    def __init__(self, sink: io.RawIOBase, described: Sequence[Described]) -> None:
        self._described = described
        self._sink = sink
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)
        self._writer.writerow([one.name for one in described])

    def write(self, columns: Columns) -> None:
        shown = [
            _as_text(one.show(values)) for one, values in zip(self._described, columns, strict=True)
        ]
        self._writer.writerows(zip(*shown, strict=True))
        self._pass_on()

    def close(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        self._sink.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()


class JsonLinesForm:
    """One JSON object a line."""

    def __init__(self, sink: io.RawIOBase, described: Sequence[Described]) -> None:
        self._described = described
        self._sink = sink
        self._names = [one.name for one in described]

    def write(self, columns: Columns) -> None:
        shown = [one.show(values) for one, values in zip(self._described, columns, strict=True)]
        option = OPTIONS | orjson.OPT_APPEND_NEWLINE
        lines = (
            orjson.dumps(dict(zip(self._names, row, strict=True)), option=option)
            for row in zip(*shown, strict=True)
        )
        self._sink.write(b"".join(lines))

    def close(self) -> None:
        pass


class ArrowForm:
    """Arrow's IPC stream."""

    def __init__(self, sink: io.RawIOBase, described: Sequence[Described]) -> None:
        self._described = described
        self._schema = pa.schema([(one.name, one.arrow) for one in described])
        self._writer = self._open(sink)

    def _open(self, sink: io.RawIOBase) -> Any:
        return pa.ipc.new_stream(sink, self._schema)

    def write(self, columns: Columns) -> None:
        arrays = [
            pa.array(one.read(values), one.arrow)
            for one, values in zip(self._described, columns, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class ParquetForm(ArrowForm):
    """Parquet, compressed with zstd; a batch is a row group."""

    def _open(self, sink: io.RawIOBase) -> Any:
        return pq.ParquetWriter(sink, self._schema, compression="zstd")


FORMS: dict[str, tuple[str, Callable[[Any, Sequence[Described]], Form]]] = {
    "text/csv": ("csv", CsvForm),
    "application/x-ndjson": ("ndjson", JsonLinesForm),
    "application/vnd.apache.arrow.stream": ("arrows", ArrowForm),
    "application/vnd.apache.parquet": ("parquet", ParquetForm),
}
"""By media type: the ending of a file's name, and what writes it."""

_ARROW = {
    dt.date: pa.date32(),
    dt.datetime: pa.timestamp("us", "UTC"),
    dt.time: pa.time64("us"),
    UUID: pa.string(),
    Base64: pa.binary(),
    bool: pa.bool_(),
    float: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
}


def arrow_of(scalar: Any, otherwise: pa.DataType) -> pa.DataType:
    """The Arrow type that a column of a scalar has in an export."""
    return _ARROW.get(scalar, otherwise)


def _as_text(values: Sequence[Any]) -> Sequence[Any]:
    """Values as CSV holds them."""
    kinds = set(map(type, values))
    if kinds & {dt.datetime, dt.time, bool, bytes, orjson.Fragment, dict, list}:
        return [_one_as_text(value) for value in values]
    return values


def _one_as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bool | dt.datetime | dt.time | orjson.Fragment | dict | list):
        text = orjson.dumps(value, option=OPTIONS).decode()
        return text.strip('"') if isinstance(value, dt.datetime | dt.time) else text
    return value
