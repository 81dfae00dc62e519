"""What is archived, in numbers: from metadata alone, no body is read.

The metadata of each segment passes through DuckDB once. Long texts become numbers on the way, so
that a million fetches need some tens of megabytes.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa

from .archive import Archive
from .errors import SegmentCorrupt
from .models import Segment
from .segments import read_segment
from .versions import Judgement

Row = dict[str, Any]

BIGGEST = 5
_COLUMNS = [
    "fetch_id",
    "payload_id",
    "request_key",
    "body_digest",
    "body_size",
    "encoded_size",
    "status",
    "truncated",
    "error",
    "fetched_at",
    "sequence",
]
_VERSION: Judgement = "version"
_GONE: Judgement = "gone"

_TAKE_IN = f"""
INSERT INTO fetches
SELECT
    fetch_id::UUID,
    hash(request_key),
    hash(body_digest),
    CASE
        WHEN payload_id = fetch_id THEN 'held'
        WHEN payload_id IS NOT NULL THEN 'revisit'
        WHEN body_digest IS NOT NULL AND error IS NULL THEN 'absent'
        ELSE 'none'
    END,
    CASE
        WHEN status IN (404, 410) THEN '{_GONE}'
        WHEN error IS NULL AND truncated IS NULL AND body_digest IS NOT NULL
            AND (status BETWEEN 200 AND 299 OR status = 304 OR status IS NULL) THEN '{_VERSION}'
    END,
    error IS NOT NULL OR coalesce(status, 0) >= 400,
    status,
    body_size,
    encoded_size,
    fetched_at,
    sequence
FROM segment
"""

_FETCHES = """
CREATE TABLE fetches (
    fetch_id UUID,
    request UBIGINT,
    digest UBIGINT,
    body ENUM ('held', 'revisit', 'absent', 'none'),
    verdict ENUM ('version', 'gone'),
    has_failed BOOLEAN,
    status SMALLINT,
    body_size BIGINT,
    encoded_size BIGINT,
    fetched_at TIMESTAMPTZ,
    sequence BIGINT
)
"""

_REPEATED = "SELECT count(*) > count(DISTINCT fetch_id) FROM fetches"
_ONCE = "SELECT DISTINCT ON (fetch_id) * FROM fetches ORDER BY fetch_id, body"

# Of a 304 the size is that of the body that it stands for.
_COUNTED = """
WITH sizes AS (
    SELECT request, digest, max(body_size) AS known_size
    FROM once
    WHERE digest IS NOT NULL AND body_size IS NOT NULL
    GROUP BY ALL
),
sized AS (
    SELECT once.*, coalesce(body_size, known_size, 0) AS size
    FROM once LEFT JOIN sizes USING (request, digest)
),
judged AS (
    SELECT verdict = 'version' AND (
        lag(verdict) OVER in_time IS DISTINCT FROM 'version'
        OR lag(digest) OVER in_time IS DISTINCT FROM digest
    ) AS is_start
    FROM once
    WHERE verdict IS NOT NULL
    WINDOW in_time AS (PARTITION BY request ORDER BY fetched_at, sequence, fetch_id)
)
SELECT
    count(*)                                                     AS fetches,
    count(DISTINCT request)                                      AS requests,
    (SELECT count(*) FROM judged WHERE is_start)                 AS versions,
    count(*) FILTER (body = 'revisit')                           AS revisits,
    count(*) FILTER (body = 'absent')                            AS absent,
    count(*) FILTER (has_failed)                                 AS failures,
    coalesce(sum(coalesce(encoded_size, body_size)), 0)::BIGINT  AS received,
    coalesce(sum(size), 0)::BIGINT                               AS bodies,
    coalesce(sum(size) FILTER (body = 'held'), 0)::BIGINT        AS stored,
    coalesce(sum(size) FILTER (body = 'revisit'), 0)::BIGINT     AS saved,
    coalesce(sum(size) FILTER (body = 'absent'), 0)::BIGINT      AS removed,
    min(fetched_at)                                              AS first,
    max(fetched_at)                                              AS last
FROM sized
"""

_STATUSES = """
SELECT coalesce(status::VARCHAR, 'none'), count(*)
FROM once
GROUP BY 1 ORDER BY 1
"""

_BIGGEST = f"""
SELECT arg_max(fetch_id, fetched_at)::VARCHAR, count(*), sum(body_size)::BIGINT
FROM once
WHERE body = 'held'
GROUP BY request
ORDER BY 3 DESC NULLS LAST, 1
LIMIT {BIGGEST}
"""


def statistics(
    archive: Archive, feed: str | None = None, *, damaged: list[SegmentCorrupt] | None = None
) -> Iterator[Row]:
    """One row of numbers per archived feed; bytes and counts, times as text.

    - `received`: as transferred, where that is known, else as decoded; `bodies`: of every fetch,
      revisits included; `stored`: of those, what is stored before compression; `saved`: what
      revisits need not store again; `removed`: absent by policy; `files`: on disk.
    - `ratio`: `received` for each byte on disk.

    Segments that cannot be read raise `SegmentCorrupt`, or are added to `damaged` and left out.
    """
    by_feed: dict[str, list[Segment]] = {}
    for segment in archive.segments(feed):
        by_feed.setdefault(segment.feed, []).append(segment)
    for name in sorted(by_feed):
        yield _of_feed(archive, name, by_feed[name], damaged)


def _of_feed(
    archive: Archive, feed: str, segments: list[Segment], damaged: list[SegmentCorrupt] | None
) -> Row:
    with duckdb.connect(config={"python_enable_replacements": False, "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_FETCHES)
        for segment in segments:
            try:
                table = read_segment(archive.url, segment.path, _COLUMNS)
            except SegmentCorrupt as error:
                if damaged is None:
                    raise
                damaged.append(error)
                continue
            connection.register("segment", table)
            connection.execute(_TAKE_IN)
            connection.unregister("segment")
        ((is_repeated,),) = connection.execute(_REPEATED).fetchall()
        connection.execute(f"CREATE VIEW once AS {_ONCE if is_repeated else 'FROM fetches'}")
        counted: pa.Table = connection.sql(_COUNTED).to_arrow_table()
        (row,) = counted.to_pylist()
        statuses = dict(connection.execute(_STATUSES).fetchall())
        biggest = connection.execute(_BIGGEST).fetchall()
    files = sum(segment.file_bytes for segment in segments)
    compacted = sum(segment.clustered for segment in segments)
    return {
        "feed": feed,
        **row,
        "first": _as_text(row["first"]),
        "last": _as_text(row["last"]),
        "files": files,
        "ratio": round(row["received"] / files, 1) if files else None,
        "segments": len(segments),
        "segments_compacted": compacted,
        "statuses": statuses,
        "biggest": [
            {"url": url, "versions_stored": count, "bytes": size}
            for url, count, size in _with_addresses(archive, biggest)
        ],
    }


def _with_addresses(
    archive: Archive, biggest: list[tuple[str, int, int]]
) -> Iterator[tuple[str, int, int]]:
    """The biggest requests by their address instead of by one of their fetches."""
    found = archive.read_many(
        [UUID(fetch_id) for fetch_id, _, _ in biggest], bodies=False, on_damaged=lambda _: None
    )
    for fetch_id, count, size in biggest:
        payload = found.get(UUID(fetch_id))
        if payload:
            yield payload.url, count, size


def _as_text(moment: Any) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
