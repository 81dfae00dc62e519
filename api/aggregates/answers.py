"""Answering a question: from a rollup, from the columnar copies, or from the serving database."""

import logging
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
from django.db import DEFAULT_DB_ALIAS, connections

from warehouse.statement import quoted

from ..catalog import Catalog
from ..errors import RequestRefused
from ..filters import where
from ..unloaded import read
from .conditions import ColumnSql, Conditions
from .engine import Opened, fetch, opened_build
from .questions import Measure, Question, is_moment
from .rollups import Shape, shapes_of
from .statements import Source, column_of, from_rollup, from_rows, moment, statement

logger = logging.getLogger(__name__)

_MOST_ROWS = 1_000_000


class _Uncovered(Exception):
    """A rollup does not have what is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The groups of one page."""

    rows: list[tuple[Any, ...]]
    """The values of `question.columns`."""
    has_more: bool
    count: int | None
    """Of all pages; null where nobody asked."""
    answered_by: str
    sql: str
    milliseconds: float


def answer(catalog: Catalog, question: Question, alias: str) -> Groups:
    """Answer a question over the rows of a database. Raises `RequestRefused`."""
    # The build is of now: another database is of another moment (`api.as_of`).
    build = opened_build() if alias == DEFAULT_DB_ALIAS else None
    if build is not None:
        try:
            found = _by_rollup(catalog, question, alias, build)
            found = found or _by_copies(catalog, question, alias, build)
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.IOException) as error:
            # The code is newer than the build: its tables have other columns.
            logger.info("build not used table=%s error=%s", question.entity.names.type, error)
            found = None
        if found is not None:
            return found
    return _by_rows(catalog, question, alias)


def _by_rollup(catalog: Catalog, question: Question, alias: str, build: Opened) -> Groups | None:
    table = question.entity.model._meta.db_table
    if table not in build.copies:
        return None
    for shape in shapes_of(question.entity):
        if shape.name not in build.rollups:
            continue
        try:
            source = from_rollup(question, shape)
            found = _run(catalog, question, alias, build, source, _rollup_column(shape))
        except (_Uncovered, KeyError):
            continue
        if found is not None:
            return found
    return None


def _rollup_column(shape: Shape) -> ColumnSql:
    def column(attname: str) -> str:
        found = shape.periods.get((attname, None))
        if found is None:
            raise _Uncovered(attname)
        return f"t.{quoted(found)}"

    return column


def _by_copies(catalog: Catalog, question: Question, alias: str, build: Opened) -> Groups | None:
    entity = question.entity
    table = entity.model._meta.db_table
    if table not in (build.rollups if entity.is_rollup else build.copies):
        return None
    source = from_rows(question, quoted(table), "columnar copy")
    return _run(catalog, question, alias, build, source, column_of(entity))


def _run(
    catalog: Catalog,
    question: Question,
    alias: str,
    build: Opened,
    source: Source,
    column: ColumnSql,
) -> Groups | None:
    conditions = Conditions(catalog, connections[alias].vendor)
    joins, condition = conditions.where(question.entity, question.filters, column)
    if not conditions.tables <= build.copies:
        return None
    return _fetched(
        build.connection, question, source, conditions, joins, condition, catalog="warehouse"
    )


def _fetched(
    connection: duckdb.DuckDBPyConnection,
    question: Question,
    source: Source,
    conditions: Conditions,
    joins: str,
    condition: str,
    *,
    catalog: str | None = None,
) -> Groups:
    sql = statement(question, source, conditions, joins, condition)
    begun = time.perf_counter()
    rows = fetch(connection, sql, conditions.params, catalog=catalog)
    has_more = len(rows) > question.size
    rows = rows[: question.size]
    count = None
    if question.counts_groups:
        # The last column: how many groups there are, which a page without any cannot say.
        count = rows[0][-1] if rows else 0
        rows = [row[:-1] for row in rows]
    return Groups(
        rows=_with_moments(question, rows),
        has_more=has_more,
        count=count,
        answered_by=source.label,
        sql=sql,
        milliseconds=(time.perf_counter() - begun) * 1000,
    )


def _with_moments(question: Question, rows: list[Any]) -> list[Any]:
    places = [
        number for number, each in enumerate(question.columns) if is_moment(question.entity, each)
    ]
    if not places or not rows:
        return rows
    columns: list[Any] = list(zip(*rows, strict=True))
    for place in places:
        columns[place] = [
            [*map(moment, value)] if isinstance(value, list) else moment(value)
            for value in columns[place]
        ]
    return list(zip(*columns, strict=True))


def _by_rows(catalog: Catalog, question: Question, alias: str) -> Groups:
    """From rows that the serving database filters: what was never loaded has no copy."""
    entity = question.entity
    names = sorted(
        {each.attname for each in question.columns if isinstance(each, Measure) and each.attname}
        | {each.column.attname for each in question.groupings}
        | {entity.key[0]}
    )
    rows = entity.model._base_manager.using(alias).filter(where(entity, catalog, question.filters))
    chosen = rows.order_by().values_list(*names)[: _MOST_ROWS + 1]
    nothing: list[Any] = []
    found = read(entity, lambda: list(chosen), nothing)
    if len(found) > _MOST_ROWS:
        raise RequestRefused(
            f"{entity.names.many} has no columnar copy yet, and more than {_MOST_ROWS} rows. "
            "Run manage.py replay, which makes one, or filter more."
        )
    columns = list(zip(*found, strict=True)) if found else [()] * len(names)
    table = pa.table({name: _arrow(values) for name, values in zip(names, columns, strict=True)})
    source = from_rows(question, "given", "serving database")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("arrived", table)
        connection.execute(
            f"CREATE TABLE given AS SELECT {source.casts(entity, names)} FROM arrived"
        )
        connection.unregister("arrived")
        conditions = Conditions(catalog, connections[alias].vendor)
        return _fetched(connection, question, source, conditions, "", "true")


def _arrow(values: Any) -> pa.Array:
    return pa.array([str(value) if isinstance(value, UUID) else value for value in values])
