"""A loopback origin, an archive of the test's own, and extractors declared for one test."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ingest import Client, extractor, registry
from ingest.models import Run
from ingest.pace import Patience
from ingest.runs import run_feed
from raw_store import feeds
from raw_store.archive import Archive
from raw_store.payload import Payload

from .origin import Origin

SETTINGS = "tests.ingest.server_settings"
FEED = "orchard.pages"
QUICK = Patience(base=0.01, longest=0.02, ceiling=2.0)


async def until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait for a condition; a test that waits in vain fails."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{condition} did not come true within {seconds:g} s")


@pytest.fixture
async def origin():
    async with Origin() as running:
        yield running


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A home folder with an empty database, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0", f"--settings={SETTINGS}"],
        env=os.environ | {"ROOTCELLAR_TEST_HOME": str(folder)},
        check=True,
    )
    return folder


@pytest.fixture
def other_home(migrated, tmp_path):
    """A home folder for processes that a test starts."""
    return Path(shutil.copytree(migrated, tmp_path / "other"))


@pytest.fixture
def declared():
    """What a test declares is forgotten after it."""
    extractors, every_feed = dict(registry._extractors), dict(feeds._feeds)
    yield
    registry._extractors.clear()
    registry._extractors.update(extractors)
    feeds._feeds.clear()
    feeds._feeds.update(every_feed)


@pytest.fixture
def archive(home):
    return Archive(str(home / "archive"))


@pytest.fixture
def extract(archive, declared, transactional_db):
    """Run a function as the extractor of `orchard.pages`."""

    async def run(
        function: Callable[[Client], Awaitable[None]],
        *,
        patience: Patience = QUICK,
        inner=None,
        **declaration,
    ) -> Run:
        registry._extractors.pop(FEED, None)
        extractor(FEED, **declaration)(function)
        return await run_feed(FEED, archive, patience=patience, inner=inner)

    return run


@pytest.fixture
def payloads(archive):
    """Every archived payload, in the order fetched, bodies of revisits included."""

    def read() -> list[Payload]:
        ids = [payload.fetch_id for payload in archive.scan(FEED)]
        return sorted(archive.read_many(ids).values(), key=lambda payload: payload.fetched_at)

    return read
