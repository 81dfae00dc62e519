"""The pool: processes that end, are killed, are busy, or have nobody who reads."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from warehouse.errors import PoolBusy, QueryFailed, QueryTimeout, WarehouseError
from warehouse.sql_pool import pool as pool_module
from warehouse.sql_pool.pool import Pool

ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
LONG = "SELECT range, repeat('x', 1000) AS t FROM range(1000000)"


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_process_answers_many(asking):
    asking("SELECT 1")
    before = asking.pool.process_ids()

    for number in range(5):
        assert asking("SELECT $n AS n", parameters={"n": number}) == f"n\n{number}\n".encode()

    assert asking.pool.process_ids() == before


def test_a_process_that_is_killed_fails_its_statement_alone(asking):
    async def kill_while_it_runs():
        running = asyncio.create_task(asking.ask(ENDLESS))
        await asyncio.sleep(0.3)
        for pid in asking.pool.process_ids():
            os.kill(pid, signal.SIGKILL)
        await running

    with pytest.raises(QueryFailed, match="The process that ran the statement ended"):
        asking.runner.run(kill_while_it_runs())

    assert asking("SELECT 1 AS n") == b"n\n1\n"


def test_an_asker_who_leaves_ends_the_statement(asking):
    async def leave():
        running = asyncio.create_task(asking.ask(ENDLESS))
        await asyncio.sleep(0.3)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return asking.pool.process_ids()

    asking("SELECT 1")
    (pid,) = asking.pool.process_ids()

    assert asking.runner.run(leave()) == []
    wait_until(lambda: not is_running(pid))


def test_an_asker_who_reads_nothing_keeps_no_process_for_long(asking):
    async def read_nothing():
        answer = await asking.pool.ask(replace(asking.defaults, sql=LONG, seconds=0.3))
        other = await asyncio.wait_for(asking.ask("SELECT 1 AS n"), 20)
        with pytest.raises(QueryTimeout, match="sending its answer included"):
            [piece async for piece in answer]
        return other

    assert asking.runner.run(read_nothing()) == b"n\n1\n"


def test_an_answer_that_is_closed_unread_gives_its_process_back(asking):
    async def close_unread():
        answer = await asking.pool.ask(replace(asking.defaults, sql=LONG))
        answer.close()
        return await asyncio.wait_for(asking.ask("SELECT 1 AS n"), 20)

    assert asking.runner.run(close_unread()) == b"n\n1\n"


def test_who_comes_when_too_many_wait_is_sent_away(asking, monkeypatch):
    monkeypatch.setattr(pool_module, "_WAIT_S", 0.3)

    async def ask_too_often():
        asked = [asking.ask(ENDLESS, seconds=1) for _ in range(12)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = [type(error) for error in asking.runner.run(ask_too_often())]

    assert found.count(QueryTimeout) == 1
    assert found.count(PoolBusy) == 11
    assert asking("SELECT 1 AS n") == b"n\n1\n"


def test_those_who_wait_are_answered_in_turn(asking):
    async def ask_all():
        return await asyncio.gather(*(asking.ask(f"SELECT {n} AS n") for n in range(8)))

    assert asking.runner.run(ask_all()) == [f"n\n{n}\n".encode() for n in range(8)]


def test_what_a_killed_process_spilled_is_removed(asking):
    with pytest.raises(WarehouseError):
        asking("SELECT list(range) FROM range(100000000) GROUP BY range", seconds=1)
    asking("SELECT 1")

    async def close():
        await asking.pool.close()

    asking.runner.run(close())
    assert list((asking.home / "warehouse" / "spill").iterdir()) == []


def test_processes_end_with_the_server(asking, tmp_path):
    script = (
        "import asyncio, os, signal, django; django.setup()\n"
        "from warehouse.sql_pool.asked import Asked\n"
        "from warehouse.sql_pool.pool import Pool\n"
        "async def main():\n"
        "    pool = Pool(size=1, memory_mb=200)\n"
        f"    running = asyncio.ensure_future(pool.ask(Asked(sql={ENDLESS!r}, rows_allowed=1, "
        "seconds=600)))\n"
        "    while not pool.process_ids(): await asyncio.sleep(0.05)\n"
        "    print(*pool.process_ids(), flush=True)\n"
        "    await asyncio.sleep(0.3)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "ROOTCELLAR_HOME": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "etl.settings",
        },
        cwd=Path(__file__).resolve().parents[3],
        stdout=subprocess.PIPE,
        timeout=60,
    )

    (pid,) = map(int, ran.stdout.split())
    wait_until(lambda: not is_running(pid))


def test_before_the_first_build_the_tables_are_there_and_empty(home):
    with asyncio.Runner() as runner:
        pool = Pool(size=1, memory_mb=200)

        async def ask():
            from warehouse.sql_pool.asked import Asked

            asked = Asked(
                sql="SELECT count(*) AS n FROM sample_book", form="csv", rows_allowed=9, seconds=20
            )
            answer = await pool.ask(asked)
            found = b"".join([piece async for piece in answer])
            await pool.close()
            return found

        assert runner.run(ask()) == b"n\n0\n"
