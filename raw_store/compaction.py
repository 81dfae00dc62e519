"""Compaction: many small segments become few large ones, ordered by request and time.

The promise: the rows of the archive are the same before, during and after, in whatever
process they are read. New segments are made durable and read back first. Then one database
transaction takes the old ones out of the index and puts the new ones in; a reader has listed
either. Whoever listed the old ones may still read them: a replaced file is hidden at once
(`durability.hide_file`), so that plain readers of the folder do not see rows twice, and deleted
after a grace period. Killed at any point, it leaves new files that are not in the index, which
`gc` removes because what they replace is there, or replaced files still to be hidden or deleted,
which the next run does.

`replace` is the core that erasing and retention use, too.
"""

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction

from . import followers, index
from .digests import iter_digests
from .durability import hidden_name, hide_file
from .errors import ArchiveError, SegmentCorrupt
from .files import delete_file
from .locks import RECORDS, exclusive, exclusive_if_free
from .models import LatestVersion, ReplacedSegment, Segment
from .regrouping import TARGET_BYTES, TARGET_ROWS, Advance, Changes, regroup
from .segments import SegmentInfo, iter_tables

logger = logging.getLogger(__name__)

GRACE = timedelta(hours=1)
"""How long a replaced file may still be read by who listed it before."""
LOCK = "compact"

BATCH_BYTES = 1 << 30
"""Of bodies, rewritten together: within a batch a recurring body is stored once."""
_DUE_FROM = 16
"""Segments of one size; so many are merged in the background."""
_SIZES = 8
"""Segments within this factor count as one size."""
_BATCH = 500


@dataclass(slots=True)
class Compacted:
    """What a compaction did."""

    replaced: list[Segment] = field(default_factory=list)
    written: list[SegmentInfo] = field(default_factory=list)
    damaged: list[SegmentCorrupt] = field(default_factory=list)
    """Segments that cannot be read; what would have been merged with them stayed as it was."""

    @property
    def bytes_before(self) -> int:
        return sum(segment.file_bytes for segment in self.replaced)

    @property
    def bytes_after(self) -> int:
        return sum(info.file_bytes for info in self.written)


def compact(
    url: str,
    feeds: Collection[str] | None = None,
    *,
    due_only: bool = False,
    grace: timedelta = GRACE,
    advance: Advance | None = None,
) -> Compacted:
    """Merge the small segments of each feed (of `feeds`, or all). Raises `SealFailed`.

    With `due_only` only where many of a size have gathered: what the server does in the
    background. `advance` is called with the number of payloads written.
    """
    done = Compacted()
    with exclusive(LOCK):
        # Who derives something for longer than the grace still reads the files it has listed.
        with exclusive_if_free(RECORDS) as is_unread:
            sweep_replaced(url, grace if is_unread else timedelta.max)
        for batch in plan(feeds, due_only=due_only):
            try:
                written = replace(url, batch, advance=advance)
            except SegmentCorrupt as error:
                logger.error("not compacted: %s", error)
                done.damaged.append(error)
                continue
            done.replaced += batch
            done.written += written
    return done


def plan(
    feeds: Collection[str] | None = None, *, due_only: bool = False
) -> Iterator[list[Segment]]:
    """The segments to be merged with one another, those of one feed in the order of time."""
    every = Segment.objects.order_by("feed", "first_fetched_at", "name")
    by_feed: dict[str, list[Segment]] = {}
    for segment in every if feeds is None else every.filter(feed__in=feeds):
        if not segment.clustered or _is_small(segment):
            by_feed.setdefault(segment.feed, []).append(segment)
    for segments in by_feed.values():
        groups = _of_a_size(segments) if due_only else [segments]
        for group in groups:
            for batch in _batches(group):
                if len(batch) > 1 or not batch[0].clustered:
                    yield batch


def _is_small(segment: Segment) -> bool:
    return segment.body_bytes < TARGET_BYTES // 2 and segment.row_count < TARGET_ROWS // 2


