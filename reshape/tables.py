"""Tables of the serving database, read and written in bulk on Django's own connection.

Reading gives Arrow with the model's columns; writing applies a difference. This is the
only place where rows of derived models are written. Values pass as each database keeps
them, column by column, and equal those that Django itself would write.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any
from uuid import uuid4

import pyarrow as pa
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from . import staging
from .ahead import ahead
from .columns import columns_of
from .mistyped import MISTYPED, read_each, telling_of_bad_text
from .postgresql_copy import copied_out, copy_in
from .reading_apart import ReadAgain, Unreadable, can_read_apart, read_apart
from .stored_values import (
    AS_TEXT,
    FROM_POSTGRESQL,
    FROM_SQLITE,
    TEXT_IN_SQLITE,
    TO_POSTGRESQL,
    TO_SQLITE,
    Values,
    array_of,
    kinds_of,
)

logger = logging.getLogger(__name__)

ROWS_PER_BATCH = 20_000
_ROWS_PER_STATEMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The part of a shared table that belongs to one source."""

    column: str
    value: str


def read_table(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    scope: Scope | None = None,
    *,
    is_committed: bool = False,
    is_compared: bool = False,
) -> pa.RecordBatchReader:
    """The rows of a model's table as Arrow, in batches, in no particular order.

    `is_committed` says that the transaction at hand, if there is one, has not changed them. Only
    then, reading a batch may raise `ReadAgain`. A value that its column cannot hold raises
    `TableMistyped`; where the rows are to be compared, its row differs (`reshape.mistyped`).
    """
    schema = columns_of(model).schema
    kinds = kinds_of(model)
    read = FROM_SQLITE if connection.vendor == "sqlite" else FROM_POSTGRESQL
    quote = connection.ops.quote_name
    # As text, so that the driver makes no object of each value: SQLite's converts by the declared
    # type, which an expression does not have.
    as_text = AS_TEXT if connection.vendor == "sqlite" else set()
    selected = [
        f"CAST({quote(name)} AS TEXT)" if kind in as_text else quote(name)
        for name, kind in zip(schema.names, kinds, strict=True)
    ]
    where = f" WHERE {quote(scope.column)} = %s" if scope else ""
    table = quote(model._meta.db_table)
    query = f"SELECT {', '.join(selected)} FROM {table}{where}"
    reads = [read.get(kind, array_of) for kind in kinds]

    def converted(columns: Sequence[Values]) -> pa.RecordBatch:
        try:
            arrays = [
                read(values, field.type)
                for read, field, values in zip(reads, schema, columns, strict=True)
            ]
        except MISTYPED:
            arrays = read_each(model, columns, reads, is_compared=is_compared)
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def batches() -> Iterator[pa.RecordBatch]:
        params = [scope.value] if scope else []
        if connection.vendor == "postgresql":
            for batch in copied_out(connection, query, params, schema):
                yield converted(batch.columns)
            return
        with connection.chunked_cursor() as cursor, telling_of_bad_text(model):
            cursor.execute(query, params)
            while rows := cursor.fetchmany(ROWS_PER_BATCH):
                yield converted(list(zip(*rows, strict=True)))

    def apart() -> Iterator[pa.RecordBatch]:
        types = [
            pa.string() if kind in as_text or kind in TEXT_IN_SQLITE else field.type
            for kind, field in zip(kinds, schema, strict=True)
        ]
        try:
            read = read_apart(connection, table, selected, types)
            yield from ahead(converted(batch.columns) for batch in read)
        except Unreadable as error:
            logger.info("table %s is read on the connection: %s", model._meta.db_table, error)
            raise ReadAgain(pa.RecordBatchReader.from_batches(schema, batches())) from error

    is_apart = is_committed and not scope and can_read_apart(connection, table)
    return pa.RecordBatchReader.from_batches(schema, apart() if is_apart else batches())


Advance = Callable[[int], None]


def delete_rows(
    connection: BaseDatabaseWrapper, model: type[models.Model], keys: pa.RecordBatchReader
) -> None:
    """Delete the rows with these keys; `keys` has the primary key's columns."""
    quote = connection.ops.quote_name
    hole = "?" if connection.vendor == "sqlite" else "%s"
    where = " AND ".join(f"{quote(name)} = {hole}" for name in keys.schema.names)
    statement = f"DELETE FROM {quote(model._meta.db_table)} WHERE {where}"
    for batch in keys:
        _execute_many(connection, statement, _parameters(connection, model, batch))


