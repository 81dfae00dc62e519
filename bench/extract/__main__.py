"""Measures extraction against other ways to fetch the same pages, in interleaved rounds.

make bench-extract                                  everything: about 25 minutes on two cores
make bench-extract ARGS="--rounds 1 --pages 2000"   quickly
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.archive.home import RESULTS, ROOT, temporary_folder

from . import lateness, origin

PEERS = ROOT / "build" / "peers" / "bin" / "python"
OURS = "rootcellar"
AGAIN = "rootcellar again"
QUICK = ("streams", "aiohttp", "aiohttp+archive", OURS, AGAIN)
SLOW = ("httpx_aiohttp", "httpx", "httpx+archive", "dlt_rest", "scrapy_cache")

Runs = dict[tuple[str, int], list[dict[str, Any]]]


def main() -> None:
    given = _arguments()
    program = origin.nginx()
    if program is None:
        sys.exit("nginx is not installed: `apt-get install nginx-light`, or name it: BENCH_NGINX=…")
    if not PEERS.exists():
        sys.exit("The peers are not installed: `make build/peers/.stamp`.")
    ways = [way for way in (*QUICK, *SLOW) if not given.only or way in given.only]
    runs: Runs = {}
    with (
        temporary_folder("extract") as folder,
        origin.serving(program, folder, given.pages) as address,
    ):
        for number in range(given.rounds):
            for at in range(len(ways)):
                way = ways[(at + number) % len(ways)]
                for concurrency in given.concurrency:
                    pages = min(given.pages, given.slow_pages if way in SLOW else given.pages)
                    told = _run(way, address, pages, concurrency, folder)
                    runs.setdefault((way, concurrency), []).append(told)
                    print(_line(way, concurrency, told), file=sys.stderr, flush=True)
        idle = asyncio.run(lateness.idle(5.0))
    table = _table(runs, idle)
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = {f"{way}@{concurrency}": told for (way, concurrency), told in runs.items()}
    (RESULTS / "extract.json").write_text(json.dumps({"runs": kept, "idle": idle}, indent=1))
    (RESULTS / "extract.md").write_text(table)
    print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.extract", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--slow-pages", type=int, default=1_500, help="of the slow ways")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--only", nargs="+", choices=(*QUICK, *SLOW))
    return parser.parse_args()


def _run(way: str, address: str, pages: int, concurrency: int, folder: Path) -> dict[str, Any]:
    """Run one way once, alone, and tell what it took."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        if way in (OURS, AGAIN):
            command = [sys.executable, "-m", "bench.extract.ours"]
        else:
            command = [str(PEERS), str(Path(__file__).with_name("rivals.py")), way]
        command += [address, str(pages), str(concurrency), home, *(["again"] * (way == AGAIN))]
        with tempfile.TemporaryFile() as out:
            environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, env=environment)
            begun = time.perf_counter()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            lines = out.read().decode().splitlines()
    if process.returncode:
        sys.exit(f"{way} at {concurrency} ended with {process.returncode}.")
    told: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line[:1] == "{"))
    return told | {
        "wall_s": wall,
        "pages_per_s": told["pages"] / told["work_s"],
        "cpu_ms_per_page": told["cpu_s"] * 1000 / told["pages"],
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
    }


def _line(way: str, concurrency: int, told: dict[str, Any]) -> str:
    return (
        f"{way}@{concurrency}: {told['pages_per_s']:,.0f} pages/s, "
        f"{told['cpu_ms_per_page']:.3f} ms CPU a page, {told['peak_mb']:.0f} MB, "
        f"late p99 {told.get('late_ms_p99', '-')} ms"
    )


def _table(runs: Runs, idle: dict[str, float]) -> str:
    lines = [
        "| way | at once | pages/s | CPU ms a page | peak MB | timer late, p99 ms "
        "| ours is so many times as fast | and takes so much of its CPU |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (way, concurrency), told in sorted(runs.items(), key=lambda item: item[0][1]):
        ours = runs.get((OURS, concurrency), [])
        pairs = list(zip(ours, told, strict=False))
        speed = [mine["pages_per_s"] / theirs["pages_per_s"] for mine, theirs in pairs]
        cpu = [mine["cpu_ms_per_page"] / theirs["cpu_ms_per_page"] for mine, theirs in pairs]
        late = [each["late_ms_p99"] for each in told if "late_ms_p99" in each]
        cells = [
            way,
            str(concurrency),
            f"{_median(told, 'pages_per_s'):,.0f}",
            f"{_median(told, 'cpu_ms_per_page'):.2f}",
            f"{_median(told, 'peak_mb'):.0f}",
            f"{statistics.median(late):.1f}" if late else "",
            f"{statistics.median(speed):.2f}" if speed else "",
            f"{statistics.median(cpu):.2f}" if cpu else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    lines.append(f"`{AGAIN}`: a second run; every page is answered with a 304.")
    lines.append(f"A timer in an idle process was {idle['late_ms_p99']} ms late (p99).")
    return "\n".join(lines) + "\n"


def _median(told: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(each[name] for each in told))


if __name__ == "__main__":
    main()
