"""Keeping index and files in step: `reindex` from the files alone, `gc` after a crash."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction

from . import index
from .errors import SegmentCorrupt
from .files import GRACE, ArchiveFile, delete_file, list_files, read_infos
from .models import LatestVersion, Segment
from .payload import Payload
from .segments import SegmentInfo, iter_tables, to_payloads
from .versions import Latest, newest

Advance = Callable[[int], None]

_BATCH = 500
_JUDGED_COLUMNS = [
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
    """Temporary files of writers that were killed."""
    adopted: list[SegmentInfo] = field(default_factory=list)
    """Whole segments that a killed writer had not acknowledged yet."""
    damaged: list[SegmentCorrupt] = field(default_factory=list)
    """Unindexed segments that cannot be read; left where they are."""


def reindex(url: str, *, advance: Advance | None = None) -> Reindexed:
    """Rebuild the index from the segments' files alone.

    Segments sealed meanwhile stay. Damaged files are reported and left out.
    """
    before = dict(Segment.objects.values_list("name", "path"))
    files = [file for file in list_files(url) if file.is_segment]
    found = Reindexed()
    latest = _Latest()
    for info in read_infos(url, files):
        if isinstance(info, SegmentInfo):
            try:
                latest.add(_judged_rows(url, info.path))
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
            index.record(info)
        for segment in Segment.objects.all():
            if segment.name not in names:
                latest.add(_judged_rows(url, segment.path))
        LatestVersion.objects.all().delete()
        index.remember(latest.held())
    return found


def gc(url: str, *, grace: timedelta = GRACE, dry_run: bool = False) -> Collected:
    """Clear up after writers that were killed.

    Temporary files older than `grace` are removed: nothing in them was acknowledged. Whole
    segments older than `grace` that the index does not know hold real responses, so they are
    adopted into it. `dry_run` changes nothing.
    """
    found = Collected()
    leftover: list[ArchiveFile] = []
    files = list_files(url)
    known = set(Segment.objects.values_list("name", flat=True))
    for file in files:
        if not file.is_older_than(grace):
            continue
        if file.is_temporary:
            found.removed.append(file.path)
            if not dry_run:
                delete_file(url, file.path)
        elif file.is_segment and file.name not in known:
            leftover.append(file)
    for info in read_infos(url, leftover):
        try:
            if isinstance(info, SegmentCorrupt):
                raise info
            latest = newest(_judged_rows(url, info.path))
        except SegmentCorrupt as error:
            found.damaged.append(error)
            continue
        if not dry_run:
            index.commit(info, latest)
        found.adopted.append(info)
    return found


class _Latest:
    """The latest versions among rows of many segments, and which bodies those segments hold."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Latest]] = {}
        self._holders: set[int] = set()

    def add(self, rows: Iterable[Payload]) -> None:
        for row in rows:
            if row.payload_id == row.fetch_id:
                self._holders.add(row.fetch_id.int)
            newest([row], self._latest.setdefault(row.feed, {}))

    def held(self) -> Iterator[Latest]:
        """Those whose body is archived: a revisit may name no body that went with its file."""
        for by_request in self._latest.values():
            for latest in by_request.values():
                if latest.payload_id.int in self._holders:
                    yield latest


def _judged_rows(url: str, path: str) -> Iterator[Payload]:
    for table in iter_tables(url, path, _JUDGED_COLUMNS):
        yield from to_payloads(table)
