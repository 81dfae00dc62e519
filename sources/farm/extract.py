"""Three feeds of one site, in three forms: HTML pages, a JSON API in pages, one XML file.

The address comes from FARM_ORIGIN_URL; `manage.py farm_origin` serves the site on the default one.
"""

import os
import re
from typing import Any

from ingest import extractor


def _url(path: str) -> str:
    # Read at every run: the demo starts the site when this module is already imported.
    return os.environ.get("FARM_ORIGIN_URL", "http://127.0.0.1:8799").rstrip("/") + path


@extractor("farm.items", every="1h")
async def extract_items(client: Any) -> None:
    """The almanac's index, then every page it links to, withdrawn items' dead links included."""
    index = await client.get(_url("/items"))
    links = re.findall(r'href="(/items/[^"]+)"', index.raise_for_status().text)
    async for _ in client.map([_url(link) for link in links]):
        pass


@extractor("farm.quests", every="1h", current="run")
async def extract_quests(client: Any) -> None:
    """The notice board, page after page; what a complete listing leaves out is gone."""
    link = "/api/quests?page=1"
    while link:
        response = await client.get(_url(link))
        link = response.raise_for_status().json()["next"]


@extractor("farm.prices", every="1h", current="all")
async def extract_prices(client: Any) -> None:
    """Today's market sheet; the sheets of other days stay true, so each version counts."""
    response = await client.get(_url("/market/prices.xml"))
    response.raise_for_status()
