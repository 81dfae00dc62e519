"""Look-ups over a million fetches: all versions of a URL, the latest of it, SQL over metadata."""

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from raw_store.archive import Archive

from . import clock
from .home import FEED, files_of
from .ours import compact
from .payloads import small_url

Result = dict[str, object]
_ASKED = 200


def measure(folder: Path, *, urls: int, fetches_each: int) -> Result:
    """Before and after compaction of the archive that `memory.archive_small` made in this home."""
    archive = Archive()
    result: Result = {"hot": _look_up(archive, urls, fetches_each) | _metadata(archive)}
    compact_s = compact(archive)
    return result | {
        "compact_s": round(compact_s, 1),
        "compacted": _look_up(archive, urls, fetches_each) | _metadata(archive),
    }


def _look_up(archive: Any, urls: int, fetches_each: int) -> Result:
    chosen = [small_url(number) for number in random.Random(3).sample(range(urls), _ASKED)]

    def all_fetches(url: str) -> None:
        found = list(archive.fetches(url))
        assert len(found) == fetches_each, (url, len(found))

    def latest(url: str) -> None:
        assert archive.latest(url) is not None, url

    return {
        "asked": _ASKED,
        "all_fetches_ms": _milliseconds(all_fetches, chosen),
        "latest_ms": _milliseconds(latest, chosen),
    }


def _milliseconds(look_up: Callable[[str], None], urls: list[str]) -> dict[str, float]:
    taken: list[float] = []
    for url in urls:
        started = time.perf_counter()
        look_up(url)
        taken.append((time.perf_counter() - started) * 1000)
    return {
        "first": round(taken[0], 2),
        "median": round(statistics.median(taken), 2),
        "p95": round(clock.percentile(taken, 0.95), 2),
        "max": round(max(taken), 2),
    }


_METADATA = """
SELECT date_trunc('hour', fetched_at)::VARCHAR AS hour, status, count(*) AS fetches,
       count(DISTINCT url) AS urls, sum(body_size) AS bytes, avg(elapsed_ms) AS elapsed_ms
FROM read_parquet(?, hive_partitioning = true)
WHERE feed = ?
GROUP BY ALL ORDER BY hour
"""
_COUNT = "SELECT status, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL"


def _metadata(archive: Archive) -> Result:
    """Seconds of two group-bys over every row, by DuckDB over the files as they lie."""
    files = [str(path) for path in files_of(Path(archive.url))]
    connection = duckdb.connect()
    result: Result = {"files": len(files)}
    for name, query, values in (
        ("count_by_status_s", _COUNT, [files]),
        ("group_by_hour_s", _METADATA, [files, FEED]),
    ):

        def ask(query: str = query, values: list[Any] = values) -> object:
            return connection.execute(query, values).fetchall()

        taken = [clock.seconds(ask) for _ in range(3)]
        result[name] = clock.median(taken)
    return result
