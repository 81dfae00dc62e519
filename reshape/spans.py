"""Spans: from when to when each version of a feed counted.

What `versions.find_current` says of one moment, for every moment at once. `link` at a
moment T uses what was fetched up to and including T, so a span holds its beginning
and not its end; a span that has not ended ends at infinity.
"""

import duckdb

from raw_store.feeds import Feed

from .versions import COMPLETE_RUNS, FOREVER

# A version of an event stream counts from its fetch on.
_ALL = """
SELECT version_id, fetched_at AS valid_from, 'infinity'::TIMESTAMPTZ AS valid_to
FROM sightings
WHERE is_start
"""

_READABLE = """
(verdict = 'gone' OR version_id IN (SELECT fetch_id FROM outcomes WHERE error IS NULL))
"""

# Each sighting counts until the next one of its request; of several at one moment the last does.
_LATEST = f"""
SELECT
    version_id,
    fetched_at AS valid_from,
    lead(fetched_at, 1, 'infinity'::TIMESTAMPTZ) OVER (
        PARTITION BY request_key ORDER BY fetched_at
    ) AS valid_to
FROM (
    FROM sightings
    WHERE {_READABLE}
    QUALIFY row_number() OVER (
        PARTITION BY request_key, fetched_at ORDER BY sequence DESC, fetch_id DESC
    ) = 1
)
"""

# The newest complete run changes when a run ends. Until the next one ends, what counts of each
# request that it lists is the newest sighting in any run that was complete by then.
_RUN = f"""
WITH complete AS ({COMPLETE_RUNS}),
steps AS (
    SELECT
        max(run_id) AS run_id,
        ended_at AS valid_from,
        lead(ended_at, 1, 'infinity'::TIMESTAMPTZ) OVER (ORDER BY ended_at) AS valid_to
    FROM complete
    GROUP BY ended_at
),
listed AS (
    SELECT DISTINCT request_key, valid_from, valid_to
    FROM captures JOIN steps USING (run_id)
),
seen AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY request_key ORDER BY fetched_at, sequence, fetch_id
        ) AS place
    FROM sightings JOIN complete USING (run_id)
    WHERE {_READABLE}
),
newest AS (
    SELECT DISTINCT
        request_key,
        ended_at,
        max(place) OVER (PARTITION BY request_key ORDER BY ended_at) AS place
    FROM seen
)
SELECT seen.version_id, listed.valid_from, listed.valid_to
FROM listed
ASOF JOIN newest
    ON newest.request_key = listed.request_key AND newest.ended_at <= listed.valid_from
JOIN seen ON seen.request_key = newest.request_key AND seen.place = newest.place
"""

_SPANS = {"latest": _LATEST, "run": _RUN, "all": _ALL}


def find_spans(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Make the temporary table `spans`: when each version counted for a transform of `feed`.

    Reads `captures` and `sightings` of all times, and `outcomes` (the transform's outcome per
    fetch). Columns: `fetch_id` (of the fetch that starts the version), `valid_from`, `valid_to`.
    The spans of one version neither overlap nor touch.
    """
    spans = f"""
        SELECT version_id AS fetch_id, valid_from, valid_to FROM ({_SPANS[feed.current]})
        WHERE version_id IS NOT NULL AND valid_from < valid_to
    """
    parameters = {"as_of": FOREVER} if feed.current == "run" else {}
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE spans AS {united(spans, 'fetch_id')}", parameters
    )


def united(spans: str, of: str) -> str:
    """The query that unites spans of the same `of` (columns) which overlap or touch."""
    return f"""
        SELECT {of}, min(valid_from) AS valid_from, max(valid_to) AS valid_to
        FROM (
            SELECT
                *,
                count(*) FILTER (is_apart) OVER (
                    PARTITION BY {of} ORDER BY valid_from, valid_to ROWS UNBOUNDED PRECEDING
                ) AS part
            FROM (
                SELECT
                    *,
                    valid_from > max(valid_to) OVER (
                        PARTITION BY {of} ORDER BY valid_from, valid_to
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ) AS is_apart
                FROM ({spans})
            )
        )
        GROUP BY {of}, part
    """
