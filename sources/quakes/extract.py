"""The summary feeds of the U.S. Geological Survey: every quake of the past hour, day and week.

The windows slide: a quake that is no longer listed has grown old, it has not been withdrawn.
Hence `current="all"`: each quake stays as the newest fetch that listed it says.
"""

import os

from ingest import Client, extractor

LIVE_URL = "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary"


@extractor("quakes.hour", every="1m", current="all")
async def extract_hour(client: Client) -> None:
    response = await client.get(_url("all_hour.geojson"))
    response.raise_for_status()


@extractor("quakes.day", every="15m", current="all")
async def extract_day(client: Client) -> None:
    response = await client.get(_url("all_day.geojson"))
    response.raise_for_status()


@extractor("quakes.week", every="6h", current="all")
async def extract_week(client: Client) -> None:
    response = await client.get(_url("all_week.geojson"))
    response.raise_for_status()


def _url(name: str) -> str:
    return f"{os.environ.get('QUAKES_BASE_URL', LIVE_URL)}/{name}"
