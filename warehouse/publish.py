"""Publishing: one small file, `CURRENT`, names the build that is read.

It is replaced by a rename, so a reader finds either the old build or the new one. A build is
never changed and stays for a while after its successor, for whoever has it open.

    duckdb -readonly var/warehouse/$(cat var/warehouse/CURRENT)
"""

import fcntl
import logging
import os
import secrets
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Protocol

import duckdb
from django.conf import settings

POINTER = "CURRENT"
# Besides the current build, the newest ones are kept, and any that is just being made.
KEPT_BUILDS = 4
BUILD_GRACE_S = 60.0
# A replay may write copies for some time before a build names them.
COPY_GRACE_S = 3600.0
SPILL_GRACE_S = 86400.0
# struct flock: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = struct.Struct("hhqqi4x")

logger = logging.getLogger(__name__)


class _HasPath(Protocol):
    @property
    def path(self) -> Path: ...


def current_build(folder: Path | None = None) -> Path | None:
    """The published build's file, or None before the first one, or where the pointer is damaged."""
    folder = settings.WAREHOUSE_DIR if folder is None else folder
    assert folder is not None
    try:
        name = (folder / POINTER).read_text().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return folder / name


def publish(build: _HasPath) -> None:
    """Make a build the one that is read, then delete what no kept build needs."""
    path = build.path
    temporary = path.parent / f".{POINTER}.{secrets.token_hex(4)}.tmp"
    with temporary.open("w") as file:
        file.write(f"{path.name}\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path.parent / POINTER)
    sync_folder(path.parent)
    logger.info("build published name=%s", path.name)
    sweep(path.parent)


def sweep(folder: Path | None = None, *, only_current: bool = False) -> list[Path]:
    """Delete old builds, and the copies and rollup files that only they named; return them.

    With `only_current` all but the published build and what it names go at once, and all that was
    spilled. The caller holds the lock "load".
    """
    folder = Path(settings.WAREHOUSE_DIR) if folder is None else folder
    now = time.time()
    builds = sorted(folder.glob("*.duckdb"), reverse=True)
    current = current_build(folder)
    kept = {path for path in builds if path == current}
    if not only_current:
        kept |= {path for path in builds[:KEPT_BUILDS] if path.exists()}
        kept |= {path for path in builds if now - _changed_at(path) < BUILD_GRACE_S}
        # The file itself would stay readable; the copies that its views name would not.
        kept |= {path for path in builds if path not in kept and _is_read(path)}
    doomed = [path for path in builds if path not in kept]
    named = _files_named_by(kept, folder)
    if named is not None:
        doomed += [
            path
            for pattern in ("models/**/*.parquet", "rollups/**/*.parquet", ".*.tmp*")
            for path in folder.glob(pattern)
            if path.resolve() not in named
            and (only_current or now - _changed_at(path) > COPY_GRACE_S)
        ]
    for path in doomed:
        # Whoever has the file open goes on reading it.
        path.unlink(missing_ok=True)
    for left in folder.glob("spill/*"):
        # A connection removes its own; this is what a killed process left.
        if only_current or now - _changed_at(left) > SPILL_GRACE_S:
            shutil.rmtree(left, ignore_errors=True)
    return doomed


def spill_folder(folder: Path) -> Path:
    """A folder of its own for what a connection cannot hold in memory; two must not share one."""
    spill = folder / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    return spill / f"{os.getpid()}-{secrets.token_hex(4)}"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_read(build: Path) -> bool:
    """Whether another process has the build open: DuckDB locks what it reads, for reading.

    Only Linux is asked; elsewhere, and within this process, builds stay for `BUILD_GRACE_S`.
    """
    if not sys.platform.startswith("linux"):
        return False
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with build.open("rb+") as file:
            kind, *_ = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return False
    return bool(kind != fcntl.F_UNLCK)


def _files_named_by(builds: set[Path], folder: Path) -> set[Path] | None:
    """The Parquet files that the builds read, or None when one of them cannot tell."""
    named: set[Path] = set()
    with duckdb.connect(config={"threads": 1}) as connection:
        for position, build in enumerate(sorted(builds)):
            alias = f"build_{position}"
            escaped = str(build).replace("'", "''")
            try:
                connection.execute(f"ATTACH '{escaped}' AS {alias} (READ_ONLY)")
                copies = connection.execute(f"SELECT path FROM {alias}.build.copies").fetchall()
                exports = connection.execute(f"SELECT export FROM {alias}.build.rollups").fetchall()
            except duckdb.Error as error:
                logger.warning(
                    "build unreadable, keeping all copies name=%s error=%s", build.name, error
                )
                return None
            named |= {Path(path) for (path,) in copies}
            named |= {(folder / path).resolve() for (path,) in exports}
    return named


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
