"""Three feeds of one site, in three forms: HTML pages, a JSON API in pages, one XML file.

The address comes from FARM_ORIGIN_URL; `manage.py farm_origin` serves the site on the default one.
"""

import os
import re

from ingest import Client, extractor

# The site runs on this machine; without this nothing but the public internet is asked.
_HERE = ["127.0.0.0/8", "::1"]


def _url(path: str) -> str:
    # Read at every run: the demo starts the site when this module is already imported.
    return os.environ.get("FARM_ORIGIN_URL", "http://127.0.0.1:8799").rstrip("/") + path


@extractor("farm.items", allow_private=_HERE)
async def extract_items(client: Client) -> None:
    """The almanac's index, then every page it links to, withdrawn items' dead links included."""
    index = await client.get(_url("/items"))
    links = re.findall(r'href="(/items/[^"]+)"', index.text)
    async for _ in client.map([_url(link) for link in links]):
        pass


@extractor("farm.quests", current="run", allow_private=_HERE)
async def extract_quests(client: Client) -> None:
    """The notice board, page after page; what a complete listing leaves out is gone."""
    first = _url("/api/quests?page=1")
    async for _ in client.pages(first, next_url=lambda page: page.json()["next"]):
        pass


@extractor("farm.prices", current="all", allow_private=_HERE)
async def extract_prices(client: Client) -> None:
    """Today's market sheet; the sheets of other days stay true, so each version counts."""
    await client.get(_url("/market/prices.xml"))
