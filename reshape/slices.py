"""Slices: a large segment is parsed in parts, so that cores share it and a killed parse goes on.

    records/_slices/SEGMENT/TABLE/TRANSFORM@FINGERPRINT/FIRST-END.parquet
    records/_slices/SEGMENT/_outcomes/TRANSFORM@FINGERPRINT/FIRST-END.parquet

A slice is a run of row groups. Its files are written like a segment's, the outcomes last. Once
every slice of a segment is there they are joined to the segment's own files, and removed.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
from django.conf import settings

from raw_store.segments import body_bytes, opened

from .records import OUTCOMES, SLICES

SLICE_BYTES = 32 * 1024 * 1024
"""Bytes of bodies in a slice, about. A segment of more than two slices' worth is cut: those that a
run seals are as large as one, and joining costs something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some row groups of a segment, one after another."""

    first: int
    end: int
    """Not included."""
    payload_count: int
    body_bytes: int
    largest_bytes: int
    """Of the bodies in one row group: what is in memory at a time."""

    @property
    def name(self) -> str:
        return f"{self.first:05}-{self.end:05}"

    @property
    def groups(self) -> range:
        return range(self.first, self.end)


def is_large(body_bytes: int) -> bool:
    """Whether a segment with so many bytes of bodies is parsed in slices."""
    return body_bytes > 2 * SLICE_BYTES


def cut(url: str, path: str) -> Sequence[Slice]:
    """The slices of a segment; the same ones each time. Raises `SegmentCorrupt`."""
    return _cut(url, path, SLICE_BYTES)


@lru_cache(maxsize=1024)
def _cut(url: str, path: str, slice_bytes: int) -> Sequence[Slice]:
    with opened(url, path) as file:
        groups = [
            (file.metadata.row_group(group).num_rows, body_bytes(file, group, "body"))
            for group in range(file.num_row_groups)
        ]
    return tuple(cut_groups(groups, slice_bytes))


def cut_groups(groups: Sequence[tuple[int, int]], slice_bytes: int) -> list[Slice]:
    """Slices of row groups, each given as its rows and the bytes of its bodies."""
    found: list[Slice] = []
    first = 0
    for group, (_, size) in enumerate(groups):
        following = groups[group + 1][1] if group + 1 < len(groups) else 0
        taken = sum(size for _, size in groups[first : group + 1])
        if group + 1 == len(groups) or taken + following > slice_bytes:
            sizes = [size for _, size in groups[first : group + 1]]
            found.append(
                Slice(
                    first=first,
                    end=group + 1,
                    payload_count=sum(rows for rows, _ in groups[first : group + 1]),
                    body_bytes=sum(sizes),
                    largest_bytes=max(sizes),
                )
            )
            first = group + 1
    return found


def slices_dir(root: Path, segment: str) -> Path:
    """Where the slices of a segment lie, below the folder of record files."""
    return root / SLICES / segment


def parsed_slices(root: Path, segment: str, label: str) -> set[str]:
    """The names of the slices of `segment` that the transform `label` has parsed."""
    folder = slices_dir(root, segment) / OUTCOMES / label
    return {path.stem for path in folder.glob("*.parquet")}


def slices_of(root: Path, label: str) -> Iterator[tuple[str, list[Path]]]:
    """Segment → the files of its slices by the transform `label`."""
    for folder in sorted((root / SLICES).glob("*")):
        if files := sorted(folder.glob(f"*/{label}/*.parquet")):
            yield folder.name, files


def join(root: Path, segment: str, label: str, names: Sequence[str]) -> bool:
    """Make the segment's record files of those of its slices `names`, which are removed.

    Return False, having made none, where a slice is missing.
    """
    here = slices_dir(root, segment)
    made: list[tuple[Path, Path]] = []
    try:
        # The outcomes are read last and removed first: while they are there, so is all the rest.
        for folder in _folders(here, label):
            sources = [here / folder / label / f"{name}.parquet" for name in names]
            if folder != OUTCOMES:
                sources = [path for path in sources if path.exists()]
            if sources:
                final = root / folder / label / f"{segment}.parquet"
                temporary = final.with_name(f".{final.name}.{uuid4().hex}.tmp")
                made.append((temporary, final))
                _concatenate(sources, temporary)
        for temporary, final in made:
            temporary.replace(final)
    except FileNotFoundError:
        # Another process joined them, or an erasure took them away.
        return False
    finally:
        for temporary, _ in made:
            temporary.unlink(missing_ok=True)
    remove_slices(root, segment, label)
    return True


def remove_slices(root: Path, segment: str, label: str) -> None:
    """Remove what one transform made of a segment's slices."""
    here = slices_dir(root, segment)
    for folder in reversed(list(_folders(here, label))):
        # The folder itself stays: another process may be about to write into it.
        for path in (here / folder / label).glob("*.parquet"):
            path.unlink(missing_ok=True)


def forget_slices(segments: Collection[str] | None = None) -> None:
    """Remove the slices of these segments, or of all; what is then missing is parsed again."""
    root = Path(settings.RECORDS_DIR)
    for path in (root / SLICES).glob(f"*/{OUTCOMES}/*"):
        segment = path.parent.parent.name
        if segments is None or segment in segments:
            remove_slices(root, segment, path.name)


def sweep_slices(older_than_seconds: float = 86_400) -> None:
    """Remove the slices of segments that are parsed by now, and folders long empty."""
    root = Path(settings.RECORDS_DIR)
    for path in (root / SLICES).glob(f"*/{OUTCOMES}/*"):
        segment = path.parent.parent.name
        if (root / OUTCOMES / path.name / f"{segment}.parquet").exists():
            remove_slices(root, segment, path.name)
    for pattern in ("*/*/*", "*/*", "*"):
        for folder in (root / SLICES).glob(pattern):
            # Not empty, or gone already.
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > older_than_seconds:
                    folder.rmdir()


def _folders(here: Path, label: str) -> Iterator[str]:
    """The folders that hold slices of a transform, the outcomes last."""
    found = sorted(path.parent.name for path in here.glob(f"*/{label}"))
    yield from (folder for folder in found if folder != OUTCOMES)
    yield OUTCOMES


def _concatenate(files: Sequence[Path], into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(into, pq.read_schema(files[0]), compression="zstd") as writer:
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches():
                    writer.write_batch(batch)