def upsert_rows(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    rows: pa.RecordBatchReader,
    *,
    is_empty: bool = False,
    row_count: int = 0,
    advance: Advance | None = None,
) -> None:
    """Insert these rows; where their key exists already, make that row equal to them.

    `is_empty` says that the table has no row, `row_count` how many there are to write, if known.
    `advance` is called with the number of rows done.
    """
    quote = connection.ops.quote_name
    key = columns_of(model).key
    table = quote(model._meta.db_table)
    names = ", ".join(quote(name) for name in rows.schema.names)
    others = [quote(name) for name in rows.schema.names if name not in key]
    settings = ", ".join(f"{name} = excluded.{name}" for name in others)
    conflict = (
        f"ON CONFLICT ({', '.join(quote(name) for name in key)}) "
        f"DO {f'UPDATE SET {settings}' if others else 'NOTHING'}"
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            staged = table if is_empty else quote(f"staged_{uuid4().hex}")
            if not is_empty:
                cursor.execute(f"CREATE TEMPORARY TABLE {staged} (LIKE {table})")
            copy_in(cursor, staged, rows, advance)
            if not is_empty:
                cursor.execute(
                    f"INSERT INTO {table} ({names}) SELECT {names} FROM {staged} {conflict}"
                )
                cursor.execute(f"DROP TABLE {staged}")
        return
    if row_count >= staging.WORTH_IT and staging.can_stage(connection):
        for source in staging.staged(connection, _stored(model, rows, advance), row_count):
            with connection.cursor() as cursor:
                # "WHERE true": else ON would be taken for that of a join.
                cursor.execute(
                    f"INSERT INTO {table} ({names}) SELECT {names} FROM {source} "
                    f"WHERE true {'' if is_empty else conflict}"
                )
        return
    insert = f"INSERT INTO {table} ({names}) VALUES %s {conflict}"
    for batch in rows:
        _insert_many(connection, insert, _parameters(connection, model, batch), batch)
        if advance:
            advance(batch.num_rows)


def _stored(
    model: type[models.Model], rows: pa.RecordBatchReader, advance: Advance | None
) -> pa.RecordBatchReader:
    """The rows in the types that SQLite has."""
    names = rows.schema.names
    kind_of = dict(zip(columns_of(model).schema.names, kinds_of(model), strict=True))
    empty = rows.schema.empty_table()
    types = [_in_sqlite(kind_of[name], empty[name].combine_chunks()).type for name in names]
    schema = pa.schema(zip(names, types, strict=True))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            columns = zip(names, batch.columns, strict=True)
            arrays = [_in_sqlite(kind_of[name], column) for name, column in columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            if advance:
                advance(batch.num_rows)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _in_sqlite(kind: str, column: pa.Array) -> pa.Array:
    return TO_SQLITE.get(kind, _as_it_is)(column)


def _as_it_is(column: pa.Array) -> pa.Array:
    return column


def _insert_many(
    connection: BaseDatabaseWrapper,
    insert: str,
    rows: Iterator[tuple[Any, ...]],
    batch: pa.RecordBatch,
) -> None:
    """Insert rows into SQLite, many in a statement: that takes half as long as one by one."""
    width = batch.num_columns
    limit = connection.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    at_once = max(1, min(_ROWS_PER_STATEMENT, limit // width))
    row = f"({', '.join('?' * width)})"
    many = batch.num_rows // at_once * at_once
    values = chain.from_iterable(islice(rows, many))
    groups = (tuple(islice(values, at_once * width)) for _ in range(many // at_once))
    _execute_many(connection, insert % ", ".join([row] * at_once), groups)
    _execute_many(connection, insert % row, rows)


def _execute_many(
    connection: BaseDatabaseWrapper, statement: str, rows: Iterator[tuple[Any, ...]]
) -> None:
    """Run a statement for each row; in SQLite past Django's cursor, which would copy every row."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            with connection.wrap_database_errors:
                connection.connection.executemany(statement, rows)
        else:
            cursor.executemany(statement, list(rows))


def _parameters(
    connection: BaseDatabaseWrapper, model: type[models.Model], batch: pa.RecordBatch
) -> Iterator[tuple[Any, ...]]:
    """The rows as the database's driver takes them."""
    kind_of = dict(zip(columns_of(model).schema.names, kinds_of(model), strict=True))
    columns = zip(batch.schema.names, batch.columns, strict=True)
    if connection.vendor == "sqlite":
        values = [_in_sqlite(kind_of[name], column).to_pylist() for name, column in columns]
    else:
        values = [
            TO_POSTGRESQL.get(kind_of[name], pa.Array.to_pylist)(column) for name, column in columns
        ]
    return zip(*values, strict=True)
