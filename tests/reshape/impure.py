"""Transforms for the tests of purity: what each does beside reading its payload is in its name."""

import contextlib
import multiprocessing
import random
import socket
import sqlite3
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from tests.sample.models import Author


def _row(name="n"):
    yield Author.row(code="a", name=name)


def pure(payload):
    # Reading a file and importing a module are no acts upon the world.
    Path(__file__).read_text()
    import colorsys  # noqa: F401

    yield from _row(str(payload.fetched_at))


def connects(payload):
    socket.create_connection(("127.0.0.1", 9), timeout=0.1)
    yield from _row()


def resolves(payload):
    socket.getaddrinfo("localhost", 80)
    yield from _row()


def queries(payload):
    yield from _row(str(Author.objects.count()))


def opens_a_database(payload):
    sqlite3.connect(":memory:").close()
    yield from _row()


def starts_a_process(payload):
    subprocess.run(["true"], check=True)
    yield from _row()


def spawns_a_process(payload):
    multiprocessing.get_context("spawn").Process(target=print).start()
    yield from _row()


def has_a_thread_ask(payload):
    with ThreadPoolExecutor(1) as others:
        others.submit(socket.getaddrinfo, "localhost", 80).result()
    yield from _row()


def writes_a_file(payload):
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    yield from _row()


def hides_what_it_did(payload):
    with contextlib.suppress(Exception):
        socket.getaddrinfo("localhost", 80)
    yield from _row()


def reads_the_clock(payload):
    yield from _row(f"{datetime.now():%Y-%m-%d}")  # noqa: DTZ005 - that is what it is to do


def reads_the_time(payload):
    yield from _row(f"in week {int(time.time() // 604_800)}")


def reads_the_universal_time(payload):
    yield from _row(time.strftime("%Y-%m-%d", time.gmtime()))


def reads_the_clock_of_the_machine(payload):
    yield from _row(f"in week {int(time.clock_gettime(time.CLOCK_REALTIME) // 604_800)}")


def imports_the_clock_where_it_reads_it(payload):
    import datetime as clocks
    from datetime import UTC, date

    # What is made from it is what it is elsewhere.
    assert isinstance(clocks.datetime.fromisoformat("2026-01-01"), date)
    yield from _row(f"{clocks.datetime.now(UTC):%Y-%m-%d}")


def reads_the_local_time(payload):
    yield from _row(f"{datetime.fromtimestamp(0):%H}")  # noqa: DTZ006 - that is what it is to do


def throws_dice(payload):
    yield from _row(str(random.random()))


def iterates_over_a_set(payload):
    for code in {f"code {number}" for number in range(50)}:
        yield Author.row(code=code, name="n")
