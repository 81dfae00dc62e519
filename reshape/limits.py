"""Limits: how much of a feed may be in quarantine before a replay loads nothing of its source.

A feed declares it, `@extractor(…, quarantine_limit="5%")` or `=100`. It is judged per transform
over what is newest: the newest version of each request, whether it could be read or not, and the
rows that those versions gave. So it depends on the archive and the transforms alone, and a
publisher that changes its form is noticed at once, however long the history is that could be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import duckdb

from raw_store.feeds import Feed, QuarantineLimit

from .registry import Transform
from .versions import find_newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How much of what is newest in a feed one transform could not read."""

    transform: str
    feed: str
    limit: QuarantineLimit | None
    payload_count: int
    """The newest version of each request."""
    quarantined_count: int
    """Those of them that are in quarantine whole."""
    row_count: int
    """Rows that the others gave, those in quarantine included."""
    rejected_count: int
    """Rows in quarantine."""

    @property
    def is_exceeded(self) -> bool:
        """Whether more is in quarantine than the feed allows."""
        if self.limit is None:
            return False
        if not self.limit.is_share:
            return self.quarantined_count + self.rejected_count > self.limit.value
        parts = (
            (self.quarantined_count, self.payload_count),
            (self.rejected_count, self.row_count),
        )
        return any(part * 100 > self.limit.value * whole for part, whole in parts)

    def __str__(self) -> str:
        said = []
        if self.quarantined_count:
            said.append(f"{self.quarantined_count:,} of {self.payload_count:,} payloads")
        if self.rejected_count:
            said.append(f"{self.rejected_count:,} of {self.row_count:,} rows")
        what = " and ".join(said) or "nothing"
        return (
            f"{self.transform} could not read {what} of what is newest in {self.feed}, "
            f"whose limit is {self.limit}"
        )


def measure(
    connection: duckdb.DuckDBPyConnection,
    transform: Transform,
    feed: Feed,
    as_of: datetime | None,
) -> Measure:
    """How much of the feed's newest versions the transform could not read.

    Reads `sightings`, `outcomes` and `rejected`.
    """
    find_newest(connection, feed, as_of)
    ((payloads, quarantined, records, rejected),) = connection.execute(
        """
        WITH judged AS (SELECT o.* FROM outcomes AS o SEMI JOIN newest USING (fetch_id))
        SELECT
            count(*),
            count(error),
            coalesce(sum(record_count), 0),
            (SELECT count(*) FROM rejected SEMI JOIN newest USING (fetch_id))
        FROM judged
        """
    ).fetchall()
    return Measure(
        transform=transform.name,
        feed=feed.name,
        limit=feed.quarantine_limit,
        payload_count=payloads,
        quarantined_count=quarantined,
        row_count=int(records) + rejected,
        rejected_count=rejected,
    )


def exceeded(measures: Iterable[Measure]) -> list[Measure]:
    """Those that are beyond their feed's limit."""
    return [each for each in measures if each.is_exceeded]


def advice(source: str, measures: Iterable[Measure]) -> str:
    """Why nothing of a source is loaded, and what to do: a few sentences."""
    reasons = "; ".join(str(each) for each in exceeded(measures))
    return (
        f"{source} is not loaded: {reasons}. The live rows stay as they were; extraction and "
        f"archiving go on. `manage.py quarantine list {source}` says why; once the transform reads "
        f"them, `manage.py replay {source}` loads; `--despite-quarantine` with it loads now what "
        "could be read."
    )
