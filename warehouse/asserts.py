"""Asserts: what a rollup's file says must hold before anything is loaded or published.

    -- assert: quake_count > 0                          of every row
    -- assert: sum(quake_count) > 0                     of all rows together
    -- assert: SELECT day FROM quakes_daily WHERE …     no such row may be there

As with a CHECK of SQL, what is null is not false.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from .errors import AssertFailed, HeaderInvalid, RollupInvalid
from .statement import Select, aggregates, parse_select, quoted

SAMPLE_SIZE = 3
_QUERY = re.compile(r"\(*\s*(SELECT|FROM|WITH)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assert of one rollup."""

    text: str
    """As written."""
    sql: str
    """A SELECT of what is in the way."""


def read_assertion(
    connection: duckdb.DuckDBPyConnection, text: str, rollup: str, inputs: Collection[str]
) -> Assertion:
    """Make a statement of an assert; the rollup and its inputs are tables of the connection.

    Raises `HeaderInvalid` where it is neither a condition nor one SELECT over these tables.
    """
    table = quoted(rollup)
    try:
        if _QUERY.match(text):
            select = parse_select(connection, text)
            sql = f"SELECT * FROM (\n{text}\n)"
        else:
            select = parse_select(connection, f"SELECT (\n{text}\n) AS holds FROM {table}")
            sql = (
                f"SELECT holds FROM ({select.sql}) WHERE NOT holds"
                if aggregates(select.root)
                else f"SELECT * EXCLUDE (row_id) FROM {table} WHERE NOT (\n{text}\n)"
            )
            _check_condition(connection, select)
        _check_tables(select, {rollup, *inputs})
        connection.execute(f"DESCRIBE {sql}")
    except (RollupInvalid, duckdb.Error) as error:
        raise HeaderInvalid(
            f"its `-- assert: {text}` is no condition on its rows and no SELECT: {error}"
        ) from None
    return Assertion(text, sql)


def check_rows(
    connection: duckdb.DuckDBPyConnection, rollup: str, file: object, assertion: Assertion
) -> None:
    """Raise `AssertFailed`, with some of the rows, where the assert does not hold."""
    found = connection.execute(f"SELECT count(*) FROM ({assertion.sql})").fetchone()
    assert found is not None
    if not found[0]:
        return
    rows = connection.execute(
        f"SELECT to_json(failing)::VARCHAR FROM ({assertion.sql}) AS failing "
        f"ORDER BY 1 LIMIT {SAMPLE_SIZE}"
    ).fetchall()
    samples = [str(row) for (row,) in rows]
    many = "1 row is" if found[0] == 1 else f"{found[0]:,} rows are"
    raise AssertFailed(
        f"Rollup {file}: its assert `{assertion.text}` does not hold; {many} in the way, such as "
        f"{', '.join(samples)}. Nothing was loaded or published. Correct the transform that gave "
        "the numbers, or the assert, then run `manage.py replay`.",
        rollup=rollup,
        assertion=assertion.text,
        samples=samples,
    )


def _check_condition(connection: duckdb.DuckDBPyConnection, select: Select) -> None:
    ((_, kind, *_),) = connection.execute(f"DESCRIBE {select.sql}").fetchall()
    if kind != "BOOLEAN":
        raise HeaderInvalid(f"it is a {kind}; a condition is true or false")


def _check_tables(select: Select, known: set[str]) -> None:
    lowered = {name.lower() for name in known}
    for table in select.tables:
        if table.lower() not in lowered:
            raise HeaderInvalid(
                f"it reads {table}; an assert reads the rollup and what that reads: "
                f"{', '.join(sorted(known))}"
            )
    if select.changing:
        raise HeaderInvalid(
            f"it uses {', '.join(select.changing)}, whose answer changes from one build to the next"
        )
