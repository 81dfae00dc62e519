"""Many rows to and from PostgreSQL: COPY as CSV, which Arrow writes and reads without an object for
each value. The rows pass on Django's own connection, so they are those of its transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
from django.db.backends.base.base import BaseDatabaseWrapper

from .ahead import ahead

_AT_ONCE = 4 * 1024 * 1024
"""Bytes of text that are read as one batch."""
# As PostgreSQL writes CSV: a null is nothing, an empty text is "".
_PARSED = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
_NULLS: dict[str, Any] = {
    "null_values": [""],
    "strings_can_be_null": True,
    "quoted_strings_can_be_null": False,
    "true_values": ["t"],
    "false_values": ["f"],
}


def copy_in(
    cursor: Any, table: str, rows: pa.RecordBatchReader, advance: Callable[[int], None] | None
) -> None:
    """Copy the rows into a table of these columns; names are quoted as PostgreSQL wants them."""
    names = ", ".join(f'"{name}"' for name in rows.schema.names)
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)") as copy:
        # PostgreSQL stores one batch while the next is written as text.
        for count, text in ahead((batch.num_rows, _as_csv(batch)) for batch in rows):
            copy.write(text)
            if advance:
                advance(count)


def copied_out(
    connection: BaseDatabaseWrapper, query: str, params: Sequence[Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of a query; binary columns are text in hexadecimal digits, behind `\\x`."""
    types = {
        field.name: pa.string() if pa.types.is_binary(field.type) else field.type
        for field in schema
    }
    converted = csv.ConvertOptions(column_types=types, **_NULLS)

    def read(pieces: list[bytes]) -> Iterator[pa.RecordBatch]:
        text = b"".join(pieces)
        options = csv.ReadOptions(
            column_names=schema.names, use_threads=False, block_size=len(text) + 1
        )
        yield from csv.read_csv(pa.py_buffer(text), options, _PARSED, converted).to_batches()

    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)", params or None) as copy,
    ):
        pieces: list[bytes] = []
        size = 0
        for piece in copy:
            pieces.append(bytes(piece))
            size += len(piece)
            if size >= _AT_ONCE:
                yield from read(pieces)
                pieces, size = [], 0
        if pieces:
            yield from read(pieces)


def _as_csv(batch: pa.RecordBatch) -> bytes:
    """Rows as PostgreSQL reads them: text in quotes, so that a null is what has none."""
    columns = [
        pa.array([v if v is None else f"\\x{v.hex()}" for v in column.to_pylist()], pa.string())
        if pa.types.is_binary(column.type)
        else column
        for column in batch.columns
    ]
    out = pa.BufferOutputStream()
    csv.write_csv(
        pa.RecordBatch.from_arrays(columns, names=batch.schema.names),
        out,
        csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    return bytes(out.getvalue())
