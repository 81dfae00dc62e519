"""An answer as bytes: JSON, lines of JSON, CSV, an Arrow stream, Parquet; a batch at a time.

Text is made by DuckDB, one value a row, and taken out of Arrow's buffer as it is: no row is
ever a Python object, and no more than a batch is in memory.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 2048
_GROUP_BYTES = 8 * 1024 * 1024
# Lists of these are none of them: they have commas.
_PLAIN = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\([^\[]*|DATE|UUID"
    r"|TIMESTAMP[^\[]*"
)
_FLOAT = re.compile(r"FLOAT|DOUBLE")
_NESTED_FLOAT = re.compile(r"FLOAT|DOUBLE|VARIANT")
# Kinds that Arrow's readers or Parquet do not know: they come as text.
_AS_TEXT = re.compile(r"INTERVAL|UNION|UHUGEINT|BIGNUM|\bBIT\b|VARIANT|ENUM|TIME WITH TIME ZONE")
_NOT_FINITE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b', re.DOTALL)
Send = Callable[[bytes | memoryview], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of an answer: its name, made unique, and DuckDB's name of its type."""

    name: str
    type: str


class Writer(Protocol):
    """Writes batches of what `selection` selects."""

    def selection(self) -> str:
        """What is to be selected of columns called c0, c1 …, as SQL."""
        ...

    def begin(self, schema: pa.Schema) -> None:
        """Send what comes before the first row, even if there is none."""
        ...

    def write(self, batch: pa.RecordBatch) -> None:
        """Send a batch of what was selected."""
        ...

    def close(self, rows: int, is_cut: bool) -> None:
        """Send what makes the answer whole."""
        ...


def make_writer(form: str, columns: Sequence[Column], send: Send) -> Writer:
    """The writer of a form."""
    makers: dict[str, Callable[[Sequence[Column], Send], Writer]] = {
        "json": _Json,
        "jsonl": _JsonLines,
        "csv": _Csv,
        "arrow": _Arrow,
        "parquet": _Parquet,
    }
    return makers[form](columns, send)


