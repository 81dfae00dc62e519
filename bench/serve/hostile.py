"""`python -m bench.serve.hostile`: questions made to hurt, and what their neighbours notice.

Each is asked again and again for some seconds while a neighbour asks for one item. Told are
how long the hostile ones took at most, what they were told, and the neighbour's latency, calm
and meanwhile. The time limit is one second. Results: build/bench/hostile.json.
"""

import argparse
import http.client
import json
import os
import statistics
import threading
import time
from typing import Any

from bench.archive import machine
from bench.archive.home import RESULTS, temporary_folder

from .client import Client
from .targets import Target, running

LIMIT_S = 1.0


def hostile() -> dict[str, str]:
    """The documents, by what they try."""
    chain = " ".join(
        f"fragment F{n} on Item {{ requiredFor {{ item {{ ...F{n + 1} }} }} }}" for n in range(24)
    )
    deep = "{ items { " + "requiredFor { item { " * 25 + "id" + " } }" * 25 + " } }"
    return {
        "depth 50": deep,
        "depth 50 by fragments": "{ items { ...F0 } } " + chain + " fragment F24 on Item { id }",
        "10,000 aliases": "{" + " ".join(f"a{n}: itemsCount" for n in range(10_000)) + "}",
        "the same field 2,000 times": "{ items { " + "id " * 2_000 + "} }",
        "50,000 tokens": "{ items { " + "id " * 50_000 + "} }",
        "pages multiplied": "{ items(pagination: {limit: 1000}) { requiredFor(pagination: "
        "{limit: 1000}) { quest { requires(pagination: {limit: 1000}) { item { requiredFor"
        "(pagination: {limit: 1000}) { quest { requires(pagination: {limit: 1000}) "
        "{ quantity } } } } } } } } }",
        "the same list 90 times": "{"
        + " ".join(
            f'a{n}: items(filters: {{name: {{iContains: "{n}"}}}}, pagination: {{limit: 1000}})'
            " { id requiredFor { quest { text } } }"
            for n in range(90)
        )
        + "}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each kind")
    seconds = parser.parse_args().seconds
    os.environ["GRAPHQL_TIME_LIMIT"] = str(LIMIT_S)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with temporary_folder("hostile") as home, running(home, ["rootcellar, SQLite"]) as targets:
        (target,) = targets.values()
        found: dict[str, Any] = {"calm": {"neighbour": _neighbour(target, seconds)}}
        for name, text in hostile().items():
            found[name] = _attack(target, text, seconds)
    found |= {
        "time_limit_s": LIMIT_S,
        "load_average": round(os.getloadavg()[1], 1),
        "machine": machine.describe(),
    }
    (RESULTS / "hostile.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


def _attack(target: Target, text: str, seconds: float) -> dict[str, Any]:
    ended = threading.Event()
    taken: list[float] = []
    told: list[str] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)
        body = json.dumps({"query": text})
        while not ended.is_set():
            begun = time.perf_counter()
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            answer = connection.getresponse().read()
            taken.append(time.perf_counter() - begun)
            told.append(_told(answer))
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        neighbour = _neighbour(target, seconds)
    finally:
        ended.set()
        thread.join()
    return {
        "asked": len(taken),
        "longest_ms": round(max(taken) * 1000, 1),
        "told": told[-1],
        "neighbour": neighbour,
    }


def _told(body: bytes) -> str:
    errors = json.loads(body).get("errors")
    return str(errors[0]["message"])[:80] if errors else f"{len(body)} bytes"


def _neighbour(target: Target, seconds: float) -> dict[str, float]:
    taken: list[float] = []
    with Client(target.port) as client:
        until = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < until:
            client.ask(target.question(1 + len(taken) % 1_000))
            taken.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(taken, n=20)
    return {"p50_ms": round(statistics.median(taken), 2), "p95_ms": round(cuts[-1], 2)}


if __name__ == "__main__":
    main()
