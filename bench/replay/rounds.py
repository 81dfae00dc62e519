"""The ways compared, in interleaved rounds, each way in a process and a home of its own."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import home, payloads

Result = dict[str, Any]

PEERS = home.ROOT / "build" / "peers" / "bin" / "python"
# Payloads that the slow ways are tried on, at most: their rate hardly depends on it.
_BULK, _ONE_BY_ONE, _DLT = 1_000, 40, 200
LOADS = ("first", "forced", "changed", "changed_alone", "nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to load the payloads, and on how many of them it is tried."""

    name: str
    payload_count: int
    run: Callable[[Path, Path, str], Result]
    """Given a new folder, the folder of plain files, and a DATABASE_URL (empty: SQLite)."""


def against_each_other(count: int, each: int, rounds: int, *, postgresql: bool = False) -> Result:
    """Every way in every round; rates, and how fast ours is against each of the others."""
    with ExitStack() as kept:
        folder = kept.enter_context(home.temporary_folder("replay"))
        template = folder / "template"
        run_child("ours.fill", template, {"count": count, "each": each})
        ways = _ways(count, each, template, sqlite=not postgresql)
        for size in {way.payload_count for way in ways}:
            _write_inputs(folder / f"inputs-{size}", size, each)
        new_database = kept.enter_context(_postgresql()) if postgresql else _no_database
        runs: dict[str, list[Result]] = {way.name: [] for way in ways}
        for number in range(rounds):
            turn = number % len(ways)
            for way in ways[turn:] + ways[:turn]:
                print(f"  round {number + 1}: {way.name}", file=sys.stderr, flush=True)
                at = Path(tempfile.mkdtemp(dir=folder))
                url = new_database()
                runs[way.name].append(way.run(at, folder / f"inputs-{way.payload_count}", url))
                shutil.rmtree(at)
    rows = {way.name: way.payload_count * each for way in ways}
    return {
        "rows": count * each,
        "rounds": rounds,
        "ways": {name: _summary(found, rows[name]) for name, found in runs.items()},
        "ours_against": {
            name: _ratios(runs["ours"], rows["ours"], found, rows[name])
            for name, found in runs.items()
            if name != "ours"
        },
    }


def _ways(count: int, each: int, template: Path, *, sqlite: bool) -> list[Way]:
    def ours(at: Path, _inputs: Path, url: str) -> Result:
        shutil.rmtree(at)
        shutil.copytree(template, at)
        return run_child("ours.first_again_changed", at, {"count": count, "each": each}, url)

    def rival(name: str, size: int) -> Way:
        def run(at: Path, inputs: Path, url: str) -> Result:
            options = {"inputs": str(inputs), "rows": size * each}
            return run_child(f"rivals.{name}", at, options, url)

        return Way(name=name, payload_count=size, run=run)

    def dlt(at: Path, inputs: Path, _url: str) -> Result:
        script = home.ROOT / "bench" / "replay" / "dlt_merge.py"
        return _last_line([str(PEERS), str(script), str(at), str(inputs)], "dlt", dict(os.environ))

    ways = [
        Way(name="ours", payload_count=count, run=ours),
        rival("floor", count),
        rival("django_bulk", max(1, min(_BULK, count // 10))),
        rival("django_one_by_one", max(1, min(_ONE_BY_ONE, count // 200))),
    ]
    if sqlite and PEERS.exists():
        ways.append(Way(name="dlt_merge", payload_count=max(1, min(_DLT, count // 50)), run=dlt))
    return ways


def _write_inputs(folder: Path, count: int, each: int) -> None:
    folder.mkdir()
    more = max(1, count // 100)
    payloads.write_bodies(folder / "pages.parquet", [(n, 0) for n in range(count)], each)
    payloads.write_bodies(
        folder / "pages-changed.parquet", [(n, int(n < more)) for n in range(count)], each
    )
    payloads.write_bodies(folder / "changes.parquet", [(n, 1) for n in range(more)], each)


def _summary(found: list[Result], rows: int) -> Result:
    """Medians: rows a second by the clock, and rows for each second of computing."""
    summed: Result = {"rows": rows}
    for load in LOADS:
        if load in found[0]:
            summed[load] = {
                "seconds": statistics.median(each[load]["seconds"] for each in found),
                "rows_per_s": round(
                    statistics.median(rows / each[load]["seconds"] for each in found)
                ),
                "rows_per_cpu_s": round(
                    statistics.median(rows / each[load]["cpu_s"] for each in found)
                ),
            }
    if "peak_mb" in found[0]:
        summed["peak_mb"] = max(each["peak_mb"] for each in found)
    return summed


def _ratios(ours: list[Result], our_rows: int, theirs: list[Result], their_rows: int) -> Result:
    """Median over the rounds of our rate against theirs, for loads of the same name."""
    share = our_rows / their_rows
    return {
        load: {
            measure: round(
                statistics.median(
                    share * their[load][measure] / our[load][measure]
                    for our, their in zip(ours, theirs, strict=True)
                ),
                2,
            )
            for measure in ("seconds", "cpu_s")
        }
        for load in ("first", "forced", "changed")
    }


def run_child(way: str, folder: Path, options: Result, url: str = "") -> Result:
    """One function of this package in a process of its own, on the home `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.replay.child", way, "--home", str(folder)]
    command += ["--options", json.dumps(options)]
    return _last_line(command, way, {**os.environ, "DATABASE_URL": url})


def _last_line(command: list[str], name: str, environment: dict[str, str]) -> Result:
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=home.ROOT, env=environment)
    if ran.returncode != 0:
        raise SystemExit(f"{name} failed (exit code {ran.returncode}); see above.")
    found: Result = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def _no_database() -> str:
    return ""


@contextmanager
def _postgresql() -> Iterator[Callable[[], str]]:
    """A server of its own; each call makes a new database there and gives its URL."""
    import psycopg

    from tests.topology.peers import postgres

    with postgres(is_durable=True) as url:
        made = 0

        def new_database() -> str:
            nonlocal made
            made += 1
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE bench_{made}")
            before, _, after = url.rpartition("/postgres")
            return f"{before}/bench_{made}{after}"

        yield new_database
