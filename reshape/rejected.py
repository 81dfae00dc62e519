"""Rows that are set aside alone: where they came from, and which of them count.

Where a transform says `bad_rows="row"`, a row that its model cannot hold goes to quarantine and
its neighbours are records. A generator that raises cannot go on: that takes the payload.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from .columns import columns_of
from .json_text import canonical_json
from .models import Derived, Row
from .records import REJECTED, REJECTED_SCHEMA, Reason, Rejected
from .registry import Transform
from .sql import duck_type, empty_table, quoted_name

if TYPE_CHECKING:
    import duckdb

    from .readings import Reading

WHOLE_PAYLOAD = -1
"""The `ordinal` of a quarantine entry that speaks of a payload, not of one row in it."""


def known_key(row: Row) -> str:
    """The row's natural key as a JSON list; empty where a part of it is missing or invalid."""
    columns = columns_of(row.model)
    convert = {column.name: column.convert for column in columns.given}
    try:
        return canonical_json([duck_text(convert[name](row.values[name])) for name in columns.key])
    except (KeyError, ValueError, TypeError, OverflowError):
        return ""


def duck_text(value: Any) -> str:
    """A value as text that DuckDB takes for it."""
    if isinstance(value, bytes):
        return "".join(f"\\x{byte:02x}" for byte in value)
    return str(value)


def line_of(transform: Transform, rows: Any) -> str:
    """Where the transform stands that gave the last row: ` (line 7 of transform.py)`.

    Empty where its rows do not come one by one, from a generator.
    """
    file = inspect.getsourcefile(transform.function)
    line = 0
    while isinstance(rows, GeneratorType) and rows.gi_frame is not None:
        if rows.gi_frame.f_code.co_filename == file:
            line = rows.gi_frame.f_lineno
        rows = rows.gi_yieldfrom
    return f" (line {line} of {Path(str(file)).name})" if line else ""


def whole_payload(rejected: Sequence[Rejected]) -> Reason:
    """Why a payload goes to quarantine whole though its rows could go alone: none is valid."""
    first = rejected[0].reason
    if len(rejected) == 1:
        return first
    return first._replace(
        message=f"None of its {len(rejected):,} rows is valid. The first: {first.message}"
    )


def collect_rejected(
    connection: "duckdb.DuckDBPyConnection",
    transform: Transform,
    reading: "Reading",
    derived: Sequence[type[Derived]],
) -> int:
    """Make the table `rejected` of the rows set aside in current versions; add to `quarantine`.

    A row is left out where the transform read the same key well later. Returns how many are in
    it. Reads `current`, `sightings`, and the tables of records, filled for this transform.
    """
    connection.execute(empty_table("rejected", REJECTED_SCHEMA))
    if files := reading.files(REJECTED):
        connection.execute(
            """
            INSERT INTO rejected
            SELECT DISTINCT ON (r.fetch_id, r.ordinal) r.*
            FROM read_parquet($files) AS r SEMI JOIN current USING (fetch_id)
            WHERE r.fetch_id::UUID IN (SELECT fetch_id FROM outcomes WHERE error IS NULL)
            """,
            {"files": [str(path) for path in files]},
        )
        named = connection.execute("SELECT DISTINCT model FROM rejected WHERE key <> ''").fetchall()
        for model in derived:
            if (model.__name__,) in named:
                _leave_out_repaired(connection, transform, model)
    ((count,),) = connection.execute(
        """
        INSERT INTO quarantine BY NAME
        SELECT r.*, o.url, s.fetched_at,
               $transform AS transform, $source AS source, $feed AS feed
        FROM rejected AS r
        JOIN outcomes AS o USING (fetch_id)
        JOIN sightings AS s ON s.fetch_id = r.fetch_id AND s.is_start
        """,
        {"transform": transform.name, "source": transform.source, "feed": transform.feed},
    ).fetchall()
    return int(count)


def _leave_out_repaired(
    connection: "duckdb.DuckDBPyConnection", transform: Transform, model: type[Derived]
) -> None:
    columns = columns_of(model)
    # As values, not as text: Python's text of a time or a truth value is not DuckDB's.
    is_same = " AND ".join(
        f"l.{quoted_name(name)} = TRY_CAST(json_extract_string(nullif(r.key, ''), '$[{place}]') "
        f"AS {duck_type(columns.schema.field(name).type)})"
        for place, name in enumerate(columns.key)
    )
    connection.execute(
        f"""
        DELETE FROM rejected WHERE (fetch_id, ordinal) IN (
            SELECT (r.fetch_id, r.ordinal)
            FROM rejected AS r
            JOIN sightings AS s ON s.fetch_id = r.fetch_id AND s.is_start
            JOIN records_{model._meta.db_table} AS l
                ON {is_same} AND l._is_current AND l._transform = $transform
            WHERE r.model = $model AND r.key <> ''
                AND (l._fetched_at, l._sequence, l.fetch_id, l._ordinal)
                    > (s.fetched_at, s.sequence, r.fetch_id, r.ordinal)
        )
        """,
        {"model": model.__name__, "transform": transform.name},
    )
