"""Merging: how the records of one natural key become a row.

The tables `records_TABLE` hold what every version says, and whether it is current; for each
natural key in them, `choose` puts what the row should be into `linked_TABLE`. A key's row
depends on the records of that key alone, so any set of whole keys may be chosen by itself.
"""

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow as pa
from django.db import models

from .columns import Column, Columns, columns_of
from .lists import list_columns, list_fields, through_of
from .models import Derived
from .records import record_schema
from .sql import empty_table, quoted, quoted_name

_RANK = 10**12
"""Between the places of two ranks: no natural key has so many records."""

_IN_TIME = "_fetched_at, _sequence, fetch_id, _transform DESC, _ordinal"


def empty_records(model: type[models.Model]) -> str:
    """The statement that makes an empty `records_TABLE`.

    Its columns: what a transform gives, `_given` where the model merges fields, and for order
    `fetch_id`, `_fetched_at`, `_sequence`, `_transform`, `_ordinal`; `_is_current` says whether
    the record counts.
    """
    schema = record_schema(model)
    given = [schema.field(name) for name in record_columns(model)]
    placing = [
        pa.field("fetch_id", pa.string()),
        pa.field("_fetched_at", pa.timestamp("us", tz="UTC")),
        pa.field("_sequence", pa.int64()),
        pa.field("_transform", pa.string()),
        pa.field("_ordinal", pa.int32()),
        pa.field("_is_current", pa.bool_()),
    ]
    return empty_table(f"records_{model._meta.db_table}", pa.schema([*given, *placing]))


def record_columns(model: type[models.Model]) -> list[str]:
    """The columns of a model's record files that say something: the first of `records_TABLE`."""
    names = record_schema(model).names
    return list(names[: names.index("fetch_id")])


def choose(
    connection: duckdb.DuckDBPyConnection, model: type[Derived], feed_of: Mapping[str, str]
) -> None:
    """Make `linked_TABLE` of the keys in `records_TABLE`, and drop the latter.

    `linked_TABLE` has the table's columns and the lists of many-to-many fields. `feed_of` names
    the feed of each transform, for the model's precedence.
    """
    table = model._meta.db_table
    columns = columns_of(model)
    if columns.merges_fields:
        chosen = merged(table, columns, ranks_of(model, feed_of))
    elif _find_repeated(connection, table, columns):
        chosen = _newest(table, columns)
    else:
        _take_all_current(connection, table, columns)
        return
    connection.execute(f"CREATE TABLE linked_{table} AS {chosen}")
    connection.execute(f"DROP TABLE records_{table}")


def spread_lists(connection: duckdb.DuckDBPyConnection, model: type[Derived]) -> None:
    """Add the links that the rows of `linked_TABLE` list to those of the through models.

    A link names the fetch of the row that lists it. One that a transform gave as a row of its
    own stays as it is.
    """
    (key, *_) = columns_of(model).key
    for field in list_fields(model):
        owner, target = (quoted_name(column.name) for column in list_columns(field))
        through = f"linked_{through_of(field)._meta.db_table}"
        connection.execute(
            f"""
            INSERT INTO {through} BY NAME
            SELECT * FROM (
                SELECT {quoted_name(key)} AS {owner},
                       unnest({quoted_name(field.name)}) AS {target},
                       fetch_id
                FROM linked_{model._meta.db_table}
            ) ANTI JOIN {through} USING ({owner}, {target})
            """
        )


def _find_repeated(connection: duckdb.DuckDBPyConnection, table: str, columns: Columns) -> bool:
    """Make `repeated` of the natural keys that have several records; whether there is one."""
    key = _listed(columns.key)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE repeated AS "
        f"SELECT {key} FROM records_{table} GROUP BY {key} HAVING count(*) > 1"
    )
    return bool(connection.execute("SELECT 1 FROM repeated LIMIT 1").fetchall())


def _take_all_current(connection: duckdb.DuckDBPyConnection, table: str, columns: Columns) -> None:
    """Make `linked_TABLE` of `records_TABLE` where no key has several records: without a copy."""
    connection.execute(f"DELETE FROM records_{table} WHERE _is_current IS NOT TRUE")
    described = connection.execute(f"DESCRIBE records_{table}").fetchall()
    wanted = set(linked_names(columns))
    for name in (name for name, *_ in described if name not in wanted):
        connection.execute(f"ALTER TABLE records_{table} DROP COLUMN {quoted_name(name)}")
    connection.execute(f"ALTER TABLE records_{table} RENAME TO linked_{table}")


