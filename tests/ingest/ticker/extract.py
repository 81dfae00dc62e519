"""One feed that runs every second; what it requests, the test says. Another one is pushed."""

import os

from ingest import Client, extractor, receiver, signatures


@extractor("ticker.ticks", every="1s")
async def extract_ticks(client: Client) -> None:
    await client.get(os.environ["TICKER_URL"])


receiver("ticker.pushes", signature=signatures.unsigned())
