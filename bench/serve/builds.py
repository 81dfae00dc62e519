"""`python -m bench.serve.builds`: readers of GraphQL and of the file while builds are published.

One process archives a page of quakes, more in each than in the one before, and refreshes: rows
and rollups are loaded, a build is published. Meanwhile clients ask one server for a model's count
and for the rollup's numbers in one operation, and another process reads both from the file that
CURRENT names, as any DuckDB client would. A failed answer, or one whose two numbers differ, is
counted. Results: build/bench/builds.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.archive import machine
from bench.archive.home import RESULTS, ROOT, temporary_folder
from tests.topology.peers import free_ports

from .client import Client, Question

QUESTION = Question(
    "{ quakesCount quakesDaily(pagination: {limit: 1000}) { day quakeCount magnitudeMax } }", {}
)

# Archives and loads `sys.argv[1]` pages, then says how long each refresh took.
_PUBLISH = """
import sys, json, time
import django; django.setup()
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from etl.walk import refresh
from raw_store.archive import Archive
from raw_store.ids import derived_id
from raw_store.payload import Payload, digest, request_key
START = datetime(2026, 1, 1, tzinfo=UTC)
URL = "http://quakes.example/day"
def feature(n):
    at = int(START.timestamp() * 1000) + n * 600_000
    return {"id": f"ci{n}", "geometry": {"coordinates": [1.0, 2.0, 3.0]}, "properties": {
        "net": "ci", "type": "earthquake", "status": "reviewed", "place": "x", "time": at,
        "updated": at, "mag": 1 + n % 5, "magType": "ml", "sig": 1, "felt": None, "cdi": None,
        "mmi": None, "alert": None, "tsunami": 0, "nst": 1, "dmin": 1.0, "gap": 1.0, "rms": 1.0}}
took, pages, step = [], int(sys.argv[1]), int(sys.argv[2])
archive = Archive()
for page in range(pages):
    features = [feature(n) for n in range((page + 1) * step)]
    body = json.dumps({"metadata": {"count": len(features)}, "features": features}).encode()
    at = START + timedelta(minutes=page)
    archive.append_all("quakes.day", [Payload(
        fetch_id=derived_id(at, "page"), run_id=uuid4(), sequence=0, feed="quakes.day", url=URL,
        request_key=request_key("GET", URL), status=200, fetched_at=at,
        content_type="application/json", body=body, body_digest=digest(body),
        body_size=len(body))])
    begun = time.perf_counter()
    refresh("quakes", archive=archive)
    took.append(time.perf_counter() - begun)
    print(json.dumps(took[-1]), flush=True)
"""
# Reads the published file over and over until a file `stop` is there; says what it saw.
_READ = """
import sys, pathlib, json, time, duckdb
folder = pathlib.Path(sys.argv[1])
seen, failures, mixed, took = set(), [], 0, []
while not (folder / "stop").exists():
    begun = time.perf_counter()
    try:
        path = folder / (folder / "CURRENT").read_text().strip()
        with duckdb.connect(str(path), read_only=True) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM quakes_quake").fetchone()
            (total,) = connection.execute("SELECT sum(quake_count) FROM quakes_daily").fetchone()
    except Exception as error:
        failures.append(str(error))
        continue
    took.append(time.perf_counter() - begun)
    mixed += rows != (total or 0)
    seen.add(path.name)
print(json.dumps({"failures": failures, "mixed": mixed, "builds": len(seen), "took": took}))
"""


def measure(home: Path, *, pages: int, step: int, clients: int) -> dict[str, Any]:
    """Publish that many builds under readers; return what they met, times in milliseconds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOTCELLAR_")}
    env = kept | {
        "ROOTCELLAR_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "DATABASE_URL": "",
        "ARCHIVE_URL": "",
        "SCHEDULER": "0",
    }
    _run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], env)
    publish = [sys.executable, "-c", _PUBLISH]
    # The first build is there before anybody asks.
    _run([*publish, "1", str(step)], env)
    warehouse = home / "warehouse"
    with _server(env, home) as port:
        stop = threading.Event()
        asked = [_Asking(port, stop) for _ in range(clients)]
        reader = subprocess.Popen(
            [sys.executable, "-c", _READ, str(warehouse)], stdout=subprocess.PIPE, text=True
        )
        for each in asked:
            each.thread.start()
        published = subprocess.run(
            [*publish, str(pages), str(step)],
            cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stop.set()
        (warehouse / "stop").touch()
        for each in asked:
            each.thread.join()
        told, _ = reader.communicate(timeout=60)
    files = json.loads(told)
    refreshes = [float(line) for line in published.stdout.splitlines()]
    took = [each for one in asked for each in one.took]
    return {
        "builds_published": len(refreshes),
        "refresh_ms": _times(refreshes),
        "graphql": {
            "answers": len(took),
            "failures": [each for one in asked for each in one.failures],
            "mixed": sum(one.mixed for one in asked),
            "states_seen": len(set().union(*(one.seen for one in asked))),
            "ms": _times(took),
        },
        "duckdb": {
            "answers": len(files["took"]),
            "failures": files["failures"],
            "mixed": files["mixed"],
            "builds_seen": files["builds"],
            "ms": _times(files["took"]),
        },
        "builds_left": len(list(warehouse.glob("*.duckdb"))),
    }


class _Asking:
    """One client that asks the same question until it is stopped."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        self.failures: list[str] = []
        self.mixed = 0
        self.seen: set[int] = set()
        self.took: list[float] = []
        self._port, self._stop = port, stop
        self.thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with Client(self._port) as client:
            while not self._stop.is_set():
                begun = time.perf_counter()
                try:
                    data = json.loads(client.ask(QUESTION))["data"]
                    total = sum(row["quakeCount"] for row in data["quakesDaily"])
                except (OSError, ValueError, TypeError, KeyError) as error:
                    self.failures.append(repr(error))
                    continue
                self.took.append(time.perf_counter() - begun)
                self.mixed += data["quakesCount"] != total
                self.seen.add(total)


@contextmanager
def _server(env: dict[str, str], home: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "etl.asgi:application", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with Client(port) as client:
                    client.ask(QUESTION)
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError((home / "server.log").read_text()) from None
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _run(command: list[str], env: dict[str, str]) -> None:
    subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)


def _times(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and longest, in milliseconds."""
    if len(seconds) < 2:
        return {}
    return {
        "median": round(statistics.median(seconds) * 1000, 2),
        "p99": round(statistics.quantiles(seconds, n=100)[98] * 1000, 2),
        "max": round(max(seconds) * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=30, help="builds to publish (30)")
    parser.add_argument("--step", type=int, default=500, help="rows that each adds (500)")
    parser.add_argument("--clients", type=int, default=4, help="clients of GraphQL (4)")
    given = parser.parse_args()
    before = os.getloadavg()[0]
    with temporary_folder("builds") as home:
        found = measure(home, pages=given.pages, step=given.step, clients=given.clients)
    found |= {"load_before": before, "machine": machine.describe()}
    (RESULTS / "builds.json").write_text(json.dumps(found, indent=2))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
