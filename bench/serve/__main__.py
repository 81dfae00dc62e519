"""`python -m bench.serve`: GraphQL over HTTP, against PostGraphile, strawberry-django and a floor.

1,000 items, 500 quests, 4,000 requirements; all of them in one question, and one item by its
id. Every server's answers are compared as data before they are timed. The servers are asked in
turn, round after round, so that a busy machine is busy for all; read the ratios.
Results: build/bench/serve.json, and as tables build/bench/serve.md.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from bench.archive import machine
from bench.archive.home import RESULTS, temporary_folder

from . import report
from .client import Client
from .data import ITEMS
from .targets import PEER, Target, running

Result = dict[str, Any]

TARGETS = [
    "PostGraphile 5, PostgreSQL",
    "rootcellar, PostgreSQL",
    "strawberry-django, PostgreSQL",
    "floor, PostgreSQL",
    "floor, SQLite",
    "rootcellar, SQLite",
    "strawberry-django, SQLite",
]
CLIENTS = (1, 8)


def main() -> None:
    given = _arguments()
    names = [name for name in TARGETS if not given.only or any(part in name for part in given.only)]
    if any("PostGraphile" in name for name in names) and not (PEER / "node_modules").exists():
        raise SystemExit(
            "PostGraphile is not installed. Run `make bench-serve`, which installs it."
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    with temporary_folder("serve") as home, running(home, names) as targets:
        _compare(targets)
        found: Result = {
            "all items": _measure(targets, given.rounds, None),
            "one item": _measure(targets, given.rounds * 10, 5),
        }
    found |= {
        "command": "python -m bench.serve " + " ".join(sys.argv[1:]),
        "load_average": round(os.getloadavg()[1], 1),
        "machine": machine.describe(),
    }
    (RESULTS / "serve.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    tables = report.tables(found)
    (RESULTS / "serve.md").write_text(tables, encoding="utf-8")
    print(tables)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=int, default=20, help="of all items; of one, 10 times (20)"
    )
    parser.add_argument("--only", nargs="+", default=[], help="parts of names of servers")
    return parser.parse_args()


def _compare(targets: Mapping[str, Target]) -> None:
    """Every server gives the same data, or the benchmark ends."""
    answers: dict[str, tuple[Any, ...]] = {}
    for name, target in targets.items():
        with Client(target.port) as client:
            everything = json.loads(client.ask(target.question(None)))["data"]["items"]
            ones = []
            for number in (1, 5, ITEMS):
                one = json.loads(client.ask(target.question(number)))["data"]
                one = one[target.questions.one_key]
                ones.append(one[0] if isinstance(one, list) else one)
        answers[name] = (_sorted(everything), [_sorted([one]) for one in ones])
    reference = next(iter(answers.values()))
    assert len(reference[0]) == ITEMS
    for name, answer in answers.items():
        if answer != reference:
            raise SystemExit(f"{name} gives other data than {next(iter(answers))}.")


def _sorted(items: list[Any]) -> list[Any]:
    for item in items:
        item["requiredFor"].sort(key=lambda link: json.dumps(link, sort_keys=True))
    return sorted(items, key=lambda item: int(item["id"]))


def _measure(targets: Mapping[str, Target], rounds: int, item: int | None) -> Result:
    return {
        f"{count} client{'s' if count > 1 else ''}": _interleaved(targets, rounds, item, count)
        for count in CLIENTS
    }


def _interleaved(
    targets: Mapping[str, Target], rounds: int, item: int | None, clients: int
) -> Result:
    # A turn is several questions of one, so that each server's caches are as warm as in use.
    batch = (1 if item is None else 5) * (1 if clients == 1 else 2)
    taken: dict[str, list[float]] = {name: [] for name in targets}
    walls = dict.fromkeys(targets, 0.0)
    computed = dict.fromkeys(targets, 0.0)
    names = list(targets)
    for number in range(-2, max(1, rounds // batch)):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            target = targets[name]
            before, begun = target.cpu_seconds(), time.perf_counter()
            times = _ask(target, item, clients, batch)
            if number < 0:
                continue  # warming up
            walls[name] += time.perf_counter() - begun
            computed[name] += target.cpu_seconds() - before
            taken[name] += times
    return {
        name: {
            "requests": len(times),
            "median_ms": statistics.median(times) * 1000,
            "p95_ms": sorted(times)[int(len(times) * 0.95) - 1] * 1000,
            "cpu_ms": computed[name] / len(times) * 1000,
            "per_second": len(times) / walls[name],
        }
        for name, times in taken.items()
    }


def _ask(target: Target, item: int | None, clients: int, batch: int) -> list[float]:
    times: list[float] = []

    def ask(client: Client, count: int) -> None:
        for number in range(count):
            question = target.question(None if item is None else item + number)
            begun = time.perf_counter()
            client.ask(question)
            times.append(time.perf_counter() - begun)

    opened = [Client(target.port) for _ in range(clients)]
    threads = [threading.Thread(target=ask, args=(client, batch)) for client in opened[1:]]
    for thread in threads:
        thread.start()
    ask(opened[0], batch)
    for thread in threads:
        thread.join()
    for client in opened:
        client.__exit__(None, None, None)
    return times


if __name__ == "__main__":
    main()
