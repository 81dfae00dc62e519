"""What to request, and how often: `every="15m"` or `cron="30 6 * * *"` (UTC) beside the name."""

from ingest import Client, extractor

URL = "https://example.org/readings.json"


# With current="all" every version ever fetched counts: readings stay when the publisher drops
# them. The default, current="latest", makes the rows what the newest version lists.
@extractor("source_name.readings", current="all")
async def extract_readings(client: Client) -> None:
    response = await client.get(URL)
    response.raise_for_status()
