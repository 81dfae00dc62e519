"""Crawls by real processes: killed at work, and two at a time on one PostgreSQL."""

import asyncio
import json
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow.dataset

from tests.topology.peers import postgres

from ..conftest import until
from .site import Site

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("FRONTIER_KILLS", "3"))
AT_RISK = 12
PAGES = 150


def environment(home, **more):
    return os.environ | {"ROOTCELLAR_TEST_HOME": str(home), "LOG_LEVEL": "CRITICAL"} | more


async def start(site, env):
    arguments = ["-m", "tests.ingest.frontier.worker", site.url(), "4", str(AT_RISK)]
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=env, stdout=subprocess.PIPE
    )


async def ending(worker):
    out, _ = await asyncio.wait_for(worker.communicate(), 240)
    return json.loads(out)


def has_asked(site, goal):
    return len(site.asked) >= goal


def archived_pages(home):
    table = pyarrow.dataset.dataset(home / "archive", format="parquet").to_table(["url"])
    return [int(url.rpartition("/")[2]) for url in table["url"].to_pylist()]


async def test_a_crawl_that_is_killed_again_and_again_gets_every_page_and_repeats_few(other_home):
    dice = random.Random(7)
    env = environment(other_home)
    async with Site(PAGES, delay=0.004) as site:
        for number in range(1, KILLS + 1):
            worker = await start(site, env)
            goal = PAGES * number // (KILLS + 2) + dice.randrange(12)
            await until(partial(has_asked, site, goal), seconds=60)
            worker.kill()
            await worker.communicate()
        last = await ending(await start(site, env))

    assert last["outcome"] == "complete", last["error"]
    assert set(archived_pages(other_home)) == set(range(PAGES))
    assert len(site.asked) == PAGES
    assert site.asked.total() - PAGES <= KILLS * AT_RISK


async def test_two_processes_on_one_postgresql_never_ask_for_the_same_page(tmp_path):
    with postgres() as url:
        env = environment(tmp_path, DATABASE_URL=url)
        migrate = ["manage.py", "migrate", "--verbosity=0", "--settings=tests.crash.settings"]
        migrating = await asyncio.create_subprocess_exec(
            sys.executable, *migrate, cwd=ROOT, env=env
        )
        assert await migrating.wait() == 0
        async with Site(PAGES, delay=0.01) as site:
            workers = [await start(site, env), await start(site, env)]
            told = [await ending(worker) for worker in workers]

    assert [each["outcome"] for each in told] == ["complete", "complete"], told
    assert sorted(archived_pages(tmp_path)) == list(range(PAGES))
    assert site.asked.most_common(1)[0][1] == 1
    assert min(each["payloads"] for each in told) > 0
