"""PostgreSQL, an S3 store, two extractor shards, one replaying process and one server.

It is what `docker-compose.yml` describes, from real processes and without containers.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyarrow import fs

from sources.farm.origin import Origin

from .peers import BIN, KEY, ROOT, SECRET, Peer, answers, free_ports, postgres, s3_store, wait_until

PAYLOADS = ROOT / "tests" / "sources"


@dataclass
class Topology:
    """The running program, and what its processes were given."""

    env: dict[str, str]
    folder: Path
    origin: Origin
    peers: dict[str, Peer]
    url: str

    def manage(self, *arguments: str, **env: str) -> str:
        """Run a command beside the others, in the same environment."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, *arguments: str, **env: str) -> None:
        """Start a process of the program with a home folder of its own unless `env` names one."""
        home = {"ROOTCELLAR_HOME": str(self.folder / name)}
        self.peers[name] = Peer(
            name, [*arguments], folder=self.folder, env={**self.env, **home, **env}
        )

    def ask(self, query: str):
        """What GraphQL answers over HTTP."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """What PostgreSQL holds."""
        with psycopg.connect(self.env["DATABASE_URL"]) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def topology(tmp_path_factory):
    folder = tmp_path_factory.mktemp("topology")
    port, site_port = free_ports(2)
    site = folder / "site"
    site.mkdir()
    for name in ("all_hour", "all_day", "all_week"):
        shutil.copy(PAYLOADS / "quakes/payloads/all_day.geojson", site / f"{name}.geojson")
    with postgres() as database, s3_store(folder) as archive, Origin(day=0) as origin:
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "ROOTCELLAR_APPS": "",
            "ROOTCELLAR_HOME": str(folder / "home"),
            "DATABASE_URL": database,
            "ARCHIVE_URL": archive,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "SECRET_KEY": "the same in every process",
            "FARM_ORIGIN_URL": origin.url,
            "QUAKES_BASE_URL": f"http://127.0.0.1:{site_port}",
            "LOG_LEVEL": "INFO",
        }
        running = Topology(env, folder, origin, {}, f"http://127.0.0.1:{port}")
        try:
            running.start(
                "site", sys.executable, "-m", "http.server", str(site_port),
                "--bind", "127.0.0.1", "--directory", str(site),
            )  # fmt: skip
            running.manage("migrate", "--verbosity", "0")
            python = (sys.executable, "manage.py")
            for shard in ("1", "2"):
                running.start(
                    f"extract-{shard}", *python, "extract", "--watch", "--no-replay",
                    SHARD=f"{shard}/2",
                )  # fmt: skip
            home = running.env["ROOTCELLAR_HOME"]
            running.start("replay", *python, "replay", "--watch", ROOTCELLAR_HOME=home)
            running.start(
                "web", str(BIN / "uvicorn"), "etl.asgi:application", "--lifespan", "on",
                "--host", "127.0.0.1", "--port", str(port), SCHEDULER="0", ROOTCELLAR_HOME=home,
            )  # fmt: skip
            peers = list(running.peers.values())
            wait_until("the server answers", lambda: answers(f"{running.url}/healthz"), *peers)
            yield running
        finally:
            for peer in reversed(running.peers.values()):
                peer.stop()


def test_what_one_shard_extracts_is_served_by_the_server(topology):
    topology.manage("extract", "farm", "--no-replay", SHARD="2/2")

    wait_until(
        "the farm's rows are served",
        lambda: bool(topology.ask("{ items { slug } farmShopDaily { itemCount } }")["items"]),
        *topology.peers.values(),
    )

    answer = topology.ask("{ items { name payload { url status } } }")
    assert answer["items"][0]["payload"]["url"].startswith(topology.origin.url)
    assert answer["items"][0]["payload"]["status"] == 200


def test_the_next_day_reaches_the_server_without_being_asked(topology):
    before = {item["slug"] for item in topology.ask("{ items { slug } }")["items"]}
    topology.origin.day = 1
    topology.manage("extract", "farm", "--no-replay", SHARD="2/2")

    def has_news() -> bool:
        return {item["slug"] for item in topology.ask("{ items { slug } }")["items"]} != before

    wait_until("the new item is served", has_news, *topology.peers.values())


def test_each_scheduled_feed_is_run_by_the_shard_that_owns_it_alone(topology):
    def quakes_are_there() -> bool:
        return bool(topology.ask("{ quakes { code } }")["quakes"])

    wait_until("the quakes' rows are served", quakes_are_there, *topology.peers.values())

    runs = topology.select(
        "SELECT DISTINCT pid, outcome FROM ingest_run WHERE feed LIKE 'quakes.%'"
    )
    assert {pid for pid, _ in runs} == {topology.peers["extract-1"].process.pid}


def test_every_segment_is_in_the_store_and_whole(topology):
    indexed = {path for (path,) in topology.select("SELECT path FROM raw_store_segment")}

    store, root = fs.FileSystem.from_uri(with_credentials(topology.env["ARCHIVE_URL"]))
    stored = {
        info.path.removeprefix(f"{root}/")
        for info in store.get_file_info(fs.FileSelector(root, recursive=True))
        if info.is_file
    }

    assert indexed
    assert indexed <= stored
    assert "all is well" in topology.manage("archive", "verify")


def test_every_process_ends_when_asked(topology):
    codes = {
        name: peer.stop() for name, peer in topology.peers.items() if name not in {"site", "web"}
    }

    # 143 is 128 + SIGTERM: what a shell reports of a program that was told to end.
    assert codes == {"extract-1": 143, "extract-2": 143, "replay": 0}


def with_credentials(url: str) -> str:
    """The archive's address for a reader in this process, whose environment has no key."""
    return url.replace("s3://", f"s3://{KEY}:{SECRET}@")
