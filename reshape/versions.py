"""Versions of a request and which of them are current: queries over the fetches of a feed.

A fetch *judges* its request when it is a version (2xx, a 304, or an import that
recorded no status; whole and without error) or says that it is gone (404, 410).
Any other fetch changes nothing. A version starts where the digest differs from
that of the fetch judged before it, or follows a "gone"; later fetches with the same
digest only extend its life. A version is known by the fetch that starts it.

Order is always time first: `fetched_at`, then `sequence`, then `fetch_id`.

A million fetches are to fit in memory beside all else, so that they are known by numbers: requests
and digests by 128 bits of MD5, for here they are only compared with one another.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import duckdb

from raw_store.archive import Archive
from raw_store.errors import SegmentCorrupt
from raw_store.feeds import Feed

from .sql import quoted

_SIGHTINGS = """
CREATE OR REPLACE TEMP TABLE sightings AS
WITH judged AS (
    SELECT
        *,
        CASE
            WHEN status IN (404, 410) THEN 'gone'
            WHEN is_whole AND body_digest IS NOT NULL
                AND (status BETWEEN 200 AND 299 OR status = 304 OR status IS NULL)
                THEN 'version'
        END AS verdict
    FROM captures
    WHERE fetched_at <= $as_of
),
compared AS (
    SELECT
        *,
        verdict = 'version' AND (
            lag(verdict) OVER in_time IS DISTINCT FROM 'version'
            OR lag(body_digest) OVER in_time IS DISTINCT FROM body_digest
        ) AS is_start
    FROM judged
    WHERE verdict IS NOT NULL
    WINDOW in_time AS (PARTITION BY request_key ORDER BY fetched_at, sequence, fetch_id)
)
SELECT
    request_key,
    run_id,
    fetch_id,
    fetched_at,
    sequence,
    verdict,
    is_start,
    has_body,
    payload_id,
    CASE WHEN verdict = 'version' THEN
        last_value(CASE WHEN is_start THEN fetch_id END IGNORE NULLS) OVER (
            PARTITION BY request_key ORDER BY fetched_at, sequence, fetch_id
            ROWS UNBOUNDED PRECEDING
        )
    END AS version_id
FROM compared
"""

# The runs that are complete in the archive as it stood: nothing of them came later.
COMPLETE_RUNS = """
SELECT run_id, max(fetched_at) AS ended_at
FROM captures
GROUP BY run_id
HAVING bool_and(run_is_complete) AND max(fetched_at) <= $as_of
"""

_ELIGIBLE = {
    "latest": "SELECT * FROM sightings",
    "run": f"""
        WITH complete AS ({COMPLETE_RUNS}),
        newest AS (SELECT run_id FROM complete ORDER BY ended_at DESC, run_id DESC LIMIT 1)
        SELECT sightings.*
        FROM sightings SEMI JOIN complete USING (run_id)
        WHERE request_key IN (
            SELECT request_key FROM captures WHERE run_id = (SELECT run_id FROM newest)
        )
    """,
}

_ALL = """
SELECT DISTINCT version_id FROM sightings WHERE verdict = 'version'
"""

# The newest sighting of each request that the transform can read, unless it is gone since.
_NEWEST = """
SELECT version_id
FROM ({eligible}) AS eligible
WHERE verdict = 'gone' OR version_id IN (SELECT fetch_id FROM outcomes WHERE error IS NULL)
QUALIFY row_number() OVER (
    PARTITION BY request_key ORDER BY fetched_at DESC, sequence DESC, fetch_id DESC
) = 1 AND verdict = 'version'
"""

# The newest sighting of each request, readable or not, unless it is gone since.
_NEWEST_SEEN = """
CREATE OR REPLACE TEMP TABLE newest AS
SELECT version_id AS fetch_id
FROM ({eligible}) AS eligible
QUALIFY row_number() OVER (
    PARTITION BY request_key ORDER BY fetched_at DESC, sequence DESC, fetch_id DESC
) = 1 AND verdict = 'version'
"""

FOREVER = datetime(9000, 1, 1, tzinfo=UTC)


CAPTURES = """
    fetch_id UUID, request_key UHUGEINT, run_id UUID, fetched_at TIMESTAMPTZ, sequence BIGINT,
    status SMALLINT, is_whole BOOLEAN, body_digest UHUGEINT, body_size BIGINT, payload_id UUID,
    has_body BOOLEAN
