"""Retention: bodies go after a time that the feed names; that they were seen stays for ever.

A body goes when the last fetch that found it is older than the feed's `keep_bodies`. Its row, and
those of its revisits, keep digest, size, headers and times; `payload_id` is null from then on:
absent by policy. Three kinds of bodies stay, however old: those of the newest version of each
request (a 304 confirms it), those of the newest complete run where the run counts, and those
that the rows of today are made of.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from . import compaction, followers
from .captures import Captures
from .feeds import Feed
from .locks import exclusive
from .models import Segment
from .regrouping import Changes
from .segments import iter_tables

logger = logging.getLogger(__name__)

# A sighting of a body is any fetch that carries its digest. The rows that are due are those of
# every body of which no sighting is young; one that some row still needs is not among them.
_DUE = """
WITH judged AS (
    SELECT *
    FROM captures
    WHERE status IS DISTINCT FROM 404 AND status IS DISTINCT FROM 410
        AND error IS NULL AND truncated IS NULL AND body_digest IS NOT NULL
        AND (status BETWEEN 200 AND 299 OR status = 304 OR status IS NULL)
),
newest AS (
    SELECT request_key, body_digest FROM judged
    WINDOW in_time AS (
        PARTITION BY request_key ORDER BY fetched_at DESC, sequence DESC, fetch_id DESC
    )
    QUALIFY row_number() OVER in_time = 1
),
newest_complete AS (
    SELECT request_key, body_digest FROM judged WHERE run_is_complete AND $by_run
    WINDOW in_time AS (
        PARTITION BY request_key ORDER BY fetched_at DESC, sequence DESC, fetch_id DESC
    )
    QUALIFY row_number() OVER in_time = 1
),
needed_now AS (
    SELECT request_key, body_digest FROM captures WHERE fetch_id IN (SELECT fetch_id FROM needed)
),
kept AS (FROM newest UNION FROM newest_complete UNION FROM needed_now),
lives AS (
    SELECT request_key, body_digest, max(fetched_at) AS last_at
    FROM captures
    WHERE body_digest IS NOT NULL
    GROUP BY ALL
)
SELECT fetch_id, payload_id, if(has_body, body_size, 0) AS size, has_body, last_at
FROM captures
JOIN (FROM lives ANTI JOIN kept USING (request_key, body_digest)) USING (request_key, body_digest)
WHERE last_at < $cut AND payload_id IS NOT NULL
ORDER BY fetch_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What retention removed from a feed, or with `dry_run` would."""

    feed: str
    before: datetime
    """Bodies not seen since then go."""
    body_count: int = 0
    body_bytes: int = 0
    row_count: int = 0
    """The revisits included."""
    segment_count: int = 0
    """Written anew."""


def apply_retention(
    url: str,
    feeds: Iterable[Feed],
    now: datetime,
    *,
    dry_run: bool = False,
    due_only: bool = False,
) -> list[Retained]:
    """Remove the bodies that are older than their feed keeps them, of the feeds that say so.

    With `due_only` only from feeds where one is overdue by a tenth of the time, or by a day where
    that is longer: what the server does, so that it does not write large segments anew for a few
    bodies each day. Killed at any point, it leaves an archive that is whole; the next call goes
    on. Raises `SegmentCorrupt`, `SealFailed`.
    """
    done = []
    for feed in feeds:
        if feed.keep_bodies is not None:
            with exclusive(compaction.LOCK):
                done.append(_apply(url, feed, feed.keep_bodies, now, dry_run, due_only))
    return done


def _apply(
    url: str, feed: Feed, keep: timedelta, now: datetime, dry_run: bool, due_only: bool
) -> Retained:
    cut = now - keep
    due = _due(url, feed, cut)
    oldest = pc.min(due["last_at"]).as_py()
    if oldest is None or (due_only and cut - oldest < max(keep / 10, timedelta(days=1))):
        return Retained(feed=feed.name, before=cut)
    rows = due["fetch_id"].to_pylist()
    batches = _batches(url, feed.name, due)
    if not dry_run:
        changes = frozenset(rows)
        for batch in batches:
            compaction.replace(url, batch, Changes(without_body=changes))
        followers.drop(rows)
        logger.info("bodies removed feed=%s before=%s rows=%d", feed.name, cut, len(rows))
    return Retained(
        feed=feed.name,
        before=cut,
        body_count=pc.sum(due["has_body"].cast(pa.int64())).as_py(),
        body_bytes=int(pc.sum(due["size"]).as_py() or 0),
        row_count=len(rows),
        segment_count=sum(map(len, batches)),
    )


def _due(url: str, feed: Feed, cut: datetime) -> pa.Table:
    """The rows whose body goes: `fetch_id`, `payload_id`, `size`, `has_body`, `last_at`."""
    segments = list(Segment.objects.filter(feed=feed.name).order_by("name"))
    captures = Captures(url).table(segments, None)
    needed = pa.table({"fetch_id": pa.array(sorted(followers.needed(feed.name)), pa.string())})
    with duckdb.connect(config={"python_enable_replacements": False}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("captures", captures)
        connection.register("needed", needed)
        parameters = {"cut": cut, "by_run": feed.current == "run"}
        return connection.sql(_DUE, params=parameters).to_arrow_table()


def _batches(url: str, feed: str, due: pa.Table) -> list[list[Segment]]:
    """The segments to be written anew; together those in which a body and a revisit of it lie.

    Such segments change in one transaction: a row never names a body that is gone already.
    """
    ids = due["fetch_id"].combine_chunks()
    affected: list[Segment] = []
    batch_of: list[int] = []
    first_with: dict[str, int] = {}
    for segment in Segment.objects.filter(feed=feed).order_by("first_fetched_at", "name"):
        holders: set[str] = set()
        for table in iter_tables(url, segment.path, ["fetch_id", "payload_id"]):
            is_due = pc.and_(pc.is_in(table["fetch_id"], ids), pc.is_valid(table["payload_id"]))
            holders.update(table["payload_id"].filter(is_due).to_pylist())
        if not holders:
            continue
        number = len(affected)
        affected.append(segment)
        batch_of.append(number)
        joined = {batch_of[first_with.setdefault(holder, number)] for holder in holders}
        batch_of = [min(joined) if batch in joined else batch for batch in batch_of]
    return [
        [segment for segment, of in zip(affected, batch_of, strict=True) if of == batch]
        for batch in sorted(set(batch_of))
    ]
