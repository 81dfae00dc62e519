"""Does the store keep the promises that the archive rests on? Asked before anything is written.

A small file goes the whole way of a segment: it is made durable, seen in a listing, read back
byte for byte, a range of it too, deleted, and seen no more. That takes milliseconds on a disk, and
some ten requests on an S3 store. What is true but no reason to refuse, such as an archive
that lives in memory, is a warning.
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from . import uploads
from .durability import TEMPORARY_SUFFIX, is_local, open_folder, open_input, shown, write_file
from .errors import ArchiveError, SealFailed, StoreRefused
from .files import delete_file

logger = logging.getLogger(__name__)

LITTLE_SPACE = 1 << 30
"""Bytes free on the archive's disk below which it is worth a warning."""

_SIZE = 4096
_WARNED: dict[str, tuple[str, str]] = {
    "tmpfs": ("raw_store.W001", "in memory (tmpfs): a restart of the machine loses it"),
    "ramfs": ("raw_store.W001", "in memory (ramfs): a restart of the machine loses it"),
    "overlay": ("raw_store.W002", "in a container's own layer (overlay): it goes with the layer"),
}
_NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs")
_MEMORY_HINT = "Set ARCHIVE_URL to a folder on a disk."
_LAYER_HINT = "Mount a volume and set ARCHIVE_URL, or ROOTCELLAR_HOME, to a folder on it."
_NETWORK_HINT = "Use a local disk, or an S3 store."
_SPACE_HINT = "Free some space, or run `manage.py archive compact`."


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWarning:
    """Something true of a store that may surprise its operator later."""

    check_id: str
    text: str
    hint: str


@dataclass(slots=True)
class StoreReport:
    """What a store was asked, and how long each answer took."""

    address: str
    """As a message may show it."""
    steps: dict[str, float] = field(default_factory=dict)
    """Seconds by what was found to be so."""
    warnings: list[StoreWarning] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())


_checked: dict[str, StoreReport] = {}
_lock = threading.Lock()


def ensure_store(url: str) -> StoreReport:
    """What `check_store` found when this process first asked; a refusal is asked again."""
    with _lock:
        if url not in _checked:
            report = check_store(url)
            for warning in report.warnings:
                logger.warning("%s %s %s", warning.check_id, warning.text, warning.hint)
            _checked[url] = report
        return _checked[url]


def check_store(url: str) -> StoreReport:
    """Try out every promise. Raises `StoreRefused` naming the first one that is not kept."""
    report = StoreReport(shown(url))
    is_folder = is_local(url)
    # Its name is that of a temporary file: `archive gc` removes what a killed check leaves.
    path = f".check-{uuid4()}{TEMPORARY_SUFFIX}"
    content = os.urandom(_SIZE)

    def step(name: str, ask: Callable[[], object]) -> None:
        begun = time.perf_counter()
        try:
            ask()
        except StoreRefused:
            raise
        except (OSError, pa.ArrowException, ArchiveError) as error:
            raise _refused(url, name, error) from error
        report.steps[name] = time.perf_counter() - begun

    if not is_folder:
        step("the bucket is there", lambda: _find_bucket(url))
    step("a file can be made durable", lambda: write_file(url, path, lambda f: f.write(content)))
    try:
        step("a listing shows it", lambda: _expect_listed(url, path, True))
        step("it reads back byte for byte", lambda: _expect(_read(url, path) == content))
        step("a range of it too", lambda: _expect(_read(url, path, 100, 200) == content[100:300]))
    finally:
        step("it can be deleted", lambda: delete_file(url, path))
    step("no listing shows it any more", lambda: _expect_listed(url, path, False))
    report.warnings = disk_warnings(url) if is_folder else _store_warnings(url)
    return report


def disk_warnings(url: str) -> list[StoreWarning]:
    """What is worth knowing of the disk that an archive's folder is on, or will be."""
    folder = Path(url).absolute()
    while not folder.exists():
        folder = folder.parent
    found = []
    kind = file_system_of(folder)
    if kind in _WARNED:
        check_id, text = _WARNED[kind]
        hint = _LAYER_HINT if kind == "overlay" else _MEMORY_HINT
        found.append(
            StoreWarning(check_id=check_id, text=f"The archive {url} is {text}.", hint=hint)
        )
    elif kind in _NETWORKED:
        found.append(
            StoreWarning(
                check_id="raw_store.W003",
                text=f"The archive {url} is on a network file system ({kind}), which may call "
                "a file durable before it is.",
                hint=_NETWORK_HINT,
            )
        )
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SPACE:
        found.append(
            StoreWarning(
                check_id="raw_store.W004",
                text=f"The archive's disk has {free / 1e6:,.0f} MB left ({folder}).",
                hint=_SPACE_HINT,
            )
        )
    return found


def file_system_of(folder: Path) -> str:
    """The kind of file system a folder is on, as the system calls it; empty if it does not say.

    Source: proc_pid_mountinfo(5).
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return ""
    best, kind = "", ""
    place = str(folder.resolve())
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        # Spaces in a path are written as \040.
        point = left.split()[4].encode().decode("unicode_escape")
        is_above = place == point or place.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def _store_warnings(url: str) -> list[StoreWarning]:
    try:
        uploads.pending(url)
    except StoreRefused as error:
        return [
            StoreWarning(
                check_id="raw_store.W005",
                text="Partial uploads, which killed writers leave, cannot be swept.",
                hint=str(error),
            )
        ]
    return []


def _find_bucket(url: str) -> None:
    filesystem, root = open_folder(url)
    bucket = root.partition("/")[0]
    # Makes it where the address says `allow_bucket_creation=true`; else it must be there.
    filesystem.create_dir(bucket, recursive=False)


def _read(url: str, path: str, start: int = 0, size: int | None = None) -> bytes:
    with open_input(url, path) as file:
        file.seek(start)
        return bytes(file.read(size))


def _expect(kept: bool) -> None:
    if not kept:
        raise OSError("other bytes came back than were written")


def _expect_listed(url: str, path: str, expected: bool) -> None:
    filesystem, root = open_folder(url)
    listed = filesystem.get_file_info(fs.FileSelector(root, recursive=False))
    if any(info.base_name == path for info in listed) is not expected:
        raise OSError("it is not listed" if expected else "it is still listed")


def _refused(url: str, promise: str, error: Exception) -> StoreRefused:
    cause = error.__cause__ if isinstance(error, SealFailed) and error.__cause__ else error
    said = str(cause).rstrip(".")
    return StoreRefused(
        f"The store {shown(url)} does not keep a promise that the archive rests on: {promise}. "
        f"It says: {said}. {_next_step(url, said)}"
    )


def _next_step(url: str, said: str) -> str:
    if is_local(url):
        return "See that the folder exists, is on a disk with room, and may be written to."
    if any(word in said for word in ("ACCESS_DENIED", "ACCESS_KEY", "SIGNATURE", "InvalidAccess")):
        return (
            "Look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and at what that key may do: it "
            "needs to list the bucket and to get, put and delete objects below the prefix."
        )
    if any(word in said for word in ("NETWORK_CONNECTION", "curlCode", "resolve")):
        return "Is the store up, and are `endpoint_override` and `scheme` in ARCHIVE_URL right?"
    return "Compare ARCHIVE_URL with the store: the bucket, the region, the endpoint."
