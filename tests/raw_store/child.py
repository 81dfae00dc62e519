"""A process that writes to an archive, to be killed, raced or starved by a test.

    python -m tests.raw_store.child write ARCHIVE NAME COUNT   append and seal COUNT payloads
    python -m tests.raw_store.child killed ARCHIVE TIMES       fork writers, kill each, then gc
    python -m tests.raw_store.child starved ARCHIVE LIMIT      seal a file too large, then go on

Each prints one JSON line with what it did.
"""

import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import django
from django.core.management import call_command

FEED = "quakes.day"


def main(action: str, url: str, *arguments: str) -> None:
    django.setup()
    from raw_store.archive import Archive
    from tests.raw_store import conftest

    archive = Archive(url)
    actions: dict[str, Callable[..., object]] = {
        "write": write,
        "killed": killed,
        "starved": starved,
    }
    done = actions[action](archive, conftest.make_payload, *arguments)
    print(json.dumps(done))  # noqa: T201


def write(archive, make_payload, name: str, number: str):
    writer = archive.sync_writer(FEED)
    for n in range(int(number)):
        writer.append(make_payload(f"{name} {n}".encode(), minute=n, run=name))
        if n % 5 == 4:
            writer.seal()
    writer.seal()
    return {"acknowledged": writer.count}


def killed(archive, make_payload, times: str):
    """Fork a writer that tells which fetches are acknowledged; kill it at a random moment."""
    from django.db import connection

    call_command("migrate", verbosity=0)
    connection.close()
    acknowledged: list[str] = []
    chance = random.Random(7)
    for attempt in range(int(times)):
        reader, teller = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            seal_for_ever(archive, make_payload, attempt, teller)
        os.close(teller)
        with os.fdopen(reader) as told:
            if attempt % 3:
                # However slow the machine is, most are killed after a first acknowledgement.
                acknowledged.append(told.readline().strip())
            time.sleep(chance.uniform(0, 0.06))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            acknowledged += [line.strip() for line in told if line.endswith("\n")]

    indexed = scanned(archive)
    found = archive.gc(grace=timedelta(0))
    return {
        "acknowledged": acknowledged,
        "indexed": indexed,
        "after_gc": scanned(archive),
        "adopted": sum(info.row_count for info in found.adopted),
        "damaged": [str(error) for error in found.damaged],
        "problems": [problem for report in archive.verify() for problem in report.problems],
    }


def seal_for_ever(archive, make_payload, attempt: int, teller: int) -> None:
    writer = archive.sync_writer(FEED)
    for round_ in count():
        rows = [
            writer.append(make_payload(os.urandom(2_000), sequence=n, run=f"{attempt} {round_}"))
            for n in range(20)
        ]
        writer.seal()
        os.write(teller, "".join(f"{row.fetch_id}\n" for row in rows).encode())


def starved(archive, make_payload, limit: str):
    """Seal more than there is room for, then something that fits."""
    from raw_store.errors import SealFailed

    call_command("migrate", verbosity=0)
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    writer = archive.sync_writer(FEED)
    writer.append(make_payload(os.urandom(2_000_000)))
    message = ""
    try:
        writer.seal()
    except SealFailed as error:
        message = str(error)
    after_failure = scanned(archive)
    next_run = archive.append_all(FEED, [make_payload(b"fits", minute=1)])
    return {"message": message, "after_failure": after_failure, "next_run": next_run}


def scanned(archive) -> list[str]:
    return [str(payload.fetch_id) for payload in archive.scan()]


if __name__ == "__main__":
    main(*sys.argv[1:])
