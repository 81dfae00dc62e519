"""How a segment becomes durable.

The promise: when `write_file` returns, the whole file is on stable storage under its
final name; when it raises, nothing is under that name and nothing half-made is left.
A reader never sees a part of a file, and no file is ever replaced by another. The payloads in
it are *acknowledged* only once the index row, and the watermark that belongs to them, are
committed in one database transaction afterwards (`raw_store.index.commit`); never before.

- A local folder, in this order: make the missing folders, each fsynced in its parent; write to a
  hidden temporary name in the same folder; fsync the file; rename; fsync the folder.
- An S3 store (`s3://bucket/prefix?endpoint_override=…`) has no rename, but an object appears
  whole or not at all. The file is made in an unnamed local one first, because a stream to a store
  that is closed early completes the object with what it has; then it is uploaded under its unique
  name, in one request when it is small, else in parts; then the store is asked for its size.

What a dying disk, network or process can leave, and who clears it up:

- Killed before the rename: a temporary file. Killed while uploading: a partial upload, which no
  reader sees. `archive gc` removes both.
- Killed between the rename and the commit: a whole file that the index does not know; `archive gc`
  adopts it. It is the same when this module had to raise (the folder's fsync failed after the
  rename, the store's answer was lost) and what it then removed comes back with the power, or
  could not be removed.

A failed fsync is never tried again: the system may have dropped the pages and would then say
that all is well (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

import pyarrow as pa
from pyarrow import fs

from . import uploads
from .errors import ArchiveError, SealFailed

TEMPORARY_SUFFIX = ".tmp"
REPLACED_SUFFIX = ".replaced"

_PART = 10 << 20
"""Bytes that are uploaded at once; a smaller file is one request."""

_durable: set[Path] = set()
"""Folders that this process knows to be durable in their parents."""


@lru_cache(maxsize=16)
def open_folder(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of an archive address, and the path of the archive in it."""
    if is_local(url):
        return fs.LocalFileSystem(), str(Path(url).absolute())
    try:
        # Without this option a small file is three requests, and a part of it visible as an upload.
        option = f"{'&' if '?' in url else '?'}allow_delayed_open=true"
        filesystem, root = fs.FileSystem.from_uri(f"{url}{option}")
    except (pa.ArrowException, ValueError, OSError) as error:
        # The message may quote the address, with the key in it.
        said = str(error).replace(f"{url}{option}", shown(url))
        raise ArchiveError(
            f"ARCHIVE_URL {shown(url)!r} is no store's address: {said}. The secret key belongs "
            "into AWS_SECRET_ACCESS_KEY; what stands in the address is percent-encoded."
        ) from None
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


def write_file(url: str, path: str, write: Callable[[BinaryIO], object]) -> int:
    """Make `path` below `url` from what `write` writes, and return its size in bytes.

    Raises `SealFailed` when the disk is full or fails.
    """
    filesystem, root = open_folder(url)
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            return _write_local(Path(root), path, write)
        return _write_object(url, filesystem, root, path, write)
    except (OSError, pa.ArrowException) as error:
        raise SealFailed(
            f"Segment {PurePosixPath(path).stem} could not be written below {shown(url)}: "
            f"{_cause(error, url)} Its payloads are not acknowledged; the next run asks again."
        ) from error


def temporary_name(path: str) -> str:
    """Where a local file is written before its rename: hidden, and no `.parquet` to a reader."""
    final = PurePosixPath(path)
    return str(final.with_name(f".{final.name}{TEMPORARY_SUFFIX}"))


def hidden_name(path: str) -> str:
    """Where a replaced local segment waits for its deletion: no listing shows it."""
    final = PurePosixPath(path)
    return str(final.with_name(f".{final.name}{REPLACED_SUFFIX}"))


def hide_file(url: str, path: str) -> None:
    """Take a replaced segment out of every listing; `open_input` still finds it.

    Done again, it changes nothing. Should a power cut undo the rename, it is done again by the next
    sweep. A store has no rename: there the object keeps its name until it is deleted. Raises
    `FileNotFoundError` when neither name is there.
    """
    filesystem, root = open_folder(url)
    if not isinstance(filesystem, fs.LocalFileSystem):
        return
    final, hidden = Path(root) / path, Path(root) / hidden_name(path)
    try:
        os.rename(final, hidden)
    except FileNotFoundError:
        if not hidden.exists():
            raise
        return
    _sync_folder(final.parent)


