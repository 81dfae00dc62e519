"""A process that extracts one address and tells how much memory it took.

    python -m tests.ingest.large_body URL [--encoded]

Prints one JSON line. The extractor reads the body piece by piece, twice; then the segment is read.
"""

import asyncio
import hashlib
import json
import sys
import time
from pathlib import Path

import django

FEED = "orchard.large"


def run(url: str, keep_encoded: bool) -> dict[str, object]:
    """Extract the address, reading its body twice; then read the segment back."""
    from ingest import extractor
    from ingest.runs import run_feed
    from raw_store.archive import Archive

    seen: list[str] = []
    archive = Archive()

    @extractor(FEED, keep_encoded=keep_encoded, max_body=3_000_000_000)
    async def large(client):
        response = await client.get(url)
        found = hashlib.sha256()
        async for chunk in response.aiter_bytes():
            found.update(chunk)
        seen.append(found.hexdigest())
        found = hashlib.sha256()
        for chunk in response.iter_bytes():
            found.update(chunk)
        seen.append(found.hexdigest())

    started = time.perf_counter()
    done = asyncio.run(run_feed(FEED, archive))
    took = time.perf_counter() - started
    archiving = {"archive_seconds": round(took, 1), "archive_peak_mb": peak_mb()}
    started = time.perf_counter()
    stored = read_back(archive.url)
    return {
        "outcome": done.outcome,
        "error": done.error,
        "seen": seen,
        **archiving,
        **stored,
        "read_seconds": round(time.perf_counter() - started, 1),
        "peak_mb": peak_mb(),
    }


def read_back(archive: str) -> dict[str, object]:
    """What the one row of an archive says, and the digests of the bodies that lie there."""
    from django.conf import settings

    from raw_store import segments

    files = list(Path(archive).rglob("*.parquet"))
    spool = settings.ROOTCELLAR_HOME / "spool"
    (row,) = (
        row
        for file in files
        for row in segments.iter_payloads(archive, str(file.relative_to(archive)), spool=spool)
    )
    return {
        "file_bytes": sum(file.stat().st_size for file in files),
        "body_size": row.body_size,
        "body_digest": row.body_digest,
        "encoded_size": row.encoded_size,
        "encoded_digest": row.encoded_digest,
        "stored_digest": row.spooled_body and row.spooled_body.digest,
        "stored_encoded_digest": row.spooled_encoded and row.spooled_encoded.digest,
    }


def peak_mb() -> float:
    """The most this process ever held, in MB (10^6 bytes)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    django.setup()
    print(json.dumps(run(sys.argv[1], "--encoded" in sys.argv)))  # noqa: T201
