"""A loopback origin, an archive of the test's own, and extractors declared for one test."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ingest import Client, extractor, registry
from ingest.models import Run
from ingest.pace import Patience
from ingest.runs import run_feed
from raw_store import feeds
from raw_store.archive import Archive
from raw_store.payload import Payload

from .origin import Origin

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


@pytest.fixture
def declared():
    """What a test declares is forgotten after it."""
    before = dict(registry._extractors), dict(feeds._feeds)
    yield
    for known, saved in zip((registry._extractors, feeds._feeds), before, strict=True):
        known.clear()
        known.update(saved)


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
