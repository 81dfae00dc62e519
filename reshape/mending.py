"""Mending: derived files that cannot be read, or lack a part, are removed and so made anew.

Nothing that is derived waits for the disk, so after a power cut, or on a failing disk, a record
file may be there and hold a part, or nothing. Whoever trips over one comes here and tries again.
"""

import errno
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from .link_state import forget_state, state_path
from .parse import label_of
from .records import OUTCOMES, REJECTED, forget_records, parsed_segments, record_files
from .registry import transforms_of
from .room import is_of_full_disk
from .slices import remove_slices, slices_of
from .sql import quoted_name

logger = logging.getLogger(__name__)

READING_FAILED = (duckdb.Error, pa.ArrowInvalid, OSError)
"""What those raise who read such a file, and for other reasons, too."""


def says_unreadable(error: Exception) -> bool:
    """Whether an error may be that of a damaged file: Arrow's has no number of the system's."""
    if isinstance(error, OSError):
        return error.errno in (None, errno.EIO)
    return not (isinstance(error, duckdb.InterruptException) or is_of_full_disk(error))


def mend(source: str) -> bool:
    """Remove what was derived of a source and is damaged, short of tables and their copies; whether
    there was something."""
    damaged = sorted(_damaged(source))
    for what in damaged:
        logger.warning("removed, to be made anew: %s cannot be read, or lacks a part", what)
    return bool(damaged)


def _damaged(source: str) -> Iterator[str]:
    if not _is_sound_state(state_path(source)):
        forget_state(source)
        yield f"what was learned of {source}"
    root = Path(settings.RECORDS_DIR)
    for label in map(label_of, transforms_of(source)):
        for segment, files in slices_of(root, label):
            if not all(map(_is_sound, files)):
                remove_slices(root, segment, label)
                yield f"slices of {segment} by {label}"
        for name in sorted(parsed_segments(label)):
            if not _are_sound(label, name):
                forget_records(label, name)
                yield f"record files of {name} by {label}"


def _are_sound(label: str, name: str) -> bool:
    """Whether the record files of a segment are whole, and none is missing."""
    folders = {path.parent.name for path in Path(settings.RECORDS_DIR).glob(f"*/{label}")}
    files = {folder: record_files(folder, label, [name]) for folder in folders}
    every = [path for found in files.values() for path in found]
    if not all(map(_is_sound, every)):
        return False
    (outcomes,) = files[OUTCOMES]
    told = pc.sum(pq.read_table(outcomes, columns=["record_count"])["record_count"]).as_py() or 0
    return told <= _row_count(
        path for folder in files.keys() - {OUTCOMES, REJECTED} for path in files[folder]
    )


def _row_count(files: Iterable[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in files)


def _is_sound(path: Path) -> bool:
    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches():
                pass
    except FileNotFoundError:
        return True
    except (pa.ArrowInvalid, OSError):
        return False
    return True


def _is_sound_state(path: Path) -> bool:
    if not path.exists():
        return True
    try:
        with duckdb.connect(str(path), read_only=True) as state:
            for (table,) in state.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                state.execute(f"SELECT max(hash(t)) FROM {quoted_name(table)} AS t").fetchall()
    except duckdb.Error:
        return False
    return True
