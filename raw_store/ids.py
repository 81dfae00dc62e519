"""Ids that sort by time: UUID version 7 (RFC 9562, section 5.7).

A fetch id carries its own fetch time in milliseconds, so a fetch is found in
the archive by looking only into segments that cover that moment.
"""

import hashlib
import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id(at: datetime | None = None) -> UUID:
    """Return a fresh id; within one process, later calls without `at` give larger ids."""
    global _last
    if at is not None:
        return _assemble(_milliseconds(at), int.from_bytes(os.urandom(10), "big"))
    with _lock:
        # The 12 bits after the milliseconds hold the fraction of the millisecond.
        now = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = now
    return _assemble(now >> 12, (now & 0xFFF) << 68 | int.from_bytes(os.urandom(8), "big"))


def derived_id(at: datetime, *parts: str | bytes) -> UUID:
    """Return the id that `at` and `parts` always give: importing twice makes no second payload."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return _assemble(_milliseconds(at), int.from_bytes(digest.digest()[:10], "big"))


def id_time(fetch_id: UUID) -> datetime:
    """Return the moment an id carries, to the millisecond."""
    return datetime.fromtimestamp((fetch_id.int >> 80) / 1000, tz=UTC)


def _milliseconds(at: datetime) -> int:
    seconds = at.timestamp()
    return max(0, int(seconds * 1000))


def _assemble(milliseconds: int, low: int) -> UUID:
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80 | (low & ((1 << 80) - 1))
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return UUID(int=value)
