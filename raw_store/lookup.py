"""Look-ups: all fetches of one request, found without reading the others.

Of a segment that is not clustered the index knows the first bytes of each row's request key, in
the order of its rows: they say where a fetch lies. A clustered segment is ordered by request key;
its first and last key and the statistics of its row groups say the same. Only metadata is read,
never a body.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db.models import Q

from .errors import SegmentCorrupt
from .index import PREFIX, key_prefix
from .models import LatestVersion, Segment
from .segments import opened, read_group
from .versions import Latest, judge

Says = Literal["version", "unchanged", "gone"]

_COLUMNS = [
    "fetch_id",
    "run_id",
    "sequence",
    "feed",
    "request_key",
    "method",
    "url",
    "status",
    "fetched_at",
    "body_digest",
    "body_size",
    "payload_id",
    "truncated",
    "error",
]
_OFTEN_EQUAL = ("run_id", "feed", "method", "status", "truncated", "error")
"""Columns whose values are short, so that no writer cuts them short in its statistics."""
_AT_ONCE = 4
"""Segments read at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One fetch of a request, without its headers and its body; columns of the archive."""

    fetch_id: UUID
    run_id: UUID
    sequence: int
    feed: str
    request_key: str
    method: str
    url: str
    status: int | None
    fetched_at: datetime
    body_digest: str | None
    body_size: int | None
    payload_id: UUID | None
    truncated: str | None
    error: str | None
    says: Says | None = None
    """"version" where one starts, "unchanged" where it goes on, "gone", or None where the fetch
    says nothing of the request; see `raw_store.versions`."""

    @property
    def is_revisit(self) -> bool:
        """Whether another fetch holds its body."""
        return self.payload_id is not None and self.payload_id != self.fetch_id

    @property
    def order(self) -> tuple[datetime, int, UUID]:
        return (self.fetched_at, self.sequence, self.fetch_id)


def find_fetches(
    archive_url: str,
    request_key: str,
    feed: str | None = None,
    on_damaged: Callable[[SegmentCorrupt], None] | None = None,
) -> list[Fetch]:
    """All fetches of a request in the order of time, each once and judged within its feed.

    Raises `SegmentCorrupt` for a segment that cannot be read, unless `on_damaged` takes it.
    """
    found: dict[UUID, Fetch] = {}
    for result in _read_all(archive_url, request_key, list(_candidates(request_key, feed))):
        if isinstance(result, SegmentCorrupt):
            if on_damaged is None:
                raise result
            on_damaged(result)
            continue
        found.update((each.fetch_id, each) for each in result)
    by_feed = sorted(found.values(), key=lambda each: (each.feed, each.order))
    judged = [
        each for _, of_feed in groupby(by_feed, attrgetter("feed")) for each in _judged(of_feed)
    ]
    return sorted(judged, key=attrgetter("order"))


def find_latest(request_key: str, feed: str | None = None) -> Latest | None:
    """The newest version of a request, as its newest fetch confirmed it."""
    every = Segment.objects.order_by().values_list("feed", flat=True).distinct()
    feeds = list(every) if feed is None else [feed]
    rows = LatestVersion.objects.filter(feed__in=feeds, request_key=request_key)
    return max(
        (Latest(**row) for row in rows.values(*Latest._fields)),
        key=attrgetter("order"),
        default=None,
    )


class _Candidate(NamedTuple):
    """A segment that may hold the request."""

    path: str
    rows: Sequence[int] | None
    """Where, if the index knows."""


def _candidates(request_key: str, feed: str | None) -> Iterator[_Candidate]:
    # One query: between two of them a compaction might replace segments.
    may_hold = Q(clustered=False, row_count__gt=0) | Q(
        clustered=True, first_request_key__lte=request_key, last_request_key__gte=request_key
    )
    segments = Segment.objects.filter(may_hold)
    if feed is not None:
        segments = segments.filter(feed=feed)
    wanted = key_prefix(request_key)
    prefixes: bytes | memoryview | None
    for path, clustered, prefixes in segments.values_list("path", "clustered", "keys__prefixes"):
        if clustered or prefixes is None:
            yield _Candidate(path, None)
        elif rows := list(_positions(bytes(prefixes), wanted)):
            yield _Candidate(path, rows)


def _positions(prefixes: bytes, wanted: bytes) -> Iterator[int]:
    """The rows with this prefix, of prefixes that lie one after another."""
    at = prefixes.find(wanted)
    while at >= 0:
        if at % PREFIX == 0:
            yield at // PREFIX
        at = prefixes.find(wanted, at + 1)


def _read_all(
    archive_url: str, request_key: str, candidates: Sequence[_Candidate]
) -> Iterable[list[Fetch] | SegmentCorrupt]:
    def read(candidate: _Candidate) -> list[Fetch] | SegmentCorrupt:
        try:
            return list(_read(archive_url, request_key, candidate))
        except SegmentCorrupt as error:
            return error

    if len(candidates) < _AT_ONCE:
        return [read(candidate) for candidate in candidates]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(read, candidates))


def _read(archive_url: str, request_key: str, candidate: _Candidate) -> Iterator[Fetch]:
    footer = _footer(archive_url, candidate.path)
    with opened(archive_url, candidate.path, footer=footer) as file:
        chosen = (
            _groups_of(file, candidate.rows)
            if candidate.rows
            else ((group, None) for group in _groups_with(file, request_key))
        )
        for group, rows in chosen:
            # Segments are read side by side: threads within one would only be in their way.
            known = _constants(archive_url, candidate.path, group)
            columns = [name for name in _COLUMNS if name not in known]
            table = read_group(file, candidate.path, group, columns, use_threads=False)
            if rows is None:
                rows = pc.indices_nonzero(pc.equal(table["request_key"], request_key)).to_pylist()
            for row in rows:
                (cells,) = table.slice(row, 1).to_pylist()
                # Two keys may have one prefix.
                if cells["request_key"] == request_key:
                    yield _fetch(cells | known)


@lru_cache(maxsize=1024)
def _constants(archive_url: str, path: str, group: int) -> dict[str, Any]:
    """The columns that hold one value in all rows of a row group, as its statistics say."""
    metadata = _footer(archive_url, path)
    described = metadata.row_group(group)
    columns = {metadata.schema.column(leaf).path: leaf for leaf in range(len(metadata.schema))}
    found: dict[str, Any] = {}
    for name in _OFTEN_EQUAL:
        statistics = described.column(columns[name]).statistics
        if statistics is None:
            continue
        if statistics.null_count == described.num_rows:
            found[name] = None
        elif statistics.has_min_max and not statistics.null_count:
            low, high = statistics.min, statistics.max
            if low == high:
                found[name] = low
    return found


@lru_cache(maxsize=256)
def _footer(archive_url: str, path: str) -> pq.FileMetaData:
    with opened(archive_url, path) as file:
        return file.metadata


def _groups_of(file: pq.ParquetFile, rows: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """The row groups that hold these rows of the segment, and where in them."""
    of_group: dict[int, list[int]] = defaultdict(list)
    group, begin, end = -1, 0, 0
    for row in rows:
        while row >= end:
            group += 1
            begin, end = end, end + file.metadata.row_group(group).num_rows
        of_group[group].append(row - begin)
    yield from of_group.items()


def _groups_with(file: pq.ParquetFile, request_key: str) -> Iterator[int]:
    """The row groups whose statistics admit the request."""
    paths = [file.schema.column(leaf).path for leaf in range(len(file.schema))]
    column = paths.index("request_key")
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        if (
            statistics is None
            or not statistics.has_min_max
            or statistics.min <= request_key <= statistics.max
        ):
            yield group


def _fetch(cells: dict[str, Any]) -> Fetch:
    ids = {name: cells[name] and UUID(cells[name]) for name in ("fetch_id", "run_id", "payload_id")}
    return Fetch(**(cells | ids))


def _judged(fetches: Iterable[Fetch]) -> Iterator[Fetch]:
    """The fetches of one request of one feed, in the order of time, with what each says."""
    current: str | None = None
    for each in fetches:
        judged = judge(
            status=each.status,
            error=each.error,
            truncated=each.truncated,
            body_digest=each.body_digest,
        )
        says: Says | None = judged
        if judged == "version":
            says = "unchanged" if each.body_digest == current else "version"
            current = each.body_digest
        elif judged == "gone":
            current = None
        yield replace(each, says=says)
