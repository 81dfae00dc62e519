"""How a segment becomes durable.

The promise: when `write_file` returns, the whole file is on stable storage under its
final name; when it raises, nothing is under that name and no temporary file is left.
A reader never sees a part of a file. The payloads in it are *acknowledged* only once the
index row, and the watermark that belongs to them, are committed in one database
transaction afterwards (`raw_store.index.commit`); never before.

- A local folder: write to a hidden temporary name in the same folder, fsync, rename,
  fsync the folder (and the parents of folders just made).
- An S3 store (`s3://bucket/prefix?endpoint_override=…`): a store has no rename, but an object
  appears whole or not at all. The file is made in memory and put under its unique
  name in one upload; an upload that fails is removed.

A kill between the rename and the commit leaves a whole file that the index does not know:
`archive gc` adopts it. A kill before the rename leaves a temporary file: `archive gc` removes it.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow as pa
from pyarrow import fs

from .errors import ArchiveError, SealFailed

TEMPORARY_SUFFIX = ".tmp"


@lru_cache(maxsize=16)
def open_folder(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of an archive address, and the path of the archive in it."""
    if is_local(url):
        return fs.LocalFileSystem(), str(Path(url).absolute())
    try:
        filesystem, root = fs.FileSystem.from_uri(url)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise ArchiveError(f"ARCHIVE_URL {shown(url)!r} is no store's address: {error}") from None
    return filesystem, str(root).rstrip("/")


def is_local(url: str) -> bool:
    """Whether the archive is a folder of this machine. Raises `ArchiveError` for no address."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme != "s3":
        raise ArchiveError(
            f"ARCHIVE_URL {shown(url)!r} is neither a folder nor an s3://bucket/prefix address."
        )
    return not separator


def shown(url: str) -> str:
    """An archive's address as a message may show it: without the access key or options in it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if separator else url


def write_file(url: str, path: str, write: Callable[[BinaryIO | pa.NativeFile], None]) -> int:
    """Make `path` below `url` from what `write` writes, and return its size in bytes.

    Raises `SealFailed` when the disk is full or fails.
    """
    filesystem, root = open_folder(url)
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            return _write_local(Path(root), path, write)
        return _put(filesystem, f"{root}/{path}", write)
    except (OSError, pa.ArrowException) as error:
        raise SealFailed(
            f"Segment {PurePosixPath(path).stem} could not be written below {shown(url)}: "
            f"{_cause(error)} Its payloads are not acknowledged; the next run asks again."
        ) from error


def temporary_name(path: str) -> str:
    """Where a local file is written before its rename: hidden, and no `.parquet` to a reader."""
    final = PurePosixPath(path)
    return str(final.with_name(f".{final.name}{TEMPORARY_SUFFIX}"))


def _write_local(root: Path, path: str, write: Callable[[BinaryIO], None]) -> int:
    final, temporary = root / path, root / temporary_name(path)
    _make_folder(final.parent)
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.rename(temporary, final)
        _sync_folder(final.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        raise
    return size


def _make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, each durable in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(filesystem: fs.FileSystem, path: str, write: Callable[[pa.NativeFile], None]) -> int:
    sink = pa.BufferOutputStream()
    write(sink)
    whole = sink.getvalue()
    try:
        with filesystem.open_output_stream(path) as stream:
            stream.write(whole)
    except BaseException:
        # Closing the stream may have completed an upload of less than the whole.
        with contextlib.suppress(OSError):
            filesystem.delete_file(path)
        raise
    return int(whole.size)


def _cause(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free some space."
    if number == errno.EFBIG:
        return "the file would be larger than the system allows."
    if number == errno.EIO:
        return "the disk reports an input/output error. Look at the system's log."
    return f"{str(error).rstrip('.')}."
