"""DuckDB's work ends with its asker, or when its time is over."""

import asyncio
import threading

import duckdb
import pytest

from api.aggregates import engine
from api.compiled.workers import close_workers, in_worker, open_workers
from api.errors import RequestRefused

ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE hash(a.range, b.range) = 7"


@pytest.fixture
def workers():
    open_workers()
    yield
    close_workers()


def test_what_nobody_waits_for_any_more_is_interrupted(workers):
    begun, ended = threading.Event(), threading.Event()

    def work():
        with duckdb.connect(config={"threads": 1}) as connection:
            begun.set()
            try:
                engine.fetch(connection, ENDLESS, [])
            except duckdb.InterruptException:
                ended.set()

    async def ask():
        asking = asyncio.create_task(in_worker(work))
        await asyncio.to_thread(begun.wait)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(ask())

    assert ended.wait(60)


def test_what_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(engine, "MAX_SECONDS", 0.05)

    with (
        duckdb.connect(config={"threads": 1}) as connection,
        pytest.raises(RequestRefused, match=r"longer than 0\.05 s"),
    ):
        engine.fetch(connection, ENDLESS, [])
