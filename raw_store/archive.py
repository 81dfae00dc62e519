"""The archive: every payload ever kept, found again by feed, by time and by fetch id.

Rows are a set keyed by `fetch_id`: one that lies in two segments (a crash between two
files) is given once.
"""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pyarrow as pa
from django.conf import settings

from . import segments
from .captures import Captures, Part, iter_captures
from .compaction import Compacted, compact
from .errors import PayloadNotFound, SegmentCorrupt
from .files import GRACE
from .inspection import SegmentReport
from .lookup import Fetch, find_fetches, find_latest
from .models import Segment
from .open_segment import SealLimits
from .payload import Payload, request_key
from .read_ahead import begun_ahead
from .upkeep import Collected, Reindexed, gc, reindex
from .verification import verify
from .versions import Latest
from .writer import SyncWriter, Writer

OnDamaged = Callable[[SegmentCorrupt], None]


class Archive:
    """The archive at an address: a folder, or `s3://bucket/prefix`.

    Reading methods take `on_damaged`: without it a damaged or missing segment raises
    `SegmentCorrupt`; with it the error is handed over and the other segments are read.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url: str = settings.ARCHIVE_URL if url is None else url
        self._captures: dict[str, Captures] = {}
        self._lock = threading.Lock()
        self._pinned: list[Segment] | None = None

    def writer(self, feed: str, run_id: UUID, *, limits: SealLimits | None = None) -> Writer:
        """A writer for the payloads of one run."""
        return Writer(self.url, feed, run_id, limits=limits or SealLimits())

    def sync_writer(self, feed: str, *, limits: SealLimits | None = None) -> SyncWriter:
        """A writer for code that is not async, for any number of runs of one feed."""
        return SyncWriter(self.url, feed, limits=limits or SealLimits())

    def append_all(
        self,
        feed: str,
        payloads: Iterable[Payload],
        *,
        complete_runs: bool = False,
        limits: SealLimits | None = None,
    ) -> int:
        """Append payloads and seal them; return how many. Raises `SealFailed`.

        `complete_runs=True` says that each run among them is whole.
        """
        writer = self.sync_writer(feed, limits=limits)
        unfinished: dict[str, None] = {}
        for row in writer.append_all(payloads):
            if complete_runs:
                unfinished[str(row.run_id)] = None
        writer.seal(complete_runs=list(unfinished) if complete_runs else ())
        return writer.count

    def pinned(self) -> "Archive":
        """This archive as it is now: it lists the same segments though they be compacted.

        Work in several steps reads it, or a segment could be replaced between two of them.
        """
        found = Archive(self.url)
        found._captures = self._captures
        found._lock = self._lock
        found._pinned = self.segments()
        return found

    def segments(self, feed: str | None = None) -> list[Segment]:
        """The acknowledged segments, in the order sealed."""
        if self._pinned is not None:
            return [each for each in self._pinned if feed is None or each.feed == feed]
        found = Segment.objects.all() if feed is None else Segment.objects.filter(feed=feed)
        return list(found.order_by("name"))

    def scan(
        self,
        feed: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        bodies: bool = True,
        on_damaged: OnDamaged | None = None,
    ) -> Iterator[Payload]:
        """Payloads in the order archived, fetched from `since` up to, not including, `until`.

        A revisit comes as it is stored, without a body; `read` resolves one.
        """
        every = self.segments(feed)
        repeating = _overlapping(every)
        seen: set[int] = set()
        wanted = [segment for segment in every if not _outside(segment, since, until)]
        readers = begun_ahead(
            (each.body_bytes, segments.iter_payloads(self.url, each.path, bodies=bodies))
            for each in wanted
        )
        for segment, reader in zip(wanted, readers, strict=True):
            try:
                for payload in reader:
                    if segment.name in repeating:
                        if payload.fetch_id.int in seen:
                            continue
                        seen.add(payload.fetch_id.int)
                    if (since is None or payload.fetched_at >= since) and (
                        until is None or payload.fetched_at < until
                    ):
                        yield payload
            except SegmentCorrupt as error:
                if on_damaged is None:
                    raise
                on_damaged(error)

    def read(self, fetch_id: UUID) -> Payload:
        """One payload, with its body also when an earlier fetch holds it.

        Raises `PayloadNotFound`.
        """
        found = self.read_many([fetch_id]).get(fetch_id)
        if found is None:
            raise PayloadNotFound(
                f"No archived payload has the fetch id {fetch_id}. "
                "`manage.py archive list` shows what is archived; if a segment's file is there but "
                "not listed, `manage.py archive gc` adopts it."
            )
        return found

    def read_many(
        self,
        fetch_ids: Iterable[UUID],
        *,
        bodies: bool = True,
        on_damaged: OnDamaged | None = None,
    ) -> dict[UUID, Payload]:
        """Payloads with these ids, revisits with the bodies they name. Unknown ids are left out.

        Raises `PayloadNotFound` for a revisit whose holder is not archived; where `on_damaged`
        is given such a revisit comes without its body.
        """
        found = self._find(fetch_ids, bodies=bodies, on_damaged=on_damaged)
        if not bodies:
            return found
        wanted = {
            payload.payload_id
            for payload in found.values()
            if payload.is_revisit and payload.payload_id not in found
        }
        holders = found | self._find(
            [holder for holder in wanted if holder], bodies=True, on_damaged=on_damaged
        )
        for fetch_id, payload in found.items():
            if not payload.is_revisit:
                continue
            holder = holders.get(payload.payload_id) if payload.payload_id else None
            if holder is not None:
                found[fetch_id] = replace(payload, body=holder.body, body_size=holder.body_size)
            elif on_damaged is None:
                raise PayloadNotFound(
                    f"Fetch {fetch_id} is a revisit of fetch {payload.payload_id}, which is not "
                    "archived. Run `manage.py archive verify`."
                )
        return found

    def captures(self, feed: str, *, on_damaged: OnDamaged | None = None) -> pa.Table:
        """The metadata of every fetch of a feed, no bodies, each fetch once.

        Columns: see `raw_store.captures.SCHEMA`. Kept between calls of this object: only
        segments that are new since the last call are read.
        """
        with self._lock:
            captures = self._captures.setdefault(feed, Captures(self.url))
            return captures.table(self.segments(feed), on_damaged)

    def iter_captures(self, feed: str, *, on_damaged: OnDamaged | None = None) -> Iterator[Part]:
        """The same segment by segment, where not all is to be in memory at once; nothing is kept.

        A fetch that lies in two segments comes twice.
        """
        return iter_captures(self.url, self.segments(feed), on_damaged)

    def fetches(
        self,
        url: str,
        *,
        method: str = "GET",
        key: str | None = None,
        feed: str | None = None,
        on_damaged: OnDamaged | None = None,
    ) -> list[Fetch]:
        """All fetches of a URL in the order of time, of one feed or of all, without bodies.

        A request is found by its key. Where more than method and URL make it (a request body, key
        headers, or a secret that was masked in the URL), give `key`: the column `request_key`.
        """
        return find_fetches(self.url, key or request_key(method, url), feed, on_damaged)

    def latest(
        self, url: str, *, method: str = "GET", key: str | None = None, feed: str | None = None
    ) -> Latest | None:
        """The newest version of a URL, from the index alone; `read(fetch_id)` gives its body.

        See `fetches` for `key`. A 404 that came later does not show here.
        """
        return find_latest(key or request_key(method, url), feed)

    def verify(
        self, feed: str | None = None, *, advance: Callable[[int], None] | None = None
    ) -> Iterator[SegmentReport]:
        """Recompute every digest; see `raw_store.verification.verify`."""
        return verify(self, feed, advance=advance)

    def compact(
        self,
        feeds: Collection[str] | None = None,
        *,
        due_only: bool = False,
        grace: timedelta = GRACE,
        advance: Callable[[int], None] | None = None,
    ) -> Compacted:
        """Merge small segments; see `raw_store.compaction.compact`."""
        return compact(self.url, feeds, due_only=due_only, grace=grace, advance=advance)

    def reindex(self, *, advance: Callable[[int], None] | None = None) -> Reindexed:
        """Rebuild the index from the files alone; see `raw_store.upkeep.reindex`."""
        return reindex(self.url, advance=advance)

    def gc(self, *, grace: timedelta = GRACE, dry_run: bool = False) -> Collected:
        """Clear up after writers that were killed; see `raw_store.upkeep.gc`."""
        return gc(self.url, grace=grace, dry_run=dry_run)

    def _find(
        self, fetch_ids: Iterable[UUID], *, bodies: bool, on_damaged: OnDamaged | None
    ) -> dict[UUID, Payload]:
        ids = sorted(set(fetch_ids))
        if not ids:
            return {}
        found: dict[UUID, Payload] = {}
        damaged: list[tuple[SegmentCorrupt, list[UUID]]] = []
        spanning = Segment.objects.filter(first_fetch_id__lte=ids[-1], last_fetch_id__gte=ids[0])
        for segment in spanning.order_by("name"):
            within = _within(ids, segment)
            wanted = [str(fetch_id) for fetch_id in within if fetch_id not in found]
            if not wanted:
                continue
            try:
                rows = segments.read_rows(self.url, segment.path, wanted, bodies=bodies)
            except SegmentCorrupt as error:
                damaged.append((error, within))
                continue
            found.update((row.fetch_id, row) for row in rows)
        for reason, within in damaged:
            # What it held may have been archived again, by an import that repaired it.
            if all(fetch_id in found for fetch_id in within):
                continue
            if on_damaged is None:
                raise reason
            on_damaged(reason)
        return found


def _outside(segment: Segment, since: datetime | None, until: datetime | None) -> bool:
    if segment.first_fetched_at is None or segment.last_fetched_at is None:
        return True
    return (since is not None and segment.last_fetched_at < since) or (
        until is not None and segment.first_fetched_at >= until
    )


def _within(ids: list[UUID], segment: Segment) -> list[UUID]:
    """Those of the sorted ids that lie in the segment's range."""
    if segment.first_fetch_id is None or segment.last_fetch_id is None:
        return []
    return ids[bisect_left(ids, segment.first_fetch_id) : bisect_right(ids, segment.last_fetch_id)]


def _overlapping(every: Iterable[Segment]) -> set[str]:
    """The segments whose fetch ids may lie in another segment too."""
    by_first = sorted(
        (segment for segment in every if segment.first_fetch_id is not None),
        key=lambda segment: str(segment.first_fetch_id),
    )
    found: set[str] = set()
    furthest: Segment | None = None
    for segment in by_first:
        if furthest is not None and str(segment.first_fetch_id) <= str(furthest.last_fetch_id):
            found |= {segment.name, furthest.name}
        if furthest is None or str(segment.last_fetch_id) > str(furthest.last_fetch_id):
            furthest = segment
    return found
