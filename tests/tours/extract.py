"""One feed of tours."""

from ingest import extractor


@extractor("tours.list")
async def extract_list(client):
    await client.get("http://127.0.0.1:9/tours")