def unique(names: Sequence[str]) -> list[str]:
    """The names, a repeated one with a number: a JSON object or a Parquet file holds each once."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        found.append(candidate)
    return found


class _Csv:
    def __init__(self, columns: Sequence[Column], send: Send) -> None:
        self._columns = columns
        self._send = send

    def selection(self) -> str:
        cells = [_csv_cell(n, column) for n, column in enumerate(self._columns)]
        if len(cells) == 1:
            # A row of one null would be an empty line, which readers skip.
            cells = [f"if(c0 IS NULL, '\"\"', {cells[0]})"]
        return f"concat({', '.join(_between(cells, quoted(',')))}, chr(10)) AS line"

    def begin(self, schema: pa.Schema) -> None:
        self._send(b",".join(map(_csv_name, self._columns)) + b"\n")

    def write(self, batch: pa.RecordBatch) -> None:
        self._send(_text(batch))

    def close(self, rows: int, is_cut: bool) -> None:
        return


class _JsonLines:
    def __init__(self, columns: Sequence[Column], send: Send) -> None:
        self._columns = columns
        self._send = send
        self._has_rows = False
        # Among nested values DuckDB writes what JSON has no word for.
        self._mends = any(
            _NESTED_FLOAT.search(column.type) and not _FLOAT.fullmatch(column.type)
            for column in columns
        )

    def selection(self) -> str:
        parts = []
        for n, column in enumerate(self._columns):
            key = orjson.dumps(column.name).decode()
            parts += [quoted(f"{'{' if n == 0 else ', '}{key}: "), _json_value(n, column)]
        return f"concat({', '.join(parts)}, {quoted('}')}, {self._ends()}) AS line"

    def _ends(self) -> str:
        return "chr(10)"

    def begin(self, schema: pa.Schema) -> None:
        return

    def write(self, batch: pa.RecordBatch) -> None:
        text = _text(batch)
        self._send_text(_mended(text) if self._mends else text)

    def _send_text(self, text: bytes | memoryview) -> None:
        self._send(text)

    def close(self, rows: int, is_cut: bool) -> None:
        return


class _Json(_JsonLines):
    def _ends(self) -> str:
        return quoted(",") + ", chr(10)"

    def begin(self, schema: pa.Schema) -> None:
        columns = [{"name": column.name, "type": column.type} for column in self._columns]
        self._send(b'{"columns": ' + orjson.dumps(columns) + b', "rows": [\n')

    def _send_text(self, text: bytes | memoryview) -> None:
        # Each row ends with a comma and a new line; those of the last one are kept back.
        if self._has_rows:
            self._send(b",\n")
        self._has_rows = True
        self._send(memoryview(text)[:-2])

    def close(self, rows: int, is_cut: bool) -> None:
        end = orjson.dumps({"row_count": rows, "is_cut": is_cut})
        self._send((b"\n" if self._has_rows else b"") + b"], " + end[1:] + b"\n")


class _Arrow:
    def __init__(self, columns: Sequence[Column], send: Send) -> None:
        self._columns = columns
        self._sink = _Sink(send)
        self._writer: Any = None

    def selection(self) -> str:
        return ", ".join(_native(n, column) for n, column in enumerate(self._columns))

    def begin(self, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self, rows: int, is_cut: bool) -> None:
        self._writer.close()


class _Parquet(_Arrow):
    def begin(self, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._size = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._size += batch.nbytes
        if self._size >= _GROUP_BYTES:
            self._write_group()

    def close(self, rows: int, is_cut: bool) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._size = [], 0


class _Sink(io.RawIOBase):
    """A file that sends what is written to it."""

    def __init__(self, send: Send) -> None:
        self._given = send
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._given(view)
        self._at += len(view)
        return len(view)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _between(parts: Sequence[str], separator: str) -> list[str]:
    return [each for part in parts for each in (separator, part)][1:]


def _csv_name(column: Column) -> bytes:
    name = column.name
    if re.search(r'[",\r\n]', name) or not name:
        name = '"' + name.replace('"', '""') + '"'
    return name.encode()


def _csv_cell(n: int, column: Column) -> str:
    text = f"CAST(c{n} AS VARCHAR)"
    if _PLAIN.fullmatch(column.type):
        return f"coalesce({text}, '')"
    escaped = f"'\"' || replace({text}, '\"', '\"\"') || '\"'"
    return (
        f"CASE WHEN c{n} IS NULL THEN '' WHEN {text} = '' OR regexp_matches({text}, "
        f"'[\",\\r\\n]') THEN {escaped} ELSE {text} END"
    )


def _json_value(n: int, column: Column) -> str:
    value = f"CAST(to_json(c{n}) AS VARCHAR)"
    if _FLOAT.fullmatch(column.type):
        return f"CASE WHEN isfinite(c{n}) THEN {value} ELSE 'null' END"
    return f"coalesce({value}, 'null')"


def _native(n: int, column: Column) -> str:
    name = '"' + column.name.replace('"', '""') + '"'
    value = f"c{n}"
    if _AS_TEXT.search(column.type):
        value = f"CAST(c{n} AS VARCHAR)"
    return f"{value} AS {name}"


def _text(batch: pa.RecordBatch) -> memoryview:
    """The bytes of a batch's only column, one value after the other."""
    column = batch.column(0)
    _, offsets, data = column.buffers()
    places = memoryview(offsets).cast("q" if pa.types.is_large_string(column.type) else "i")
    start, end = places[column.offset], places[column.offset + len(column)]
    return memoryview(data or b"")[start:end]


def _mended(text: memoryview) -> bytes:
    def written(found: "re.Match[bytes]") -> bytes:
        return found[0] if found[0].startswith(b'"') else b"null"

    return _NOT_FINITE.sub(written, bytes(text))
