"""What the SELECT of a transform may be: one statement, over `payloads` alone, pure, per payload.

DuckDB's own parser answers: it gives the tree of a statement as JSON, and every node
of it says where in the text it stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import orjson

RELATION = "payloads"
LINEAGE = "fetch_id"
# These stand alone, without parentheses, and so look like columns to the parser.
_BARE_FUNCTIONS = frozenset(
    {
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "current_user",
        "session_user",
        "current_role",
        "user",
    }
)
# Their answer hangs on the machine, on chance or on what else the process did.
_IMPURE_FUNCTIONS = frozenset({"version", "reservoir_quantile", "getenv"})
# These read the clock, and DuckDB does not say so; age() of two times does not.
_CLOCKS = frozenset(
    {
        "ago",
        "current_localtime",
        "current_localtimestamp",
        "pg_conf_load_time",
        "pg_postmaster_start_time",
    }
)
# error() is there to refuse a payload, which it does the same way every time.
_PURE_FUNCTIONS = frozenset({"error"})
_TABLE_FUNCTIONS = frozenset({"unnest", "json_each", "json_tree", "range", "generate_series"})
Node = dict[str, Any]


class StatementRefused(Exception):
    """A statement that cannot be a transform; `line` is where in its text, from 1."""

    def __init__(self, problem: str, line: int = 1) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One SELECT that may be a transform."""

    normalised: str
    """The statement without comments and in DuckDB's own spelling: what runs, and what counts."""
    is_ordered: bool
    """Whether it ends in ORDER BY."""


def parse_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> Statement:
    """Take a transform's SELECT apart. Raises `StatementRefused`.

    Any connection does: nothing runs but DuckDB's parser.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise StatementRefused(f"DuckDB cannot read it: {error}", line_of(error)) from None
    if len(statements) != 1:
        raise StatementRefused(f"it holds {len(statements)} statements; one SELECT is expected")
    if statements[0].type is not duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise StatementRefused(f"it is a statement of the kind {kind}; one SELECT is expected")
    tree = tree_of(connection, sql)
    if tree["error"]:
        raise StatementRefused(f"DuckDB cannot take it apart: {tree['error_message']}")
    root: Node = tree["statements"][0]["node"]
    _Judge(sql).judge(root)
    asked = [orjson.dumps(tree).decode()]
    ((text,),) = connection.execute("SELECT json_deserialize_sql(?::JSON)", asked).fetchall()
    ordered = any(each["type"] == "ORDER_MODIFIER" for each in root["modifiers"])
    return Statement(normalised=text, is_ordered=ordered)


def tree_of(connection: duckdb.DuckDBPyConnection, sql: str) -> Node:
    """What DuckDB's parser makes of a text."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    tree: Node = orjson.loads(text)
    return tree


def line_of(error: Exception) -> int:
    """The line that a message of DuckDB's names, or 1."""
    _, _, rest = str(error).rpartition("\nLINE ")
    number = rest.partition(":")[0]
    return int(number) if number.isdigit() else 1