def _of_a_size(segments: Sequence[Segment]) -> list[list[Segment]]:
    """The segments by their size, where enough have gathered: each row is rewritten rarely."""
    by_size: dict[int, list[Segment]] = {}
    for segment in segments:
        share = max(segment.body_bytes * TARGET_ROWS // TARGET_BYTES, segment.row_count, 1)
        size = 0
        while share >= _SIZES:
            share, size = share // _SIZES, size + 1
        by_size.setdefault(size, []).append(segment)
    return [found for found in by_size.values() if len(found) >= _DUE_FROM]


def _batches(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    batch: list[Segment] = []
    rows = size = 0
    for segment in segments:
        is_full = rows + segment.row_count > TARGET_ROWS or size + segment.body_bytes > BATCH_BYTES
        if batch and is_full:
            yield batch
            batch, rows, size = [], 0, 0
        batch.append(segment)
        rows, size = rows + segment.row_count, size + segment.body_bytes
    if batch:
        yield batch


def replace(
    url: str,
    batch: Sequence[Segment],
    changes: Changes | None = None,
    *,
    in_transaction: Collection[index.InTransaction] = (),
    advance: Advance | None = None,
) -> list[SegmentInfo]:
    """Put new segments with the rows of `batch` in its place, changed as asked for.

    The caller holds the lock `LOCK`. Raises `SegmentCorrupt`, `SealFailed`; then nothing changed.
    """
    names = [segment.name for segment in batch]
    changes = changes or Changes()
    changes.protect = lambda fetch_ids: _named_elsewhere(url, batch, fetch_ids)
    written = regroup(
        url,
        [segment.path for segment in batch],
        replaces=names,
        scratch=Path(settings.ROOTCELLAR_HOME) / "scratch",
        changes=changes,
        advance=advance,
    )
    for info, _ in written:
        _prove(url, info)
    followers.regroup(names, {info.name: fetch_ids for info, fetch_ids in written})
    with transaction.atomic(durable=True):
        swap(names, [info for info, _ in written])
        for work in in_transaction:
            work()
    for segment in batch:
        hide_file(url, segment.path)
    logger.info(
        "compacted feed=%s segments=%d into=%d payloads=%d bytes=%d from=%d",
        batch[0].feed,
        len(batch),
        len(written),
        sum(info.row_count for info, _ in written),
        sum(info.file_bytes for info, _ in written),
        sum(segment.file_bytes for segment in batch),
    )
    return [info for info, _ in written]


def sweep_replaced(url: str, grace: timedelta = GRACE, *, dry_run: bool = False) -> list[str]:
    """Hide what a killed compaction left to be seen; delete replaced files after `grace`.

    Returns the paths deleted, or with `dry_run` those that would be.
    """
    deleted: list[ReplacedSegment] = []
    # The oldest first: a segment that was replaced twice must not outlive the one between.
    for replaced in ReplacedSegment.objects.order_by("replaced_at", "name"):
        if not dry_run:
            with contextlib.suppress(FileNotFoundError):
                hide_file(url, replaced.path)
        if datetime.now(UTC) - replaced.replaced_at >= grace:
            if not dry_run:
                for path in (replaced.path, hidden_name(replaced.path)):
                    with contextlib.suppress(FileNotFoundError):
                        delete_file(url, path)
            deleted.append(replaced)
    if not dry_run and deleted:
        names = [replaced.name for replaced in deleted]
        followers.forget(names)
        for start in range(0, len(names), _BATCH):
            ReplacedSegment.objects.filter(name__in=names[start : start + _BATCH]).delete()
    return [replaced.path for replaced in deleted]


def swap(names: Sequence[str], written: Sequence[SegmentInfo], *, may_miss: bool = False) -> None:
    """In the caller's transaction, take `names` out of the index and put the new segments in.

    Raises `ArchiveError` where one of `names` is not in it, unless it `may_miss`.
    """
    found = 0
    for start in range(0, len(names), _BATCH):
        batch = Segment.objects.filter(name__in=names[start : start + _BATCH])
        rows = list(batch.values_list("name", "path"))
        found += len(rows)
        note_replaced(rows)
        batch.delete()
    if found != len(names) and not may_miss:
        raise ArchiveError(
            f"{len(names) - found} of {len(names)} segments left the index while they were being "
            "replaced; nothing was changed. Run `manage.py archive gc`, then try again."
        )
    for info in written:
        index.record(info)


def note_replaced(segments: Iterable[tuple[str, str]]) -> None:
    """Note segments, by name and path, as replaced now; the caller's transaction commits it."""
    now = datetime.now(UTC)
    ReplacedSegment.objects.bulk_create(
        [ReplacedSegment(name=name, path=path, replaced_at=now) for name, path in segments],
        ignore_conflicts=True,
        batch_size=_BATCH,
    )


def _named_elsewhere(url: str, batch: Sequence[Segment], fetch_ids: Collection[str]) -> set[str]:
    """Those that a fetch outside of `batch`, or the next revisit, names as holder of its body."""
    wanted = sorted(fetch_ids)
    found: set[str] = set()
    feed = batch[0].feed
    for start in range(0, len(wanted), _BATCH):
        held = LatestVersion.objects.filter(
            feed=feed, payload_id__in=wanted[start : start + _BATCH]
        )
        found.update(map(str, held.values_list("payload_id", flat=True)))
    within = {segment.name for segment in batch}
    for segment in Segment.objects.filter(feed=feed):
        if segment.name in within:
            continue
        for table in iter_tables(url, segment.path, ["payload_id"]):
            found.update(set(fetch_ids).intersection(table["payload_id"].unique().to_pylist()))
    return found


def _prove(url: str, info: SegmentInfo) -> None:
    """Read a new segment back before the old ones go. Raises `SegmentCorrupt`."""
    count = 0
    for fetch_id, is_holder, said, found in iter_digests(url, info.path):
        count += 1
        if is_holder and found != said:
            raise SegmentCorrupt(
                f"Segment {info.path} was not put in place: the body of fetch {fetch_id} is not "
                "the one whose digest its row holds. The segments it was made of are untouched. "
                "`manage.py archive verify` says whether one of them is damaged."
            )
    if count != info.row_count:
        raise SegmentCorrupt(
            f"Segment {info.path} was written with {info.row_count} rows and reads back with "
            f"{count}. The segments it was made of are untouched."
        )
