"""Captures: the metadata of a feed's fetches as one table, without their bodies.

A replay decides from it which payloads are versions and which are current.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .errors import SegmentCorrupt
from .models import Segment
from .segments import SegmentInfo, read_segment

_STORED = [
    "fetch_id",
    "run_id",
    "sequence",
    "attempt",
    "request_key",
    "url",
    "status",
    "fetched_at",
    "body_digest",
    "body_size",
    "payload_id",
    "truncated",
    "error",
]

SCHEMA = pa.schema(
    [
        ("fetch_id", pa.string()),
        ("run_id", pa.string()),
        ("sequence", pa.int64()),
        ("attempt", pa.int32()),
        ("request_key", pa.string()),
        ("url", pa.string()),
        ("status", pa.int16()),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("body_digest", pa.string()),
        ("body_size", pa.int64()),
        ("payload_id", pa.string()),
        ("truncated", pa.string()),
        ("error", pa.string()),
        ("has_body", pa.bool_()),  # the row stores its body itself
        ("segment", pa.string()),  # the name of the segment it was first archived in
        ("run_is_complete", pa.bool_()),
    ]
)
_CHUNKS = 200
_WITHOUT_RUNS = pa.schema([field for field in SCHEMA if field.name != "run_is_complete"])


class Captures:
    """The captures of one feed, kept while its segments stay; new segments are added."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._names: set[str] = set()
        self._complete: set[str] = set()
        self._rows: pa.Table = _WITHOUT_RUNS.empty_table()

    def table(
        self, segments: Sequence[Segment], on_damaged: Callable[[SegmentCorrupt], None] | None
    ) -> pa.Table:
        """The captures of these segments, in the order archived, each fetch once."""
        if not self._names <= {segment.name for segment in segments}:
            self._names, self._complete = set(), set()
            self._rows = _WITHOUT_RUNS.empty_table()
        new: list[pa.Table] = []
        for segment in segments:
            if segment.name in self._names:
                continue
            try:
                table = _read(self.url, segment)
            except SegmentCorrupt as error:
                if on_damaged is None:
                    raise
                on_damaged(error)
                self._complete |= complete_runs(segment, None)
                continue
            new.append(table)
            self._names.add(segment.name)
            self._complete |= complete_runs(segment, table["run_id"])
        if new:
            self._rows = _deduplicated(pa.concat_tables([self._rows, *new]))
            if self._rows["fetch_id"].num_chunks > _CHUNKS:
                self._rows = self._rows.combine_chunks()
        complete = pc.is_in(self._rows["run_id"], pa.array(sorted(self._complete), pa.string()))
        return self._rows.append_column("run_is_complete", complete).cast(SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one segment says of its fetches."""

    rows: pa.Table | None
    """The columns of `SCHEMA` but for `run_is_complete`; None where they cannot be read."""
    complete_runs: set[str]
    """The runs that it says are complete."""


def iter_captures(
    url: str, segments: Sequence[Segment], on_damaged: Callable[[SegmentCorrupt], None] | None
) -> Iterator[Part]:
    """The captures of these segments, one segment after the other."""
    for segment in segments:
        try:
            rows = _read(url, segment)
        except SegmentCorrupt as error:
            if on_damaged is None:
                raise
            on_damaged(error)
            yield Part(rows=None, complete_runs=complete_runs(segment, None))
        else:
            yield Part(rows=rows, complete_runs=complete_runs(segment, rows["run_id"]))


def _read(url: str, segment: Segment) -> pa.Table:
    table = read_segment(url, segment.path, _STORED)
    has_body = pc.fill_null(pc.equal(table["payload_id"], table["fetch_id"]), False)
    name = pa.array([segment.name], pa.string()).take(pa.array([0] * table.num_rows, pa.int64()))
    return (
        table.append_column("has_body", has_body)
        .append_column("segment", name)
        .replace_schema_metadata(None)
        .cast(_WITHOUT_RUNS)
    )


def complete_runs(segment: Segment | SegmentInfo, run_ids: pa.ChunkedArray | None) -> set[str]:
    """The runs that a segment says are complete; `run_ids` are those of its rows, if readable."""
    listed = segment.complete_runs
    found = set() if listed == "*" else set(listed)
    if run_ids is not None and (listed == "*" or segment.incomplete_runs is not None):
        here: set[str] = set(run_ids.unique().to_pylist())
        found |= here.difference(segment.incomplete_runs or ())
    return found


def _deduplicated(table: pa.Table) -> pa.Table:
    ids = table["fetch_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return table
    numbered = table.append_column("row", pa.array(range(len(ids)), pa.int64()))
    first = numbered.group_by("fetch_id").aggregate([("row", "min")])["row_min"]
    return table.take(pc.take(first, pc.array_sort_indices(first.combine_chunks())))