class _Judge:
    """Refuses what a transform must not do, and says on which line it does so."""

    def __init__(self, sql: str) -> None:
        self._sql = sql.encode()

    def judge(self, root: Node) -> None:
        for node in _nodes(root):
            self._check_pure(node)
            self._check_tables(node)
        self._check_names(root)
        for node in _nodes(root):
            self._check_per_payload(node)

    def _refuse(self, node: Node, problem: str) -> StatementRefused:
        offset = node.get("query_location", len(self._sql) + 1)
        if offset > len(self._sql):  # DuckDB's word for "nowhere"
            inner = (each.get("query_location", len(self._sql) + 1) for each in _nodes(node))
            offset = min((each for each in inner if each <= len(self._sql)), default=0)
        return StatementRefused(problem, self._sql[:offset].count(b"\n") + 1)

    def _check_pure(self, node: Node) -> None:
        name = ""
        if node.get("class") in {"FUNCTION", "WINDOW"}:
            called = node["function_name"].lower()
            is_age = called == "age" and len(node["arguments"]) < 2
            name = f"{called}()" if is_age or called in _unstable() else ""
        elif node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1:
            bare = node["column_names"][0].lower()
            name = bare if bare in _BARE_FUNCTIONS else ""
        if name:
            raise self._refuse(
                node,
                f"it uses {name}, whose answer is not the payload's: a transform is pure, so that "
                f"a replay gives the same rows tomorrow. Its now is {RELATION}.fetched_at",
            )
        if isinstance(node.get("sample"), dict):
            raise self._refuse(node, "it takes a sample; a transform reads every payload whole")

    def _check_tables(self, node: Node) -> None:
        kind = node.get("type")
        if kind in {"SHOW_REF", "PIVOT", "COLUMN_DATA"}:
            raise self._refuse(node, f"DESCRIBE, SHOW, SUMMARIZE and PIVOT read no {RELATION}")
        if kind == "TABLE_FUNCTION":
            called = node["function"]["function_name"].lower()
            if called not in _TABLE_FUNCTIONS:
                allowed = ", ".join(sorted(_TABLE_FUNCTIONS))
                raise self._refuse(
                    node,
                    f"it reads {called}(), and a transform reads {RELATION} alone: no file, no "
                    f"network, no other table. The table functions it may use are {allowed}",
                )

    def _check_names(self, root: Node) -> None:
        read = list(_tables(root, frozenset()))
        for table, at in read:
            if table.lower() != RELATION:
                raise self._refuse(
                    at, f"it reads the table {table}; a transform reads one relation, {RELATION}"
                )
        if not read:
            raise StatementRefused(f"it does not read {RELATION}; a transform says what they hold")

    def _check_per_payload(self, node: Node) -> None:
        if node.get("type") == "JOIN" and _reads_rows(node["left"]) and _reads_rows(node["right"]):
            if not _is_by_fetch(node):
                raise self._refuse(
                    node, f"it joins rows of different payloads; join them USING ({LINEAGE})"
                )
        elif node.get("class") == "SUBQUERY":
            query = node["subquery"]["node"]
            if _reads_rows(query) and not any(_equates_fetches(each) for each in _nodes(query)):
                raise self._refuse(
                    node,
                    f"its subquery reads other payloads; compare their {LINEAGE} in it, or read "
                    "the row's own columns",
                )
        elif node.get("type") == "SELECT_NODE" and _reads_rows(node["from_table"]):
            self._check_select(node)
        if node.get("type") == "SET_OPERATION_NODE":
            self._check_limit(node)

    def _check_select(self, node: Node) -> None:
        self._check_limit(node)
        own = list(_own_nodes([node["select_list"], node["having"], node["qualify"]]))
        for each in own:
            if each.get("class") == "WINDOW" and not any(map(_is_fetch, each["partitions"])):
                raise self._refuse(
                    each,
                    f"its window spans payloads; say OVER (PARTITION BY {LINEAGE} …)",
                )
        groups = [_by_number(node, each) for each in node["group_expressions"]]
        if node["aggregate_handling"] == "FORCE_AGGREGATES":
            groups = node["select_list"]
        aggregate = next((each for each in own if _is_aggregate(each)), None)
        if (aggregate or node["group_expressions"]) and not any(map(_is_fetch, groups)):
            raise self._refuse(
                aggregate or node["group_expressions"][0],
                f"it sums up several payloads; add {LINEAGE} to its GROUP BY",
            )
        for modifier in node["modifiers"]:
            if modifier["type"] == "DISTINCT_MODIFIER":
                targets = modifier["distinct_on_targets"] or node["select_list"]
                if not any(_is_fetch(each) or each.get("class") == "STAR" for each in targets):
                    raise self._refuse(
                        node["select_list"][0],
                        f"its DISTINCT mixes payloads; let it have {LINEAGE}, too",
                    )

    def _check_limit(self, node: Node) -> None:
        for modifier in node["modifiers"]:
            if modifier["type"].startswith("LIMIT"):
                raise self._refuse(
                    modifier,
                    "its LIMIT counts over all payloads; QUALIFY row_number() OVER (PARTITION BY "
                    f"{LINEAGE} ORDER BY …) <= n counts in each",
                )


