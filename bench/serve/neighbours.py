"""`python -m bench.serve.neighbours`: what hostile SQL costs those who ask GraphQL meanwhile.

One server on SQLite. Four clients ask for one item by its id, 25 times a second each, while
nothing else happens and while four others send SQL bombs to `/sql` as fast as they are
answered; calm and hostile spells alternate. Then an answer of a million rows is fetched in
each form: time until its first byte and in all, and the largest memory of the server and of
the SQL processes. Results: build/bench/neighbours.json, and as a table on standard output.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.archive import machine
from bench.archive.home import RESULTS, temporary_folder

from .client import Client
from .targets import Target, running

CLIENTS, A_SECOND, HOSTILE = 4, 25, 4
BOMBS = [
    "SELECT count(*) FROM range(1000000000) a, range(1000000000) b",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "SELECT list(range) FROM range(1000000000)",
    "SELECT rpad('x', 2000000000, 'y')",
    "SELECT string_agg(range::VARCHAR, ',') FROM range(1000000000)",
    "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
    "SELECT a.range FROM range(1000000000) a, range(1000000000) b ORDER BY hash(a.range, b.range)",
]
EXPORT = (
    "SELECT range AS n, md5(range::VARCHAR) AS digest, range / 7 AS ratio, "
    "TIMESTAMPTZ '2024-01-01' + to_seconds(range) AS at FROM range(1000000)"
)
FORMS = ("json", "jsonl", "csv", "arrow", "parquet")


def main() -> None:
    given = _arguments()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with temporary_folder("neighbours") as home, running(home, ["rootcellar, SQLite"]) as targets:
        (target,) = targets.values()
        found: dict[str, Any] = {"neighbours": _neighbours(target, given.rounds, given.seconds)}
        found["exports"] = _exports(target, given.exports)
        found["largest_server_mb"] = _peak_mb(target.process.pid)
    found |= {
        "command": "python -m bench.serve.neighbours " + " ".join(sys.argv[1:]),
        "load_average": round(os.getloadavg()[1], 1),
        "machine": machine.describe(),
    }
    (RESULTS / "neighbours.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(_tables(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.serve.neighbours",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="of a calm and a hostile spell (5)")
    parser.add_argument("--seconds", type=float, default=6, help="of each spell (6)")
    parser.add_argument("--exports", type=int, default=5, help="fetched in each form (5)")
    return parser.parse_args()


def _neighbours(target: Target, rounds: int, seconds: float) -> dict[str, Any]:
    taken: dict[str, list[float]] = {"calm": [], "hostile": []}
    ratios, bombs = [], 0
    _spell(target, 1, None)
    for _ in range(rounds):
        calm = _spell(target, seconds, None)
        answered: list[int] = []
        hostile = _spell(target, seconds, answered)
        taken["calm"] += calm
        taken["hostile"] += hostile
        ratios.append(_p95(hostile) / _p95(calm))
        bombs += len(answered)
    found: dict[str, Any] = {
        name: {"median_ms": statistics.median(times) * 1000, "p95_ms": _p95(times) * 1000}
        for name, times in taken.items()
    }
    return found | {"p95_ratio": statistics.median(ratios), "bombs_answered": bombs}


def _spell(target: Target, seconds: float, answered: list[int] | None) -> list[float]:
    """The times that the neighbours' questions take; hostile ones besides, if there is a list."""
    end = time.monotonic() + seconds
    times: list[float] = []
    threads = [threading.Thread(target=_ask, args=(target, n, end, times)) for n in range(CLIENTS)]
    if answered is not None:
        threads += [
            threading.Thread(target=_bomb, args=(target.port, n, end, answered))
            for n in range(HOSTILE)
        ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _ask(target: Target, number: int, end: float, times: list[float]) -> None:
    with Client(target.port) as client:
        due = time.monotonic() + number / (CLIENTS * A_SECOND)
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            client.ask(target.question(number + 1))
            # From when it was due: a server that is slow must not slow its measuring down.
            times.append(time.monotonic() - due)
            due += 1 / A_SECOND


def _bomb(port: int, number: int, end: float, answered: list[int]) -> None:
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        asked: dict[str, Any] = {"sql": BOMBS[number % len(BOMBS)], "timeout": 1, "rows": 10}
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/sql", json.dumps(asked), headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status == 200:
            raise SystemExit(f"A bomb was answered: {asked['sql'][:100]}")
        answered.append(response.status)
        number += 1


def _exports(target: Target, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    _export(target.port, "csv")
    for form in FORMS:
        for pid in _children(target.process.pid):
            # Forget the largest memory so far: bombs came before.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        figures = [_export(target.port, form) for _ in range(count)]
        found[form] = {
            "first_byte_ms": statistics.median(first for first, _, _ in figures) * 1000,
            "seconds": statistics.median(whole for _, whole, _ in figures),
            "mb": figures[0][2] / 1e6,
            "largest_process_mb": max(map(_peak_mb, _children(target.process.pid))),
        }
    return found


def _export(port: int, form: str) -> tuple[float, float, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    begun = time.perf_counter()
    connection.request("GET", f"/sql?{urlencode({'sql': EXPORT, 'format': form})}")
    response = connection.getresponse()
    size = len(response.read(1))
    first = time.perf_counter() - begun
    while piece := response.read(1 << 18):
        size += len(piece)
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{form}: {response.status}")
    return first, time.perf_counter() - begun, size


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95) - 1]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _tables(found: dict[str, Any]) -> str:
    near = found["neighbours"]
    lines = ["| neighbours | median ms | p95 ms |", "| --- | ---: | ---: |"]
    for name in ("calm", "hostile"):
        lines.append(f"| {name} | {near[name]['median_ms']:.1f} | {near[name]['p95_ms']:.1f} |")
    lines += [
        "",
        f"p95 hostile / calm: {near['p95_ratio']:.2f} (median of the rounds); "
        f"{near['bombs_answered']} bombs, none succeeded.",
        "",
        "| 1,000,000 rows as | first byte ms | seconds | MB | largest SQL process MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for form, figures in found["exports"].items():
        lines.append(
            f"| {form} | {figures['first_byte_ms']:.0f} | {figures['seconds']:.1f} | "
            f"{figures['mb']:.0f} | {figures['largest_process_mb']:.0f} |"
        )
    machine_ = found["machine"]
    lines += [
        "",
        f"The server's own largest memory: {found['largest_server_mb']:.0f} MB.",
        f"`{found['command']}` at revision {machine_['revision']}, {machine_['cores']} cores, "
        f"{machine_['processor']}, load average {found['load_average']}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
