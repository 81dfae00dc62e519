"""What the archive is asked to do in more than one benchmark: import a history, compact."""

import time
from datetime import timedelta
from pathlib import Path

from raw_store import models
from raw_store.archive import Archive
from raw_store.importing import import_snapshots
from raw_store.snapshots import read_log

from .home import CORPUS, FEED


def log_of(history: str) -> Path:
    """The recorded history of one URL or two, as a snapshot log."""
    return CORPUS / history / "snapshots.jsonl.xz"


def import_history(archive: Archive, history: str) -> int:
    """Import a history as `archive import` does; return how many payloads it added."""
    return import_snapshots(archive, FEED, read_log(log_of(history))).added


def compact(archive: Archive) -> float:
    """Compact the archive; the seconds it took."""
    started = time.perf_counter()
    done = archive.compact([FEED], grace=timedelta(0))
    assert done.written
    assert not done.damaged
    return time.perf_counter() - started


def live_files(root: Path) -> list[Path]:
    """The files of the acknowledged segments."""
    return [root / path for path in models.Segment.objects.values_list("path", flat=True)]
