"""Two real processes on one PostgreSQL, each with a shard, ask one host whose rate is limited."""

import asyncio
import os
import subprocess
import sys
import time

import psycopg

from tests.topology.peers import Peer, postgres, wait_until

from .origin import Origin, response
from .shelf.extract import RATE

RUNS = "SELECT DISTINCT feed, pid FROM ingest_run"
BOTH = "SELECT count(DISTINCT pid) FROM ingest_run WHERE outcome = 'complete'"
ALL = "SELECT count(DISTINCT feed) FROM ingest_run WHERE outcome = 'complete'"


async def test_two_shards_never_ask_for_the_same_address_and_share_the_rate(tmp_path):
    times: list[float] = []

    async def answer(asked, writer):
        times.append(time.monotonic())
        writer.write(response(b"{}"))

    async with Origin() as origin:
        for number in range(4):
            for book in range(3):
                origin.answer(f"/{number}/{book}", answer)
        with postgres() as database:
            runs = await asyncio.to_thread(two_shards, origin, database, tmp_path)

    owners: dict[str, set[int]] = {}
    for feed, pid in runs:
        owners.setdefault(feed, set()).add(pid)
    assert len(owners) == 4
    assert all(len(pids) == 1 for pids in owners.values())
    assert len(set.union(*owners.values())) == 2
    assert len(times) > 12
    assert len(times) <= (times[-1] - times[0]) * RATE + 2


def two_shards(origin, database, folder):
    def select(sql):
        with psycopg.connect(database) as connection:
            return connection.execute(sql).fetchall()

    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.ingest.shelf_settings",
        "DATABASE_URL": database,
        "ROOTCELLAR_TEST_HOME": str(folder),
        "SHELF_URL": origin.url("").rstrip("/"),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], env=env, check=True)
    shards = [
        Peer(
            f"shard-{index}",
            [sys.executable, "manage.py", "extract", "--watch", "--no-replay"],
            folder=folder,
            env=env | {"SHARD": f"{index}/2"},
        )
        for index in (1, 2)
    ]
    try:
        wait_until("both shards have run", lambda: select(BOTH) == [(2,)], *shards)
        wait_until("every feed has run", lambda: select(ALL) == [(4,)], *shards)
        time.sleep(1)
        return select(RUNS)
    finally:
        for shard in shards:
            shard.stop()
