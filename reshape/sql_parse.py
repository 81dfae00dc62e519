"""Run a transform in SQL over payloads: batch by batch, each batch one query.

A batch is Arrow from the segment to the record file; no row passes through Python unless
its values need a second look (`reshape.sql_columns`). What DuckDB cannot compute, or not within the
time limit, is sought by halving the batch until the payloads that make it fail stand alone.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings

from raw_store.payload import Payload
from raw_store.rows import to_payloads, to_table
from raw_store.segments import iter_readable_tables

from .ahead import ahead
from .columns import columns_of
from .errors import Overlong, RowInvalid
from .models import Row
from .records import Reason, RecordWriter
from .sql import duck, quoted_name
from .sql_answers import Read, read_answer
from .sql_bodies import in_pieces, prepare
from .sql_statement import LINEAGE, RELATION
from .sql_transform import Select, select_of
from .time_limit import interrupting

if TYPE_CHECKING:
    from .registry import Transform

BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of bodies in one query; a larger body is a batch of its own."""
BATCH_ROWS = 20_000
POOL_FACTOR = 16
"""How many times more bytes than for Python a pool of processes needs to pay: DuckDB uses every
core from within one."""


def parse_in_sql(
    transform: "Transform",
    url: str,
    path: str,
    writer: RecordWriter,
    groups: Iterable[int] | None = None,
) -> int:
    """Run a transform in SQL over one segment, or some of its row groups; return how many
    payloads it read."""
    columns = select_of(transform).archived
    return parse_tables(transform, iter_readable_tables(url, path, columns, groups), writer)


def parse_tables(transform: "Transform", tables: Iterable[pa.Table], writer: RecordWriter) -> int:
    """Run a transform in SQL over payloads, given as rows of the archive."""
    select = select_of(transform)
    count = 0

    def write(read: Read) -> None:
        writer.add_table(select.model, read.records, read.payloads, read.counts)
        for payload, reason in read.quarantined:
            writer.quarantine(payload, reason)

    with _connection(select) as connection, ThreadPoolExecutor(max_workers=1) as behind:
        writing: Future[None] | None = None
        for batch in ahead(batches(table.select(select.archived) for table in tables)):
            count += batch.num_rows
            for read in _read(connection, transform, select, batch):
                # One is written while the next is asked for; no more of them are in memory.
                if writing:
                    writing.result()
                writing = behind.submit(write, read)
        if writing:
            writing.result()
    return count


def rows_of(select: Select, payload: Payload) -> Iterator[Row]:
    """The rows that a SELECT gives for one payload. Raises `RowInvalid` as a parse quarantines."""
    from .registry import Transform

    transform = Transform(
        name=select.path, feed=payload.feed, function=select, code_digest=select.code_digest
    )
    names = [column.name for column in columns_of(select.model).given]
    texts = [each.column.name for each in select.conversions if each.is_json]
    given = to_table([payload]).select(select.archived)
    with _connection(select) as connection:
        for read in _read(connection, transform, select, given):
            for _, reason in read.quarantined:
                raise RowInvalid(
                    reason.message, model=reason.model, field=reason.field, value=reason.value
                )
            for row in read.records.select(names).to_pylist():
                for name in texts:
                    row[name] = None if row[name] is None else orjson.loads(row[name])
                yield Row(select.model, row)


def batches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about `BATCH_BYTES` of bodies."""
    waiting: list[pa.Table] = []
    size = rows = 0
    for table in tables:
        start = 0
        for at, length in enumerate(pc.binary_length(table["body"]).to_pylist()):
            size += length or 0
            rows += 1
            if size >= BATCH_BYTES or rows >= BATCH_ROWS:
                yield pa.concat_tables([*waiting, table.slice(start, at + 1 - start)])
                waiting, start, size, rows = [], at + 1, 0, 0
        if start < table.num_rows:
            waiting.append(table.slice(start))
    if waiting:
        yield pa.concat_tables(waiting)


@contextmanager
def _connection(select: Select) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reaches nothing but what is registered with it."""
    with duck() as connection:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(f"SET threads = {_threads(select)}")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _threads(select: Select) -> int:
    # Where order or sums could hang on which thread came first, there is one.
    if not select.keeps_order or multiprocessing.parent_process() is not None:
        return 1
    cores = os.cpu_count() or 1
    return min(settings.PARSE_WORKERS or cores, cores)


def _read(
    connection: duckdb.DuckDBPyConnection, transform: "Transform", select: Select, batch: pa.Table
) -> Iterator[Read]:
    """What a batch says, in one or, where some payloads make DuckDB fail, more parts."""
    ready, unreadable = prepare(connection, transform, select, batch)
    if unreadable:
        yield _quarantine(select, [batch.slice(at, 1) for at in unreadable], unreadable.values())
    if ready.num_rows:
        yield from _halve(connection, transform, select, ready)


def _halve(
    connection: duckdb.DuckDBPyConnection, transform: "Transform", select: Select, batch: pa.Table
) -> Iterator[Read]:
    try:
        answer = _ask(connection, select, batch)
    except (duckdb.Error, ForeignRow, Overlong) as error:
        if not _is_of_the_payload(error):
            raise
        if batch.num_rows == 1:
            yield _quarantine(select, [batch], [_reason(transform, error)])
            return
    else:
        yield read_answer(transform, select, batch, answer)
        return
    half = batch.num_rows // 2
    yield from _halve(connection, transform, select, batch.slice(0, half))
    yield from _halve(connection, transform, select, batch.slice(half))


class ForeignRow(Exception):
    """A row that belongs to none of the payloads asked about."""


def _ask(connection: duckdb.DuckDBPyConnection, select: Select, batch: pa.Table) -> pa.Table:
    connection.register(RELATION, in_pieces(batch))
    try:
        with interrupting(connection.interrupt):
            answer = connection.sql(_query(select)).to_arrow_table()
    finally:
        connection.unregister(RELATION)
    index = pc.index_in(answer[LINEAGE], batch[LINEAGE].combine_chunks())
    if index.null_count:
        raise ForeignRow(f"it returned a row whose {LINEAGE} is not that of the payload")
    return answer.append_column("_index", index)


def _query(select: Select) -> str:
    values = [f"{each.value} AS {quoted_name(each.column.name)}" for each in select.conversions]
    accepted = " AND ".join(each.accepted for each in select.conversions)
    frozen = ", ".join(each.frozen for each in select.conversions)
    # Without an order of its own, one that depends on the rows alone.
    is_settled = select.keeps_order or select.is_ordered
    places = range(2, len(values) + 2)
    order = "" if is_settled else f"ORDER BY {', '.join(map(str, places))}"
    return f"""
        SELECT said.{LINEAGE}, {", ".join(values)},
            CASE WHEN NOT ({accepted}) THEN [{frozen}] END AS _frozen
        FROM ({select.statement}) AS said
        {order}
    """


def _is_of_the_payload(error: Exception) -> bool:
    """Whether the data is to blame, and not the machine or the program."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return True  # the limit is the program's own, the same on every machine
    return not isinstance(error, duckdb.OperationalError | duckdb.InternalError)


def _reason(transform: "Transform", error: Exception) -> Reason:
    kind = type(error).__name__
    said = str(error).partition("\n")[0]
    return Reason(kind, f"Feed {transform.feed}: {transform.name}: {kind}: {said}")


def _quarantine(select: Select, rows: list[pa.Table], reasons: Iterable[Reason]) -> Read:
    payloads = [to_payloads(row.select(select.archived))[0] for row in rows]
    return Read.nothing(select, list(zip(payloads, reasons, strict=True)))
