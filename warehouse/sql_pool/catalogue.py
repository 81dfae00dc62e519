"""What a stranger's statement may name: what the build holds, and nothing of the machine.

The walls already keep files outside the warehouse and the archive shut. Here a statement is
taken apart by DuckDB's own parser, and refused where it names a file, a setting, or a function
that makes rows of anything but its arguments.
"""

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import orjson

from warehouse.errors import QueryFailed, StatementRefused
from warehouse.walls import explained

# Their rows come from their arguments, or tell what the build holds.
_TABLE_FUNCTIONS = frozenset(
    [
        "range",
        "generate_series",
        "unnest",
        "repeat",
        "repeat_row",
        "json_each",
        "json_tree",
        "duckdb_tables",
        "duckdb_columns",
        "duckdb_types",
        "duckdb_functions",
        "duckdb_keywords",
        "icu_calendar_names",
        "pg_timezone_names",
    ]
)
_REFUSED_FUNCTIONS = frozenset(
    ["current_setting", "getenv", "getvariable", "write_log", "json_execute_serialized_sql"]
)
_SYSTEM_TABLE = re.compile(r"(duckdb|pragma|sqlite|pg)_\w+")
_OPEN_SYSTEM_TABLES = frozenset(
    [
        "duckdb_tables",
        "duckdb_columns",
        "duckdb_types",
        "pg_class",
        "pg_namespace",
        "pg_attribute",
        "pg_type",
    ]
)
_SHOWN = frozenset({"tables", "__show_tables_expanded"})
# The schema in which a build notes how it was made, with the paths of its files.
_NOTES = "build"


def refuse_outside(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> None:
    """Raise `StatementRefused` where a statement that reads names what no build holds."""
    kinds = duckdb.StatementType
    if statement.type is kinds.MULTI:
        raise StatementRefused(
            "A PIVOT whose columns depend on the data is refused: list them, as in "
            "PIVOT … ON code IN ('a', 'b') USING count(*)."
        )
    sql = statement.query
    if statement.type is kinds.EXPLAIN:
        sql = explained(connection, sql) or ""
    for reason in _reasons(_tree(connection, sql)):
        raise StatementRefused(f"{reason} Here statements read the tables that SHOW TABLES lists.")


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    # All of it is fetched: a result with rows left would keep the connection.
    rows = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    try:
        answer = orjson.loads(rows[0][0])
    except orjson.JSONDecodeError:
        raise StatementRefused("The statement is nested too deeply.") from None
    if answer["error"]:
        raise QueryFailed(str(answer["error_message"]))
    return answer["statements"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    # Without recursion: how deep a stranger's statement is, is the stranger's choice.
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)


def _reasons(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                yield f"The table function {name}() is refused."
        elif kind == "SHOW_REF" and node["show_type"] == "SHOW_SPECIAL":
            name = str(node["table_name"]).strip('"')
            if name not in _SHOWN:
                yield f"SHOW {name.upper()} is refused."
        elif kind == "BASE_TABLE" or (kind == "SHOW_REF" and node["table_name"]):
            yield from _refused_table(node["catalog_name"], node["schema_name"], node["table_name"])
        elif node.get("class") == "FUNCTION":
            name = str(node["function_name"]).lower()
            if name in _REFUSED_FUNCTIONS:
                yield f"The function {name}() is refused."


def _refused_table(catalog: str, schema: str, table: str) -> Iterator[str]:
    name = table.removeprefix('"').removesuffix('"').lower()
    # All parts: DuckDB takes "folder/file".parquet for a file, too.
    if not all(re.fullmatch(r"\w*", part) for part in (catalog, schema, name)):
        yield f"There is no table {table!r}, and files are not read by their names."
    elif schema.lower() == _NOTES:
        yield "The schema build, in which a build notes how it was made, is refused."
    elif (_SYSTEM_TABLE.fullmatch(name) and name not in _OPEN_SYSTEM_TABLES) or (
        name == "views" and schema.lower() == "information_schema"
    ):
        yield f"The system table {name} is refused."
