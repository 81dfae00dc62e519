"""The states of rows whose fields are merged: link's own query, for every moment that matters.

A row can only change when a version begins or ceases to count. So for each natural key, at each
such moment of its records, the fields are merged as `merging` merges them as of that moment; what
stays the same from one moment to the next is one state. A key with n records has up to 2n such
moments, and each looks at all records before it: the cost grows with the square of a key's
records, not with the number of keys.
"""

from collections.abc import Mapping
from dataclasses import replace

import duckdb
import pyarrow as pa

from .columns import Columns
from .merging import linked_names, merged
from .sql import quoted_name

_MOMENT = "_moment"


def choose_merged(
    connection: duckdb.DuckDBPyConnection, columns: Columns, ranks: Mapping[str, str]
) -> None:
    """Make `states` of `records` and `counted`, as `history` does: the model's columns and lists,
    then `valid_from` and `valid_to`."""
    key = ", ".join(map(quoted_name, columns.key))
    connection.execute(
        f"""
        CREATE TABLE moments AS
        SELECT DISTINCT {key}, unnest([valid_from, valid_to]) AS {_MOMENT}
        FROM records JOIN counted
            ON counted.transform = records._transform AND counted.fetch_id = records.fetch_id;
        DELETE FROM moments WHERE NOT isfinite({_MOMENT});
        CREATE TABLE records_then AS
        SELECT r.*, m.{_MOMENT}, EXISTS (
            SELECT 1 FROM counted AS c
            WHERE c.transform = r._transform AND c.fetch_id = r.fetch_id
                AND c.valid_from <= m.{_MOMENT} AND m.{_MOMENT} < c.valid_to
        ) AS _is_current
        FROM records AS r JOIN moments AS m USING ({key})
        WHERE r._fetched_at <= m.{_MOMENT}
        """
    )
    at_moments = replace(
        columns,
        key=(*columns.key, _MOMENT),
        schema=columns.schema.append(pa.field(_MOMENT, pa.timestamp("us", tz="UTC"))),
    )
    names = ", ".join(f"as_then.{quoted_name(name)}" for name in linked_names(columns))
    said = f"row({names})"
    in_time = f"PARTITION BY {key} ORDER BY {_MOMENT}"
    connection.execute(
        f"""
        CREATE TABLE states AS
        WITH as_then AS ({merged("then", at_moments, ranks)}),
        every AS (
            SELECT moments.*, {said} AS _said, as_then.fetch_id IS NOT NULL AS _is_there
            FROM moments LEFT JOIN as_then USING ({key}, {_MOMENT})
        ),
        changes AS (
            SELECT * FROM every
            QUALIFY row_number() OVER ({in_time}) = 1
                OR _is_there <> lag(_is_there) OVER ({in_time})
                OR _said IS DISTINCT FROM lag(_said) OVER ({in_time})
        ),
        lasting AS (
            SELECT *, lead({_MOMENT}) OVER ({in_time}) AS valid_to FROM changes
        )
        SELECT {names}, {_MOMENT} AS valid_from, valid_to
        FROM lasting JOIN as_then USING ({key}, {_MOMENT})
        WHERE _is_there
        """
    )
