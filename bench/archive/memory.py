"""Memory: what this very process holds while it archives, then scans, a million small payloads.

`VmHWM` of /proc/self/status is the peak; `VmRSS` is sampled as payloads pass, to show a flat line.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from raw_store.archive import Archive
from raw_store.payload import Payload

from . import payloads
from .home import FEED, bytes_of
from .ours import live_files

Result = dict[str, object]
_SAMPLES = 40


def archive_small(folder: Path, *, urls: int, fetches_each: int) -> Result:
    """Archive `urls` x `fetches_each` payloads of about 500 bytes into this home."""
    total = urls * fetches_each
    resident: list[float] = []
    started = time.perf_counter()
    archive = Archive()
    archive.append_all(FEED, _sampled(payloads.small(urls, fetches_each), total, resident))
    took = time.perf_counter() - started
    return _result(total, took, resident) | {
        "segments": len(archive.segments()),
        "file_bytes": bytes_of(live_files(Path(archive.url))),
        "index_bytes": sum(path.stat().st_size for path in folder.glob("db.sqlite3*")),
    }


def scan_small(folder: Path) -> Result:
    """Scan all payloads of this home."""
    archive = Archive()
    total = sum(segment.row_count for segment in archive.segments())
    resident: list[float] = []
    started = time.perf_counter()
    count = sum(1 for _ in _sampled(archive.scan(FEED), total, resident))
    assert count == total, (count, total)
    return _result(total, time.perf_counter() - started, resident)


def _result(total: int, took: float, resident: list[float]) -> Result:
    quarter = len(resident) // 4
    return {
        "payloads": total,
        "seconds": round(took, 1),
        "payloads_per_s": round(total / took),
        "peak_mb": peak_mb(),
        "resident_mb": resident,
        "grown_mb": round(max(resident[-quarter:]) - max(resident[quarter : 2 * quarter]), 1),
    }


def _sampled(given: Iterable[Payload], total: int, resident: list[float]) -> Iterator[Payload]:
    """The same payloads; what the process holds is noted each fortieth of the way."""
    step = max(1, total // _SAMPLES)
    for number, payload in enumerate(given, start=1):
        yield payload
        if number % step == 0:
            resident.append(resident_mb())


def peak_mb() -> float:
    """The most this process ever held, in MB (10^6 bytes)."""
    return _status("VmHWM")


def resident_mb() -> float:
    return _status("VmRSS")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise SystemExit(f"/proc/self/status has no {name}; this benchmark needs Linux.")
