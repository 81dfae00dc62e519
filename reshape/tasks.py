"""What there is to parse: each segment, or slice of one, with the transforms that lack it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from raw_store.errors import ArchiveError
from raw_store.models import Segment

from . import slices
from .fingerprint import fingerprint
from .records import parsed_segments
from .registry import Transform
from .slices import Slice
from .sql_transform import Select

if TYPE_CHECKING:
    from raw_store.archive import Archive

_MEMORY_PER_BYTE = 6
"""Bytes held per byte of the bodies in memory: read ahead, and as the objects made of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Parse one segment, or a slice of it, with some transforms."""

    archive_url: str
    records: Path
    """Where record files go."""
    segment: str
    path: str
    piece: Slice | None
    """The slice; None for the whole segment."""
    payload_count: int
    body_bytes: int
    transforms: tuple[Transform, ...]
    fingerprints: tuple[str, ...]

    @property
    def weight(self) -> int:
        # A row takes as long as so many bytes of a body.
        return self.body_bytes + 2_000 * self.payload_count

    @property
    def memory_bytes(self) -> int:
        return _MEMORY_PER_BYTE * (self.piece.largest_bytes if self.piece else self.body_bytes)

    @property
    def fills_cores(self) -> bool:
        # DuckDB's threads do; not where a SELECT must run in one.
        selects = [t.function for t in self.transforms if isinstance(t.function, Select)]
        return len(selects) == len(self.transforms) and all(each.keeps_order for each in selects)

    def __str__(self) -> str:
        names = ", ".join(transform.name for transform in self.transforms)
        where = f", row groups {self.piece.name}" if self.piece else ""
        return f"segment {self.path}{where}, with {names}"


def label_of(transform: Transform) -> str:
    """`NAME@FINGERPRINT`: the name of the transform's folder of record files."""
    return f"{transform.name}@{fingerprint(transform)}"


def tasks_of(transforms: list[Transform], archive: "Archive") -> Iterator[Task]:
    """Every task of a parse, the oldest payloads first; the slices that are done are left out."""
    root = Path(settings.RECORDS_DIR)
    for segment, wanted in segments_to_parse(transforms, archive):
        if not slices.is_large(segment.body_bytes):
            yield task_of(root, archive.url, segment, wanted, None)
            continue
        try:
            found = slices.cut(archive.url, segment.path)
        except ArchiveError:
            # The task meets the damage too, and reports it.
            yield task_of(root, archive.url, segment, wanted, None)
            continue
        done = {t.name: slices.parsed_slices(root, segment.name, label_of(t)) for t in wanted}
        for piece in found:
            if missing := tuple(t for t in wanted if piece.name not in done[t.name]):
                yield task_of(root, archive.url, segment, missing, piece)


def segments_to_parse(
    transforms: list[Transform], archive: "Archive"
) -> Iterator[tuple[Segment, tuple[Transform, ...]]]:
    """The segments that some transform has not parsed, with those transforms; oldest first."""
    parsed = {t.name: parsed_segments(label_of(t)) for t in transforms}
    feeds = {t.feed for t in transforms}
    segments = [s for s in archive.segments() if s.feed in feeds and s.row_count]
    for segment in sorted(segments, key=lambda s: (s.first_fetched_at or s.sealed_at, s.name)):
        wanted = tuple(
            t for t in transforms if t.feed == segment.feed and segment.name not in parsed[t.name]
        )
        if wanted:
            yield segment, wanted


def task_of(
    root: Path, url: str, segment: Segment, transforms: tuple[Transform, ...], piece: Slice | None
) -> Task:
    """The task of parsing a segment of the archive at `url`, or a slice of it."""
    return Task(
        archive_url=url,
        # A worker does not know the caller's settings.
        records=root,
        segment=segment.name,
        path=segment.path,
        piece=piece,
        payload_count=piece.payload_count if piece else segment.row_count,
        body_bytes=piece.body_bytes if piece else segment.body_bytes,
        transforms=transforms,
        fingerprints=tuple(fingerprint(t) for t in transforms),
    )
