"""The sweep over time: which of the series of a row's records counts at each moment.

A series is an unbroken run of records that say the same, in the order in which link ranks
them. It is alive while a version that says it counts; of those alive the newest wins.
"""

import duckdb

from .columns import Columns
from .spans import united
from .sql import quoted_name


def find_lives(connection: duckdb.DuckDBPyConnection, columns: Columns) -> None:
    """Make the tables `placed` and `lives` of `records` and `counted` (see `history`).

    `placed` has the place of each record (`_record`: its rowid) and that of the first of its
    series (`_since`); `lives` has when each series is alive.
    """
    key = ", ".join(map(quoted_name, columns.key))
    given = ", ".join(quoted_name(column.name) for column in columns.given)
    connection.execute(_SERIES.format(key=key, given=given))
    connection.execute(_LIVES)


def find_winners(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `winners` of `lives`: `_since`, `valid_from`, `valid_to`.

    The spans of one row do not overlap; where one touches the next, another series wins.
    """
    connection.execute(_CONTESTED)
    connection.execute(_WINNERS)


# `_place` is a record's rank over all rows, `_row` the place of its row's first record, `_since`
# that of the first record in its series. The order is that of link.
_SERIES = """
CREATE TABLE placed AS
WITH ranked AS (
    SELECT
        rowid AS _record,
        fetch_id,
        _transform,
        hash({given}) AS _said,
        {key},
        row_number() OVER (
            ORDER BY {key}, _fetched_at, _sequence, fetch_id, _transform DESC, _ordinal
        ) AS _place
    FROM records
),
compared AS (
    SELECT
        _record,
        fetch_id,
        _transform,
        _place,
        min(_place) OVER (PARTITION BY {key}) AS _row,
        _said IS DISTINCT FROM lag(_said) OVER (PARTITION BY {key} ORDER BY _place) AS _is_other
    FROM ranked
)
SELECT
    _record,
    fetch_id,
    _transform,
    _place,
    _row,
    max(_place) FILTER (_is_other) OVER (
        PARTITION BY _row ORDER BY _place ROWS UNBOUNDED PRECEDING
    ) AS _since
FROM compared;
"""

# When each series is said by a version that counts.
_LIVES = f"""
CREATE TABLE lives AS {
    united(
        '''
        SELECT p._row, p._since, c.valid_from, c.valid_to
        FROM placed AS p
        JOIN counted AS c ON c.fetch_id = p.fetch_id AND c.transform = p._transform
        ''',
        "_row, _since",
    )
};
"""

# The rows of which two series are said at once.
_CONTESTED = """
CREATE TABLE contested AS
SELECT DISTINCT _row
FROM (
    FROM lives
    QUALIFY valid_from < max(valid_to) OVER (
        PARTITION BY _row ORDER BY valid_from, valid_to
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
);
"""

# The winner at each moment is the newest series alive then. A life is cut into blocks whose
# lengths are powers of two, counted in moments of its row: at most two of each length. A moment
# lies in one block of each length, so n lives cost n log n, however many overlap.
_WINNERS = f"""
CREATE TABLE winners AS
WITH overlapping AS (
    FROM lives SEMI JOIN contested USING (_row)
),
moments AS (
    SELECT
        _row,
        moment,
        lead(moment) OVER in_time AS ended_at,
        row_number() OVER in_time - 1 AS n,
        count(*) OVER (PARTITION BY _row) AS moment_count
    FROM (
        SELECT _row, valid_from AS moment FROM overlapping
        UNION
        SELECT _row, valid_to FROM overlapping
    )
    WINDOW in_time AS (PARTITION BY _row ORDER BY moment)
),
halved AS (
    SELECT _row, _since, size, (a + (1::BIGINT << size) - 1) >> size AS a, b >> size AS b
    FROM (
        SELECT o._row, o._since, a.n AS a, b.n AS b,
            unnest(range(0, floor(log2(b.n - a.n))::BIGINT + 1)) AS size
        FROM overlapping AS o
        JOIN moments AS a ON a._row = o._row AND a.moment = o.valid_from
        JOIN moments AS b ON b._row = o._row AND b.moment = o.valid_to
    )
),
blocks AS (
    SELECT _row, size, block, max(_since) AS _since
    FROM (
        SELECT _row, _since, size, a AS block FROM halved WHERE a < b AND a % 2 = 1
        UNION ALL
        SELECT _row, _since, size, b - 1 AS block FROM halved WHERE a < b AND b % 2 = 1
    )
    GROUP BY _row, size, block
),
won AS (
    SELECT m._row, m.moment AS valid_from, m.ended_at AS valid_to, max(b._since) AS _since
    FROM (
        SELECT *, unnest(range(0, floor(log2(moment_count))::BIGINT + 1)) AS size
        FROM moments
        WHERE ended_at IS NOT NULL
    ) AS m
    JOIN blocks AS b ON b._row = m._row AND b.size = m.size AND b.block = m.n >> m.size
    GROUP BY m._row, m.moment, m.ended_at
)
SELECT _since, valid_from, valid_to FROM lives ANTI JOIN contested USING (_row)
UNION ALL
SELECT _since, valid_from, valid_to FROM ({united("FROM won", "_row, _since")})
"""
