"""A receiver of pushes in the test's own process, asked through ASGI."""

import httpx
import pytest

from ingest import receiver, signatures
from ingest.receiving import receivers
from ingest.receiving.application import Receiving

FEED = "orchard.orders"
ADDRESS = "/ingest/orchard/orders"


@pytest.fixture
def declared(declared):
    """What a test declares is forgotten after it, receivers too."""
    known = dict(receivers._receivers)
    yield
    receivers._receivers.clear()
    receivers._receivers.update(known)


@pytest.fixture
async def desk(archive, declared, transactional_db):
    """Declare `orchard.orders` and give a client that pushes to it: `await desk(…)`."""
    opened = []

    async def open_desk(*, signature=None, replay=None, idle_seconds=0.05, **declaration):
        receiver(FEED, signature=signature or signatures.unsigned(), **declaration)
        receiving = Receiving(archive, replay, idle_seconds=idle_seconds, seconds=0.5)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(receiving, raise_app_exceptions=True),
            base_url="http://cellar.example",
        )
        opened.append((receiving, client))
        return client

    yield open_desk
    for receiving, client in opened:
        await client.aclose()
        await receiving.close()
