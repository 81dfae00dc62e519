"""One published build and one pool of processes for all tests of a module."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from django.test import override_settings

from tests.warehouse.conftest import Rollups
from warehouse.build import make_build
from warehouse.publish import publish
from warehouse.sql_pool.asked import Asked
from warehouse.sql_pool.pool import Pool


class Asking:
    """Asks a pool of one process, and waits for the answer."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runner = asyncio.Runner()
        self.pool = Pool(size=1, memory_mb=200)
        self.defaults = Asked(sql="", rows_allowed=2_000_000, seconds=20, form="csv")

    def __call__(self, sql: str, **more) -> bytes:
        return self.runner.run(self.ask(sql, **more))

    async def ask(self, sql: str, **more) -> bytes:
        answer = await self.pool.ask(replace(self.defaults, sql=sql, **more))
        return b"".join([piece async for piece in answer])

    def close(self) -> None:
        self.runner.run(self.pool.close())
        self.runner.close()


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    archive = home / "archive"
    archive.mkdir()
    where = override_settings(
        ROOTCELLAR_HOME=home, WAREHOUSE_DIR=home / "warehouse", ARCHIVE_URL=str(archive)
    )
    with where:
        rollups = Rollups(home)
        rollups.write("quakes", "SELECT code, occurred_at, magnitude FROM quakes_quake")
        copy = rollups.copy_quakes(
            ("a", "2024-05-01 10:00Z", 4.5), ('b,"c"', "2024-05-02 10:00Z", None)
        )
        inside = home / "warehouse" / "models" / "quakes.parquet"
        inside.parent.mkdir(parents=True)
        copy.rename(inside)
        publish(make_build(rollups.plan(), {"quakes_quake": inside}))
        (home / "secret_key").write_text("s3cret")
        asking = Asking(home)
        yield asking
        asking.close()
