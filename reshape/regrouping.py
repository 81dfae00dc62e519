"""Record files follow when segments are replaced by others that hold the same rows.

A record says what one payload says, whichever segment holds that, so the new segments'
record files are the old ones' rows, sorted out anew. Nothing is parsed again.
"""

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from raw_store import feeds
from raw_store.archive import Archive

from .link_state import forget_states
from .readings import present_reading, read_outcomes
from .records import BORROWED, OUTCOMES, forget_records, parsed_segments, record_files, unused
from .registry import transforms_of
from .slices import forget_slices
from .sql import duck
from .versions import find_current, find_versions

logger = logging.getLogger(__name__)

_UNREADABLE = (pa.ArrowInvalid, OSError)


class RecordFiles:
    """The follower of the archive (`raw_store.followers.Follower`)."""

    def regroup(self, replaced: Sequence[str], by: Mapping[str, pa.Array]) -> None:
        """Write the new segments' record files, for each transform that parsed all the old ones."""
        for label in _labels():
            if not parsed_segments(label) >= set(replaced):
                continue
            try:
                with unused(label):
                    for segment, fetch_ids in by.items():
                        kept = pa.array(fetch_ids.to_pylist(), pa.string())
                        for folder in _folders(label):
                            _regroup(folder, label, replaced, segment, kept)
            except _UNREADABLE as error:
                # The new segment is parsed.
                logger.warning("record files not regrouped label=%s error=%s", label, error)

    def forget(self, names: Sequence[str]) -> None:
        """Remove the record files of segments whose own files are gone."""
        forget_slices(names)
        for label in _labels():
            # The outcome first: without it a segment counts as not parsed.
            with unused(label):
                for folder in reversed(list(_folders(label))):
                    for path in record_files(folder, label, names):
                        path.unlink(missing_ok=True)

    def drop(self, fetch_ids: Collection[str]) -> None:
        """Rewrite every record file, of any state of a transform, that speaks of these fetches."""
        forget_slices()
        forget_states()
        gone = pa.array(sorted(fetch_ids), pa.string())
        for label in _labels():
            with unused(label):
                for folder in _folders(label):
                    for path in sorted((_root() / folder / label).glob("*.parquet")):
                        _drop(path, gone)

    def needed(self, feed: str) -> Collection[str]:
        """The current versions, as each transform of the feed has read them."""
        return needed_versions(feed, Archive())


def drop_earlier(label: str, fetch_ids: Collection[str], keep: Collection[str]) -> None:
    """Take these fetches out of the files of one transform, except of those named in `keep`."""
    gone = pa.array(sorted(fetch_ids), pa.string())
    for folder in _folders(label):
        for path in sorted((_root() / folder / label).glob("*.parquet")):
            if path.stem not in keep:
                _drop(path, gone)
                # A segment's file says that it is parsed, even where nothing is left in it.
                if path.stem.startswith(BORROWED) and not pq.read_metadata(path).num_rows:
                    path.unlink()


def _drop(path: Path, gone: pa.Array) -> None:
    try:
        _rewrite(path, gone)
    except _UNREADABLE as error:
        # It may hold what must go, and what else it holds can be made anew.
        logger.warning("record file unreadable, removed path=%s error=%s", path, error)
        forget_records(path.parent.name, path.stem)


def _rewrite(path: Path, gone: pa.Array) -> None:
    file = pq.ParquetFile(path)
    found = file.read(columns=["fetch_id"])["fetch_id"]
    if not pc.any(pc.is_in(found, gone)).as_py():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pq.ParquetWriter(temporary, file.schema_arrow, compression="zstd") as writer:
            for batch in file.iter_batches():
                kept = batch.filter(pc.invert(pc.is_in(batch["fetch_id"], gone)))
                if kept.num_rows:
                    writer.write_batch(kept)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _labels() -> list[str]:
    """Every transform, in every state of its code, that has parsed something."""
    return sorted(path.name for path in (_root() / OUTCOMES).glob("*@*"))


def _folders(label: str) -> Iterator[str]:
    """The folders that hold files of a transform, the outcomes last."""
    found = sorted(path.parent.name for path in _root().glob(f"*/{label}"))
    yield from (folder for folder in found if folder != OUTCOMES)
    yield OUTCOMES


def _regroup(
    folder: str, label: str, replaced: Sequence[str], segment: str, fetch_ids: pa.Array
) -> None:
    files = record_files(folder, label, replaced)
    if not files:
        return
    path = _root() / folder / label / f"{segment}.parquet"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pq.ParquetWriter(temporary, pq.read_schema(files[0]), compression="zstd") as writer:
            for file in files:
                for batch in pq.ParquetFile(file).iter_batches():
                    kept = batch.filter(pc.is_in(batch["fetch_id"], fetch_ids))
                    if kept.num_rows:
                        writer.write_batch(kept)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _root() -> Path:
    return Path(settings.RECORDS_DIR)


def needed_versions(feed_name: str, archive: Archive) -> set[str]:
    """The fetches that start a version which a transform of the feed takes as current.

    Where every version counts (`current="all"`) none is more needed than another.
    """
    transforms = [t for t in transforms_of(feed_name.partition(".")[0]) if t.feed == feed_name]
    if not transforms or feeds.get(feed_name).current == "all":
        return set()
    feed = feeds.get(feed_name)
    found: set[str] = set()
    with duck() as connection:
        find_versions(connection, archive, feed_name, None)
        for transform in transforms:
            read_outcomes(connection, present_reading(transform, archive))
            find_current(connection, feed, None)
            rows = connection.execute("SELECT fetch_id::VARCHAR FROM current").fetchall()
            found.update(fetch_id for (fetch_id,) in rows)
    return found
