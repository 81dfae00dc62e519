"""What a SELECT says before it runs: its tables, its functions, its measures.

DuckDB's own parser answers: it gives the tree of a statement as JSON. Only the leading
comment is read by other means (`warehouse.headers`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import orjson

from .errors import RollupInvalid
from .headers import Headers, read_headers

# These stand alone, without parentheses, and so look like columns to the parser.
_BARE_FUNCTIONS = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
Node = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """One SELECT, taken apart."""

    sql: str
    headers: Headers
    root: Node
    """Its tree, as DuckDB parses it."""
    tables: tuple[str, ...]
    """The tables it reads, as written, without those it defines itself (WITH)."""
    changing: tuple[str, ...]
    """What it calls whose answer changes from one run to the next: `now`, `random`, a sample."""
    measures: frozenset[str]
    """The columns that an aggregate or a window computes, as far as names tell."""


def parse_select(connection: duckdb.DuckDBPyConnection, sql: str) -> Select:
    """Take one SELECT apart. Raises `RollupInvalid` when `sql` is anything else.

    Any connection does: nothing runs but DuckDB's parser.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise RollupInvalid(f"DuckDB cannot read it: {error}") from None
    if len(statements) != 1:
        raise RollupInvalid(f"it holds {len(statements)} statements; one SELECT is expected")
    if statements[0].type is duckdb.StatementType.MULTI:
        raise RollupInvalid("the columns of a PIVOT depend on the data; list them: PIVOT … IN (…)")
    if statements[0].type is not duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise RollupInvalid(f"it is a statement of the kind {kind}; one SELECT is expected")
    root = _tree(connection, sql)
    if any(node.get("type") == "SHOW_REF" for node in nodes(root)):
        raise RollupInvalid("DESCRIBE, SHOW and SUMMARIZE give no rollup; one SELECT is expected")
    return Select(
        sql=sql,
        headers=read_headers(sql),
        root=root,
        tables=tuple(sorted(set(_tables(root, frozenset())))),
        changing=tuple(sorted(set(_changing(root)))),
        measures=_measures(root),
    )


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Node:
    found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    assert found is not None
    answer: Node = orjson.loads(found[0])
    if answer["error"]:
        raise RollupInvalid(f"DuckDB cannot take it apart: {answer['error_message']}")
    root: Node = answer["statements"][0]["node"]
    return root


def nodes(node: Any) -> Iterator[Node]:
    """Every node of a tree."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for item in node:
            yield from nodes(item)


def _tables(node: Any, defined: frozenset[str]) -> Iterator[str]:
    """The tables read below `node`, where the names in `defined` mean a WITH query."""
    if isinstance(node, list):
        for item in node:
            yield from _tables(item, defined)
        return
    if not isinstance(node, dict):
        return
    if node.get("type") == "BASE_TABLE":
        path = [node[part] for part in ("catalog_name", "schema_name", "table_name") if node[part]]
        if len(path) > 1 or path[0].lower() not in defined:
            yield ".".join(path)
    for entry in node.get("cte_map", {}).get("map", []):
        name = entry["key"].lower()
        query = entry["value"]
        refers_to_itself = any(part.get("type") == "RECURSIVE_CTE_NODE" for part in nodes(query))
        yield from _tables(query, defined | {name} if refers_to_itself else defined)
        defined |= {name}
    for key, value in node.items():
        if key != "cte_map":
            yield from _tables(value, defined)


def _changing(root: Node) -> Iterator[str]:
    unstable, _ = _functions()
    for node in nodes(root):
        if node.get("class") == "FUNCTION" and node["function_name"].lower() in unstable:
            yield f"{node['function_name']}()"
        elif node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1:
            name = node["column_names"][0].lower()
            if name in _BARE_FUNCTIONS:
                yield name
        sample = node.get("sample")
        if isinstance(sample, dict) and not sample.get("repeatable"):
            yield "a sample without REPEATABLE"


def _measures(root: Node) -> frozenset[str]:
    _, aggregates = _functions()
    items = [item for node in nodes(root) for item in node.get("select_list") or ()]
    found: set[str] = set()
    while True:
        # A column made of a measure of a WITH query is a measure, too; names tell which.
        more = {
            output_name(item)
            for item in items
            if any(_computes(node, aggregates, found) for node in nodes(item))
        }
        if more <= found:
            return frozenset(found - {""})
        found |= more


def _computes(node: Node, aggregates: frozenset[str], measures: set[str]) -> bool:
    if node.get("class") == "COLUMN_REF":
        return node["column_names"][-1] in measures
    return node.get("class") == "WINDOW" or (
        node.get("class") == "FUNCTION" and node["function_name"].lower() in aggregates
    )


def aggregates(root: Node) -> bool:
    """Whether anything in a tree is computed from several rows."""
    _, names = _functions()
    return any(_computes(node, names, set()) for node in nodes(root))


def output_name(item: Node) -> str:
    """The name that an item of a SELECT list gives its column."""
    return str(item.get("alias") or (item.get("column_names") or [""])[-1])


@cache
def _functions() -> tuple[frozenset[str], frozenset[str]]:
    """The functions whose answers change between runs, and the aggregates."""
    with duckdb.connect() as connection:
        unstable = connection.execute(
            "SELECT function_name FROM duckdb_functions() WHERE function_type = 'scalar' "
            "GROUP BY function_name HAVING bool_and(stability <> 'CONSISTENT')"
        ).fetchall()
        aggregates = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE function_type = 'aggregate'"
        ).fetchall()
    # error() is there to stop a query, which it does the same way every time.
    changing = {name for (name,) in unstable} - {"error"} | _BARE_FUNCTIONS
    return frozenset(changing), frozenset(name for (name,) in aggregates)
