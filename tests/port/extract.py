"""Three feeds that know of the same vessels."""

from ingest import extractor

ADDRESS = "http://127.0.0.1:9"


@extractor("port.registry")
async def extract_registry(client):
    await client.get(f"{ADDRESS}/registry")


@extractor("port.sightings")
async def extract_sightings(client):
    await client.get(f"{ADDRESS}/sightings")


@extractor("port.log", current="all")
async def extract_log(client):
    await client.get(f"{ADDRESS}/log")
