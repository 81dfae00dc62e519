"""One feed that runs every second; what it requests, the test says."""

import os

from ingest import Client, extractor


@extractor("ticker.ticks", every="1s")
async def extract_ticks(client: Client) -> None:
    await client.get(os.environ["TICKER_URL"])
