"""Runs one part in this process, in a home of its own, and prints its result as one JSON object."""

import argparse
import importlib
import json
from pathlib import Path

from . import home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part")
    parser.add_argument("--home", type=Path, help="keep the home here")
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    if given.home:
        given.home.mkdir(parents=True, exist_ok=True)
        measure(given.part, given.home, given.options)
        return
    with home.temporary_folder(given.part.partition(".")[0]) as folder:
        measure(given.part, folder, given.options)


def measure(part: str, folder: Path, options: dict[str, object]) -> None:
    home.set_up(folder)
    module, _, function = part.partition(".")
    work = getattr(importlib.import_module(f"bench.archive.{module}"), function or "measure")
    print(json.dumps(work(folder, **options)))


if __name__ == "__main__":
    main()
