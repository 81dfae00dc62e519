"""`python -m bench.crash`: kill processes by the thousand, and count what was lost (nothing).

Each stage of `tests/crash` is killed its share of times, two stages at once. Prints progress on
standard error and one JSON object; ends with status 1 where any promise was broken.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.crash.stages import SHARES, STAGES

from .archive import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "bench"


def main() -> None:
    given = _arguments()
    started = time.monotonic()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    RESULTS.mkdir(parents=True, exist_ok=True)
    chosen = given.only or list(STAGES)
    shares = {name: SHARES[name] / sum(SHARES[each] for each in chosen) for name in chosen}
    with (
        tempfile.TemporaryDirectory(prefix="crash-", dir=RESULTS) as folder,
        ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        futures = [
            pool.submit(_run, name, max(1, round(given.kills * share)), f"{folder}/{name}", seed)
            for name, share in shares.items()
        ]
        reports = [_told(future) for future in as_completed(futures)]
    result = _total(reports) | {
        "seconds": round(time.monotonic() - started),
        "seed": seed,
        "command": "make bench-crash",
        "machine": machine.describe(),
        "stages": {report["stage"]: report for report in reports},
    }
    (RESULTS / "crash.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    if result["violations"]:
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=2_000, help="over all stages (2000)")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), metavar="STAGE")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="at once (2)")
    parser.add_argument("--seed", type=int, help="of the chosen steps; moments differ all the same")
    return parser.parse_args()


def _run(name: str, kills: int, folder: str, seed: int) -> dict[str, Any]:
    from tests.crash.harness import Report, run

    told = 0

    def progress(report: Report) -> None:
        nonlocal told
        if report.kills >= told + 25:
            told = report.kills
            said = f"{name}: {report.kills} of {kills} killed, {report.violations} violations"
            print(said, file=sys.stderr, flush=True)

    return asdict(run(STAGES[name], kills, Path(folder), seed=seed, progress=progress))


def _told(future: Future[dict[str, Any]]) -> dict[str, Any]:
    report = future.result()
    for said in report["said"]:
        print(f"{report['stage']}: {said}", file=sys.stderr, flush=True)
    return report


def _total(reports: list[dict[str, Any]]) -> dict[str, Any]:
    counted = ("kills", "trials", "homes", "acknowledged", "lost", "torn", "ahead", "other")
    totals: Counter[str] = Counter()
    for report in reports:
        totals.update({name: report[name] for name in counted})
    broken = sum(totals[name] for name in ("lost", "torn", "ahead", "other"))
    return {name: totals[name] for name in counted} | {"violations": broken}


if __name__ == "__main__":
    main()
