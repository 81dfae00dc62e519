"""The files of an archive, as they lie there: what the index should know, and what is left over."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from pyarrow import fs

from .durability import TEMPORARY_SUFFIX, open_folder
from .errors import SegmentCorrupt
from .segments import SegmentInfo, read_info

GRACE = timedelta(hours=1)
"""How long an unfinished or unindexed file may belong to a writer still at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """One file below the archive's address."""

    path: str
    size: int
    changed_at: datetime

    @property
    def name(self) -> str:
        """The segment's name, if it is one."""
        return PurePosixPath(self.path).name.removesuffix(".parquet")

    @property
    def is_segment(self) -> bool:
        return self.path.endswith(".parquet") and not PurePosixPath(self.path).name.startswith(".")

    @property
    def is_temporary(self) -> bool:
        return self.path.endswith(TEMPORARY_SUFFIX)

    def is_older_than(self, grace: timedelta) -> bool:
        return datetime.now(UTC) - self.changed_at >= grace


def list_files(url: str, feed: str | None = None) -> list[ArchiveFile]:
    """Every file of the archive, or of one feed, by path."""
    filesystem, root = open_folder(url)
    below = root if feed is None else f"{root}/source={feed.partition('.')[0]}/feed={feed}"
    selector = fs.FileSelector(below, recursive=True, allow_not_found=True)
    return sorted(
        (
            ArchiveFile(
                path=info.path.removeprefix(root).lstrip("/"),
                size=int(info.size),
                changed_at=info.mtime or datetime.now(UTC),
            )
            for info in filesystem.get_file_info(selector)
            if info.type == fs.FileType.File
        ),
        key=lambda file: file.path,
    )


def delete_file(url: str, path: str) -> None:
    """Remove one file."""
    filesystem, root = open_folder(url)
    filesystem.delete_file(f"{root}/{path}")


def read_infos(url: str, files: list[ArchiveFile]) -> Iterator[SegmentInfo | SegmentCorrupt]:
    """What each segment's footer says, or why it cannot be taken into the index."""
    taken: dict[str, str] = {}
    for file in files:
        try:
            info = read_info(url, file.path)
        except SegmentCorrupt as error:
            yield error
            continue
        if info.name != file.name:
            yield SegmentCorrupt(
                f"Segment {file.path} was sealed as {info.name}: it is a copy, or was renamed. "
                "Move the file out of the archive, or give it its name back."
            )
        elif info.name in taken:
            yield SegmentCorrupt(
                f"Segment {file.path} is a second copy of {taken[info.name]}. "
                "Move one of them out of the archive."
            )
        else:
            taken[info.name] = info.path
            yield info
