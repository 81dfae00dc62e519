"""Keeping index and files in step: `reindex` from the files alone, `gc` after a crash."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from django.db import transaction

from . import compaction, index, uploads
from .errors import SegmentCorrupt
from .files import GRACE, ArchiveFile, delete_file, list_files, read_infos
from .locks import exclusive
from .models import LatestVersion, ReplacedSegment, Segment
from .payload import Payload
from .rows import to_payloads
from .segments import SegmentInfo, iter_tables
from .versions import Latest, newest

Advance = Callable[[int], None]

_BATCH = 500
JUDGED_COLUMNS = [
    "fetch_id",
    "run_id",
    "sequence",
    "feed",
    "url",
    "request_headers",
    "request_key",
    "status",
    "headers",
    "fetched_at",
    "body_digest",
    "payload_id",
    "truncated",
    "error",
]


@dataclass(slots=True)
class Reindexed:
    """What a reindex found."""

    segments: list[SegmentInfo] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    """Paths the index knew and that have no readable file any more."""
    damaged: list[SegmentCorrupt] = field(default_factory=list)


@dataclass(slots=True)
class Collected:
    """What a gc did, or with `dry_run` would do."""

    removed: list[str] = field(default_factory=list)
    """Temporary files, and partial uploads, of writers that were killed."""
    adopted: list[SegmentInfo] = field(default_factory=list)
    """Whole segments that a killed writer had not acknowledged yet."""
    damaged: list[SegmentCorrupt] = field(default_factory=list)
    """Unindexed segments that cannot be read; left where they are."""


def reindex(url: str, *, advance: Advance | None = None) -> Reindexed:
    """Rebuild the index from the segments' files alone.

    Segments sealed meanwhile stay. Damaged files are reported and left out. Files that a readable
    segment replaces are hidden, to be deleted by `gc`.
    """
    with exclusive(compaction.LOCK):
        return _reindex(url, advance)


def _reindex(url: str, advance: Advance | None) -> Reindexed:
    before = dict(Segment.objects.values_list("name", "path"))
    files = [file for file in list_files(url) if file.is_segment]
    found = Reindexed()
    latest = _Latest()
    prefixes: dict[str, bytes] = {}
    infos = list(read_infos(url, files))
    replaced = _replaced(info for info in infos if isinstance(info, SegmentInfo))
    for info in infos:
        if isinstance(info, SegmentInfo):
            if info.name in replaced:
                continue
            try:
                prefixes[info.name] = latest.add(_judged_rows(url, info.path))
            except SegmentCorrupt as error:
                info = error
        if isinstance(info, SegmentCorrupt):
            found.damaged.append(info)
            continue
        found.segments.append(info)
        if advance:
            advance(1)
    names = {info.name for info in found.segments}
    gone = sorted(before.keys() - names)
    found.forgotten = [before[name] for name in gone]
    with transaction.atomic(durable=True):
        for start in range(0, len(gone), _BATCH):
            Segment.objects.filter(name__in=gone[start : start + _BATCH]).delete()
        for info in found.segments:
            index.record(info, b"" if info.clustered else prefixes[info.name])
        for segment in Segment.objects.all():
            if segment.name not in names:
                latest.add(_judged_rows(url, segment.path))
        LatestVersion.objects.all().delete()
        index.remember(latest.held())
        compaction.note_replaced(
            (info.name, info.path)
            for info in infos
            if isinstance(info, SegmentInfo) and info.name in replaced
        )
    compaction.sweep_replaced(url)
    return found


def _replaced(infos: Iterable[SegmentInfo]) -> set[str]:
    """The names of the segments whose rows are in another of these."""
    return {name for info in infos for name in info.replaces}


def gc(url: str, *, grace: timedelta = GRACE, dry_run: bool = False) -> Collected:
    """Clear up after writers that were killed.

    Temporary files and partial uploads older than `grace` are removed: nothing in them was
    acknowledged. Whole segments older than `grace` that the index does not know hold real
    responses, so they are adopted into it. Those of a compaction that was not finished are removed
    again, for their rows are in other segments. Replaced files are deleted after the grace period.
    `dry_run` changes nothing.
    """
    with exclusive(compaction.LOCK):
        return collect(url, grace=grace, dry_run=dry_run)


def collect(url: str, *, grace: timedelta, dry_run: bool = False) -> Collected:
    """`gc` for a caller that holds the lock `compaction.LOCK`."""
    found = Collected()
    found.removed += compaction.sweep_replaced(url, grace, dry_run=dry_run)
    replaced = set(ReplacedSegment.objects.values_list("path", flat=True))
    leftover: list[ArchiveFile] = []
    files = list_files(url)
    known = set(Segment.objects.values_list("name", flat=True))
    visible = {file.path for file in files if file.is_segment}
    for file in files:
        if not file.is_older_than(grace):
            continue
        if file.is_temporary:
            found.removed.append(file.path)
            if not dry_run:
                delete_file(url, file.path)
        elif file.is_segment and file.name not in known and file.path not in replaced:
            leftover.append(file)
    found.removed += uploads.sweep(url, grace=grace, dry_run=dry_run)
    for info in read_infos(url, leftover):
        try:
            if isinstance(info, SegmentCorrupt):
                raise info
            rows = list(_judged_rows(url, info.path))
        except SegmentCorrupt as error:
            found.damaged.append(error)
            continue
        if info.replaces and _is_elsewhere(url, info, visible):
            found.removed.append(info.path)
            if not dry_run:
                delete_file(url, info.path)
            continue
        if not dry_run:
            index.commit(
                info,
                newest(rows),
                [partial(compaction.swap, info.replaces, [], may_miss=True)],
                prefixes=b""
                if info.clustered
                else index.key_prefixes(row.request_key for row in rows),
            )
        found.adopted.append(info)
    if not dry_run:
        compaction.sweep_replaced(url, grace)
    return found


def _is_elsewhere(url: str, info: SegmentInfo, visible: Collection[str]) -> bool:
    """Whether each row of a merged segment is also in a segment of the index whose file is visible.

    Asking whether the index knows what it replaces is not enough. Another compaction may have
    merged that since; and an index that was restored from a copy may know files that are gone.
    """
    if info.first_fetch_id is None or info.last_fetch_id is None:
        indexed = Segment.objects.values_list("name", "path")
        return {name for name, path in indexed if path in visible}.issuperset(info.replaces)
    missing: set[str] = set()
    for table in iter_tables(url, info.path, ["fetch_id"]):
        missing.update(table["fetch_id"].to_pylist())
    for segment in Segment.objects.filter(
        feed=info.feed,
        first_fetch_id__lte=info.last_fetch_id,
        last_fetch_id__gte=info.first_fetch_id,
    ):
        if missing and segment.path in visible:
            with contextlib.suppress(SegmentCorrupt):
                for table in iter_tables(url, segment.path, ["fetch_id"]):
                    missing.difference_update(table["fetch_id"].to_pylist())
    return not missing


class _Latest:
    """The latest versions among rows of many segments, and which bodies those segments hold."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Latest]] = {}
        self._holders: set[int] = set()

    def add(self, rows: Iterable[Payload]) -> bytes:
        """Take the rows of a segment in; return the prefixes of their request keys."""
        prefixes = bytearray()
        for row in rows:
            prefixes += index.key_prefix(row.request_key)
            if row.payload_id == row.fetch_id:
                self._holders.add(row.fetch_id.int)
            newest([row], self._latest.setdefault(row.feed, {}))
        return bytes(prefixes)

    def held(self) -> Iterator[Latest]:
        """Those whose body is archived: a revisit may name no body that went with its file."""
        for by_request in self._latest.values():
            for latest in by_request.values():
                if latest.payload_id.int in self._holders:
                    yield latest


def _judged_rows(url: str, path: str) -> Iterator[Payload]:
    for table in iter_tables(url, path, JUDGED_COLUMNS):
        yield from to_payloads(table)
