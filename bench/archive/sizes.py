"""Sizes: one recorded history on disk, kept by the archive and in other ways.

The archive's bytes are whole files with every column; `zstd_long_19` and `gzip_each` hold bodies
alone and say nothing of what they are.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from raw_store.archive import Archive

from . import rivals
from .home import bytes_of, files_of
from .ours import compact, import_history, log_of

Result = dict[str, object]


def measure(folder: Path, *, history: str, aggressive: bool = True) -> Result:
    """Bytes of one history: `calfire` or `pge-outages`."""
    log = log_of(history)
    if not log.exists():
        return {"skipped": f"{log} is absent: no recorded histories beside the project"}
    result = _ours(folder / "archive", history)
    ways: dict[str, Callable[[Path, Path], int]] = {
        "gzip_each": rivals.gzip_each,
        "warc_gz": rivals.warc_gz,
        "jsonl_gz": rivals.jsonl_gz,
        "zstd_long_19": rivals.zstd_long,
        "git_repacked": rivals.git_repacked,
    }
    if aggressive:
        ways["git_aggressive"] = rivals.git_aggressive
    sizes: dict[str, int] = {}
    took: dict[str, float] = {}
    for name, way in ways.items():
        started = time.perf_counter()
        sizes[name] = way(folder, log)
        took[name] = round(time.perf_counter() - started, 1)
    return result | {"rivals": sizes, "rivals_s": took}


def _ours(root: Path, history: str) -> Result:
    archive = Archive(str(root))
    started = time.perf_counter()
    count = import_history(archive, history)
    import_s = time.perf_counter() - started
    result: Result = {"payloads": count, "import_s": round(import_s, 1), "hot": _bytes(root)}
    compact_s = compact(archive)
    return result | {"compact_s": round(compact_s, 1), "compacted": _bytes(root)}


def _bytes(root: Path) -> Result:
    files = files_of(root)
    bodies = raw = 0
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(column)
                if chunk.path_in_schema == "body":
                    bodies += chunk.total_compressed_size
                    raw += chunk.total_uncompressed_size
    return {
        "files": len(files),
        "bytes": bytes_of(files),
        "body_column_bytes": bodies,
        "body_column_raw_bytes": raw,
    }
