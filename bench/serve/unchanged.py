"""`python -m bench.serve.unchanged`: what it costs to be told that an answer is as it was.

One server on SQLite and one on PostgreSQL, one client, one connection. All items are asked for
once; then the same question is asked with the tag of that answer, and each answer must be a 304
without a body. The processor's time of the server, its database included, for each of them, and
beside it that of the whole answer. Results: build/bench/unchanged.json.
"""

import argparse
import http.client
import json
import statistics
import time
from typing import Any

from bench.archive import machine
from bench.archive.home import RESULTS, temporary_folder

from .targets import Target, running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.serve.unchanged", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    parser.add_argument("--questions", type=int, default=500, help="in each round (500)")
    given = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    names = ["rootcellar, SQLite", "rootcellar, PostgreSQL"]
    with temporary_folder("unchanged") as home, running(home, names) as targets:
        found = {
            name: _measure(target, given.rounds, given.questions)
            for name, target in targets.items()
        }
    result = {**found, "machine": machine.describe()}
    (RESULTS / "unchanged.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("| server | CPU ms of a 304 (aim: below 1) | wall ms | CPU ms of the answer |")
    print("| --- | ---: | ---: | ---: |")
    for name, one in found.items():
        print(f"| {name} | {one['cpu_ms']:.2f} | {one['ms']:.2f} | {one['answer_cpu_ms']:.1f} |")


def _measure(target: Target, rounds: int, questions: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    question = target.question(None)
    body = json.dumps({"query": question.text, "variables": question.variables})
    headers = {"Content-Type": "application/json", "Accept": "application/json"}

    def ask() -> tuple[int, str, int]:
        connection.request("POST", "/graphql", body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("ETag", ""), len(response.read())

    for _ in range(20):
        _, tag, _ = ask()
    answered = _cpu_ms(target, lambda: ask()[0] == 200, 20)
    headers["If-None-Match"] = tag
    taken, spent = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        spent.append(_cpu_ms(target, lambda: ask() == (304, tag, 0), questions))
        taken.append((time.perf_counter() - began) * 1000 / questions)
    connection.close()
    return {
        "cpu_ms": statistics.median(spent),
        "ms": statistics.median(taken),
        "answer_cpu_ms": answered,
    }


def _cpu_ms(target: Target, ask: Any, questions: int) -> float:
    before = target.cpu_seconds()
    for _ in range(questions):
        assert ask()
    return (target.cpu_seconds() - before) * 1000 / questions


if __name__ == "__main__":
    main()
