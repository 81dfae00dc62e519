"""The scheduler in a real server: started and stopped with it, one leader among several."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from .conftest import SETTINGS
from .origin import Origin, response, then_silence


@pytest.fixture
def start(other_home):
    """Start a process in the home with the ticker's address; killed at the end if still there."""
    started = []

    def begin(url, *command):
        process = subprocess.Popen(
            command,
            env=os.environ
            | {
                "ROOTCELLAR_TEST_HOME": str(other_home),
                "DJANGO_SETTINGS_MODULE": SETTINGS,
                "TICKER_URL": url,
                "LOG_LEVEL": "INFO",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def serve(start, url):
    return start(
        url, sys.executable, "-m", "uvicorn", "--port", "0", "--log-level", "info",
        "etl.asgi:application",
    )  # fmt: skip


def wait_for(home, sql, *, seconds=40.0):
    """The first row that `sql` gives, asked again until it gives one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with closing(sqlite3.connect(home / "db.sqlite3")) as database:
            if rows := database.execute(sql).fetchall():
                return rows[0]
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds:g} s: {sql}")


def all_rows(home, sql):
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        return database.execute(sql).fetchall()


async def test_the_server_runs_feeds_and_a_second_one_takes_over_when_it_dies(start, other_home):
    async with Origin() as origin:
        url = origin.answer("/", response(b"tick"))
        await asyncio.to_thread(one_leads_and_the_other_takes_over, start, other_home, url)


def one_leads_and_the_other_takes_over(start, home, url):
    first = serve(start, url)
    wait_for(home, f"SELECT 1 FROM ingest_run WHERE outcome='complete' AND pid={first.pid}")
    second = serve(start, url)
    read_until(second, "Application startup complete")
    wait_for(home, f"SELECT 1 FROM ingest_run WHERE pid={first.pid} GROUP BY pid HAVING count(*)>3")
    while_both_lived = {pid for (pid,) in all_rows(home, "SELECT DISTINCT pid FROM ingest_run")}
    first.kill()
    first.wait()

    wait_for(home, f"SELECT 1 FROM ingest_run WHERE outcome='complete' AND pid={second.pid}")
    second.send_signal(signal.SIGTERM)
    output, _ = second.communicate(timeout=20)

    assert "Application shutdown complete" in output
    assert while_both_lived == {first.pid}
    assert all_rows(home, "SELECT 1 FROM ingest_run WHERE outcome='running'") == []
    (next_run_at,) = wait_for(home, "SELECT next_run_at FROM ingest_feedstatus")
    assert next_run_at


async def test_a_server_that_is_stopped_seals_what_its_extractor_had(start, other_home):
    async with Origin() as origin:
        url = origin.answer("/", then_silence(response(b"half", length=100)))
        await asyncio.to_thread(stop_while_extracting, start, other_home, url)


def stop_while_extracting(start, home, url):
    server = serve(start, url)
    wait_for(home, "SELECT 1 FROM ingest_run WHERE outcome='running'")
    time.sleep(0.5)

    server.send_signal(signal.SIGTERM)
    output, _ = server.communicate(timeout=20)

    assert "Application shutdown complete" in output
    assert all_rows(home, "SELECT outcome, payload_count FROM ingest_run") == [("interrupted", 1)]
    assert all_rows(home, "SELECT row_count FROM raw_store_segment") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_stops_cleanly_when_told_to(start, other_home, number):
    async with Origin() as origin:
        url = origin.answer("/", then_silence(response(b"half", length=100)))
        await asyncio.to_thread(stop_the_command, start, other_home, url, number)


def stop_the_command(start, home, url, number):
    command = start(url, sys.executable, "manage.py", "extract", "ticker.ticks")
    wait_for(home, "SELECT 1 FROM ingest_run WHERE outcome='running'")
    time.sleep(0.5)

    command.send_signal(number)
    output, _ = command.communicate(timeout=20)

    assert command.returncode == 128 + number, output
    assert "Interrupted. What was fetched is archived" in output
    assert "Traceback" not in output
    assert all_rows(home, "SELECT outcome, payload_count FROM ingest_run") == [("interrupted", 1)]


def read_until(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")
