"""The power outages on the utility's public map. Outages end and vanish from it, hence
`current="all"`: what was seen at each time stays.
"""

from ingest import Client, extractor

LAYER = "https://ags.pge.esriemcs.com/arcgis/rest/services/43/outages/MapServer/5"


@extractor("pge.outages", current="all")
async def extract_outages(client: Client) -> None:
    response = await client.get(f"{LAYER}/query?where=1%3D1&outFields=*&f=pjson")
    response.raise_for_status()
