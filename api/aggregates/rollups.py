"""Which questions a rollup answers, judged from its SQL.

Judged cautiously: one SELECT that groups all rows of one model and nothing else. Its rows are
then sums of parts, and parts add up: days to months, stations to networks. Anything that could
leave a row out or count it twice makes a rollup of no use here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb
import orjson

from warehouse.rollups import rollups

from ..catalog import Entity
from .questions import COARSER, Grouping, column_kind

_WHOLE_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_PERIODS = {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
# They make several rows of one, or look beyond the table.
_REFUSED_CLASSES = {"SUBQUERY", "WINDOW", "STAR"}
_REFUSED_FUNCTIONS = {"unnest", "unlist", "generate_subscripts", "grouping", "grouping_id"}
Node = dict[str, Any]
Columns = tuple[tuple[str, str], ...]
"""A model's columns and their DuckDB types."""


@dataclass(slots=True)
class Shape:
    """What the columns of a rollup are, by the model's columns."""

    name: str
    table: str
    periods: dict[tuple[str, str | None], str] = field(default_factory=dict)
    """By column and unit, null for the column itself: the rollup's column."""
    measures: dict[tuple[str, str | None], str] = field(default_factory=dict)
    """By function and column: `count` of null counts rows."""

    def group(self, grouping: Grouping) -> str | None:
        """The rollup's column that a grouping is, or is made of."""
        name, unit = grouping.column.attname, grouping.unit
        exact = self.periods.get((name, unit))
        if exact is not None or unit is None:
            return exact
        plain = self.periods.get((name, None))
        finer = (
            found
            for each, coarser in COARSER.items()
            if unit in coarser and (found := self.periods.get((name, each)))
        )
        return plain or next(finer, None)


def shapes_of(entity: Entity) -> list[Shape]:
    """The rollups that are made of an entity's rows alone, the coarsest first."""
    table = entity.model._meta.db_table
    columns = tuple((each.attname, column_kind(entity, each.attname)) for each in entity.columns)
    found = []
    for rollup in rollups():
        # What is computed now and then may be older than the rows that are asked about.
        if rollup.inputs != (table,) or rollup.refresh.when == "every":
            continue
        if shape := _shape(rollup.sql, rollup.name, table, columns):
            found.append((len(rollup.columns) - len(rollup.measures), shape))
    return [shape for _, shape in sorted(found, key=lambda each: each[0])]


@cache
def _shape(sql: str, name: str, table: str, columns: Columns) -> Shape | None:
    node = _tree(sql)
    if not _groups_all_rows(node, table):
        return None
    found = Shape(name, table)
    for item in node["select_list"]:
        output = item.get("alias") or (item.get("column_names") or [""])[-1]
        if output:
            _add(found, item, output, dict(columns))
    return found


def _tree(sql: str) -> Node:
    with duckdb.connect(config={"threads": 1}) as connection:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    assert row is not None
    node: Node = orjson.loads(row[0])["statements"][0]["node"]
    return node


def _groups_all_rows(node: Node, table: str) -> bool:
    source = node.get("from_table") or {}
    sets = node.get("group_sets") or []
    return (
        node.get("type") == "SELECT_NODE"
        and not any(node.get(part) for part in ("where_clause", "having", "qualify", "sample"))
        and not node.get("cte_map", {}).get("map")
        and all(each.get("type") == "ORDER_MODIFIER" for each in node.get("modifiers") or ())
        and source.get("type") == "BASE_TABLE"
        and source.get("table_name", "").lower() == table.lower()
        and not source.get("sample")
        and not source.get("at_clause")
        and not source.get("column_name_alias")
        and (node.get("aggregate_handling") == "FORCE_AGGREGATES" or bool(sets))
        and len(sets) <= 1
        and not any(_is_refused(each) for each in _nodes(node))
    )


def _is_refused(node: Node) -> bool:
    return node.get("class") in _REFUSED_CLASSES or (
        node.get("class") == "FUNCTION" and node["function_name"].lower() in _REFUSED_FUNCTIONS
    )


def _nodes(node: Any) -> Iterator[Node]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def _add(shape: Shape, item: Node, output: str, columns: Mapping[str, str]) -> None:
    kind = None
    if item.get("class") == "CAST" and not item.get("try_cast"):
        kind, item = _cast_kind(item), item["child"]
    column = _column(item, columns)
    if column is not None and kind is None:
        shape.periods.setdefault((column, None), output)
        return
    if item.get("class") != "FUNCTION":
        return
    function = item["function_name"].lower()
    arguments = [each["expression"] for each in item["arguments"]]
    if function == "date_trunc" and len(arguments) == 2:
        unit, column = _constant(arguments[0]), _column(arguments[1], columns)
        # Hours cast to a date are days.
        unit = "day" if (unit, kind) == ("hour", "DATE") else unit
        if column and unit in COARSER and (kind is None or kind in _PERIODS):
            shape.periods.setdefault((column, unit), output)
        return
    if item.get("filter") or item.get("distinct") or _orders(item):
        return
    if kind is not None and kind not in _WHOLE_NUMBERS:
        return
    if function == "count_star" or (function == "count" and not arguments):
        shape.measures.setdefault(("count", None), output)
        return
    column = _column(arguments[0], columns) if len(arguments) == 1 else None
    if column is None or function not in ("count", "sum", "min", "max"):
        return
    # A cast to whole numbers rounds what is none.
    if function == "count" or kind is None or columns[column] in _WHOLE_NUMBERS:
        shape.measures.setdefault((function, column), output)


def _cast_kind(item: Node) -> str:
    name = str((item.get("type_expr") or {}).get("type_name", "")).upper()
    return {"INT": "INTEGER", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(name, name)


def _column(node: Node, columns: Mapping[str, str]) -> str | None:
    if node.get("class") != "COLUMN_REF":
        return None
    name = node["column_names"][-1]
    return name if name in columns else None


def _constant(node: Node) -> str | None:
    literal = node.get("literal") or {}
    return str(literal["text"]).lower() if literal.get("kind") == "STRING" else None


def _orders(item: Node) -> bool:
    return bool((item.get("order_bys") or {}).get("orders"))