"""
"""The columns of `captures` but for `segment` and `run_is_complete`."""

# From captures as the archive gives them.
COMPACTED = """
    SELECT
        fetch_id::UUID AS fetch_id, md5_number(request_key) AS request_key,
        run_id::UUID AS run_id, fetched_at, sequence, status,
        error IS NULL AND truncated IS NULL AS is_whole,
        md5_number(body_digest) AS body_digest, body_size, payload_id::UUID AS payload_id,
        has_body, segment
    FROM {captures}
"""


def find_versions(
    connection: duckdb.DuckDBPyConnection,
    archive: Archive,
    feed: str,
    as_of: datetime | None,
    on_damaged: Callable[[SegmentCorrupt], None] | None = None,
) -> None:
    """Make `captures` and `sightings` of one feed.

    `captures` has a row per fetch (`CAPTURES`), `segment`, the name of the one it was first
    archived in, and `run_is_complete`. `sightings` has a row per judging fetch, with the
    `version_id` it saw (null where gone) and whether it `is_start` of that version.
    Segments that cannot be read are left out and told to `on_damaged`; without, it raises
    `SegmentCorrupt`.
    """
    names = ", ".join(quoted(name) for name in {s.name: None for s in archive.segments(feed)})
    segment = f"ENUM ({names})" if names else "VARCHAR"
    connection.execute("DROP VIEW IF EXISTS captures")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE captured ({CAPTURES}, segment {segment})")
    connection.execute("CREATE OR REPLACE TEMP TABLE complete_runs (run_id UUID)")
    complete: set[str] = set()
    for part in archive.iter_captures(feed, on_damaged=on_damaged):
        complete |= part.complete_runs
        if part.rows is not None:
            connection.register("archived", part.rows)
            connection.execute(
                f"INSERT INTO captured BY NAME {COMPACTED.format(captures='archived')}"
            )
            connection.unregister("archived")
    connection.execute("INSERT INTO complete_runs SELECT unnest($runs)", {"runs": sorted(complete)})
    _keep_each_once(connection)
    connection.execute(
        """
        CREATE TEMP VIEW captures AS
        SELECT *, run_id IN (SELECT run_id FROM complete_runs) AS run_is_complete FROM captured
        """
    )
    find_sightings(connection, as_of)


def _keep_each_once(connection: duckdb.DuckDBPyConnection) -> None:
    """Of a fetch that lies in two segments, keep the row of the first."""
    ((repeated,),) = connection.execute(
        "SELECT count(*) - count(DISTINCT fetch_id) FROM captured"
    ).fetchall()
    if repeated:
        connection.execute(
            "DELETE FROM captured WHERE rowid NOT IN "
            "(SELECT min(rowid) FROM captured GROUP BY fetch_id)"
        )


def find_sightings(connection: duckdb.DuckDBPyConnection, as_of: datetime | None) -> None:
    """Make `sightings` of `captures`; see `find_versions`."""
    connection.execute(_SIGHTINGS, {"as_of": as_of or FOREVER})


def find_current(connection: duckdb.DuckDBPyConnection, feed: Feed, as_of: datetime | None) -> None:
    """Make the temporary table `current`: the versions that count for a transform of `feed`.

    Reads `sightings` and `outcomes` (the transform's outcome per fetch). Columns:
    `fetch_id`, `fetched_at`, `sequence`, those of the fetch that starts the version.
    """
    if feed.current == "all":
        chosen, parameters = _ALL, {}
    else:
        chosen = _NEWEST.format(eligible=_ELIGIBLE[feed.current])
        parameters = {"as_of": as_of or FOREVER} if feed.current == "run" else {}
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE current AS
        SELECT fetch_id, fetched_at, sequence
        FROM sightings
        WHERE is_start AND fetch_id IN ({chosen})
        """,
        parameters,
    )


def find_newest(connection: duckdb.DuckDBPyConnection, feed: Feed, as_of: datetime | None) -> None:
    """Make the temporary table `newest`: the newest version of each request, read or not.

    Where a feed's state is its newest complete run, that of each request which the run made.
    """
    eligible = _ELIGIBLE.get(feed.current, _ELIGIBLE["latest"])
    parameters = {"as_of": as_of or FOREVER} if feed.current == "run" else {}
    connection.execute(_NEWEST_SEEN.format(eligible=eligible), parameters)


def borrowed_versions(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Fetch ids of versions whose body another fetch holds and that `outcomes` lacks.

    An older history archived later turns a revisit into the start of a version.
    """
    found = connection.execute(
        """
        SELECT fetch_id::VARCHAR FROM sightings
        WHERE is_start AND NOT has_body AND payload_id IS NOT NULL
            AND fetch_id NOT IN (SELECT fetch_id FROM outcomes)
        ORDER BY fetched_at, sequence, fetch_id
        """
    ).fetchall()
    return [fetch_id for (fetch_id,) in found]
