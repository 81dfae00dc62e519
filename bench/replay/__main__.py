"""`python -m bench.replay`: rows per second from archive to table, against other ways to load them.

Everything takes about a quarter of an hour on two quiet cores, and ends with the table of what
must be shown: figure, aim, met or missed. Each way is a process of its own. Results:
build/bench/replay.json, and as tables build/bench/replay.md; a part that is run alone replaces its
own figures only.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.archive import machine

from . import home, report
from .rounds import against_each_other, run_child

Result = dict[str, Any]

HISTORIES = ("calfire", "pge-outages")
NEW_PAYLOADS = 100


def main() -> None:
    given = _arguments()
    home.RESULTS.mkdir(parents=True, exist_ok=True)
    results_file = home.RESULTS / "replay.json"
    measured: list[str] = []
    for name in given.only or PARTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        parts = PARTS[name](given)
        # Read now: another run may have measured another part meanwhile.
        known = json.loads(results_file.read_text()) if results_file.exists() else {}
        for part, figures in parts.items():
            known[part] = figures | {
                "command": f"python -m bench.replay --only {name}{_settings(given)}",
                "took_s": round(time.perf_counter() - started),
                "load_average": round(os.getloadavg()[1], 1),
                "machine": machine.describe(),
            }
            measured.append(part)
        results_file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        (home.RESULTS / "replay.md").write_text(report.tables(known), encoding="utf-8")
    known = json.loads(results_file.read_text())
    print(report.tables({name: known[name] for name in measured}))
    print(f"Kept in {results_file.relative_to(home.ROOT)} and replay.md beside it.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, metavar="PART", help=f"some of: {', '.join(PARTS)}"
    )
    parser.add_argument("--rounds", type=int, default=2, help="of the compared ways (2)")
    parser.add_argument(
        "--payloads", type=int, default=20_000, help="of sqlite and postgresql (20,000)"
    )
    parser.add_argument("--each", type=int, default=50, help="records in each of them (50)")
    parser.add_argument(
        "--million", type=int, default=1_000_000, help="payloads of large (1,000,000)"
    )
    return parser.parse_args()


def _settings(given: argparse.Namespace) -> str:
    """The options that differ from what they are when none is given."""
    usual = {"rounds": 2, "payloads": 20_000, "each": 50, "million": 1_000_000}
    return "".join(
        f" --{name} {getattr(given, name)}"
        for name, value in usual.items()
        if getattr(given, name) != value
    )


def _sqlite(given: argparse.Namespace) -> dict[str, Result]:
    return {"sqlite": against_each_other(given.payloads, given.each, given.rounds)}


def _postgresql(given: argparse.Namespace) -> dict[str, Result]:
    found = against_each_other(given.payloads, given.each, given.rounds, postgresql=True)
    return {"postgresql": found}


def _sql(given: argparse.Namespace) -> dict[str, Result]:
    options = {"count": given.payloads, "rounds": 2 * given.rounds + 1}
    with home.temporary_folder("replay-sql") as folder:
        return {"sql": run_child("sql.in_child", folder, options)}


def _large(given: argparse.Namespace) -> dict[str, Result]:
    """Nothing to do, and 100 new payloads, over the same archive: filling it takes longest."""
    archives: Result = {}
    for count in (given.million // 100, given.million):
        with home.temporary_folder("large") as folder:
            run_child("ours.fill", folder, {"count": count, "each": 1})
            first = run_child("ours.nothing", folder, {})
            again = [run_child("ours.nothing", folder, {}) for _ in range(given.rounds)]
            archives[str(count)] = run_child(
                "ours.incremental", folder, {"start": count, "more": NEW_PAYLOADS}
            )
    return {
        "nothing": {"payloads": given.million, "first": first, "again": again},
        "incremental": {"archives": archives},
    }


def _real(given: argparse.Namespace) -> dict[str, Result]:
    found: Result = {}
    for source in HISTORIES:
        with home.temporary_folder("real") as folder:
            found[source] = run_child("ours.history", folder, {"source": source})
    return {"real": {"histories": found}}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Result]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "large": _large,
    "real": _real,
    "sql": _sql,
}


if __name__ == "__main__":
    main()
