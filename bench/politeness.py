"""`python -m bench.politeness`: a million simulated requests, and how many broke a limit (none).

Three shards ask hosts in virtual time, over one real SQLite database; they are killed and come
back. The judge (`tests/ingest/politeness/judge.py`) knows only the rules. Prints progress on
standard error and one JSON object; ends with status 1 where any limit was broken.
"""

import argparse
import json
import os
import sys
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        _prepare(home)
        found = _simulate(given.seed, given.requests)
    print(json.dumps(found, indent=1))
    if found["violations"]:
        sys.exit(1)


def _prepare(home: str) -> None:
    os.environ |= {
        "ROOTCELLAR_HOME": home,
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        # Virtual time waits for nobody: the database answers on the event loop's own thread.
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
    }
    import django
    from django.conf import settings
    from django.core.management import call_command

    # What is measured is not the disk.
    options = settings.DATABASES["default"]["OPTIONS"]
    options["init_command"] = "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;"
    django.setup()
    call_command("migrate", verbosity=0)


def _simulate(seed: int, requests: int) -> dict[str, object]:
    from tests.ingest.politeness import virtual_time
    from tests.ingest.politeness.simulation import make_world, simulate

    def progress(sent: int) -> None:
        if sent % 10_000 == 0:
            counted = sum(world.judge.violations.values())
            print(f"{sent:,} requests, {counted} violations", file=sys.stderr, flush=True)

    started = time.perf_counter()
    world = make_world(seed, requests)
    world.on_progress = progress
    virtual_time.run(simulate(world))
    return {
        "requests": world.judge.sent,
        "hosts": len(world.judge.rules),
        "pauses": world.judge.pauses,
        "restarts": world.restarts,
        "violations": dict(world.judge.violations),
        "examples": world.judge.examples,
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    main()