def _nodes(node: Any) -> Iterator[Node]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def _own_nodes(node: Any) -> Iterator[Node]:
    """The nodes of an expression, without those of the queries inside it."""
    if isinstance(node, list):
        for item in node:
            yield from _own_nodes(item)
    elif isinstance(node, dict):
        yield node
        if node.get("class") != "SUBQUERY":
            for value in node.values():
                yield from _own_nodes(value)


def _tables(node: Any, defined: frozenset[str]) -> Iterator[tuple[str, Node]]:
    """The tables read below `node` and where, without the WITH queries in `defined`."""
    if isinstance(node, list):
        for item in node:
            yield from _tables(item, defined)
        return
    if not isinstance(node, dict):
        return
    if node.get("type") == "BASE_TABLE":
        path = [node[part] for part in ("catalog_name", "schema_name", "table_name") if node[part]]
        if len(path) > 1 or path[0].lower() not in defined:
            yield ".".join(path), node
    for entry in node.get("cte_map", {}).get("map", []):
        name = entry["key"].lower()
        query = entry["value"]
        refers_to_itself = any(part.get("type") == "RECURSIVE_CTE_NODE" for part in _nodes(query))
        yield from _tables(query, defined | {name} if refers_to_itself else defined)
        defined |= {name}
    for key, value in node.items():
        if key != "cte_map":
            yield from _tables(value, defined)


def _reads_rows(node: Any) -> bool:
    return any(each.get("type") == "BASE_TABLE" for each in _nodes(node))


def _is_fetch(node: Node) -> bool:
    return (
        node.get("class") == "COLUMN_REF"
        and node["column_names"][-1].lower() == LINEAGE
        and node.get("alias", "").lower() in {"", LINEAGE}
    )


def _is_by_fetch(join: Node) -> bool:
    if LINEAGE in map(str.lower, join["using_columns"]):
        return True
    return any(_equates_fetches(each) for each in _conjuncts(join["condition"]))


def _conjuncts(condition: Node | None) -> Iterator[Node]:
    if condition is None:
        return
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _conjuncts(child)
    else:
        yield condition


def _equates_fetches(node: Node) -> bool:
    return (
        node.get("type") == "COMPARE_EQUAL" and _is_fetch(node["left"]) and _is_fetch(node["right"])
    )


def _is_aggregate(node: Node) -> bool:
    return node.get("class") == "FUNCTION" and node["function_name"].lower() in _aggregates()


def _by_number(select: Node, group: Node) -> Node:
    """What a group expression means: `GROUP BY 1` is the first of the columns."""
    text = group.get("literal", {}).get("text", "") if group.get("class") == "CONSTANT" else ""
    place = int(text) if text.isdigit() else 0
    columns: list[Node] = select["select_list"]
    return columns[place - 1] if 0 < place <= len(columns) else group


@cache
def _unstable() -> frozenset[str]:
    """The functions whose answers change between runs."""
    return (
        _named("function_type = 'scalar'", "HAVING bool_and(stability <> 'CONSISTENT')")
        - _PURE_FUNCTIONS
        | _BARE_FUNCTIONS
        | _IMPURE_FUNCTIONS
        | _CLOCKS
    )


@cache
def _aggregates() -> frozenset[str]:
    return _named("function_type = 'aggregate'")


def _named(where: str, having: str = "") -> frozenset[str]:
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT function_name FROM duckdb_functions() WHERE {where} "
            f"GROUP BY function_name {having}"
        ).fetchall()
    return frozenset(name for (name,) in found)
