"""`python -m bench.serve.exports`: 1,000,000 rows as CSV, JSON lines, Arrow and Parquet.

For each form the time to the first byte, to the last one, and the most memory that the server
held meanwhile. Results: build/bench/exports.json.
"""

import argparse
import http.client
import json
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from bench.archive import machine
from bench.archive.home import RESULTS, temporary_folder

from .targets import Target, running

FORMS = {
    "CSV": "text/csv",
    "JSON lines": "application/x-ndjson",
    "Arrow": "application/vnd.apache.arrow.stream",
    "Parquet": "application/vnd.apache.parquet",
}
QUESTION = json.dumps({"query": "{ items { id name image value } }"})
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 2000 UNION ALL SELECT i + 1 FROM n WHERE i < 2000 + ?)
INSERT INTO item (id, name, image, value, fetch_id)
SELECT i, 'item number ' || i, '/static/items/' || i || '.png', i % 9999,
       '00000000000000000000000000000001' FROM n LIMIT ?
"""


def main() -> None:
    rows = _rows()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with temporary_folder("exports") as home, running(home, ["rootcellar, SQLite"]) as targets:
        (target,) = targets.values()
        with sqlite3.connect(home / "sqlite" / "db.sqlite3") as database:
            database.execute(_FILL, (rows, rows))
        database.close()
        found: dict[str, Any] = {name: _measure(target, form) for name, form in FORMS.items()}
    found |= {
        "rows": rows,
        "load_average": round(os.getloadavg()[1], 1),
        "machine": machine.describe(),
    }
    (RESULTS / "exports.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


def _rows() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    found: int = parser.parse_args().rows
    return found


def _measure(target: Target, form: str) -> dict[str, float]:
    peak = _Peak(target.process.pid)
    with peak:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=600)
        begun = time.perf_counter()
        headers = {"Content-Type": "application/json", "Accept": form}
        connection.request("POST", "/graphql", QUESTION, headers)
        response = connection.getresponse()
        size = len(response.read(1))
        first = time.perf_counter() - begun
        while part := response.read(1 << 20):
            size += len(part)
        last = time.perf_counter() - begun
        connection.close()
    if response.status != 200:
        raise SystemExit(f"{form}: {response.status}")
    return {
        "first_byte_ms": round(first * 1000, 1),
        "seconds": round(last, 2),
        "megabytes": round(size / 1e6, 1),
        "resident_mb": round(peak.megabytes, 1),
    }


class _Peak:
    """The most memory that a process held, looked at twenty times a second."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.megabytes = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            line = next(x for x in self._path.read_text().splitlines() if x.startswith("VmRSS"))
            self.megabytes = max(self.megabytes, int(line.split()[1]) / 1024)


if __name__ == "__main__":
    main()
