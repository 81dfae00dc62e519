"""`python -m bench.archive`: what the archive costs, against plain files, git, zstd and warcio.

Each part runs in a process of its own. Results: build/bench/archive.json, and as tables
build/bench/archive.md; a part that is run alone replaces its own figures only.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import home, machine, report

Options = Mapping[str, object]
Result = dict[str, Any]

SHAPES: dict[str, dict[str, int]] = {
    "distinct_urls": {"urls": 1_000_000, "fetches_each": 1},
    "repeated_urls": {"urls": 10_000, "fetches_each": 100},
}
HISTORIES = ("calfire", "pge-outages")


def main() -> None:
    given = _arguments()
    home.RESULTS.mkdir(parents=True, exist_ok=True)
    results_file = home.RESULTS / "archive.json"
    known = json.loads(results_file.read_text()) if results_file.exists() else {}
    for name in given.only or PARTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        part = PARTS[name](given)
        known[name] = part | {
            "command": " ".join(["python -m bench.archive --only", name, *_settings()]),
            "took_s": round(time.perf_counter() - started),
            "machine": machine.describe(),
        }
        results_file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        (home.RESULTS / "archive.md").write_text(report.tables(known), encoding="utf-8")
    print(report.tables({name: known[name] for name in given.only or PARTS}))
    print(f"Kept in {results_file.relative_to(home.ROOT)} and archive.md beside it.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.archive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, metavar="PART", help=f"some of: {', '.join(PARTS)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of the timed parts (5)")
    parser.add_argument(
        "--million", type=int, default=1_000_000, help="small payloads of memory and lookups"
    )
    parser.add_argument(
        "--aggressive-pge",
        action="store_true",
        help="git gc --aggressive on pge-outages too: 3 to 9 more minutes",
    )
    return parser.parse_args()


def _settings() -> list[str]:
    """The options this run was given, apart from which parts."""
    given = sys.argv[1:]
    start = next((place for place, word in enumerate(given) if word == "--only"), len(given))
    end = start + 1
    while end < len(given) and not given[end].startswith("--"):
        end += 1
    return given[:start] + given[end:]


def _sizes(given: argparse.Namespace) -> Result:
    def history(name: str) -> Result:
        aggressive = name != "pge-outages" or given.aggressive_pge
        return _child("sizes", {"history": name, "aggressive": aggressive})

    return _side_by_side(history, HISTORIES)


def _timed(part: str) -> Callable[[argparse.Namespace], Result]:
    return lambda given: _child(part, {"rounds": given.rounds})


def _million(given: argparse.Namespace) -> Result:
    """Archiving and scanning small payloads, and look-ups among them: one home for all three."""
    options = {
        name: shape | {"urls": shape["urls"] * given.million // 1_000_000}
        for name, shape in SHAPES.items()
    }
    with ExitStack() as kept:
        homes = {name: kept.enter_context(home.temporary_folder("million")) for name in SHAPES}

        def fill(name: str) -> Result:
            return {
                "archive": _child("memory.archive_small", options[name], homes[name]),
                "scan": _child("memory.scan_small", {}, homes[name]),
            }

        def ask(name: str) -> Result:
            found = {"lookups": _child("lookups", options[name], homes[name])}
            if found["lookups"]["compacted"]:
                found["scan_compacted"] = _child("memory.scan_small", {}, homes[name])
            return found

        filled = _side_by_side(fill, SHAPES)
        return {name: filled[name] | ask(name) for name in SHAPES}


def _side_by_side(work: Callable[[str], Result], names: Iterable[str]) -> Result:
    """What is counted in bytes, not in seconds, may share the machine."""
    chosen = list(names)
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        return dict(zip(chosen, pool.map(work, chosen), strict=True))


def _child(part: str, options: Options, folder: Path | None = None) -> Result:
    command = [
        sys.executable,
        "-m",
        "bench.archive.child",
        part,
        "--options",
        json.dumps(dict(options)),
    ]
    if folder:
        command += ["--home", str(folder)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=home.ROOT)
    if ran.returncode != 0:
        raise SystemExit(f"{part} failed (exit code {ran.returncode}); see above.")
    found: Result = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


PARTS: dict[str, Callable[[argparse.Namespace], Result]] = {
    "sizes": _sizes,
    "append": _timed("append"),
    "scan": _timed("scan"),
    "warc": _timed("warc"),
    "million": _million,
    "large_body": lambda given: _child("large_body", {}),
}


if __name__ == "__main__":
    main()