def open_input(url: str, path: str) -> pa.NativeFile:
    """A segment open for reading at random, under its own name or the one it is hidden by.

    Raises `FileNotFoundError` naming `path` when it is under neither.
    """
    filesystem, root = open_folder(url)
    try:
        return filesystem.open_input_file(f"{root}/{path}")
    except FileNotFoundError as error:
        if isinstance(filesystem, fs.LocalFileSystem):
            with contextlib.suppress(FileNotFoundError):
                return filesystem.open_input_file(f"{root}/{hidden_name(path)}")
        raise FileNotFoundError(
            errno.ENOENT, f"There is no file {path} below {shown(url)}"
        ) from error


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder and what is missing above it, each durable in its parent.

    A folder below `root` may be there without being durable yet: another process has just made
    it, or was killed after making it. So each is fsynced once by each process.
    """
    is_known = folder in _durable or not folder.is_relative_to(root)
    if folder == folder.parent or (is_known and folder.is_dir()):
        return
    make_folder(folder.parent, root)
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
    # Above the archive may be folders we may not read, hence not fsync; those are not ours.
    if folder != root or os.access(folder.parent, os.R_OK):
        _sync_folder(folder.parent)
    _durable.add(folder)


def _write_local(root: Path, path: str, write: Callable[[BinaryIO], object]) -> int:
    final, temporary = root / path, root / temporary_name(path)
    make_folder(final.parent, root)
    # Who holds the temporary name is alone with the final one: nobody else makes it meanwhile.
    made = [temporary]
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            made.clear()  # another writer's
            raise
        with open(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        if final.exists():
            raise FileExistsError(errno.EEXIST, "a file of that name is there already")
        made.append(final)
        os.rename(temporary, final)
        _sync_folder(final.parent)
    except BaseException:
        # What cannot be removed is a temporary or a whole file; `archive gc` knows both.
        for path_made in made:
            with contextlib.suppress(OSError):
                path_made.unlink(missing_ok=True)
        raise
    return size


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_object(
    url: str, filesystem: fs.FileSystem, root: str, path: str, write: Callable[[BinaryIO], object]
) -> int:
    with tempfile.SpooledTemporaryFile(max_size=_PART) as whole:
        write(cast(BinaryIO, whole))
        size = whole.seek(0, os.SEEK_END)
        whole.seek(0)
        try:
            # In a thread of its own: Ctrl-C waits for it, and ends no stream early.
            with ThreadPoolExecutor(1) as alone:
                alone.submit(_upload, url, filesystem, root, path, whole).result()
            stored = filesystem.get_file_info(f"{root}/{path}").size
            if stored != size:
                raise OSError(f"the store says that it holds {stored} of {size} bytes")
        except BaseException:
            # What a store that does not answer keeps is whole: `archive gc` adopts it.
            with contextlib.suppress(OSError):
                filesystem.delete_file(f"{root}/{path}")
            raise
    return size


def _upload(url: str, filesystem: fs.FileSystem, root: str, path: str, whole: IO[bytes]) -> None:
    stream = filesystem.open_output_stream(f"{root}/{path}", compression=None)
    try:
        while piece := whole.read(_PART):
            stream.write(piece)
            # Waits for the part to be there; otherwise all parts may be in memory at once.
            stream.flush()
        stream.close()
    except BaseException:
        # Closing the stream completes what was uploaded, unless its parts are gone by then.
        with contextlib.suppress(OSError, ArchiveError):
            uploads.abort(url, path)
        with contextlib.suppress(OSError):
            stream.close()
        raise


def _cause(error: Exception, url: str) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        folder = url if is_local(url) else tempfile.gettempdir()
        return f"the disk is full. Free some space in {folder}."
    if number == errno.EFBIG:
        return "the file would be larger than the system allows."
    if number == errno.EIO:
        return "the disk reports an input/output error. Look at the system's log."
    return f"{str(error).rstrip('.')}."
