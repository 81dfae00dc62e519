"""A crawl of a million pages by processes that are killed: what is lost, and what is repeated.

    python -m bench.frontier                                    everything: an hour or two
    python -m bench.frontier --pages 20000 --kills 2            quickly
    DATABASE_URL=postgres://… python -m bench.frontier --processes 2

It prints one JSON object, and writes it to build/bench/frontier.json. The site is a process of its
own on the loopback; what was asked for is counted there, what was archived is read from the
segments with pyarrow. Memory is what the crawling process says of itself, over its life.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.dataset

from bench.archive.home import RESULTS, ROOT, temporary_folder
from tests.ingest.frontier.site import Site


def main() -> None:
    given = _arguments()
    with temporary_folder("frontier") as home:
        told = asyncio.run(_measure(given, home))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "frontier.json").write_text(json.dumps(told, indent=1))
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    if told["missing"] or told["repeats"] > told["allowed_repeats"]:
        sys.exit("Pages are missing, or more were repeated than may be.")


async def _measure(given: argparse.Namespace, home: Path) -> dict[str, Any]:
    environment = os.environ | {
        "ROOTCELLAR_TEST_HOME": str(home),
        "ROOTCELLAR_TEST_HOME_OWNER": "main",
        "DJANGO_SETTINGS_MODULE": "tests.crash.settings",
        "LOG_LEVEL": "CRITICAL",
    }
    subprocess.run(  # noqa: ASYNC221 -- nothing else runs yet
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    dice, peaks, started = random.Random(given.seed), [], time.monotonic()
    load = os.getloadavg()[0]
    async with Site(given.pages, fan_out=20) as site:
        for number in range(1, given.kills + 1):
            workers = [await _start(given, site, environment) for _ in range(given.processes)]
            goal = given.pages * number // (given.kills + 1) + dice.randrange(given.concurrency)
            while len(site.asked) < goal and any(  # noqa: ASYNC110 -- or until processes end
                each.returncode is None for each in workers
            ):
                await asyncio.sleep(0.05)
            peaks.append(max(_peak_mb(worker.pid) for worker in workers))
            _say(f"kill {number}: {len(site.asked):,} pages asked for, {peaks[-1]} MB")
            for worker in workers:
                if worker.returncode is None:
                    worker.kill()
                await worker.wait()
        workers = [await _start(given, site, environment) for _ in range(given.processes)]
        ends = [json.loads((await worker.communicate())[0]) for worker in workers]
        seconds = time.monotonic() - started
        asked, total = len(site.asked), site.asked.total()
    archive = pyarrow.dataset.dataset(home / "archive", format="parquet")
    urls = pyarrow.compute.unique(archive.to_table(["url"])["url"])
    return {
        "pages": given.pages,
        "kills": given.kills,
        "processes": given.processes,
        "concurrency": given.concurrency,
        "at_risk": given.at_risk,
        "outcomes": [each["outcome"] for each in ends],
        "asked": asked,
        "archived": len(urls),
        "missing": given.pages - len(urls),
        "repeats": total - asked,
        "allowed_repeats": given.kills * given.processes * given.at_risk,
        "peak_mb": [*peaks, max(each["peak_mb"] for each in ends)],
        "seconds": round(seconds, 1),
        "pages_per_second": round(total / seconds),
        "database": os.environ.get("DATABASE_URL", "sqlite").partition(":")[0],
        "load_before": load,
        "seed": given.seed,
    }


async def _start(
    given: argparse.Namespace, site: Site, environment: dict[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.ingest.frontier.worker",
        site.url(),
        str(given.concurrency),
        str(given.at_risk),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )


def _peak_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0) // 1024


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--at-risk", type=int, default=64, help="pages a kill may repeat (64)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
