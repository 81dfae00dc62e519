"""Runs one way in this process, in a home of its own, and prints its result as one JSON object."""

import argparse
import importlib
import json
import os
from pathlib import Path

from . import home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", help="MODULE.FUNCTION of bench.replay")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    home.set_up(given.home, database_url=os.environ.get("DATABASE_URL", ""))
    module, _, function = given.way.partition(".")
    work = getattr(importlib.import_module(f"bench.replay.{module}"), function)
    print(json.dumps(work(given.home, **given.options)))


if __name__ == "__main__":
    main()