def _newest(table: str, columns: Columns) -> str:
    """For each natural key what its newest current record says. Reads `repeated`.

    Its `fetch_id` is that of the oldest record in the unbroken series that says the same, so
    a payload that only repeats what is known changes no row. A key of one record, as most are,
    has no series to look for.
    """
    key = _listed(columns.key)
    given = _listed(column.name for column in columns.given)
    names = ", ".join(
        f"{'since' if name == 'fetch_id' else 'won'}.{quoted_name(name)}"
        for name in linked_names(columns)
    )
    return f"""
        WITH placed AS (
            SELECT
                *,
                hash({given}) AS _said,
                row_number() OVER (PARTITION BY {key} ORDER BY {_IN_TIME}) AS _place
            FROM records_{table} SEMI JOIN repeated USING ({key})
        ),
        winners AS (
            SELECT {key}, max(_place) AS _won_place, arg_max(_said, _place) AS _won_said
            FROM placed
            WHERE _is_current
            GROUP BY {key}
        ),
        series AS (
            SELECT
                {key},
                _won_place,
                coalesce(max(_place) FILTER (_said <> _won_said), 0) + 1 AS _since_place
            FROM placed JOIN winners USING ({key})
            WHERE _place <= _won_place
            GROUP BY {key}, _won_place
        )
        SELECT {_listed(linked_names(columns))}
        FROM records_{table} ANTI JOIN repeated USING ({key})
        WHERE _is_current
        UNION ALL
        SELECT {names}
        FROM series
        JOIN placed AS won
            ON {_same_key(columns.key, "won")} AND won._place = series._won_place
        JOIN placed AS since
            ON {_same_key(columns.key, "since")} AND since._place = series._since_place
        """


def merged(table: str, columns: Columns, ranks: Mapping[str, str]) -> str:
    """The query over `records_TABLE` for the rows of a model that merges fields.

    For each natural key, column by column, what the newest current record that gives it says.

    `ranks` holds, for a column with a precedence, the SQL of a record's rank; the highest rank
    wins before the newest place. Each column is the same since the oldest record of its
    unbroken series; the row is what it is since the newest of these, whose `fetch_id` it has.
    """
    key = _listed(columns.key)
    parts = [
        _Merged(f"c{at}", column, at, ranks.get(column.name, "0"))
        for at, column in enumerate(columns.given, start=1)
        if column.name not in columns.key
    ]
    names = ", ".join(
        f"{'since' if name == 'fetch_id' else 'chosen'}.{quoted_name(name)}"
        for name in linked_names(columns)
    )
    return f"""
        WITH placed AS (
            SELECT
                *, row_number() OVER (PARTITION BY {key} ORDER BY {_IN_TIME}) AS _place
            FROM records_{table}
        ),
        said AS (SELECT {_each("*", [m.place for m in parts])} FROM placed),
        chosen AS (
            SELECT {_each(key, [select for m in parts for select in m.winner])}
            FROM said
            WHERE _is_current
            GROUP BY {key}
        ),
        compared AS (
            SELECT said.*, {_each("true AS _is_chosen", [m.won for m in parts])}
            FROM said JOIN chosen ON {_equal(columns.key, "said", "chosen")}
        ),
        ended AS (
            SELECT {_each(key, [m.other for m in parts])} FROM compared GROUP BY {key}
        ),
        series AS (
            SELECT {key}, greatest({_each("1", [m.since for m in parts])}) AS _since_place
            FROM compared JOIN ended USING ({key})
            GROUP BY {key}
        )
        SELECT {names}
        FROM series
        JOIN chosen ON {_same_key(columns.key, "chosen")}
        JOIN placed AS since
            ON {_same_key(columns.key, "since")} AND since._place = series._since_place
        """


class _Merged:
    """The expressions that merge one column; `name` is unique among them."""

    def __init__(self, name: str, column: Column, position: int, rank: str) -> None:
        said = quoted_name(column.name)
        at, won, value, other = (f"_{name}_{what}" for what in ("at", "won", "value", "other"))
        # A record that does not give the column has no place in its series.
        self.place = (
            f"CASE WHEN substr(_given, {position}, 1) = '1' "
            f"THEN ({rank}) * {_RANK}::BIGINT + _place END AS {at}"
        )
        # Where no record gives it, all of them hold its default.
        self.winner = [
            f"arg_max_null({said}, coalesce({at}, 0)) AS {said}",
            f"max({at}) AS {won}",
        ]
        self.won = f"chosen.{won}, chosen.{said} AS {value}"
        same_rank = f"{at} // {_RANK} = {won} // {_RANK}"
        self.other = (
            f"max({at}) FILTER ({at} < {won} AND {same_rank} "
            f"AND {said} IS DISTINCT FROM {value}) AS {other}"
        )
        after = f"coalesce({other}, {won} // {_RANK} * {_RANK})"
        self.since = f"min({at}) FILTER ({at} > {after}) % {_RANK}"


def ranks_of(model: type[Derived], feed_of: Mapping[str, str]) -> dict[str, str]:
    """Column → the SQL of a record's rank: the more trusted its feed, the higher."""
    ranks = {}
    for column, listed in model.precedence.items():
        rank = {feed: len(listed) - place for place, feed in enumerate(listed)}
        cases = " ".join(
            f"WHEN {quoted(transform)} THEN {rank[feed]}"
            for transform, feed in sorted(feed_of.items())
            if feed in rank
        )
        ranks[column] = f"CASE _transform {cases} ELSE 0 END" if cases else "0"
    return ranks


def linked_names(columns: Columns) -> list[str]:
    """The columns of `linked_TABLE`: the table's, then the lists of many-to-many fields."""
    lists = [c.name for c in columns.given if c.name not in columns.schema.names]
    return [*columns.schema.names, *lists]


def _each(first: str, others: list[str]) -> str:
    return ", ".join([first, *others])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted_name(name) for name in names)


def _same_key(key: tuple[str, ...], alias: str) -> str:
    return _equal(key, alias, "series")


def _equal(key: tuple[str, ...], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{quoted_name(n)} = {other}.{quoted_name(n)}" for n in key)
