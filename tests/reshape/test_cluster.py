"""Parsing on a cluster: a real scheduler, two real workers, one of them killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from etl.walk import refresh
from raw_store.archive import Archive
from reshape import cluster, executors, worker
from reshape.errors import ClusterUnusable
from tests.making import make_payload
from tests.reshape.exploding import Charge, explode
from tests.sample.models import Author
from tests.topology.peers import free_ports

ROOT = Path(__file__).resolve().parents[2]
SEGMENTS = 40
AUTHORS = 40

pytestmark = pytest.mark.django_db(transaction=True)


class Processes:
    """Programs of the test, in an environment of their own; all are killed at its end."""

    def __init__(self, home):
        self.started = []
        self.home = home
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "ROOTCELLAR_APPS": "tests.sample",
            "ROOTCELLAR_HOME": str(home / "shared"),
            "ARCHIVE_URL": str(home / "archive"),
            "LOG_LEVEL": "INFO",
        }
        self.env.pop("DATABASE_URL", None)

    def start(self, name, *arguments, **env):
        with (self.home / f"{name}.log").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, arguments)],
                cwd=ROOT,
                env={**self.env, **env},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def kill_all(self):
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def processes(home):
    found = Processes(home)
    yield found
    found.kill_all()


def said(home):
    """What the replay printed and logged."""
    return (home / "replay.log").read_text()


def fill(archive):
    for number in range(SEGMENTS):
        authors = [
            {"code": f"a{row}", "name": f"name {number} of {row}"}
            for row in range(number, number + AUTHORS)
        ]
        payload = make_payload(
            "sample.pages", {"authors": authors}, url=f"http://library.example/{number}"
        )
        archive.append_all("sample.pages", [payload])


def test_a_killed_worker_changes_no_row_and_writes_nothing_twice(home, processes):
    (port,) = free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    processes.start(
        "scheduler", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port,
        "--no-dashboard", "--no-jupyter",
    )  # fmt: skip
    doomed, _ = (
        processes.start(
            f"worker{number}", "distributed.cli.dask_worker", address, "--nthreads", "1",
            "--no-nanny", "--no-dashboard", "--local-directory", home / f"scratch{number}",
        )
        for number in (1, 2)
    )  # fmt: skip
    fill(Archive())
    replay = processes.start(
        "replay", "tests.corpus.measured", "migrate", "-v0", ";", "archive", "reindex", ";",
        "replay", "sample", "--json",
        REPLAY_CLUSTER=address,
    )  # fmt: skip
    outcomes = home / "shared" / "records" / "_outcomes"
    deadline = time.monotonic() + 60
    while len(list(outcomes.glob("*/*.parquet"))) < 6 and time.monotonic() < deadline:
        assert replay.poll() is None, said(home)
        time.sleep(0.002)
    doomed.send_signal(signal.SIGKILL)
    assert len(list(outcomes.glob("*/*.parquet"))) < SEGMENTS
    assert replay.wait(60) == 0, said(home)
    refresh("sample")

    with closing(sqlite3.connect(home / "shared" / "db.sqlite3")) as database:
        rows = database.execute("SELECT code, name FROM sample_author ORDER BY code").fetchall()
    assert rows == list(Author.objects.order_by("code").values_list("code", "name"))
    assert len(rows) == SEGMENTS + AUTHORS - 1
    files = home / "shared" / "records" / "sample_author" / "*" / "*.parquet"
    assert duckdb.sql(
        f"SELECT count(*), count(DISTINCT (fetch_id, _ordinal)) FROM '{files}'"
    ).fetchall() == [(SEGMENTS * AUTHORS, SEGMENTS * AUTHORS)]
    (outcome,) = [line for line in said(home).splitlines() if line.startswith('{"source"')]
    assert json.loads(outcome)["payloads_parsed"] == SEGMENTS
    assert "parsing on a cluster workers=" in said(home)
    assert not list((home / "shared" / "records").glob(".cluster-*"))


class Workers:
    """Stands for a cluster's client: how many threads each worker has, one answer after another."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def nthreads(self):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_cluster_that_lost_its_last_worker_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "ABANDONED_S", 0.05)
    monkeypatch.setattr(executors, "WATCH_S", 0.03)
    watch = cluster._Watch(Workers({"a": 1}, {}, OSError(), {"b": 1}, {}, {}, {}, {}), "tcp://x:1")
    tasks = deque([Charge("a", tmp_path)])
    spread = executors.Spread(
        ThreadPoolExecutor(1), tasks, explode, submit=lambda *_: Future(), watch=watch
    )

    with pytest.raises(ClusterUnusable, match=r"tcp://x:1 has had no worker for 0\.05 s"):
        list(spread.run(ahead=1))


def test_a_worker_says_what_it_lacks(home, tmp_path):
    problems = worker.look_round(str(tmp_path / "probe"), str(home / "archive"), "no/such.parquet")

    assert "does not see the folder of record files" in problems[0]
    assert "cannot read the archive" in problems[1]


def test_a_worker_that_does_not_see_the_folder_does_nothing(tmp_path):
    with pytest.raises(worker.NotShared, match="not the caller's folder"):
        worker.do(b"never unpickled", str(tmp_path / "probe"))


def test_a_scheduler_that_is_not_there_is_named(home, settings, monkeypatch):
    settings.REPLAY_CLUSTER = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    archive = Archive()
    for number in range(2):
        archive.append_all("sample.pages", [make_payload("sample.pages", {"n": number})])

    with pytest.raises(
        ClusterUnusable, match=f"No scheduler answers at .*{settings.REPLAY_CLUSTER}"
    ):
        refresh("sample")


def test_without_distributed_the_package_is_named(home, settings, monkeypatch):
    settings.REPLAY_CLUSTER = "tcp://127.0.0.1:1"
    monkeypatch.setitem(sys.modules, "distributed", None)

    connecting = cluster.connected(settings.REPLAY_CLUSTER, [])
    with pytest.raises(ClusterUnusable, match="pip install distributed"):
        connecting.__enter__()
