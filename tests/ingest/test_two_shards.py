"""Two real processes on one PostgreSQL, each with a shard, ask one host whose rate is limited."""

import asyncio
import os
import subprocess
import sys
import time

import psycopg
import pyarrow.dataset

from tests.topology.peers import Peer, postgres, wait_until

from .origin import Origin, response
from .shelf.extract import RATE

SPREAD = "feed = 'shelf.spread'"
RUNS = "SELECT id, feed, pid FROM ingest_run"
BOTH = f"SELECT count(DISTINCT pid) FROM ingest_run WHERE {SPREAD} AND outcome = 'complete'"
ALL = "SELECT count(DISTINCT feed) FROM ingest_run WHERE outcome = 'complete'"
DUE = f"SELECT next_run_of_shard FROM ingest_feedstatus WHERE {SPREAD}"


async def test_two_shards_never_ask_for_the_same_address_and_share_the_rate(tmp_path):
    times: list[float] = []

    async def answer(asked, writer):
        times.append(time.monotonic())
        writer.write(response(b"{}"))

    async with Origin() as origin:
        for number in range(4):
            for book in range(3):
                origin.answer(f"/{number}/{book}", answer)
        for book in range(12):
            origin.answer(f"/spread/{book}", response(b"{}"))
        with postgres() as database:
            runs, due = await asyncio.to_thread(two_shards, origin, database, tmp_path)

    owners: dict[str, set[int]] = {}
    for _, feed, pid in runs:
        owners.setdefault(feed, set()).add(pid)
    both = owners.pop("shelf.spread")
    assert len(owners) == 4
    assert all(len(pids) == 1 for pids in owners.values())
    assert set.union(*owners.values()) == both
    assert len(both) == 2

    pids_of: dict[str, set[int]] = {}
    process = {str(run): pid for run, _, pid in runs}
    rows = pyarrow.dataset.dataset(tmp_path / "archive", format="parquet").to_table(
        ["run_id", "url", "feed"]
    )
    for row in rows.to_pylist():
        if row["feed"] == "shelf.spread":
            pids_of.setdefault(row["url"], set()).add(process[row["run_id"]])
    assert len(pids_of) == 12
    assert all(len(pids) == 1 for pids in pids_of.values())
    assert set.union(*pids_of.values()) == both
    assert due.keys() == {"1/2", "2/2"}
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
        wait_until("both shards have run it", lambda: select(BOTH) == [(2,)], *shards)
        wait_until("every feed has run", lambda: select(ALL) == [(5,)], *shards)
        time.sleep(1)
    finally:
        for shard in shards:
            shard.stop()
    return select(RUNS), select(DUE)[0][0]
